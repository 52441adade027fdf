//! HTTP/2 to an upstream: one connection for all requests, and the exchanges on it.
//!
//! A task drives the connection; a request is written and its answer read by whoever polls the exchange, as with
//! HTTP/1: the attempt that waits for the head, and then the body on its way to the caller.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use http::Request;
use http_body::{Body as _, Frame};
use tokio::sync::Mutex;
use tokio::time::Sleep;

use super::Incoming;
use super::pulse::{KeepAlive, Patience, Pulse};
use super::sending::{Sending, Stopped};
use super::socket::Socket;
use crate::body::upload::AttemptBody;
use crate::body::{BodyError, Broke};
use crate::env::{Env, Stream};
use crate::fields::Fields;
use crate::http1::line::Unanswered;
use crate::message::AnswerHead;
use crate::pool::{Open, SendFailed};

const PATIENCE: Patience = Patience {
    interval: Duration::from_secs(30),
    timeout: Duration::from_secs(10),
    while_idle: false,
};

/// A connection, to be shared by the requests that it carries. It closes when they and its pool have let go of it.
#[derive(Clone)]
pub(crate) struct Carrier(Rc<Shared>);

struct Shared {
    /// Held by the request that waits for the peer to take another stream: there is at most one, so that those behind
    /// it can be given up without a trace.
    requests: Mutex<SendRequest<Bytes>>,
    pulse: Rc<Pulse>,
}

/// One request and its answer. If it is dropped before its end, the stream is reset.
pub(crate) struct Exchange {
    pulse: Rc<Pulse>,
    /// The request's body, until it was sent to its end or the peer took no more of it.
    sending: Sending<AttemptBody>,
    sent: bool,
    /// Whether the peer has taken the stream.
    opened: bool,
    response: Option<ResponseFuture>,
    answer: Option<Incoming>,
}

impl Carrier {
    /// Begins to speak HTTP/2 on a new connection, and drives it. `open` is dropped when it ends.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) async fn open(env: &Env, stream: Stream, open: Open) -> Result<Self, h2::Error> {
        let pulse = Rc::new(Pulse::default());
        let socket = Socket::outbound(stream, &pulse);
        let (requests, mut connection) = builder().handshake(socket.clone()).await?;
        socket.gather();
        let keep_alive = KeepAlive::new(env, Rc::clone(&pulse), connection.ping_pong(), PATIENCE);
        let shared = Rc::new(Shared {
            requests: Mutex::new(requests),
            pulse,
        });
        let driving = Driving {
            connection,
            socket,
            keep_alive,
            pulse: Rc::clone(&shared.pulse),
            shared: Rc::downgrade(&shared),
            env: env.clone(),
            ending: None,
        };
        env.spawn_local(async move {
            let _open = open;
            driving.await;
        });
        Ok(Self(shared))
    }

    /// Whether it takes no more requests: it is broken, or its peer is going away.
    pub(crate) fn is_closed(&self) -> bool {
        // Whoever holds it waits for the peer, and hears of its end by itself.
        let Ok(mut requests) = self.0.requests.try_lock() else {
            return false;
        };
        let mut cx = Context::from_waker(Waker::noop());
        matches!(requests.poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    /// Sends a request's head.
    pub(crate) async fn send(&self, request: Request<AttemptBody>) -> Result<Exchange, Unanswered> {
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, ());
        let mut requests = self.0.requests.lock().await;
        let ready = poll_fn(|cx| requests.poll_ready(cx)).await;
        ready.map_err(|_| Unanswered::Unsent)?;
        let ended = body.is_end_stream();
        let sent = requests.send_request(request, ended);
        let (response, stream) = sent.map_err(|error| Unanswered::Failed(SendFailed::of(&error)))?;
        self.0.pulse.stream_begun();
        let mut exchange = Exchange {
            pulse: Rc::clone(&self.0.pulse),
            sending: Sending::new(stream, body, ended),
            sent: ended,
            opened: false,
            response: Some(response),
            answer: None,
        };
        // If the connection ends meanwhile, the answer says how.
        let _ready = poll_fn(|cx| requests.poll_ready(cx)).await;
        exchange.opened = true;
        Ok(exchange)
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        // Deadlines and hedges cancel streams in numbers; h2's default of 1024 would end the connection for it.
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(256)
        // As many as are asked for before the peer has said how many it takes.
        .initial_max_send_streams(100)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_frame_size(16 << 10)
        // As large as HTTP/1 takes an answer's head; what is passed on is bounded by nothing else.
        .max_header_list_size(256 << 10)
        // A peer with a wide window that does not read must not hold more of each upload than a caller of an answer.
        .max_send_buffer_size(256 << 10)
        .enable_push(false);
    builder
}

/// How long a connection that nobody wants any more may take to end.
const LINGER: Duration = Duration::from_secs(2);

/// A connection at work.
struct Driving {
    connection: Connection<Socket, Bytes>,
    socket: Socket,
    keep_alive: KeepAlive,
    pulse: Rc<Pulse>,
    shared: Weak<Shared>,
    env: Env,
    ending: Option<Pin<Box<Sleep>>>,
}

impl Future for Driving {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self {
            connection,
            socket,
            keep_alive,
            pulse,
            shared,
            env,
            ending,
        } = &mut *self;
        // However it ends, every exchange on it is told.
        if Pin::new(connection).poll(cx).is_ready() || keep_alive.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // What has come was read before, so nothing is lost with a connection that takes nothing more.
        if let Poll::Ready(Err(_)) = socket.poll_send(cx) {
            return Poll::Ready(());
        }
        if shared.strong_count() > 0 || pulse.has_streams() {
            return Poll::Pending;
        }
        // A peer that does not take the last words is not waited for.
        let ending = ending.get_or_insert_with(|| Box::pin(env.sleep(LINGER)));
        ending.as_mut().poll(cx)
    }
}

