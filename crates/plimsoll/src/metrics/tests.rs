//! The page as a strict scraper reads it.

use std::time::Duration;

use plimsoll_slo::{Class, Reason};

use super::grammar::{Family, parse};
use super::*;
use crate::reading::SentReading;
use crate::reading::sample::{self, event, key};
use crate::saturation::Pressure;

fn saturation() -> Saturation {
    Saturation {
        cpu_seconds: Some(12.5),
        resident_bytes: Some(12_000_000),
        open_fds: Some(42),
        start_seconds: Some(1_795_460_000.5),
        pressure: vec![Pressure {
            resource: "cpu",
            some: 0.25,
            full: None,
        }],
        ..Saturation::default()
    }
}

fn written(reading: &Reading, exemplars: &Exemplars, format: Format) -> String {
    let window = Window {
        length: Duration::from_secs(10),
        series: reading.series.clone(),
    };
    let telemetry = TelemetryReading {
        lines_dropped: 1,
        lines_suppressed: 2,
        spans: SentReading {
            sent: 3,
            dropped: 4,
            failing: false,
        },
        points: SentReading::default(),
    };
    page(
        &Scrape {
            reading,
            window: &window,
            exemplars,
            saturation: &saturation(),
            telemetry,
        },
        format,
    )
}

fn parsed(format: Format) -> Vec<Family> {
    let mut exemplars = Exemplars::default();
    exemplars.note(&event(Class::Bad(Reason::UpstreamReset), 400));
    exemplars.note(&event(Class::Good, 3));
    let text = written(&sample::reading(), &exemplars, format);
    parse(&text, format).unwrap_or_else(|wrong| panic!("{wrong}\n\n{text}"))
}

/// The value of the sample of this name whose labels hold all of `labels`.
fn value(families: &[Family], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let samples = families.iter().flat_map(|family| &family.samples);
    let has = |sample: &&grammar::Sample| {
        sample.name == name
            && labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|v| v == value))
    };
    samples.filter(has).map(|sample| sample.value).next()
}

#[test]
fn both_formats_keep_their_grammar_and_say_the_same() {
    let (plain, open) = (parsed(Format::Prometheus), parsed(Format::OpenMetrics));
    let samples = |families: &[Family]| -> Vec<_> {
        let samples = families.iter().flat_map(|family| &family.samples);
        samples
            .map(|sample| (sample.name.clone(), sample.labels.clone(), sample.value.to_bits()))
            .collect()
    };
    assert_eq!(samples(&plain), samples(&open));
    assert!(plain.len() > 35);
    let unit = |name: &str| {
        open.iter()
            .find(|f| f.name == name)
            .and_then(|f| f.unit.as_deref())
    };
    assert_eq!(unit("plimsoll_request_duration_seconds"), Some("seconds"));
    assert_eq!(unit("process_resident_memory_bytes"), Some("bytes"));
}

#[test]
fn the_numbers_are_those_of_the_reading() {
    let families = parsed(Format::Prometheus);
    let value = |name: &str, labels: &[(&str, &str)]| value(&families, name, labels).unwrap_or(f64::NAN);
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} is not {b}");
    near(
        value(
            "plimsoll_requests_total",
            &[("class", "good"), ("route", "pay"), ("tier", "gold")],
        ),
        90.0,
    );
    near(
        value(
            "plimsoll_requests_total",
            &[("class", "bad"), ("reason", "upstream-reset")],
        ),
        10.0,
    );
    near(value("plimsoll_attempts_total", &[]), 120.0);
    near(value("plimsoll_retries_total", &[]), 20.0);
    let pay = [("listener", "ingress"), ("route", "pay")];
    near(value("plimsoll_client_errors_ratio", &pay), 0.4);
    near(value("plimsoll_client_errors_usual_ratio", &pay), 0.012);
    near(value("plimsoll_client_errors_evidence_ratio", &pay), 1e6);
    near(
        value("plimsoll_hedges_total", &[("route", "pay"), ("result", "won")]),
        6.0,
    );
    let refused = [("result", "refused"), ("reason", "loaded")];
    near(value("plimsoll_hedges_total", &refused), 9.0);
    near(
        value("plimsoll_hedge_delay_seconds", &[("upstream", "orders")]),
        0.035,
    );
    near(value("plimsoll_request_duration_seconds_count", &[]), 100.0);
    near(
        value("plimsoll_request_duration_seconds_bucket", &[("le", "0.1")]),
        90.0,
    );
    near(
        value("plimsoll_request_duration_seconds_bucket", &[("le", "10.0")]),
        100.0,
    );
    near(value("plimsoll_request_duration_seconds_sum", &[]), 8.095);
    let p99 = value(
        "plimsoll_request_duration_quantile_seconds",
        &[("quantile", "0.99")],
    );
    assert!((p99 / 0.4 - 1.0).abs() < 0.01);
    near(value("plimsoll_breaker_state", &[("state", "tripped")]), 1.0);
    near(value("plimsoll_breaker_state", &[("state", "passing")]), 0.0);
    near(
        value("plimsoll_endpoint_ejected", &[("endpoint", "10.0.0.2:3000")]),
        1.0,
    );
    near(
        value("plimsoll_retry_budget_tokens", &[("upstream", "orders")]),
        3.5,
    );
    near(
        value("plimsoll_config_reloads_total", &[("result", "refused")]),
        1.0,
    );
    near(value("plimsoll_events_dropped_total", &[("at", "gateway")]), 3.0);
    near(value("plimsoll_pressure_ratio", &[("resource", "cpu")]), 0.25);
    near(value("process_cpu_seconds_total", &[]), 12.5);
    near(value("plimsoll_build_info", &[]), 1.0);
}

