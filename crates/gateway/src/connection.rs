//! One connection, from its accept to its end.
//!
//! TLS if there is any, then HTTP/2 by ALPN or by its preface, else HTTP/1. The task that runs here owns the
//! connection; it also hears the orders to drain or to close it.

use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

use http::HeaderValue;
use plimsoll_slo::Reason;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::body::Inbound;
use crate::env::{Accepted, Stream};
use crate::framing::Refusal;
use crate::framing::head::HeadLimits;
use crate::http1::answering::Ended;
use crate::http1::talk::Talk;
use crate::http2::serving;
use crate::message::{Reply, RequestHead};
use crate::percore::{Core, World};
use crate::pipeline;
use crate::running::Listener;
use crate::ticket::Ticket;
use crate::upgrade::Tunnel;
use crate::wire::{Order, Wire};

/// What HTTP/2 by prior knowledge begins with (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a drain waits for the first bytes of a connection: they may be on their way.
const FIRST_BYTES: std::time::Duration = std::time::Duration::from_secs(1);

/// A connection that was caught: what its requests have in common.
pub(crate) struct Caught {
    pub(crate) wire: Rc<Wire>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) http2: bool,
    /// The peer's address as it goes into `X-Forwarded-For`.
    pub(crate) peer_text: Option<HeaderValue>,
    /// The world as of the last request. A listener that a reload removed keeps the last world it was in.
    world: RefCell<World>,
    /// What the connection is joined to when it has switched protocols.
    pub(crate) tunnel: RefCell<Option<Tunnel>>,
}

