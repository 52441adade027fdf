//! One objective: how it stands, how it came to that, and what was done about it.

use plimsoll_slo::Budget;

use super::super::{Field, Figure, Form, Page, ROWS_MAX, View};
use super::{standing, table};
use crate::api::ROOT;
use crate::civil;
use crate::reading::ObjectiveReading;
use crate::record::State;
use crate::record::alerts::Alert;
use crate::status::tables::{Table, asked, percent};

pub(in super::super) fn page(view: &View<'_>, name: &str) -> Option<Page> {
    let reading = view.objectives.iter().find(|reading| *reading.name == *name)?;
    let (verdict, state) = (&reading.verdict, view.state);
    let (word, mood) = standing(reading);
    let mut facts = vec![
        format!("{}.", verdict.sentence()),
        format!(
            "Asked: {} in {}, by {}, seen from the {}. Measured: {} of it. What may be risked: {}.",
            asked(&verdict.objective),
            reading.window,
            verdict.objective.budgeting.word(),
            reading.vantage,
            percent(verdict.window.coverage()),
            reading.rung.word()
        ),
    ];
    facts.extend(
        reading
            .runbook
            .iter()
            .map(|runbook| format!("Runbook: {runbook}")),
    );
    if let Some(journeys) = view.status.journeys.iter().find(|row| row.objective == name) {
        facts.push(format!(
            "Each event is a journey. Since the start {} are under way, {} were left without having met anything bad, and {} requests did not say which they belong to.",
            journeys.under_way, journeys.left, journeys.no_key
        ));
    }
    if let Some(fresh) = view.status.freshness.iter().find(|row| row.objective == name) {
        let oldest = fresh
            .oldest_seconds
            .map_or_else(String::new, |seconds| format!(", the oldest for {seconds:.0} s"));
        facts.push(format!(
            "{} events are committed and not seen yet{oldest}.",
            fresh.waiting
        ));
    }
    if let Some(silence) = state.silences.of(name, view.now) {
        let (author, until) = (&silence.author, civil::moment(silence.until));
        facts.push(format!("Silenced by {author} until {until}: {}", silence.reason));
    }
    Some(Page {
        facts,
        forms: vec![silence(name)],
        figures: figures(reading),
        tables: vec![
            burns(reading),
            budgets(reading),
            alerts(name, state),
            corrections(name, state),
        ],
        ..Page::new(format!("{name} {word}"), mood)
    })
}

/// The charts, each with what it shows in words.
fn figures(reading: &ObjectiveReading) -> Vec<Figure> {
    let name = &reading.name;
    let left = reading
        .verdict
        .left()
        .map_or_else(|| "not known".to_owned(), percent);
    vec![
        Figure {
            title: "Budget left, over the window",
            chart: "budget",
            source: format!("{ROOT}/objectives/{name}/history"),
            says: format!("By now it is {left}."),
        },
        Figure {
            title: "Burn, by the windows of each rule; a rule calls when both are above 1",
            chart: "burns",
            source: format!("{ROOT}/objectives/{name}"),
            says: "The same is in the table of burns.".to_owned(),
        },
        Figure {
            title: "How long requests took in the last hour; dots are requests that failed",
            chart: "latency",
            source: format!("{ROOT}/objectives/{name}/latency"),
            says: "Quantiles of the last seconds are on the page of traffic.".to_owned(),
        },
    ]
}

fn silence(name: &str) -> Form {
    Form {
        action: "/silences".to_owned(),
        button: "Silence",
        fields: vec![
            Field::Given("objective", name.to_owned()),
            Field::Choice("minutes", "for", &SILENCES),
            Field::Line("reason", "because"),
        ],
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
