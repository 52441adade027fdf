//! How families and samples are spelled in the two text formats.
//!
//! They differ in little: OpenMetrics names a counter's family without `_total`, states units, has an `info` type and
//! exemplars, and ends with `# EOF`. Bounds and quantiles are written as OpenMetrics' canonical floats (`1.0`) in
//! both, so that a series keeps its identity when a scraper changes the format.

use std::fmt::Write as _;

use super::BOUNDS;
use super::sheet::{Distribution, Family, Kind, Labels, Number, Sheet};
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

impl Sheet for Page {
    fn family(&mut self, family: Family) {
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

    fn sample(&mut self, labels: Labels<'_>, value: impl Into<Number>) {
        let suffix = match self.family.map(|family| family.kind) {
            Some(Kind::Counter) => "_total",
            Some(Kind::Info) => "_info",
            _ => "",
        };
        self.line(suffix, labels, None, value.into());
        self.text.push('\n');
    }

    fn distribution(&mut self, labels: Labels<'_>, distribution: &Distribution<'_>) {
        let Distribution {
            at_most,
            count,
            sum,
            exemplars,
        } = distribution;
        let bounds = BOUNDS.iter().map(|bound| canonical(bound.as_secs_f64()));
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for ((bound, count), exemplar) in bounds.zip(at_most.iter().chain([count])).zip(exemplars) {
            self.line("_bucket", labels, Some(("le", &bound)), Number::Whole(*count));
            if let Some(exemplar) = exemplar.filter(|_| self.format == Format::OpenMetrics) {
                self.exemplar(exemplar);
            }
            self.text.push('\n');
        }
        self.line("_count", labels, None, Number::Whole(*count));
        self.text.push('\n');
        self.line("_sum", labels, None, Number::Real(sum.as_secs_f64()));
        self.text.push('\n');
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
