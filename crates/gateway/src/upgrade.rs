//! Switching protocols: an Upgrade request is sent once, and if both sides agree their bytes are joined.
//!
//! Until the answer is 101 nothing has been switched, and any other answer passes as usual. A tunnel holds no permit
//! of the bulkhead: that bounds requests under way, and a WebSocket is none after its handshake.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use plimsoll_slo::Reason;

use crate::attempt::Missed;
use crate::attempts;
use crate::connection::Caught;
use crate::headers;
use crate::identity::REQUEST_ID;
use crate::passed::Answer;
use crate::pipeline::Flow;
use crate::respond::Refused;
use crate::ticket::Ticket;
use crate::wire::UpgradeAnswer;

/// Bytes that a tunnel may hold in each direction.
const BUFFER: usize = 16 << 10;

/// Carries an Upgrade request through.
pub(crate) async fn carry(
    flow: &Flow<'_>,
    conn: &Caught,
    mut request: Request<Incoming>,
    protocol: HeaderValue,
    ticket: &mut Ticket,
) -> Result<Answer, Box<Refused>> {
    let wire = std::sync::Arc::clone(ticket.wire());
    // Whoever does not wait for the answer may mean something else by what follows than the upstream would.
    if let Some(refusal) = wire.refusal() {
        return Err(Box::new(refusal.into()));
    }
    let upstream = &flow.upstream.shared;
    if !attempts::speaks_http1(upstream.plan.protocol, upstream.tls.is_some()) {
        wire.answer_upgrade(UpgradeAnswer::Declined);
        let cause = "the upstream is spoken to in HTTP/2, which has no Upgrade; set its protocol to http1";
        return Err(Box::new(Refused::new(Reason::UpstreamMalformed).cause(cause)));
    }
    let caller_side = hyper::upgrade::on(&mut request);
    let (parts, _no_body) = request.into_parts();
    let answered = attempts::once(flow, parts, &protocol, ticket).await;
    let mut answered = match answered {
        Ok(answered) => answered,
        Err(Missed {
            reason,
            cause,
            retry_after,
            ..
        }) => {
            wire.answer_upgrade(UpgradeAnswer::Declined);
            let mut refused = Refused::new(reason).cause(cause);
            refused.retry_after = retry_after;
            return Err(Box::new(refused));
        }
    };
    if answered.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        wire.answer_upgrade(UpgradeAnswer::Declined);
        return attempts::conclude(flow, Ok(answered), ticket);
    }
    if let Some(refusal) = wire.refusal() {
        // The upstream has switched already; to it the connection just ends.
        return Err(Box::new(refusal.into()));
    }
    wire.answer_upgrade(UpgradeAnswer::Accepted);
    let upstream_side = hyper::upgrade::on(&mut answered.response);
    let lease = answered.lease;
    let (mut head, _) = answered.response.into_parts();
    let chosen = head.headers.get(UPGRADE).cloned().unwrap_or(protocol);
    headers::strip_hop_by_hop(&mut head.headers);
    head.headers
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(UPGRADE, chosen);
    head.headers.insert(REQUEST_ID, ticket.request_id.clone());
    head.version = Version::HTTP_11;
    // The connection's own task runs it, so that it counts as open and hears when it is to close.
    conn.tunnel.replace(Some(Box::pin(async move {
        // Both sides switch, or the handshake broke off and both connections end here.
        let switched = tokio::join!(caller_side, upstream_side);
        drop(lease); // it held the connection open until it was handed over
        let (Ok(caller), Ok(upstream)) = switched else {
            return;
        };
        let (mut caller, mut upstream) = (TokioIo::new(caller), TokioIo::new(upstream));
        // Either side closing, or breaking, closes the other.
        drop(tokio::io::copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER, BUFFER).await);
    })));
    Ok(Answer::Switched(Response::from_parts(head, ())))
}
