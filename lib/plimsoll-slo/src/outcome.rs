//! What became of one event, and how it is classed.

use core::time::Duration;

use crate::Reason;

/// Good, bad, or left out of the objective; the last two with a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The caller got what it asked for, or was rightly told that it asked for the wrong thing.
    Good,
    /// It spends error budget.
    Bad(Reason),
    /// It says nothing about the service, and so counts neither way.
    Excluded(Reason),
}

/// What became of one request, as its user saw it: one per request, however many attempts it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Good, bad or excluded.
    pub class: Class,
    /// From the end of the request's head to the end of the answer's body.
    pub latency: Duration,
    /// From the end of the request's head to the end of the answer's head; what a stream's user waits for.
    pub first_byte: Duration,
    /// Attempts sent to the upstream, hedges included: 0 when it was refused before.
    pub attempts: u32,
}

/// Classes an answer by its HTTP status, as it was passed on.
///
/// 5xx is bad. So is a 429 for a caller who is `within_rate`, of which is known that it may ask so much; for any other
/// it says nothing about the service. Everything else is good: a 4xx is the service doing its work, and whether a *rise*
/// of 4xx is our fault is the judge's question, not this one's.
///
/// ```
/// use plimsoll_slo::{Class, Reason, classify_http};
/// assert_eq!(classify_http(200, false), Class::Good);
/// assert_eq!(classify_http(404, false), Class::Good);
/// assert_eq!(classify_http(503, false), Class::Bad(Reason::UpstreamError));
/// assert_eq!(classify_http(429, true), Class::Bad(Reason::UpstreamRateLimited));
/// assert_eq!(classify_http(429, false), Class::Excluded(Reason::UpstreamRateLimited));
/// ```
pub const fn classify_http(status: u16, within_rate: bool) -> Class {
    match status {
        500.. => Class::Bad(Reason::UpstreamError),
        429 if within_rate => Class::Bad(Reason::UpstreamRateLimited),
        429 => Class::Excluded(Reason::UpstreamRateLimited),
        _ => Class::Good,
    }
}

/// Classes a gRPC call by the status code in its trailers.
///
/// The codes that blame the server are UNKNOWN (2), DEADLINE_EXCEEDED (4), UNIMPLEMENTED (12), INTERNAL (13),
/// UNAVAILABLE (14) and DATA_LOSS (15). Source: OpenTelemetry semantic conventions for gRPC servers.
///
/// ```
/// use plimsoll_slo::{Class, Reason, classify_grpc};
/// assert_eq!(classify_grpc(0), Class::Good);
/// assert_eq!(classify_grpc(5), Class::Good); // NOT_FOUND: the caller's
/// assert_eq!(classify_grpc(14), Class::Bad(Reason::UpstreamGrpcError));
/// ```
pub const fn classify_grpc(code: u8) -> Class {
    match code {
        2 | 4 | 12..=15 => Class::Bad(Reason::UpstreamGrpcError),
        _ => Class::Good,
    }
}

/// Whether an answer that is good says that its caller is at fault: 4xx, or, of a gRPC call that says more, a status that
/// blames neither the server nor a caller who left.
///
/// ```
/// use plimsoll_slo::blames_caller;
/// assert!(blames_caller(401, None));
/// assert!(!blames_caller(200, None) && !blames_caller(503, None));
/// assert!(blames_caller(200, Some(16))); // UNAUTHENTICATED
/// assert!(!blames_caller(200, Some(0)) && !blames_caller(200, Some(14)));
/// ```
pub const fn blames_caller(status: u16, grpc: Option<u8>) -> bool {
    match grpc {
        Some(0 | 1) => false,
        Some(code) => matches!(classify_grpc(code), Class::Good),
        None => status >= 400 && status < 500,
    }
}

impl Class {
    /// The class of a refusal or failure that we answered ourselves.
    ///
    /// The caller's fault is excluded: it is neither the service's work nor its failure. A caller beyond its rate
    /// is outside its contract, so 429 is excluded too. All else is bad, our own refusals first of all: for the
    /// user who was shed, the service was down.
    pub const fn of_refusal(reason: Reason) -> Self {
        match reason.info().blame {
            crate::Blame::Caller => Self::Excluded(reason),
            crate::Blame::Upstream | crate::Blame::Us => Self::Bad(reason),
        }
    }

    /// The reason, when there is one.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Good => None,
            Self::Bad(reason) | Self::Excluded(reason) => Some(reason),
        }
    }

    /// The word for it in metrics and logs: `good`, `bad` or `excluded`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad(_) => "bad",
            Self::Excluded(_) => "excluded",
        }
    }
}
