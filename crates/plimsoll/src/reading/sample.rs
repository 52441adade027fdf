//! A reading with something of everything in it, for the tests of those who show it.

use gateway::Trace;
use gateway::event::{AttemptNote, Event, Traced};
use http::Method;
use plimsoll_policy::{Pressure, Priority};
use plimsoll_slo::{Class, Judge, Objective, Outcome, Reason, Second, Tally, Target, Window};

use super::*;

fn judge() -> Judge {
    let month = Window::Rolling(Duration::from_hours(30 * 24));
    Judge::new(Objective::of_events(
        Target::new(0.999).expect("it is one"),
        month,
    ))
}

/// An objective of which nothing is known.
pub(crate) fn unknown() -> ObjectiveReading {
    ObjectiveReading {
        name: "checkout".into(),
        window: "30d".into(),
        runbook: None,
        vantage: "gateway",
        sampling: 1.0,
        verdict: judge().verdict(),
        rung: Rung::Careful,
        counted: Counts::default(),
        members: Arc::default(),
    }
}

/// An objective that pages: half of all requests have failed for a minute, after an hour without a failure.
pub(crate) fn burning() -> ObjectiveReading {
    let mut judge = judge();
    let begins = 1_795_464_600 - 3_660;
    for at in begins..begins + 3_660 {
        let bad = if at < begins + 3_600 { 0 } else { 5 };
        judge.second(Second(at), Counts { good: 10 - bad, bad }, bad);
    }
    ObjectiveReading {
        verdict: judge.verdict(),
        rung: Rung::Frozen,
        counted: Counts {
            good: 36_300,
            bad: 300,
        },
        ..unknown()
    }
}

/// A request to the route `pay`: one attempt, or three when it was bad.
pub(crate) fn event(class: Class, millis: u64) -> Event {
    let reason = class.reason();
    let attempt = |number: u32| AttemptNote {
        endpoint: "10.0.0.1:3000".into(),
        after: Duration::from_millis(u64::from(number)),
        took: Duration::from_millis(5),
        status: reason.is_none().then_some(200),
        reason,
        hedge: false,
        cancelled: false,
    };
    let attempts: Vec<_> = (0..if reason.is_some() { 3 } else { 1 }).map(attempt).collect();
    Event {
        began: Duration::from_millis(1_795_464_600_250),
        listener: "ingress".into(),
        route: "pay".into(),
        tier: "gold".into(),
        priority: Priority::Normal,
        upstream: "orders".into(),
        version: "stable".into(),
        method: Method::POST,
        path: "/pay/42".into(),
        status: reason.map_or(200, |reason| reason.info().status),
        grpc_status: None,
        outcome: outcome(class, millis, attempts.len() as u32),
        cause: reason.map(|_| "connection reset by peer".into()),
        retry_stopped: reason.map(|_| "attempts"),
        attempts,
        trace: Trace {
            trace_id: 0xabc,
            parent_id: 0x12,
            span_id: 0x34,
            sampled: true,
        },
        request_id: "req-1".into(),
        client: Some([192, 0, 2, 7].into()),
        template: Some("/pay/{id}".into()),
        scheme: "http",
        traced: Some(if reason.is_some() {
            Traced::Bad
        } else {
            Traced::Slow
        }),
        logged: true,
    }
}

pub(crate) fn key(route: &str, tier: &str) -> SeriesKey {
    SeriesKey {
        listener: "ingress".into(),
        route: route.into(),
        tier: tier.into(),
        upstream: "orders".into(),
        version: "stable".into(),
    }
}

/// A route that refuses far more callers than is usual.
pub(crate) fn rise() -> RiseReading {
    RiseReading {
        name: "client-errors:ingress:pay".into(),
        rising: Rising {
            usual: Some(0.012),
            present: Counts { good: 360, bad: 240 },
            evidence: 1e6,
            began: Some(29_924_400),
        },
    }
}

fn watched() -> WatchedReading {
    WatchedReading {
        rises: vec![rise()],
        falls: vec![fall()],
    }
}

fn waiting() -> FreshnessReading {
    FreshnessReading {
        waiting: 31,
        oldest: Some(Duration::from_secs(12)),
        turned_away: 0,
    }
}

fn walks() -> WalkReading {
    WalkReading {
        under_way: 12,
        left: 340,
        nameless: 7,
        turned_away: 0,
    }
}

/// Far fewer orders than is usual.
pub(crate) fn fall() -> FallReading {
    FallReading {
        name: "orders-per-minute".into(),
        measure: Measure::Rate { fall: 0.2 },
        vantage: "gateway",
        runbook: None,
        falling: Falling {
            usual: Some(140.25),
            allowed: Some(98.0),
            present: Some(12.5),
            evidence: 1e4,
            began: Some(29_924_400),
            known_from: Some(29_900_000),
        },
    }
}

