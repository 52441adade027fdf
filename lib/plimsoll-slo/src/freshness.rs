//! How soon what was committed can be seen: an order in a search, a payment in a report, a row in a replica.
//!
//! An event is announced when it is committed, and told of again when it can be seen. It is good if that takes no longer
//! than promised. One that is due and still unseen is bad now, and never counts again: so a consumer that stands still burns
//! its budget at once, and not when it goes on.
//!
//! What waits is bounded by [`WAITING_MAX`]; one more is not waited for, and is told.

use core::time::Duration;
use std::collections::{BTreeSet, HashMap};

/// Events that are waited for at once: some 60 bytes each.
pub const WAITING_MAX: usize = 100_000;

/// The events of one objective that are committed and not seen yet. Times are milliseconds since the Unix epoch.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_slo::{Fresh, Freshness};
///
/// let mut orders = Freshness::new(Duration::from_secs(30));
/// assert_eq!(orders.committed(1, 1_000, 1_200), Fresh::Waits);
/// assert_eq!(orders.committed(2, 1_000, 1_200), Fresh::Waits);
/// assert_eq!(orders.seen(1, None, 9_000), Fresh::Good);
/// assert_eq!(orders.overdue(31_001), vec![2]);
/// assert_eq!(orders.seen(2, None, 40_000), Fresh::Unknown, "it was bad already");
/// ```
#[derive(Clone, Debug)]
pub struct Freshness {
    within: u64,
    /// By event when it is due.
    waiting: HashMap<u64, u64>,
    /// The same by time.
    due: BTreeSet<(u64, u64)>,
    turned_away: u64,
}

/// What became of what was told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// It counts, as one that was seen in time.
    Good,
    /// It counts, as one that was not.
    Bad,
    /// Nobody knows yet.
    Waits,
    /// It is known already that it waits.
    Known,
    /// Nothing was announced under this id, or it counted already.
    Unknown,
    /// Too many are waited for.
    TurnedAway,
}

/// How it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreshnessReading {
    /// Events that are committed, and neither seen nor due.
    pub waiting: u64,
    /// How long the oldest of them has waited.
    pub oldest: Option<Duration>,
    /// Events that could not be waited for.
    pub turned_away: u64,
}

impl Freshness {
    /// Of nothing yet, that is to be seen within this time.
    pub fn new(within: Duration) -> Self {
        Self {
            within: within.as_millis() as u64,
            waiting: HashMap::new(),
            due: BTreeSet::new(),
            turned_away: 0,
        }
    }

    /// An event was committed at `at`; it is `now`.
    pub fn committed(&mut self, id: u64, at: u64, now: u64) -> Fresh {
        if self.waiting.contains_key(&id) {
            return Fresh::Known;
        }
        let due = at.saturating_add(self.within);
        if due < now {
            return Fresh::Bad;
        }
        if self.waiting.len() >= WAITING_MAX {
            self.turned_away += 1;
            return Fresh::TurnedAway;
        }
        self.waiting.insert(id, due);
        self.due.insert((due, id));
        Fresh::Waits
    }

    /// An event could be seen at `at`, whose commit is known from before or told of now.
    pub fn seen(&mut self, id: u64, committed: Option<u64>, at: u64) -> Fresh {
        let waited = self.waiting.remove(&id);
        if let Some(due) = waited {
            self.due.remove(&(due, id));
        }
        let due = committed.map(|committed| committed.saturating_add(self.within));
        match waited.or(due) {
            None => Fresh::Unknown,
            Some(due) if at <= due => Fresh::Good,
            Some(_) => Fresh::Bad,
        }
    }

    /// Those that are due by now: they are bad, and not waited for any more.
    pub fn overdue(&mut self, now: u64) -> Vec<u64> {
        let later = self.due.split_off(&(now, 0));
        let overdue = core::mem::replace(&mut self.due, later);
        let ids = overdue.into_iter().map(|(_, id)| id);
        ids.inspect(|id| _ = self.waiting.remove(id)).collect()
    }

    /// How it stands by now.
    pub fn reading(&self, now: u64) -> FreshnessReading {
        let oldest = self.due.first().map(|(due, _)| due.saturating_sub(self.within));
        FreshnessReading {
            waiting: self.waiting.len() as u64,
            oldest: oldest.map(|committed| Duration::from_millis(now.saturating_sub(committed))),
            turned_away: self.turned_away,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unseen_when_it_is_due_is_bad_once() {
        let mut fresh = Freshness::new(Duration::from_secs(10));
        assert_eq!(fresh.committed(1, 0, 500), Fresh::Waits);
        assert_eq!(fresh.committed(1, 0, 600), Fresh::Known, "it was told twice");
        assert_eq!(fresh.committed(2, 3_000, 3_000), Fresh::Waits);
        assert_eq!(fresh.reading(4_000).oldest, Some(Duration::from_secs(4)));
        assert_eq!(
            fresh.overdue(10_000),
            [0; 0],
            "it may be seen in this very moment"
        );
        assert_eq!(fresh.overdue(10_001), [1]);
        assert_eq!(fresh.overdue(10_001), [0; 0]);
        assert_eq!(fresh.seen(1, None, 11_000), Fresh::Unknown);
        assert_eq!(fresh.seen(2, None, 13_000), Fresh::Good);
        assert_eq!(fresh.reading(13_000), FreshnessReading::default());
        // Of one that is told of too late nobody has to wait to know.
        assert_eq!(fresh.committed(3, 0, 20_000), Fresh::Bad);
        assert_eq!(fresh.seen(4, Some(20_000), 29_000), Fresh::Good);
        assert_eq!(fresh.seen(5, Some(20_000), 31_000), Fresh::Bad);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut fresh = Freshness::new(Duration::from_secs(10));
        (0..WAITING_MAX as u64).for_each(|id| _ = fresh.committed(id, 0, 0));
        assert_eq!(fresh.committed(u64::MAX, 0, 0), Fresh::TurnedAway);
        assert_eq!(fresh.reading(0).turned_away, 1);
        assert_eq!(fresh.overdue(20_000).len(), WAITING_MAX);
        assert_eq!(fresh.committed(u64::MAX, 20_000, 20_000), Fresh::Waits);
    }
}