#[test]
fn exemplars_lead_from_a_bucket_to_a_trace() {
    let families = parsed(Format::OpenMetrics);
    let samples = families.iter().flat_map(|family| &family.samples);
    let found: Vec<_> = samples
        .filter_map(|s| Some((s.labels.get("le")?.as_str(), s.exemplar.as_ref()?)))
        .collect();
    let bounds: Vec<_> = found.iter().map(|(le, _)| *le).collect();
    assert_eq!(bounds, ["0.005", "0.5"]);
    let (_, (labels, value, at)) = found[1];
    assert_eq!(labels["trace_id"], "00000000000000000000000000000abc");
    assert_eq!(labels["request_id"], "req-1");
    assert!((value - 0.4).abs() < 1e-9 && (at.unwrap() - 1_795_464_600.65).abs() < 1e-3);
}

#[test]
fn an_exemplar_with_a_long_id_keeps_its_trace() {
    let mut long = event(Class::Good, 3);
    long.request_id = "x".repeat(128).into();
    let mut exemplars = Exemplars::default();
    exemplars.note(&long);
    let families = parse(
        &written(&sample::reading(), &exemplars, Format::OpenMetrics),
        Format::OpenMetrics,
    );
    let families = families.unwrap();
    let exemplar = families
        .iter()
        .flat_map(|f| &f.samples)
        .find_map(|s| s.exemplar.as_ref())
        .unwrap();
    assert_eq!(exemplar.0.len(), 1);
}

#[test]
fn labels_survive_whatever_is_in_them() {
    let awkward = "a\"b\\c\nd é 🚢";
    let mut reading = sample::reading();
    reading.series[0].0 = key(awkward, "gold");
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let families = parse(&written(&reading, &Exemplars::default(), format), format).unwrap();
        assert!(value(&families, "plimsoll_requests_total", &[("route", awkward)]).is_some());
    }
}

#[test]
fn nothing_to_say_is_a_valid_page() {
    let mut reading = sample::reading();
    reading.series.clear();
    reading.upstreams.clear();
    reading.listeners.clear();
    for format in [Format::Prometheus, Format::OpenMetrics] {
        parse(&written(&reading, &Exemplars::default(), format), format).unwrap();
    }
}

#[test]
fn every_family_has_its_row_in_the_book() {
    let book = include_str!("../../../../docs/src/telemetry.md");
    for family in parsed(Format::Prometheus) {
        assert!(
            book.contains(&format!("| `{}` |", family.name)),
            "no row for {}",
            family.name
        );
    }
    let known = parsed(Format::Prometheus);
    let rows = book
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, _)| name);
    for row in rows.filter(|row| row.starts_with("plimsoll_") || row.starts_with("process_")) {
        assert!(
            known.iter().any(|family| family.name == row),
            "a row for {row}, which is not on the page"
        );
    }
}

#[test]
fn floats_are_canonical() {
    for (value, text) in [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (0.005, "0.005"),
        (30.0, "30.0"),
        (f64::INFINITY, "+Inf"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(text::canonical(value), text);
    }
}

#[test]
fn the_parser_is_strict() {
    let good = "# TYPE a counter\n# HELP a x\na_total{b=\"c\"} 1\n# EOF\n";
    parse(good, Format::OpenMetrics).unwrap();
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "\n# EOF\n"),
        ("a_total{", "a{"),
        ("a_total{", "other_total{"),
        ("} 1", "}  1"),
        ("} 1", "} -1"),
        ("} 1", "} 1 # {c=\"d\"}"),
        ("} 1", "} 0x1"),
        ("b=\"c\"", "b=\"c"),
        ("b=\"c\"", "b=\"c\\t\""),
        ("b=\"c\"", "1b=\"c\""),
        ("b=\"c\"", "b=\"c\",b=\"c\""),
        ("b=\"c\"", "b=\"c\","),
        ("# HELP a x\n", ""),
        ("# TYPE a counter", "# TYPE a gauge"),
        ("# TYPE a counter", "# TYPE a_total counter"),
        ("# TYPE a counter\n", "# TYPE a counter\n# UNIT a seconds\n"),
        ("# EOF", "a_total{b=\"c\"} 2\n# EOF"),
    ] {
        assert!(good.contains(from));
        let bad = good.replace(from, to);
        assert!(parse(&bad, Format::OpenMetrics).is_err(), "{bad}");
    }
}
