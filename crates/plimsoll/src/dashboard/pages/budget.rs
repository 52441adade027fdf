//! What may still go wrong, and what may be risked for it.

use super::super::{Mood, Page, View};
use super::{table, worst_first};
use crate::civil;
use crate::status::tables::percent;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let restrained = view
        .objectives
        .iter()
        .filter(|reading| reading.rung.word() != "free")
        .count();
    let (headline, mood) = match restrained {
        0 if view.objectives.is_empty() => ("No objective is declared".to_owned(), Mood::Leaving),
        0 => ("Everything may be risked".to_owned(), Mood::Fine),
        1 => ("One objective bids care".to_owned(), Mood::Attention),
        many => (format!("{many} objectives bid care"), Mood::Attention),
    };
    let dash = || "-".to_owned();
    let rows = worst_first(view.objectives).into_iter().map(|reading| {
        let verdict = &reading.verdict;
        vec![
            reading.name.to_string(),
            reading.rung.word().to_owned(),
            verdict.budget.left().map_or_else(dash, percent),
            verdict
                .forecast
                .and_then(|budget| budget.left())
                .map_or_else(dash, percent),
            verdict
                .as_counted
                .and_then(|budget| budget.left())
                .map_or_else(dash, percent),
            verdict
                .time_left
                .map_or_else(dash, |left| civil::span(Some(left.as_millis() as u64))),
            format!("{:.1}", verdict.budget.allowed),
            format!("{:.1}", verdict.budget.bad),
        ]
    });
    let head = [
        "objective",
        "policy",
        "left",
        "left of the whole period, by forecast",
        "left as counted",
        "spent in, if it goes on",
        "may be bad",
        "were bad",
    ];
    let silences = view
        .state
        .silences
        .all()
        .filter(|silence| silence.until > view.now);
    let silences = silences.map(|silence| {
        vec![
            silence.objective.clone(),
            civil::moment(silence.until),
            silence.author.to_string(),
            silence.reason.clone(),
        ]
    });
    Page {
        facts: vec!["Free: anything goes. Careful: steps are smaller. Restricted: no drills, and somebody else agrees. Frozen: fixes only. Taking risk back is always allowed.".to_owned()],
        tables: vec![
            table("Budgets, the worst first", &head, rows.collect(), "none is declared"),
            table("Silences that hold", &["of", "until", "by", "because"], silences.collect(), "none"),
        ],
        ..Page::new(headline, mood)
    }
}
