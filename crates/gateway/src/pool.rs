//! Connections to upstreams: one pool per core and endpoint, so that nothing is shared and nothing is locked.
//!
//! HTTP/1 connections are kept last-in first-out, so that the busy ones stay warm and the rest can age out. HTTP/2
//! uses one connection per endpoint and core. Every connection is driven by a task of its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use plimsoll_policy::PeakEwma;
use plimsoll_slo::{Instant, Reason};

use crate::attempt::Sending;
use crate::body::upload::AttemptBody;
use crate::env::{Env, Stream};
use crate::plan::Protocol;
use crate::upstream::{Address, Endpoint, EndpointCounts, Upstream};

/// How old an idle connection may be to carry a request that must not be sent twice. Servers close idle connections
/// after two seconds or more; a request that crosses such a close is lost without an answer.
const FRESH: Duration = Duration::from_secs(1);

/// Idle connections that are kept for the whole `idle_time`; the rest of a burst goes after [`SPARE`].
const KEPT: usize = 8;
const SPARE: Duration = Duration::from_secs(5);

/// One core's view of an endpoint.
pub(crate) struct CoreEndpoint {
    pub(crate) shared: Arc<Endpoint>,
    /// For balancing.
    pub(crate) ewma: Cell<PeakEwma>,
    idle: RefCell<Vec<Idle>>,
    http2: RefCell<Option<http2::SendRequest<AttemptBody>>>,
    /// When the HTTP/2 connection was lent last, and when its peer gave a sign of life.
    http2_used: Cell<Instant>,
    http2_heard: Cell<Instant>,
    connecting: tokio::sync::Mutex<()>,
    core: usize,
}

struct Idle {
    line: Line,
    since: Instant,
}

/// An HTTP/1 connection. When it is dropped, so is the socket, whatever is still to be written: hyper would first
/// write all it has, and a peer that does not read could make that last forever.
struct Line {
    sender: http1::SendRequest<AttemptBody>,
    _kept: tokio::sync::oneshot::Sender<()>,
}

/// A connection, lent for one request.
pub(crate) struct Lease {
    endpoint: Rc<CoreEndpoint>,
    idle_max: usize,
    sender: Sender,
    /// Whether it has carried a request before.
    pub(crate) reused: bool,
}

enum Sender {
    Http1(Line),
    Http2(http2::SendRequest<AttemptBody>),
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) struct ConnectFailed {
    pub(crate) reason: Reason,
    pub(crate) cause: String,
}

/// Why an attempt got no answer.
pub(crate) struct SendFailed {
    pub(crate) reason: Reason,
    pub(crate) cause: String,
}

impl CoreEndpoint {
    pub(crate) fn new(shared: Arc<Endpoint>, core: usize, default_rtt: Duration) -> Self {
        Self {
            shared,
            ewma: Cell::new(PeakEwma::new(default_rtt)),
            idle: RefCell::default(),
            http2: RefCell::default(),
            http2_used: Cell::new(Instant::ORIGIN),
            http2_heard: Cell::new(Instant::ORIGIN),
            connecting: tokio::sync::Mutex::new(()),
            core,
        }
    }

    pub(crate) fn counts(&self) -> &EndpointCounts {
        &self.shared.counts[self.core]
    }

