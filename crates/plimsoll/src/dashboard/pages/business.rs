//! Whether the business goes as it usually does.

use super::super::{Mood, Page, View};
use crate::status::tables;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let kpis = &view.status.kpis;
    let fallen: Vec<_> = kpis.iter().filter(|kpi| kpi.has_fallen).collect();
    let known = kpis.iter().filter(|kpi| kpi.usual.is_some()).count();
    let (headline, mood) = match (fallen.len(), known) {
        _ if kpis.is_empty() => ("No figure is declared".to_owned(), Mood::Leaving),
        (0, 0) => ("It is not known yet what is usual".to_owned(), Mood::Leaving),
        (0, _) => ("Business as usual, as far as is known".to_owned(), Mood::Fine),
        (1, _) => ("One figure has fallen".to_owned(), Mood::Attention),
        (many, _) => (format!("{many} figures have fallen"), Mood::Attention),
    };
    Page {
        warnings: fallen.iter().map(|kpi| format!("{}.", kpi.says)).collect(),
        facts: vec!["Usual is what it was at this time of the last four weeks. A figure that falls while no objective pages that may be the reason opens a ticket: objectives do not see something.".to_owned()],
        tables: vec![tables::of_kpis(view.status)],
        ..Page::new(headline, mood)
    }
}
