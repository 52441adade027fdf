//! What layers read from heads and write into them. The names are the gateway's, so that a hop of either kind
//! understands the other.

use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use plimsoll_policy::{Judged, Pushback, parse_grpc_pushback, parse_retry_after};

use crate::env::unix_seconds;

/// The time that is left, in milliseconds.
pub(crate) static DEADLINE: HeaderName = HeaderName::from_static("x-plimsoll-deadline-ms");
/// The same, in gRPC's form.
pub(crate) static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Which attempt a request is, counted from 1 over all layers that retry.
pub(crate) static ATTEMPT: HeaderName = HeaderName::from_static("x-plimsoll-attempt");
/// How many attempts an answer took.
pub(crate) static ATTEMPTS: HeaderName = HeaderName::from_static("x-plimsoll-attempts");
/// What an operator wants to go wrong.
pub(crate) static FAULT: HeaderName = HeaderName::from_static("x-plimsoll-fault");
/// The code of a refusal, for callers that do not read bodies.
pub(crate) static REASON: HeaderName = HeaderName::from_static("x-plimsoll-reason");
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
pub(crate) static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(crate) static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
pub(crate) static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
pub(crate) static GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
pub(crate) static GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// The value of a field as text; `None` when it is not there, or no visible ASCII.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The value of a field as a number.
pub(crate) fn number<T: std::str::FromStr>(headers: &HeaderMap, name: &HeaderName) -> Option<T> {
    text(headers, name)?.parse().ok()
}

/// Whether a message is gRPC's.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// What an answer's head says about the service, by its fields.
pub(crate) fn judge<B>(answer: &Response<B>) -> Judged {
    let headers = answer.headers();
    if let Some(code) = number(headers, &GRPC_STATUS) {
        let pushback = headers.get(&GRPC_PUSHBACK).map(HeaderValue::as_bytes);
        return Judged::grpc(code, pushback.map_or(Pushback::None, parse_grpc_pushback));
    }
    let retry_after = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| parse_retry_after(value.as_bytes(), unix_seconds()));
    Judged::http(
        answer.status().as_u16(),
        retry_after.map_or(Pushback::None, Pushback::After),
    )
}
