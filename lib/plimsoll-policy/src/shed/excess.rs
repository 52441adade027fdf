//! How far what is asked for exceeds what is done.

use core::time::Duration;

use plimsoll_slo::Instant;

/// How many times what it can do an upstream is asked for, by the last whole second: for [`crate::shed_retry_after`].
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::Excess;
/// use plimsoll_slo::Instant;
///
/// let mut excess = Excess::new(Instant::ORIGIN);
/// (0..30).for_each(|_| excess.shed(Instant::ORIGIN));
/// (0..10).for_each(|_| excess.answered(Instant::ORIGIN));
/// assert_eq!(excess.times(), 1.0);
/// excess.answered(Instant::ORIGIN + Duration::from_secs(1));
/// assert_eq!(excess.times(), 4.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Excess {
    times: f64,
    began: Instant,
    shed: u32,
    answered: u32,
}

impl Excess {
    /// Nothing was shed yet.
    pub const fn new(now: Instant) -> Self {
        Self {
            times: 1.0,
            began: now,
            shed: 0,
            answered: 0,
        }
    }

    /// 1 at least.
    pub const fn times(&self) -> f64 {
        self.times
    }

    /// A request was shed.
    pub fn shed(&mut self, now: Instant) {
        self.turn(now);
        self.shed = self.shed.saturating_add(1);
    }

    /// A request was answered.
    pub fn answered(&mut self, now: Instant) {
        self.turn(now);
        self.answered = self.answered.saturating_add(1);
    }

    fn turn(&mut self, now: Instant) {
        if now.since(self.began) < Duration::from_secs(1) {
            return;
        }
        self.times = 1.0 + f64::from(self.shed) / f64::from(self.answered.max(1));
        (self.began, self.shed, self.answered) = (now, 0, 0);
    }
}
