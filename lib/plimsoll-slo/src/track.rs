//! What happened, second by second and minute by minute: what budgets and burns are read from.
//!
//! Seconds are kept for 15 minutes, minutes for as long as the longest window. The sums of the windows in use are carried
//! along, so that a verdict costs a few additions, however long its window is.
//!
//! **What was not measured is not good.** A second counts as measured once anything is said about it, if only that
//! nothing happened. [`Sum::coverage`] is the share of a window that was.
//!
//! **Time** is that of the calendar, since minutes are shared with other nodes and outlive a restart, and it may step.
//! What comes for a second that has passed is counted in the newest one, so that nothing is lost or counted twice; and
//! seconds that were skipped were not measured. After a step back of more than [`STEP_MAX`] all begins anew, or nothing
//! would ever leave a window again.

mod ring;

use core::time::Duration;

use self::ring::{Cell, Ring};

/// A second of the calendar, counted from the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Second(pub u64);

impl Second {
    /// The minute that it is in, counted from the Unix epoch.
    pub const fn minute(self) -> u64 {
        self.0 / 60
    }
}

/// Events, by how they are classed. Those that are excluded are not here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Good events.
    pub good: u64,
    /// Bad events.
    pub bad: u64,
}

impl Counts {
    /// Good and bad ones.
    pub const fn total(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// The share of bad ones; `None` if there are none at all.
    pub fn bad_share(self) -> Option<f64> {
        (self.total() > 0).then(|| self.bad as f64 / self.total() as f64)
    }
}

/// What happened in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The events.
    pub counts: Counts,
    /// Seconds of it that were measured, and seconds that it has.
    pub measured: u64,
    /// See `measured`.
    pub seconds: u64,
}

impl Sum {
    /// The share of the window that was measured: 0 to 1.
    pub fn coverage(&self) -> f64 {
        (self.measured as f64 / self.seconds.max(1) as f64).min(1.0)
    }
}

/// Seconds that are kept one by one: 15 minutes.
const SECONDS: usize = 900;
/// Seconds that the clock may step back without all that is known being forgotten. All that comes meanwhile is counted in
/// one second, so that they are few.
pub const STEP_MAX: u64 = 120;

/// What happened to what one objective counts.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_slo::{Counts, Second, Track};
///
/// let mut track = Track::new(&[Duration::from_mins(5), Duration::from_hours(1)]);
/// for second in 0..600 {
///     track.count(Second(second), Counts { good: 9, bad: 1 });
/// }
/// assert_eq!(track.sum(0).counts, Counts { good: 2_700, bad: 300 });
/// assert_eq!(track.sum(1).counts, Counts { good: 5_400, bad: 600 });
/// assert!((track.sum(1).coverage() - 1.0 / 6.0).abs() < 0.01, "of the hour, ten minutes were measured");
/// ```
#[derive(Clone, Debug)]
pub struct Track {
    seconds: Ring,
    minutes: Ring,
    /// Which ring holds each window, and which of its spans it is.
    windows: Vec<(Unit, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
}

impl Track {
    /// Of so many windows, which [`Track::sum`] calls by their place in this list. A window of up to 15 minutes slides
    /// by the second. A longer one slides by the minute: it is that many whole minutes, and the one that has begun.
    pub fn new(windows: &[Duration]) -> Self {
        Self::with_seconds(windows, SECONDS)
    }

    /// Of so many windows that all slide by the minute.
    pub fn of_minutes(windows: &[Duration]) -> Self {
        Self::with_seconds(windows, 0)
    }

    fn with_seconds(windows: &[Duration], seconds_max: usize) -> Self {
        let (mut seconds, mut minutes) = (Vec::new(), Vec::new());
        let windows = windows
            .iter()
            .map(|window| {
                let length = window.as_secs().max(1);
                if length <= seconds_max as u64 {
                    seconds.push(length as usize);
                    (Unit::Second, seconds.len() - 1)
                } else {
                    minutes.push(length.div_ceil(60) as usize + 1);
                    (Unit::Minute, minutes.len() - 1)
                }
            })
            .collect();
        Self {
            seconds: Ring::new(&seconds, seconds_max.max(1)),
            minutes: Ring::new(&minutes, 1),
            windows,
        }
    }

    /// A second was measured, and this happened in it. Called again for the same second it adds to it.
    pub fn count(&mut self, at: Second, counts: Counts) {
        let at = self.pass(at);
        let cell = Cell::of(counts, u8::from(self.seconds.get(at).measured == 0));
        self.seconds.put(at, cell);
        self.minutes.put(at / 60, cell);
    }

    /// Time passes, measured or not. Returns the second that it is now.
    pub fn pass(&mut self, at: Second) -> u64 {
        let newest = self.seconds.newest.max(60 * self.minutes.newest);
        if at.0 + STEP_MAX < newest {
            self.seconds.clear(at.0);
            self.minutes.clear(at.minute());
        }
        let at = at.0.max(self.seconds.newest);
        self.seconds.put(at, Cell::default());
        self.minutes.put(at / 60, Cell::default());
        at
    }

