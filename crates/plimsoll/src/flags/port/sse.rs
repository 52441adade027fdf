//! Tells providers for the web that they should fetch again, as server-sent events (ADR-0008 of OFREP).
//!
//! An event's id is the digest of the definitions, which is the same in every process that serves the same. Whoever
//! comes (back) and did not hear of the present ones last is told at once: flagd's provider does not fetch again by
//! itself after a break, and something may have changed between its fetch and its listening. If it has not, fetching
//! again costs one 304.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::json;

use super::body::Body;
use super::follow::Voice;
use super::{Port, Served, answer, ofrep};

/// Where the events are. Providers learn it from each answer to a bulk evaluation.
pub(super) const PATH: &str = "/ofrep/v1/events";

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Has proxies pass on what comes when it comes.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Somebody who listens.
#[derive(Debug)]
pub(super) struct Refetch {
    /// What they heard last.
    last: Option<String>,
}

impl Refetch {
    /// What they are told who know what was `seen`.
    pub(super) fn told(&self, seen: Option<&Served>, now: &Served) -> Vec<Bytes> {
        let mut events = String::new();
        if seen.is_none() {
            // Whoever is cut off comes back after a second.
            events.push_str("retry: 1000\n\n");
        }
        let known = seen.map(|seen| &seen.digest).or(self.last.as_ref());
        if known != Some(&now.digest) {
            let digest = &now.digest;
            let data = json!({ "type": "refetchEvaluation", "etag": digest, "lastModified": now.changed_at });
            _ = write!(events, "id: {digest}\ndata: {data}\n\n");
        }
        if events.is_empty() {
            return Vec::new();
        }
        vec![events.into()]
    }
}

/// The address of the events, below the origin of whoever asked.
pub(super) fn address(ticket: Option<&str>) -> String {
    ticket.map_or_else(|| PATH.to_owned(), |ticket| format!("{PATH}?ticket={ticket}"))
}

impl Port {
    pub(super) fn events(&self, head: &Parts) -> Response<Body> {
        if head.method != Method::GET {
            let mut response = ofrep::general(StatusCode::METHOD_NOT_ALLOWED, "events are read with GET");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        if !self.admits_listener(head) {
            return answer::challenged(ofrep::general(
                StatusCode::UNAUTHORIZED,
                "show a token, or take the address of the events from a bulk evaluation",
            ));
        }
        let last = head.headers.get(LAST_EVENT_ID);
        let last = last.and_then(|last| last.to_str().ok()).map(str::to_owned);
        let Some(follower) = self.follower(Voice::Sse(Refetch { last })) else {
            let mut response = ofrep::general(StatusCode::SERVICE_UNAVAILABLE, "too many listen already");
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return response;
        };
        let mut response = Response::new(Body::following(follower));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(UNBUFFERED, HeaderValue::from_static("no"));
        response
    }
}
