//! The one table of refusals and failures.
//!
//! Everything that goes wrong with a request has a [`Reason`]. The response status, the problem document, the
//! gRPC status, the metric label, the log field, the page in the book and `plimsoll explain CODE` are all read
//! from [`Reason::info`]; nothing else chooses a status code. A code, once released, is never changed or reused.

/// Who has to act so that it does not happen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The caller sent something that cannot be served.
    Caller,
    /// The service behind Plimsoll, or the way to it.
    Upstream,
    /// Plimsoll, its configuration, or a limit that its operator set.
    Us,
}

/// Whether the upstream may have seen the request, and so may have acted on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivered {
    /// Provably not: no byte of the request reached the service.
    No,
    /// It cannot be known from here.
    Maybe,
    /// The service answered, so it had the request.
    Yes,
}

/// Whether sending the same request again can do harm, and whether it can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetrySafety {
    /// Repeat it, whatever it is: it was not delivered.
    Safe,
    /// Repeat it only if the request is idempotent by its method or by a key.
    Unsafe,
    /// Repeating it unchanged cannot succeed.
    Never,
}

/// What is said about one [`Reason`], everywhere it is said.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReasonInfo {
    /// Stable kebab-case code: metric label, log field, `plimsoll explain CODE`.
    pub code: &'static str,
    /// Who has to act.
    pub blame: Blame,
    /// Whether the upstream may have acted on the request.
    pub delivered: Delivered,
    /// Whether the caller may send it again.
    pub retry: RetrySafety,
    /// HTTP status of the answer that we make; for failures that pass through, the status that stands for them.
    pub status: u16,
    /// gRPC status code of the answer that we make.
    pub grpc: u8,
    /// The `title` of the problem document: what happened, in a few words.
    pub title: &'static str,
    /// Why it happens and what to do about it: one or two sentences for the person on call.
    pub explain: &'static str,
}

/// Declares the enum, its order and its table in one place, so that a reason without a row cannot exist.
macro_rules! reasons {
    ($( $(#[doc = $doc:literal])+ $name:ident => $code:literal, $blame:ident, $delivered:ident, $retry:ident,
        $status:literal, $grpc:ident, $title:literal; )+) => {
        /// Why an outcome was not good. See [`Reason::info`] for the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum Reason { $( $(#[doc = $doc])+ $name, )+ }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )+ ];

            /// The row of the table for this reason.
            pub const fn info(self) -> &'static ReasonInfo {
                match self {
                    $( Self::$name => const { &ReasonInfo {
                        code: $code, blame: Blame::$blame, delivered: Delivered::$delivered,
                        retry: RetrySafety::$retry, status: $status, grpc: grpc::$grpc, title: $title,
                        explain: concat!($($doc),+).trim_ascii(),
                    } }, )+
                }
            }
        }
    };
}

/// gRPC status codes by their canonical names (google.rpc.Code).
mod grpc {
    pub(super) const CANCELLED: u8 = 1;
    pub(super) const UNKNOWN: u8 = 2;
    pub(super) const INVALID_ARGUMENT: u8 = 3;
    pub(super) const DEADLINE_EXCEEDED: u8 = 4;
    pub(super) const PERMISSION_DENIED: u8 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u8 = 8;
    pub(super) const UNIMPLEMENTED: u8 = 12;
    pub(super) const INTERNAL: u8 = 13;
    pub(super) const UNAVAILABLE: u8 = 14;
}

