//! A caller's HTTP/2 connection.
//!
//! ```text
//! handshake => streams come and go => (told to retire: a first GOAWAY) => (told to drain: a last one) => closed
//! ```
//!
//! The first GOAWAY names no stream: the caller is to open no more, and those that it has opened are served. The last
//! one names the last stream. h2 sends both, one round trip apart, but callers open streams within that: a caller that
//! answers the ping between them before it writes what it has begun (gRPC's core does) finds its stream thrown away.
//! So the first one is sent by hand, and h2 is asked when callers have had their time.
//!
//! Every stream is a task of its own. Keeping them in a set within the connection's task was weighed: it saves a turn
//! of the scheduler per answer, but each would need a waker of its own all the same, all of them would share one
//! turn's budget, and a panic in one would take its neighbours. The connection's task is woken behind whichever
//! stream has something to send, so what became ready together goes out in one write, a head with its body.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderValue, Method, Request};
use http_body::Body as _;
use plimsoll_slo::Instant;
use tokio::time::Sleep;

use super::Incoming;
use super::pulse::{KeepAlive, Patience, Pulse};
use super::sending::{Sending, Stopped};
use super::socket::Socket;
use crate::body::Inbound;
use crate::body::answer::AnswerBody;
use crate::connection::{Caught, answer};
use crate::env::{Env, Stream};
use crate::framing::Refusal;
use crate::message::RequestHead;
use crate::percore::Core;
use crate::plan::LimitsPlan;
use crate::ticket::Ticket;
use crate::wire::Order;

const PATIENCE: Patience = Patience {
    interval: Duration::from_mins(1),
    timeout: Duration::from_secs(20),
    while_idle: true,
};

/// GOAWAY without an error, for no stream that there can be (RFC 9113 §6.8).
const FIRST_GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// What the streams of a connection have in common.
struct Shared {
    core: Rc<Core>,
    caught: Rc<Caught>,
    /// How long a caller may not let a stream go on.
    stall_max: Duration,
    /// gRPC calls that wait for their status, to be woken when it will not be waited for any longer.
    calls: RefCell<BTreeMap<u32, Waker>>,
    /// `Date` as it was said last, and as it is to be said.
    date: RefCell<([u8; 29], HeaderValue)>,
}

/// A connection at work.
struct Serving {
    connection: Connection<Socket, Bytes>,
    socket: Socket,
    keep_alive: KeepAlive,
    /// How much of its end the caller was told of: whoever is told to drain need not be told to retire.
    told: Order,
    shared: Rc<Shared>,
}

/// Serves a connection to its end. `ahead` is what was read of it already.
pub(crate) async fn serve(
    core: &Rc<Core>,
    caught: Rc<Caught>,
    stream: Stream,
    ahead: Vec<u8>,
    limits: &LimitsPlan,
) {
    let wire = Rc::clone(&caught.wire);
    let pulse = Rc::new(Pulse::default());
    let socket = Socket::inbound(stream, ahead, &pulse, &wire);
    let mut handshake = pin!(builder(limits).handshake(socket.clone()));
    let mut known = Order::Carry;
    let mut connection = loop {
        tokio::select! {
            biased;
            shaken = handshake.as_mut() => match shaken {
                Ok(connection) => break connection,
                Err(error) => return refuse(core, &caught, &error),
            },
            order = wire.stricter_than(known) => known = order,
        }
        if known == Order::Close {
            return;
        }
    };
    socket.gather();
    let mut serving = Serving {
        socket,
        keep_alive: KeepAlive::new(&core.env, pulse, connection.ping_pong(), PATIENCE),
        connection,
        told: Order::Carry,
        shared: Rc::new(Shared {
            core: Rc::clone(core),
            caught,
            stall_max: limits.stream_idle,
            calls: RefCell::default(),
            date: RefCell::new(([0; 29], HeaderValue::from_static(""))),
        }),
    };
    poll_fn(|cx| serving.poll(cx)).await;
}

/// Bytes that a connection's callers may send before somebody reads them.
pub(crate) const CONNECTION_WINDOW: u32 = 2 << 20;

/// Bytes of an answer that may wait in a stream.
pub(crate) const SEND_BUFFER: usize = 256 << 10;

