//! Whether a candidate is worse than what it is to replace, as good, or not known to be either.
//!
//! **The question** is not how often each of the two fails, but, of what has failed, whether it was the candidate's. Whoever
//! sends each request to the candidate by chance knows that chance exactly, and if the two are alike, a failure was the
//! candidate's with just that chance: whatever else fails at the time, however the traffic comes, and however small it is.
//! An incident hits both and says nothing about either; a step from 1 % to 5 % changes the chance and begins nothing anew.
//!
//! **The test** is an e-process for each of several ratios `r` (`e_value.rs`): with the share `w` that the candidate
//! has, and the ratio `θ` that is tolerated,
//!
//! ```text
//! w₀ = w·θ / (w·θ + 1 − w)          what is tolerated of a failure's chance to be the candidate's
//! q  = w·θ·r / (w·θ·r + 1 − w)      what it would be if the candidate failed r times as often as that
//! E  = mean over r of  Π (q/w₀ if it was the candidate's, (1−q)/(1−w₀) if not)
//! ```
//!
//! While the true ratio is at most `θ`, `E` is expected to stay where it is, so it ever reaches `1/α` with a probability
//! of at most `α` (Ville 1939), and looking after each request costs nothing. It is a function of how many of each were
//! bad in each epoch of one share, and of nothing else: gateways add theirs up in any order, and whoever has the counts
//! finds the same. Kin to Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.
//!
//! **Three answers.** [`Bad`](Finding::Bad): `E ≥ 1/α`. [`Good`](Finding::Good): the mirror image of it has ruled out that
//! the candidate is so much worse that the next step would hurt more than is allowed ([`Terms::excludes`]), or what is bad
//! of it is seldom enough by itself: within its objective, or slow no more often than it was before the change began.
//! [`Undecided`](Finding::Undecided): neither; time alone never makes it good.
//!
//! **What it takes for an event** is a request's first attempt, or, if requests with one key keep to one version, the first
//! of its slot of keys in the epoch (`slots.rs`): what follows it is not by chance. Slow is what takes longer than the stable
//! version's median, 90th and 99th percentile did before the change began.
//!
//! **What it does not see**: what hurts both alike, as a database that both wait for. An objective's own verdict is asked
//! for that, and [`beyond`].

mod e_value;
mod epoch;
mod slots;

pub use epoch::{Arm, Epoch, Seen};
pub use slots::{KeySlots, SLOTS, SlotSet};

use self::e_value::{Log, Split, split};

/// Quantiles of the stable version's times, of which the candidate is to be slower no more often.
pub const SLOW: [f64; 3] = [0.5, 0.9, 0.99];

/// How much more often a candidate may fail or be slow, in the tests for being worse: beyond what is tolerated.
const WORSE: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];
const SLOWER: [f64; 8] = [1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0];
/// Ratios below what is to be excluded, as powers of it: of 2 they are 0.3, 0.5, 0.7 and 0.85 times that.
const BETTER: [f64; 4] = [1.737, 1.0, 0.515, 0.234];
/// Both ways from an even split.
const UNEVEN: [f64; 6] = [0.5, 0.67, 0.8, 1.25, 1.5, 2.0];

/// How the probability of a wrong `Bad` is spent: on failures, on slowness of each kind, on the split.
const OF_FAILURES: f64 = 0.7;
const OF_SLOW: f64 = 0.2;
const OF_SPLIT: f64 = 0.1;

/// What is asked of a comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How likely a `Bad` may be, at most, for a candidate that is no worse than tolerated, however long it is looked at:
    /// more than 0, less than 1.
    pub alpha: f64,
    /// The same of a `Good` for one that is as bad as is to be excluded; in each step.
    pub beta: f64,
    /// How many times as often as the stable version it may fail: 1 or more.
    pub tolerated: f64,
    /// How many times as often it may be slow: 1 or more.
    pub tolerated_slow: f64,
    /// Whether it is known what is slow; if not, nobody can show that the candidate is not, and it is not asked for.
    pub times_known: bool,
    /// The share of requests that the objective allows to fail, if there is one: more than 0, less than 1.
    pub allowed: Option<f64>,
    /// The share of requests that the candidate gets next, if it is good: more than 0, at most 1.
    pub next: f64,
    /// What the next step may do at worst: raise all failures by so many times what they are, or to so many times what is
    /// allowed.
    pub harm: f64,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            alpha: 0.001,
            beta: 0.05,
            tolerated: 1.1,
            tolerated_slow: 1.2,
            times_known: true,
            allowed: None,
            next: 1.0,
            harm: 1.0,
        }
    }
}

impl Terms {
    /// The ratio to the stable version that has to be excluded before the next step: with it, the step would do the harm
    /// that is allowed. With a share of 1 and a harm of 1 it is 2: no step may double what fails.
    ///
    /// ```
    /// use plimsoll_slo::Terms;
    ///
    /// let to = |next| Terms { next, ..Terms::default() }.excludes();
    /// assert_eq!([to(0.05), to(0.25), to(1.0)].map(f64::round), [21.0, 5.0, 2.0]);
    /// ```
    pub fn excludes(&self) -> f64 {
        1.0 + self.harm / self.next
    }
}

