//! Whether a failed attempt is made again, and after what wait.
//!
//! A retry hides a failure from the caller, at the price of more load on an upstream that may be failing because
//! of its load; and if the first attempt was acted on, it is acted on twice. So a retry has to pass every rule
//! below, in this order, and the first that speaks against it is the answer ([`Stop`]):
//!
//! 1. It failed, in a way that may pass by itself. What we refused ourselves (breaker, bulkhead, limits) is not
//!    tried again here: keeping that load away is what the refusal was for.
//! 2. No other layer retries it. Three layers with three attempts each make 27 of one; so whoever sees that the
//!    request is a retry already, leaves it alone (SRE book, chapter 22, "Addressing Cascading Failures").
//! 3. It is safe to repeat: by its method (RFC 9110 §9.2.2), by an idempotency key, because the route says so, or
//!    because it provably never reached the service ([`Delivered::No`]).
//! 4. Its body can be sent again.
//! 5. There are attempts left. 6. The upstream did not ask to be left alone for longer than we care to wait.
//! 7. The deadline leaves time for the wait.
//! 8. The [`RetryBudget`] has a token. It is asked last, because asking takes it.
//!
//! A `Retry-After` is waited out in full and the backoff is added, so that all who were told "2 s" do not return
//! in the same millisecond.
//!
//! It has no state of its own and cannot fail: when a rule speaks against it, the caller gets the failure as it is,
//! never a made-up success.

use core::time::Duration;

use plimsoll_slo::{Delivered, Instant, Reason};

use crate::{Backoff, Dice, Pushback, RetryBudget, Withdrawal};

/// gRPC status codes that matter here, by their canonical names (google.rpc.Code).
mod grpc {
    pub(super) const OK: u8 = 0;
    pub(super) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(super) const UNAVAILABLE: u8 = 14;
}

/// When a route's attempts are repeated.
///
/// ```
/// use plimsoll_policy::*;
/// use plimsoll_slo::{Instant, Reason};
/// use std::time::Duration;
///
/// let (config, dice) = (RetryConfig::default(), &mut SeededDice::new(1));
/// let budget = RetryBudget::new(&BudgetConfig::default());
/// let now = Instant::ORIGIN;
/// let mut attempted = Attempted {
///     repeatable: Repeatable::of("POST", false),
///     retries_done: 0,
///     upstream_of_retry: false,
///     body_replayable: true,
///     deadline: now + Duration::from_secs(15),
/// };
/// // The connection broke: the service may have acted on the POST, so it is not sent twice.
/// let failure = Failure { kind: FailureKind::Refused(Reason::UpstreamReset), pushback: Pushback::None };
/// let decision = config.decide(now, &attempted, &failure, &budget, dice);
/// assert_eq!(decision, RetryDecision::Stop(Stop::NotRepeatable));
/// // With an idempotency key it may be.
/// attempted.repeatable = Repeatable::of("POST", true);
/// let decision = config.decide(now, &attempted, &failure, &budget, dice);
/// assert!(matches!(decision, RetryDecision::Again(wait) if wait <= Duration::from_millis(25)));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryConfig {
    /// Attempts beyond the first; 2 by default, the SRE book's three attempts in all. 0 turns retries off.
    pub retries_max: u32,
    /// How long to wait before each.
    pub backoff: Backoff,
    /// HTTP statuses worth another attempt; 502, 503 and 504 by default, which gateways and full services send.
    /// Not 500: a bug stays a bug. Those below 400 are ignored.
    pub statuses: Vec<u16>,
    /// Whether a try that got no answer in its time is made again; true by default. It still has to be safe to
    /// repeat, for the service may be at work on it.
    pub on_timeout: bool,
    /// The longest pushback (`Retry-After`, `grpc-retry-pushback-ms`) that is waited out; a longer one is passed
    /// on to the caller, who can wait without holding a connection. 5 s by default.
    pub retry_after_max: Duration,
    /// Bytes of a request's body that are kept to be sent again; 64 KiB by default. A longer body is sent once.
    pub body_max: u64,
    /// Whether the operations of this route are declared idempotent, whatever their method: for gRPC, whose calls
    /// are all POST. False by default.
    pub idempotent: bool,
}

