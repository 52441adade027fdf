//! Whether a figure of the business has fallen below what is usual at this time: orders in a minute, the share of payments
//! that succeed. Nobody has set a target for it, and an outage that no objective sees shows in it.
//!
//! **What is usual** is what it was at the same time of the four weeks before: in the hour around it, the median of those
//! weeks that are known. While only one week is, the days of that week stand in for the others.
//!
//! **What is allowed** begins at the lowest of those, and of the half hours that they are made of, so that a weekday that
//! varies may vary and doors may close; but at half of the median at least, so that an outage of last week does not become
//! usual. Below that nobody wants to know of a small fall ([`Measure::Rate`], [`Measure::Share`]), and of a rate three
//! standard deviations are no fall either, of how the half hours of the last week differed from what was usual then, beyond
//! chance. So where business varies by 10 % a fall by a half is found within hours and one by two thirds within one, and
//! where it varies by 20 % nothing less than one by three quarters.
//!
//! **The test** is that of [`Evidence`](crate::Evidence), by the minute. For a rate it weighs what came against levels `q`
//! of what is allowed: `R ← (1 + R) × (q^n × e^(a(1−q)))^(1/φ)`, with the count `a` that is allowed in that minute. The
//! events of a minute vary more than by chance where they come in batches, so what they say counts only as much as `φ`,
//! their index of dispersion in the week before, leaves of it. For a share it is the test of
//! [`Rising`](crate::Rising), of what does not succeed.
//!
//! Minutes that were not measured say nothing, and in one that was measured in part less is expected. It is computed from
//! the minutes that are known and from nothing else, so all who know the same find the same, and a restart changes nothing.

use crate::Counts;
use crate::rise::likelier;
use crate::suspicion::{Suspicion, needed, together};

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// Good events in a minute. A fall of less than this share of it is none: 0 to 1.
    Rate {
        /// See above.
        fall: f64,
    },
    /// The share of good events. A fall of less than this share of it is none: 0 to 1.
    Share {
        /// See above.
        fall: f64,
    },
}

/// What is known of a figure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Falling {
    /// What is usual at this time: events in a minute, or a share. `None` while no week is known.
    pub usual: Option<f64>,
    /// What is the least that is no fall.
    pub allowed: Option<f64>,
    /// The same in the last ten minutes that were measured. `None` if none was; of a share, if nothing happened.
    pub present: Option<f64>,
    /// The evidence that it has fallen, over what is needed: 1 and more suffices.
    pub evidence: f64,
    /// The minute in which the fall began that the evidence speaks for.
    pub began: Option<u64>,
    /// The minute from which on it is known what is usual, as far as that can be told.
    pub known_from: Option<u64>,
}

/// Days that it looks back: four weeks, the day that is judged, and what is around a time.
pub const FALL_LOOKS_BACK: u64 = 30;

const MINUTES_OF_DAY: u64 = 1_440;
/// Minutes before and after a time that are compared.
const AROUND: u64 = 30;
/// Events that a share has to be of.
const EVENTS_MIN: u64 = 30;
/// Minutes that are judged.
const JUDGED: u64 = MINUTES_OF_DAY;
/// Minutes of what is called the present.
const PRESENT: u64 = 10;
/// Levels that it looks for, of what is allowed.
const LEVELS: [f64; 4] = [0.75, 0.5, 0.25, 0.02];
/// So many standard deviations of what is usual are no fall.
const VARIES_MAX: f64 = 3.0;
/// The median of the square of what is normally distributed, whose mean is 1: it hears nothing of outliers.
const CHI_SQUARE_MEDIAN: f64 = 0.4549;
/// Shares of what does not succeed that it looks for: so many times what is allowed, and these.
const TIMES: [f64; 2] = [2.0, 6.0];
const SHARES: [f64; 3] = [0.3, 0.6, 0.9];

