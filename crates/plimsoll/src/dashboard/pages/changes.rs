//! All changes that are remembered: what is on its way, and what became of the others.

use change::{Phase, Standing};

use super::super::{Mood, Page, ROWS_MAX, View};
use super::table;
use crate::civil;
use crate::rollout::words;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let all = view.state.changes.all();
    let going = all.iter().filter(|one| !one.phase().is_over()).count();
    let parked = all.iter().filter(|one| one.phase() == Phase::Parked).count();
    let headline = match (going, parked) {
        (0, 0) => "No change is on its way".to_owned(),
        (1, 0) => "One change is on its way".to_owned(),
        (many, 0) => format!("{many} changes are on their way"),
        (_, 1) => "A change needs somebody to see to it".to_owned(),
        (_, many) => format!("{many} changes need somebody to see to them"),
    };
    let mood = match (going, parked) {
        (0, 0) => Mood::Fine,
        (_, 0) => Mood::Leaving,
        _ => Mood::Attention,
    };
    let row = |standing: &&Standing| {
        let change = &standing.change;
        let waits = view
            .looked
            .get(&change.id)
            .and_then(|looked| words::waits(&looked.next));
        vec![
            change.id.clone(),
            words::what(standing),
            words::state(standing),
            words::share(standing.exposed_at(view.now)),
            civil::moment(standing.since()),
            last(view, standing),
            waits.unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let head = [
        "change",
        "what",
        "state",
        "exposed",
        "since",
        "what was said last",
        "waits",
    ];
    let rows = all.iter().take(ROWS_MAX).map(row);
    Page {
        tables: vec![table("Changes", &head, rows.collect(), "none")],
        ..Page::new(headline, mood)
    }
}

/// What was said last.
pub(super) fn last(view: &View<'_>, standing: &Standing) -> String {
    let told = view.state.changes.told(&standing.change.id).last();
    told.map_or_else(String::new, |line| words::sentence(standing, &line.said))
}
