//! One objective: how it stands, how it came to that, and what was done about it.

use std::time::Duration;

use plimsoll_slo::{Budget, Budgeting, Target, Verdict};

use super::super::{Field, Figure, Form, Page, ROWS_MAX, View};
use super::{standing, table};
use crate::api::ROOT;
use crate::api::history::Latencies;
use crate::civil;
use crate::heat;
use crate::reading::ObjectiveReading;
use crate::record::State;
use crate::record::alerts::Alert;
use crate::status::tables::{Table, asked, exact_percent, percent};

pub(in super::super) fn page(view: &View<'_>, name: &str) -> Option<Page> {
    let reading = view.objectives.iter().find(|reading| *reading.name == *name)?;
    let (verdict, state) = (&reading.verdict, view.state);
    let (word, mood) = standing(reading);
    let mut facts = vec![
        format!("{}.", verdict.sentence()),
        format!(
            "Asked: {} in {}, by {}, seen from the {}{}. Measured: {} of it. What may be risked: {}.",
            asked(&verdict.objective),
            reading.window,
            verdict.objective.budgeting.word(),
            reading.vantage,
            sampled(reading.sampling),
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
    if !reading.members.is_empty() {
        let members = reading
            .members
            .iter()
            .map(|(member, weight)| format!("{member} (weight {weight})"));
        let members: Vec<_> = members.collect();
        facts.push(format!(
            "It is made of {}, and spends what they spend.",
            members.join(", ")
        ));
    }
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
            breakdown(view),
            burns(reading),
            budgets(reading),
            targets(reading),
            latencies(view),
            changes(view),
            alerts(name, state),
            corrections(name, state),
        ],
        ..Page::new(format!("{name} {word}"), mood)
    })
}

/// What of all events is counted, if not all are.
fn sampled(sampling: f64) -> String {
    if sampling < 1.0 {
        format!(", of which {} is reported", exact_percent(sampling))
    } else {
        String::new()
    }
}

/// The charts, each with what it shows in words.
fn figures(reading: &ObjectiveReading) -> Vec<Figure> {
    let name = &reading.name;
    let left = reading
        .verdict
        .left()
        .map_or_else(|| "not known".to_owned(), percent);
    let mut figures = vec![
        Figure {
            title: "Budget left, over the window; triangles are changes",
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
    ];
    let objective = &reading.verdict.objective;
    if objective.budgeting == Budgeting::Occurrences {
        let target = form_urlencoded::byte_serialize(
            exact_percent(objective.target.share())
                .replace(' ', "")
                .as_bytes(),
        )
        .collect::<String>();
        figures.push(Figure {
            title: "With another target",
            chart: "whatIf",
            source: format!("{ROOT}/objectives/{name}/what-if?target={target}"),
            says: "Some are in the table.".to_owned(),
        });
    }
    figures
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

/// Of what those that fail are made, and of what all are.
fn breakdown(view: &View<'_>) -> Table {
    let rows = view.breakdown.iter().map(|part| {
        let events = match part.dimension {
            "reason" => "-".to_owned(),
            _ => part.counts.total().to_string(),
        };
        vec![
            part.dimension.to_owned(),
            part.value.clone(),
            events,
            part.counts.bad.to_string(),
            percent(part.share),
            part.lift
                .map_or_else(|| "-".to_owned(), |lift| format!("{lift:.1}")),
        ]
    });
    let head = ["by", "of", "requests", "failed", "of all that failed", "lift"];
    table(
        "What it is made of, in the last hour",
        &head,
        rows.collect(),
        "no request",
    )
}

/// Targets that others promise, beside its own.
const TARGETS: [f64; 6] = [0.9, 0.99, 0.995, 0.999, 0.9995, 0.9999];

/// What would be left with another target. What it would have called for takes longer to say: that is asked by hand.
fn targets(reading: &ObjectiveReading) -> Table {
    let Verdict {
        objective, window, ..
    } = &reading.verdict;
    let is_share = objective.budgeting == Budgeting::Occurrences && window.counts.total() > 0;
    let own = objective.target.share();
    let mut targets: Vec<f64> = TARGETS
        .iter()
        .copied()
        .filter(|share| (share - own).abs() > 1e-9)
        .collect();
    targets.push(own);
    targets.sort_unstable_by(f64::total_cmp);
    let rows = targets.into_iter().filter(|_| is_share).filter_map(|share| {
        let budget = Budget::of_events(Target::new(share).ok()?, window.counts);
        let is_own = if (share - own).abs() < 1e-9 {
            " (its own)"
        } else {
            ""
        };
        Some(vec![
            format!("{}{is_own}", exact_percent(share)),
            budget.left().map_or_else(|| "-".to_owned(), percent),
            format!("{:.1}", budget.allowed),
            format!("{:.0}", budget.bad),
        ])
    });
    let head = ["target", "would be left", "might be bad", "were bad"];
    table("With another target", &head, rows.collect(), "not known")
}

/// How many requests of the last hour would have been too slow for another latency. What is between two bounds is not
/// known, so it is read at these.
fn latencies(view: &View<'_>) -> Table {
    let seen = view.latencies.as_ref().filter(|seen| seen.limit_ms.is_some());
    let limit = seen.and_then(|seen| seen.limit_ms).unwrap_or_default() as f64;
    let counts = seen.map_or_else(Vec::new, Latencies::sums);
    let total: u64 = counts.iter().sum();
    let mut within = 0;
    let rows = heat::bounds().zip(&counts).filter_map(|(bound, count)| {
        let before = within;
        within += count;
        let millis = 1_000.0 * bound.as_secs_f64();
        // From where some are quick enough to where all are, and around its own.
        let is_near = (limit / 4.0..=limit * 4.0).contains(&millis);
        let tells = within > 0 && before < total;
        (total > 0 && (tells || is_near)).then(|| {
            let slower = total - within;
            vec![
                format!("{millis:.0} ms"),
                slower.to_string(),
                percent(slower as f64 / total as f64),
            ]
        })
    });
    let head = ["latency", "took longer", "of all"];
    table(
        "With another latency, in the last hour",
        &head,
        rows.collect(),
        "it has none, or nothing happened",
    )
}

fn changes(view: &View<'_>) -> Table {
    let all = view.state.changes(view.now, CHANGES_WITHIN).take(ROWS_MAX);
    let rows = all.map(|(at, what)| vec![civil::moment(at), what.into_owned()]);
    table(
        "What changed in the last day",
        &["at", "what"],
        rows.collect(),
        "nothing that is known",
    )
}

const CHANGES_WITHIN: Duration = Duration::from_hours(24);

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
