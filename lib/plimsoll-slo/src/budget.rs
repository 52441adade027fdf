//! What may still go wrong.
//!
//! ```text
//! occurrences      spent = bad / (allowance × all)                   every event counts alike
//! timeslices       spent = bad slices / (allowance × slices)         every slice is good or bad
//! ratio timeslices spent = Σ(share of bad in a slice) / (allowance × slices)
//! absolute         spent = bad / allowed                             however many there are
//! ```
//!
//! Source: OpenSLO v1, `budgetingMethod`. A budget may be overspent: what is left is then less than 0, and shown so.

use core::time::Duration;

use crate::{Counts, Target};

/// A budget over one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// The share that is spent: 0 and more; 1 is all of it, and above it is overspent. `None` if there is nothing to say
    /// it by: no events, or no slices.
    pub spent: Option<f64>,
    /// Events that may be bad in all, of those that came so far, and those that were. Of slices when slices are counted.
    pub allowed: f64,
    /// See `allowed`.
    pub bad: f64,
}

impl Budget {
    /// Every event counts alike.
    ///
    /// ```
    /// use plimsoll_slo::{Budget, Counts, Target};
    ///
    /// let budget = Budget::of_events(Target::new(0.999)?, Counts { good: 99_970, bad: 30 });
    /// assert!((budget.left().unwrap() - 0.7).abs() < 1e-9);
    /// # Ok::<(), plimsoll_slo::TargetError>(())
    /// ```
    pub fn of_events(target: Target, counts: Counts) -> Self {
        Self::of(target, counts.total() as f64, counts.bad as f64)
    }

    /// Of so many slices so many were bad; or, for ratio timeslices, that is the sum of their shares of bad events.
    pub fn of_slices(target: Target, slices: u64, bad: f64) -> Self {
        Self::of(target, slices as f64, bad)
    }

    /// Of a period that has begun, in which so many more events are expected.
    pub fn expecting(target: Target, counts: Counts, more: f64) -> Self {
        Self::of(target, counts.total() as f64 + more, counts.bad as f64)
    }

    /// So many events may be bad, however many there are. Of no event at all nothing is known.
    ///
    /// ```
    /// use plimsoll_slo::{Budget, Counts};
    ///
    /// let budget = Budget::absolute(4, Counts { good: 61_000_000, bad: 3 });
    /// assert_eq!(budget.left(), Some(0.25));
    /// ```
    pub fn absolute(allowed: u32, counts: Counts) -> Self {
        let (allowed, bad) = (f64::from(allowed), counts.bad as f64);
        Self {
            spent: (counts.total() > 0).then(|| bad / allowed),
            allowed,
            bad,
        }
    }

    fn of(target: Target, all: f64, bad: f64) -> Self {
        let allowed = target.allowance() * all;
        Self {
            spent: (allowed > 0.0).then(|| bad / allowed),
            allowed,
            bad,
        }
    }

    /// The share that is left: 1 at most, and less than 0 if it is overspent.
    pub fn left(&self) -> Option<f64> {
        self.spent.map(|spent| 1.0 - spent)
    }
}

/// What a minute brings, on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Good events a minute.
    pub good: f64,
    /// Bad events a minute.
    pub bad: f64,
}

/// How many events may be bad.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowance {
    /// A share of those that there are in the window, however many come and leave.
    Share(Target),
    /// So many, whatever comes: all slices of a window are known beforehand, and so is a month's traffic, by a
    /// forecast.
    Fixed(f64),
}

/// For how long a budget lasts if it goes on as it does, while the old leaves the window: `None` if it outlasts
/// the window. `window` is what happened in all of it, `minutes` are those of it, the oldest first, and `now` is what a
/// minute brings at present. It takes as many steps as there are minutes left, or in `minutes`.
///
/// The burn of a whole budget is no answer to this: it knows neither what is spent already nor what will soon be
/// forgiven.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_slo::{Allowance, Counts, Rate, Target, time_left};
///
/// let allowance = Allowance::Share(Target::new(0.99)?);
/// let window = Counts { good: 100_000, bad: 0 };
/// let minutes = || core::iter::repeat_n(Counts { good: 100, bad: 0 }, 1_000);
/// // 1,000 minutes of 100 may have 1,000 bad ones: at 50 a minute they are there after 20 minutes.
/// let left = time_left(allowance, window, minutes(), Rate { good: 50.0, bad: 50.0 });
/// assert_eq!(left, Some(Duration::from_mins(20)));
/// assert_eq!(time_left(allowance, window, minutes(), Rate { good: 99.9, bad: 0.1 }), None);
/// # Ok::<(), plimsoll_slo::TargetError>(())
/// ```
pub fn time_left(
    allowance: Allowance,
    window: Counts,
    minutes: impl Iterator<Item = Counts>,
    now: Rate,
) -> Option<Duration> {
    let (mut all, mut bad) = (window.total() as f64, window.bad as f64);
    // A budget that is met to the last digit is spent: rounding must not decide.
    let spent = |all: f64, bad: f64| {
        let allowed = match allowance {
            Allowance::Share(target) => target.allowance() * all,
            Allowance::Fixed(allowed) => allowed,
        };
        bad > 0.0 && bad >= allowed * (1.0 - 1e-9)
    };
    if spent(all, bad) {
        return Some(Duration::ZERO);
    }
    for (passed, leaves) in (1..).zip(minutes) {
        all += now.good + now.bad - leaves.total() as f64;
        bad += now.bad - leaves.bad as f64;
        if spent(all, bad) {
            return Some(Duration::from_mins(passed));
        }
    }
    None
}
