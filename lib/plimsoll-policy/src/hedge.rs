//! Whether a request whose answer is late is sent a second time, to another endpoint, while the first is still out.
//!
//! One slow endpoint of ten makes one request in ten slow, and a page that asks for ten things slow two times in
//! three. A second request, sent when the first has taken longer than nineteen in twenty do, finds a well endpoint
//! almost surely; the answer that comes first is taken and the other request is cancelled. With a delay at the 95th
//! percentile that costs 5 % more load at most (Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013).
//!
//! The price is load, paid before anybody knows that it was needed; and what slows an upstream down most often is
//! load. A hedge without bounds would double it in that very moment. So a hedge has to pass every rule below, in
//! this order, and the first that speaks against it is the answer ([`NoHedge`]). Two are asked when the request is
//! sent ([`HedgeConfig::plan`]), and say whether a timer is worth setting:
//!
//! 1. It is safe: its method asks for nothing to be changed (RFC 9110 §9.2.1), or the route says that its operations
//!    may run twice *at once*. That is more than a retry needs: with two at work side by side, even an idempotent
//!    method may be overtaken by another caller's change in between, and the one that lost is cancelled half-way.
//! 2. No other layer retries it. 3. The delay is known.
//!
//! The others are asked when the delay is over ([`HedgeConfig::decide`]):
//!
//! 4. The caller has sent its whole body, and it is there to be sent again: else it is the caller who is slow.
//! 5. The deadline leaves time for an answer. 6. There is another endpoint, and it is well.
//! 7. The breaker passes everything. 8. The upstream is not loaded: below `load_max` of what it may have in flight.
//! 9. The route's own allowance has a hedge left: at most `share` of its requests. 10. So has the [`RetryBudget`] of
//!    the upstream, which retries and hedges share, so that both together stay within it. These two are asked last,
//!    because asking takes.
//!
//! gRPC's hedging policy (proposal A6) is the model, with three differences. There is one hedge and not several: the
//! second brings nearly all of the gain. A failure before the delay is over is the retry policy's, which waits before
//! it sends again, where A6 sends the next hedge at once. And A6 knows no load and no other endpoint.
//!
//! It has no state but two budgets that are handed in, and cannot fail: when a rule speaks against the hedge, the
//! first attempt is waited for as if there were none.

use core::time::Duration;

use plimsoll_slo::Instant;

use crate::{BudgetConfig, RetryBudget, Withdrawal};

/// Hedges that a route may save up: as many as a retry budget has by default. When one endpoint pauses, requests are
/// late together; when all do, this is the most that is sent on top of them.
const SAVED_MAX: u32 = 10;

/// When a route's late requests are sent to a second endpoint.
///
/// ```
/// use plimsoll_policy::*;
/// use plimsoll_slo::Instant;
/// use std::time::Duration;
///
/// let config = HedgeConfig::default();
/// let (allowance, budget) = (config.allowance(), RetryBudget::new(&BudgetConfig::default()));
///
/// // When it is sent: a GET whose answer takes less than 20 ms in 95 of 100 cases.
/// let get = Candidate { safe: is_safe("GET"), upstream_of_retry: false };
/// let p95 = Some(Duration::from_millis(20));
/// assert_eq!(config.plan(&get, p95), HedgePlan::After(Duration::from_millis(20)));
///
/// // 20 ms later there is no answer.
/// let mut late = Late {
///     now: Instant::ORIGIN + Duration::from_millis(20),
///     deadline: Instant::ORIGIN + Duration::from_secs(15),
///     body_whole: true,
///     elsewhere: true,
///     passing: true,
///     load: 0.2,
/// };
/// assert_eq!(config.decide(&late, &allowance, &budget), HedgeDecision::Send);
/// // A loaded upstream is not sent more.
/// late.load = 0.8;
/// assert_eq!(config.decide(&late, &allowance, &budget), HedgeDecision::Refuse(NoHedge::Loaded));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgeConfig {
    /// How long the first attempt is waited for. `None`, the default, takes the route's own 95th percentile, once it
    /// is known.
    pub after: Option<Duration>,
    /// Hedges per request in the long run, 0.0 to 1.0; what is outside counts as the nearer end, NaN as 0.0. Only
    /// requests that may be hedged count. 0.02 by default: well below the 5 % that are later than the 95th
    /// percentile, so that on a bad day, when many more are, hedges do not become the load that keeps it bad.
    pub share: f64,
    /// Share of what the upstream may have in flight, 0.0 to 1.0, from which on nothing is hedged. 0.7 by default: an
    /// upstream that is busier is slow because it is busy, and more of the same is no help.
    pub load_max: f64,
    /// Whether the operations of this route may run twice at once, whatever their method: for gRPC, whose calls are
    /// all POST. False by default.
    pub idempotent: bool,
}

/// A request that is being sent, as far as hedging cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its method is safe; see [`is_safe`].
    pub safe: bool,
    /// Another layer retries: the request came as a retry.
    pub upstream_of_retry: bool,
}

/// Whether a request is worth a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum HedgePlan {
    /// Ask [`HedgeConfig::decide`] if there is no answer when this time is over.
    After(Duration),
    /// Send it once.
    Never(NoHedge),
}

