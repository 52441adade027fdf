//! What is told of a running Plimsoll: computed once, and read as JSON, as text, by `plimsoll status`, and on the pages of the
//! [`dashboard`](crate::dashboard).
//!
//! Whoever looks here at 02:14 asks in this order: does it carry traffic, who is hurt, what protects already, what
//! changed, what is full. So that is the order of a [`Status`]. It knows nothing that is not in the reading: a figure
//! that is not known is absent, and never shown as good.

pub(crate) mod attention;
mod json;
mod routes;
pub(crate) mod tables;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod text;
mod watched;

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_slo::{Reason, TallySnapshot};

use self::json::record;
use self::tables::{asked, share_asked};
use self::watched::{ClientErrors, Journey, Unseen};
use crate::civil;
use crate::exemplars::Exemplar;
use crate::metrics::Scrape;
use crate::reading::{
    IncidentReading, ObjectiveReading, Phase, Series, TargetReading, UpstreamReading, breaker_word,
};

pub(crate) use self::json::Json;
pub(crate) use self::text::{headline, text, up};
pub(crate) use self::watched::Kpi;

/// How far back the figures reach.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);

record! {
    /// Everything that is told.
    pub(crate) struct Status {
        version: String,
        /// `serving`, `draining` or `stopped`.
        state: String,
        /// Sentences about what is not as it should be, the worst first; none if all is well.
        attention: Vec<String>,
        /// When this was read, UTC.
        at: String,
        up_seconds: Option<u64>,
        /// How long the window of the figures really was; 0 when there are none yet.
        window_seconds: f64,
        objectives: Vec<Objective>,
        /// Incidents that are not resolved, the latest first.
        incidents: Vec<Incident>,
        /// Whom alerts are told to.
        targets: Vec<Target>,
        /// Facts that are not written down yet, and facts that never will be.
        facts_unwritten: u64,
        facts_lost: u64,
        /// What is judged cannot be written down, and a restart would forget it.
        state_failing: bool,
        traffic: Vec<Traffic>,
        /// What was refused or repeated in the window, and how often.
        acted: Vec<Acted>,
        upstreams: Vec<Upstream>,
        hedging: Vec<Hedging>,
        /// Routes of which anything is known.
        client_errors: Vec<ClientErrors>,
        kpis: Vec<Kpi>,
        journeys: Vec<Journey>,
        freshness: Vec<Unseen>,
        listeners: Vec<Listener>,
        config: Config,
        saturation: Full,
        telemetry: Told,
    }

    /// An objective, and what the judge says of it.
    pub(crate) struct Objective {
        name: String,
        /// The share that is to be good; absent if so many may be bad.
        target: Option<f64>,
        /// The same in words: `99.9 %`, `at most 3 bad`.
        asked: String,
        /// How long its window is, or usually is if it is a period of the calendar.
        period_seconds: u64,
        /// The same in words: `30d`, `month`, `week in Europe/London`.
        window: String,
        /// What the budget is spent by: `occurrences`, `timeslices` or `ratio-timeslices`.
        budgeting: String,
        /// `met`, `missed` or `unknown`.
        state: String,
        /// `page` or `ticket`; absent when it calls nobody.
        calls: Option<String>,
        /// The verdict in one sentence.
        verdict: String,
        /// Events of the whole period that count.
        good: u64,
        bad: u64,
        /// The share of the budget that is left, less than 0 if it is overspent; absent when nothing is known. Of a period
        /// that is forecast, of all of it.
        budget_left: Option<f64>,
        /// The same of what was earned so far, if that is another one.
        budget_left_of_earned: Option<f64>,
        /// The same of what was counted, before corrections, if there are any.
        budget_left_as_counted: Option<f64>,
        /// Until the budget is spent, if it goes on as in the last five minutes; absent if it outlasts the period.
        spent_in_seconds: Option<u64>,
        /// What may be risked: `free`, `careful`, `restricted` or `frozen`.
        policy: String,
        burns: Vec<Burn>,
        /// Evidence for more failures than may be, over what a page needs.
        evidence: f64,
        /// Of the period, the share that was measured.
        coverage: f64,
    }