reasons! {
    // The caller sent what cannot be served.
    /// The request line or a header is not valid HTTP. Nothing was forwarded; the `cause` says which rule it broke. Mend the client.
    MalformedRequest => "malformed-request", Caller, No, Never, 400, INTERNAL, "The request is not valid HTTP";
    /// The request can be read in two ways (both lengths, two lengths, odd Transfer-Encoding, bad chunk), which is how request smuggling works. It is refused, never repaired; mend the client or the proxy before us.
    AmbiguousFraming => "ambiguous-framing", Caller, No, Never, 400, INTERNAL, "The length of the request is ambiguous";
    /// There is no Host header, more than one, or one that is not a host. HTTP/1.1 requires exactly one (RFC 9110 §7.2).
    InvalidHost => "invalid-host", Caller, No, Never, 400, INVALID_ARGUMENT, "The Host header is missing or invalid";
    /// Bytes followed an Upgrade request before its answer. They might be a hidden second request, so the connection is closed.
    EarlyUpgradeData => "early-upgrade-data", Caller, No, Never, 400, INTERNAL, "Data was sent before the upgrade was answered";
    /// The request asks for an expectation other than 100-continue.
    ExpectationFailed => "expectation-failed", Caller, No, Never, 417, INVALID_ARGUMENT, "The expectation cannot be met";
    /// No route matches this method, host and path. Add a route, or a default upstream, if it should be served.
    UnknownRoute => "unknown-route", Caller, No, Never, 404, UNIMPLEMENTED, "No route leads there";
    /// The path is known, but not with this method; `Allow` lists the methods that are.
    MethodNotAllowed => "method-not-allowed", Caller, No, Never, 405, UNIMPLEMENTED, "The route does not take this method";
    /// The request's head did not arrive, or its body came too slowly, within the listener's limits.
    SlowRequest => "slow-request", Caller, No, Safe, 408, DEADLINE_EXCEEDED, "The request arrived too slowly";
    /// The body is larger than the route accepts. If the length was declared nothing was forwarded; the limit is `limits.body`.
    BodyTooLarge => "body-too-large", Caller, Maybe, Never, 413, RESOURCE_EXHAUSTED, "The request body is too large";
    /// The request target is longer than the limit.
    TargetTooLong => "target-too-long", Caller, No, Never, 414, INVALID_ARGUMENT, "The request target is too long";
    /// Together the headers are larger, or more in number, than the limit.
    HeadTooLarge => "head-too-large", Caller, No, Never, 431, RESOURCE_EXHAUSTED, "The request head is too large";
    /// This caller has used up its rate; `Retry-After` says when the next request will be admitted.
    RateLimited => "rate-limited", Caller, No, Safe, 429, RESOURCE_EXHAUSTED, "The rate limit is used up";
    /// An HTTP/2 connection made work and asked for nothing: it reset streams as fast as it opened them, sent headers without an end or beyond all measure, or frames that say nothing. It was closed with GOAWAY (ENHANCE_YOUR_CALM), which is how rapid reset, CONTINUATION floods and header bombs end.
    Http2Flood => "http2-flood", Caller, Maybe, Unsafe, 429, RESOURCE_EXHAUSTED, "The HTTP/2 connection made work for nothing";
    /// The caller's deadline had passed, or left too little time to be met, before anything was sent to the upstream.
    DeadlineUnmeetable => "deadline-unmeetable", Caller, No, Never, 504, DEADLINE_EXCEEDED, "The deadline cannot be met";
    /// The caller went away before it had its answer. Nobody was answered; the service may still have done the work.
    ClientClosed => "client-closed", Caller, Maybe, Unsafe, 499, CANCELLED, "The caller went away";

    // The upstream, or the way to it, failed.
    /// Every endpoint refused the connection: nothing listens there. Is the service up, and is the port right?
    UpstreamRefused => "upstream-refused", Upstream, No, Safe, 502, UNAVAILABLE, "The upstream refuses connections";
    /// No connection to the upstream could be made in time. A firewall, a full accept queue, or a host that is gone.
    UpstreamConnectTimeout => "upstream-connect-timeout", Upstream, No, Safe, 504, UNAVAILABLE, "The upstream cannot be reached in time";
    /// The name of the upstream does not resolve to any address.
    UpstreamUnresolved => "upstream-unresolved", Upstream, No, Safe, 503, UNAVAILABLE, "The upstream's name does not resolve";
    /// The TLS handshake with the upstream failed: certificate, name, protocol version or client certificate.
    UpstreamTls => "upstream-tls", Upstream, No, Safe, 502, UNAVAILABLE, "TLS to the upstream failed";
    /// The connection broke while the request was under way, before an answer began. The service may have acted on it.
    UpstreamReset => "upstream-reset", Upstream, Maybe, Unsafe, 502, UNAVAILABLE, "The upstream broke the connection";
    /// The upstream refused the stream or was going away before it looked at the request.
    UpstreamUndelivered => "upstream-undelivered", Upstream, No, Safe, 503, UNAVAILABLE, "The upstream did not take the request";
    /// The upstream did not begin its answer within the time of one try. The service may have acted on it.
    UpstreamTimeout => "upstream-timeout", Upstream, Maybe, Unsafe, 504, DEADLINE_EXCEEDED, "The upstream did not answer in time";
    /// The request's total deadline passed while it was under way, retries and waits included.
    DeadlineExceeded => "deadline-exceeded", Upstream, Maybe, Unsafe, 504, DEADLINE_EXCEEDED, "The deadline passed";
    /// What the upstream sent is not a valid answer.
    UpstreamMalformed => "upstream-malformed", Upstream, Yes, Unsafe, 502, INTERNAL, "The upstream's answer is not valid";
    /// The answer broke off after it had begun. The caller has part of it, and its connection or stream is reset, so it can tell.
    UpstreamTruncated => "upstream-truncated", Upstream, Yes, Unsafe, 502, UNAVAILABLE, "The upstream's answer broke off";
    /// The upstream answered with a 5xx status, which was passed on as it is.
    UpstreamError => "upstream-error", Upstream, Yes, Unsafe, 500, INTERNAL, "The upstream answered with an error";
    /// The upstream answered 429, which was passed on as it is. It is bad for a caller whom a rate limit of the route has let through, since that is what it may ask for; where there is none, nobody knows what it may, and it counts neither way.
    UpstreamRateLimited => "upstream-rate-limited", Upstream, Yes, Unsafe, 429, RESOURCE_EXHAUSTED, "The upstream is asked for more than it grants";
    /// The upstream ended the call with a gRPC status that blames the server, which was passed on as it is.
    UpstreamGrpcError => "upstream-grpc-error", Upstream, Yes, Unsafe, 500, UNKNOWN, "The upstream answered with a gRPC error";
    /// No endpoint is known. One that is ejected or unhealthy is tried when there is no other.
    NoEndpoint => "no-endpoint", Upstream, No, Safe, 503, UNAVAILABLE, "No endpoint of the upstream is available";
    /// The breaker is tripped: the upstream failed too often in the last seconds, and is given time to recover.
    BreakerTripped => "breaker-tripped", Upstream, No, Safe, 503, UNAVAILABLE, "The upstream is failing and is given time to recover";
    /// The upstream cannot do all that it is asked for, and this request had to make way. Give it more capacity, or say which requests are `sheddable`. `Retry-After` differs from caller to caller, so that they do not come back together.
    Shed => "shed", Upstream, No, Safe, 503, UNAVAILABLE, "The upstream is asked for more than it can do";

    // Plimsoll refused, by its own state or its operator's will.
    /// As many requests as the bulkhead allows are in flight to this upstream already.
    BulkheadFull => "bulkhead-full", Us, No, Safe, 503, UNAVAILABLE, "Too many requests are in flight to the upstream";
    /// The listener has as many connections or requests as it may hold.
    Overloaded => "overloaded", Us, No, Safe, 503, UNAVAILABLE, "Plimsoll is at its configured capacity";
    /// The process holds nearly as much memory as `limits.memory` lets it, and takes no new work before the kernel would end it with all that it carries. Give it more, or bound connections, bodies and streams more tightly.
    MemoryFull => "memory-full", Us, No, Safe, 503, UNAVAILABLE, "Plimsoll has no memory left for new work";
    /// The process ends, and the request had not ended when the time for its drain was over: it was cut off.
    Draining => "draining", Us, Maybe, Unsafe, 503, UNAVAILABLE, "Plimsoll is shutting down";
    /// A fault that an operator configured made this answer. It is a drill, not an accident.
    FaultInjected => "fault-injected", Us, No, Safe, 503, UNAVAILABLE, "A fault was injected on purpose";
    /// A fault header came from a caller who may not inject faults.
    FaultForbidden => "fault-forbidden", Caller, No, Never, 403, PERMISSION_DENIED, "The caller may not inject faults";
    /// A bug in Plimsoll: the request's task panicked. Please report it with the request id.
    Internal => "internal", Us, Maybe, Unsafe, 500, INTERNAL, "Plimsoll failed";
}

