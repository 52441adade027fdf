//! How long requests took, minute by minute, for the last hour: what a heat map is drawn from.
//!
//! Counters only ever rise, so what happened in a minute is what they say at its end less what they said at its
//! beginning. Of a histogram only the counts at [`bounds`] are kept.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use gateway::ledger::SeriesKey;
use plimsoll_slo::TallySnapshot;

use crate::reading::Series;

/// Minutes that are kept.
const MINUTES: usize = 60;

/// Rows that are kept, one for each minute and series that moved in it: 3 MB. The oldest minutes go first.
const ROWS_MAX: usize = 20_000;

/// Bounds of the rows: a factor of the square root of two from 1 ms to a minute.
const BOUNDS: usize = 33;

/// Counts between bounds, and above the last.
type Row = [u32; BOUNDS + 1];

/// The upper ends of the rows but the last, which has none.
pub(crate) fn bounds() -> impl Iterator<Item = Duration> {
    (0..BOUNDS).map(|step| Duration::from_secs_f64(0.001 * f64::powf(2.0, step as f64 / 2.0)))
}

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Heat {
    /// What the counters said when the present minute began.
    before: BTreeMap<SeriesKey, [u64; BOUNDS + 1]>,
    minute: u64,
    /// The oldest first.
    minutes: VecDeque<(u64, Vec<(SeriesKey, Row)>)>,
}

/// Requests up to each bound, and all of them.
fn at_most(tally: &TallySnapshot) -> [u64; BOUNDS + 1] {
    let mut counts = [tally.latency.count(); BOUNDS + 1];
    for (count, bound) in counts.iter_mut().zip(bounds()) {
        *count = tally.latency.count_at_most(bound);
    }
    counts
}

impl Heat {
    /// What the counters say in this minute. What happens between the end of a minute and this is counted in the one
    /// before.
    pub(crate) fn note(&mut self, minute: u64, series: &[Series]) {
        if minute == self.minute {
            return;
        }
        let is_first = self.minute == 0;
        let rows = self.rows(series, |_| true);
        for (key, tally) in series {
            // Most series rest most of the time, and looking at a histogram is dear.
            let total = tally.latency.count();
            if self.before.get(key).is_none_or(|before| before[BOUNDS] != total) {
                self.before.insert(key.clone(), at_most(tally));
            }
        }
        if self.before.len() > series.len() {
            self.before
                .retain(|key, _| series.binary_search_by(|(known, _)| known.cmp(key)).is_ok());
        }
        if !is_first {
            self.minutes.push_back((self.minute, rows));
        }
        self.minute = minute;
        let kept =
            |minutes: &VecDeque<(u64, Vec<_>)>| minutes.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        while self.minutes.len() > MINUTES || kept(&self.minutes) > ROWS_MAX {
            self.minutes.pop_front();
        }
    }

    /// What happened to those since the present minute began.
    fn rows(&self, series: &[Series], wanted: impl Fn(&SeriesKey) -> bool) -> Vec<(SeriesKey, Row)> {
        let nothing = [0; BOUNDS + 1];
        let rows = series
            .iter()
            .filter(|(key, _)| wanted(key))
            .filter_map(|(key, tally)| {
                let before = self.before.get(key).unwrap_or(&nothing);
                if tally.latency.count() == before[BOUNDS] {
                    return None;
                }
                let now = at_most(tally);
                let mut row = [0; BOUNDS + 1];
                let mut below = 0;
                for (place, cell) in row.iter_mut().enumerate() {
                    let up_to = now[place].saturating_sub(before[place]);
                    *cell = u32::try_from(up_to.saturating_sub(below)).unwrap_or(u32::MAX);
                    below = up_to;
                }
                Some((key.clone(), row))
            });
        rows.collect()
    }

    /// The last minutes of those series, the oldest first, with the one that has begun; nothing of minutes in which
    /// nothing is known.
    pub(crate) fn of(&self, series: &[Series], wanted: impl Fn(&SeriesKey) -> bool) -> Vec<(u64, Vec<u64>)> {
        let present = (self.minute, self.rows(series, &wanted));
        let minutes = self.minutes.iter().chain([&present]);
        minutes
            .map(|(minute, rows)| {
                let mut sum = vec![0; BOUNDS + 1];
                for (_, row) in rows.iter().filter(|(key, _)| wanted(key)) {
                    sum.iter_mut()
                        .zip(row)
                        .for_each(|(sum, count)| *sum += u64::from(*count));
                }
                (*minute, sum)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_slo::{Class, Tally};

    use super::*;
    use crate::reading::sample::{key, outcome};

    #[test]
    fn a_minute_has_what_happened_in_it_by_how_long_it_took() {
        let (pay, search) = (Tally::default(), Tally::default());
        let mut heat = Heat::default();
        let series = |pay: &Tally, search: &Tally| {
            vec![
                (key("pay", "gold"), pay.snapshot()),
                (key("search", "gold"), search.snapshot()),
            ]
        };
        pay.record(&outcome(Class::Good, 5, 1));
        heat.note(100, &series(&pay, &search));
        for _ in 0..3 {
            pay.record(&outcome(Class::Good, 1, 1));
        }
        pay.record(&outcome(Class::Good, 1_000, 1));
        search.record(&outcome(Class::Good, 90_000, 1));
        heat.note(100, &series(&pay, &search));
        heat.note(101, &series(&pay, &search));
        pay.record(&outcome(Class::Good, 1, 1));
        let of = |heat: &Heat, route: &str| heat.of(&series(&pay, &search), |key| *key.route == *route);
        let seen = of(&heat, "pay");
        assert_eq!(
            seen.iter().map(|(minute, _)| *minute).collect::<Vec<_>>(),
            [100, 101]
        );
        assert_eq!((seen[0].1[0], seen[0].1.iter().sum::<u64>()), (3, 4));
        let second = bounds()
            .position(|bound| bound >= Duration::from_secs(1))
            .unwrap();
        assert_eq!(seen[0].1[second], 1);
        assert_eq!((seen[1].1[0], seen[1].1.iter().sum::<u64>()), (1, 1));
        assert_eq!(of(&heat, "search")[0].1[BOUNDS], 1, "beyond every bound");
        for minute in 102..200 {
            heat.note(minute, &series(&pay, &search));
        }
        assert_eq!(of(&heat, "pay").len(), MINUTES + 1);
    }
}
