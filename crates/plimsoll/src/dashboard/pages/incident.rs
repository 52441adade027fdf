//! One incident: its clocks, what was seen, what was done.

use super::super::{Field, Form, Mood, Page, View};
use super::{steps, table};
use crate::alerting::{example_line, stands_out};
use crate::civil;
use crate::record::alerts::Alert;
use crate::record::incidents::Incident;
use crate::record::{State, who};

pub(in super::super) fn page(view: &View<'_>, id: &str) -> Option<Page> {
    let state = view.state;
    let incident = state.incidents.get(id)?;
    let clocks = incident.clocks();
    let began = civil::moment(incident.began);
    let took = [
        ("detected", clocks.to_detect),
        ("acknowledged", clocks.to_acknowledge),
        ("mitigated", clocks.to_mitigate),
        ("resolved", clocks.to_resolve),
    ];
    let took = took.map(|(what, span)| vec![what.to_owned(), civil::span(span)]);
    let once = |all: fn(&Alert) -> Vec<String>| once(incident, state, all);
    let out = once(|alert| alert.opened.stands_out.iter().map(stands_out).collect());
    let changes = once(|alert| alert.opened.changes.clone());
    let examples = once(|alert| alert.opened.examples.iter().map(example_line).collect());
    let runbooks = once(|alert| {
        alert
            .opened
            .runbook
            .iter()
            .map(|runbook| format!("Runbook: {runbook}"))
            .collect()
    });
    let timeline = incident.timeline.iter().map(|line| {
        vec![
            civil::moment(line.at),
            who(&line.author).to_owned(),
            line.text.clone(),
        ]
    });
    let mut facts = vec![format!(
        "It began at {began}, and is about {}.",
        incident.objectives.join(", ")
    )];
    facts.extend(runbooks.into_iter().flatten());
    let mood = match incident.phase() {
        "resolved" => Mood::Fine,
        "mitigated" => Mood::Leaving,
        _ => Mood::Attention,
    };
    let note = Form {
        action: format!("/incidents/{id}/notes"),
        button: "Note",
        fields: vec![Field::Line("text", "what was seen or done")],
    };
    let tables = vec![
        table("From its beginning", &["until it was", "took"], took.to_vec(), ""),
        table(
            "What stands out among the failures",
            &["what"],
            out,
            "nothing: all fail alike",
        ),
        table(
            "What changed in the hour before",
            &["what"],
            changes,
            "nothing that is known",
        ),
        table("Timeline", &["at", "who", "what"], timeline.collect(), "nothing"),
        table("Requests that failed", &["request"], examples, "none is known"),
    ];
    Some(Page {
        facts,
        forms: steps(incident).into_iter().chain([note]).collect(),
        tables,
        ..Page::new(format!("Incident {} is {}", incident.id, incident.phase()), mood)
    })
}

/// What the alerts of an incident know, each thing once: much of it is the same.
fn once(incident: &Incident, state: &State, all: fn(&Alert) -> Vec<String>) -> Vec<Vec<String>> {
    let alerts = incident.alerts.iter().filter_map(|id| state.alerts.get(id));
    let mut lines: Vec<String> = Vec::new();
    for line in alerts.flat_map(all) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.into_iter().map(|line| vec![line]).collect()
}
