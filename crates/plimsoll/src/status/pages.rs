//! The pages that alerts lead to: an objective, an incident, all incidents. Read as HTML or as text, like the status.

use plimsoll_slo::{Budget, State as Met};

use super::html;
use super::tables::{Table, exact_percent, percent};
use super::text;
use crate::access::Caller;
use crate::alerting::{example_line, stands_out};
use crate::api::ROOT;
use crate::civil;
use crate::reading::ObjectiveReading;
use crate::record::alerts::Alert;
use crate::record::incidents::Incident;
use crate::record::{State, who};

/// A page, before it is HTML or text.
pub(crate) struct Page {
    pub(super) headline: String,
    /// How it stands: `fine`, `attention` or `leaving`, which is a colour and a shape.
    pub(super) class: &'static str,
    /// Sentences below the headline.
    pub(super) facts: Vec<String>,
    pub(super) tables: Vec<Table>,
    /// What may be done from here by whoever may.
    pub(super) forms: Vec<Form>,
}

/// Something that may be done: what it is sent to, and the button that does it.
pub(super) struct Form {
    pub(super) action: String,
    pub(super) button: &'static str,
    pub(super) fields: Vec<Field>,
}

/// A field of a form.
pub(super) enum Field {
    /// Filled in here.
    Given(&'static str, String),
    /// A line that somebody writes, under its label.
    Line(&'static str, &'static str),
    /// One of several numbers, each in words.
    Choice(&'static str, &'static str, &'static [(u32, &'static str)]),
}

impl Page {
    /// As HTML, at a path, for whoever asks: with what may be done from here if it is not only read.
    pub(crate) fn to_html(&self, path: &str, caller: Option<&Caller>) -> String {
        html::page_of(self, path, caller)
    }

    pub(crate) fn to_text(&self) -> String {
        text::page_of(self)
    }
}

/// Rows of a page that may have many.
const ROWS_MAX: usize = 50;

fn table(title: &str, head: &[&str], rows: Vec<Vec<String>>, nothing: &'static str) -> Table {
    let head = head.iter().map(|name| (*name).to_owned()).collect();
    Table {
        title: title.to_owned(),
        rows: [vec![head], rows].concat(),
        nothing,
        latest: Vec::new(),
    }
}

/// What is asked of one objective, and how it stands.
pub(crate) fn objective(reading: &ObjectiveReading, state: &State, now: u64) -> Page {
    let verdict = &reading.verdict;
    let name = &*reading.name;
    let word = verdict.calls.map_or(verdict.state.word(), |calls| match calls {
        plimsoll_slo::Severity::Page => "pages",
        plimsoll_slo::Severity::Ticket => "asks for a ticket",
    });
    let mut facts = vec![
        format!("{}.", verdict.sentence()),
        format!(
            "Asked: {} in {}, by {}. What may be risked: {}.",
            exact_percent(verdict.objective.target.share()),
            reading.window,
            verdict.objective.budgeting.word(),
            reading.rung.word()
        ),
    ];
    facts.extend(
        reading
            .runbook
            .iter()
            .map(|runbook| format!("Runbook: {runbook}")),
    );
    if let Some(silence) = state.silences.of(name, now) {
        let (author, until) = (&silence.author, civil::moment(silence.until));
        facts.push(format!("Silenced by {author} until {until}: {}", silence.reason));
    }
    Page {
        headline: format!("{name} {word}"),
        class: match (verdict.calls, verdict.state) {
            (None, Met::Met) => "fine",
            (None, Met::Unknown) => "leaving",
            _ => "attention",
        },
        facts,
        tables: vec![
            burns(reading),
            budgets(reading),
            alerts(name, state),
            corrections(name, state),
        ],
        forms: vec![Form {
            action: "/silences".to_owned(),
            button: "Silence",
            fields: vec![
                Field::Given("objective", name.to_owned()),
                Field::Choice("minutes", "for", &SILENCES),
                Field::Line("reason", "because"),
            ],
        }],
    }
}

