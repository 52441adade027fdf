//! How families and samples are spelled in the two text formats.
//!
//! They differ in little: OpenMetrics names a counter's family without `_total`, states units, has an `info` type and
//! exemplars, and ends with `# EOF`. Bounds and quantiles are written as OpenMetrics' canonical floats (`1.0`) in
//! both, so that a series keeps its identity when a scraper changes the format.

use std::fmt::Write as _;
use std::time::Duration;

use crate::exemplars::Exemplar;

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// What a family counts or shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    Info,
}

/// The head of a family. The name is without `_total` and `_info`, and ends with the unit if there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// `""` for counts of things.
    pub(crate) unit: &'static str,
    pub(crate) help: &'static str,
}

/// Names and values of a sample's labels.
pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

/// Unicode characters that the label set of an exemplar may have, names and values together (OpenMetrics 1.0).
const EXEMPLAR_CHARS_MAX: usize = 128;

/// A page being written.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    format: Format,
    family: Option<Family>,
}

impl Page {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            text: String::with_capacity(64 << 10),
            format,
            family: None,
        }
    }

    /// Begins a family: all samples until the next are its own.
    pub(crate) fn family(&mut self, family: Family) {
        let Family {
            name,
            kind,
            unit,
            help,
        } = family;
        let (suffix, kind) = match (self.format, kind) {
            (Format::Prometheus, Kind::Counter) => ("_total", "counter"),
            (Format::Prometheus, Kind::Info) => ("_info", "gauge"),
            (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
            (Format::OpenMetrics, Kind::Info) => ("", "info"),
            (_, Kind::Gauge) => ("", "gauge"),
            (_, Kind::Histogram) => ("", "histogram"),
            (_, Kind::Summary) => ("", "summary"),
        };
        self.push(format_args!("# TYPE {name}{suffix} {kind}\n"));
        if self.format == Format::OpenMetrics && !unit.is_empty() {
            self.push(format_args!("# UNIT {name} {unit}\n"));
        }
        self.push(format_args!("# HELP {name}{suffix} "));
        // OpenMetrics escapes quotes in help, the older format does not know that escape.
        escape(&mut self.text, help, self.format == Format::OpenMetrics);
        self.text.push('\n');
        self.family = Some(family);
    }

    /// A sample of a counter, gauge or info, or a quantile of a summary.
    pub(crate) fn sample(&mut self, labels: Labels<'_>, value: impl Into<Number>) {
        let suffix = match self.family.map(|family| family.kind) {
            Some(Kind::Counter) => "_total",
            Some(Kind::Info) => "_info",
            _ => "",
        };
        self.line(suffix, labels, None, value.into());
        self.text.push('\n');
    }

    /// A sample of a family that has one only when it is known.
    pub(crate) fn sample_if_known(&mut self, labels: Labels<'_>, value: Option<impl Into<Number>>) {
        if let Some(value) = value {
            self.sample(labels, value);
        }
    }

    /// One cumulative bucket of a histogram; `None` is the one without a bound.
    pub(crate) fn bucket(
        &mut self,
        labels: Labels<'_>,
        bound: Option<Duration>,
        count: u64,
        exemplar: Option<&Exemplar>,
    ) {
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| canonical(bound.as_secs_f64()));
        self.line("_bucket", labels, Some(("le", &bound)), Number::Whole(count));
        if let Some(exemplar) = exemplar.filter(|_| self.format == Format::OpenMetrics) {
            self.exemplar(exemplar);
        }
        self.text.push('\n');
    }

    /// What closes a histogram: the count and the sum.
    pub(crate) fn sum(&mut self, labels: Labels<'_>, count: u64, sum: Duration) {
        self.line("_count", labels, None, Number::Whole(count));
        self.text.push('\n');
        self.line("_sum", labels, None, Number::Real(sum.as_secs_f64()));
        self.text.push('\n');
    }

    pub(crate) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, last: Option<(&str, &str)>, value: Number) {
        let name = self.family.map_or("", |family| family.name);
        self.push(format_args!("{name}{suffix}"));
        let mut separator = '{';
        for (label, value) in labels.iter().copied().chain(last) {
            self.push(format_args!("{separator}{label}=\""));
            escape(&mut self.text, value, true);
            self.text.push('"');
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        match value {
            Number::Whole(value) => self.push(format_args!(" {value}")),
            Number::Real(value) => self.push(format_args!(" {}", canonical(value))),
        }
    }

    /// ` # {trace_id="…",request_id="…"} 0.25 1795464600.25`; the request id only if there is room for it.
    fn exemplar(&mut self, exemplar: &Exemplar) {
        let mut labels = vec![("trace_id", format!("{:032x}", exemplar.trace_id))];
        let taken = "trace_id".len() + 32 + "request_id".len();
        if taken + exemplar.request_id.chars().count() <= EXEMPLAR_CHARS_MAX {
            labels.push(("request_id", exemplar.request_id.to_string()));
        }
        let mut separator = " # {";
        for (label, value) in &labels {
            self.push(format_args!("{separator}{label}=\""));
            escape(&mut self.text, value, true);
            self.text.push('"');
            separator = ",";
        }
        let (latency, at) = (exemplar.latency.as_secs_f64(), exemplar.at);
        let at = format!("{}.{:03}", at.as_secs(), at.subsec_millis());
        self.push(format_args!("}} {} {at}", canonical(latency)));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// The value of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        Self::Whole(value.into())
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// A float as OpenMetrics writes it: never without a point, and the infinities and NaN by its names.
pub(super) fn canonical(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else if value.fract().abs() == 0.0 && value.abs() < 1e15 {
        format!("{value:.1}")
    } else {
        format!("{value}")
    }
}

/// Escapes for a label value, and without `quotes` for the help of the older format.
fn escape(out: &mut String, text: &str, quotes: bool) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            letter => out.push(letter),
        }
    }
}