    /// A connection: an idle one if there is any that may be used, else a new one.
    pub(crate) async fn lease(
        self: &Rc<Self>,
        env: &Env,
        upstream: &Upstream,
        sending: &Sending<'_>,
    ) -> Result<Lease, ConnectFailed> {
        let grpc = sending.grpc;
        let lease = |sender, reused| Lease {
            endpoint: Rc::clone(self),
            idle_max: upstream.plan.idle_max,
            sender,
            reused,
        };
        let http2_first = upstream.plan.protocol == Protocol::Http2
            || (upstream.plan.protocol == Protocol::Auto && (grpc || upstream.tls.is_some()));
        self.http2_used.set(sending.now);
        if http2_first && let Some(sender) = self.open_http2() {
            return Ok(lease(Sender::Http2(sender), true));
        }
        if let Some(line) = self.take_idle(sending.now, sending.repeatable) {
            return Ok(lease(Sender::Http1(line), true));
        }
        // One handshake at a time, so that a burst of calls does not open a connection each for what one could carry.
        let _turn = if http2_first {
            Some(self.connecting.lock().await)
        } else {
            None
        };
        if http2_first && let Some(sender) = self.open_http2() {
            return Ok(lease(Sender::Http2(sender), true));
        }
        let sender = if let Ok(opened) = tokio::time::timeout(
            upstream.plan.connect_max,
            Box::pin(self.open(env, upstream, grpc)),
        )
        .await
        {
            opened?
        } else {
            let cause = format!(
                "no connection to {} within {:?}",
                self.shared.address, upstream.plan.connect_max
            );
            return Err(ConnectFailed {
                reason: Reason::UpstreamConnectTimeout,
                cause,
            });
        };
        Ok(lease(sender, false))
    }

    fn open_http2(&self) -> Option<http2::SendRequest<AttemptBody>> {
        let mut http2 = self.http2.borrow_mut();
        if http2.as_ref().is_some_and(http2::SendRequest::is_closed) {
            *http2 = None;
        }
        http2.clone()
    }

    fn take_idle(&self, now: Instant, repeatable: bool) -> Option<Line> {
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.last() {
            if !repeatable && now - last.since > FRESH {
                return None;
            }
            let line = idle.pop()?.line;
            if line.sender.is_ready() {
                return Some(line);
            }
        }
        None
    }

    async fn open(
        self: &Rc<Self>,
        env: &Env,
        upstream: &Upstream,
        grpc: bool,
    ) -> Result<Sender, ConnectFailed> {
        let address = &self.shared.address;
        let failed = |reason, error: &dyn std::fmt::Display| ConnectFailed {
            reason,
            cause: format!("{address}: {error}"),
        };
        let stream = match address {
            Address::Tcp(address) => env.connect(*address).await,
            Address::Unix(path) => env.connect_unix(path).await,
        };
        let stream = stream.map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::TimedOut => Reason::UpstreamConnectTimeout,
                _ => Reason::UpstreamRefused,
            };
            failed(reason, &error)
        })?;
        let (stream, chose_http2) = match &upstream.tls {
            None => (stream, None),
            Some(tls) => {
                let shaken = tls.connect(stream, &self.shared.host).await;
                let (stream, http2) = shaken.map_err(|error| failed(Reason::UpstreamTls, &error))?;
                (stream, Some(http2))
            }
        };
        let http2 = match (upstream.plan.protocol, chose_http2) {
            (Protocol::Http2, Some(false)) => {
                return Err(failed(Reason::UpstreamTls, &"it does not offer HTTP/2 by ALPN"));
            }
            (Protocol::Http2, _) | (Protocol::Auto, Some(true)) => true,
            (Protocol::Auto, None) => grpc,
            _ => false,
        };
        let opened = if http2 {
            self.open2(env, stream).await
        } else {
            self.open1(env, stream).await
        };
        opened.map_err(|error| failed(Reason::UpstreamRefused, &error))
    }

    async fn open1(self: &Rc<Self>, env: &Env, stream: Stream) -> hyper::Result<Sender> {
        let (sender, connection) = http1::Builder::new()
            .max_headers(256)
            .handshake(TokioIo::new(stream))
            .await?;
        let counted = Open::count(self);
        let (kept, given_up) = tokio::sync::oneshot::channel();
        env.spawn_local(async move {
            let _counted = counted;
            // How it ended is told to the request that was under way; an idle connection may end as it likes.
            tokio::select! {
                biased;
                _ended = connection.with_upgrades() => {}
                _dropped = given_up => {}
            }
        });
        Ok(Sender::Http1(Line { sender, _kept: kept }))
    }

    async fn open2(self: &Rc<Self>, env: &Env, stream: Stream) -> hyper::Result<Sender> {
        let (sender, connection) = http2::Builder::new(LocalExecutor(env.clone()))
            .timer(TokioTimer::new())
            // Deadlines and hedges cancel streams in numbers; h2's default of 1024 would end the connection for it.
            .max_local_error_reset_streams(None)
            .max_concurrent_reset_streams(256)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .handshake(TokioIo::new(stream))
            .await?;
        let counted = Open::count(self);
        env.spawn_local(async move {
            let _counted = counted;
            drop(connection.await);
        });
        *self.http2.borrow_mut() = Some(sender.clone());
        self.http2_heard.set(env.now());
        Ok(Sender::Http2(sender))
    }

    /// The endpoint has answered.
    pub(crate) fn heard(&self, now: Instant) {
        self.http2_heard.set(now);
    }

    /// An attempt that began at `since` was given up. If nothing has come from the endpoint since then, its HTTP/2
    /// connection may lead nowhere, and keep-alive would find that out in half a minute only; so what is under way on
    /// it may go on, and what comes next goes by a new one.
    pub(crate) fn suspect(&self, since: Instant) {
        if self.http2_heard.get() <= since {
            *self.http2.borrow_mut() = None;
        }
    }

    /// Closes connections that were idle for too long; returns how many idle ones are left. A burst leaves many
    /// behind, each with its buffers: all but the last few used go after [`SPARE`].
    pub(crate) fn sweep(&self, now: Instant, idle_time: Duration) -> usize {
        let mut idle = self.idle.borrow_mut();
        let spare = idle.len().saturating_sub(KEPT);
        let mut index = 0;
        idle.retain(|idle| {
            let time = if index < spare {
                idle_time.min(SPARE)
            } else {
                idle_time
            };
            index += 1;
            !idle.line.sender.is_closed() && now - idle.since < time
        });
        if idle.is_empty() {
            idle.shrink_to_fit();
        }
        if now - self.http2_used.get() >= idle_time {
            // Streams that are under way hold it open until they end.
            *self.http2.borrow_mut() = None;
        }
        idle.len()
    }
}