/// How long a silence may be, from a page.
const SILENCES: [(u32, &str); 5] = [
    (30, "30 minutes"),
    (60, "an hour"),
    (240, "4 hours"),
    (1_440, "a day"),
    (10_080, "a week"),
];

fn burns(reading: &ObjectiveReading) -> Table {
    let shown = |burn: Option<f64>| burn.map_or_else(|| "-".to_owned(), |burn| format!("{burn:.1}"));
    let rows = reading.verdict.burns.iter().map(|(rule, burning)| {
        vec![
            rule.severity.word().to_owned(),
            format!("{} min", rule.long.as_secs() / 60),
            shown(burning.long),
            format!("{} min", rule.short.as_secs() / 60),
            shown(burning.short),
            format!("{:.1}", rule.factor),
            burning.phase.word().to_owned(),
        ]
    });
    let head = [
        "calls",
        "long window",
        "burn",
        "short window",
        "burn",
        "fires at",
        "state",
    ];
    table("Burn", &head, rows.collect(), "no rule")
}

fn budgets(reading: &ObjectiveReading) -> Table {
    let verdict = &reading.verdict;
    let of = |what: &str, budget: &Budget| {
        vec![
            what.to_owned(),
            budget.left().map_or_else(|| "-".to_owned(), percent),
            format!("{:.1}", budget.allowed),
            format!("{:.1}", budget.bad),
        ]
    };
    let mut rows = vec![of("earned so far", &verdict.budget)];
    rows.extend(
        verdict
            .forecast
            .iter()
            .map(|budget| of("whole period, by forecast", budget)),
    );
    rows.extend(
        verdict
            .as_counted
            .iter()
            .map(|budget| of("as counted, without corrections", budget)),
    );
    table("Budget", &["of", "left", "may be bad", "were bad"], rows, "")
}

fn alerts(name: &str, state: &State) -> Table {
    let of = state.alerts.all().filter(|alert| alert.opened.objective == name);
    let rows = of.take(ROWS_MAX).map(|alert: &Alert| {
        let incident = state.incidents.of_alert(&alert.id);
        vec![
            alert.id.to_string(),
            civil::moment(alert.opened_at),
            alert
                .closed
                .as_ref()
                .map_or_else(|| "open".to_owned(), |(at, _)| civil::moment(*at)),
            incident.map_or_else(|| "-".to_owned(), |incident| incident.id.to_string()),
            alert.opened.sentence.clone(),
        ]
    });
    let head = ["alert", "opened", "closed", "incident", "verdict when it opened"];
    table("Alerts", &head, rows.collect(), "none")
}

fn corrections(name: &str, state: &State) -> Table {
    let of = state.corrections.all().filter(|(_, made)| made.objective == name);
    let rows = of.take(ROWS_MAX).map(|(_, made)| {
        vec![
            civil::moment(60_000 * made.correction.from),
            civil::moment(60_000 * made.correction.to),
            made.author.to_string(),
            made.reason.clone(),
        ]
    });
    table(
        "Corrections",
        &["from", "to", "by", "because"],
        rows.collect(),
        "none",
    )
}

