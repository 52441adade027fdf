//! What happened, second by second and minute by minute: what budgets and burns are read from.
//!
//! Seconds are kept for as long as the windows of up to 15 minutes that are asked of it, minutes for the longer ones. The sums of the windows in use
//! are carried along, so that a verdict costs a few additions, however long its window is.
//!
//! **What was not measured is not good.** A second counts as measured once anything is said about it, if only that
//! nothing happened. [`Sum::coverage`] is the share of a window that was.
//!
//! **Time** is that of the calendar, since minutes are shared with other nodes and outlive a restart, and it may step.
//! What comes for a second that has passed is counted in the newest one, so that nothing is lost or counted twice; and
//! seconds that were skipped were not measured. After a step back of more than [`STEP_MAX`] all begins anew, or nothing
//! would ever leave a window again.

use core::time::Duration;

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
        let (mut seconds, mut minutes) = (Vec::new(), Vec::new());
        let windows = windows
            .iter()
            .map(|window| {
                let length = window.as_secs().max(1);
                if length <= SECONDS as u64 {
                    seconds.push(length as usize);
                    (Unit::Second, seconds.len() - 1)
                } else {
                    minutes.push(length.div_ceil(60) as usize + 1);
                    (Unit::Minute, minutes.len() - 1)
                }
            })
            .collect();
        Self {
            seconds: Ring::new(&seconds),
            minutes: Ring::new(&minutes),
            windows,
        }
    }

    /// A second was measured, and this happened in it. Called again for the same second it adds to it.
    pub fn count(&mut self, at: Second, counts: Counts) {
        let at = self.pass(at);
        let cell = Cell::of(counts, u8::from(!self.seconds.is_measured(at)));
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

    /// Every minute of which anything is known, the oldest first: when it was, what happened, and how many seconds of it
    /// were measured. What [`Track::restore`] takes.
    pub fn past(&self) -> impl Iterator<Item = (u64, Counts, u8)> + '_ {
        let length = self.minutes.cells.len() as u64;
        let newest = self.minutes.newest;
        let known = (newest.saturating_sub(length - 1)..=newest)
            .map(|at| (at, self.minutes.cells[self.minutes.place(at)]))
            .filter(|(_, cell)| cell.measured > 0 || cell.good > 0 || cell.bad > 0);
        known.map(|(at, cell)| (at, cell.counts(), cell.measured))
    }

    /// What happened in each minute of the longest window, the oldest first, and the one that has begun at last.
    pub fn minutes(&self) -> impl Iterator<Item = Counts> + Clone + '_ {
        let length = self.minutes.cells.len() as u64;
        let oldest = self.minutes.newest + 1;
        (oldest..oldest + length).map(|at| {
            // The place of a minute of one round before.
            self.minutes.cells[self.minutes.place(at)].counts()
        })
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
            Unit::Minute => self
                .minutes
                .sum(span, |length| (length - 1) * 60 + self.seconds.newest % 60 + 1),
        }
    }
}

/// What happened in one unit of time.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    good: u32,
    bad: u32,
    measured: u8,
}

impl Cell {
    fn of(counts: Counts, measured: u8) -> Self {
        // 4,294,967,295 events of one objective in a minute would be 71 million a second.
        let narrow = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            good: narrow(counts.good),
            bad: narrow(counts.bad),
            measured,
        }
    }

    fn counts(self) -> Counts {
        Counts {
            good: self.good.into(),
            bad: self.bad.into(),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            good: self.good.saturating_add(other.good),
            bad: self.bad.saturating_add(other.bad),
            // Two may have measured the same seconds.
            measured: (self.measured + other.measured).min(60),
        }
    }
}

/// The latest units of time, and the sums over spans of them that end with the newest.
#[derive(Clone, Debug)]
struct Ring {
    cells: Box<[Cell]>,
    newest: u64,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    length: usize,
    good: u64,
    bad: u64,
    measured: u64,
}

impl Span {
    fn add(&mut self, cell: Cell) {
        self.good += u64::from(cell.good);
        self.bad += u64::from(cell.bad);
        self.measured += u64::from(cell.measured);
    }

    fn take(&mut self, cell: Cell) {
        self.good -= u64::from(cell.good);
        self.bad -= u64::from(cell.bad);
        self.measured -= u64::from(cell.measured);
    }
}

impl Ring {
    fn new(lengths: &[usize]) -> Self {
        let spans = lengths.iter().map(|length| Span {
            length: *length,
            good: 0,
            bad: 0,
            measured: 0,
        });
        Self {
            cells: vec![Cell::default(); lengths.iter().copied().max().unwrap_or(1)].into(),
            newest: 0,
            spans: spans.collect(),
        }
    }

    fn clear(&mut self, newest: u64) {
        let lengths: Vec<usize> = self.spans.iter().map(|span| span.length).collect();
        *self = Self::new(&lengths);
        self.newest = newest;
    }

    fn place(&self, at: u64) -> usize {
        (at % self.cells.len() as u64) as usize
    }

    fn is_measured(&self, at: u64) -> bool {
        self.cells[self.place(at)].measured > 0
    }

    /// Adds to a unit, which becomes the newest if it is newer than all. Whether it is not too old.
    fn put(&mut self, at: u64, cell: Cell) -> bool {
        self.advance(at);
        let age = self.newest - at.min(self.newest);
        if age >= self.cells.len() as u64 {
            return false;
        }
        let place = self.place(at);
        let (before, after) = (self.cells[place], self.cells[place].plus(cell));
        self.cells[place] = after;
        for span in self.spans.iter_mut().filter(|span| age < span.length as u64) {
            span.take(before);
            span.add(after);
        }
        true
    }

    fn advance(&mut self, to: u64) {
        if to > self.newest + self.cells.len() as u64 {
            return self.clear(to);
        }
        while self.newest < to {
            self.newest += 1;
            for index in 0..self.spans.len() {
                let leaves = self.newest.checked_sub(self.spans[index].length as u64);
                if let Some(leaves) = leaves {
                    let cell = self.cells[self.place(leaves)];
                    self.spans[index].take(cell);
                }
            }
            let place = self.place(self.newest);
            self.cells[place] = Cell::default();
        }
    }

    fn sum(&self, span: usize, seconds: impl Fn(u64) -> u64) -> Sum {
        let Span {
            length,
            good,
            bad,
            measured,
        } = self.spans[span];
        Sum {
            counts: Counts { good, bad },
            measured,
            seconds: seconds(length as u64),
        }
    }
}