impl Reason {
    /// How many reasons there are: the length of every array that is indexed by [`Reason::index`].
    pub const COUNT: usize = Self::ALL.len();

    /// The position of this reason in [`Reason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The stable code of this reason.
    pub const fn code(self) -> &'static str {
        self.info().code
    }

    /// How long to stay away where the policy that refused does not say: 1 s, long enough that a full bulkhead or a
    /// restarting service may have changed. `None` where time changes nothing, or nobody knows how much.
    ///
    /// ```
    /// use core::time::Duration;
    /// use plimsoll_slo::Reason;
    /// assert_eq!(Reason::BulkheadFull.usual_wait(), Some(Duration::from_secs(1)));
    /// assert_eq!(Reason::UpstreamReset.usual_wait(), None);
    /// ```
    pub const fn usual_wait(self) -> Option<core::time::Duration> {
        match self {
            Self::BulkheadFull | Self::NoEndpoint | Self::UpstreamUnresolved | Self::UpstreamRefused => {
                Some(core::time::Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// Finds a reason by its code.
    ///
    /// ```
    /// use plimsoll_slo::Reason;
    /// assert_eq!(Reason::from_code("breaker-tripped"), Some(Reason::BreakerTripped));
    /// assert_eq!(Reason::from_code("no-such-thing"), None);
    /// ```
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl core::fmt::Display for Reason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.code())
    }
}

impl Blame {
    /// The word for it on the wire, in metrics and in logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Upstream => "upstream",
            Self::Us => "us",
        }
    }
}

