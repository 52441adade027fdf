//! All objectives, the worst first.

use super::super::{Mood, Page, View};
use super::{standing, table, worst_first};
use crate::reading::ObjectiveReading;
use crate::status::tables::{Table, asked, percent};

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let of = |mood| {
        view.objectives
            .iter()
            .filter(|reading| standing(reading).1 == mood)
            .count()
    };
    let (bad, unknown, all) = (of(Mood::Attention), of(Mood::Leaving), view.objectives.len());
    let (headline, mood) = match (bad, unknown) {
        (0, 0) if all == 0 => ("No objective is declared".to_owned(), Mood::Leaving),
        (0, 0) => (format!("All {all} objectives are met"), Mood::Fine),
        (0, unknown) => (
            format!("{unknown} of {all} objectives are unknown, the others are met"),
            Mood::Leaving,
        ),
        (bad, _) => (
            format!("{bad} of {all} objectives are missed, or call"),
            Mood::Attention,
        ),
    };
    Page {
        tables: vec![table_of(view.objectives)],
        ..Page::new(headline, mood)
    }
}

/// How each stands, and how well that is known.
pub(super) fn table_of(objectives: &[ObjectiveReading]) -> Table {
    let dash = || "-".to_owned();
    let rows = worst_first(objectives).into_iter().map(|reading| {
        let verdict = &reading.verdict;
        let burn = verdict.burns.first().and_then(|(_, burning)| burning.long);
        vec![
            reading.name.to_string(),
            standing(reading).0.to_owned(),
            format!("{} / {}", asked(&verdict.objective), reading.window),
            verdict.left().map_or_else(dash, percent),
            burn.map_or_else(dash, |burn| format!("{burn:.1}")),
            reading.rung.word().to_owned(),
            percent(verdict.window.coverage()),
            verdict.sentence().to_string(),
        ]
    });
    let head = [
        "objective",
        "state",
        "target",
        "budget left",
        "burn 1 h",
        "policy",
        "covered",
        "verdict",
    ];
    table(
        "Objectives, the worst first",
        &head,
        rows.collect(),
        "none is declared",
    )
}
