//! Rate limit: the generic cell rate algorithm, exact and one number per caller.
//!
//! A quota of one request per T, with a burst of b, is kept as one point in time, the *theoretical arrival
//! time* (TAT): when the caller's bucket will be full again. A request may pass if, having moved the TAT by
//! T, it is no more than b·T ahead of now. That is a token bucket without a timer that fills it, and unlike a
//! fixed window it does not admit twice the quota around a boundary.
//!
//! The states of a caller are *full* (TAT in the past: the same as never seen), *partly used*, and *used up*
//! (refused with the exact time until the next request would pass). Refusals leave the TAT as it was, so a
//! caller that keeps knocking is not locked out for longer. Whoever knows no TAT passes 0.
//!
//! All arithmetic is in whole nanoseconds and saturates. T is rounded up, so that the rate is never exceeded;
//! it falls short of what was asked by less than 1 ns in T: 0.1 % at a million requests per second, nothing
//! for most.
//!
//! Sources: ITU-T I.371 (GCRA, virtual scheduling); the variant with TAT and burst offset as in Redis-cell.

use core::time::Duration;

use plimsoll_slo::Instant;

mod header;
mod key;
mod keyed;

pub use header::{ratelimit_policy_value, ratelimit_value};
pub use key::hash_key;
pub use keyed::KeyedLimiter;

/// A lasting rate and a burst.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::Quota;
/// let quota = Quota::new(100, Duration::from_secs(60), 20).unwrap();
/// assert_eq!(quota.interval(), Duration::from_millis(600));
/// assert_eq!(quota.refill(), Duration::from_secs(12));
/// assert_eq!(Quota::new(0, Duration::from_secs(60), 20), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// T, nanoseconds per request: at least 1.
    interval: u64,
    /// Requests that an idle caller may send at once: at least 1.
    burst: u32,
}

impl Quota {
    /// `count` requests per `per` in the long run, and `burst` at once after a rest.
    ///
    /// `None` when one of them is zero, when the rate is above 10⁹ per second, or when an empty bucket would
    /// take more than 146 years to fill: such a quota cannot be kept in nanoseconds.
    pub fn new(count: u32, per: Duration, burst: u32) -> Option<Self> {
        let per = u64::try_from(per.as_nanos()).ok()?;
        if count == 0 || burst == 0 || per < u64::from(count) {
            return None;
        }
        let interval = per.div_ceil(u64::from(count));
        let refill = interval.checked_mul(u64::from(burst))?;
        (refill <= u64::MAX / 4).then_some(Self { interval, burst })
    }

    /// T: the time after which one more request may pass.
    pub const fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// How many requests may pass at once after a rest.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// How long a rest it takes until the whole burst is there again: burst·T.
    pub const fn refill(&self) -> Duration {
        Duration::from_nanos(self.refill_nanos())
    }

    const fn refill_nanos(&self) -> u64 {
        self.interval * self.burst as u64
    }
}

/// What [`gcra`] says.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::RateDecision;
/// let wait = Duration::from_secs(2);
/// let refused = RateDecision::Refuse { retry_after: wait, reset: Duration::from_secs(9) };
/// assert_eq!(refused.advertised(), (0, wait));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateDecision {
    /// Within the quota.
    Admit {
        /// The caller's new TAT, in nanoseconds on the clock of `now`: to be kept for its next request.
        tat: u64,
        /// Requests of cost 1 that would pass right after this one.
        remaining: u32,
        /// Until the whole burst is there again, if nothing more is asked.
        reset: Duration,
    },
    /// Beyond the quota: answer `rate-limited`. The caller's TAT stays what it was.
    Refuse {
        /// Until the same request would pass, if nothing else is asked.
        retry_after: Duration,
        /// Until the whole burst is there again, if nothing more is asked.
        reset: Duration,
    },
}

impl RateDecision {
    /// The remaining requests and the reset time that the `RateLimit` header should say.
    ///
    /// For a refusal the reset is `retry_after`: the draft wants both headers to mean the same point in time.
    pub const fn advertised(&self) -> (u32, Duration) {
        match *self {
            Self::Admit { remaining, reset, .. } => (remaining, reset),
            Self::Refuse { retry_after, .. } => (0, retry_after),
        }
    }
}

/// Decides on one request that counts as `cost` requests, for a caller with this `tat` (0: never seen).
///
/// With T the interval and b the burst: `TAT' = max(now, TAT) + cost·T`; admitted iff `TAT' − now ≤ b·T`,
/// which for a cost of 1 is the `now ≥ TAT − (b−1)·T` of the textbook. A cost above the burst counts as the
/// burst: it could otherwise never pass, however long the caller waited. A TAT further ahead than the quota
/// allows, from a stricter quota before a reload or from another clock, is taken as a bucket that is just
/// empty.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{Quota, RateDecision, gcra};
/// use plimsoll_slo::Instant;
///
/// let quota = Quota::new(1, Duration::from_secs(1), 2).unwrap();
/// let now = Instant::from_nanos(5_000_000_000);
/// let RateDecision::Admit { tat, remaining: 1, .. } = gcra(0, now, &quota, 1) else { panic!() };
/// let RateDecision::Admit { tat, remaining: 0, .. } = gcra(tat, now, &quota, 1) else { panic!() };
/// let RateDecision::Refuse { retry_after, .. } = gcra(tat, now, &quota, 1) else { panic!() };
/// assert_eq!(retry_after, Duration::from_secs(1));
/// ```
pub fn gcra(tat: u64, now: Instant, quota: &Quota, cost: u32) -> RateDecision {
    let now = now.as_nanos();
    // Bounded by the refill, so at most a quarter of the range of u64: the sums below do not overflow.
    let charge = quota.interval * u64::from(cost.min(quota.burst));
    let used = tat.saturating_sub(now).min(quota.refill_nanos());
    let free = quota.refill_nanos() - used;
    if charge > free {
        let (retry_after, reset) = (Duration::from_nanos(charge - free), Duration::from_nanos(used));
        return RateDecision::Refuse { retry_after, reset };
    }
    RateDecision::Admit {
        tat: now.saturating_add(used + charge),
        remaining: ((free - charge) / quota.interval) as u32,
        reset: Duration::from_nanos(used + charge),
    }
}

#[cfg(test)]
mod tests;
