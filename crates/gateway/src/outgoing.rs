//! The request as it goes to the upstream: hop-by-hop fields off, identity, forwarding and time on.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use plimsoll_policy::{Repeatable, is_safe, write_grpc_timeout};
use plimsoll_slo::Instant;

use crate::body::upload::{AttemptBody, Upload};
use crate::fields::{Fields, Known, Names, Own, Sink, names_of};
use crate::http1::outbox::Framing;
use crate::identity::Trace;
use crate::message::{Dropped, Http1Request, Outbound, RequestHead};
use crate::pipeline::Flow;
use crate::pool::{CoreEndpoint, Lease};
use crate::ticket::Ticket;

/// Fields that each attempt writes anew, and the one that was for us.
const PER_ATTEMPT: Names = Names::of(&[
    Known::Host,
    Known::Attempt,
    Known::TraceParent,
    Known::Deadline,
    Known::Fault,
]);

/// What HTTP/1 says from what it sends.
const FRAMING: Names = Names::of(&[Known::ContentLength]);

/// The request as it goes on, but for what each attempt changes.
pub(crate) struct Outgoing {
    method: Method,
    path_and_query: Bytes,
    authority: Option<Bytes>,
    fields: Fields,
    dropped: Dropped,
    own: Own,
    trace: Trace,
    /// What a service's call has inherited and does not say itself: names of the user's choice, so that the next hop
    /// understands them.
    inherited: Vec<(HeaderName, HeaderValue)>,
    /// Which attempt the request was when it came: 1, or more if a layer in front of us retries.
    pub(crate) came_as: u32,
}

