//! The request as it goes to the upstream: hop-by-hop headers off, identity, forwarding and time on.

use std::cell::RefCell;
use std::rc::Rc;

use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use plimsoll_policy::{Repeatable, write_grpc_timeout};
use plimsoll_slo::Instant;

use crate::body::upload::{AttemptBody, Upload};
use crate::headers::{self, ATTEMPT, DEADLINE, GRPC_TIMEOUT};
use crate::identity::{REQUEST_ID, TRACEPARENT, Trace};
use crate::pipeline::Flow;
use crate::pool::{CoreEndpoint, Lease};
use crate::ticket::Ticket;

/// The request as it goes on, but for what each attempt changes.
pub(crate) struct Outgoing {
    method: Method,
    path: PathAndQuery,
    authority: Option<HeaderValue>,
    pub(crate) headers: HeaderMap,
    trace: Trace,
    /// Which attempt the request was when it came: 1, or more if a layer in front of us retries.
    pub(crate) came_as: u32,
}

impl Outgoing {
    pub(crate) fn of(parts: Parts, flow: &Flow<'_>, ticket: &Ticket) -> Self {
        let Parts {
            method,
            uri,
            mut headers,
            ..
        } = parts;
        headers::strip_hop_by_hop(&mut headers);
        let came_as = headers::number(&headers, &ATTEMPT).filter(|_| ticket.caller.trusted);
        // A number that is no attempt's is taken for a retry's: it costs a retry, not a storm.
        let came_as = came_as.map_or(1, |number| u32::try_from(number).unwrap_or(u32::MAX / 2).max(1));
        // In HTTP/2 the host is the :authority; in HTTP/1 a target with a host was checked to agree with it.
        let authority = match uri.authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            None => headers.get(HOST).cloned(),
        };
        if let Some(authority) = &authority {
            headers.insert(HOST, authority.clone());
        }
        ticket
            .caller
            .forward(&mut headers, flow.peer_text, flow.listener.scheme);
        headers.insert(REQUEST_ID, ticket.request_id.clone());
        let path = uri
            .into_parts()
            .path_and_query
            .unwrap_or(PathAndQuery::from_static("/"));
        Self {
            method,
            path,
            authority,
            headers,
            trace: ticket.trace,
            came_as,
        }
    }

    /// On what ground it may be sent twice.
    pub(crate) fn repeatable(&self, flow: &Flow<'_>) -> Repeatable {
        let declared = flow
            .route
            .plan
            .retry
            .as_ref()
            .is_some_and(|retry| retry.idempotent);
        if declared {
            return Repeatable::Always;
        }
        Repeatable::of(self.method.as_str(), self.headers.contains_key("idempotency-key"))
    }

    /// The request for the attempt with this number, counted from 1, on the connection that was chosen.
    pub(crate) fn request(
        &self,
        flow: &Flow<'_>,
        endpoint: &CoreEndpoint,
        lease: &Lease,
        upload: Option<&Rc<RefCell<Upload>>>,
        number: u32,
        now: Instant,
    ) -> Request<AttemptBody> {
        let body = upload.map_or(AttemptBody::none(), Upload::attempt);
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        let mut headers = self.headers.clone();
        headers.insert(
            ATTEMPT,
            HeaderValue::from(self.came_as.saturating_add(number - 1)),
        );
        headers.insert(TRACEPARENT, self.trace.header(number));
        let left = flow.route.plan.deadline.on_wire(now, flow.deadline.at);
        headers.insert(
            DEADLINE,
            HeaderValue::from(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        );
        if flow.grpc
            && let Ok(value) = HeaderValue::from_bytes(write_grpc_timeout(left).as_bytes())
        {
            headers.insert(GRPC_TIMEOUT, value);
        }
        if upload.is_none() && !self.method.is_idempotent() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let authority = if flow.upstream.shared.plan.rewrite_host || self.authority.is_none() {
            endpoint.shared.authority.clone()
        } else {
            self.authority.clone().unwrap_or(HeaderValue::from_static(""))
        };
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(self.path.clone());
        if lease.is_http2() {
            headers.remove(HOST);
            uri.scheme = Some(if flow.upstream.shared.tls.is_some() {
                http::uri::Scheme::HTTPS
            } else {
                http::uri::Scheme::HTTP
            });
            uri.authority = http::uri::Authority::try_from(authority.as_bytes()).ok();
            *request.version_mut() = Version::HTTP_2;
        } else {
            headers.insert(HOST, authority);
        }
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.headers_mut() = headers;
        request
    }
}
