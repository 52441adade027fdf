//! Every family there is, in the order of the page.

use gateway::hedging::{End, HedgeReading};
use gateway::ledger::SeriesKey;
use plimsoll_policy::{BreakerState, MemoryLevel, NoHedge};
use plimsoll_slo::Reason;

use super::sheet::{Distribution, Family, Kind, Number, Sheet};
use super::{BOUNDS, Scrape};
use crate::reading::{
    ConfigReading, EndpointReading, ListenerReading, MemoryReading, Phase, Series, UpstreamReading,
    breaker_word,
};
use crate::saturation::Saturation;

mod admission;
mod alerts;
mod objectives;
mod watched;

pub(super) use alerts::alerts;
pub(super) use objectives::{freshness, journeys, objectives};
pub(super) use watched::{client_errors, kpis};

const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Counter,
        unit,
        help,
    }
}

const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        unit,
        help,
    }
}

/// The labels of a series, and more.
fn labels<'a>(key: &'a SeriesKey, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut labels = vec![
        ("listener", &*key.listener),
        ("route", &*key.route),
        ("tier", &*key.tier),
        ("upstream", &*key.upstream),
        ("version", &*key.version),
    ];
    labels.extend_from_slice(more);
    labels
}

/// What became of requests, by series.
pub(super) fn traffic(sheet: &mut impl Sheet, scrape: &Scrape<'_>) {
    let series = &scrape.reading.series;
    sheet.family(counter(
        "plimsoll_requests",
        "",
        "Requests by what became of them, as their users saw it.",
    ));
    for series in series {
        requests(sheet, series);
    }
    sheet.family(counter(
        "plimsoll_attempts",
        "",
        "Attempts sent upstream for these requests, retries and hedges included.",
    ));
    for (key, tally) in series {
        sheet.sample(&labels(key, &[]), tally.attempts);
    }
    sheet.family(counter(
        "plimsoll_retries",
        "",
        "Attempts beyond the first of a request, hedges included.",
    ));
    for (key, tally) in series {
        sheet.sample(&labels(key, &[]), tally.retries);
    }
    sheet.family(Family {
        name: "plimsoll_request_duration_seconds",
        kind: Kind::Histogram,
        unit: "seconds",
        help: "From the request's head to the end of its answer; requests that count neither way are left out.",
    });
    for series in series {
        durations(sheet, series, scrape);
    }
    // A summary's quantiles are those of a sliding window, by its definition; it may do without count and sum.
    sheet.family(Family {
        name: "plimsoll_request_duration_quantile_seconds",
        kind: Kind::Summary,
        unit: "seconds",
        help: "Quantiles of the last ten seconds, within 0.8 %; they cannot be averaged.",
    });
    for (key, tally) in &scrape.window.series {
        for (name, quantile) in [("0.5", 0.5), ("0.95", 0.95), ("0.99", 0.99)] {
            let value = tally
                .latency
                .quantile(quantile)
                .map(|latency| latency.as_secs_f64());
            sheet.sample_if_known(&labels(key, &[("quantile", name)]), value);
        }
    }
}

/// Good ones always, so that a ratio has its denominator from the start; others once there are any.
fn requests(sheet: &mut impl Sheet, (key, tally): &Series) {
    sheet.sample(&labels(key, &[("class", "good"), ("reason", "")]), tally.good);
    for (class, counts) in [("bad", &tally.bad), ("excluded", &tally.excluded)] {
        for reason in Reason::ALL.iter().filter(|reason| counts[reason.index()] > 0) {
            let labels = labels(key, &[("class", class), ("reason", reason.code())]);
            sheet.sample(&labels, counts[reason.index()]);
        }
    }
}

fn durations(sheet: &mut impl Sheet, (key, tally): &Series, scrape: &Scrape<'_>) {
    let latency = &tally.latency;
    let distribution = Distribution {
        at_most: BOUNDS.map(|bound| latency.count_at_most(bound)),
        count: latency.count(),
        sum: latency.sum(),
        exemplars: std::array::from_fn(|bucket| scrape.exemplars.of_bucket(key, bucket)),
    };
    sheet.distribution(&labels(key, &[]), &distribution);
}

