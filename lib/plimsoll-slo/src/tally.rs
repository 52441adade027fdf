//! Counters of outcomes: one shard per core and series, written without locks and merged when read.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Class, Histogram, HistogramSnapshot, Outcome, Reason};

/// The counters of one series (route × tier × version) on one core.
///
/// Every field is written with relaxed atomics by one core and read by any: a reader may see an outcome's class
/// a moment before its latency, never a torn number.
#[derive(Debug)]
pub struct Tally {
    good: AtomicU64,
    bad: [AtomicU64; Reason::COUNT],
    excluded: [AtomicU64; Reason::COUNT],
    attempts: AtomicU64,
    retries: AtomicU64,
    latency: Histogram,
}

/// A copy of a [`Tally`], mergeable with copies of other shards.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TallySnapshot {
    /// Outcomes that were good.
    pub good: u64,
    /// Bad outcomes by [`Reason::index`].
    pub bad: [u64; Reason::COUNT],
    /// Excluded outcomes by [`Reason::index`].
    pub excluded: [u64; Reason::COUNT],
    /// Attempts sent to the upstream for these outcomes: more than the outcomes when there were retries.
    pub attempts: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Latency of good and bad outcomes; excluded ones are not in it.
    pub latency: HistogramSnapshot,
}

impl Tally {
    /// Counts one outcome.
    pub fn record(&self, outcome: &Outcome) {
        match outcome.class {
            Class::Good => self.good.fetch_add(1, Relaxed),
            Class::Bad(reason) => self.bad[reason.index()].fetch_add(1, Relaxed),
            Class::Excluded(reason) => self.excluded[reason.index()].fetch_add(1, Relaxed),
        };
        if !matches!(outcome.class, Class::Excluded(_)) {
            self.latency.record(outcome.latency);
        }
        self.attempts.fetch_add(u64::from(outcome.attempts), Relaxed);
        if outcome.attempts > 1 {
            self.retries.fetch_add(u64::from(outcome.attempts - 1), Relaxed);
        }
    }

    /// A copy of what was counted so far.
    pub fn snapshot(&self) -> TallySnapshot {
        TallySnapshot {
            good: self.good.load(Relaxed),
            bad: core::array::from_fn(|i| self.bad[i].load(Relaxed)),
            excluded: core::array::from_fn(|i| self.excluded[i].load(Relaxed)),
            attempts: self.attempts.load(Relaxed),
            retries: self.retries.load(Relaxed),
            latency: self.latency.snapshot(),
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            good: AtomicU64::new(0),
            bad: core::array::from_fn(|_| AtomicU64::new(0)),
            excluded: core::array::from_fn(|_| AtomicU64::new(0)),
            attempts: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            latency: Histogram::default(),
        }
    }
}

impl TallySnapshot {
    /// Adds the counts of another shard of the same series, or of another series.
    pub fn merge(&mut self, other: &Self) {
        self.good += other.good;
        for (mine, theirs) in self.bad.iter_mut().zip(&other.bad) {
            *mine += theirs;
        }
        for (mine, theirs) in self.excluded.iter_mut().zip(&other.excluded) {
            *mine += theirs;
        }
        self.attempts += other.attempts;
        self.retries += other.retries;
        self.latency.merge(&other.latency);
    }

    /// All bad outcomes.
    pub fn bad_total(&self) -> u64 {
        self.bad.iter().sum()
    }

    /// All excluded outcomes.
    pub fn excluded_total(&self) -> u64 {
        self.excluded.iter().sum()
    }

    /// All outcomes.
    pub fn total(&self) -> u64 {
        self.good + self.bad_total() + self.excluded_total()
    }
}

impl Default for TallySnapshot {
    fn default() -> Self {
        Tally::default().snapshot()
    }
}
