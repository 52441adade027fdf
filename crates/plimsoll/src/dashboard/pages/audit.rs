//! Everything that people did.

use super::super::{Mood, Page, ROWS_MAX, View};
use super::table;
use crate::api::ROOT;
use crate::civil;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let state = view.state;
    let rows = state.audit.all().take(ROWS_MAX).map(|deed| {
        let about = if deed.about == deed.id { "-" } else { &*deed.about };
        vec![
            civil::moment(deed.at),
            deed.author.to_string(),
            deed.did.clone(),
            about.to_owned(),
        ]
    });
    let more =
        format!("The latest {ROWS_MAX}; {ROOT}/audit has more, and the state file all of the last 400 days.");
    Page {
        facts: vec![more],
        tables: vec![table(
            "Audit",
            &["at", "who", "did", "about"],
            rows.collect(),
            "nothing yet",
        )],
        ..Page::new("What people did", Mood::Fine)
    }
}
