//! Plimsoll itself: what it lost, what it could not write or tell, and what it runs.

use super::super::{Mood, Page, View};
use super::table;
use crate::status::tables;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let status = view.status;
    let told = &status.telemetry;
    let lost = told.events_dropped + told.lines_dropped + told.spans_dropped + told.points_dropped;
    let failing = status.state_failing || told.spans_failing || told.points_failing;
    let untold = status.targets.iter().any(|target| !target.failing.is_empty());
    let (headline, mood) = match (failing || untold, status.facts_lost, lost) {
        (true, ..) => ("Something cannot be written, or nobody takes it", Mood::Attention),
        (false, 0, 0) => ("Plimsoll itself is well, and has lost nothing", Mood::Fine),
        (false, 0, _) => ("Some of what could be told was dropped", Mood::Leaving),
        (false, ..) => ("Facts were lost", Mood::Attention),
    };
    let state = [
        ("facts that are not written down yet", status.facts_unwritten),
        ("facts that never will be", status.facts_lost),
    ];
    let state = state.map(|(what, count)| vec![what.to_owned(), count.to_string()]);
    let targets = status.targets.iter().map(|target| {
        let failing = if target.failing.is_empty() {
            "no"
        } else {
            &target.failing
        };
        vec![
            target.name.clone(),
            target.waiting.to_string(),
            failing.to_owned(),
        ]
    });
    Page {
        facts: vec![format!("plimsoll {}, read at {}.", status.version, status.at)],
        tables: vec![
            table(
                "Who is told of alerts",
                &["target", "waiting", "failing"],
                targets.collect(),
                "nobody",
            ),
            table("State", &["what", "count"], state.to_vec(), ""),
            tables::of_telemetry(status),
            tables::of_config(status),
        ],
        ..Page::new(headline, mood)
    }
}
