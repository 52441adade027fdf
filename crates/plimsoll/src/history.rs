//! The last seconds, one by one: what "in the last ten seconds" is computed from.
//!
//! Counters only ever rise, so what happened in a window is what they say now less what they said at its beginning.
//! This keeps what they said, once a second. A series that did not move since the second before shares its copy, so
//! the cost is that of the traffic and not of the configuration; beyond [`COPIES_MAX`] the oldest seconds go first,
//! and a window that is asked for says how long it really was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use gateway::ledger::SeriesKey;
use plimsoll_slo::{Instant, Reason, TallySnapshot};

use crate::reading::Series;
use crate::status::WINDOW;

/// Seconds that are kept: those that anybody asks for, and one that is not over.
const SECONDS: usize = WINDOW.as_secs() as usize + 1;

/// Copies of a series that are kept: at about 6 KiB each, 50 MiB when every one is in use. Beyond 680 series that
/// all move every second, windows become shorter.
const COPIES_MAX: usize = 8192;

/// What the counters said in the last seconds.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Oldest first.
    moments: VecDeque<Moment>,
}

#[derive(Debug)]
struct Moment {
    at: Instant,
    series: Vec<(SeriesKey, Arc<TallySnapshot>)>,
    /// Series that moved since the moment before.
    copies: usize,
}

/// What happened in a span of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    /// How long it was; zero when there was nothing to compare with.
    pub(crate) length: Duration,
    /// Every series that counted anything in it, in the order of their keys.
    pub(crate) series: Vec<Series>,
}

impl History {
    /// Remembers what the counters say at `now`, in the order of their keys.
    pub(crate) fn remember(&mut self, now: Instant, series: Vec<Series>) {
        let before = self.moments.back().map_or(&[][..], |moment| &moment.series);
        let mut copies = 0;
        let shared = series.into_iter().map(|(key, tally)| match find(before, &key) {
            Some(known) if **known == tally => (key, Arc::clone(known)),
            _ => {
                copies += 1;
                (key, Arc::new(tally))
            }
        });
        let series = shared.collect();
        self.moments.push_back(Moment {
            at: now,
            series,
            copies,
        });
        while self.moments.len() > SECONDS + 1 || (self.copies() > COPIES_MAX && self.moments.len() > 1) {
            self.moments.pop_front();
        }
    }

    /// What happened in about the last `length` before `now`, when the counters say `series`; less if less is known.
    pub(crate) fn window(&self, now: Instant, length: Duration, series: &[Series]) -> Window {
        let begins = now.before(length);
        let distance = |moment: &&Moment| moment.at.since(begins) + begins.since(moment.at);
        let nearest = self.moments.iter().min_by_key(distance);
        let Some(beginning) = nearest else {
            return Window::default();
        };
        let moved = series.iter().filter_map(|(key, tally)| {
            let window = match find(&beginning.series, key) {
                Some(before) => minus(tally, before),
                None => tally.clone(),
            };
            (window.total() > 0 || window.attempts > 0).then(|| (key.clone(), window))
        });
        Window {
            length: now.since(beginning.at),
            series: moved.collect(),
        }
    }

    fn copies(&self) -> usize {
        self.moments.iter().map(|moment| moment.copies).sum()
    }
}

fn find<'a>(
    series: &'a [(SeriesKey, Arc<TallySnapshot>)],
    key: &SeriesKey,
) -> Option<&'a Arc<TallySnapshot>> {
    let place = series.binary_search_by(|(known, _)| known.cmp(key)).ok()?;
    Some(&series[place].1)
}

/// What was counted after `earlier` was taken.
fn minus(later: &TallySnapshot, earlier: &TallySnapshot) -> TallySnapshot {
    let mut left = TallySnapshot::default();
    left.good = later.good.saturating_sub(earlier.good);
    for index in 0..Reason::COUNT {
        left.bad[index] = later.bad[index].saturating_sub(earlier.bad[index]);
        left.excluded[index] = later.excluded[index].saturating_sub(earlier.excluded[index]);
    }
    left.attempts = later.attempts.saturating_sub(earlier.attempts);
    left.retries = later.retries.saturating_sub(earlier.retries);
    left.latency = later.latency.minus(&earlier.latency);
    left
}

#[cfg(test)]
mod tests {
    use plimsoll_slo::{Class, Tally};

    use super::*;
    use crate::reading::sample::{key, outcome};

    fn second(number: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(number)
    }

    fn record(tally: &Tally, millis: u64) {
        tally.record(&outcome(Class::Good, millis, 1));
    }

    #[test]
    fn a_window_holds_what_happened_in_it() {
        let (busy, idle) = (Tally::default(), Tally::default());
        record(&idle, 1);
        let mut history = History::default();
        let now = |busy: &Tally| {
            vec![
                (key("busy", "-"), busy.snapshot()),
                (key("idle", "-"), idle.snapshot()),
            ]
        };
        for number in 0..30 {
            history.remember(second(number), now(&busy));
            record(&busy, 1000 - number);
        }
        let window = history.window(second(30), Duration::from_secs(10), &now(&busy));
        assert_eq!(window.length, Duration::from_secs(10));
        assert_eq!(window.series.len(), 1, "the idle series did nothing");
        let (_, tally) = &window.series[0];
        assert_eq!((tally.good, tally.attempts, tally.latency.count()), (10, 10, 10));
        assert!(tally.latency.quantile(1.0).unwrap() < Duration::from_millis(990));
    }

    #[test]
    fn a_window_says_how_long_it_really_was() {
        let mut history = History::default();
        assert_eq!(
            history.window(second(5), Duration::from_secs(10), &[]).length,
            Duration::ZERO
        );
        history.remember(second(3), Vec::new());
        assert_eq!(
            history.window(second(5), Duration::from_secs(10), &[]).length,
            Duration::from_secs(2)
        );
    }

    #[test]
    fn the_window_that_is_asked_for_is_never_cut_short() {
        let mut history = History::default();
        (0..100).for_each(|number| history.remember(second(number), Vec::new()));
        // Between two seconds, and when the next is about to be over.
        for millis in [0, 400, 999] {
            let now = second(99) + Duration::from_millis(millis);
            let length = history.window(now, WINDOW, &[]).length;
            assert!(
                length.abs_diff(WINDOW) <= Duration::from_millis(500),
                "{length:?}"
            );
        }
    }

    #[test]
    fn memory_follows_traffic_and_is_bounded() {
        let tally = Tally::default();
        record(&tally, 1);
        let still = vec![(key("still", "-"), tally.snapshot())];
        let mut history = History::default();
        for number in 0..200 {
            history.remember(second(number), still.clone());
        }
        assert_eq!(history.moments.len(), SECONDS + 1);
        assert_eq!(
            history.copies(),
            0,
            "the one copy left with the oldest second, and is shared since"
        );
        for number in 200..220 {
            record(&tally, 1);
            let many = (0..1000)
                .map(|n| (key(&format!("{n:04}"), "-"), tally.snapshot()))
                .collect();
            history.remember(second(number), many);
        }
        assert!(history.copies() <= COPIES_MAX);
        assert_eq!(history.moments.len(), 8);
    }
}