/// What hedging does, for each route that has it.
pub(super) fn hedges(sheet: &mut impl Sheet, hedges: &[HedgeReading]) {
    sheet.family(counter(
        "plimsoll_hedges",
        "",
        "Late requests by what came of their hedge, or by why they had none.",
    ));
    for hedge in hedges {
        let labels = |result, reason| {
            let (listener, route, upstream) = (&*hedge.listener, &*hedge.route, &*hedge.upstream);
            [
                ("listener", listener),
                ("route", route),
                ("upstream", upstream),
                ("result", result),
                ("reason", reason),
            ]
        };
        for (end, count) in End::ALL.iter().zip(hedge.ended) {
            sheet.sample(&labels(end.word(), ""), count);
        }
        for (why, count) in NoHedge::LATE.iter().zip(hedge.refused).filter(|(_, n)| *n > 0) {
            sheet.sample(&labels("refused", why.word()), count);
        }
    }
    sheet.family(gauge(
        "plimsoll_hedge_delay_seconds",
        "seconds",
        "How long a first attempt is waited for before it is hedged.",
    ));
    for hedge in hedges {
        let (listener, route, upstream) = (&*hedge.listener, &*hedge.route, &*hedge.upstream);
        let labels = [("listener", listener), ("route", route), ("upstream", upstream)];
        sheet.sample_if_known(&labels, hedge.after.map(|after| after.as_secs_f64()));
    }
}

/// A family with one sample for each upstream, endpoint or listener.
type Column<T> = (Family, fn(&T) -> Number);

const ENDPOINT: [Column<EndpointReading>; 6] = [
    (
        counter("plimsoll_endpoint_attempts", "", "Attempts sent to the endpoint."),
        |e| e.attempts.into(),
    ),
    (
        counter(
            "plimsoll_endpoint_failures",
            "",
            "Attempts that failed by the endpoint's fault.",
        ),
        |e| e.failures.into(),
    ),
    (
        gauge("plimsoll_endpoint_pending", "", "Attempts under way."),
        |e| e.pending.into(),
    ),
    (
        gauge(
            "plimsoll_endpoint_up",
            "",
            "Whether active health checks find it up.",
        ),
        |e| e.healthy.into(),
    ),
    (
        gauge(
            "plimsoll_endpoint_ejected",
            "",
            "Whether it is ejected as an outlier.",
        ),
        |e| e.ejected.into(),
    ),
    (
        gauge("plimsoll_endpoint_connections", "", "Open connections to it."),
        |e| e.connections.into(),
    ),
];

const UPSTREAM: [Column<UpstreamReading>; 6] = [
    (
        counter(
            "plimsoll_breaker_trips",
            "",
            "How often the upstream's breaker tripped.",
        ),
        |u| u.breaker_trips.into(),
    ),
    (
        gauge(
            "plimsoll_bulkhead_in_flight",
            "",
            "Requests in flight to the upstream.",
        ),
        |u| u.in_flight.into(),
    ),
    (
        gauge(
            "plimsoll_bulkhead_max",
            "",
            "The most requests that may be in flight.",
        ),
        |u| u.in_flight_max.into(),
    ),
    (
        counter("plimsoll_bulkhead_refused", "", "Requests refused at that limit."),
        |u| u.bulkhead_refused.into(),
    ),
    (
        gauge(
            "plimsoll_retry_budget_tokens",
            "",
            "Retries that could be paid for now.",
        ),
        |u| u.retry_tokens.into(),
    ),
    (
        gauge(
            "plimsoll_upstream_resolved",
            "",
            "Whether its names could be looked up the last time.",
        ),
        |u| u.resolve_error.is_empty().into(),
    ),
];

const LISTENER: [Column<ListenerReading>; 3] = [
    (
        gauge(
            "plimsoll_listener_connections",
            "",
            "Open connections of callers.",
        ),
        |l| l.connections.into(),
    ),
    (
        gauge("plimsoll_listener_connections_max", "", "The most there may be."),
        |l| l.connections_max.into(),
    ),
    (
        counter(
            "plimsoll_listener_connections_refused",
            "",
            "Connections turned away at that limit.",
        ),
        |l| l.connections_refused.into(),
    ),
];

