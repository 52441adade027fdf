//! All incidents that are remembered.

use super::super::{Mood, Page, ROWS_MAX, View};
use super::table;
use crate::civil;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let state = view.state;
    let open = state.incidents.open().count();
    let rows = state.incidents.all().take(ROWS_MAX).map(|incident| {
        let clocks = incident.clocks();
        vec![
            incident.id.to_string(),
            incident.phase().to_owned(),
            civil::moment(incident.began),
            civil::span(clocks.to_detect),
            civil::span(clocks.to_mitigate),
            civil::span(clocks.to_resolve),
        ]
    });
    let head = [
        "incident",
        "state",
        "began",
        "detected after",
        "mitigated after",
        "resolved after",
    ];
    let headline = match open {
        0 => "No incident is open".to_owned(),
        1 => "One incident is open".to_owned(),
        many => format!("{many} incidents are open"),
    };
    let mood = if open == 0 { Mood::Fine } else { Mood::Attention };
    Page {
        tables: vec![table("Incidents", &head, rows.collect(), "none")],
        ..Page::new(headline, mood)
    }
}
