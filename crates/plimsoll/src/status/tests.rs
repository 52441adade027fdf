//! One status, read in every way.

use plimsoll_slo::Class;

use super::*;
use crate::exemplars::Exemplars;
use crate::history::Window;
use crate::reading::sample::{self, event, key, tally};
use crate::reading::{MemoryReading, Reading, SentReading, TelemetryReading};
use crate::saturation::Saturation;

pub(crate) fn status(reading: &Reading, series: Vec<Series>) -> Status {
    let spans = SentReading {
        sent: 9,
        ..SentReading::default()
    };
    let telemetry = TelemetryReading {
        spans,
        ..TelemetryReading::default()
    };
    status_with(reading, series, telemetry)
}

fn status_with(reading: &Reading, series: Vec<Series>, telemetry: TelemetryReading) -> Status {
    let mut exemplars = Exemplars::default();
    exemplars.note(&event(Class::Bad(Reason::UpstreamReset), 400));
    let window = Window {
        length: Duration::from_secs(10),
        series,
    };
    let saturation = Saturation {
        start_seconds: Some(1_795_460_000.0),
        resident_bytes: Some(12 << 20),
        open_fds: Some(42),
        max_fds: Some(1024),
        ..Saturation::default()
    };
    Status::of(&Scrape {
        reading,
        window: &window,
        exemplars: &exemplars,
        saturation: &saturation,
        telemetry,
    })
}

fn busy() -> Status {
    let reading = sample::reading();
    status(&reading, reading.series.clone())
}

/// A reading in which all is well.
fn calm() -> Reading {
    let mut reading = sample::reading();
    reading.upstreams[0].breaker = Some(plimsoll_policy::BreakerState::Passing);
    reading.upstreams[0].endpoints.pop();
    let admission = reading.upstreams[0].admission.as_mut().unwrap();
    (admission.limit, admission.pressure) = (None, plimsoll_policy::Pressure::Free);
    reading.objectives = vec![sample::unknown()];
    reading.watched.rises.clear();
    reading.watched.falls.clear();
    reading.incidents.clear();
    reading.targets[0].failing = None;
    reading.state_failing = false;
    reading.config.problems.clear();
    reading.config.at_next_start.clear();
    reading.config.broken.clear();
    reading
}

#[test]
fn the_text_says_who_is_hurt_and_what_protects() {
    let text = text(&busy());
    for expected in [
        "Of what route pay answers 40.0 % tells a caller that it is at fault, where 1.2 % is usual",
        "A figure of the business has fallen: orders-per-minute came to 12.5 a minute",
        "serving, 13 things need attention, at 2026-11-23T20:10:00.250Z, up 1 h 16 min",
        "! Incident checkout-3 (acknowledged), which began at 2026-11-23T20:09:00.000Z: checkout.",
        "! oncall does not know of an alert: it answered 503: no thanks.",
        "! Objective checkout (page): 300 of 36,600 failed in the last hour, 8.2 times what the target allows, 300 callers in this minute; the budget is overspent by 720 %, by 61 minutes of 30 days.",
        "  checkout   99.9 % / 30d  missed  page     -719.68 %",
        "! Route pay, tier gold: 10.00 % of requests are bad, mostly upstream-reset.",
        "! The breaker of orders is tripped: its requests are refused.",
        "! orders is asked for more than it can do: 18 requests at a time, and the rest waits or is shed.",
        "! orders has 1 of 2 endpoints; the others are down or ejected.",
        "! Broken since the start, and not judged: plimsoll.yaml:9:5: objectives.old.routes[0]: there is no route `cart`",
        "! The last reload was refused, and what ran before runs on: plimsoll.yaml:3:5: unknown key",
        "! The state cannot be written: a restart would forget what objectives have counted; the log says why.",
        "! What a reload has changed takes effect at the next start: admin.listen, cores.",
        "  takes effect at the next start  admin.listen, cores",
        "90.00 %",
        "upstream-reset 10",
        "latest bad of pay, gold: upstream-reset at 2026-11-23T20:10:00.650Z, request req-1, trace 0",
        "retried or hedged",
        "  ingress   pay    35 ms    6     3       0          1  loaded 9",
    ] {
        assert!(text.contains(expected), "{expected}\n\n{text}");
    }
}