    /// An incident that is not resolved.
    pub(crate) struct Incident {
        id: String,
        /// `open`, `acknowledged` or `mitigated`.
        phase: String,
        /// When it began, UTC.
        began: String,
        objectives: Vec<String>,
    }

    /// Somebody who is told of alerts.
    pub(crate) struct Target {
        name: String,
        /// Alerts that it should know of and does not.
        waiting: u64,
        /// Why it did not take the last message; empty if it did.
        failing: String,
    }

    /// A burn-rate rule, and how it stands.
    pub(crate) struct Burn {
        severity: String,
        /// Its windows.
        long_seconds: u64,
        short_seconds: u64,
        /// How many times faster than the budget lasts it is spent in them; absent if nothing happened.
        long: Option<f64>,
        short: Option<f64>,
        /// From where on it calls.
        factor: f64,
        /// `fine`, `rising`, `critical` or `recovering`.
        phase: String,
    }

    /// A route and tier in the window.
    pub(crate) struct Traffic {
        listener: String,
        route: String,
        tier: String,
        requests: u64,
        per_second: f64,
        /// Of those that count, the share that was good; absent when none counted.
        good_share: Option<f64>,
        p50_ms: Option<f64>,
        p95_ms: Option<f64>,
        p99_ms: Option<f64>,
        /// What was not good, the most frequent first.
        not_good: Vec<Count>,
        /// The latest request that was bad, in the window or before.
        latest_bad: Option<Example>,
    }

    pub(crate) struct Count {
        reason: String,
        count: u64,
    }

    /// A request that can be looked up in log and traces.
    pub(crate) struct Example {
        reason: String,
        at: String,
        request_id: String,
        trace_id: String,
    }

    pub(crate) struct Acted {
        what: String,
        count: u64,
    }

    pub(crate) struct Upstream {
        name: String,
        version: String,
        /// `passing`, `tripped` or `probing`; absent without a breaker.
        breaker: Option<String>,
        breaker_trips: u64,
        in_flight: u64,
        in_flight_max: u64,
        /// The adaptive limit; absent while it is out of the way, or off.
        limit: Option<u64>,
        /// Requests that wait for a slot.
        waiting: u64,
        /// `free`, `bound` or `off`.
        pressure: String,
        retry_tokens: f64,
        resolve_error: String,
        endpoints: Vec<Endpoint>,
    }

    pub(crate) struct Endpoint {
        address: String,
        /// `up`, `down` or `ejected`.
        state: String,
        pending: u64,
        connections: u64,
        attempts: u64,
        failures: u64,
    }

    /// A route that is hedged, and what that did since the start.
    pub(crate) struct Hedging {
        listener: String,
        route: String,
        /// How long a first attempt is waited for; absent while that is not known.
        after_ms: Option<f64>,
        won: u64,
        lost: u64,
        failed: u64,
        abandoned: u64,
        /// Late requests that were not hedged, by why.
        refused: Vec<Count>,
    }

    pub(crate) struct Listener {
        name: String,
        address: String,
        connections: u64,
        connections_max: u64,
        connections_refused: u64,
    }

    pub(crate) struct Config {
        generation: u64,
        applied_at: String,
        reloads_applied: u64,
        reloads_refused: u64,
        /// Keys that a reload changed and that have no effect before the next start.
        at_next_start: Vec<String>,
        /// Why the last reload was refused.
        problems: Vec<String>,
        /// What is wrong with objectives and figures that are not judged for it.
        broken: Vec<String>,
    }

    /// How full the process and the machine are.
    pub(crate) struct Full {
        cpu_seconds: Option<f64>,
        cpu_limit_cores: Option<f64>,
        memory_bytes: Option<u64>,
        memory_limit_bytes: Option<u64>,
        /// `ample`, `tight`, `scarce` or `full`: how near what we hold is to `limits.memory`.
        memory_level: String,
        memory_held_bytes: u64,
        /// Absent when `limits.memory` is off.
        memory_held_max_bytes: Option<u64>,
        open_fds: Option<u64>,
        max_fds: Option<u64>,
        pressure: Vec<Pressure>,
    }