/// On what ground a request may be sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeatable {
    /// Its method is idempotent: the effect of two is that of one.
    Always,
    /// It carries an idempotency key, by which the service tells the second from a new one.
    Keyed,
    /// It may not, unless it provably never arrived.
    Undelivered,
}

/// What is known of a request when an attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// On what ground it may be sent twice.
    pub repeatable: Repeatable,
    /// Retries made so far: 0 after the first attempt.
    pub retries_done: u32,
    /// Another layer retries: the request came as a retry (`x-plimsoll-attempt` above 1), or the answer says that
    /// a layer closer to the service has retried already.
    pub upstream_of_retry: bool,
    /// The whole body can be sent again: it was kept, or none of it was read yet.
    pub body_replayable: bool,
    /// When the request is given up. Where the typical time of an answer is known, pass the deadline less that
    /// time: then no retry starts that cannot finish.
    pub deadline: Instant,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What became of it.
    pub kind: FailureKind,
    /// What the upstream said about asking again.
    pub pushback: Pushback,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// There is no answer, for this reason; the reason says whether the request was delivered.
    Refused(Reason),
    /// An answer with this HTTP status.
    Status(u16),
    /// An answer with this gRPC status code.
    Grpc(u8),
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RetryDecision {
    /// Wait this long, then make another attempt. A token of the budget is held:
    /// [refund](RetryBudget::refund) it if in the end the attempt is not made.
    Again(Duration),
    /// Pass on what there is.
    Stop(Stop),
}

/// Why an attempt is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// There is nothing to repeat.
    NotFailed,
    /// It would fail in the same way again, or the refusal was our own.
    NotRetriable,
    /// The service may have acted on it, and would act again.
    NotRepeatable,
    /// Its body was longer than what is kept of it.
    BodyNotReplayable,
    /// `retries_max` were made.
    AttemptsSpent,
    /// Another layer of the system retries it.
    OtherLayerRetries,
    /// The upstream has been retried enough.
    BudgetExhausted,
    /// The upstream asked to be left alone, altogether or for longer than `retry_after_max`.
    PushedBack,
    /// It would be too late.
    DeadlineTooNear,
}

impl RetryConfig {
    /// Decides on an attempt that ended `now`. Takes a token out of `budget` if, and only if, the answer is
    /// [`RetryDecision::Again`].
    pub fn decide(
        &self,
        now: Instant,
        attempted: &Attempted,
        failure: &Failure,
        budget: &RetryBudget,
        dice: &mut impl Dice,
    ) -> RetryDecision {
        if let Some(stop) = self.forbidden(attempted, failure) {
            return RetryDecision::Stop(stop);
        }
        let pushed_back = match failure.pushback {
            Pushback::None => Duration::ZERO,
            Pushback::After(wait) if wait <= self.retry_after_max => wait,
            Pushback::After(_) | Pushback::Never => return RetryDecision::Stop(Stop::PushedBack),
        };
        let wait = self
            .backoff
            .delay(attempted.retries_done.saturating_add(1), dice)
            .saturating_add(pushed_back);
        if now + wait >= attempted.deadline {
            return RetryDecision::Stop(Stop::DeadlineTooNear);
        }
        match budget.withdraw() {
            Withdrawal::Granted => RetryDecision::Again(wait),
            Withdrawal::Exhausted => RetryDecision::Stop(Stop::BudgetExhausted),
        }
    }

    /// Rule 1 alone: whether it failed in a way that may pass by itself, so that another attempt may do better.
    ///
    /// ```
    /// use plimsoll_policy::*;
    ///
    /// let failed = |status| Failure { kind: FailureKind::Status(status), pushback: Pushback::None };
    /// assert!(RetryConfig::default().is_retriable(&failed(503)));
    /// assert!(!RetryConfig::default().is_retriable(&failed(500)));
    /// ```
    pub fn is_retriable(&self, failure: &Failure) -> bool {
        self.not_retriable(failure).is_none()
    }

