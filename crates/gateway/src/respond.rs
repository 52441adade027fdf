//! From a reason to an answer: the only place where Plimsoll chooses a status.
//!
//! HTTP callers get an RFC 9457 problem document, gRPC callers a status with `google.rpc` details; both carry the
//! row of the Reason table, so that a program can tell what happened, whether it was delivered and whether to retry.
//! Their texts are [`Problem`]'s, which servers with the policies in their own process use as well.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use plimsoll_slo::{Delivered, Problem, Reason};

use crate::fields::{Known, Own};
use crate::framing::Refusal;

/// What an answer of ours says, in one protocol or the other.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: StatusCode,
    pub(crate) own: Own,
    pub(crate) body: Bytes,
    /// An HTTP/1 connection cannot go on after it.
    pub(crate) close: bool,
}

/// An answer that we make ourselves.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: Reason,
    /// What exactly happened, for the person who reads it: which rule, which limit, which error.
    pub(crate) cause: Option<std::borrow::Cow<'static, str>>,
    pub(crate) retry_after: Option<Duration>,
    /// Overrides the table's "delivered" when more is known, never to say less was delivered than could have been.
    pub(crate) delivered: Option<Delivered>,
    /// Status to pretend, for injected faults only.
    pub(crate) pretend: Option<(u16, u8)>,
    /// `Allow`, with method-not-allowed.
    pub(crate) allow: Option<String>,
    /// Do not answer at all, as an injected fault wants it.
    pub(crate) cut_off: bool,
    /// More fields.
    pub(crate) own: Own,
}

impl Refused {
    pub(crate) fn new(reason: Reason) -> Self {
        Self {
            reason,
            cause: None,
            retry_after: None,
            delivered: None,
            pretend: None,
            allow: None,
            cut_off: false,
            own: Own::new(),
        }
    }

    #[must_use]
    pub(crate) fn cause(mut self, cause: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// What is said of it, about the request with this id.
    fn problem<'a>(&'a self, request_id: &'a str) -> Problem<'a> {
        Problem {
            cause: self.cause.as_deref(),
            retry_after: self.retry_after,
            delivered: self.delivered,
            pretend: self.pretend,
            request_id,
            ..Problem::new(self.reason)
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.reason).cause(refusal.cause)
    }
}

/// The answer in HTTP. `x-plimsoll-reason` is for callers that do not read bodies.
pub(crate) fn http(refused: &Refused, request_id: &str) -> Said {
    let problem = refused.problem(request_id);
    let mut own = refused.own.clone();
    own.push((
        Known::ContentType,
        HeaderValue::from_static("application/problem+json"),
    ));
    own.push((Known::Reason, HeaderValue::from_static(refused.reason.code())));
    if let Some(seconds) = problem.retry_after_seconds() {
        own.push((Known::RetryAfter, HeaderValue::from(seconds)));
    }
    let allow = refused.allow.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(allow)) = allow {
        own.push((Known::Allow, allow));
    }
    Said {
        // Every status of the table and of a checked fault is in 100..=999.
        status: StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        own,
        body: problem.json().into(),
        close: closes_connection(refused.reason),
    }
}

/// The answer in gRPC: status 200 and trailers only, which here means headers only.
pub(crate) fn grpc(refused: &Refused, request_id: &str) -> Said {
    let problem = refused.problem(request_id);
    let mut own = refused.own.clone();
    own.push((Known::ContentType, HeaderValue::from_static("application/grpc")));
    own.push((Known::Reason, HeaderValue::from_static(refused.reason.code())));
    own.push((Known::GrpcStatus, HeaderValue::from(u16::from(problem.grpc()))));
    // Both texts are printable ASCII.
    let texts = [
        (Known::GrpcMessage, problem.grpc_message()),
        (Known::GrpcDetails, problem.grpc_details()),
    ];
    for (name, text) in texts {
        own.extend(HeaderValue::try_from(text).map(|value| (name, value)));
    }
    if let Some(millis) = problem.grpc_pushback_ms() {
        own.push((Known::GrpcPushback, HeaderValue::from(millis)));
    }
    Said {
        status: StatusCode::OK,
        own,
        body: Bytes::new(),
        close: closes_connection(refused.reason),
    }
}

/// The end of a gRPC call whose answer has begun.
pub(crate) fn grpc_trailers(refused: &Refused, request_id: &str) -> HeaderMap {
    let own = grpc(refused, request_id).own.into_iter();
    let trailing = own.filter(|(known, _)| *known != Known::ContentType);
    trailing
        .map(|(known, value)| (HeaderName::from_static(known.name()), value))
        .collect()
}

/// A whole HTTP/1.1 answer in bytes, to what is no request. It ends the connection.
pub(crate) fn last_words(refusal: Refusal) -> Vec<u8> {
    let said = http(&Refused::from(refusal), "");
    let mut text = format!(
        "HTTP/1.1 {} {}\r\n",
        said.status.as_u16(),
        said.status.canonical_reason().unwrap_or("")
    );
    for (name, value) in &said.own {
        let _ = write!(text, "{}: {}\r\n", name.name(), value.to_str().unwrap_or(""));
    }
    let _ = write!(
        text,
        "content-length: {}\r\nconnection: close\r\n\r\n",
        said.body.len()
    );
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&said.body);
    bytes
}

/// After these the rest of the request is unread or cannot be trusted, so an HTTP/1 connection cannot go on.
fn closes_connection(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MalformedRequest
            | Reason::AmbiguousFraming
            | Reason::InvalidHost
            | Reason::EarlyUpgradeData
            | Reason::SlowRequest
            | Reason::BodyTooLarge
            | Reason::HeadTooLarge
            | Reason::TargetTooLong
            | Reason::Draining
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_makes_a_whole_answer() {
        for &reason in Reason::ALL {
            let refused = Refused::new(reason)
                .cause("a \"cause\"\n")
                .retry_after(Duration::from_millis(1500));
            let said = http(&refused, "id-1");
            let value = |said: &Said, name| {
                let found = said.own.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.to_str().unwrap().to_owned())
            };
            assert_eq!(said.status.as_u16(), reason.info().status);
            assert_eq!(value(&said, Known::RetryAfter).as_deref(), Some("2"));
            let body = String::from_utf8(said.body.to_vec()).unwrap();
            assert!(body.contains(&format!("\"code\":\"{reason}\"")), "{body}");
            assert!(body.contains(r#""cause":"a \"cause\"\n""#), "{body}");
            let said = grpc(&refused, "id-1");
            assert_eq!(said.status, 200);
            assert_eq!(value(&said, Known::GrpcPushback).as_deref(), Some("1500"));
            assert!(value(&said, Known::GrpcDetails).is_some());
        }
    }
}
