//! How long to wait before a retry: exponential backoff with full jitter.
//!
//! Callers that failed together would come back together, and fail together again. Waiting a *random* time below
//! a ceiling that doubles spreads them evenly, which costs the upstream the fewest attempts of the published kinds
//! of jitter. Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015 (revised 2023).
//!
//! It has no state: the number of the retry is an argument.

use core::time::Duration;

use crate::Dice;

/// Full jitter: before retry `n`, counted from 1, wait `U(0, min(cap, base × 2^(n-1)))`, both ends included.
///
/// The source writes `2^attempt` and counts attempts from 0, which is the same.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{Backoff, SeededDice};
///
/// let (backoff, mut dice) = (Backoff::default(), SeededDice::new(1));
/// assert!(backoff.delay(1, &mut dice) <= Duration::from_millis(25));
/// assert!(backoff.delay(2, &mut dice) <= Duration::from_millis(50));
/// assert!(backoff.delay(9, &mut dice) <= Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The longest wait before the first retry. 25 ms by default: some round trips within a data centre, and
    /// little to a person who waits. Zero means no waiting at all.
    pub base: Duration,
    /// The longest wait before any retry. 1 s by default: with a deadline of 15 s, more would be lost time.
    pub cap: Duration,
}

impl Backoff {
    /// The wait before retry number `retry`: 1 for the first. 0 is taken for 1.
    pub fn delay(&self, retry: u32, dice: &mut impl Dice) -> Duration {
        let doubled = 1u32.checked_shl(retry.saturating_sub(1)).unwrap_or(u32::MAX);
        let ceiling = self.base.saturating_mul(doubled).min(self.cap);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(dice.below(nanos.saturating_add(1)))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(25),
            cap: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededDice;
    use proptest::prelude::*;

    /// Dice that always fall as high as they can.
    struct Highest;

    impl Dice for Highest {
        fn roll(&mut self) -> u64 {
            u64::MAX
        }
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let backoff = Backoff::default();
        let ceilings =
            [0, 1, 2, 3, 6, 7, 32, 33, 34, u32::MAX].map(|n| backoff.delay(n, &mut Highest).as_millis());
        assert_eq!(
            ceilings,
            [25, 25, 50, 100, 800, 1_000, 1_000, 1_000, 1_000, 1_000]
        );
    }

    #[test]
    fn waits_are_spread_evenly_from_zero_to_the_ceiling() {
        let (backoff, mut dice) = (Backoff::default(), SeededDice::new(3));
        let mut tenths = [0u32; 10];
        for _ in 0..100_000 {
            let share = backoff.delay(3, &mut dice).as_secs_f64() / 0.100;
            tenths[((share * 10.0) as usize).min(9)] += 1;
        }
        assert!(tenths.iter().all(|&n| (9_500..10_500).contains(&n)), "{tenths:?}");
    }

    proptest! {
        #[test]
        fn a_wait_is_never_above_its_ceiling(base: u64, cap: u64, retry in 0u32..80, seed: u64) {
            let backoff = Backoff { base: Duration::from_nanos(base), cap: Duration::from_nanos(cap) };
            let wait = backoff.delay(retry, &mut SeededDice::new(seed)).as_nanos();
            let ceiling = (u128::from(base) << retry.saturating_sub(1).min(63)).min(u128::from(cap));
            prop_assert!(wait <= ceiling, "{wait} > {ceiling}");
        }
    }
}
