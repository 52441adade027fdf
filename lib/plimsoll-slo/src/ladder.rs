//! What may be risked, by what is left of a budget.

/// A rung of the ladder. What it means to a rollout, a drill or a migration is theirs to say; that reducing a risk is
/// allowed on every rung is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// There is plenty left: anything goes.
    Free,
    /// Smaller steps.
    Careful,
    /// A second person for what is risky, and no drills.
    Restricted,
    /// Nothing but repairs.
    Frozen,
}

impl Rung {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Careful => "careful",
            Self::Restricted => "restricted",
            Self::Frozen => "frozen",
        }
    }
}

/// From which share of the budget on each rung begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ladder {
    /// Below this share it is careful.
    pub careful: f64,
    /// Below this share it is restricted: no more than `careful`.
    pub restricted: f64,
    /// At this share and below it is frozen: no more than `restricted`.
    pub frozen: f64,
}

impl Ladder {
    /// The rung for what is left of a budget; if nothing is known it is careful, since unknown is not good.
    ///
    /// ```
    /// use plimsoll_slo::{Ladder, Rung};
    ///
    /// let rungs = [Some(0.8), Some(0.3), Some(0.2), Some(-1.0), None].map(|left| Ladder::default().rung(left));
    /// assert_eq!(rungs, [Rung::Free, Rung::Careful, Rung::Restricted, Rung::Frozen, Rung::Careful]);
    /// ```
    pub fn rung(&self, left: Option<f64>) -> Rung {
        match left {
            None => Rung::Careful,
            Some(left) if left <= self.frozen => Rung::Frozen,
            Some(left) if left < self.restricted => Rung::Restricted,
            Some(left) if left < self.careful => Rung::Careful,
            Some(_) => Rung::Free,
        }
    }
}

impl Default for Ladder {
    /// Half of it, a quarter, and none: after the example policy of Google's SRE Workbook, appendix B.
    fn default() -> Self {
        Self {
            careful: 0.5,
            restricted: 0.25,
            frozen: 0.0,
        }
    }
}
