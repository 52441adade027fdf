//! The circuit breaker: an upstream that fails too often is left alone, then asked again carefully.
//!
//! When most answers are failures, sending more requests helps nobody: callers wait for an error that could be had
//! at once, and the upstream spends on them what it needs to recover.
//!
//! ```text
//!             failure rate reached                     open time over
//!   Passing ───────────────────────▶ Tripped ─────────────────────────▶ Probing
//!      ▲                                ▲     failure of a probe, or       │ │
//!      │                                └──── failure rate reached ────────┘ │
//!      └───────────────────── 1 probe, then 1 %, 5 %, 25 % went well ────────┘
//! ```
//!
//! **Passing → Tripped** when failures ≥ `failure_rate` × max(results, `requests_min`) in the last ten seconds. With
//! fewer results than the minimum this trips only if the failures alone will have reached the rate by then: what is
//! certain need not be waited for. Two results never trip it, ten failures of ten do (by default).
//!
//! **Tripped** refuses everything for `open_base`, doubled with every trip since the last full recovery, up to
//! `open_max`; then a random quarter less, so that many proxies do not ask in the same moment.
//!
//! **Probing** has four steps. At first at most `probes_max` requests are in flight, and one success leads on.
//! Then a random share passes: 1 %, 5 %, 25 %, and besides it, always, `probes_max` at a time: without those, a route
//! with one request a second would wait minutes for its 1 %. A step ends after `ramp_step` *and* five successes, for
//! time alone proves nothing. All at once (as most breakers do after one probe) throws the whole load on a service
//! with cold caches and an empty pool, and trips again.
//!
//! **Every pass comes back once,** by `report` or `cancel`, and both free its probe. A pass that never does, because
//! its task was lost, cannot shut the breaker for good: when all probes are out and the newest is older than
//! `probe_timeout`, they are given up. Results of requests admitted before the last trip are ignored; they speak of
//! a time that has been judged.
//!
//! **Why there is no count of failures in a row by default:** among many endpoints the requests in flight to one
//! that dies are a row of failures, while nine of ten answers are good. That row is the business of outlier
//! ejection; the breaker judges the upstream as a whole. For an upstream of one endpoint `consecutive` trips sooner.
//!
//! **What is a failure** is for the caller to say: timeouts, resets and 5xx are; 4xx is not. Overload answers (429, or
//! 503 with `Retry-After`) should be `Failure` while probing, and `Neutral` otherwise where an adaptive limit reacts
//! to them. Refusals of our own that never reached the upstream are `cancel`.
//!
//! It has no failure of its own: a clock that jumps back lengthens a state by the jump, and all sums saturate.

use core::time::Duration;

use plimsoll_slo::Instant;

use crate::Dice;

mod window;
use window::Window;

/// The share of requests that passes in each step of probing. The first step is probes alone.
const RAMP: [f64; 4] = [0.0, 0.01, 0.05, 0.25];
/// Results that judge a step of the ramp: its successes must reach this number, and its failure rate is taken of at
/// least so many. Fewer, and one unlucky request would decide; more, and quiet routes would recover slowly.
const STEP_RESULTS: u32 = 5;
/// The least part of the open time that is kept when it is shortened at random.
const OPEN_LEAST: f64 = 0.75;

/// When a breaker trips, and how it recovers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerConfig {
    /// Failures per result that trip it, above 0.0 and up to 1.0 (above: never); 0.5 by default. Lower values trip
    /// on errors that callers could still live with, and then they get nothing.
    pub failure_rate: f64,
    /// Results in ten seconds below which the rate is taken as though there were so many; 20 by default. With 20,
    /// a service that fails 10 % of the time trips by bad luck about once in 140,000 windows.
    pub requests_min: u32,
    /// Failures in a row that trip it, whatever the rate; 0, the default, for never. The module header says why.
    pub consecutive: u32,
    /// How long it stays tripped the first time; 1 s by default.
    pub open_base: Duration,
    /// How long it stays tripped at most; 2 s by default. It is also the longest that a recovery goes unseen, and what
    /// it saves is one probe: to an upstream that is down, one request every two seconds is nothing.
    pub open_max: Duration,
    /// Probes in flight at most; 1 by default. 0 counts as 1, or nothing would ever be found out.
    pub probes_max: u32,
    /// How long each share of the ramp lasts at least; 500 ms by default, so 1.5 s from the first good probe to all.
    /// With `open_max` that brings an upstream back within 4 s of its own recovery, however long it was gone.
    pub ramp_step: Duration,
    /// When probes that have not come back are given up; 10 s by default. Longer than the time of one try, or a
    /// slow upstream is probed more often than `probes_max` says.
    pub probe_timeout: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failure_rate: 0.5,
            requests_min: 20,
            consecutive: 0,
            open_base: Duration::from_secs(1),
            open_max: Duration::from_secs(2),
            probes_max: 1,
            ramp_step: Duration::from_millis(500),
            probe_timeout: Duration::from_secs(10),
        }
    }
}

