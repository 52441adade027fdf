//! Seeded randomness: what comes and how long it takes is the same in every run, and for every peer of a run.

/// SplitMix64 (Steele, Lea and Flood, 2014): one addition and one mix for each number, which is plenty for a load.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The time to the next event of a Poisson process whose mean is 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        // One minus it, since it may be 0 and is never 1.
        -(1.0 - self.unit()).ln()
    }

    /// A lognormal number with mean 1 and this ratio of standard deviation to mean.
    pub(crate) fn lognormal(&mut self, variation: f64) -> f64 {
        let square = variation.mul_add(variation, 1.0).ln();
        (-square / 2.0 + square.sqrt() * self.normal()).exp()
    }

    /// Box and Muller's transform; the second number that it would give is not kept.
    fn normal(&mut self) -> f64 {
        let length = (2.0 * self.exponential()).sqrt();
        length * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_deviation(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let drawn: Vec<f64> = (0..100_000).map(|_| draw()).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let square = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        (mean, square.sqrt())
    }

    #[test]
    fn what_is_drawn_has_the_mean_and_the_spread_that_it_says() {
        let mut dice = Dice::new(7);
        let (mean, deviation) = mean_and_deviation(|| dice.exponential());
        assert!(
            (mean - 1.0).abs() < 0.02 && (deviation - 1.0).abs() < 0.02,
            "{mean} {deviation}"
        );
        let (mean, deviation) = mean_and_deviation(|| dice.lognormal(0.5));
        assert!(
            (mean - 1.0).abs() < 0.01 && (deviation - 0.5).abs() < 0.01,
            "{mean} {deviation}"
        );
    }

    #[test]
    fn a_seed_says_it_all() {
        let drawn = |seed| {
            let mut dice = Dice::new(seed);
            [dice.unit(), dice.exponential(), dice.lognormal(0.5)].map(f64::to_bits)
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }
}
