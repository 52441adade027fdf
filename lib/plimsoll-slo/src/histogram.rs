//! Latency, kept so that it can be merged: a log-linear histogram that is written without locks.
//!
//! Quantiles of two cores, or of two minutes, cannot be averaged; their buckets can be added. So every latency is
//! kept as a count in a bucket, and a quantile is computed only when somebody asks.
//!
//! **Buckets.** A value is rounded up to whole microseconds. Each octave `(2^(k+5), 2^(k+6)]` µs is cut into 64
//! equal buckets, and below 64 µs every microsecond has its own. A bucket includes its upper end, as the `le` of
//! Prometheus does. A quantile is answered with the middle of its bucket, so it is off by at most 1/128 (0.78 %) of
//! the true value, or by half a microsecond if that is more. This is the layout of HdrHistogram (Tene) and of
//! circllhist (Hartmann and Schlossnagle, 2020), with base 2.
//!
//! **Range.** 1 µs to 1 h. What is shorter or longer is counted at the nearest end; the sum and the maximum stay
//! exact.
//!
//! **Size.** An octave takes 512 bytes, allocated when its first value arrives: a histogram that was never used
//! takes less than 1 KiB, one that saw 1 ms to 1 s about 6 KiB, and none more than 15 KiB.
//!
//! **Failure.** There is none: no value is refused, and counters of 64 bits do not overflow (584,000 years of
//! accumulated latency). A reader that comes in the middle of a write may see the count of a value before its
//! sum or maximum; it never sees a torn number, and the next reader sees all three.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;
use std::sync::OnceLock;

/// Buckets in an octave: a power of two, so that a bucket's place is found by shifting.
const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 6;
/// The octave of single microseconds, and 26 that double, up to 2^32 µs (71 minutes): the first power past 1 h.
const OCTAVES: usize = 27;
/// The longest latency told apart, in microseconds.
const VALUE_MAX: u64 = 3_600_000_000;

/// A histogram of durations that any number of threads may write at once.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_slo::Histogram;
///
/// let latency = Histogram::default();
/// for ms in 1..=100 {
///     latency.record(Duration::from_millis(ms));
/// }
/// let seen = latency.snapshot();
/// assert_eq!(seen.count(), 100);
/// assert_eq!(seen.max(), Some(Duration::from_millis(100)));
/// let p50 = seen.quantile(0.5).unwrap().as_secs_f64();
/// assert!((p50 / 0.050 - 1.0).abs() <= 1.0 / 128.0);
/// ```
#[derive(Default)]
pub struct Histogram {
    octaves: [OnceLock<Box<[AtomicU64; BUCKETS]>>; OCTAVES],
    sum_micros: AtomicU64,
    /// What the whole microseconds leave over, in nanoseconds: two counters, because one of nanoseconds would
    /// overflow after three weeks with 10,000 requests in flight.
    sum_nanos: AtomicU64,
    max_nanos: AtomicU64,
}

impl Histogram {
    /// Counts one duration. Lock-free: four relaxed atomics, and an allocation for the first value of an octave.
    pub fn record(&self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        let (octave, bucket) = place(nanos.div_ceil(1_000));
        let counts = self.octaves[octave].get_or_init(|| Box::new([const { AtomicU64::new(0) }; BUCKETS]));
        counts[bucket].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(nanos / 1_000, Relaxed);
        self.sum_nanos.fetch_add(nanos % 1_000, Relaxed);
        // Reading first spares the cache line: a new maximum is rare.
        if nanos > self.max_nanos.load(Relaxed) {
            self.max_nanos.fetch_max(nanos, Relaxed);
        }
    }

    /// A copy of what was recorded so far.
    pub fn snapshot(&self) -> HistogramSnapshot {
        let copy =
            |counts: &[AtomicU64; BUCKETS]| Box::new(core::array::from_fn(|i| counts[i].load(Relaxed)));
        HistogramSnapshot {
            octaves: core::array::from_fn(|i| unless_zero(copy(self.octaves[i].get()?))),
            sum_nanos: u128::from(self.sum_micros.load(Relaxed)) * 1_000
                + u128::from(self.sum_nanos.load(Relaxed)),
            max_nanos: self.max_nanos.load(Relaxed),
        }
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().debug(f, "Histogram")
    }
}

/// A copy of a [`Histogram`]: it can be added to others, subtracted from later ones, and asked.
///
/// Adding is exact and its order does not matter: the sum of the snapshots of all cores is the snapshot of one
/// histogram that had recorded everything.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_slo::Histogram;
///
/// let latency = Histogram::default();
/// latency.record(Duration::from_secs(2));
/// let before = latency.snapshot();
/// latency.record(Duration::from_millis(3));
/// let window = latency.snapshot().minus(&before); // what happened since
/// assert_eq!(window.count(), 1);
/// assert_eq!(window.sum(), Duration::from_millis(3));
/// assert_eq!(window.count_at_most(Duration::from_millis(4)), 1);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// An octave without a value is always `None`, so that equal contents compare equal.
    octaves: [Option<Box<[u64; BUCKETS]>>; OCTAVES],
    sum_nanos: u128,
    max_nanos: u64,
}

