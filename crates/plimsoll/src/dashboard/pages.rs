//! What stands on each page.

pub(super) mod audit;
pub(super) mod budget;
pub(super) mod business;
pub(super) mod change;
pub(super) mod changes;
pub(super) mod flag;
pub(super) mod flags;
pub(super) mod incident;
pub(super) mod incidents;
pub(super) mod meta;
pub(super) mod now;
pub(super) mod objective;
pub(super) mod objectives;
pub(super) mod saturation;
pub(super) mod traffic;
pub(super) mod whole;

use plimsoll_slo::{Severity, State as Met};

use serde_json::Value;

use super::{Form, Mood, Page};
use crate::reading::ObjectiveReading;
use crate::record::incidents::Incident;
use crate::status::tables::Table;

fn table(title: &str, head: &[&str], rows: Vec<Vec<String>>, nothing: &'static str) -> Table {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    Table {
        title: title.to_owned(),
        rows: [vec![head], rows].concat(),
        nothing,
        latest: Vec::new(),
    }
}

/// Whom an edit of a flag would move.
pub(crate) fn moved(answer: &Value) -> Page {
    let mut lines = crate::api::flags::moved_in_words(answer).into_iter();
    let headline = lines.next().unwrap_or_default();
    Page {
        facts: lines.collect(),
        ..Page::new(headline, Mood::Leaving)
    }
}

/// What a form was refused with.
pub(crate) fn refusal(title: &str, detail: &str) -> Page {
    Page {
        facts: vec![detail.to_owned()],
        ..Page::new(title, Mood::Attention)
    }
}

/// How an objective stands, in words.
fn standing(reading: &ObjectiveReading) -> (&'static str, Mood) {
    let verdict = &reading.verdict;
    match (verdict.calls, verdict.state) {
        (Some(Severity::Page), _) => ("pages", Mood::Attention),
        (Some(Severity::Ticket), _) => ("asks for a ticket", Mood::Attention),
        (None, Met::Unknown) => (verdict.state.word(), Mood::Leaving),
        (None, Met::Missed) => (verdict.state.word(), Mood::Attention),
        (None, Met::Met) => (verdict.state.word(), Mood::Fine),
    }
}

/// The worst first: who calls, then who has spent the most. What is not known comes before what is well.
fn worst_first(objectives: &[ObjectiveReading]) -> Vec<&ObjectiveReading> {
    let mut all: Vec<_> = objectives.iter().collect();
    all.sort_by(|a, b| {
        let calls = |reading: &ObjectiveReading| match reading.verdict.calls {
            Some(Severity::Page) => 0,
            Some(Severity::Ticket) => 1,
            None if reading.verdict.state == Met::Unknown => 2,
            None => 3,
        };
        let left = |reading: &ObjectiveReading| reading.verdict.left().unwrap_or(f64::MIN);
        calls(a).cmp(&calls(b)).then(left(a).total_cmp(&left(b)))
    });
    all
}

/// What may be done about an incident, the next step first.
fn steps(incident: &Incident) -> Vec<Form> {
    let of = |verb: &str, button, fields| Form {
        action: format!("/incidents/{}/{verb}", incident.id),
        button,
        fields,
    };
    let left: &[(&str, &'static str)] = match incident.phase() {
        "open" => &[
            ("acknowledge", "I am at it"),
            ("mitigate", "It is mitigated"),
            ("resolve", "It is resolved"),
        ],
        "acknowledged" => &[("mitigate", "It is mitigated"), ("resolve", "It is resolved")],
        "mitigated" => &[("resolve", "It is resolved")],
        _ => &[],
    };
    let steps = left.iter().map(|(verb, button)| of(verb, button, Vec::new()));
    steps.collect()
}