/// What a breaker does with requests, as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// All of them pass.
    Passing,
    /// None does.
    Tripped,
    /// A few do, to find out whether all may.
    Probing,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum BreakerDecision {
    /// Send it, and bring the pass back by [`Breaker::report`] or [`Breaker::cancel`].
    Admit(Pass),
    /// Do not.
    Refuse {
        /// When asking again may be worth while: above zero; exact while tripped, a guess while probing.
        retry_after: Duration,
    },
}

/// The permission to send one request. It must come back once; it is [`Copy`] so that a guard can hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Trips before it was given: a later trip makes its result worthless.
    generation: u64,
    /// The batch of probes it belongs to, if it is one.
    probe: Option<u32>,
}

/// What became of an admitted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The upstream did its work.
    Success,
    /// It did not.
    Failure,
    /// It says nothing about the upstream's health.
    Neutral,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Passing,
    Tripped {
        until: Instant,
    },
    Probing {
        step: usize,
        since: Instant,
        successes: u32,
    },
}

/// One breaker, for one upstream. 280 bytes; it allocates nothing, and an admission while passing costs a few
/// comparisons. The window is summed only when a failure is reported.
///
/// ```
/// use plimsoll_policy::*;
/// use plimsoll_slo::Instant;
/// use std::time::Duration;
///
/// let (mut breaker, mut dice) = (Breaker::new(BreakerConfig::default()), SeededDice::new(1));
/// let now = Instant::ORIGIN;
/// for _ in 0..10 {
///     let BreakerDecision::Admit(pass) = breaker.admit(now, &mut dice) else { panic!() };
///     breaker.report(now, pass, Report::Failure);
/// }
/// assert_eq!(breaker.state(now), BreakerState::Tripped);
/// let BreakerDecision::Refuse { retry_after } = breaker.admit(now, &mut dice) else { panic!() };
/// assert!(retry_after <= Duration::from_secs(1));
/// assert_eq!(breaker.state(now + retry_after), BreakerState::Probing);
/// ```
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    phase: Phase,
    window: Window,
    /// Failures since the last success.
    streak: u32,
    /// Trips since the last full recovery: how often the open time is doubled.
    doublings: u32,
    trips: u64,
    /// Rolled by the first admission after a trip, for the next, which is told of by a report: that has no dice.
    spread: Option<f64>,
    probes: u32,
    /// Number of the present batch of probes; those of an earlier one were given up and free nothing.
    batch: u32,
    probe_newest: Instant,
}