impl Falling {
    /// Looks at minutes in their order, of [`FALL_LOOKS_BACK`] days: when they were, what happened in them, and seconds of
    /// them that were measured. They are judged up to `now`, which is not one of them. `ago` tells which minute it was at
    /// the same time of the day so many days before another minute: clocks are changed. `alpha` is how likely it may be
    /// that evidence suffices at any time of 30 days in which the figure was what is usual.
    ///
    /// ```
    /// use plimsoll_slo::{Counts, Falling, Measure};
    ///
    /// let day = 1_440;
    /// let usual = |minute: u64| (minute, Counts { good: 20 + minute % 2, bad: 0 }, 60);
    /// let quiet = |minute: u64| (minute, Counts { good: 2, bad: 0 }, 60);
    /// let ago = |minute: u64, days: u64| minute.checked_sub(days * day);
    /// let measure = Measure::Rate { fall: 0.2 };
    ///
    /// let falling = Falling::find((0..15 * day).map(usual), 15 * day, ago, measure, 0.01);
    /// assert!(!falling.suffices() && falling.usual.is_some_and(|usual| (usual - 20.5).abs() < 0.1));
    /// let minutes = (0..15 * day).map(usual).chain((15 * day..15 * day + 5).map(quiet));
    /// let falling = Falling::find(minutes, 15 * day + 5, ago, measure, 0.01);
    /// assert!(falling.suffices());
    /// assert_eq!(falling.began, Some(15 * day));
    /// ```
    pub fn find(
        minutes: impl IntoIterator<Item = (u64, Counts, u8)>,
        now: u64,
        ago: impl Fn(u64, u64) -> Option<u64>,
        measure: Measure,
        alpha: f64,
    ) -> Self {
        let Some(past) = Past::of(minutes, now) else {
            return Self::default();
        };
        let needed = needed(alpha);
        let (spread, margin) = match measure {
            Measure::Rate { fall } => {
                let varies = (-VARIES_MAX * past.varies(now, &ago, measure)).exp();
                (past.dispersion(), varies.min(1.0 - fall))
            }
            Measure::Share { fall } => (1.0, 1.0 - fall),
        };
        let mut suspicions = [Suspicion::default(); 5];
        let mut lags = Lags::default();
        for minute in now.saturating_sub(JUDGED).max(past.first)..now {
            lags.turn(minute, &ago);
            let Some(usual) = past.usual(minute, &lags, measure) else {
                suspicions = Default::default();
                continue;
            };
            let (counts, measured) = past.between(minute, minute + 1);
            if measured > 0 {
                let share_of_minute = measured as f64 / 60.0;
                for (place, suspicion) in suspicions.iter_mut().enumerate() {
                    match speaks(measure, place, counts, margin * usual.lowest, share_of_minute) {
                        Some(likelier) => suspicion.weigh(minute, likelier / spread, needed),
                        None => *suspicion = Suspicion::default(),
                    }
                }
            }
        }
        lags.turn(now, &ago);
        let usual = past.usual(now, &lags, measure);
        let of_test = match measure {
            Measure::Rate { .. } => &suspicions[..LEVELS.len()],
            Measure::Share { .. } => &suspicions[..],
        };
        let (evidence, began) = together(of_test, needed);
        Self {
            usual: usual.map(|usual| usual.median),
            allowed: usual.map(|usual| margin * usual.lowest),
            present: past.present(now, measure),
            evidence,
            began,
            known_from: Some(past.first + 7 * MINUTES_OF_DAY),
        }
    }

    /// Whether it is more than chance.
    pub fn suffices(&self) -> bool {
        self.evidence >= 1.0
    }
}

