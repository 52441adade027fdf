//! What an objective asks for.

/// The share of events that are to be good: more than 0 and less than 1.
///
/// ```
/// use plimsoll_slo::Target;
///
/// let target = Target::new(0.999)?;
/// assert!((target.allowance() - 0.001).abs() < 1e-12);
/// assert!(Target::new(1.0).is_err(), "nothing may ever fail: no budget, and nothing to judge by");
/// # Ok::<(), plimsoll_slo::TargetError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Target(f64);

/// A target must leave something to spend, and ask for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetError;

impl core::fmt::Display for TargetError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a target is more than 0 and less than 1, as 0.999 for 99.9 %")
    }
}

impl core::error::Error for TargetError {}

impl Target {
    /// Of a budget that is no share of anything.
    pub(crate) const NEARLY_ALL: Self = Self(1.0 - 1e-9);

    /// A target of this share.
    ///
    /// # Errors
    /// [`TargetError`] if it is not more than 0 and less than 1.
    pub fn new(share: f64) -> Result<Self, TargetError> {
        (share > 0.0 && share < 1.0)
            .then_some(Self(share))
            .ok_or(TargetError)
    }

    /// The share of events that are to be good.
    pub const fn share(self) -> f64 {
        self.0
    }

    /// The share of events that may be bad: the budget.
    pub const fn allowance(self) -> f64 {
        1.0 - self.0
    }
}