    /// Rules 1 to 5: those that no waiting changes.
    fn forbidden(&self, attempted: &Attempted, failure: &Failure) -> Option<Stop> {
        let undelivered =
            matches!(failure.kind, FailureKind::Refused(reason) if reason.info().delivered == Delivered::No);
        let repeatable = self.idempotent || attempted.repeatable != Repeatable::Undelivered || undelivered;
        if let Some(stop) = self.not_retriable(failure) {
            return Some(stop);
        }
        [
            (attempted.upstream_of_retry, Stop::OtherLayerRetries),
            (!repeatable, Stop::NotRepeatable),
            (!attempted.body_replayable, Stop::BodyNotReplayable),
            (attempted.retries_done >= self.retries_max, Stop::AttemptsSpent),
        ]
        .into_iter()
        .find_map(|(forbids, stop)| forbids.then_some(stop))
    }

    /// Rule 1: whether it failed in a way that may pass by itself.
    fn not_retriable(&self, failure: &Failure) -> Option<Stop> {
        let retriable = match failure.kind {
            FailureKind::Status(..400) | FailureKind::Grpc(grpc::OK) => return Some(Stop::NotFailed),
            FailureKind::Status(status) => self.statuses.contains(&status),
            FailureKind::Grpc(grpc::UNAVAILABLE) => true,
            // "Full" is no reason to come again, unless it was said when (gRPC A6).
            FailureKind::Grpc(grpc::RESOURCE_EXHAUSTED) => failure.pushback != Pushback::None,
            FailureKind::Grpc(_) => false,
            FailureKind::Refused(reason) => self.may_pass(reason),
        };
        (!retriable).then_some(Stop::NotRetriable)
    }

    fn may_pass(&self, reason: Reason) -> bool {
        match reason {
            Reason::UpstreamTimeout => self.on_timeout,
            // The last is a drill: it stands for an upstream that fails, and retries are what it tries out.
            Reason::UpstreamRefused
            | Reason::UpstreamConnectTimeout
            | Reason::UpstreamUnresolved
            | Reason::UpstreamTls
            | Reason::UpstreamReset
            | Reason::UpstreamUndelivered
            | Reason::FaultInjected => true,
            // Malformed answers are left alone as well: they may be an attack on the next request's framing.
            _ => false,
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            retries_max: 2,
            backoff: Backoff::default(),
            statuses: vec![502, 503, 504],
            on_timeout: true,
            retry_after_max: Duration::from_secs(5),
            body_max: 64 * 1024,
            idempotent: false,
        }
    }
}

impl Repeatable {
    /// The ground for a request with this method; `has_key` when it carries an idempotency key.
    ///
    /// Idempotent by RFC 9110 §9.2.2 are GET, HEAD, OPTIONS, TRACE, PUT and DELETE, in capitals. Any other method
    /// is taken for one that is not.
    pub fn of(method: &str, has_key: bool) -> Self {
        match method {
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE" => Self::Always,
            _ if has_key => Self::Keyed,
            _ => Self::Undelivered,
        }
    }

    /// The word for it in logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Keyed => "keyed",
            Self::Undelivered => "undelivered",
        }
    }
}

impl Stop {
    /// The stable word for it in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotFailed => "not-failed",
            Self::NotRetriable => "not-retriable",
            Self::NotRepeatable => "not-repeatable",
            Self::BodyNotReplayable => "body-not-replayable",
            Self::AttemptsSpent => "attempts-spent",
            Self::OtherLayerRetries => "other-layer-retries",
            Self::BudgetExhausted => "budget-exhausted",
            Self::PushedBack => "pushed-back",
            Self::DeadlineTooNear => "deadline-too-near",
        }
    }
}

#[cfg(test)]
mod tests;
