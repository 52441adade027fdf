//! Until when a request may take, and how that is told to the next hop.
//!
//! A request without a deadline holds its connection, its memory and its place in every queue for as long as the
//! slowest part of the system likes; and work goes on for callers who left long ago. So every request gets an
//! absolute deadline when it is admitted, and every later wait is cut to it: the try, the backoff, the next hop.
//!
//! In memory a deadline is a point in time; on the wire it is a duration, because clocks of two machines differ.
//! See [`write_grpc_timeout`](crate::write_grpc_timeout) for gRPC's form of it.
//!
//! **Doomed work.** A caller that asks for less time than the median answer takes will most likely be gone before
//! it is answered. Refusing it at once costs nothing and leaves the capacity to requests that can succeed. Only
//! what a *caller* asked for is refused so, never our own default: a service slower than its default deadline
//! would otherwise refuse everything, measure nothing, and never find out that it had recovered. For the same
//! reason the typical time must be the median of *recent successful* answers, and must be forgotten (`None`) when
//! there are none: an estimate that refuses all the requests that could correct it must not live on.
//!
//! It has no state and cannot fail: whatever was asked, the answer is a deadline at most `total_max` away, or a
//! [`Reason`].

use core::time::Duration;

use plimsoll_slo::{Instant, Reason};

/// The shortest time of one try that is derived from what was measured.
///
/// An upstream whose p99.9 is 2 ms would otherwise be cut off at 3 ms by one garbage collection or one lost packet
/// (Linux sends again after 200 ms at the earliest, but a delayed or reordered packet is in time).
const PER_TRY_LEAST: Duration = Duration::from_millis(50);

/// How long requests of a route may take.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{DeadlineConfig, DeadlineDecision};
/// use plimsoll_slo::{Instant, Reason};
///
/// let (config, now) = (DeadlineConfig::default(), Instant::ORIGIN);
/// let DeadlineDecision::Admit(deadline) = config.admit(now, None, None) else { panic!() };
/// assert_eq!(deadline - now, Duration::from_secs(15));
/// assert_eq!(config.on_wire(now, deadline), Duration::from_millis(14_995));
///
/// // A caller with 10 ms left, where the median answer takes 40 ms, would get nothing but our load.
/// let (asked, typical) = (Duration::from_millis(10), Duration::from_millis(40));
/// let refused = config.admit(now, Some(asked), Some(typical));
/// assert_eq!(refused, DeadlineDecision::Refuse(Reason::DeadlineUnmeetable));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeadlineConfig {
    /// For requests that ask for no deadline of their own. 15 s by default, as Envoy's route timeout.
    pub total: Duration,
    /// The most that a caller may ask for; what asks for more gets this. 5 min by default.
    pub total_max: Duration,
    /// For one try. `None`, the default, derives it: p99.9 of the route × 1.5, at least 50 ms, once it is known,
    /// and until then whatever is left of the total. The factor leaves room for the error of the measurement and
    /// for a slow day; a try beyond it is most likely lost, and the time is better spent on another.
    pub per_try: Option<Duration>,
    /// Taken off the time left when it is told to the next hop, so that its answer, or its refusal, reaches us
    /// before our own deadline cuts the connection. 5 ms by default: timers on both sides are 1 ms coarse and
    /// round up, and a round trip between zones takes 1 to 2 ms. It costs the slowest requests 5 ms of 15 s; an
    /// answer that comes too late costs a reset and, with HTTP/1, the connection.
    /// At most half of what is left is taken off, so that a short deadline stays usable.
    pub margin: Duration,
}

/// Whether a request still has time enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum DeadlineDecision {
    /// Serve it, and give up at this point.
    Admit(Instant),
    /// Do not begin: always [`Reason::DeadlineUnmeetable`].
    Refuse(Reason),
}

impl DeadlineConfig {
    /// The deadline of a request that arrives `now`.
    ///
    /// `asked` is the time its caller gives it, if it said so. `typical` is the median time of recent successful
    /// answers, `None` when it is not known; the module header says why it must be recent and successful.
    pub fn admit(
        &self,
        now: Instant,
        asked: Option<Duration>,
        typical: Option<Duration>,
    ) -> DeadlineDecision {
        let Some(asked) = asked else {
            return DeadlineDecision::Admit(now + self.total.min(self.total_max));
        };
        let granted = asked.min(self.total_max);
        if granted.is_zero() || typical.is_some_and(|typical| granted < typical) {
            return DeadlineDecision::Refuse(Reason::DeadlineUnmeetable);
        }
        DeadlineDecision::Admit(now + granted)
    }

    /// When a try that starts `now` is given up: `min(deadline, now + per_try)`. `None` when no time is left.
    ///
    /// `p999` is the time within which 99.9 % of the recent successful answers came, if it is known.
    pub fn try_until(&self, now: Instant, deadline: Instant, p999: Option<Duration>) -> Option<Instant> {
        if now >= deadline {
            return None;
        }
        let derived = || Some((p999?.saturating_mul(3) / 2).max(PER_TRY_LEAST));
        let per_try = self.per_try.or_else(derived);
        Some(per_try.map_or(deadline, |per_try| deadline.min(now + per_try)))
    }

    /// The time to tell the next hop: what is left until `deadline`, less the margin, and at least half of it.
    ///
    /// `deadline` is that of the try, not of the request, where the try ends sooner. Zero when nothing is left:
    /// then there is nothing to send either.
    pub fn on_wire(&self, now: Instant, deadline: Instant) -> Duration {
        let left = deadline.since(now);
        left.saturating_sub(self.margin.min(left / 2))
    }
}

impl Default for DeadlineConfig {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(15),
            total_max: Duration::from_mins(5),
            per_try: None,
            margin: Duration::from_millis(5),
        }
    }
}

#[cfg(test)]
mod tests;