#[test]
fn what_is_well_needs_no_attention_and_what_is_unknown_is_not_shown_as_good() {
    let status = status(&calm(), vec![(key("pay", "gold"), tally(0, 0).snapshot())]);
    assert_eq!(status.attention, [""; 0]);
    assert_eq!(
        (&*status.objectives[0].state, status.objectives[0].budget_left),
        ("unknown", None)
    );
    assert_eq!(status.traffic[0].good_share, None);
    let text = text(&status);
    assert!(
        !text.contains("100.00 %")
            && text.starts_with(concat!("plimsoll ", env!("CARGO_PKG_VERSION"), ": serving, at"))
    );
}

#[test]
fn short_memory_is_told_with_what_it_keeps_out() {
    use plimsoll_policy::MemoryLevel;
    for (level, sentence) in [
        (
            MemoryLevel::Tight,
            "Memory is tight: 240 MiB are held of the 256 MiB that `limits.memory` allows, and new connections are turned away.",
        ),
        (
            MemoryLevel::Full,
            "Memory is full: 240 MiB are held of the 256 MiB that `limits.memory` allows, and all new work is refused.",
        ),
    ] {
        let mut reading = calm();
        reading.memory = MemoryReading {
            level,
            held: 240 << 20,
            limit: Some(256 << 20),
        };
        let status = status(&reading, Vec::new());
        assert_eq!(status.attention, [sentence]);
        let text = text(&status);
        let row = text
            .lines()
            .find(|line| line.trim_start().starts_with("memory held"))
            .unwrap();
        assert!(row.contains("240 MiB") && row.contains("256 MiB"), "{row}");
    }
}

#[test]
fn few_failures_are_no_trend_and_a_share_is_rounded_down() {
    let calm = calm();
    let few = status(&calm, vec![(key("pay", "gold"), tally(10, 1).snapshot())]);
    assert_eq!(few.attention, [""; 0]);
    assert_eq!(tables::percent(0.999_999), "99.99 %");
    assert_eq!(tables::percent(1.0), "100.00 %");
    assert_eq!(tables::percent(0.29), "29.00 %");
}

#[test]
fn a_collector_that_takes_nothing_is_told_of() {
    let points = SentReading {
        sent: 100,
        dropped: 7,
        failing: true,
    };
    let telemetry = TelemetryReading {
        points,
        ..TelemetryReading::default()
    };
    let status = status_with(&calm(), Vec::new(), telemetry);
    assert_eq!(
        status.attention,
        ["The collector does not take metrics, which are dropped; the log says why."]
    );
    let text = text(&status);
    assert!(text.contains("data points of metrics dropped   "), "{text}");
    assert_eq!(
        (status.telemetry.points_sent, status.telemetry.points_dropped),
        (100, 7)
    );
}

#[test]
fn tiers_have_rows_and_versions_are_added() {
    let mut candidate = key("pay", "gold");
    candidate.version = "candidate".into();
    let series = vec![
        (key("pay", "free"), tally(1, 0).snapshot()),
        (candidate, tally(5, 0).snapshot()),
        (key("pay", "gold"), tally(7, 0).snapshot()),
    ];
    let status = status(&calm(), series);
    let rows: Vec<_> = status
        .traffic
        .iter()
        .map(|row| (row.tier.as_str(), row.requests))
        .collect();
    assert_eq!(rows, [("free", 1), ("gold", 12)]);
}

#[test]
fn json_says_all_that_text_says() {
    let status = busy();
    let json = status.to_json().to_string();
    let read = Status::from_json(&serde_json::from_str(&json).unwrap());
    assert_eq!(read, status);
    let empty = Status::from_json(&serde_json::json!({ "state": "serving" }));
    assert_eq!(
        empty.state, "serving",
        "an older one is understood as far as it goes"
    );
}

#[test]
fn readiness_ends_with_the_drain_and_needs_a_listener() {
    let mut reading = sample::reading();
    assert_eq!(Status::not_ready(&reading), None);
    reading.phase = Phase::Draining;
    assert_eq!(
        Status::not_ready(&reading),
        Some("draining: no new requests are taken")
    );
    reading.phase = Phase::Serving;
    reading.listeners[0].address.clear();
    assert_eq!(Status::not_ready(&reading), Some("no listener is up"));
}