fn builder(limits: &LimitsPlan) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        // Twice what is allowed: up to there a head is answered by us, with a reason and its count; beyond, h2 answers
        // with a bare 431, and beyond four times that it ends the connection.
        .max_header_list_size(u32::try_from(limits.head_bytes.saturating_mul(2)).unwrap_or(u32::MAX))
        // Streams that the peer reset before we looked at them (rapid reset, CVE-2023-44487).
        .max_pending_accept_reset_streams(20)
        // Streams that the peer made us reset (CVE-2025-8671). Over the life of a connection, so it must bear what a
        // long one does by mistake.
        .max_local_error_reset_streams(Some(1024))
        // Streams of ours that are remembered after their reset, for frames that are still under way.
        .max_concurrent_reset_streams(50)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(16 << 10)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

impl Serving {
    /// Says that it ends, if it is to be said. Not before the first request: gRPC's core does not notice a GOAWAY that
    /// comes with the settings, and fails every call until the connection is closed.
    fn retire(&mut self) {
        let wire = &self.shared.caught.wire;
        let retires = self.told == Order::Carry && wire.order() == Order::Retire && wire.heads() > 0;
        if retires && self.socket.say(&FIRST_GOAWAY) {
            self.told = Order::Retire;
        }
    }

    /// Ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let wire = &self.shared.caught.wire;
        wire.watch(cx);
        match wire.order() {
            Order::Close => return Poll::Ready(()),
            Order::Carry | Order::Retire => {}
            order if order <= self.told => {}
            order => {
                self.told = order;
                self.connection.graceful_shutdown();
                if order == Order::Part {
                    let calls = std::mem::take(&mut *self.shared.calls.borrow_mut());
                    calls.into_values().for_each(Waker::wake);
                }
            }
        }
        if self.poll_streams(cx).is_ready() || (self.calm() && self.poll_streams(cx).is_ready()) {
            return Poll::Ready(());
        }
        self.retire();
        if self.keep_alive.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // A connection that takes nothing more has nobody at its end.
        match self.socket.poll_send(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Begins what streams there are; ready when the connection is over.
    fn poll_streams(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(accepted) = self.connection.poll_accept(cx) {
            let (request, respond) = match accepted {
                Some(Ok(accepted)) => accepted,
                Some(Err(error)) => {
                    refuse(&self.shared.core, &self.shared.caught, &error);
                    return Poll::Ready(());
                }
                None => return Poll::Ready(()),
            };
            self.shared.caught.wire.head_passed();
            let answering = Rc::clone(&self.shared).stream(request, respond);
            self.shared.core.env.spawn_local(answering);
        }
        Poll::Pending
    }

    /// Ends a connection that only chatters. h2 sends the GOAWAY at its next turn, and is over then.
    fn calm(&mut self) -> bool {
        let caught = &self.shared.caught;
        if self.told == Order::Close || caught.wire.chatter() < CHATTER_MAX {
            return false;
        }
        self.told = Order::Close;
        Ticket::refused(
            &self.shared.core,
            caught.world(&self.shared.core),
            caught.peer,
            CHATTER,
        );
        self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        true
    }
}

/// Frames in a row, within a second, that may ask for nothing.
const CHATTER_MAX: u32 = 1000;

const CHATTER: Refusal = Refusal::new(
    plimsoll_slo::Reason::Http2Flood,
    "a thousand frames within a second asked for nothing",
);

/// Counts a connection that h2 has ended for what its peer did. A peer that went away did nothing.
fn refuse(core: &Rc<Core>, caught: &Caught, error: &h2::Error) {
    if !error.is_library() || !error.is_go_away() {
        return;
    }
    let refusal = match error.reason() {
        Some(Reason::ENHANCE_YOUR_CALM) => Refusal::new(
            plimsoll_slo::Reason::Http2Flood,
            "streams were reset as fast as they came, or headers or frames came without end",
        ),
        _ => Refusal::new(
            plimsoll_slo::Reason::MalformedRequest,
            "the connection broke a rule of HTTP/2 (RFC 9113)",
        ),
    };
    Ticket::refused(core, caught.world(core), caught.peer, refusal);
}

impl Shared {
    /// Serves one stream to its end.
    async fn stream(self: Rc<Self>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let (parts, body) = request.into_parts();
        let bodiless = parts.method == Method::HEAD;
        let body = Inbound::Http2(Incoming::new(body, &parts.headers));
        let head = Box::new(RequestHead::of_http2(parts));
        let answered = {
            let mut work = pin!(answer(&self.core, &self.caught, head, Some(body)));
            poll_fn(|cx| match work.as_mut().poll(cx) {
                Poll::Ready(answered) => Poll::Ready(Some(answered)),
                Poll::Pending => respond.poll_reset(cx).map(|_| None),
            })
            .await
        };
        let reply = match answered {
            Some(Ok(reply)) => reply,
            Some(Err(_cut_off)) => return respond.send_reset(Reason::INTERNAL_ERROR),
            // The caller is gone, and what was done for it is dropped.
            None => return,
        };
        let no_body = bodiless || reply.has_no_body();
        let (head, body) = reply.into_http2(no_body, self.date());
        let ended = no_body || body.is_end_stream();
        let Ok(stream) = respond.send_response(head, ended) else {
            return respond.send_reset(Reason::INTERNAL_ERROR);
        };
        let mut answering = Answering {
            sending: Sending::new(stream, body, ended),
            stall: Stall::default(),
        };
        let id = answering.sending.id().into();
        poll_fn(|cx| {
            let polled = answering.poll(&self.core.env, self.stall_max, cx);
            if polled.is_ready() || !answering.sending.body().awaits_status() {
                return polled;
            }
            if self.caught.wire.order() >= Order::Part {
                let trailers = answering.sending.body().part();
                answering.sending.end_with(trailers);
                return Poll::Ready(());
            }
            self.calls.borrow_mut().insert(id, cx.waker().clone());
            Poll::Pending
        })
        .await;
        self.calls.borrow_mut().remove(&id);
        if no_body {
            // Nobody is sent what an upstream may say all the same, but it is heard out.
            let body = answering.sending.body();
            while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {}
        }
    }

