//! Metrics: what is exported is what is on the page, and a collector that is away costs nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::exemplars::Exemplars;
use crate::history::Window;
use crate::metrics::grammar::{self, Sample};
use crate::metrics::{self, Format, Scrape};
use crate::otlp::points::Points;
use crate::reading::sample::{self, key};
use crate::reading::{Reading, TelemetryReading};
use crate::saturation::Saturation;

/// What a sample is known by: its name and its labels.
type Series = (String, BTreeMap<String, String>);

fn scrape<T>(reading: &Reading, read: impl FnOnce(&Scrape<'_>) -> T) -> T {
    let mut exemplars = Exemplars::default();
    exemplars.note(&event(Class::Bad(Reason::UpstreamReset), 400));
    let window = Window {
        length: Duration::from_secs(10),
        series: reading.series.clone(),
    };
    read(&Scrape {
        reading,
        window: &window,
        exemplars: &exemplars,
        saturation: &Saturation {
            cpu_seconds: Some(12.5),
            open_fds: Some(42),
            ..Saturation::default()
        },
        telemetry: TelemetryReading::default(),
    })
}

fn exported(reading: &Reading) -> Vec<Value> {
    let resource = [("service.name".to_owned(), "plimsoll".to_owned())];
    let counted = (Duration::from_secs(1), Duration::from_secs(61));
    let mut points = Points::new(&resource, counted);
    scrape(reading, |scrape| metrics::write(scrape, &mut points));
    let requests = points.finish();
    let sizes: u64 = requests.iter().map(|request| request.points).sum();
    let bodies: Vec<Value> = requests
        .iter()
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect();
    let counted: usize = bodies
        .iter()
        .flat_map(check)
        .map(|(_, points)| points.len())
        .sum();
    assert_eq!(sizes, counted as u64);
    bodies
}

#[test]
fn an_export_says_what_the_page_says() {
    let reading = sample::reading();
    let page = scrape(&reading, |scrape| metrics::page(scrape, Format::Prometheus));
    let families = grammar::parse(&page, Format::Prometheus).unwrap();
    let on_page = families.iter().flat_map(|family| &family.samples).map(|sample| {
        let Sample {
            name, labels, value, ..
        } = sample;
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        let labels = labels.map(|(name, value)| (name.clone(), value.clone()));
        ((name.clone(), labels.collect()), *value)
    });
    let on_page: BTreeMap<Series, f64> = on_page.collect();
    let exported = exported(&reading);
    let exported: BTreeMap<Series, f64> = exported.iter().flat_map(samples).collect();
    let (page_names, export_names): (BTreeSet<_>, BTreeSet<_>) =
        (on_page.keys().collect(), exported.keys().collect());
    assert_eq!(page_names, export_names);
    assert!(on_page.len() > 60);
    for (series, value) in &on_page {
        let other = exported[series];
        assert!((value - other).abs() < 1e-9, "{series:?}: {value} is not {other}");
    }
}

#[test]
fn kinds_units_and_exemplars_are_those_of_the_protocol() {
    let bodies = exported(&sample::reading());
    let metrics: Vec<_> = bodies.iter().flat_map(check).collect();
    let find = |name: &str| metrics.iter().find(|(metric, _)| metric["name"] == name).unwrap();
    let (requests, _) = find("plimsoll_requests");
    assert_eq!(
        (&requests["sum"]["isMonotonic"], &requests["unit"]),
        (&true.into(), &"".into())
    );
    let (durations, points) = find("plimsoll_request_duration_seconds");
    assert_eq!(
        (
            &durations["unit"],
            &durations["histogram"]["aggregationTemporality"]
        ),
        (&"s".into(), &2.into())
    );
    let exemplar = &points[0]["exemplars"][0];
    assert_eq!(exemplar["traceId"], "00000000000000000000000000000abc");
    assert_eq!(exemplar["filteredAttributes"][0]["value"]["stringValue"], "req-1");
    assert_eq!(find("process_cpu_seconds").1[0]["asDouble"], 12.5);
    assert_eq!(find("plimsoll_build_info").1[0]["asInt"], "1");
}

#[test]
fn a_request_is_bounded_and_nothing_is_lost_between_two() {
    let mut reading = sample::reading();
    let (_, tally) = reading.series[0].clone();
    reading.series = (0..400)
        .map(|number| (key(&format!("route-{number:04}"), "gold"), tally.clone()))
        .collect();
    let bodies = exported(&reading);
    let sizes: Vec<usize> = bodies
        .iter()
        .map(|body| check(body).iter().map(|(_, points)| points.len()).sum())
        .collect();
    assert!(
        sizes.len() > 1 && sizes.iter().all(|size| *size <= 2000),
        "{sizes:?}"
    );
    let routes: BTreeSet<Series> = bodies
        .iter()
        .flat_map(samples)
        .map(|(series, _)| series)
        .collect();
    let good = routes
        .iter()
        .filter(|(name, labels)| name == "plimsoll_requests_total" && labels["class"] == "good");
    assert_eq!(good.count(), 400);
}

/// A meter whose samples are those of a reading.
fn meter(collector: &Collector) -> (Arc<Counts>, MeterEnd) {
    let (journal, _writer) = Journal::start(Env::real(), Style::Json, Level::Error, std::io::sink()).unwrap();
    let meter = Meter::new(Env::real(), collector, journal);
    let counts = meter.counts();
    let end = meter.start(|points| scrape(&sample::reading(), |scrape| metrics::write(scrape, points)));
    (counts, end)
}

#[tokio::test]
async fn metrics_are_sent_again_and_again_and_once_more_at_the_end() {
    let (mut collector, mut bodies) = collector_of("/otlp/v1/metrics", Vec::new()).await;
    let (counts, end) = meter(&collector);
    let (first, second) = (bodies.recv().await.unwrap(), bodies.recv().await.unwrap());
    let size = |body: &Value| {
        check(body)
            .iter()
            .map(|(_, points)| points.len() as u64)
            .sum::<u64>()
    };
    assert_eq!(size(&first), size(&second));
    end.finish().await;
    assert!(counts.sent() >= 3 * size(&first), "{} were sent", counts.sent());
    assert_eq!((counts.dropped(), counts.failing()), (0, false));
    // One that is not due before the process ends says what there is all the same.
    collector.send_every = Duration::from_hours(1);
    while bodies.try_recv().is_ok() {}
    let (counts, end) = meter(&collector);
    end.finish().await;
    assert_eq!(counts.sent(), size(&bodies.recv().await.unwrap()));
}

#[tokio::test]
async fn an_export_that_is_not_taken_is_counted_and_the_next_makes_it_good() {
    let script = vec![(400, ""), (503, "0"), (200, "")];
    let (collector, mut bodies) = collector_of("/otlp/v1/metrics", script).await;
    let (counts, end) = meter(&collector);
    let first = bodies.recv().await.unwrap();
    let size: u64 = check(&first).iter().map(|(_, points)| points.len() as u64).sum();
    for _ in 0..3 {
        bodies.recv().await.unwrap();
    }
    // The fourth was sent, so the third was taken.
    assert_eq!(counts.dropped(), 2 * size);
    assert!(!counts.failing() && counts.sent() >= size);
    end.finish().await;
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_said_to_be_failing() {
    let (mut collector, _bodies) = collector_of("/otlp/v1/metrics", Vec::new()).await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    collector.port = unused.local_addr().unwrap().port();
    drop(unused);
    let (counts, end) = meter(&collector);
    end.finish().await;
    assert!(counts.failing() && counts.dropped() > 0 && counts.sent() == 0);
}

/// The samples of a body, as Prometheus would name them.
fn samples(body: &Value) -> Vec<(Series, f64)> {
    let mut samples = Vec::new();
    for (metric, points) in check(body) {
        let name = metric["name"].as_str().unwrap();
        for point in points {
            let labels = labels(&point["attributes"]);
            if metric.get("histogram").is_some() {
                histogram(name, &labels, &point, &mut samples);
                continue;
            }
            let suffix = if metric.get("sum").is_some() { "_total" } else { "" };
            let value = match point.get("asInt") {
                Some(whole) => whole.as_str().unwrap().parse().unwrap(),
                None => point["asDouble"].as_f64().unwrap(),
            };
            samples.push(((format!("{name}{suffix}"), labels), value));
        }
    }
    samples
}

fn histogram(name: &str, labels: &BTreeMap<String, String>, point: &Value, samples: &mut Vec<(Series, f64)>) {
    let bounds = point["explicitBounds"].as_array().unwrap().iter();
    let bounds = bounds.map(|bound| format!("{:?}", bound.as_f64().unwrap()));
    let mut below = 0.0;
    for (bound, count) in bounds
        .chain(["+Inf".to_owned()])
        .zip(point["bucketCounts"].as_array().unwrap())
    {
        below += count.as_str().unwrap().parse::<f64>().unwrap();
        let mut labels = labels.clone();
        labels.insert("le".to_owned(), bound);
        samples.push(((format!("{name}_bucket"), labels), below));
    }
    let count: f64 = point["count"].as_str().unwrap().parse().unwrap();
    assert_eq!(count.to_bits(), below.to_bits(), "the buckets hold all of them");
    samples.push(((format!("{name}_count"), labels.clone()), count));
    samples.push((
        (format!("{name}_sum"), labels.clone()),
        point["sum"].as_f64().unwrap(),
    ));
}

fn labels(attributes: &Value) -> BTreeMap<String, String> {
    let pair = |attribute: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&attribute["key"]), text(&attribute["value"]["stringValue"]))
    };
    let pairs: Vec<_> = attributes.as_array().unwrap().iter().map(pair).collect();
    let labels: BTreeMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(labels.len(), pairs.len(), "a label stands twice");
    assert!(labels.values().all(|value| !value.is_empty()));
    labels
}

