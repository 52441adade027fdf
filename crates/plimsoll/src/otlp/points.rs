//! From metrics to data points: the families of the metrics page, in the JSON encoding of protobuf as OTLP wants it.
//!
//! Counters are cumulative and monotonic sums, histograms are cumulative with the page's bounds, and everything else
//! is a gauge; a summary's quantile is a gauge for each quantile, since OTLP keeps its own summaries for old sources
//! only. Names are those of the families: who turns them into Prometheus' again adds the `_total` of counters. Units
//! are UCUM's.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::span::text;
use crate::metrics::BOUNDS;
use crate::metrics::sheet::{Distribution, Family, Kind, Labels, Number, Sheet};

/// Data points in one request. At a few hundred bytes each, and a few thousand for a histogram, it stays far below
/// the 20 MiB that a collector takes by default.
const POINTS_MAX: u64 = 2000;

/// `AggregationTemporality` of the protocol.
const CUMULATIVE: u8 = 2;

/// One request to the collector.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) body: Bytes,
    pub(super) points: u64,
}

/// A sheet that becomes requests.
#[derive(Debug)]
pub(crate) struct Points<'a> {
    resource: &'a [(String, String)],
    /// When counting began and when this was counted, since the Unix epoch.
    counted: (Duration, Duration),
    requests: Vec<Request>,
    /// Of the request that is being written.
    metrics: Vec<Value>,
    /// Its data points.
    size: u64,
    /// Of the metric that is being written.
    family: Option<Family>,
    samples: Vec<Value>,
}

impl<'a> Points<'a> {
    pub(super) fn new(resource: &'a [(String, String)], counted: (Duration, Duration)) -> Self {
        Self {
            resource,
            counted,
            requests: Vec::new(),
            metrics: Vec::new(),
            size: 0,
            family: None,
            samples: Vec::new(),
        }
    }

    /// What is to be sent; nothing if nothing was written.
    pub(super) fn finish(mut self) -> Vec<Request> {
        self.end_metric();
        self.end_request();
        self.requests
    }

    fn point(&mut self, labels: Labels<'_>, mut point: Value) {
        // A label without a value is one that is not there; Prometheus sees it so, too.
        let labels = labels.iter().filter(|(_, value)| !value.is_empty());
        let attributes: Vec<Value> = labels.map(|(name, value)| text(name, value)).collect();
        let (began, now) = self.counted;
        point["attributes"] = attributes.into();
        point["startTimeUnixNano"] = nanos(began);
        point["timeUnixNano"] = nanos(now);
        self.samples.push(point);
        self.size += 1;
        if self.size >= POINTS_MAX {
            self.end_metric();
            self.end_request();
        }
    }

    fn end_metric(&mut self) {
        let samples = std::mem::take(&mut self.samples);
        if let Some(family) = self.family
            && !samples.is_empty()
        {
            self.metrics.push(metric(family, samples));
        }
    }

    fn end_request(&mut self) {
        let metrics = std::mem::take(&mut self.metrics);
        if metrics.is_empty() {
            return;
        }
        let attributes: Vec<Value> = self
            .resource
            .iter()
            .map(|(name, value)| text(name, value))
            .collect();
        let mut scope = json!({ "scope": { "name": "plimsoll", "version": env!("CARGO_PKG_VERSION") } });
        scope["metrics"] = metrics.into();
        let mut of_resource = json!({ "resource": { "attributes": attributes } });
        of_resource["scopeMetrics"] = vec![scope].into();
        let mut body = json!({});
        body["resourceMetrics"] = vec![of_resource].into();
        self.requests.push(Request {
            body: body.to_string().into(),
            points: std::mem::take(&mut self.size),
        });
    }
}

impl Sheet for Points<'_> {
    fn family(&mut self, family: Family) {
        self.end_metric();
        self.family = Some(family);
    }

    fn sample(&mut self, labels: Labels<'_>, value: impl Into<Number>) {
        let point = match value.into() {
            Number::Whole(value) => json!({ "asInt": whole(value.min(i64::MAX as u64)) }),
            Number::Real(value) => json!({ "asDouble": real(value) }),
        };
        self.point(labels, point);
    }

    fn distribution(&mut self, labels: Labels<'_>, distribution: &Distribution<'_>) {
        let Distribution {
            at_most,
            count,
            sum,
            exemplars,
        } = distribution;
        // The page's buckets hold all that is below, OTLP's what is between two bounds.
        let mut below = 0;
        let buckets = at_most.iter().chain([count]).map(|at_most| {
            let between = at_most.saturating_sub(below);
            below = *at_most;
            whole(between)
        });
        let buckets: Vec<Value> = buckets.collect();
        let bounds = BOUNDS.map(|bound| bound.as_secs_f64());
        let exemplars = exemplars.iter().flatten().map(|exemplar| {
            json!({
                "timeUnixNano": nanos(exemplar.at),
                "asDouble": exemplar.latency.as_secs_f64(),
                "traceId": format!("{:032x}", exemplar.trace_id),
                "filteredAttributes": [text("request_id", &exemplar.request_id)],
            })
        });
        let point = json!({
            "count": whole(*count),
            "sum": sum.as_secs_f64(),
            "bucketCounts": buckets,
            "explicitBounds": bounds,
            "exemplars": exemplars.collect::<Vec<_>>(),
        });
        self.point(labels, point);
    }
}

fn metric(family: Family, samples: Vec<Value>) -> Value {
    let Family {
        name,
        kind,
        unit,
        help,
    } = family;
    let mut metric = json!({ "name": name, "description": help, "unit": ucum(unit) });
    let (what, mut data) = match kind {
        Kind::Counter => (
            "sum",
            json!({ "aggregationTemporality": CUMULATIVE, "isMonotonic": true }),
        ),
        Kind::Histogram => ("histogram", json!({ "aggregationTemporality": CUMULATIVE })),
        Kind::Gauge | Kind::Summary | Kind::Info => ("gauge", json!({})),
    };
    if kind == Kind::Info {
        metric["name"] = format!("{name}_info").into();
    }
    data["dataPoints"] = samples.into();
    metric[what] = data;
    metric
}

/// The unit in UCUM, which OpenTelemetry asks for; counts of things have none.
fn ucum(unit: &str) -> &str {
    match unit {
        "seconds" => "s",
        "bytes" => "By",
        "ratio" => "1",
        "cores" => "{core}",
        unit => unit,
    }
}

fn nanos(time: Duration) -> Value {
    time.as_nanos().to_string().into()
}

/// 64-bit integers are texts in JSON.
fn whole(value: u64) -> Value {
    value.to_string().into()
}

/// What is no number is written as a word.
fn real(value: f64) -> Value {
    if value.is_finite() {
        value.into()
    } else if value.is_nan() {
        "NaN".into()
    } else if value > 0.0 {
        "Infinity".into()
    } else {
        "-Infinity".into()
    }
}
