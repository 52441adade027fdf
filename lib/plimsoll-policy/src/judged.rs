//! What the head of an answer says about the service behind it.
//!
//! One answer is judged by several policies at once: the breaker wants to know whether the service is well, retries
//! whether another attempt may help, balancing how long to keep away. They have to agree on what a failure is, so it
//! is said here and nowhere else, from the status alone.
//!
//! A 5xx is a failure of the service; a 501 is not, for what is not there will not be there the next time either. A
//! 429 is worth another attempt when the service says when, and tells the breaker nothing: a service that can refuse
//! is up. Of gRPC's codes UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE and DATA_LOSS blame the service, and
//! RESOURCE_EXHAUSTED is its 429. UNIMPLEMENTED is its 501.

use core::time::Duration;

use crate::{Failure, FailureKind, Pushback, Report, penalty};

/// What the head of an answer says about the service behind it.
///
/// ```
/// use plimsoll_policy::{Judged, Pushback, Report};
///
/// let good = Judged::http(404, Pushback::None);
/// assert_eq!((good.report, good.failure), (Report::Success, None));
/// assert!(!good.well, "nothing was found, which takes another time than finding it");
/// let bad = Judged::http(503, Pushback::None);
/// assert_eq!(bad.report, Report::Failure);
/// assert!(bad.failure.is_some());
/// let full = Judged::grpc(8, Pushback::None);
/// assert_eq!(full.report, Report::Neutral);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Whether the service, and not the caller, is to blame.
    pub failed: bool,
    /// Whether what was asked for was done: such an answer says how long that takes.
    pub well: bool,
    /// What the breaker is told.
    pub report: Report,
    /// What the retry policy is asked about; `None` when there is nothing to repeat.
    pub failure: Option<Failure>,
    /// For balancing: how slow the endpoint is taken to be, at least.
    pub rtt_penalty: Option<Duration>,
}

impl Judged {
    /// By an HTTP status. `pushback` is what `Retry-After` said.
    pub fn http(status: u16, pushback: Pushback) -> Self {
        let server_error = matches!(status, 500..=599);
        let failed = server_error && status != 501;
        let retry_after = match pushback {
            Pushback::After(wait) => Some(wait),
            Pushback::None | Pushback::Never => None,
        };
        Self {
            failed,
            well: status < 400,
            report: match status {
                _ if failed => Report::Failure,
                429 => Report::Neutral,
                _ => Report::Success,
            },
            failure: (server_error || status == 429).then_some(Failure {
                kind: FailureKind::Status(status),
                pushback,
            }),
            rtt_penalty: failed.then(|| penalty(retry_after)),
        }
    }

    /// By a gRPC status code. `pushback` is what `grpc-retry-pushback-ms` said.
    pub fn grpc(code: u8, pushback: Pushback) -> Self {
        let failed = matches!(code, 2 | 4 | 13 | 14 | 15);
        Self {
            failed,
            well: code == 0,
            report: match code {
                _ if failed => Report::Failure,
                8 => Report::Neutral,
                _ => Report::Success,
            },
            failure: (code != 0).then_some(Failure {
                kind: FailureKind::Grpc(code),
                pushback,
            }),
            rtt_penalty: failed.then(|| penalty(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_blamed_for_its_own_failures_only() {
        let blamed: Vec<_> = (100..=599)
            .filter(|status| Judged::http(*status, Pushback::None).report == Report::Failure)
            .collect();
        assert_eq!(
            blamed,
            (500..=599).filter(|status| *status != 501).collect::<Vec<_>>()
        );
        let blamed: Vec<_> = (0..=16)
            .filter(|code| Judged::grpc(*code, Pushback::None).report == Report::Failure)
            .collect();
        assert_eq!(blamed, [2, 4, 13, 14, 15]);
    }

    #[test]
    fn a_full_service_says_nothing_about_its_health() {
        for full in [Judged::http(429, Pushback::None), Judged::grpc(8, Pushback::None)] {
            assert_eq!((full.failed, full.report), (false, Report::Neutral));
            assert!(full.failure.is_some(), "and may be asked again");
        }
    }

    #[test]
    fn what_the_service_asks_for_is_heard_by_balancing_too() {
        let wait = Duration::from_secs(30);
        assert_eq!(
            Judged::http(503, Pushback::After(wait)).rtt_penalty,
            Some(penalty(Some(wait)))
        );
        assert_eq!(Judged::http(429, Pushback::After(wait)).rtt_penalty, None);
    }
}