/// Checks a body against the protocol's JSON encoding, and returns its metrics, each with its points.
fn check(body: &Value) -> Vec<(Value, Vec<Value>)> {
    let keys = |value: &Value, allowed: &[&str]| {
        for key in value.as_object().unwrap().keys() {
            assert!(allowed.contains(&key.as_str()), "{key} is no field here");
        }
    };
    let nanos = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    keys(body, &["resourceMetrics"]);
    let resource = &body["resourceMetrics"][0];
    keys(resource, &["resource", "scopeMetrics"]);
    assert!(labels(&resource["resource"]["attributes"]).contains_key("service.name"));
    let scope = &resource["scopeMetrics"][0];
    keys(scope, &["scope", "metrics"]);
    let mut metrics = Vec::new();
    for metric in scope["metrics"].as_array().unwrap() {
        let (kind, fields): (_, &[&str]) = match () {
            () if metric.get("sum").is_some() => {
                ("sum", &["dataPoints", "aggregationTemporality", "isMonotonic"])
            }
            () if metric.get("gauge").is_some() => ("gauge", &["dataPoints"]),
            () => ("histogram", &["dataPoints", "aggregationTemporality"]),
        };
        keys(metric, &["name", "description", "unit", kind]);
        keys(&metric[kind], fields);
        let points = metric[kind]["dataPoints"].as_array().unwrap();
        assert!(!points.is_empty(), "{metric}");
        for point in points {
            let times = ["attributes", "startTimeUnixNano", "timeUnixNano"];
            let value: &[&str] = if kind == "histogram" {
                &["count", "sum", "bucketCounts", "explicitBounds", "exemplars"]
            } else {
                &["asInt", "asDouble"]
            };
            keys(point, &[&times[..], value].concat());
            assert!(nanos(&point["startTimeUnixNano"]) <= nanos(&point["timeUnixNano"]));
            if kind == "histogram" {
                let (counts, bounds) = (
                    &point["bucketCounts"],
                    point["explicitBounds"].as_array().unwrap(),
                );
                assert_eq!(counts.as_array().unwrap().len(), bounds.len() + 1);
                assert!(bounds.is_sorted_by(|a, b| a.as_f64() < b.as_f64()));
            } else {
                assert!(point.get("asInt").is_some() != point.get("asDouble").is_some());
            }
        }
        metrics.push((metric.clone(), points.clone()));
    }
    metrics
}
