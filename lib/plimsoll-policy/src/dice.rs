//! Randomness as an argument.

/// A source of random numbers: seeded, so that a run can be repeated. Not for secrets.
pub trait Dice {
    /// The next 64 random bits.
    fn roll(&mut self) -> u64;

    /// A number in `0..n`; 0 when `n` is 0. The bias is below 2⁻³² for every `n` that fits in 32 bits.
    fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.roll()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `0.0..1.0`, with 53 random bits.
    fn unit(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// xoshiro256++, seeded through SplitMix64 as its authors advise (Blackman and Vigna, 2019).
///
/// ```
/// use plimsoll_policy::{Dice, SeededDice};
/// let (mut a, mut b) = (SeededDice::new(7), SeededDice::new(7));
/// assert_eq!(a.roll(), b.roll());
/// assert!(a.below(10) < 10);
/// ```
#[derive(Clone, Debug)]
pub struct SeededDice([u64; 4]);

impl SeededDice {
    /// Dice that will fall the same way every time for the same seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(core::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }
}

impl Dice for SeededDice {
    fn roll(&mut self) -> u64 {
        let s = &mut self.0;
        let rolled = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        rolled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_covers_its_range_evenly() {
        let mut dice = SeededDice::new(1);
        let mut seen = [0u32; 7];
        for _ in 0..70_000 {
            seen[dice.below(7) as usize] += 1;
        }
        assert!(seen.iter().all(|&n| (9_500..10_500).contains(&n)), "{seen:?}");
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn unit_stays_below_one() {
        let mut dice = SeededDice::new(2);
        assert!((0..10_000).map(|_| dice.unit()).all(|u| (0.0..1.0).contains(&u)));
    }
}