/// Endpoints and what protects them.
pub(super) fn upstreams(sheet: &mut impl Sheet, upstreams: &[UpstreamReading]) {
    for (family, value) in ENDPOINT {
        sheet.family(family);
        for upstream in upstreams {
            for endpoint in &upstream.endpoints {
                let (name, version) = (&*upstream.name, &*upstream.version);
                let labels = [
                    ("upstream", name),
                    ("version", version),
                    ("endpoint", &endpoint.address),
                ];
                sheet.sample(&labels, value(endpoint));
            }
        }
    }
    sheet.family(gauge(
        "plimsoll_breaker_state",
        "",
        "1 for the state that the upstream's breaker is in.",
    ));
    for upstream in upstreams {
        let Some(now) = upstream.breaker else { continue };
        for state in [
            BreakerState::Passing,
            BreakerState::Tripped,
            BreakerState::Probing,
        ] {
            sheet.sample(
                &[("upstream", &*upstream.name), ("state", breaker_word(state))],
                state == now,
            );
        }
    }
    for (family, value) in UPSTREAM {
        sheet.family(family);
        for upstream in upstreams {
            sheet.sample(&[("upstream", &*upstream.name)], value(upstream));
        }
    }
    admission::families(sheet, upstreams);
}

fn config(sheet: &mut impl Sheet, config: &ConfigReading) {
    sheet.family(counter(
        "plimsoll_config_reloads",
        "",
        "Reloads that were asked for, by what became of them.",
    ));
    sheet.sample(&[("result", "applied")], config.reloads_applied);
    sheet.sample(&[("result", "refused")], config.reloads_refused);
    sheet.family(gauge(
        "plimsoll_config_generation",
        "",
        "Counts the configurations that were applied.",
    ));
    sheet.sample(&[], config.generation);
    sheet.family(gauge(
        "plimsoll_config_broken",
        "",
        "What is wrong with objectives and figures that are not judged for it.",
    ));
    sheet.sample(&[], config.broken.len() as u64);
    sheet.family(gauge(
        "plimsoll_config_last_success_timestamp_seconds",
        "seconds",
        "When the running configuration was applied, in Unix time.",
    ));
    sheet.sample(&[], config.applied_at.as_secs_f64());
}

/// Plimsoll itself: listeners, configuration, what telemetry lost.
pub(super) fn plimsoll(sheet: &mut impl Sheet, scrape: &Scrape<'_>) {
    let reading = scrape.reading;
    for (family, value) in LISTENER {
        sheet.family(family);
        for listener in &reading.listeners {
            sheet.sample(&[("listener", &*listener.name)], value(listener));
        }
    }
    sheet.family(counter(
        "plimsoll_joins",
        "",
        "How calls of services through egress listeners found the requests that they are made for.",
    ));
    let joins = &reading.joins;
    for (result, count) in [
        ("joined", joins.joined),
        ("ambiguous", joins.ambiguous),
        ("unknown", joins.unknown),
        ("unremembered", joins.unremembered),
    ] {
        sheet.sample(&[("result", result)], count);
    }
    sheet.family(gauge(
        "plimsoll_state_failing",
        "",
        "Whether what objectives have counted cannot be written down.",
    ));
    sheet.sample(&[], reading.state_failing);
    sheet.family(gauge(
        "plimsoll_state_unwritten",
        "",
        "Minutes of objectives that are not written down yet.",
    ));
    sheet.sample(&[], reading.state_unwritten);
    telemetry(sheet, scrape);
    memory(sheet, &reading.memory);
    config(sheet, &reading.config);
    sheet.family(gauge(
        "plimsoll_draining",
        "",
        "Whether it takes no new requests because it shuts down.",
    ));
    sheet.sample(&[], reading.phase != Phase::Serving);
    sheet.family(Family {
        name: "plimsoll_build",
        kind: Kind::Info,
        unit: "",
        help: "The version that runs.",
    });
    sheet.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1u64);
}

/// What we hold, as `limits.memory` counts it.
fn memory(sheet: &mut impl Sheet, memory: &MemoryReading) {
    sheet.family(gauge(
        "plimsoll_memory_held_bytes",
        "bytes",
        "Pages of the process that no file is behind, and buffers of its control group's sockets.",
    ));
    sheet.sample(&[], memory.held);
    sheet.family(gauge(
        "plimsoll_memory_held_max_bytes",
        "bytes",
        "What may be held, by limits.memory; absent when that is off.",
    ));
    sheet.sample_if_known(&[], memory.limit);
    sheet.family(gauge(
        "plimsoll_memory_level",
        "",
        "How near the one is to the other: 1 for the level that is reached.",
    ));
    for level in MemoryLevel::ALL {
        sheet.sample(&[("level", level.word())], level == memory.level);
    }
}