impl HistogramSnapshot {
    /// Adds what another snapshot holds.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.octaves.iter_mut().zip(&other.octaves) {
            let Some(theirs) = theirs else { continue };
            let mine = mine.get_or_insert_with(|| Box::new([0; BUCKETS]));
            for (mine, theirs) in mine.iter_mut().zip(theirs.iter()) {
                *mine += theirs;
            }
        }
        self.sum_nanos += other.sum_nanos;
        self.max_nanos = self.max_nanos.max(other.max_nanos);
    }

    /// What was recorded between `earlier` and this one, both snapshots of the same histogram.
    ///
    /// Counts and sum are exact. The maximum is exact if it rose in between; if it did not, nobody remembers it,
    /// and the middle of the highest bucket in use stands for it, with the error of a quantile.
    /// If `earlier` is in truth a later snapshot, or one of another histogram, the result stops at zero.
    #[must_use]
    pub fn minus(&self, earlier: &Self) -> Self {
        let octaves = core::array::from_fn(|i| {
            let mut left = self.octaves[i].clone()?;
            if let Some(before) = &earlier.octaves[i] {
                for (left, before) in left.iter_mut().zip(before.iter()) {
                    *left = left.saturating_sub(*before);
                }
            }
            unless_zero(left)
        });
        let mut difference = Self {
            octaves,
            sum_nanos: self.sum_nanos.saturating_sub(earlier.sum_nanos),
            max_nanos: self.max_nanos,
        };
        if self.max_nanos <= earlier.max_nanos {
            let highest = difference
                .buckets()
                .last()
                .map_or(0, |(octave, bucket, _)| middle(octave, bucket));
            difference.max_nanos = highest.min(self.max_nanos);
        }
        difference
    }

    /// The value at quantile `q` by nearest rank, within 1/128 of its true value or half a microsecond.
    ///
    /// `q` is between 0.0 (the smallest) and 1.0 (the largest, exactly); what is outside counts as the nearer end,
    /// and NaN as 0.0. `None` when nothing was recorded.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((q * count as f64).ceil() as u64).clamp(1, count.max(1));
        let max = self.max()?;
        if rank == count {
            return Some(max);
        }
        let mut seen = 0;
        let (octave, bucket, _) = self.buckets().find(|(_, _, count)| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_nanos(middle(octave, bucket)).min(max))
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.buckets().map(|(_, _, count)| count).sum()
    }

    /// Their exact sum.
    pub fn sum(&self) -> Duration {
        let seconds = u64::try_from(self.sum_nanos / 1_000_000_000).unwrap_or(u64::MAX);
        Duration::new(seconds, (self.sum_nanos % 1_000_000_000) as u32)
    }

    /// The longest duration, exactly; see [`minus`](Self::minus) for the one exception. `None` when empty.
    pub fn max(&self) -> Option<Duration> {
        let used = self.octaves.iter().any(Option::is_some);
        used.then(|| Duration::from_nanos(self.max_nanos))
    }

    /// How many durations were at most `bound`, for the cumulative buckets of Prometheus.
    ///
    /// Whole buckets are counted: a duration longer than `bound` never is, and one that is shorter by less than
    /// 1/64 of `bound`, or a microsecond, may be left out. Exact when `bound` is the upper end of a bucket, as every power of two
    /// microseconds is. Never falls as more is recorded, which a Prometheus counter must not do; that is why the
    /// known maximum is not used to do better. A `bound` above 1 h counts everything.
    pub fn count_at_most(&self, bound: Duration) -> u64 {
        let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
        let within = |octave, bucket| micros > VALUE_MAX || upper_end(octave, bucket) <= micros;
        self.buckets()
            .take_while(|(octave, bucket, _)| within(*octave, *bucket))
            .map(|(_, _, count)| count)
            .sum()
    }

    /// The buckets in use, upwards: octave, bucket, count.
    fn buckets(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        let used = self
            .octaves
            .iter()
            .enumerate()
            .filter_map(|(i, octave)| Some((i, octave.as_deref()?)));
        used.flat_map(|(octave, counts)| {
            counts
                .iter()
                .enumerate()
                .map(move |(bucket, count)| (octave, bucket, *count))
        })
        .filter(|(_, _, count)| *count > 0)
    }

    fn debug(&self, f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
        let mut shown = f.debug_struct(name);
        shown.field("count", &self.count()).field("sum", &self.sum());
        for (name, q) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            shown.field(name, &self.quantile(q));
        }
        shown.finish_non_exhaustive()
    }
}

impl fmt::Debug for HistogramSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.debug(f, "HistogramSnapshot")
    }
}

/// The octave and the bucket of a value in microseconds.
fn place(micros: u64) -> (usize, usize) {
    // One less, because a bucket includes its upper end and not its lower.
    let offset = micros.clamp(1, VALUE_MAX) - 1;
    let octave = (u64::BITS - offset.leading_zeros()).saturating_sub(BUCKET_BITS);
    let bucket = (offset >> octave.saturating_sub(1)) as usize % BUCKETS;
    (octave as usize, bucket)
}

/// The longest value of a bucket, in microseconds.
fn upper_end(octave: usize, bucket: usize) -> u64 {
    match octave {
        0 => bucket as u64 + 1,
        _ => ((BUCKETS + bucket + 1) as u64) << (octave - 1),
    }
}

/// The middle of a bucket, in nanoseconds.
fn middle(octave: usize, bucket: usize) -> u64 {
    let width = 1u64 << octave.saturating_sub(1);
    upper_end(octave, bucket) * 1_000 - width * 500
}

fn unless_zero(counts: Box<[u64; BUCKETS]>) -> Option<Box<[u64; BUCKETS]>> {
    counts.iter().any(|&count| count > 0).then_some(counts)
}

#[cfg(test)]
mod tests;
