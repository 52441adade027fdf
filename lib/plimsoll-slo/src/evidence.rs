//! Whether failures are more than chance: the gate in front of every page.
//!
//! Burn-rate rules compare two ratios, and a ratio of few events says little: at one request a minute, a service that
//! fails one in a thousand is paged for 39 times a month by the workbook's rules, each time for one failure. So a page
//! also needs evidence that the true share of failures is above what the objective allows.
//!
//! **The test** is that of Shiryaev and Roberts, run for several shares at once. Each second with `n` events and `k`
//! failures, for each share `p` that the service may have come to, `R ← (1 + R) × L`, where `L` is how much likelier
//! that second is at `p` than at the share `b` that is allowed: `(p/b)^k × ((1−p)/(1−b))^(n−k)`. The evidence is the
//! mean of the `R`. While the true share is at most `b`, the evidence less the seconds that have passed is a
//! supermartingale; begun anew every [`ROUND`], it reaches `ROUND / α` in a round with a probability of at most `α`
//! (Pollak, "Average run lengths of an optimal method of detecting a change", 1987). There is no window to choose, and
//! nothing to tune to the traffic.
//!
//! **It assumes that failures come one by one.** A caller that tries again at once fails again at once, and its three
//! failures are one. So callers are counted, not failures: whoever feeds it counts each caller once a minute, and what
//! the same one fails at again in that minute not at all. A service with a single caller is therefore judged by
//! minutes.
//!
//! **What it costs** is delay where little is known: a service that fails two in a hundred at one request a minute may
//! go unnoticed for hours. Tickets and the linter are for that.

use crate::{Second, Target};

/// Seconds after which it begins anew: 30 days. What is promised is promised for each such round.
pub const ROUND: u32 = 2_592_000;

/// Shares of failures that it looks for, beside six times and 14.4 times what is allowed.
const SHARES: [f64; 3] = [0.1, 0.3, 0.9];

/// Evidence beyond what is needed is forgotten, so that it is gone soon after the failures are.
const CEILING: f64 = 1e6;

/// Evidence against one objective.
///
/// ```
/// use plimsoll_slo::{Evidence, Target};
///
/// let mut evidence = Evidence::new(Target::new(0.999)?, 0.01);
/// evidence.quiet(86_400);
/// evidence.second(0, 1);
/// assert!(!evidence.suffices(), "one failure after a quiet day is chance");
/// (0..4).for_each(|_| evidence.second(0, 1));
/// assert!(evidence.suffices());
/// # Ok::<(), plimsoll_slo::TargetError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Evidence {
    suspicions: Vec<Suspicion>,
    needed: f64,
    left: u32,
}

/// That the share of failures has come to a certain one.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    /// `R` of the header.
    evidence: f64,
    /// The logarithm of how much likelier a failure is, and how much an event that is none.
    failure: f64,
    success: f64,
}

impl Evidence {
    /// No evidence yet, against an objective with this target. `alpha` is how likely it may be, at most, that evidence
    /// suffices at any time of a [`ROUND`] in which the objective was met: more than 0 and less than 1, or it is taken
    /// for the nearest that is.
    pub fn new(target: Target, alpha: f64) -> Self {
        let allowed = target.allowance();
        let suspicions = [6.0 * allowed, 14.4 * allowed]
            .into_iter()
            .chain(SHARES)
            .filter(|share| *share > allowed && *share < 1.0)
            .map(|share| Suspicion {
                evidence: 0.0,
                failure: (share / allowed).ln(),
                success: ((1.0 - share) / (1.0 - allowed)).ln(),
            });
        Self {
            suspicions: suspicions.collect(),
            needed: f64::from(ROUND) / alpha.clamp(1e-9, 1.0),
            left: ROUND,
        }
    }

    /// The second that comes next is this one: rounds begin with those that are a multiple of [`ROUND`], so that they are
    /// the same for all.
    pub fn begin(&mut self, at: Second) {
        let passed = (at.0 + u64::from(ROUND) - 1) % u64::from(ROUND);
        self.left = ROUND - passed as u32;
    }

    /// What was found for each share that it looks for, to be kept for later.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.suspicions.iter().map(|suspicion| suspicion.evidence)
    }

    /// Goes on from such values. Whether they can have been found by one like this; nothing is changed if not.
    pub fn restore(&mut self, values: &[f64]) -> bool {
        let fits = values.len() == self.suspicions.len()
            && values
                .iter()
                .all(|value| (0.0..=self.needed * CEILING + f64::from(ROUND)).contains(value));
        if fits {
            for (suspicion, value) in self.suspicions.iter_mut().zip(values) {
                suspicion.evidence = *value;
            }
        }
        fits
    }

    /// A second passed in which so many events were good, and so many callers failed for the first time in their minute.
    pub fn second(&mut self, good: u64, failed: u64) {
        self.quiet(1);
        self.weigh(good as f64, failed as f64);
    }

    /// A slice of time is over, and so much of it was bad: 0 to 1. It is one event, and the seconds of it have passed
    /// already. What holds for events that are bad or good holds for those that are in part, since a straight line
    /// between the two is above `L`.
    pub fn slice(&mut self, bad: f64) {
        let bad = bad.clamp(0.0, 1.0);
        self.weigh(1.0 - bad, bad);
    }

    fn weigh(&mut self, succeeded: f64, failed: f64) {
        for suspicion in &mut self.suspicions {
            let likelier = failed * suspicion.failure + succeeded * suspicion.success;
            suspicion.evidence = (suspicion.evidence * likelier.exp()).min(self.needed * CEILING);
        }
    }

    /// So many seconds passed in which nothing happened, or nothing was seen.
    pub fn quiet(&mut self, seconds: u32) {
        let begins_anew = seconds >= self.left;
        let of_round = if begins_anew {
            (seconds - self.left) % ROUND
        } else {
            seconds
        };
        self.left = if begins_anew { ROUND } else { self.left } - of_round;
        for suspicion in &mut self.suspicions {
            let before = if begins_anew { 0.0 } else { suspicion.evidence };
            suspicion.evidence = before + f64::from(of_round);
        }
    }

    /// The evidence over what is needed: 1 and more suffices.
    pub fn share(&self) -> f64 {
        let sum: f64 = self.suspicions.iter().map(|suspicion| suspicion.evidence).sum();
        sum / self.suspicions.len().max(1) as f64 / self.needed
    }

    /// Whether failures are more than chance.
    pub fn suffices(&self) -> bool {
        self.share() >= 1.0
    }
}
