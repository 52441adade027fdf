//! Slices of time, for budgets in which each counts alike, however much happened in it.
//!
//! A slice that is over is turned into a mark: [`PARTS`] parts, of which as many are bad as the slice is. Marks are kept
//! in a [`Track`] like events, in the last minute of their slice, so that budgets, burns and evidence are read from them
//! in the same way. What comes late for a slice that is over changes its mark.

use core::time::Duration;

use crate::{Budgeting, Counts, Empty, Second, Slice, Sum, Track};

/// What a slice is divided into: its share of bad events is told to a millionth.
pub(crate) const PARTS: u64 = 1_000_000;

/// See the module's header.
#[derive(Clone, Debug)]
pub(crate) struct Slices {
    slice: Slice,
    budgeting: Budgeting,
    marks: Track,
    /// The slice that goes on: those before it are over. 0 while nobody knows what time it is.
    open: u64,
}

impl Slices {
    /// None yet; `None` if events are counted and not slices. `windows` are those of the marks.
    pub(crate) fn new(budgeting: Budgeting, windows: &[Duration]) -> Option<Self> {
        Some(Self {
            slice: budgeting.slice()?,
            budgeting,
            marks: Track::of_minutes(windows),
            open: 0,
        })
    }

    pub(crate) const fn marks(&self) -> &Track {
        &self.marks
    }

    pub(crate) fn turn(&mut self, window: usize, from: u64) {
        self.marks.turn(window, from);
    }

    /// Time passes: slices that are over are marked.
    pub(crate) fn pass(&mut self, at: Second, events: &Track) {
        self.marks.pass(at);
        let open = events.now().minute() / self.length();
        let first = self.open.clamp(events.oldest() / self.length(), open);
        // A clock that stepped back opens a slice again.
        self.open = open;
        (first..open).for_each(|slice| self.mark(slice, events));
    }

    /// How bad those slices are that go on in the first of these seconds and are over in the other: 0 to 1 each. Nothing
    /// is said of those of which that is not known.
    pub(crate) fn ended(&self, last: Second, at: Second, events: &Track) -> impl Iterator<Item = f64> {
        let slice = |second: Second| second.minute() / self.length();
        let first = slice(last).max(events.oldest() / self.length());
        (first..slice(at)).filter_map(|slice| {
            let (counts, measured) = self.of(slice, events);
            self.badness(counts, measured)
        })
    }

    /// Something was said of a minute that has passed.
    pub(crate) fn late(&mut self, minute: u64, events: &Track) {
        let slice = minute / self.length();
        if slice < self.open {
            self.mark(slice, events);
        }
    }

    /// Slices of which anything is known, and all of them, in a window of the marks; of both those that count.
    pub(crate) fn known(&self, sum: &Sum) -> (u64, u64) {
        let slices = sum.seconds / self.slice.length().as_secs();
        let (marked, measured) = (sum.counts.total() / PARTS, sum.measured / 60);
        // Measured, and no mark: nothing happened, and that counts neither way.
        (marked, slices.saturating_sub(measured.saturating_sub(marked)))
    }

    /// What happened in a slice, and whether any of it was measured.
    fn of(&self, slice: u64, events: &Track) -> (Counts, bool) {
        let minutes = slice * self.length()..(slice + 1) * self.length();
        let (mut counts, mut is_measured) = (Counts::default(), false);
        for (of, seconds) in minutes.map(|minute| events.minute(minute)) {
            counts.good += of.good;
            counts.bad += of.bad;
            is_measured |= seconds > 0;
        }
        (counts, is_measured)
    }

    fn mark(&mut self, slice: u64, events: &Track) {
        let (counts, is_measured) = self.of(slice, events);
        let (mark, known) = match self.badness(counts, is_measured) {
            Some(bad) => {
                let parts = (bad * PARTS as f64).round() as u64;
                let good = PARTS - parts;
                (Counts { good, bad: parts }, 60)
            }
            None if self.slice.empty == Empty::Skipped && is_measured => (Counts::default(), 60),
            None => (Counts::default(), 0),
        };
        self.marks.set((slice + 1) * self.length() - 1, mark, known);
    }

    fn badness(&self, counts: Counts, is_measured: bool) -> Option<f64> {
        let Some(bad) = counts.bad_share() else {
            return (is_measured && self.slice.empty == Empty::Good).then_some(0.0);
        };
        Some(match self.budgeting {
            // What is met to the last digit is good: rounding must not decide.
            Budgeting::Timeslices { target, .. } => {
                f64::from(u8::from(bad > target.allowance() * (1.0 + 1e-9)))
            }
            Budgeting::Occurrences
            | Budgeting::Absolute { .. }
            | Budgeting::Composite
            | Budgeting::RatioTimeslices { .. } => bad,
        })
    }

    const fn length(&self) -> u64 {
        if self.slice.minutes == 0 {
            return 1;
        }
        self.slice.minutes as u64
    }
}
