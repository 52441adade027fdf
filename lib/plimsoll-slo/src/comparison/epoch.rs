//! What was seen of two versions while each request had the same chance to be sent to the candidate.

/// One of the two that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arm {
    /// What runs.
    Stable,
    /// What may replace it.
    Candidate,
}

impl Arm {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Candidate => "candidate",
        }
    }
}

/// What was seen of one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Events: see the header of [`Comparison`](crate::Comparison)'s module.
    pub events: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that took longer than each of the quantiles in [`SLOW`](crate::SLOW).
    pub slow: [u64; 3],
}

impl Seen {
    /// What two have seen, who saw different events.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let slow: [u64; 3] = core::array::from_fn(|place| self.slow[place] + other.slow[place]);
        Self {
            events: self.events + other.events,
            failed: self.failed + other.failed,
            slow,
        }
    }
}

/// Both, in a time in which the share was the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// The chance that an event is the candidate's: 0 to 1. At both ends there is nothing to compare.
    pub share: f64,
    /// What was seen of the candidate.
    pub candidate: Seen,
    /// What was seen of the stable version.
    pub stable: Seen,
}