/// What was told, and what of it was lost.
fn telemetry(sheet: &mut impl Sheet, scrape: &Scrape<'_>) {
    let (reading, telemetry) = (scrape.reading, scrape.telemetry);
    sheet.family(counter(
        "plimsoll_series_overflowed",
        "",
        "Series that share one because all were given out.",
    ));
    sheet.sample(&[], reading.series_overflowed);
    sheet.family(counter(
        "plimsoll_events_dropped",
        "",
        "Events that telemetry lost, by where; counters lose none.",
    ));
    sheet.sample(&[("at", "gateway")], reading.events_dropped);
    sheet.sample(&[("at", "journal")], telemetry.lines_dropped);
    sheet.sample(&[("at", "traces")], telemetry.spans.dropped);
    sheet.sample(&[("at", "metrics")], telemetry.points.dropped);
    sheet.family(counter(
        "plimsoll_log_lines_suppressed",
        "",
        "Log lines left out because too many were alike.",
    ));
    sheet.sample(&[], telemetry.lines_suppressed);
    sheet.family(counter(
        "plimsoll_spans_sent",
        "",
        "Spans that the collector took.",
    ));
    sheet.sample(&[], telemetry.spans.sent);
    sheet.family(counter(
        "plimsoll_metric_points_sent",
        "",
        "Data points of metrics that the collector took.",
    ));
    sheet.sample(&[], telemetry.points.sent);
}

/// A family with one sample, if the system tells it.
type Told = (Family, fn(&Saturation) -> Option<Number>);

const PROCESS: [Told; 10] = [
    (
        counter("process_cpu_seconds", "seconds", "User and system time spent."),
        |s| s.cpu_seconds.map(Into::into),
    ),
    (
        gauge("process_resident_memory_bytes", "bytes", "Memory in use."),
        |s| s.resident_bytes.map(Into::into),
    ),
    (
        gauge("process_virtual_memory_bytes", "bytes", "Address space in use."),
        |s| s.virtual_bytes.map(Into::into),
    ),
    (gauge("process_open_fds", "", "Open file descriptors."), |s| {
        s.open_fds.map(Into::into)
    }),
    (
        gauge("process_max_fds", "", "The most file descriptors there may be."),
        |s| s.max_fds.map(Into::into),
    ),
    (gauge("process_threads", "", "Threads."), |s| {
        s.threads.map(Into::into)
    }),
    (
        gauge(
            "process_start_time_seconds",
            "seconds",
            "When the process began, in Unix time.",
        ),
        |s| s.start_seconds.map(Into::into),
    ),
    (
        gauge(
            "plimsoll_memory_limit_bytes",
            "bytes",
            "Memory limit of the control group, if it has one.",
        ),
        |s| s.memory_limit_bytes.map(Into::into),
    ),
    (
        gauge(
            "plimsoll_cpu_limit_cores",
            "cores",
            "CPU limit of the control group, if it has one.",
        ),
        |s| s.cpu_limit_cores.map(Into::into),
    ),
    (
        counter(
            "plimsoll_cpu_throttled_seconds",
            "seconds",
            "Time for which that limit held us back.",
        ),
        |s| s.cpu_throttled_seconds.map(Into::into),
    ),
];

/// The process and the machine.
pub(super) fn process(sheet: &mut impl Sheet, saturation: &Saturation) {
    for (family, value) in PROCESS {
        sheet.family(family);
        sheet.sample_if_known(&[], value(saturation));
    }
    sheet.family(gauge(
        "plimsoll_pressure_ratio",
        "ratio",
        "Share of the last ten seconds in which work stalled.",
    ));
    for pressure in &saturation.pressure {
        sheet.sample(
            &[("resource", pressure.resource), ("stalled", "some")],
            pressure.some,
        );
        sheet.sample_if_known(
            &[("resource", pressure.resource), ("stalled", "all")],
            pressure.full,
        );
    }
}
