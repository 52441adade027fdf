//! Connections to upstreams: one pool per core and endpoint, so that nothing is shared and nothing is locked.
//!
//! HTTP/1 connections are kept last-in first-out, so that the busy ones stay warm and the rest can age out; they
//! belong to the request that has leased them, and to nobody's task while they rest. HTTP/2 uses one connection per
//! endpoint and core, driven by a task of its own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use plimsoll_policy::PeakEwma;
use plimsoll_slo::{Instant, Reason};

use crate::attempt::Sending;
use crate::body::{BodyError, Broke};
use crate::env::Stream;
use crate::http1::line::{Exchange, Line, Unanswered};
use crate::http2::carrying;
use crate::message::{AnswerHead, Outbound};
use crate::percore::Core;
use crate::plan::Protocol;
use crate::upstream::{Address, Endpoint, EndpointCounts, Upstream};

/// How old an idle connection may be to carry a request that must not be sent twice. Servers close idle connections
/// after two seconds or more; a request that crosses such a close is lost without an answer.
const FRESH: Duration = Duration::from_secs(1);

/// For how long an HTTP/2 connection on which attempts are cancelled may be silent. It is not the time of one attempt,
/// since a cancelled one is usually over in milliseconds.
const SILENCE: Duration = Duration::from_secs(1);

/// Idle connections that are kept for the whole `idle_time`; the rest of a burst goes after [`SPARE`].
const KEPT: usize = 8;
const SPARE: Duration = Duration::from_secs(5);

/// One core's view of an endpoint.
pub(crate) struct CoreEndpoint {
    pub(crate) shared: Arc<Endpoint>,
    /// For balancing.
    pub(crate) ewma: Cell<PeakEwma>,
    idle: RefCell<Vec<Idle>>,
    http2: RefCell<Option<carrying::Carrier>>,
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

/// A connection, lent for one request and its answer.
pub(crate) struct Lease {
    endpoint: Rc<CoreEndpoint>,
    idle_max: usize,
    carrier: Carrier,
    /// Whether it has carried a request before.
    pub(crate) reused: bool,
}

/// What carries a request.
enum Carrier {
    /// HTTP/1, before it is sent.
    Line(Line),
    /// HTTP/1, from then on.
    Exchange(Box<Exchange>),
    /// HTTP/2, before it is sent.
    Http2(carrying::Carrier),
    /// HTTP/2, from then on.
    Stream(Box<carrying::Exchange>),
    /// It was used up.
    Spent,
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
        core: &Core,
        upstream: &Upstream,
        sending: &Sending<'_>,
    ) -> Result<Lease, ConnectFailed> {
        let grpc = sending.grpc;
        let lease = |carrier, reused| Lease {
            endpoint: Rc::clone(self),
            idle_max: upstream.plan.idle_max,
            carrier,
            reused,
        };
        let http2_first = upstream.plan.protocol == Protocol::Http2
            || (upstream.plan.protocol == Protocol::Auto && (grpc || upstream.tls.is_some()));
        self.http2_used.set(sending.now);
        if http2_first && let Some(http2) = self.open_http2() {
            return Ok(lease(Carrier::Http2(http2), true));
        }
        if let Some(line) = self.take_idle(sending.now, sending.repeatable) {
            return Ok(lease(Carrier::Line(line), true));
        }
        // One handshake at a time, so that a burst of calls does not open a connection each for what one could carry.
        let _turn = if http2_first {
            Some(self.connecting.lock().await)
        } else {
            None
        };
        if http2_first && let Some(http2) = self.open_http2() {
            return Ok(lease(Carrier::Http2(http2), true));
        }
        let carrier = if let Ok(opened) = tokio::time::timeout(
            upstream.plan.connect_max,
            Box::pin(self.open(core, upstream, grpc)),
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
        Ok(lease(carrier, false))
    }

    fn open_http2(&self) -> Option<carrying::Carrier> {
        let mut http2 = self.http2.borrow_mut();
        if http2.as_ref().is_some_and(carrying::Carrier::is_closed) {
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
            let mut line = idle.pop()?.line;
            if line.is_quiet() {
                return Some(line);
            }
        }
        None
    }

    async fn open(
        self: &Rc<Self>,
        core: &Core,
        upstream: &Upstream,
        grpc: bool,
    ) -> Result<Carrier, ConnectFailed> {
        let env = &core.env;
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
        if http2 {
            let opened = carrying::Carrier::open(env, stream, Open::count(self)).await;
            let http2 = opened.map_err(|error| failed(Reason::UpstreamRefused, &error))?;
            *self.http2.borrow_mut() = Some(http2.clone());
            self.http2_heard.set(env.now());
            return Ok(Carrier::Http2(http2));
        }
        let open = Open::count(self);
        Ok(Carrier::Line(Line::new(stream, Rc::clone(&core.scratch), open)))
    }

    /// The endpoint has answered.
    pub(crate) fn heard(&self, now: Instant) {
        self.http2_heard.set(now);
    }

    /// An attempt that began at `since` was cancelled, because another was answered: this endpoint would have taken
    /// longer.
    ///
    /// An HTTP/2 connection that leads nowhere loses every race, and nothing on it ever lasts until its deadline. So
    /// one from which nothing has come for [`SILENCE`] is suspected: a new one costs what each lost race costs over
    /// HTTP/1.
    pub(crate) fn outlasted(&self, now: Instant, since: Instant, tau: Duration) {
        let mut ewma = self.ewma.get();
        ewma.record_at_least(now, now - since, tau);
        self.ewma.set(ewma);
        if now - self.http2_heard.get() >= SILENCE {
            self.suspect(since);
        }
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
        idle.retain_mut(|idle| {
            let time = if index < spare {
                idle_time.min(SPARE)
            } else {
                idle_time
            };
            index += 1;
            now - idle.since < time && idle.line.is_quiet()
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

/// Counts an open connection for as long as it lives.
pub(crate) struct Open(Rc<CoreEndpoint>);

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
        matches!(self.carrier, Carrier::Http2(_) | Carrier::Stream(_))
    }

    /// Sends a request and waits for the head of its answer. Once in the life of a lease.
    pub(crate) fn send(
        &mut self,
        request: Outbound,
    ) -> impl Future<Output = Result<AnswerHead, Unanswered>> + use<'_> {
        // The request is spent before the future begins, or every future around it would have room for it.
        let opening = match (std::mem::replace(&mut self.carrier, Carrier::Spent), request) {
            (Carrier::Line(line), Outbound::Http1(request)) => {
                self.carrier = Carrier::Exchange(Box::new(Exchange::new(line, request)));
                Ok(None)
            }
            (Carrier::Http2(http2), Outbound::Http2(request)) => {
                Ok(Some(Box::pin(async move { http2.send(request).await })))
            }
            _ => Err(Unanswered::Failed(SendFailed {
                reason: Reason::Internal,
                cause: "the request was made for another protocol than its connection's".to_owned(),
            })),
        };
        async move {
            if let Some(opening) = opening? {
                self.carrier = Carrier::Stream(Box::new(opening.await?));
            }
            match &mut self.carrier {
                Carrier::Exchange(exchange) => exchange.answer().await,
                Carrier::Stream(exchange) => exchange.answer().await,
                Carrier::Line(_) | Carrier::Http2(_) | Carrier::Spent => Err(Unanswered::Unsent),
            }
        }
    }

    /// The next piece of the answer's body.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broke>>> {
        match &mut self.carrier {
            Carrier::Exchange(exchange) => exchange.poll_frame(cx),
            Carrier::Stream(exchange) => exchange.poll_frame(cx),
            Carrier::Line(_) | Carrier::Http2(_) | Carrier::Spent => Poll::Ready(None),
        }
    }

    /// Whether there is nothing more of the answer.
    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.carrier {
            Carrier::Exchange(exchange) => exchange.is_end_stream(),
            Carrier::Stream(exchange) => exchange.is_end_stream(),
            Carrier::Line(_) | Carrier::Http2(_) | Carrier::Spent => true,
        }
    }