impl Outgoing {
    /// `upgrade` is the protocol that is to be switched to.
    pub(crate) fn of(
        head: RequestHead,
        upgrade: Option<&HeaderValue>,
        flow: &Flow<'_>,
        ticket: &Ticket,
    ) -> Self {
        let RequestHead {
            method,
            target,
            fields,
        } = head;
        let came_as = fields.number(Known::Attempt).filter(|_| ticket.caller.trusted);
        // A number that is no attempt's is taken for a retry's: it costs a retry, not a storm.
        let came_as = came_as.map_or(1, |number| u32::try_from(number).unwrap_or(u32::MAX / 2).max(1));
        // A call that is made in a retry is one itself: only the layer closest to the failure repeats.
        let called_in = ticket
            .called_by
            .as_ref()
            .map_or(1, |(journey, _)| journey.attempt());
        let came_as = came_as.max(called_in);
        let inherited = inherited(&fields, flow, ticket);
        // In HTTP/2 the host is the :authority; in HTTP/1 a target with a host was checked to agree with it.
        let host = || fields.get(Known::Host).map(Bytes::copy_from_slice);
        let authority = target.authority.or_else(host);
        let mut own = Own::with_capacity(8);
        let forwarded = ticket.caller.forward(
            &fields,
            flow.peer_text,
            flow.listener.scheme,
            authority.as_ref(),
            &mut own,
        );
        own.push((Known::RequestId, ticket.request_id.clone()));
        if fields.has(Known::Te) && fields.lists(Known::Te, "trailers") {
            own.push((Known::Te, HeaderValue::from_static("trailers")));
        }
        if let Some(protocol) = upgrade {
            own.push((Known::Connection, HeaderValue::from_static("upgrade")));
            own.push((Known::Upgrade, protocol.clone()));
        }
        let mut dropped = Dropped::of(&fields, &own).and(forwarded).and(PER_ATTEMPT);
        if flow.grpc {
            dropped = dropped.and(Names::of(&[Known::GrpcTimeout]));
        }
        Self {
            method,
            path_and_query: target.path_and_query,
            authority,
            fields,
            dropped,
            own,
            trace: ticket.trace,
            inherited,
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
        Repeatable::of(self.method.as_str(), self.fields.has(Known::IdempotencyKey))
    }

    /// Whether its method asks for nothing to be changed.
    pub(crate) fn is_safe(&self) -> bool {
        is_safe(self.method.as_str())
    }

    /// The request for the attempt with this number, counted from 1, on the connection that was chosen; `None` if it
    /// cannot be said in that connection's protocol.
    pub(crate) fn request(
        &self,
        flow: &Flow<'_>,
        endpoint: &CoreEndpoint,
        lease: &Lease,
        upload: Option<&Rc<RefCell<Upload>>>,
        number: u32,
        now: Instant,
    ) -> Option<Outbound> {
        let body = upload.map_or(AttemptBody::none(), Upload::attempt);
        let authority = match &self.authority {
            Some(authority) if !flow.upstream.shared.plan.rewrite_host => authority,
            _ => endpoint.shared.authority.as_bytes(),
        };
        if lease.is_http2() {
            let mut fields = HeaderMap::with_capacity(32);
            self.write(Names::default(), flow, number, now, &mut fields);
            let tells_length = self.fields.has(Known::ContentLength);
            if upload.is_none() && !self.method.is_idempotent() && !tells_length {
                fields.own(Known::ContentLength, &HeaderValue::from_static("0"));
            }
            let secure = flow.upstream.shared.tls.is_some();
            return Outbound::http2(
                self.method.clone(),
                authority,
                &self.path_and_query,
                secure,
                fields,
                body,
            );
        }
        let framing = body.framing();
        let mut head = Vec::with_capacity(self.fields.size() + 512 + framing.copied());
        head.extend_from_slice(self.method.as_str().as_bytes());
        head.push(b' ');
        head.extend_from_slice(&self.path_and_query);
        head.extend_from_slice(b" HTTP/1.1\r\n");
        head.pass(b"host", authority);
        self.write(FRAMING, flow, number, now, &mut head);
        match framing {
            Framing::Length(length) => head.number(Known::ContentLength, length),
            Framing::Chunked => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::None | Framing::Close => {
                if !self.method.is_idempotent() || self.fields.has(Known::ContentLength) {
                    head.extend_from_slice(b"content-length: 0\r\n");
                }
            }
        }
        head.extend_from_slice(b"\r\n");
        Some(Outbound::Http1(Http1Request {
            head,
            framing,
            body,
            bodiless: self.method == Method::HEAD,
            upgrade: names_of(&self.own).has(Known::Upgrade),
        }))
    }

    /// Writes every field but `Host` and those in `also`.
    fn write(&self, also: Names, flow: &Flow<'_>, number: u32, now: Instant, sink: &mut impl Sink) {
        self.dropped.write(also, &self.fields, &self.own, sink);
        let attempt = self.came_as.saturating_add(number - 1);
        sink.number(Known::Attempt, attempt.into());
        sink.pass(Known::TraceParent.name().as_bytes(), &self.trace.header(number));
        for (name, value) in &self.inherited {
            sink.pass(name.as_str().as_bytes(), value.as_bytes());
        }
        let left = flow.route.plan.deadline.on_wire(now, flow.deadline.at);
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        sink.number(Known::Deadline, millis);
        if flow.grpc {
            let timeout = write_grpc_timeout(left);
            sink.pass(Known::GrpcTimeout.name().as_bytes(), timeout.as_bytes());
        }
    }
}

/// Priority, tier and tenant of the request that a service makes this call for, where the call does not name its own.
fn inherited(fields: &Fields, flow: &Flow<'_>, ticket: &Ticket) -> Vec<(HeaderName, HeaderValue)> {
    let Some((journey, _)) = &ticket.called_by else {
        return Vec::new();
    };
    let callers = flow.callers;
    let tier = callers.tiers.get(journey.tier).map(|tier| tier.as_bytes());
    let known = [
        (&callers.priority_header, Some(journey.priority.word().as_bytes())),
        (&callers.tier_header, tier),
        (&callers.tenant_header, journey.tenant.as_deref()),
    ];
    let own = known.into_iter().filter_map(|(name, value)| {
        let name = name.as_ref().filter(|name| fields.named(name).is_none())?;
        Some((name.clone(), HeaderValue::from_bytes(value?).ok()?))
    });
    own.collect()
}