impl Exchange {
    /// Sends the request and waits for the head of its answer.
    pub(crate) async fn answer(&mut self) -> Result<AnswerHead, Unanswered> {
        poll_fn(|cx| self.poll_answer(cx)).await
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<AnswerHead, Unanswered>> {
        if let Err(error) = self.send(cx) {
            return Poll::Ready(Err(Unanswered::Failed(SendFailed::of_upload(&error))));
        }
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(Unanswered::Unsent));
        };
        let response = ready!(Pin::new(response).poll(cx));
        self.response = None;
        Poll::Ready(match response {
            Ok(response) => {
                let (head, body) = response.into_parts();
                self.answer = Some(Incoming::new(body, &head.headers));
                Ok(AnswerHead {
                    status: head.status,
                    fields: Fields::from(&head.headers),
                })
            }
            Err(error) => Err(Unanswered::Failed(SendFailed::of(&error))),
        })
    }

    /// Sends what can be sent.
    ///
    /// # Errors
    /// The body to be sent broke off. A peer that takes no more of it is no error: its answer may be there.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        if self.sent {
            return Ok(());
        }
        match self.sending.poll(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(()) | Err(Stopped::Stream)) => {
                self.sent = true;
                Ok(())
            }
            Poll::Ready(Err(Stopped::Body(error))) => {
                self.sent = true;
                self.sending.reset(Reason::CANCEL);
                Err(error)
            }
        }
    }

    /// Sends on while nobody asks for more of the answer.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        // If the body breaks off the stream is reset, which whoever asks for the next piece is told.
        drop(self.send(cx));
    }

    /// The next piece of the answer's body.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broke>>> {
        if let Err(error) = self.send(cx) {
            return Poll::Ready(Some(Err(Broke::Upload(Box::new(error)))));
        }
        match &mut self.answer {
            Some(answer) => answer.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    /// Whether there is nothing more of the answer.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.answer.as_ref().is_none_or(Incoming::is_end_stream)
    }

    /// Bytes of the answer that are still to come, if that is known.
    pub(crate) fn exact(&self) -> Option<u64> {
        self.answer.as_ref().map_or(Some(0), Incoming::exact)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.pulse.stream_over();
        if !self.opened {
            // The connection still refers to it, and would open it for nobody.
            self.sending.reset(Reason::CANCEL);
        }
    }
}