/// One incident: its clocks, what was seen, what was done.
pub(crate) fn incident(incident: &Incident, state: &State) -> Page {
    let clocks = incident.clocks();
    let began = civil::moment(incident.began);
    let took = [
        ("detected", clocks.to_detect),
        ("acknowledged", clocks.to_acknowledge),
        ("mitigated", clocks.to_mitigate),
        ("resolved", clocks.to_resolve),
    ];
    let took = took.map(|(what, span)| vec![what.to_owned(), civil::span(span)]);
    let of = || incident.alerts.iter().filter_map(|id| state.alerts.get(id));
    // Alerts of one incident know much of the same.
    let once = |all: &dyn Fn(&Alert) -> Vec<String>| {
        let mut lines: Vec<String> = Vec::new();
        for line in of().flat_map(all) {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.into_iter().map(|line| vec![line]).collect::<Vec<_>>()
    };
    let out = once(&|alert| alert.opened.stands_out.iter().map(stands_out).collect());
    let changes = once(&|alert| alert.opened.changes.clone());
    let examples = once(&|alert| alert.opened.examples.iter().map(example_line).collect());
    let runbooks = once(&|alert| {
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
    Page {
        headline: format!("Incident {} is {}", incident.id, incident.phase()),
        class: match incident.phase() {
            "resolved" => "fine",
            "mitigated" => "leaving",
            _ => "attention",
        },
        facts,
        tables: vec![
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
        ],
        forms: steps(incident),
    }
}

/// What may be done about it, the next step first.
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
    let note = of(
        "notes",
        "Note",
        vec![Field::Line("text", "what was seen or done")],
    );
    steps.chain([note]).collect()
}

/// Everything that people did.
pub(crate) fn audit(state: &State) -> Page {
    let rows = state.audit.all().take(ROWS_MAX).map(|deed| {
        let about = if deed.about == deed.id { "-" } else { &*deed.about };
        vec![
            civil::moment(deed.at),
            deed.author.to_string(),
            deed.did.clone(),
            about.to_owned(),
        ]
    });
    Page {
        headline: "What people did".to_owned(),
        class: "fine",
        facts: vec![format!(
            "The latest {ROWS_MAX}; {ROOT}/audit has more, and the state file all of the last 400 days."
        )],
        tables: vec![table(
            "Audit",
            &["at", "who", "did", "about"],
            rows.collect(),
            "nothing yet",
        )],
        forms: Vec::new(),
    }
}

/// What a form was refused with.
pub(crate) fn refusal(title: &str, detail: &str) -> Page {
    Page {
        headline: title.to_owned(),
        class: "attention",
        facts: vec![detail.to_owned()],
        tables: Vec::new(),
        forms: Vec::new(),
    }
}

/// All incidents that are remembered.
pub(crate) fn incidents(state: &State) -> Page {
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
    Page {
        headline: match open {
            0 => "No incident is open".to_owned(),
            1 => "One incident is open".to_owned(),
            many => format!("{many} incidents are open"),
        },
        class: if open == 0 { "fine" } else { "attention" },
        facts: Vec::new(),
        tables: vec![table("Incidents", &head, rows.collect(), "none")],
        forms: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::entry::{Calls, Opened};
    use crate::record::{Record, Said};
    use crate::watching::begin;

    #[test]
    fn what_several_alerts_know_is_said_once() {
        let (record, noon) = (
            Record::new("plimsoll/one".into(), false),
            Duration::from_mins(29_924_410),
        );
        for objective in ["checkout", "search"] {
            let opened = Opened {
                objective: objective.to_owned(),
                severity: Calls::Page,
                changes: vec!["20:02:00Z: the breaker of tax tripped".to_owned()],
                runbook: Some("https://wiki.example/slow".to_owned()),
                ..Opened::default()
            };
            let alert = begin(&record, noon, opened).to_string();
            let said = match objective {
                "checkout" => Said::IncidentOpened {
                    alert,
                    began: noon.as_secs() - 90,
                },
                _ => Said::IncidentJoined { alert },
            };
            record.say(noon, Some("checkout-1"), said);
        }
        let page = record.read(|state| incident(state.incidents.get("checkout-1").unwrap(), state));
        let (text, html) = (page.to_text(), page.to_html("/incidents/checkout-1", None));
        assert!(text.starts_with("Incident checkout-1 is open\nIt began at 2026-11-23T20:08:30.000Z, and is about checkout, search.\n"), "{text}");
        for said in [&text, &html] {
            assert_eq!(said.matches("the breaker of tax tripped").count(), 1, "{said}");
            assert_eq!(said.matches("Runbook: ").count(), 1, "{said}");
        }
        assert!(html.contains("<a href=\"https://wiki.example/slow\">"), "{html}");
        assert!(text.contains("detected") && text.contains("1 min 30 s"), "{text}");
    }
}