    /// What happened in a second, and whether it was measured. Nothing is known of those that are not kept.
    pub fn second(&self, at: Second) -> (Counts, bool) {
        let cell = self.seconds.get(at.0);
        (cell.counts(), cell.measured > 0)
    }

    /// Takes the place of what is kept of a second, and of its part in the minute. Whether that is something else than
    /// was known; of a second that is not kept, or yet to come, nothing is changed.
    pub fn revise(&mut self, at: Second, counts: Counts, is_measured: bool) -> bool {
        let cell = Cell::of(counts, is_measured.into());
        let before = self.seconds.get(at.0);
        if cell == before || !self.seconds.set(at.0, cell) {
            return false;
        }
        let minute = self.minutes.get(at.minute());
        self.minutes.set(at.minute(), minute.minus(before).plus(cell));
        true
    }

    /// Adds what is known of a minute from elsewhere: of the time before a restart, or of another node. Whether that is
    /// neither too long ago nor, by more than a minute, yet to come: somebody's clock was wrong.
    pub fn restore(&mut self, minute: u64, counts: Counts, measured: u8) -> bool {
        let now = self.now();
        if now != Second(0) && minute > now.minute() + 1 {
            return false;
        }
        self.minutes.put(minute, Cell::of(counts, measured.min(60)))
    }

    /// The newest second that anything was said about.
    pub const fn now(&self) -> Second {
        Second(self.seconds.newest)
    }

    /// Takes the place of what is kept of a minute that has come: after a correction. If nothing is left of it, nothing
    /// is left of its seconds.
    pub fn set(&mut self, minute: u64, counts: Counts, measured: u8) {
        if self.minutes.set(minute, Cell::of(counts, measured.min(60))) && counts == Counts::default() {
            for second in 60 * minute..(60 * (minute + 1)).min(self.seconds.newest + 1) {
                let measured = self.seconds.get(second).measured;
                self.seconds.set(second, Cell::of(counts, measured));
            }
        }
    }

    /// The window of this place begins with this minute from now on, and does not slide: it is one longer than 15
    /// minutes, and still no longer than it was said to be.
    ///
    /// # Panics
    /// If there are not so many windows.
    pub fn turn(&mut self, window: usize, from: u64) {
        if let (Unit::Minute, span) = self.windows[window] {
            self.minutes.turn(span, from);
        }
    }

    /// What is kept of a minute, and how many seconds of it were measured.
    pub fn minute(&self, minute: u64) -> (Counts, u8) {
        let cell = self.minutes.get(minute);
        (cell.counts(), cell.measured)
    }

    /// What happened until now, the latest first: by the second for as long as seconds are kept, and by the minute
    /// before; when each of them began.
    pub fn latest(&self) -> impl Iterator<Item = (Second, Counts)> + '_ {
        let newest = self.seconds.newest;
        // Of the minute in which the seconds begin, what came before is not told apart.
        let whole = (newest + 1).saturating_sub(self.seconds.len()).div_ceil(60);
        let seconds = (60 * whole..=newest).rev();
        let minutes = (self.oldest()..whole.min(newest / 60 + 1)).rev();
        let seconds = seconds.map(|at| (Second(at), self.seconds.get(at).counts()));
        seconds.chain(minutes.map(|at| (Second(60 * at), self.minutes.get(at).counts())))
    }

    /// Every minute of which anything is known, the oldest first: when it was, what happened, and how many seconds of it
    /// were measured. What [`Track::restore`] takes.
    pub fn past(&self) -> impl Iterator<Item = (u64, Counts, u8)> + '_ {
        let newest = self.minutes.newest;
        let known = (self.oldest()..=newest)
            .map(|at| (at, self.minutes.get(at)))
            .filter(|(_, cell)| cell.is_known());
        known.map(|(at, cell)| (at, cell.counts(), cell.measured))
    }

    /// The oldest minute that is kept.
    pub const fn oldest(&self) -> u64 {
        (self.minutes.newest + 1).saturating_sub(self.minutes.len())
    }

    /// What happened in each minute of the longest window, the oldest first, and the one that has begun at last.
    pub fn minutes(&self) -> impl Iterator<Item = Counts> + Clone + '_ {
        // One minute for each that is kept, whenever the first was.
        let missing = self.minutes.len() - (self.minutes.newest + 1).min(self.minutes.len());
        let none = core::iter::repeat_n(Counts::default(), missing as usize);
        none.chain((self.oldest()..=self.minutes.newest).map(|at| self.minutes.get(at).counts()))
    }

    /// What happened in the window of this place.
    ///
    /// # Panics
    /// If there are not so many windows.
    pub fn sum(&self, window: usize) -> Sum {
        let (unit, span) = self.windows[window];
        match unit {
            Unit::Second => self.seconds.sum(span, |length| length),
            // Of the minute that has begun so much has passed.
            Unit::Minute => self.minutes.sum(span, |length| {
                (60 * length).saturating_sub(59 - self.seconds.newest % 60)
            }),
        }
    }
}
