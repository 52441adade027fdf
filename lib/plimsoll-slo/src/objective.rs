//! What is asked of a service: how much is to be good, over which time, and what is counted.

use core::time::Duration;

use crate::{BurnRule, Target};

/// What is asked of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// How much is to be good.
    pub target: Target,
    /// The time in which it is to be.
    pub window: Window,
    /// What is counted: events, or slices of time.
    pub budgeting: Budgeting,
    /// How likely a page without cause may be, at most, in 30 days in which the target was met: more than 0, less than
    /// 1; 0.01 is one in eight years.
    pub alpha: f64,
}

/// The time in which an objective is to be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last so much, always: an hour to 92 days.
    Rolling(Duration),
    /// A month or the like, which begins and ends when the calendar says: [`Judge::turn`](crate::Judge::turn) tells the
    /// judge. This is how long it usually is; no period is longer than a tenth more.
    Calendar(Duration),
}

impl Window {
    /// How long it is, or usually is.
    pub const fn length(self) -> Duration {
        match self {
            Self::Rolling(length) | Self::Calendar(length) => length,
        }
    }
}

/// What of a budget a bad event takes. The words are those of OpenSLO v1, `budgetingMethod`, which has no absolute budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budgeting {
    /// Every event counts alike.
    Occurrences,
    /// Every slice of time counts alike, and is good or bad.
    Timeslices {
        /// How long one is.
        slice: Slice,
        /// The share of events in a slice that makes it a good one.
        target: Target,
    },
    /// Every slice of time counts alike, and is as bad as the share of bad events in it.
    RatioTimeslices {
        /// How long one is.
        slice: Slice,
    },
    /// So many events may be bad in the whole window, however many there are: for what must be right, where a share of a
    /// thousandth would be a disaster. The first one calls, and the target is asked nothing.
    Absolute {
        /// 1 and more.
        allowed: u32,
    },
    /// What other objectives spend of theirs, and nothing of its own: see [`Verdict::composite`](crate::Verdict::composite).
    Composite,
}

impl Budgeting {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Occurrences => "occurrences",
            Self::Timeslices { .. } => "timeslices",
            Self::RatioTimeslices { .. } => "ratio-timeslices",
            Self::Absolute { .. } => "absolute",
            Self::Composite => "composite",
        }
    }

    /// How long a slice is, if slices are counted.
    pub const fn slice(self) -> Option<Slice> {
        match self {
            Self::Occurrences | Self::Absolute { .. } | Self::Composite => None,
            Self::Timeslices { slice, .. } | Self::RatioTimeslices { slice } => Some(slice),
        }
    }
}

/// A slice of time: how long it is, and what it is worth if nothing happens in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Whole minutes, of which there are 1 to 1,440. Slices begin at multiples of it since the Unix epoch.
    pub minutes: u16,
    /// See [`Empty`].
    pub empty: Empty,
}

impl Slice {
    /// How long it is.
    pub const fn length(self) -> Duration {
        Duration::from_secs(60 * self.minutes as u64)
    }
}

/// What a slice of time is in which nothing happened, though it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Empty {
    /// Nobody knows: it lowers coverage.
    #[default]
    Unknown,
    /// Good: nobody was hurt.
    Good,
    /// None at all: the budget is that of the other slices.
    Skipped,
}

impl Objective {
    /// Of all that happens in `window`, each event for itself, at one page without cause in a hundred months.
    pub const fn of_events(target: Target, window: Window) -> Self {
        Self {
            target,
            window,
            budgeting: Budgeting::Occurrences,
            alpha: 0.01,
        }
    }

    /// So many events may be bad in `window`.
    pub fn absolute(allowed: u32, window: Window) -> Self {
        Self {
            budgeting: Budgeting::Absolute { allowed },
            ..Self::of_events(Target::NEARLY_ALL, window)
        }
    }

    /// What others have to say, in `window`: its target is theirs.
    pub fn composite(window: Window) -> Self {
        Self {
            budgeting: Budgeting::Composite,
            ..Self::of_events(Target::NEARLY_ALL, window)
        }
    }

    /// How many events may be bad, if that is what is asked instead of a share.
    pub const fn allowed(&self) -> Option<u32> {
        match self.budgeting {
            Budgeting::Absolute { allowed } => Some(allowed),
            _ => None,
        }
    }

    /// The rules that watch it: see [`BurnRule::solve`]. With slices no window is shorter than one, and for a budget that is
    /// absolute there are none.
    pub fn rules(&self) -> Vec<BurnRule> {
        if self.allowed().is_some() {
            return Vec::new();
        }
        let rules = BurnRule::solve(self.target, self.window.length());
        let Some(slice) = self.budgeting.slice().map(Slice::length) else {
            return rules;
        };
        let whole = rules.into_iter().filter(|rule| rule.long >= slice);
        whole
            .map(|rule| BurnRule {
                short: rule.short.max(slice),
                ..rule
            })
            .collect()
    }
}
