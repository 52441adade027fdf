//! PagerDuty, by its Events API v2: one event for each alert, told apart by the alert's id.

use serde_json::{Value, json};

use super::telling::{Telling, example_line, stands_out};
use crate::civil;
use crate::record::entry::{Calls, Told};

/// Where events go.
pub(crate) const ADDRESS: &str = "https://events.pagerduty.com/v2/enqueue";

/// Characters of a summary that it takes.
const SUMMARY_MAX: usize = 1_024;

/// The body of the request.
pub(super) fn body(telling: &Telling, key: &str, labels: &[(String, String)]) -> Value {
    let opened = &telling.alert.opened;
    let mut event = json!({
        "routing_key": key,
        "dedup_key": format!("plimsoll/{}", telling.alert.id),
        "event_action": match telling.told {
            Told::Firing => "trigger",
            Told::Resolved => "resolve",
        },
    });
    if telling.told == Told::Resolved {
        return event;
    }
    let mut summary = format!("{}: {}", telling.title(), opened.sentence);
    let end = summary.floor_char_boundary(SUMMARY_MAX);
    summary.truncate(end);
    let labels: serde_json::Map<String, Value> = labels
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    event["payload"] = json!({
        "summary": summary,
        "source": "plimsoll",
        "severity": match opened.severity {
            Calls::Page => "critical",
            Calls::Ticket => "warning",
        },
        "timestamp": civil::moment(telling.alert.opened_at),
        "component": opened.objective,
        "class": "error budget burn",
        "custom_details": {
            "stands_out": opened.stands_out.iter().map(stands_out).collect::<Vec<_>>(),
            "changes": opened.changes,
            "examples": opened.examples.iter().map(example_line).collect::<Vec<_>>(),
            "incident": telling.incident,
            "labels": labels,
        },
    });
    let links = [("runbook", opened.runbook.clone()), ("Plimsoll", telling.link())];
    let links = links
        .into_iter()
        .filter_map(|(text, href)| Some(json!({ "href": href?, "text": text })));
    event["links"] = links.collect();
    if let Some(link) = telling.link() {
        event["client"] = "Plimsoll".into();
        event["client_url"] = link.into();
    }
    event
}