impl Caught {
    /// What runs now, and this connection's listener in it.
    pub(crate) fn world(&self, core: &Core) -> World {
        let view = core.view();
        let mut world = self.world.borrow_mut();
        if !Rc::ptr_eq(&world.view, &view) {
            let name = &world.listener().plan.name;
            if let Some(listener) = view.running.listener(name) {
                *world = World { view, listener };
            }
        }
        world.clone()
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(core: Rc<Core>, world: World, accepted: Accepted, counted: Counted) {
    let listener = Arc::clone(world.listener());
    let limits = listener.plan.limits.clone();
    let opened = core.env.sleep(limits.head_time);
    let Accepted { stream, peer } = accepted;
    let peer = peer.map(|peer| peer.ip().to_canonical());
    let began = async {
        let (stream, chose_http2) = match &listener.tls {
            None => (stream, None),
            Some(tls) => {
                // Boxed, as is all that a usual connection does not do for its whole life: what one holds while it
                // is idle is the largest of its states.
                let (stream, http2) = Box::pin(tls.accept(stream)).await.ok()?;
                (stream, Some(http2))
            }
        };
        match chose_http2 {
            Some(http2) => Some((stream, Vec::new(), http2)),
            None => sniff(stream).await,
        }
    };
    let wire = Rc::new(Wire::default());
    let leaves = core.is_draining() || core.view().running.listener(&listener.plan.name).is_none();
    let tracking = core.track(&wire, &listener.plan, leaves);
    let drained = async {
        wire.stricter_than(Order::Retire).await;
        core.env.sleep(FIRST_BYTES).await;
    };
    let began = tokio::select! {
        biased;
        began = began => began,
        // Nothing was asked, so nobody is answered.
        () = opened => None,
        () = drained => None,
    };
    let Some((stream, ahead, http2)) = began else {
        return;
    };
    let peer_text = peer.and_then(|peer| HeaderValue::from_str(&peer.to_string()).ok());
    let caught = Caught {
        wire: Rc::clone(&wire),
        peer,
        peer_text,
        http2,
        world: RefCell::new(world),
        tunnel: RefCell::default(),
    };
    if http2 {
        Box::pin(serving::serve(&core, Rc::new(caught), stream, ahead, &limits)).await;
    } else {
        serve_http1(&core, &Rc::new(caught), stream, ahead, &limits).await;
    }
    drop((tracking, counted));
}

/// Answers a connection that there is no room for: whoever it is should know that it is not the network.
pub(crate) fn turn_away(core: &Rc<Core>, world: World, accepted: Accepted, refusal: Refusal) {
    let Accepted { mut stream, peer } = accepted;
    // Over TLS a handshake would cost what there is too little of.
    let cleartext = world.listener().tls.is_none();
    Ticket::refused(core, world, peer.map(|peer| peer.ip().to_canonical()), refusal);
    if cleartext && core.turning_away.get() < TURN_AWAY_AT_ONCE {
        core.turning_away.set(core.turning_away.get() + 1);
        core.env
            .spawn_local(say_and_close(Rc::clone(core), stream, refusal));
    } else if cleartext {
        // In a flood nobody is waited for. A new socket takes so few bytes at once.
        let words = crate::respond::last_words(refusal);
        let _ = Pin::new(&mut stream).poll_write(&mut Context::from_waker(Waker::noop()), &words);
    }
}

async fn say_and_close(core: Rc<Core>, mut stream: Stream, refusal: Refusal) {
    let said = async {
        stream.write_all(&crate::respond::last_words(refusal)).await?;
        stream.shutdown().await?;
        // Closing a socket with unread bytes resets it, and the answer may be lost with it.
        let mut unread = [0; 512];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A peer that does not read, or goes on sending, is not waited for.
    drop(tokio::time::timeout(TURN_AWAY_MAX, said).await);
    core.turning_away.set(core.turning_away.get() - 1);
}

/// What a connection over the limit of its listener is told.
pub(crate) const TOO_MANY: Refusal = Refusal::new(
    Reason::Overloaded,
    "the listener has as many connections as it may hold",
);

/// How long turning a connection away may take.
const TURN_AWAY_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// Connections that a core may be turning away at once: each costs a task and a socket.
const TURN_AWAY_AT_ONCE: u32 = 128;

/// Reads the first bytes to tell HTTP/2 from HTTP/1; returns them with the stream.
async fn sniff(mut stream: Stream) -> Option<(Stream, Vec<u8>, bool)> {
    let mut ahead = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut ahead).await.ok()? == 0 {
            return None;
        }
        if ahead.len() >= PREFACE.len() || !PREFACE.starts_with(&ahead) {
            let http2 = ahead.starts_with(PREFACE);
            return Some((stream, ahead, http2));
        }
    }
}

async fn serve_http1(
    core: &Rc<Core>,
    caught: &Rc<Caught>,
    stream: Stream,
    ahead: Vec<u8>,
    limits: &crate::plan::LimitsPlan,
) {
    let head = HeadLimits {
        bytes: limits.head_bytes,
        headers: limits.headers,
        target: limits.target_bytes,
    };
    let wire = Rc::clone(&caught.wire);
    let talk = Rc::new(Talk::new(stream, &ahead, head, wire, Rc::clone(&core.scratch)));
    loop {
        let (head, terms) = match talk.next(core.shared.memory()).await {
            Ok(Some(request)) => request,
            Ok(None) => {
                // Nobody was told that it ends here. What crosses its end is answered with nothing, and not with a
                // reset: that can take away an answer which is still unread.
                talk.end_with(Vec::new(), &core.env).await;
                return;
            }
            Err(refusal) => {
                Ticket::refused(core, caught.world(core), caught.peer, refusal);
                talk.end_with(crate::respond::last_words(refusal), &core.env)
                    .await;
                return;
            }
        };
        let body = talk.has_body().then(|| Inbound::Http1(Rc::clone(&talk)));
        let Some(Ok(reply)) = talk.while_there(terms, answer(core, caught, head, body)).await else {
            // The caller is gone, or is to be cut off.
            return;
        };
        match talk.answer(reply, terms, core).await {
            Ended::Open => {}
            Ended::Done => break,
            Ended::Broken => return,
        }
        if let Some(tunnel) = caught.tunnel.take() {
            Box::pin(serve_tunnel(core, caught, talk, tunnel)).await;
            return;
        }
    }
    talk.end(&core.env).await;
}

async fn serve_tunnel(core: &Rc<Core>, caught: &Caught, talk: Rc<Talk>, tunnel: Tunnel) {
    let Some(talk) = Rc::into_inner(talk) else {
        return;
    };
    caught.wire.became_tunnel();
    let parted = caught.wire.stricter_than(Order::Drain);
    let closed = caught.wire.stricter_than(Order::Part);
    tokio::select! {
        biased;
        () = tunnel.join(talk.into_stream(), core, parted) => {}
        // Draining waits for it as for a request.
        _close = closed => {}
    }
}

/// Answers one request. A panic in the pipeline costs that request, not the connection's neighbours.
pub(crate) async fn answer(
    core: &Rc<Core>,
    caught: &Rc<Caught>,
    head: Box<RequestHead>,
    body: Option<Inbound>,
) -> Result<Reply, pipeline::CutOff> {
    // Made in its place: a future of some kilobytes that has not begun is a few pointers, and was copied whole, twice.
    let handled = Box::write(
        Box::new_uninit(),
        pipeline::handle(Rc::clone(core), Rc::clone(caught), head, body),
    );
    match CatchPanic(Box::into_pin(handled)).await {
        Some(reply) => reply,
        None => Ok(pipeline::panicked(core)),
    }
}

/// A future whose panic is its `None`.
struct CatchPanic<F>(Pin<Box<F>>);

impl<F: Future> Future for CatchPanic<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // What the future has borrowed are cells whose guards are dropped in the unwinding, and counters.
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.0.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Err(_) => Poll::Ready(None),
        }
    }
}

/// Counts an open connection of a listener.
pub(crate) struct Counted(Arc<Listener>);

impl Counted {
    /// `None` if there are as many as may be. Counted at the accept, and not when its task begins: a whole queue of
    /// connections may be accepted before the first of their tasks runs.
    pub(crate) fn one_more(listener: &Arc<Listener>) -> Option<Self> {
        let max = listener.plan.limits.connections;
        let counted = listener
            .counts
            .open
            .fetch_update(Relaxed, Relaxed, |open| (open < max).then_some(open + 1));
        counted.ok().map(|_| Self(Arc::clone(listener)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.counts.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_end_of_its_request_only() {
        let held = Rc::new(());
        let guard = Rc::clone(&held);
        let broken = CatchPanic(Box::pin(async move {
            tokio::task::yield_now().await;
            assert!(std::hint::black_box(false), "on purpose");
            drop(guard);
        }));
        assert_eq!(broken.await, None);
        assert_eq!(Rc::strong_count(&held), 1, "what the request held was dropped");
        assert_eq!(CatchPanic(Box::pin(async { 7 })).await, Some(7));
    }
}
