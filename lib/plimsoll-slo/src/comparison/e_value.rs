//! E-values: what a bet against a hypothesis has made of 1, if no bet can be expected to gain while the hypothesis holds.
//!
//! So each is an answer to how much speaks against it, one that grows and shrinks with every event, that may be looked at
//! at any time, and whose means are e-values again, however they hang together (Vovk and Wang 2021). They are kept as
//! logarithms, since products of thousands of factors are not numbers any more.

/// The logarithm of an e-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Log(pub(super) f64);

impl Log {
    pub(super) const ZERO: Self = Self(f64::NEG_INFINITY);
    pub(super) const ONE: Self = Self(0.0);

    pub(super) fn value(self) -> f64 {
        self.0.exp()
    }

    pub(super) fn times(self, factor: f64) -> Self {
        Self(self.0 + factor.ln())
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let (low, high) = (self.0.min(other.0), self.0.max(other.0));
        if high == f64::NEG_INFINITY {
            return Self::ZERO;
        }
        Self(high + (low - high).exp().ln_1p())
    }

    /// The mean of some; nothing speaks against anything if there are none.
    pub(super) fn mean(all: &[Self]) -> Self {
        if all.is_empty() {
            return Self::ONE;
        }
        let sum = all.iter().fold(Self::ZERO, |sum, log| sum.plus(*log));
        sum.times(1.0 / all.len() as f64)
    }
}

/// What an event of one arm or the other makes of a bet, as a logarithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Split {
    candidate: f64,
    stable: f64,
}

/// The bet that the ratio between the arms is `times` as much as `tolerated`, for the share `w` of the candidate. Above 1
/// it is one against all ratios up to `tolerated`, below 1 one against all from it on. Where one arm gets everything,
/// there is nothing to bet on.
pub(super) fn split(w: f64, tolerated: f64, times: f64) -> Split {
    if w.is_nan() || w <= 0.0 || w >= 1.0 {
        return Split {
            candidate: 0.0,
            stable: 0.0,
        };
    }
    // The odds that it was the candidate's; the quotient of two shares is that of the odds, each over 1 more.
    let odds = w * tolerated / (1.0 - w);
    let stable = (1.0 + odds).ln() - (1.0 + odds * times).ln();
    Split {
        candidate: times.ln() + stable,
        stable,
    }
}

impl Split {
    pub(super) fn of(self, candidate: u64, stable: u64) -> f64 {
        candidate as f64 * self.candidate + stable as f64 * self.stable
    }
}

/// The mean over bets, and over when they begin: with the first epoch or with a later one, the sooner the likelier. A bet
/// that has not begun is 1. Half of all is on the first, and the n-th costs `ln n(n+1)` more than it would alone.
pub(super) fn since_any(epochs: usize, bets: usize, of: impl Fn(usize, usize) -> f64) -> Log {
    let mut sums = vec![0.0; bets];
    let mut all = Log(-((epochs + 1) as f64).ln());
    for epoch in (0..epochs).rev() {
        let weight = 1.0 / ((epoch + 1) * (epoch + 2)) as f64;
        for (bet, sum) in sums.iter_mut().enumerate() {
            *sum += of(epoch, bet);
            all = all.plus(Log(*sum).times(weight / bets as f64));
        }
    }
    all
}

/// Against the hypothesis that at most the share `allowed` is bad.
pub(super) fn share_above(good: u64, bad: u64, allowed: f64, times: &[f64]) -> Log {
    let bets: Vec<Log> = times
        .iter()
        .filter(|times| allowed * **times < 1.0)
        .map(|times| of_share(good, bad, allowed, allowed * times))
        .collect();
    Log::mean(&bets)
}

/// Against the hypothesis that the share `most` or more is bad.
pub(super) fn share_below(good: u64, bad: u64, most: f64) -> Log {
    let bets = [0.02, 0.2, 0.5].map(|times| of_share(good, bad, most, most * times));
    Log::mean(&bets)
}

/// What is likelier if `share` is bad than if `supposed` is: more than 0 each, and less than 1, or nothing is learned.
fn of_share(good: u64, bad: u64, supposed: f64, share: f64) -> Log {
    let of_good = if supposed < 1.0 {
        ((1.0 - share) / (1.0 - supposed)).ln()
    } else {
        // Of what always fails, one success is proof; this much is enough.
        1.0
    };
    Log(bad as f64 * (share / supposed).ln() + good as f64 * of_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bet_gains_while_its_hypothesis_holds() {
        for w in [0.01, 0.05, 0.5, 0.95] {
            for tolerated in [1.0, 1.1, 2.0, 21.0] {
                for times in [0.3, 0.85, 1.5, 100.0] {
                    let bet = split(w, tolerated, times);
                    // At the edge of what is supposed it is fair, and within it no better.
                    for within in [1.0, 0.5, 0.1] {
                        let ratio = if times > 1.0 {
                            tolerated * within
                        } else {
                            tolerated / within
                        };
                        let candidate = w * ratio / (w * ratio + 1.0 - w);
                        let expected = candidate * bet.candidate.exp() + (1.0 - candidate) * bet.stable.exp();
                        assert!(
                            expected <= 1.0 + 1e-9,
                            "{w} {tolerated} {times} {within}: {expected}"
                        );
                        assert!(
                            within < 1.0 || expected > 1.0 - 1e-9,
                            "{w} {tolerated} {times}: {expected}"
                        );
                    }
                }
            }
        }
        for (supposed, share) in [(0.001, 0.1), (0.5, 0.01), (0.02, 0.0004)] {
            let [good, bad] = [of_share(1, 0, supposed, share), of_share(0, 1, supposed, share)];
            let expected = (1.0 - supposed) * good.value() + supposed * bad.value();
            assert!((expected - 1.0).abs() < 1e-9, "{expected}");
        }
    }

    #[test]
    fn bets_begin_at_any_epoch_and_their_weights_come_to_one() {
        // Nothing happens: all bets stay at 1.
        for epochs in [0, 1, 5, 60] {
            let all = since_any(epochs, 7, |_, _| 0.0);
            assert!(all.0.abs() < 1e-12, "{epochs}: {all:?}");
        }
        // All that speaks for it is in the last of five, after four that speak against it.
        let late = since_any(5, 1, |epoch, _| if epoch == 4 { 20.0 } else { -50.0 });
        assert!((late.0 - (20.0 - 30f64.ln())).abs() < 1e-6, "{late:?}");
    }

    #[test]
    fn where_one_arm_gets_all_nothing_is_learned() {
        for w in [0.0, 1.0, -1.0, 7.0, f64::NAN] {
            assert!(split(w, 1.1, 100.0).of(1_000, 1_000).abs() < 1e-12, "{w}");
        }
        assert_eq!(Log::ZERO.plus(Log::ZERO), Log::ZERO);
        assert_eq!(Log::mean(&[]), Log::ONE);
        assert!((Log(800.0).plus(Log(800.0)).0 - 800.0 - 2f64.ln()).abs() < 1e-9);
    }
}