impl Breaker {
    /// A breaker that passes everything.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            phase: Phase::Passing,
            window: Window::default(),
            streak: 0,
            doublings: 0,
            trips: 0,
            spread: None,
            probes: 0,
            batch: 0,
            probe_newest: Instant::ORIGIN,
        }
    }

    /// Changes the rules and keeps what is known. A breaker that is tripped stays so until the time it was given.
    pub fn set_config(&mut self, config: BreakerConfig) {
        self.config = config;
    }

    /// Whether one request may be sent `now`.
    pub fn admit(&mut self, now: Instant, dice: &mut impl Dice) -> BreakerDecision {
        if self.spread.is_none() {
            self.spread = Some(dice.unit());
        }
        if let Phase::Tripped { until } = self.phase {
            if now < until {
                return BreakerDecision::Refuse {
                    retry_after: until - now,
                };
            }
            self.window = Window::default();
            self.streak = 0;
            self.phase = Phase::Probing {
                step: 0,
                since: now,
                successes: 0,
            };
        }
        self.advance(now);
        match self.phase {
            Phase::Probing { step, since, .. } => self.admit_probing(now, step, since, dice),
            Phase::Passing | Phase::Tripped { .. } => BreakerDecision::Admit(self.pass(None)),
        }
    }

    /// Takes the result of a request that was admitted.
    pub fn report(&mut self, now: Instant, pass: Pass, report: Report) {
        self.release(pass);
        if pass.generation != self.trips {
            return;
        }
        match report {
            Report::Neutral => {}
            Report::Success => {
                self.window.add(now, false);
                self.streak = 0;
                if let Phase::Probing { successes, .. } = &mut self.phase {
                    *successes = successes.saturating_add(1);
                }
                self.advance(now);
            }
            Report::Failure => {
                self.window.add(now, true);
                self.streak = self.streak.saturating_add(1);
                if self.fails(now) {
                    self.trip(now);
                }
            }
        }
    }

    /// Takes back a pass whose request was not sent, or was given up by its caller: it proves nothing.
    ///
    /// The time plays no part today; it is asked for as in [`report`](Self::report), so that a guard treats both alike.
    pub fn cancel(&mut self, _now: Instant, pass: Pass) {
        self.release(pass);
    }

    /// What it does with requests `now`.
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.phase {
            Phase::Passing => BreakerState::Passing,
            Phase::Tripped { until } if now < until => BreakerState::Tripped,
            Phase::Tripped { .. } | Phase::Probing { .. } => BreakerState::Probing,
        }
    }

    /// How often it tripped since it was made.
    pub fn trips(&self) -> u64 {
        self.trips
    }

    /// Probes that have not come back and were not given up.
    pub fn probes_in_flight(&self) -> u32 {
        self.probes
    }

    fn admit_probing(
        &mut self,
        now: Instant,
        step: usize,
        since: Instant,
        dice: &mut impl Dice,
    ) -> BreakerDecision {
        // The first step throws no dice: its share is zero, which no throw is below.
        if step > 0 && dice.unit() < RAMP[step] {
            return BreakerDecision::Admit(self.pass(None));
        }
        let full = self.probes >= self.config.probes_max.max(1);
        if full && now - self.probe_newest < self.config.probe_timeout {
            let step_left = (since + self.config.ramp_step) - now;
            let retry_after = if step_left.is_zero() {
                self.config.ramp_step
            } else {
                step_left
            };
            return BreakerDecision::Refuse {
                retry_after: retry_after.max(Duration::from_millis(1)),
            };
        }
        if full {
            self.probes = 0;
            self.batch = self.batch.wrapping_add(1);
        }
        self.probes += 1;
        self.probe_newest = now;
        BreakerDecision::Admit(self.pass(Some(self.batch)))
    }

    fn pass(&self, probe: Option<u32>) -> Pass {
        Pass {
            generation: self.trips,
            probe,
        }
    }

    fn release(&mut self, pass: Pass) {
        if pass.probe == Some(self.batch) {
            self.probes = self.probes.saturating_sub(1);
        }
    }

    /// Goes to the next step of probing, or back to passing, if this one went well for long enough.
    fn advance(&mut self, now: Instant) {
        let Phase::Probing {
            step,
            since,
            successes,
        } = self.phase
        else {
            return;
        };
        let proven = match step {
            0 => successes > 0,
            _ => successes >= STEP_RESULTS && now - since >= self.config.ramp_step,
        };
        if !proven {
            return;
        }
        if step + 1 < RAMP.len() {
            self.phase = Phase::Probing {
                step: step + 1,
                since: now,
                successes: 0,
            };
        } else {
            self.phase = Phase::Passing;
            self.doublings = 0;
        }
    }

    /// Whether the failures so far are enough to trip.
    fn fails(&self, now: Instant) -> bool {
        let least = match self.phase {
            Phase::Probing { step: 0, .. } => return true,
            Phase::Probing { .. } => STEP_RESULTS.min(self.config.requests_min),
            Phase::Passing | Phase::Tripped { .. } => self.config.requests_min,
        };
        let counts = self.window.counts(now);
        // A billionth, because 0.07 × 100 is a little more than 7 in floating point.
        let needed = self.config.failure_rate * f64::from(counts.total.max(least)) - 1e-9;
        let in_a_row = self.config.consecutive > 0 && self.streak >= self.config.consecutive;
        f64::from(counts.failures) >= needed || in_a_row
    }

    fn trip(&mut self, now: Instant) {
        let doubled = 1u32.checked_shl(self.doublings).unwrap_or(u32::MAX);
        let open = self
            .config
            .open_base
            .saturating_mul(doubled)
            .min(self.config.open_max);
        // A pass came before this, and the admission that gave it rolled the spread.
        let spread = self.spread.take().unwrap_or(1.0);
        let kept = OPEN_LEAST + (1.0 - OPEN_LEAST) * spread;
        self.phase = Phase::Tripped {
            until: now + open.mul_f64(kept),
        };
        self.doublings = self.doublings.saturating_add(1);
        self.trips += 1;
    }
}

impl Pass {
    /// Whether the request is a probe, for its span and its log line.
    pub const fn is_probe(self) -> bool {
        self.probe.is_some()
    }
}

impl BreakerState {
    /// The stable word for it in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Tripped => "tripped",
            Self::Probing => "probing",
        }
    }
}

#[cfg(test)]
mod tests;
