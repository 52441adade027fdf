//! Load balancing: the power of two choices over a peak-sensitive latency estimate.
//!
//! Two endpoints are drawn at random and the one that costs less is taken. The cost of an endpoint is what a
//! new request would wait there: its estimated round trip times the requests ahead of it, [`PeakEwma::load`].
//! Two choices are enough: the fullest queue of n shrinks from about log n / log log n to log log n
//! (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001), and cores that do not talk
//! to each other do not all run to the same best endpoint, as they would if each took the minimum.
//!
//! The estimate has three states. *Unknown*: nothing was measured; an idle unknown endpoint costs nothing, so
//! that it is tried at once. *Measured*: a sample above the estimate replaces it, one below it moves it by
//! how much time has passed; so trouble is believed at once and recovery slowly. *Fading*: without samples
//! the estimate of an idle endpoint fades to zero, for otherwise one that was slow once would never be asked
//! again. The request that tries it out is alone: as soon as one is pending, the estimate fades no lower than
//! the default round trip.
//!
//! A failure is a sample too: [`penalty`] instead of its round trip. An endpoint that answers 503 within a
//! millisecond is the fastest of all, and a balancer that measures only time sends it everything.
//!
//! When no endpoint may be used [`pick`] says `None`, and the shell answers `no-endpoint`.
//!
//! Sources: Finagle's and tower's Peak EWMA; the penalty is linkerd2-proxy's.

use core::time::Duration;

use plimsoll_slo::Instant;

use crate::Dice;

/// What a failure counts as when the answer does not say how long to stay away.
const PENALTY: Duration = Duration::from_secs(5);
/// The longest `Retry-After` that is believed: an endpoint cannot send itself on leave for a day.
const PENALTY_MAX: Duration = Duration::from_mins(5);

/// How endpoints are compared.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::BalanceConfig;
/// assert_eq!(BalanceConfig::default().tau, Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BalanceConfig {
    /// Time constant of the estimate: after `tau` without a worse sample, 37 % of the old estimate is left.
    /// Default 10 s, as in linkerd2-proxy.
    pub tau: Duration,
    /// The round trip assumed for an endpoint that is busy and was not measured yet. Default 30 ms.
    pub default_rtt: Duration,
    /// How a new endpoint is warmed up.
    pub slow_start: SlowStart,
}

impl Default for BalanceConfig {
    fn default() -> Self {
        Self {
            tau: Duration::from_secs(10),
            default_rtt: Duration::from_millis(30),
            slow_start: SlowStart::default(),
        }
    }
}

/// The latency estimate of one endpoint, as one core sees it.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::PeakEwma;
/// use plimsoll_slo::Instant;
///
/// let (now, tau) = (Instant::ORIGIN, Duration::from_secs(10));
/// let mut ewma = PeakEwma::new(Duration::from_millis(30));
/// ewma.record(now, Duration::from_millis(20), tau);
/// assert_eq!(ewma.load(now, 0), 0.020);
/// assert_eq!(ewma.load(now, 2), 0.060);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PeakEwma {
    default_rtt: f64,
    measured: Option<Measured>,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Seconds, as of `at`.
    estimate: f64,
    at: Instant,
    /// Seconds. Kept from the last sample, so that reading the load needs no configuration.
    tau: f64,
}

impl PeakEwma {
    /// The estimate of an endpoint that was never asked. `default_rtt` is what it costs once a request is
    /// pending.
    pub fn new(default_rtt: Duration) -> Self {
        Self {
            default_rtt: default_rtt.as_secs_f64(),
            measured: None,
        }
    }

    /// Takes in one round trip, or the [`penalty`] of one failure.
    ///
    /// The first sample, and any sample above the estimate, replaces it; else, with dt since the last sample,
    /// `estimate = estimate·e^(−dt/tau) + rtt·(1 − e^(−dt/tau))`.
    pub fn record(&mut self, now: Instant, rtt: Duration, tau: Duration) {
        let (rtt, tau) = (rtt.as_secs_f64(), tau.as_secs_f64());
        let estimate = match self.measured {
            Some(old) if rtt <= old.estimate => {
                let kept = kept(now.since(old.at), tau);
                old.estimate * kept + rtt * (1.0 - kept)
            }
            _ => rtt,
        };
        self.measured = Some(Measured {
            estimate,
            at: now,
            tau,
        });
    }

    /// Takes in a request that was given up after `age`: its round trip would have been at least that.
    ///
    /// Above what is left of the estimate it replaces it, as a sample would. Below, it says nothing, and changes
    /// nothing: whatever the answer had taken, it may have been as slow as ever.
    ///
    /// ```
    /// use core::time::Duration;
    /// use plimsoll_policy::PeakEwma;
    /// use plimsoll_slo::Instant;
    ///
    /// let (now, tau) = (Instant::ORIGIN, Duration::from_secs(10));
    /// let mut ewma = PeakEwma::new(Duration::from_millis(30));
    /// ewma.record(now, Duration::from_millis(20), tau);
    /// ewma.record_at_least(now, Duration::from_millis(5), tau);
    /// assert_eq!(ewma.load(now, 0), 0.020);
    /// ewma.record_at_least(now, Duration::from_millis(50), tau);
    /// assert_eq!(ewma.load(now, 0), 0.050);
    /// ```
    pub fn record_at_least(&mut self, now: Instant, age: Duration, tau: Duration) {
        let left = self
            .measured
            .map_or(0.0, |old| old.estimate * kept(now.since(old.at), old.tau));
        if age.as_secs_f64() > left {
            self.measured = Some(Measured {
                estimate: age.as_secs_f64(),
                at: now,
                tau: tau.as_secs_f64(),
            });
        }
    }