    pub(crate) struct Pressure {
        resource: String,
        some: f64,
        full: Option<f64>,
    }

    /// What telemetry lost since the start.
    pub(crate) struct Told {
        events_dropped: u64,
        lines_dropped: u64,
        lines_suppressed: u64,
        spans_sent: u64,
        spans_dropped: u64,
        /// The collector does not take them.
        spans_failing: bool,
        /// Data points of metrics.
        points_sent: u64,
        points_dropped: u64,
        points_failing: bool,
    }
}

/// The words for attempts beyond the first.
const RETRIED: &str = "retried or hedged";

/// Reasons that say that Plimsoll protected somebody, and the words for it.
const PROTECTIONS: [(Reason, &str); 14] = [
    (Reason::Shed, "shed: the upstream could do no more"),
    (Reason::BreakerTripped, "refused by a tripped breaker"),
    (Reason::NoEndpoint, "refused for want of an endpoint"),
    (Reason::BulkheadFull, "refused by a full bulkhead"),
    (Reason::Overloaded, "refused at capacity"),
    (Reason::MemoryFull, "refused for want of memory"),
    (Reason::RateLimited, "refused by a rate limit"),
    (Reason::DeadlineUnmeetable, "refused because too late already"),
    (Reason::Draining, "refused while draining"),
    (Reason::SlowRequest, "cut off for arriving too slowly"),
    (Reason::BodyTooLarge, "refused for too large a body"),
    (Reason::HeadTooLarge, "refused for too large a head"),
    (Reason::AmbiguousFraming, "refused for ambiguous framing"),
    (Reason::FaultInjected, "answered by an injected fault"),
];

impl Status {
    /// Computes it.
    pub(crate) fn of(scrape: &Scrape<'_>) -> Self {
        let (reading, saturation) = (scrape.reading, scrape.saturation);
        let seconds = scrape.window.length.as_secs_f64();
        let started = saturation
            .start_seconds
            .map(|start| (reading.wall.as_secs_f64() - start).max(0.0) as u64);
        let mut status = Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: reading.phase.word().to_owned(),
            attention: Vec::new(),
            at: civil::rfc3339_millis(reading.wall),
            up_seconds: started,
            window_seconds: seconds,
            objectives: reading.objectives.iter().map(objective).collect(),
            incidents: reading.incidents.iter().map(incident).collect(),
            targets: reading.targets.iter().map(target).collect(),
            facts_unwritten: reading.record.unwritten,
            facts_lost: reading.record.lost,
            state_failing: reading.state_failing,
            traffic: traffic(scrape),
            acted: acted(&scrape.window.series),
            upstreams: reading.upstreams.iter().map(upstream).collect(),
            hedging: reading.hedges.iter().map(routes::hedging).collect(),
            client_errors: reading
                .watched
                .rises
                .iter()
                .filter_map(watched::client_errors)
                .collect(),
            kpis: reading.watched.falls.iter().map(Kpi::of).collect(),
            journeys: reading.journeys.iter().map(watched::journey).collect(),
            freshness: reading.freshness.iter().map(watched::unseen).collect(),
            listeners: listeners(scrape),
            config: config(scrape),
            saturation: full(scrape),
            telemetry: told(scrape),
        };
        status.attention = attention::sentences(&status);
        status
    }

    /// Why no traffic should be sent here; `None` if it should.
    pub(crate) fn not_ready(reading: &crate::reading::Reading) -> Option<&'static str> {
        match reading.phase {
            Phase::Draining => Some("draining: no new requests are taken"),
            Phase::Stopped => Some("stopped"),
            Phase::Serving
                if reading
                    .listeners
                    .iter()
                    .all(|listener| listener.address.is_empty()) =>
            {
                Some("no listener is up")
            }
            Phase::Serving => None,
        }
    }
}

