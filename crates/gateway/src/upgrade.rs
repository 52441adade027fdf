//! Switching protocols: an Upgrade request is sent once, and if both sides agree their bytes are joined.
//!
//! Until the answer is 101 nothing has been switched, and any other answer passes as usual. A tunnel holds no permit
//! of the bulkhead: that bounds requests under way, and a WebSocket is none after its handshake.
//!
//! A tunnel has no end that could be waited for. When the time for a drain is over a WebSocket is told so in its own
//! words ([`websocket`](crate::websocket)); whatever else was switched to just ends.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderValue, StatusCode};
use plimsoll_slo::Reason;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional_with_sizes,
};

use crate::attempt::Missed;
use crate::attempts;
use crate::connection::Caught;
use crate::env::Stream;
use crate::fields::Known;
use crate::framing::Refusal;
use crate::message::RequestHead;
use crate::passed::Answer;
use crate::percore::Core;
use crate::pipeline::Flow;
use crate::pool::Open;
use crate::respond::Refused;
use crate::ticket::Ticket;
use crate::websocket::{Frames, close_to_client, close_to_server};
use crate::wire::Order;

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
    websocket: bool,
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
        websocket: chosen.as_bytes().eq_ignore_ascii_case(b"websocket"),
    });
    // The connection's own task runs it, so that it counts as open and hears when it is to close.
    conn.tunnel.replace(tunnel);
    Ok(Answer::Switched(answered.head, chosen))
}

impl Tunnel {
    /// Joins the two sides until one of them ends, which ends the other, or both have been silent for too long. Told
    /// to part, it says so to both sides of a WebSocket, and ends.
    pub(crate) async fn join(mut self, caller: Stream, core: &Core, parted: impl Future<Output = Order>) {
        let moved = Cell::new(0);
        let mut caller = Watched::new(caller, &moved, self.websocket);
        let mut upstream = Watched::new(self.stream, &moved, self.websocket);
        let parts = {
            let copied = async {
                caller.write_all(&self.ahead).await?;
                caller.flush().await?;
                self.ahead = BytesMut::new();
                copy_bidirectional_with_sizes(&mut caller, &mut upstream, BUFFER, BUFFER).await
            };
            let (mut copied, mut parted) = (pin!(copied), pin!(parted));
            loop {
                let before = moved.get();
                tokio::select! {
                    biased;
                    _ended = &mut copied => break false,
                    _order = &mut parted => break true,
                    () = core.env.sleep(self.idle_max) => if moved.get() == before { break false },
                }
            }
        };
        if parts && self.websocket {
            let to_server = close_to_server(&mut *core.dice.borrow_mut());
            let to_client = close_to_client();
            // Side by side: neither is to wait for the other's sake.
            tokio::join!(caller.part(&to_client), upstream.part(&to_server));
        }
    }
}

/// A stream that is watched: what comes in is counted, what goes out is followed through its frames.
struct Watched<'a> {
    stream: Stream,
    moved: &'a Cell<u64>,
    sent: Option<Frames>,
}

impl<'a> Watched<'a> {
    fn new(stream: Stream, moved: &'a Cell<u64>, websocket: bool) -> Self {
        Self {
            stream,
            moved,
            sent: websocket.then(Frames::default),
        }
    }

    /// Says that this is the end, if it can be said here, and waits for the peer to end it. A frame that is half-way
    /// out stays so: the rest of it was dropped with what copied it, and its peer sees a connection that broke.
    async fn part(&mut self, close: &[u8]) {
        let sent = self.sent.take().unwrap_or_default();
        if !sent.is_between() {
            return;
        }
        if !sent.is_closed() && self.write_all(close).await.is_err() {
            return;
        }
        if self.shutdown().await.is_err() {
            return;
        }
        // What it still says was said to somebody who is gone.
        let mut heard = [0; 1024];
        while matches!(self.read(&mut heard).await, Ok(1..)) {}
    }
}

impl AsyncRead for Watched<'_> {
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

impl AsyncWrite for Watched<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let (Poll::Ready(Ok(written)), Some(sent)) = (&polled, &mut self.sent) {
            sent.pass(&buf[..*written]);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
