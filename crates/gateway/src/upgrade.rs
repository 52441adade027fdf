//! Switching protocols: an Upgrade request is sent once, and if both sides agree their bytes are joined.
//!
//! Until the answer is 101 nothing has been switched, and any other answer passes as usual. A tunnel holds no permit
//! of the bulkhead: that bounds requests under way, and a WebSocket is none after its handshake.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderValue, StatusCode};
use plimsoll_slo::Reason;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::attempt::Missed;
use crate::attempts;
use crate::connection::Caught;
use crate::env::{Env, Stream};
use crate::fields::Known;
use crate::framing::Refusal;
use crate::message::RequestHead;
use crate::passed::Answer;
use crate::pipeline::Flow;
use crate::pool::Open;
use crate::respond::Refused;
use crate::ticket::Ticket;

/// Bytes that a tunnel may hold in each direction.
const BUFFER: usize = 16 << 10;

const EARLY: Refusal = Refusal::new(
    Reason::EarlyUpgradeData,
    "bytes followed an Upgrade request before its answer",
);

/// The upstream's side of a tunnel, until the caller's joins it.
pub(crate) struct Tunnel {
    stream: Stream,
    /// What the upstream said right behind its answer.
    ahead: BytesMut,
    _open: Open,
    /// Silence of both sides that is borne.
    idle_max: Duration,
}

/// Carries an Upgrade request through.
pub(crate) async fn carry(
    flow: &Flow<'_>,
    conn: &Caught,
    head: RequestHead,
    protocol: HeaderValue,
    ticket: &mut Ticket,
) -> Result<Answer, Box<Refused>> {
    let upstream = &flow.upstream.shared;
    // Whoever does not wait for the answer may mean something else by what follows than the upstream would.
    if conn.wire.is_early() {
        return Err(Box::new(EARLY.into()));
    }
    if !attempts::speaks_http1(upstream.plan.protocol, upstream.tls.is_some()) {
        let cause = "the upstream is spoken to in HTTP/2, which has no Upgrade; set its protocol to http1";
        return Err(Box::new(Refused::new(Reason::UpstreamMalformed).cause(cause)));
    }
    let answered = attempts::once(flow, head, &protocol, ticket).await;
    // Even when it is yes: to an upstream that has switched the connection just ends.
    if conn.wire.is_early() {
        return Err(Box::new(EARLY.into()));
    }
    let answered = match answered {
        Ok(answered) => answered,
        Err(Missed {
            reason,
            cause,
            retry_after,
            ..
        }) => {
            let mut refused = Refused::new(reason).cause(cause);
            refused.retry_after = retry_after;
            return Err(Box::new(refused));
        }
    };
    if answered.head.status != StatusCode::SWITCHING_PROTOCOLS {
        return attempts::conclude(flow, Ok(answered), ticket);
    }
    let chosen = answered.head.fields.value(Known::Upgrade).unwrap_or(protocol);
    let tunnel = answered.lease.into_stream().map(|(stream, ahead, open)| Tunnel {
        stream,
        ahead,
        _open: open,
        idle_max: flow.listener.plan.limits.stream_idle,
    });
    // The connection's own task runs it, so that it counts as open and hears when it is to close.
    conn.tunnel.replace(tunnel);
    Ok(Answer::Switched(answered.head, chosen))
}

impl Tunnel {
    /// Joins the two sides until one of them ends, which ends the other, or both have been silent for too long.
    pub(crate) async fn join(mut self, caller: Stream, env: &Env) {
        let moved = Cell::new(0);
        let mut caller = Counting {
            stream: caller,
            moved: &moved,
        };
        let mut upstream = Counting {
            stream: self.stream,
            moved: &moved,
        };
        let copied = async {
            caller.write_all(&self.ahead).await?;
            caller.flush().await?;
            self.ahead = BytesMut::new();
            tokio::io::copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER, BUFFER).await
        };
        let mut copied = std::pin::pin!(copied);
        loop {
            let before = moved.get();
            tokio::select! {
                biased;
                _ended = &mut copied => return,
                () = env.sleep(self.idle_max) => if moved.get() == before { return },
            }
        }
    }
}

/// A stream whose bytes are counted as they come in.
struct Counting<'a> {
    stream: Stream,
    moved: &'a Cell<u64>,
}

impl AsyncRead for Counting<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        self.moved.set(self.moved.get().wrapping_add(read as u64));
        polled
    }
}

impl AsyncWrite for Counting<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
