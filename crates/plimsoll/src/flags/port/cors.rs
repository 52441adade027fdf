//! Lets scripts of any web page ask: providers for the web run in pages of anybody's origin.
//!
//! That gives nothing away. A browser sends no credentials of its own here (there are no cookies, and the wildcard
//! forbids them), so a page gets what it has a token for, or what everybody who reaches the port gets.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::Body;

/// What pages may send if they do not say what they would. `*` would not cover `Authorization`.
const ALLOWED: HeaderValue = HeaderValue::from_static(
    "authorization, cache-control, connect-protocol-version, connect-timeout-ms, content-type, flagd-selector, \
     if-none-match, last-event-id, x-api-key, x-user-agent",
);

/// What pages may read of an answer.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Retry-After, WWW-Authenticate, Connect-Accept-Encoding, Connect-Content-Encoding, Grpc-Status, \
     Grpc-Message, Grpc-Status-Details-Bin",
);

/// Says to a browser's question what a page may ask.
pub(super) fn preflight(headers: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let wanted = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
    let answer = response.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    answer.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, POST"),
    );
    // Whatever it is, it is a header that is ignored here.
    answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.cloned().unwrap_or(ALLOWED));
    answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    answer.insert(VARY, HeaderValue::from_static("access-control-request-headers"));
    response
}

/// Lets a page read the answer.
pub(super) fn allow(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}