    fn date(&self) -> HeaderValue {
        let date = self.core.date();
        let mut said = self.date.borrow_mut();
        if said.0 != date {
            let value = HeaderValue::from_bytes(&date);
            *said = (date, value.unwrap_or_else(|_| HeaderValue::from_static("")));
        }
        said.1.clone()
    }
}

/// An answer's body under way.
struct Answering {
    sending: Sending<AnswerBody>,
    stall: Stall,
}

impl Answering {
    /// Ready when the answer is sent, or will never be.
    fn poll(&mut self, env: &Env, stall_max: Duration, cx: &mut Context<'_>) -> Poll<()> {
        match self.sending.poll(cx) {
            Poll::Ready(Ok(()) | Err(Stopped::Stream)) => return Poll::Ready(()),
            Poll::Ready(Err(Stopped::Body(_))) => {
                self.sending.reset(Reason::INTERNAL_ERROR);
                return Poll::Ready(());
            }
            Poll::Pending => {}
        }
        if self.sending.poll_reset(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.sending.has_moved() || !self.sending.is_blocked() {
            self.stall.end();
        }
        if !self.sending.is_blocked() {
            return Poll::Pending;
        }
        // What the caller still sends may be what keeps it from reading.
        self.sending.body().drive(cx);
        ready!(self.stall.poll(env, stall_max, cx));
        // It holds a permit and a connection of the upstream, and nobody else could tell that its time is over.
        self.sending.reset(Reason::CANCEL);
        Poll::Ready(())
    }
}

/// How long a stream has been blocked. The timer is kept from one stall to the next, since most are short.
#[derive(Default)]
struct Stall {
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    fn end(&mut self) {
        self.since = None;
    }

    /// Ready when the stall has gone on for `stall_max`.
    fn poll(&mut self, env: &Env, stall_max: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let over = *self.since.get_or_insert_with(|| env.now()) + stall_max;
        let timer = self.timer.get_or_insert_with(|| Box::pin(env.sleep_until(over)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if env.now() >= over {
                return Poll::Ready(());
            }
            // It was set for a stall that has ended.
            timer.set(env.sleep_until(over));
        }
    }
}