/// What is found out about a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Finding {
    /// It is worse, by this.
    Bad(Sign),
    /// It is as good as it has to be for the next step.
    Good,
    /// Neither is known.
    Undecided,
}

/// What a candidate is compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// How often it fails.
    Failures,
    /// How often it takes longer than the stable version's quantile with this place in [`SLOW`].
    Slow(usize),
    /// How often requests are sent to it: if that is not by the share, nothing else that is found holds.
    Split,
}

impl Sign {
    /// All of them.
    pub const ALL: [Self; 2 + SLOW.len()] = [
        Self::Failures,
        Self::Slow(0),
        Self::Slow(1),
        Self::Slow(2),
        Self::Split,
    ];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Slow(0) => "slow-p50",
            Self::Slow(1) => "slow-p90",
            Self::Slow(_) => "slow-p99",
            Self::Split => "split",
        }
    }

    fn of(self, seen: &Seen) -> u64 {
        match self {
            Self::Failures => seen.failed,
            Self::Slow(place) => seen.slow[place],
            Self::Split => seen.events,
        }
    }

    fn weight(self) -> f64 {
        match self {
            Self::Failures => OF_FAILURES,
            Self::Slow(_) => OF_SLOW / SLOW.len() as f64,
            Self::Split => OF_SPLIT,
        }
    }
}

/// What one sign says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighed {
    /// Which one.
    pub sign: Sign,
    /// How many times as often as of the stable version it was seen of the candidate, over all epochs; `None` if it was
    /// not seen of the stable one.
    pub ratio: Option<f64>,
    /// The evidence that the candidate is worse, over what suffices: 1 and more is enough by itself.
    pub worse: f64,
    /// The evidence that it is not as bad as is to be excluded, over what suffices: 1 and more is enough. `None` if it is
    /// not asked for.
    pub as_good: Option<f64>,
}

/// A candidate beside what it is to replace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// What is found out.
    pub finding: Finding,
    /// What each sign says, in the order of [`Sign::ALL`].
    pub signs: [Weighed; Sign::ALL.len()],
    /// The evidence of all together that the candidate is worse, over what suffices: 1 and more is [`Finding::Bad`].
    pub worse: f64,
    /// About how many times as many events as in this step so far there have to be before the least of the evidence for it
    /// suffices, if it goes on like this; `None` if it does not grow.
    pub more: Option<f64>,
}

impl Comparison {
    /// Compares by what was seen in `epochs`, which are in the order of time. Those from `step` on are of the step that
    /// runs: the candidate has to be good in them, while it may be found bad by all of them, and by the later ones alone,
    /// since some harm begins late.
    ///
    /// ```
    /// use plimsoll_slo::{Comparison, Epoch, Finding, Seen, Sign, Terms};
    ///
    /// let seen = |events, failed| Seen { events, failed, slow: [0; 3] };
    /// let dead = [Epoch { share: 0.05, candidate: seen(5, 5), stable: seen(95, 0) }];
    /// let found = Comparison::of(&dead, 0, &Terms::default());
    /// assert_eq!(found.finding, Finding::Bad(Sign::Failures));
    /// ```
    pub fn of(epochs: &[Epoch], step: usize, terms: &Terms) -> Self {
        let of_step = epochs.get(step..).unwrap_or_default();
        let mut all = Log::ZERO;
        let mut more = Some(0.0);
        let signs = Sign::ALL.map(|sign| {
            let worse = worse(epochs, sign, terms);
            all = all.plus(worse.times(sign.weight()));
            let as_good = as_good(of_step, sign, terms);
            if let Some(found) = as_good {
                more = more.zip(left(found, terms)).map(|(a, b): (f64, f64)| a.max(b));
            }
            Weighed {
                sign,
                ratio: ratio(epochs, sign),
                worse: worse.times(sign.weight() * terms.alpha).value(),
                as_good: as_good.map(|found| found.times(terms.beta).value()),
            }
        });
        let worse = all.times(terms.alpha).value();
        let finding = if worse >= 1.0 {
            let strongest = signs.iter().max_by(|a, b| a.worse.total_cmp(&b.worse));
            Finding::Bad(strongest.map_or(Sign::Failures, |weighed| weighed.sign))
        } else if signs
            .iter()
            .all(|weighed| weighed.as_good.is_none_or(|found| found >= 1.0))
        {
            Finding::Good
        } else {
            Finding::Undecided
        };
        Self {
            finding,
            signs,
            worse,
            more,
        }
    }
}

