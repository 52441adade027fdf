//! What can be written down of a metric, whoever reads it.
//!
//! Families are listed once, in [`families`](super::families), and written to a [`Sheet`]: the page that scrapers read
//! is one, the export to a collector another. So the two say the same.

use std::time::Duration;

use super::BOUNDS;
use crate::exemplars::Exemplar;

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

/// The value of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Whole(u64),
    Real(f64),
}

/// How long requests of one series took.
#[derive(Clone, Debug)]
pub(crate) struct Distribution<'a> {
    /// Requests that took at most as long as each of [`BOUNDS`] says.
    pub(crate) at_most: [u64; BOUNDS.len()],
    pub(crate) count: u64,
    pub(crate) sum: Duration,
    /// One for each bound, and one for what took longer.
    pub(crate) exemplars: [Option<&'a Exemplar>; BOUNDS.len() + 1],
}

/// Where families are written.
pub(crate) trait Sheet {
    /// Begins a family: all samples until the next are its own.
    fn family(&mut self, family: Family);

    /// A sample of a counter, gauge or info, or a quantile of a summary.
    fn sample(&mut self, labels: Labels<'_>, value: impl Into<Number>);

    /// A sample of a histogram.
    fn distribution(&mut self, labels: Labels<'_>, distribution: &Distribution<'_>);

    /// A sample of a family that has one only when it is known.
    fn sample_if_known(&mut self, labels: Labels<'_>, value: Option<impl Into<Number>>) {
        if let Some(value) = value {
            self.sample(labels, value);
        }
    }
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
