//! Placeholder, being written.
use core::time::Duration;
/// A lock-free histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {}
impl Histogram {
    /// Records one duration.
    pub fn record(&self, _value: Duration) {}
    /// A copy of what was recorded so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot::default()
    }
}
/// A mergeable copy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramSnapshot {}
impl HistogramSnapshot {
    /// Adds another.
    pub fn merge(&mut self, _other: &Self) {}
    /// The value at quantile `q` in `0.0..=1.0`.
    pub fn quantile(&self, _q: f64) -> Option<Duration> {
        None
    }
    /// How many were recorded.
    pub fn count(&self) -> u64 {
        0
    }
    /// Their sum.
    pub fn sum(&self) -> Duration {
        Duration::ZERO
    }
    /// How many were at most `bound`, for cumulative buckets.
    pub fn count_at_most(&self, _bound: Duration) -> u64 {
        0
    }
}