/// Counts an open connection for as long as its task lives.
struct Open(Rc<CoreEndpoint>);

impl Open {
    fn count(endpoint: &Rc<CoreEndpoint>) -> Self {
        endpoint.counts().connections.fetch_add(1, Relaxed);
        Self(Rc::clone(endpoint))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counts().connections.fetch_sub(1, Relaxed);
    }
}

impl Lease {
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Sends a request. When the connection turned out to be closed before a byte was written, the request comes
    /// back whole in `Err(Ok(request))`.
    pub(crate) async fn send(
        &mut self,
        request: Request<AttemptBody>,
    ) -> Result<Response<Incoming>, Result<Request<AttemptBody>, SendFailed>> {
        let sent = match &mut self.sender {
            Sender::Http1(line) => line.sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        };
        sent.map_err(|mut error: TrySendError<_>| match error.take_message() {
            Some(request) => Ok(request),
            None => Err(SendFailed::of(error.error())),
        })
    }

    /// The answer was read to its end: an HTTP/1 connection goes back to the pool.
    pub(crate) fn give_back(self, now: Instant) {
        if let Sender::Http1(line) = self.sender
            && !line.sender.is_closed()
        {
            let mut idle = self.endpoint.idle.borrow_mut();
            if idle.len() < self.idle_max {
                idle.push(Idle { line, since: now });
            }
        }
    }
}

impl SendFailed {
    fn of(error: &hyper::Error) -> Self {
        let cause = chain(error);
        let http2 = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
        let reason = match http2 {
            Some(error) if error.reason() == Some(h2::Reason::REFUSED_STREAM) => Reason::UpstreamUndelivered,
            // h2 fails a stream with the peer's GOAWAY only if the peer said that it has not looked at it.
            Some(error) if error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR) => {
                Reason::UpstreamUndelivered
            }
            _ if error.is_parse() => Reason::UpstreamMalformed,
            _ => Reason::UpstreamReset,
        };
        Self { reason, cause }
    }
}

/// An error with all its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Spawns what hyper's HTTP/2 needs spawned on the current core.
#[derive(Clone, Debug)]
pub(crate) struct LocalExecutor(pub(crate) Env);

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        self.0.spawn_local(task);
    }
}
