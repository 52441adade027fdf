//! A minute as one instance saw it, second by second: what several have to tell each other so that all judge alike.

use crate::Counts;

/// A second of a minute, and what happened in it.
pub type HappenedAt = (u8, Counts);
/// The place of a caller (see [`Callers`](crate::Callers)), and the second in which it failed first.
pub type FailedAt = (u16, u8);

/// What happened in the seconds of a minute, which of them were measured, and in which each caller failed first.
///
/// Those of several instances can be added up: a caller who failed at two of them failed once, when it did so first.
///
/// ```
/// use plimsoll_slo::{Counts, MinuteLog};
///
/// let (mut one, mut other) = (MinuteLog::default(), MinuteLog::default());
/// one.count(7, Counts { good: 3, bad: 1 }, [42]);
/// other.count(5, Counts { good: 0, bad: 2 }, [42, 43]);
/// one.merge(&other);
/// assert_eq!(one.counts(), Counts { good: 3, bad: 3 });
/// assert_eq!(one.second(5).callers, 2);
/// assert_eq!(one.second(7).callers, 0);
/// assert_eq!(one.measured(), 2);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinuteLog {
    /// A bit for each second that was measured.
    measured: u64,
    /// Seconds in which something happened, the earliest first.
    events: Vec<HappenedAt>,
    /// Callers that failed, in the order of their places.
    failed: Vec<FailedAt>,
}

/// A second of a [`MinuteLog`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecondLog {
    /// What happened in it.
    pub counts: Counts,
    /// Callers that failed in it for the first time in the minute.
    pub callers: u64,
    /// Whether somebody measured it.
    pub is_measured: bool,
}

impl MinuteLog {
    /// A second of the minute (0 to 59) was measured, and this happened in it. `failed` are the places of callers that
    /// failed, of which those that had failed in the minute before are known already. Called again it adds to it.
    ///
    /// # Panics
    /// If there is no such second.
    pub fn count(&mut self, second: u8, counts: Counts, failed: impl IntoIterator<Item = u16>) {
        assert!(second < 60, "a minute has 60 seconds");
        self.measured |= 1 << second;
        self.add(second, counts);
        failed.into_iter().for_each(|place| self.fail(place, second));
    }

    /// A minute of which no more is known than what happened in it, and how many of its seconds were measured: as if those
    /// had been the first, and all of it had happened in the last of them. Who failed is not known.
    pub fn of_minute(counts: Counts, measured: u8) -> Self {
        let measured = measured.min(60);
        let mut log = Self {
            measured: (1 << measured) - 1,
            ..Self::default()
        };
        log.add(measured.saturating_sub(1), counts);
        log
    }

    fn add(&mut self, second: u8, counts: Counts) {
        if counts == Counts::default() {
            return;
        }
        match self.events.binary_search_by_key(&second, |(at, _)| *at) {
            Ok(at) => {
                let sum = &mut self.events[at].1;
                sum.good = sum.good.saturating_add(counts.good);
                sum.bad = sum.bad.saturating_add(counts.bad);
            }
            Err(at) => self.events.insert(at, (second, counts)),
        }
    }

    fn fail(&mut self, place: u16, second: u8) {
        match self.failed.binary_search_by_key(&place, |(of, _)| *of) {
            Ok(at) => self.failed[at].1 = self.failed[at].1.min(second),
            Err(at) => self.failed.insert(at, (place, second)),
        }
    }

    /// Whether the caller of this place failed in it.
    pub fn has_failed(&self, place: u16) -> bool {
        self.failed.binary_search_by_key(&place, |(of, _)| *of).is_ok()
    }

    /// Adds what another has seen of the same minute.
    pub fn merge(&mut self, other: &Self) {
        self.measured |= other.measured;
        other
            .events
            .iter()
            .for_each(|(at, counts)| self.add(*at, *counts));
        other.failed.iter().for_each(|(place, at)| self.fail(*place, *at));
    }

    /// What happened in the whole minute.
    pub fn counts(&self) -> Counts {
        self.events
            .iter()
            .fold(Counts::default(), |sum, (_, counts)| Counts {
                good: sum.good.saturating_add(counts.good),
                bad: sum.bad.saturating_add(counts.bad),
            })
    }

    /// Seconds that were measured: 0 to 60.
    pub const fn measured(&self) -> u8 {
        self.measured.count_ones() as u8
    }