impl Delivered {
    /// The word for it on the wire, in metrics and in logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Yes => "yes",
        }
    }
}

impl RetrySafety {
    /// The word for it on the wire, in metrics and in logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Unsafe => "if-idempotent",
            Self::Never => "never",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_kebab_case_and_findable() {
        let mut seen = HashSet::new();
        for (index, reason) in Reason::ALL.iter().enumerate() {
            let code = reason.code();
            assert!(seen.insert(code), "{code} stands twice in the table");
            assert!(
                code.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                "{code}"
            );
            assert_eq!(reason.index(), index);
            assert_eq!(Reason::from_code(code), Some(*reason));
        }
    }

    #[test]
    fn what_was_not_delivered_is_never_unsafe_to_repeat() {
        for reason in Reason::ALL {
            let info = reason.info();
            if info.delivered == Delivered::No {
                assert_ne!(info.retry, RetrySafety::Unsafe, "{reason}");
            } else {
                assert_ne!(
                    info.retry,
                    RetrySafety::Safe,
                    "{reason}: it may have been delivered"
                );
            }
        }
    }

    #[test]
    fn statuses_are_errors_and_texts_are_sentences() {
        for reason in Reason::ALL {
            let info = reason.info();
            assert!((400..600).contains(&info.status), "{reason}");
            assert!((1..=16).contains(&info.grpc), "{reason}");
            assert!(info.explain.trim_end().ends_with(['.', '?']), "{reason}");
            assert!(!info.title.ends_with('.'), "{reason}");
        }
    }
}
