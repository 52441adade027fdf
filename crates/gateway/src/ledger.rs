//! Where outcomes are counted: one shard per core, series by route × tier × version, merged when read.
//!
//! A core writes only its own shard, so counting never contends. A series is given a number when a plan is applied;
//! a name that comes back after a reload gets its old number, so counts go on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use plimsoll_slo::{Outcome, Tally, TallySnapshot};

/// Series that may exist in one process. At about 4 KiB each and core when in use; beyond it all share the last.
pub const SERIES_MAX: usize = 4096;

/// What a series counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The route's name; `-` for requests that found none.
    pub route: Arc<str>,
    /// The tier's name.
    pub tier: Arc<str>,
    /// The upstream's name; `-` for none.
    pub upstream: Arc<str>,
    /// The version of the upstream; `-` for none.
    pub version: Arc<str>,
}

/// The number of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SeriesId(u32);

/// All counters of all cores.
#[derive(Debug)]
pub struct Ledger {
    keys: Mutex<Keys>,
    shards: Vec<Arc<Shard>>,
    overflowed: AtomicU64,
}

#[derive(Debug, Default)]
struct Keys {
    by_number: Vec<SeriesKey>,
    by_key: HashMap<SeriesKey, SeriesId>,
}

/// One core's counters.
#[derive(Debug)]
pub(crate) struct Shard {
    tallies: Box<[OnceLock<Box<Tally>>]>,
}

impl Ledger {
    /// A ledger for so many cores.
    pub fn new(cores: usize) -> Self {
        let shard = || Shard {
            tallies: (0..SERIES_MAX).map(|_| OnceLock::new()).collect(),
        };
        Self {
            keys: Mutex::default(),
            shards: (0..cores).map(|_| Arc::new(shard())).collect(),
            overflowed: AtomicU64::new(0),
        }
    }

    /// The number of the series of this key, a new one if it has none. When all are given out, the last is shared
    /// and [`Ledger::overflowed`] counts it.
    pub(crate) fn series(&self, key: SeriesKey) -> SeriesId {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = keys.by_key.get(&key) {
            return *id;
        }
        if keys.by_number.len() == SERIES_MAX {
            self.overflowed.fetch_add(1, Relaxed);
            return SeriesId(SERIES_MAX as u32 - 1);
        }
        let id = SeriesId(keys.by_number.len() as u32);
        keys.by_number.push(key.clone());
        keys.by_key.insert(key, id);
        id
    }

    /// The shard of one core.
    pub(crate) fn shard(&self, core: usize) -> Arc<Shard> {
        Arc::clone(&self.shards[core])
    }

    /// Series that had to share a number because all were given out.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Relaxed)
    }

    /// Every series that counted anything, merged over the cores, in the order of their keys.
    pub fn snapshot(&self) -> Vec<(SeriesKey, TallySnapshot)> {
        let keys = self
            .keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .by_number
            .clone();
        let mut series: Vec<_> = keys
            .into_iter()
            .enumerate()
            .filter_map(|(number, key)| {
                let mut tallies = self.shards.iter().filter_map(|shard| shard.tallies[number].get());
                let mut sum = tallies.next()?.snapshot();
                tallies.for_each(|tally| sum.merge(&tally.snapshot()));
                Some((key, sum))
            })
            .collect();
        series.sort_by(|(a, _), (b, _)| a.cmp(b));
        series
    }
}

impl Shard {
    /// Counts one outcome.
    pub(crate) fn record(&self, series: SeriesId, outcome: &Outcome) {
        self.tally(series).record(outcome);
    }

    /// The counters of one series on this core.
    pub(crate) fn tally(&self, series: SeriesId) -> &Tally {
        self.tallies[series.0 as usize].get_or_init(Box::default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_slo::Class;
    use std::time::Duration;

    fn key(route: &str) -> SeriesKey {
        SeriesKey {
            listener: "in".into(),
            route: route.into(),
            tier: "other".into(),
            upstream: "u".into(),
            version: "stable".into(),
        }
    }

    #[test]
    fn shards_merge_and_numbers_are_kept() {
        let ledger = Ledger::new(2);
        let id = ledger.series(key("a"));
        assert_eq!(ledger.series(key("a")), id);
        let outcome = Outcome {
            class: Class::Good,
            latency: Duration::from_millis(5),
            first_byte: Duration::from_millis(4),
            attempts: 2,
        };
        ledger.shard(0).record(id, &outcome);
        ledger.shard(1).record(id, &outcome);
        let snapshot = ledger.snapshot();
        assert_eq!(snapshot.len(), 1);
        assert_eq!(
            (snapshot[0].1.good, snapshot[0].1.attempts, snapshot[0].1.retries),
            (2, 4, 2)
        );
    }

    #[test]
    fn more_series_than_fit_share_the_last_and_are_counted() {
        let ledger = Ledger::new(1);
        for number in 0..SERIES_MAX + 3 {
            ledger.series(key(&number.to_string()));
        }
        assert_eq!(ledger.overflowed(), 3);
    }
}
