//! The latest units of time, and the sums over spans of them that end with the newest.

use super::{Counts, Sum};

/// What happened in one unit of time. Packed: a month has 43,200 of them, for each objective.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, packed)]
pub(super) struct Cell {
    good: u32,
    bad: u32,
    pub(super) measured: u8,
}

impl Cell {
    pub(super) fn of(counts: Counts, measured: u8) -> Self {
        // 4,294,967,295 events of one objective in a minute would be 71 million a second.
        let narrow = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            good: narrow(counts.good),
            bad: narrow(counts.bad),
            measured,
        }
    }

    pub(super) fn counts(self) -> Counts {
        Counts {
            good: self.good.into(),
            bad: self.bad.into(),
        }
    }

    pub(super) fn is_known(self) -> bool {
        self.measured > 0 || self.good > 0 || self.bad > 0
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            good: self.good.saturating_sub(other.good),
            bad: self.bad.saturating_sub(other.bad),
            measured: self.measured.saturating_sub(other.measured),
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            good: self.good.saturating_add(other.good),
            bad: self.bad.saturating_add(other.bad),
            // Two may have measured the same seconds.
            measured: (self.measured + other.measured).min(60),
        }
    }
}

/// See the module's header.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    cells: Box<[Cell]>,
    pub(super) newest: u64,
    spans: Vec<Span>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    /// It is the newest so many units, of those from `from` on.
    length: u64,
    from: u64,
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
    /// Of spans of so many units; at least `kept` are.
    pub(super) fn new(lengths: &[usize], kept: usize) -> Self {
        let spans = lengths.iter().map(|length| Span {
            length: *length as u64,
            ..Span::default()
        });
        Self {
            cells: vec![Cell::default(); lengths.iter().copied().fold(kept, usize::max)].into(),
            newest: 0,
            spans: spans.collect(),
        }
    }

    pub(super) fn clear(&mut self, newest: u64) {
        self.cells.fill(Cell::default());
        for span in &mut self.spans {
            *span = Span {
                length: span.length,
                from: span.from,
                ..Span::default()
            };
        }
        self.newest = newest;
    }

    pub(super) const fn len(&self) -> u64 {
        self.cells.len() as u64
    }

    fn place(&self, at: u64) -> usize {
        (at % self.cells.len() as u64) as usize
    }

    /// What is kept of a unit; nothing if it is too old, or yet to come.
    pub(super) fn get(&self, at: u64) -> Cell {
        let kept = at <= self.newest && self.newest - at < self.len();
        if kept {
            self.cells[self.place(at)]
        } else {
            Cell::default()
        }
    }

    /// Adds to a unit, which becomes the newest if it is newer than all. Whether it is not too old.
    pub(super) fn put(&mut self, at: u64, cell: Cell) -> bool {
        self.advance(at);
        self.set(at, self.get(at).plus(cell))
    }

    /// Takes the place of what is kept of a unit, which is not newer than the newest. Whether it is not too old.
    pub(super) fn set(&mut self, at: u64, cell: Cell) -> bool {
        let Some(age) = self.newest.checked_sub(at).filter(|age| *age < self.len()) else {
            return false;
        };
        let place = self.place(at);
        let before = std::mem::replace(&mut self.cells[place], cell);
        let spans = self.spans.iter_mut();
        for span in spans.filter(|span| age < span.length && at >= span.from) {
            span.take(before);
            span.add(cell);
        }
        true
    }

    pub(super) fn advance(&mut self, to: u64) {
        if to > self.newest + self.len() {
            return self.clear(to);
        }
        while self.newest < to {
            self.newest += 1;
            for index in 0..self.spans.len() {
                let span = self.spans[index];
                let leaves = self.newest.checked_sub(span.length);
                if let Some(leaves) = leaves.filter(|leaves| *leaves >= span.from) {
                    let cell = self.cells[self.place(leaves)];
                    self.spans[index].take(cell);
                }
            }
            let place = self.place(self.newest);
            self.cells[place] = Cell::default();
        }
    }

    /// The span has no unit before this one from now on.
    pub(super) fn turn(&mut self, span: usize, from: u64) {
        let Span { length, .. } = self.spans[span];
        let mut turned = Span {
            length,
            from,
            ..Span::default()
        };
        let oldest = (self.newest + 1).saturating_sub(length).max(from);
        (oldest..=self.newest).for_each(|at| turned.add(self.get(at)));
        self.spans[span] = turned;
    }

    /// What is in a span. `seconds` says how many there are in so many units, the newest among them.
    pub(super) fn sum(&self, span: usize, seconds: impl Fn(u64) -> u64) -> Sum {
        let Span {
            length,
            from,
            good,
            bad,
            measured,
        } = self.spans[span];
        let units = match from {
            0 => length,
            from => length.min((self.newest + 1).saturating_sub(from)),
        };
        Sum {
            counts: Counts { good, bad },
            measured,
            seconds: seconds(units),
        }
    }
}