    /// A second of it: 0 to 59.
    pub fn second(&self, second: u8) -> SecondLog {
        let events = self.events.binary_search_by_key(&second, |(at, _)| *at);
        SecondLog {
            counts: events.map_or(Counts::default(), |at| self.events[at].1),
            callers: self.failed.iter().filter(|(_, at)| *at == second).count() as u64,
            is_measured: second < 60 && self.measured >> second & 1 == 1,
        }
    }

    /// Every second of it, in order.
    pub fn seconds(&self) -> [SecondLog; 60] {
        let mut seconds: [SecondLog; 60] = core::array::from_fn(|second| SecondLog {
            is_measured: self.measured >> second & 1 == 1,
            ..SecondLog::default()
        });
        for (second, counts) in &self.events {
            seconds[usize::from(*second)].counts = *counts;
        }
        for (_, second) in &self.failed {
            seconds[usize::from(*second)].callers += 1;
        }
        seconds
    }

    /// What it is made of, to be written down: a bit for each second that was measured, what happened in those in which
    /// something did, and in which each caller failed first.
    pub fn parts(&self) -> (u64, &[HappenedAt], &[FailedAt]) {
        (self.measured, &self.events, &self.failed)
    }

    /// The same, as it is read; `None` if no minute can have been so.
    pub fn of_parts(measured: u64, events: Vec<HappenedAt>, failed: Vec<FailedAt>) -> Option<Self> {
        let in_order = events.is_sorted_by(|a, b| a.0 < b.0) && failed.is_sorted_by(|a, b| a.0 < b.0);
        let are_seconds = measured >> 60 == 0
            && events.iter().all(|(second, _)| *second < 60)
            && failed.iter().all(|(_, second)| *second < 60);
        (in_order && are_seconds).then_some(Self {
            measured,
            events,
            failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_at_two_instances_failed_once_and_the_order_does_not_matter() {
        let log = |counted: &[(u8, u64, &[u16])]| {
            let mut log = MinuteLog::default();
            for (second, bad, places) in counted {
                log.count(*second, Counts { good: 1, bad: *bad }, places.iter().copied());
            }
            log
        };
        let logs = [
            log(&[(0, 1, &[9]), (30, 1, &[9, 3])]),
            log(&[(10, 2, &[3])]),
            log(&[(59, 0, &[])]),
        ];
        let sum = |order: [usize; 3]| {
            let mut sum = MinuteLog::default();
            for index in order {
                sum.merge(&logs[index]);
            }
            sum
        };
        let all = sum([0, 1, 2]);
        for order in [[2, 1, 0], [1, 0, 2], [1, 2, 0]] {
            assert_eq!(sum(order), all);
        }
        assert_eq!(all.counts(), Counts { good: 4, bad: 4 });
        let seconds = all.seconds();
        assert_eq!([0, 10, 30, 59].map(|at: usize| seconds[at].callers), [1, 1, 0, 0]);
        assert!((0..60).all(|second| all.second(second) == seconds[usize::from(second)]));
        assert_eq!(all.measured(), 4);
    }

    #[test]
    fn of_a_minute_that_is_known_in_sum_the_sum_is_known() {
        let counts = Counts { good: 7, bad: 2 };
        for measured in [0, 1, 30, 60] {
            let log = MinuteLog::of_minute(counts, measured);
            assert_eq!((log.counts(), log.measured()), (counts, measured));
            assert_eq!(log.second(measured.saturating_sub(1)).counts, counts);
            let (bits, events, failed) = log.parts();
            assert_eq!(
                MinuteLog::of_parts(bits, events.to_vec(), failed.to_vec()),
                Some(log)
            );
        }
    }

    #[test]
    fn what_no_minute_can_be_is_refused() {
        let some = Counts { good: 1, bad: 0 };
        assert!(MinuteLog::of_parts(1 << 60, vec![], vec![]).is_none());
        assert!(MinuteLog::of_parts(0, vec![(60, some)], vec![]).is_none());
        assert!(MinuteLog::of_parts(0, vec![(3, some), (3, some)], vec![]).is_none());
        assert!(MinuteLog::of_parts(0, vec![], vec![(7, 60)]).is_none());
        assert!(MinuteLog::of_parts(0, vec![], vec![(7, 1), (6, 1)]).is_none());
        let mut log = MinuteLog::default();
        log.count(3, some, [7]);
        let (measured, events, failed) = log.parts();
        assert_eq!(
            MinuteLog::of_parts(measured, events.to_vec(), failed.to_vec()),
            Some(log)
        );
    }
}