    /// What one more request would cost here with `pending` in flight, in seconds of waiting: finite and not
    /// negative, good for comparing and for nothing else.
    pub fn load(&self, now: Instant, pending: u32) -> f64 {
        let faded = match self.measured {
            Some(m) => {
                let faded = m.estimate * kept(now.since(m.at), m.tau);
                if pending == 0 {
                    faded
                } else {
                    faded.max(m.estimate.min(self.default_rtt))
                }
            }
            None if pending == 0 => 0.0,
            None => self.default_rtt,
        };
        faded * (f64::from(pending) + 1.0)
    }
}

/// The share of an estimate that is left after `passed`: e^(−passed/tau).
fn kept(passed: Duration, tau: f64) -> f64 {
    // With tau zero the quotient would be 0/0 for two samples at one moment; no memory at all is what was
    // asked.
    if tau <= 0.0 {
        0.0
    } else {
        (-passed.as_secs_f64() / tau).exp()
    }
}

/// The round trip to record for a failure: `Retry-After` if the answer had one, at most 300 s; else 5 s.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::penalty;
/// assert_eq!(penalty(None), Duration::from_secs(5));
/// assert_eq!(penalty(Some(Duration::from_secs(86_400))), Duration::from_secs(300));
/// ```
pub fn penalty(retry_after: Option<Duration>) -> Duration {
    retry_after.map_or(PENALTY, |asked| asked.min(PENALTY_MAX))
}

/// Two distinct indices below `n`, every ordered pair equally likely; `None` when there are no two.
///
/// ```
/// use plimsoll_policy::{SeededDice, choose_two};
/// let (a, b) = choose_two(3, &mut SeededDice::new(1)).unwrap();
/// assert!(a != b && a < 3 && b < 3);
/// assert_eq!(choose_two(1, &mut SeededDice::new(1)), None);
/// ```
pub fn choose_two(n: usize, dice: &mut impl Dice) -> Option<(usize, usize)> {
    if n < 2 {
        return None;
    }
    let first = dice.below(n as u64) as usize;
    let second = dice.below(n as u64 - 1) as usize;
    Some((first, second + usize::from(second >= first)))
}

/// Picks one of `n` endpoints: the less loaded of two random ones.
///
/// `load` answers `None` for an endpoint that may not be used; it is asked at most once per endpoint. If
/// neither candidate may be used the others are tried in turn from a random start, so that an endpoint is
/// found whenever there is one.
///
/// ```
/// use plimsoll_policy::{SeededDice, pick};
/// let loads = [Some(0.3), None, Some(0.1)];
/// let picked = pick(3, &mut SeededDice::new(1), |i| loads[i]).unwrap();
/// assert_ne!(picked, 1);
/// ```
pub fn pick(n: usize, dice: &mut impl Dice, mut load: impl FnMut(usize) -> Option<f64>) -> Option<usize> {
    let Some((a, b)) = choose_two(n, dice) else {
        return (0..n).find(|&only| load(only).is_some());
    };
    match (load(a), load(b)) {
        (Some(load_a), Some(load_b)) => Some(if load_b < load_a { b } else { a }),
        (Some(_), None) => Some(a),
        (None, Some(_)) => Some(b),
        (None, None) => {
            let start = dice.below(n as u64) as usize;
            (start..n)
                .chain(0..start)
                .find(|&i| i != a && i != b && load(i).is_some())
        }
    }
}

/// Warms up a new endpoint: its load is multiplied by a factor that falls to 1 with its age.
///
/// The share of the traffic that an endpoint should take grows in a straight line, from `floor` to 1 within
/// `window`; its cost is multiplied by the reciprocal, because in balance the requests in flight stand in
/// inverse proportion to their cost. Default: 10 s from a tenth. That is long enough for connections, first
/// compilations and hot cache entries, and short enough that a scale-out under overload helps while it still
/// matters; a service that fills large caches needs minutes, and should say so.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::SlowStart;
/// let slow = SlowStart { window: Duration::from_secs(10), floor: 0.1 };
/// assert_eq!(slow.factor(Duration::ZERO), 10.0);
/// assert_eq!(slow.factor(Duration::from_secs(5)), 2.0);
/// assert_eq!(slow.factor(Duration::from_secs(60)), 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowStart {
    /// How long an endpoint counts as young. Zero: no slow start.
    pub window: Duration,
    /// The share of its full traffic that a newborn endpoint takes, in `0.0..=1.0`. Taken as at least 0.01.
    pub floor: f64,
}

impl Default for SlowStart {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            floor: 0.1,
        }
    }
}

impl SlowStart {
    /// The number to multiply the load by, from 100 at most down to 1.
    pub fn factor(&self, age: Duration) -> f64 {
        if age >= self.window {
            return 1.0;
        }
        let share = age.as_secs_f64() / self.window.as_secs_f64();
        1.0 / share.max(self.floor).clamp(0.01, 1.0)
    }
}

#[cfg(test)]
mod tests;