    /// Bytes of the answer that are still to come, if that is known.
    pub(crate) fn exact(&self) -> Option<u64> {
        match &self.carrier {
            Carrier::Exchange(exchange) => exchange.exact(),
            Carrier::Stream(exchange) => exchange.exact(),
            Carrier::Line(_) | Carrier::Http2(_) | Carrier::Spent => Some(0),
        }
    }

    /// Goes on sending the request while nobody asks for more of the answer.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        match &mut self.carrier {
            Carrier::Exchange(exchange) => exchange.drive(cx),
            Carrier::Stream(exchange) => exchange.drive(cx),
            Carrier::Line(_) | Carrier::Http2(_) | Carrier::Spent => {}
        }
    }

    /// The answer was read to its end: an HTTP/1 connection goes back to the pool.
    pub(crate) fn give_back(self, now: Instant) {
        if let Carrier::Exchange(exchange) = self.carrier
            && let Some(line) = exchange.into_line()
        {
            let mut idle = self.endpoint.idle.borrow_mut();
            if idle.len() < self.idle_max {
                idle.push(Idle { line, since: now });
            }
        }
    }

    /// The connection after it has switched protocols: its stream, what was read of it already, and its count.
    pub(crate) fn into_stream(self) -> Option<(Stream, BytesMut, Open)> {
        match self.carrier {
            Carrier::Exchange(exchange) => Some(exchange.into_stream()),
            _ => None,
        }
    }
}

impl SendFailed {
    pub(crate) fn of(error: &h2::Error) -> Self {
        let reason = match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) => Reason::UpstreamUndelivered,
            // h2 fails a stream with the peer's GOAWAY only if the peer said that it has not looked at it.
            Some(h2::Reason::NO_ERROR) if error.is_go_away() => Reason::UpstreamUndelivered,
            _ => Reason::UpstreamReset,
        };
        let cause = chain(error);
        Self { reason, cause }
    }

    /// The request's body broke off, and with it the request.
    pub(crate) fn of_upload(error: &BodyError) -> Self {
        Self {
            reason: Reason::UpstreamReset,
            cause: error.to_string(),
        }
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