fn objective(reading: &ObjectiveReading) -> Objective {
    let verdict = &reading.verdict;
    let burns = verdict.burns.iter().map(|(rule, burning)| Burn {
        severity: rule.severity.word().to_owned(),
        long_seconds: rule.long.as_secs(),
        short_seconds: rule.short.as_secs(),
        long: burning.long,
        short: burning.short,
        factor: rule.factor,
        phase: burning.phase.word().to_owned(),
    });
    Objective {
        name: reading.name.to_string(),
        target: share_asked(&verdict.objective),
        asked: asked(&verdict.objective),
        period_seconds: verdict.objective.window.length().as_secs(),
        window: reading.window.to_string(),
        budgeting: verdict.objective.budgeting.word().to_owned(),
        state: verdict.state.word().to_owned(),
        calls: verdict.calls.map(|severity| severity.word().to_owned()),
        verdict: verdict.sentence().to_string(),
        good: verdict.window.counts.good,
        bad: verdict.window.counts.bad,
        budget_left: verdict.left(),
        budget_left_of_earned: verdict.forecast.and(verdict.budget.left()),
        budget_left_as_counted: verdict.as_counted.and_then(|budget| budget.left()),
        spent_in_seconds: verdict.time_left.map(|left| left.as_secs()),
        policy: reading.rung.word().to_owned(),
        burns: burns.collect(),
        evidence: verdict.evidence,
        coverage: verdict.window.coverage(),
    }
}

fn incident(reading: &IncidentReading) -> Incident {
    Incident {
        id: reading.id.to_string(),
        phase: reading.phase.to_owned(),
        began: civil::moment(reading.began),
        objectives: reading.objectives.clone(),
    }
}

fn target(reading: &TargetReading) -> Target {
    Target {
        name: reading.name.to_string(),
        waiting: reading.waiting as u64,
        failing: reading.failing.clone().unwrap_or_default(),
    }
}

/// Routes and tiers, whatever the upstream and version; the latest bad request of any of them.
fn traffic(scrape: &Scrape<'_>) -> Vec<Traffic> {
    type Row<'a> = (TallySnapshot, Option<&'a Exemplar>);
    let mut rows: BTreeMap<(&str, &str, &str), Row<'_>> = BTreeMap::new();
    for (key, tally) in &scrape.window.series {
        let row = rows.entry((&key.listener, &key.route, &key.tier)).or_default();
        row.0.merge(tally);
        let latest = scrape.exemplars.latest_bad(key);
        row.1 = row.1.into_iter().chain(latest).max_by_key(|exemplar| exemplar.at);
    }
    let seconds = scrape.window.length.as_secs_f64();
    let row = |((listener, route, tier), (tally, latest)): ((&str, &str, &str), Row<'_>)| {
        let counted = tally.good + tally.bad_total();
        let quantile = |q| Some(tally.latency.quantile(q)?.as_secs_f64() * 1000.0);
        Traffic {
            listener: listener.to_owned(),
            route: route.to_owned(),
            tier: tier.to_owned(),
            requests: tally.total(),
            per_second: if seconds > 0.0 {
                tally.total() as f64 / seconds
            } else {
                0.0
            },
            good_share: (counted > 0).then(|| tally.good as f64 / counted as f64),
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            not_good: not_good(&tally),
            latest_bad: latest.map(example),
        }
    };
    rows.into_iter().map(row).collect()
}

fn not_good(tally: &TallySnapshot) -> Vec<Count> {
    let count = |reason: &Reason| Count {
        reason: reason.code().to_owned(),
        count: tally.bad[reason.index()] + tally.excluded[reason.index()],
    };
    let mut counts: Vec<Count> = Reason::ALL
        .iter()
        .map(count)
        .filter(|count| count.count > 0)
        .collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.count));
    counts
}

fn example(exemplar: &Exemplar) -> Example {
    Example {
        reason: exemplar.bad.map_or("", Reason::code).to_owned(),
        at: civil::rfc3339_millis(exemplar.at),
        request_id: exemplar.request_id.to_string(),
        trace_id: format!("{:032x}", exemplar.trace_id),
    }
}