pub(crate) fn outcome(class: Class, millis: u64, attempts: u32) -> Outcome {
    let latency = Duration::from_millis(millis);
    Outcome {
        class,
        latency,
        first_byte: latency,
        attempts,
    }
}

fn upstream() -> UpstreamReading {
    UpstreamReading {
        name: "orders".into(),
        version: "stable".into(),
        breaker: Some(BreakerState::Tripped),
        breaker_trips: 2,
        in_flight: 5,
        in_flight_max: 1024,
        bulkhead_refused: 9,
        admission: Some(AdmissionReading {
            limit: Some(18),
            busy: 18,
            waiting: 4,
            pressure: Pressure::Bound,
            inside: 2.5,
            usual: Some(Duration::from_millis(20)),
            shed: [[7, 0, 0], [2, 1, 0], [0, 0, 0]],
        }),
        retry_tokens: 3.5,
        resolve_error: String::new(),
        endpoints: vec![endpoint("10.0.0.1:3000", false), endpoint("10.0.0.2:3000", true)],
    }
}

/// `good` good ones of 1 ms, 2 ms, … and `bad` that the upstream reset after three attempts.
pub(crate) fn tally(good: u64, bad: u64) -> Tally {
    let tally = Tally::default();
    (1..=good).for_each(|millis| tally.record(&outcome(Class::Good, millis, 1)));
    (0..bad).for_each(|_| tally.record(&outcome(Class::Bad(Reason::UpstreamReset), 400, 3)));
    tally
}

pub(crate) fn endpoint(address: &str, ejected: bool) -> EndpointReading {
    EndpointReading {
        address: address.to_owned(),
        healthy: true,
        ejected,
        attempts: 120,
        failures: 7,
        pending: 2,
        connections: 4,
    }
}

pub(crate) fn reading() -> Reading {
    Reading {
        now: Instant::ORIGIN + Duration::from_secs(100),
        wall: Duration::from_millis(1_795_464_600_250),
        phase: Phase::Serving,
        series: vec![(key("pay", "gold"), tally(90, 10).snapshot())],
        series_overflowed: 0,
        events_dropped: 3,
        listeners: vec![ListenerReading {
            name: "ingress".into(),
            address: "127.0.0.1:8080".to_owned(),
            connections: 12,
            connections_max: 10_000,
            connections_refused: 1,
        }],
        upstreams: vec![upstream()],
        joins: JoinReading {
            joined: 5,
            ambiguous: 1,
            unknown: 2,
            unremembered: 0,
            remembered: 3,
        },
        hedges: vec![HedgeReading {
            listener: "ingress".into(),
            route: "pay".into(),
            upstream: "orders".into(),
            after: Some(Duration::from_millis(35)),
            ended: [6, 3, 0, 1],
            // Nine of the fifth, which is `loaded`.
            refused: [0, 0, 0, 0, 9, 0, 0],
        }],
        objectives: vec![burning()],
        watched: watched(),
        journeys: vec![("buying".into(), walks())],
        freshness: vec![("search".into(), waiting())],
        incidents: vec![IncidentReading {
            id: "checkout-3".into(),
            phase: "acknowledged",
            began: 1_795_464_540_000,
            objectives: vec!["checkout".to_owned()],
        }],
        alerts: vec![AlertReading {
            id: "checkout-page-3".into(),
            severity: Severity::Page,
            is_silenced: false,
        }],
        targets: vec![TargetReading {
            name: "oncall".into(),
            waiting: 1,
            failing: Some("it answered 503: no thanks".to_owned()),
        }],
        record: RecordReading {
            unwritten: 2,
            lost: 0,
        },
        state_failing: true,
        state_unwritten: 3,
        memory: MemoryReading {
            level: MemoryLevel::Ample,
            held: 12 << 20,
            limit: Some(1 << 30),
        },
        config: config(),
    }
}

fn config() -> ConfigReading {
    ConfigReading {
            generation: 4,
            applied_at: Duration::from_secs(1_795_460_000),
            reloads_applied: 3,
            reloads_refused: 1,
            at_next_start: vec!["admin.listen".to_owned(), "cores".to_owned()],
            problems: vec!["plimsoll.yaml:3:5: unknown key".to_owned()],
            broken: vec!["plimsoll.yaml:9:5: objectives.old.routes[0]: there is no route `cart`; right would be one of pay, read".to_owned()],
        }
}