/// How much likelier a minute is with what a suspicion is about than with what is allowed, as a logarithm; `None` if that
/// would be no fall.
fn speaks(measure: Measure, place: usize, counts: Counts, allowed: f64, of_minute: f64) -> Option<f64> {
    match measure {
        Measure::Rate { .. } => {
            let level = *LEVELS.get(place)?;
            let expected = allowed * of_minute;
            (expected > 0.0).then(|| counts.good as f64 * level.ln() + expected * (1.0 - level))
        }
        Measure::Share { .. } => {
            let bad = 1.0 - allowed;
            let share = match place.checked_sub(TIMES.len()) {
                None => TIMES[place] * bad,
                Some(place) => SHARES[place],
            };
            (share > bad && share < 1.0).then(|| likelier(counts, share, bad))
        }
    }
}

/// What is usual in a minute: the median of the times that are compared, and the lowest of them that is taken for one.
#[derive(Clone, Copy, Debug)]
struct Usual {
    median: f64,
    lowest: f64,
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (
        values.get(values.len().checked_sub(1)? / 2)?,
        values.get(values.len() / 2)?,
    );
    Some((low + high) / 2.0)
}

/// By how many minutes the times that are compared lie before the one that is judged: they change with the hour at most.
#[derive(Debug, Default)]
struct Lags {
    hour: Option<u64>,
    weeks: [Option<u64>; 4],
    days: [Option<u64>; 7],
}

impl Lags {
    fn turn(&mut self, minute: u64, ago: impl Fn(u64, u64) -> Option<u64>) {
        if self.hour.replace(minute / 60) == Some(minute / 60) {
            return;
        }
        let lag = |days| ago(minute, days).and_then(|before| minute.checked_sub(before));
        self.weeks = [7, 14, 21, 28].map(lag);
        self.days = [1, 2, 3, 4, 5, 6, 7].map(lag);
    }
}

/// What happened before each minute, from the first one that is known: a sum over any minutes is a difference of two.
struct Past {
    first: u64,
    /// Good events, bad ones, and seconds that were measured.
    sums: Vec<[u64; 3]>,
}

impl Past {
    fn of(minutes: impl IntoIterator<Item = (u64, Counts, u8)>, now: u64) -> Option<Self> {
        let oldest = now.saturating_sub(FALL_LOOKS_BACK * MINUTES_OF_DAY);
        let mut minutes = minutes
            .into_iter()
            .filter(|(minute, _, measured)| *measured > 0 && (oldest..now).contains(minute))
            .peekable();
        let first = minutes.peek()?.0;
        let mut sums = Vec::with_capacity((now - first + 1) as usize);
        let mut sum = [0; 3];
        sums.push(sum);
        for (minute, counts, measured) in minutes {
            // Minutes of which nothing is known add nothing.
            sums.resize((minute - first + 1) as usize, sum);
            for (sum, more) in sum.iter_mut().zip([counts.good, counts.bad, u64::from(measured)]) {
                *sum += more;
            }
            sums.push(sum);
        }
        sums.resize((now - first + 1) as usize, sum);
        Some(Self { first, sums })
    }

    /// What happened from a minute to another one, which is not part of it, and seconds of that that were measured.
    fn between(&self, from: u64, to: u64) -> (Counts, u64) {
        let at = |minute: u64| {
            let place = (minute.max(self.first) - self.first) as usize;
            self.sums[place.min(self.sums.len() - 1)]
        };
        let [(good, measured), (bad, _)] = [0, 1].map(|what| {
            let sum = |what: usize| at(to)[what] - at(from)[what];
            (sum(what), sum(2))
        });
        (Counts { good, bad }, measured)
    }

    /// What the figure was around a minute, and in the half hour before or after it if it was less in that: doors open
    /// and close. `None` if not enough of it is known.
    fn around(&self, minute: u64, measure: Measure) -> Option<(f64, f64)> {
        let (from, to) = (minute.saturating_sub(AROUND), minute + AROUND + 1);
        let around = self.figure(from, to, measure)?;
        let halves = [
            self.figure(from, minute, measure),
            self.figure(minute, to, measure),
        ];
        let lowest = halves.into_iter().flatten().fold(around, f64::min);
        Some((around, lowest))
    }