/// What protections did in the window.
fn acted(series: &[Series]) -> Vec<Acted> {
    let sum = |count: &dyn Fn(&TallySnapshot) -> u64| series.iter().map(|(_, tally)| count(tally)).sum();
    let retries = Acted {
        what: RETRIED.to_owned(),
        count: sum(&|tally| tally.retries),
    };
    let refusals = PROTECTIONS.iter().map(|(reason, what)| Acted {
        what: (*what).to_owned(),
        count: sum(&|tally| tally.bad[reason.index()] + tally.excluded[reason.index()]),
    });
    std::iter::once(retries)
        .chain(refusals)
        .filter(|acted| acted.count > 0)
        .collect()
}

fn upstream(reading: &UpstreamReading) -> Upstream {
    let endpoints = reading.endpoints.iter().map(|endpoint| Endpoint {
        address: endpoint.address.clone(),
        state: match (endpoint.healthy, endpoint.ejected) {
            (false, _) => "down",
            (true, true) => "ejected",
            (true, false) => "up",
        }
        .to_owned(),
        pending: endpoint.pending.into(),
        connections: endpoint.connections.into(),
        attempts: endpoint.attempts,
        failures: endpoint.failures,
    });
    Upstream {
        name: reading.name.to_string(),
        version: reading.version.to_string(),
        breaker: reading.breaker.map(|state| breaker_word(state).to_owned()),
        breaker_trips: reading.breaker_trips,
        in_flight: reading.in_flight.into(),
        in_flight_max: reading.in_flight_max.into(),
        limit: reading
            .admission
            .and_then(|admission| admission.limit)
            .map(u64::from),
        waiting: reading.admission.map_or(0, |admission| admission.waiting.into()),
        pressure: reading
            .admission
            .map_or("off", |admission| admission.pressure.word())
            .to_owned(),
        retry_tokens: reading.retry_tokens,
        resolve_error: reading.resolve_error.clone(),
        endpoints: endpoints.collect(),
    }
}

fn listeners(scrape: &Scrape<'_>) -> Vec<Listener> {
    let listeners = scrape.reading.listeners.iter().map(|listener| Listener {
        name: listener.name.to_string(),
        address: listener.address.clone(),
        connections: listener.connections.into(),
        connections_max: listener.connections_max.into(),
        connections_refused: listener.connections_refused,
    });
    listeners.collect()
}

fn config(scrape: &Scrape<'_>) -> Config {
    let config = &scrape.reading.config;
    Config {
        generation: config.generation,
        applied_at: civil::rfc3339_millis(config.applied_at),
        reloads_applied: config.reloads_applied,
        reloads_refused: config.reloads_refused,
        at_next_start: config.at_next_start.clone(),
        problems: config.problems.clone(),
        broken: config.broken.clone(),
    }
}

fn full(scrape: &Scrape<'_>) -> Full {
    let (saturation, memory) = (scrape.saturation, scrape.reading.memory);
    let pressure = saturation.pressure.iter().map(|pressure| Pressure {
        resource: pressure.resource.to_owned(),
        some: pressure.some,
        full: pressure.full,
    });
    Full {
        cpu_seconds: saturation.cpu_seconds,
        cpu_limit_cores: saturation.cpu_limit_cores,
        // The control group's figure holds what its limit is compared with; without one, our own.
        memory_bytes: match saturation.memory_limit_bytes {
            Some(_) => saturation.memory_bytes,
            None => saturation.resident_bytes,
        },
        memory_limit_bytes: saturation.memory_limit_bytes,
        memory_level: memory.level.word().to_owned(),
        memory_held_bytes: memory.held,
        memory_held_max_bytes: memory.limit,
        open_fds: saturation.open_fds,
        max_fds: saturation.max_fds,
        pressure: pressure.collect(),
    }
}

fn told(scrape: &Scrape<'_>) -> Told {
    let telemetry = scrape.telemetry;
    Told {
        events_dropped: scrape.reading.events_dropped,
        lines_dropped: telemetry.lines_dropped,
        lines_suppressed: telemetry.lines_suppressed,
        spans_sent: telemetry.spans.sent,
        spans_dropped: telemetry.spans.dropped,
        spans_failing: telemetry.spans.failing,
        points_sent: telemetry.points.sent,
        points_dropped: telemetry.points.dropped,
        points_failing: telemetry.points.failing,
    }
}