/// What is known when the first attempt is late.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Late {
    /// The time.
    pub now: Instant,
    /// When the request is given up. Where the typical time of an answer is known, pass the deadline less that time:
    /// then no hedge starts that cannot finish.
    pub deadline: Instant,
    /// The whole body has come, and can be sent again.
    pub body_whole: bool,
    /// There is another endpoint that may be used.
    pub elsewhere: bool,
    /// The breaker passes everything.
    pub passing: bool,
    /// Requests in flight to the upstream, as a share of what it may have: 0.0 is idle, 1.0 is full.
    pub load: f64,
}

/// Whether to send a second attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum HedgeDecision {
    /// Send it. A hedge of the allowance and a token of the budget are held: [refund](RetryBudget::refund) both if in
    /// the end it is not sent.
    Send,
    /// Wait for the first.
    Refuse(NoHedge),
}

/// Why a request is not hedged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoHedge {
    /// It may change something, and two at once might change it twice.
    NotSafe,
    /// Another layer of the system retries it.
    OtherLayerRetries,
    /// Too few requests were seen to say what late is.
    NotLearned,
    /// Its caller is still sending, or its body was longer than what is kept of it.
    BodyNotWhole,
    /// It would be too late.
    DeadlineTooNear,
    /// There is no other endpoint that is well.
    NoOtherEndpoint,
    /// The breaker is tripped, or comes back step by step.
    BreakerTripped,
    /// The upstream has enough to do.
    Loaded,
    /// The route was hedged enough.
    ShareSpent,
    /// The upstream was sent enough retries and hedges.
    BudgetExhausted,
}

impl HedgeConfig {
    /// The hedges that a route may cost: one for its life, apart from the budget of its upstream.
    pub fn allowance(&self) -> RetryBudget {
        RetryBudget::new(&self.allowed())
    }

    /// The rules of [`Self::allowance`], to [configure](RetryBudget::configure) one that goes on.
    pub const fn allowed(&self) -> BudgetConfig {
        BudgetConfig {
            share: self.share,
            burst: SAVED_MAX,
        }
    }

    /// Decides when a request is sent. `p95` is the time within which 95 % of the recent first attempts of the route
    /// were answered, `None` while it is not known.
    pub fn plan(&self, candidate: &Candidate, p95: Option<Duration>) -> HedgePlan {
        if !candidate.safe && !self.idempotent {
            return HedgePlan::Never(NoHedge::NotSafe);
        }
        if candidate.upstream_of_retry {
            return HedgePlan::Never(NoHedge::OtherLayerRetries);
        }
        match self.after.or(p95) {
            Some(after) => HedgePlan::After(after),
            None => HedgePlan::Never(NoHedge::NotLearned),
        }
    }

    /// Decides when that time is over and there is no answer. Takes a hedge out of `allowance` and a token out of
    /// `budget` if, and only if, the answer is [`HedgeDecision::Send`].
    pub fn decide(&self, late: &Late, allowance: &RetryBudget, budget: &RetryBudget) -> HedgeDecision {
        let spared = late.load < self.load_max;
        let against = [
            (!late.body_whole, NoHedge::BodyNotWhole),
            (late.now >= late.deadline, NoHedge::DeadlineTooNear),
            (!late.elsewhere, NoHedge::NoOtherEndpoint),
            (!late.passing, NoHedge::BreakerTripped),
            (!spared, NoHedge::Loaded),
        ];
        if let Some((_, why)) = against.into_iter().find(|(speaks, _)| *speaks) {
            return HedgeDecision::Refuse(why);
        }
        if allowance.withdraw() == Withdrawal::Exhausted {
            return HedgeDecision::Refuse(NoHedge::ShareSpent);
        }
        if budget.withdraw() == Withdrawal::Exhausted {
            allowance.refund();
            return HedgeDecision::Refuse(NoHedge::BudgetExhausted);
        }
        HedgeDecision::Send
    }
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self {
            after: None,
            share: 0.02,
            load_max: 0.7,
            idempotent: false,
        }
    }
}

impl NoHedge {
    /// Those that [`HedgeConfig::decide`] gives, in the order of its rules.
    pub const LATE: [Self; 7] = [
        Self::BodyNotWhole,
        Self::DeadlineTooNear,
        Self::NoOtherEndpoint,
        Self::BreakerTripped,
        Self::Loaded,
        Self::ShareSpent,
        Self::BudgetExhausted,
    ];

    /// The stable word for it in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotSafe => "not-safe",
            Self::OtherLayerRetries => "other-layer-retries",
            Self::NotLearned => "not-learned",
            Self::BodyNotWhole => "body-not-whole",
            Self::DeadlineTooNear => "deadline-too-near",
            Self::NoOtherEndpoint => "no-other-endpoint",
            Self::BreakerTripped => "breaker-tripped",
            Self::Loaded => "loaded",
            Self::ShareSpent => "share-spent",
            Self::BudgetExhausted => "budget-exhausted",
        }
    }
}

/// Whether a method asks for nothing to be changed: GET, HEAD, OPTIONS and TRACE (RFC 9110 §9.2.1), in capitals. Any
/// other method is taken for one that does.
///
/// ```
/// assert!(plimsoll_policy::is_safe("HEAD"));
/// assert!(!plimsoll_policy::is_safe("DELETE"));
/// ```
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

#[cfg(test)]
mod tests;