    /// What the figure was from a minute to another one, if half of that was measured.
    fn figure(&self, from: u64, to: u64, measure: Measure) -> Option<f64> {
        let (counts, measured) = self.between(from, to);
        if measured < (to - from) * 60 / 2 {
            return None;
        }
        match measure {
            Measure::Rate { .. } => Some(counts.good as f64 * 60.0 / measured as f64),
            Measure::Share { .. } => (counts.total() >= EVENTS_MIN)
                .then(|| counts.bad_share())
                .flatten()
                .map(|bad| 1.0 - bad),
        }
    }

    fn usual(&self, minute: u64, lags: &Lags, measure: Measure) -> Option<Usual> {
        let before = |lag: &Option<u64>| self.around(minute.checked_sub((*lag)?)?, measure);
        let mut found: Vec<(f64, f64)> = lags.weeks.iter().filter_map(before).collect();
        let last_week = before(&lags.weeks[0]);
        if found.len() < 2 {
            last_week?;
            found = lags.days.iter().filter_map(before).collect();
        }
        let median = median(found.iter().map(|(around, _)| *around))?;
        // What was low in most weeks is so every week; what was in one may have been an outage.
        let floor = self::median(found.iter().map(|(_, lowest)| *lowest))? / 2.0;
        let lowest = found
            .iter()
            .fold(f64::MAX, |least, (_, lowest)| least.min(*lowest));
        Some(Usual {
            median,
            lowest: lowest.max(floor),
        })
    }

    /// By how much a rate differs from what is usual, as the standard deviation of its logarithm, over the half hours of
    /// the last week: beyond what is chance, and whatever a few of them were.
    fn varies(&self, now: u64, ago: impl Fn(u64, u64) -> Option<u64>, measure: Measure) -> f64 {
        let mut lags = Lags::default();
        let from = now.saturating_sub(7 * MINUTES_OF_DAY).max(self.first + AROUND);
        let middles = (from..now.saturating_sub(AROUND)).step_by(AROUND as usize);
        let squares = middles
            .filter_map(|middle| {
                lags.turn(middle, &ago);
                let usual = self.usual(middle, &lags, measure)?.median;
                let (counts, measured) = self.between(middle - AROUND / 2, middle + AROUND / 2);
                let expected = usual * measured as f64 / 60.0;
                (expected >= 4.0).then(|| {
                    (
                        (counts.good as f64 / expected).max(0.01).ln().powi(2),
                        1.0 / expected,
                    )
                })
            })
            .map(|(square, by_chance)| square - CHI_SQUARE_MEDIAN * by_chance);
        (median(squares).unwrap_or_default().max(0.0) / CHI_SQUARE_MEDIAN).sqrt()
    }

    /// How much more the events of a minute vary than by chance: 1 and more, over the last week.
    fn dispersion(&self) -> f64 {
        let last = self.first + self.sums.len() as u64 - 1;
        let from = last.saturating_sub(7 * MINUTES_OF_DAY).max(self.first);
        let mut sum = (0.0, 0.0);
        for minute in from..last {
            let (counts, measured) = self.between(minute, minute + 1);
            let (around, seconds) = self.between(minute.saturating_sub(AROUND), minute + AROUND + 1);
            let expected = around.good as f64 * measured as f64 / seconds.max(1) as f64;
            if measured == 60 && expected > 0.0 {
                sum.0 += (counts.good as f64 - expected).powi(2) / expected;
                sum.1 += 1.0;
            }
        }
        if sum.1 > 0.0 {
            (sum.0 / sum.1).max(1.0)
        } else {
            1.0
        }
    }

    fn present(&self, now: u64, measure: Measure) -> Option<f64> {
        let (counts, measured) = self.between(now.saturating_sub(PRESENT), now);
        match measure {
            Measure::Rate { .. } => (measured > 0).then(|| counts.good as f64 * 60.0 / measured as f64),
            Measure::Share { .. } => counts.bad_share().map(|bad| 1.0 - bad),
        }
    }
}
