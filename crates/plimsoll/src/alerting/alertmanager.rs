//! Prometheus's Alertmanager, by its API v2 (`POST /api/v2/alerts`).
//!
//! It forgets an alert that it has not been told of for `resolve_timeout` (5 minutes), so what fires is told again and
//! again; that an alert is over is told by the time at which it ended.

use serde_json::{Value, json};

use super::telling::{Telling, example_line, stands_out};
use crate::civil;
use crate::record::entry::Told;

/// The body of the request: all of these alerts at once.
pub(super) fn body(tellings: &[Telling], labels: &[(String, String)]) -> Value {
    tellings.iter().map(|telling| alert(telling, labels)).collect()
}

fn alert(telling: &Telling, labels: &[(String, String)]) -> Value {
    let opened = &telling.alert.opened;
    let mut all = json!({
        "alertname": "PlimsollObjective",
        "objective": opened.objective,
        "severity": opened.severity.word(),
    });
    for (name, value) in labels {
        all[name] = value.as_str().into();
    }
    let mut annotations = json!({
        "summary": telling.title(),
        "description": opened.sentence,
        "alert": &*telling.alert.id,
    });
    let mut annotate = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            annotations[name] = value.into();
        }
    };
    annotate("runbook_url", opened.runbook.clone());
    annotate("incident", telling.incident.clone());
    let joined = |lines: Vec<String>| Some(lines.join("\n"));
    annotate(
        "stands_out",
        joined(opened.stands_out.iter().map(stands_out).collect()),
    );
    annotate("changes", joined(opened.changes.clone()));
    annotate(
        "examples",
        joined(opened.examples.iter().map(example_line).collect()),
    );
    let mut alert = json!({
        "labels": all,
        "annotations": annotations,
        "startsAt": civil::moment(opened.began.map_or(telling.alert.opened_at, |began| 1_000 * began)),
    });
    if let (Told::Resolved, Some((at, _))) = (telling.told, &telling.alert.closed) {
        alert["endsAt"] = civil::moment(*at).into();
    }
    if let Some(link) = telling.link() {
        alert["generatorURL"] = link.into();
    }
    alert
}