/// How many more failures of the candidate's would make it [`Finding::Bad`], if nothing else happened: at least 1, and
/// `None` if `most` would not. Whoever counts them need not wait for the next look.
///
/// ```
/// use plimsoll_slo::{Epoch, Seen, Terms, failures_left};
///
/// let begun = Epoch { share: 0.05, candidate: Seen::default(), stable: Seen::default() };
/// assert_eq!(failures_left(&[begun], 0, &Terms::default(), 32), Some(4));
/// ```
pub fn failures_left(epochs: &[Epoch], step: usize, terms: &Terms, most: u64) -> Option<u64> {
    let mut epochs = epochs.to_vec();
    let is_bad = |more: u64, epochs: &mut Vec<Epoch>| {
        if let Some(last) = epochs.last_mut() {
            last.candidate.failed += more;
            last.candidate.events += more;
        }
        let found = Comparison::of(epochs, step, terms).finding;
        if let Some(last) = epochs.last_mut() {
            last.candidate.failed -= more;
            last.candidate.events -= more;
        }
        matches!(found, Finding::Bad(_))
    };
    if !is_bad(most, &mut epochs) {
        return None;
    }
    // More failures are more evidence, so the first that suffices is found by halves.
    let (mut enough, mut few) = (most, 0);
    while enough - few > 1 {
        let middle = few.midpoint(enough);
        if is_bad(middle, &mut epochs) {
            enough = middle;
        } else {
            few = middle;
        }
    }
    Some(enough)
}

/// The evidence that more of it is the candidate's than is tolerated, since the first epoch or since a later one.
fn worse(epochs: &[Epoch], sign: Sign, terms: &Terms) -> Log {
    let (tolerated, ratios): (f64, &[f64]) = match sign {
        Sign::Failures => (terms.tolerated, &WORSE),
        Sign::Slow(_) => (terms.tolerated_slow, &SLOWER),
        Sign::Split => (1.0, &UNEVEN),
    };
    e_value::since_any(epochs.len(), ratios.len(), |epoch, ratio| {
        let epoch = &epochs[epoch];
        let bet = |w| split(w, tolerated, ratios[ratio]);
        bet_on(epoch, sign, bet)
    })
}

/// What an epoch makes of a bet, as a logarithm; nothing if nothing happened.
fn bet_on(epoch: &Epoch, sign: Sign, bet: impl Fn(f64) -> Split) -> f64 {
    match (sign.of(&epoch.candidate), sign.of(&epoch.stable)) {
        (0, 0) => 0.0,
        (candidate, stable) => bet(epoch.share).of(candidate, stable),
    }
}

/// The evidence that less of it is the candidate's than is to be excluded; `None` if that is not asked of this sign.
fn as_good(epochs: &[Epoch], sign: Sign, terms: &Terms) -> Option<Log> {
    let excluded = terms.excludes();
    let by_ratio = |sign: Sign| {
        let all = BETTER.map(|power| {
            let times = excluded.powf(-power);
            let of = |epoch: &Epoch| bet_on(epoch, sign, |w| split(w, excluded, times));
            Log(epochs.iter().map(of).sum())
        });
        Log::mean(&all)
    };
    // What hardly ever happens tells nothing by how it is shared out; but it may be seldom enough by itself.
    let within = |most: f64| {
        let candidate = epochs.iter().map(|epoch| epoch.candidate);
        let (bad, events) = candidate.fold((0, 0), |(bad, events), seen| {
            (bad + sign.of(&seen), events + seen.events)
        });
        let within = e_value::share_below(events.saturating_sub(bad), bad, most.min(1.0));
        Log::mean(&[by_ratio(sign), within])
    };
    match sign {
        Sign::Split => None,
        Sign::Failures => Some(match terms.allowed {
            None => by_ratio(sign),
            Some(allowed) => within(allowed * terms.harm / terms.next),
        }),
        // So many were slow before.
        Sign::Slow(place) => terms.times_known.then(|| within((1.0 - SLOW[place]) * excluded)),
    }
}

/// See [`Comparison::more`]: of this evidence alone.
fn left(Log(found): Log, terms: &Terms) -> Option<f64> {
    let needed = -terms.beta.ln();
    (found > 0.0).then(|| (needed / found - 1.0).max(0.0))
}

/// Of epochs with different shares, each weighed by how much it can tell (Mantel and Haenszel, 1959).
fn ratio(epochs: &[Epoch], sign: Sign) -> Option<f64> {
    let (of_candidate, of_stable) = epochs.iter().fold((0.0, 0.0), |(candidate, stable), epoch| {
        (
            candidate + sign.of(&epoch.candidate) as f64 * (1.0 - epoch.share),
            stable + sign.of(&epoch.stable) as f64 * epoch.share,
        )
    });
    (of_stable > 0.0).then(|| of_candidate / of_stable)
}

/// The evidence that more than the share `allowed` is bad, for what a comparison cannot see: what hurts both versions
/// alike. 1/α and more suffices, so that it does so by chance with a probability of at most `α`, at whatever time it is
/// looked at. `allowed` is more than 0 and less than 1.
///
/// ```
/// use plimsoll_slo::beyond;
///
/// assert!(beyond(1_000, 1, 0.001) < 100.0);
/// assert!(beyond(45, 5, 0.001) > 100.0);
/// ```
pub fn beyond(good: u64, bad: u64, allowed: f64) -> f64 {
    e_value::share_above(good, bad, allowed, &WORSE).value()
}
