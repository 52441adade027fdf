//! The port for feature flags: one listener for everything that the official OpenFeature providers speak.
//!
//! - OFREP 0.3.0, as JSON over HTTP/1.1 and h2: [`ofrep`], and its events in [`sse`].
//! - flagd's evaluation (v1, v2, and `schema.v1` before it) and sync services: [`rpc`] has them all in one list. They
//!   are spoken as gRPC over h2c, and as Connect, with JSON or protobuf, over HTTP/1.1 and h2: [`wire`].
//!
//! Everything is answered from memory, from the flags that are served at that moment. Streams follow a
//! [`watch`](tokio::sync::watch) channel and are written when their reader takes more, so nothing queues up: a reader
//! that is slow gets the latest and misses what was between.
//!
//! **When it closes**, streams end with UNAVAILABLE. Never with OK: flagd's provider for JavaScript does not come back
//! after that, and serves its cache for ever.
//!
//! **Where it differs from flagd**, so that code gets its own default where there is no value:
//! - `ResolveInt` of a fraction is a type mismatch. flagd cuts it off, and 0.5 becomes 0.
//! - v1 and `schema.v1` cannot say "no value". A disabled flag is NOT_FOUND there, as one without a default is in flagd
//!   already, where flagd hands out `false`, `""` or 0. `ResolveAll` leaves out what has no value.
//! - What flagd lets escape as UNKNOWN is INTERNAL: providers retry UNKNOWN for seconds.
//! - The header `Flagd-Selector` is taken, whatever it says, and ignored: there is one set, and no sources.
//! - There is no static context, and no context from headers.
//!
//! A deadline (`grpc-timeout`, `Connect-Timeout-Ms`) is left to who sets it: nothing here waits, and streams end when
//! their reader goes.

mod answer;
mod body;
mod cors;
mod evaluation;
mod follow;
mod ofrep;
mod proto;
mod protojson;
mod rpc;
mod sse;
mod status;
mod structs;
pub(crate) mod sync;
#[cfg(test)]
mod tests;
mod wire;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::served::{PortConfig, Served, Task};

/// Connections at once: an HTTP/1.1 reader of events takes one each, and a thousand of them are a large fleet.
const CONNECTIONS_MAX: usize = 4_096;

/// Streams at once, of all connections: h2 carries many in one.
const STREAMS_MAX: usize = 4_096;

/// Streams and requests of one h2 connection at once: what hyper takes by default, a process with many threads.
const CONCURRENT_MAX: u32 = 200;

/// Time for the first bytes, which tell the protocol.
const GREETING_TIME_MAX: Duration = Duration::from_secs(5);

/// Time until a connection has asked something. A gRPC channel may be opened well before it is used.
const FIRST_TIME_MAX: Duration = Duration::from_mins(1);

/// Time for the head of a request over HTTP/1.1. hyper counts the rest between two requests as part of it, so it is
/// longer than a head takes.
const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How often an h2 peer has to show that it is alive, and how long that may take.
const PING: Duration = Duration::from_secs(20);

/// Bytes of one h2 stream that wait for its reader, before nothing more is made for it.
const SEND_BYTES_MAX: usize = 64 << 10;

/// Time for answers under way when the port closes.
const FAREWELL: Duration = Duration::from_secs(5);

/// Rest after accepting failed, which is for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Port {
    config: Arc<PortConfig>,
    closed: watch::Receiver<bool>,
    /// Seats for those who follow changes.
    streams: Arc<Semaphore>,
}

/// Answers until it is `closed`, and what was asked before.
pub(crate) async fn serve(listener: TcpListener, config: Arc<PortConfig>, mut closed: watch::Receiver<bool>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let port = Arc::new(Port::new(Arc::clone(&config), closed.clone()));
    loop {
        let accepted = tokio::select! {
            biased;
            // Whoever forgets to say that it is closed has closed it.
            _ = closed.wait_for(|closed| *closed) => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // One too many is closed without a word: whoever fills the port would not read it.
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            continue;
        };
        let port = Arc::clone(&port);
        (config.spawn)(Box::pin(async move {
            port.connection(stream).await;
            drop(seat);
        }));
    }
    drop(listener);
    // Nobody shuts the semaphore, and every seat is given back within the farewell.
    drop(seats.acquire_many(CONNECTIONS_MAX as u32).await);
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
}

impl Port {
    fn new(config: Arc<PortConfig>, closed: watch::Receiver<bool>) -> Self {
        Self {
            config,
            closed,
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }

    fn served(&self) -> Arc<Served> {
        Arc::clone(&self.config.served.borrow())
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        // A message is a write of its own, and waits for nothing. If that cannot be had, it is only slower.
        _ = stream.set_nodelay(true);
        let greeting = tokio::select! {
            biased;
            greeting = greeting(&stream) => greeting,
            () = sleep(GREETING_TIME_MAX) => return,
        };
        let Some(speaks) = greeting else {
            return;
        };
        let (port, asked) = (Arc::clone(&self), Arc::new(AtomicBool::new(false)));
        let has_asked = Arc::clone(&asked);
        let service = service_fn(move |request| {
            has_asked.store(true, Ordering::Relaxed);
            let port = Arc::clone(&port);
            async move { Ok::<_, Infallible>(port.answer(request).await) }
        });
        match speaks {
            Speaks::Http1 => {
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIME_MAX)
                    .max_buf_size(HEAD_BYTES_MAX)
                    .serve_connection(TokioIo::new(stream), service);
                self.drive(connection, &asked, http1::Connection::graceful_shutdown)
                    .await;
            }
            Speaks::Http2 => {
                let connection = http2::Builder::new(Spawning(Arc::clone(&self.config)))
                    .timer(TokioTimer::new())
                    .keep_alive_interval(PING)
                    .keep_alive_timeout(PING)
                    .max_concurrent_streams(CONCURRENT_MAX)
                    .max_header_list_size(HEAD_BYTES_MAX as u32)
                    .max_send_buf_size(SEND_BYTES_MAX)
                    .serve_connection(TokioIo::new(stream), service);
                self.drive(connection, &asked, http2::Connection::graceful_shutdown)
                    .await;
            }
        }
    }

    /// Serves a connection to its end. Why it broke is told to nobody: it is the peer's going, or its mistake.
    async fn drive<C: Future>(&self, connection: C, asked: &AtomicBool, finish: impl FnOnce(Pin<&mut C>)) {
        let mut connection = std::pin::pin!(connection);
        let mut closed = self.closed.clone();
        let first = async {
            sleep(FIRST_TIME_MAX).await;
            if asked.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            _ = closed.wait_for(|closed| *closed) => finish(connection.as_mut()),
            () = first => return,
        }
        tokio::select! {
            biased;
            _ = connection => {}
            () = sleep(FAREWELL) => {}
        }
    }
}

/// Looks at the first bytes without taking them. hyper-util can do so too, but waits for them without end.
async fn greeting(stream: &TcpStream) -> Option<Speaks> {
    /// How the preface of h2 begins; no method of HTTP/1.1 does.
    const PREFACE: &[u8] = b"PRI";
    loop {
        let mut seen = [0; PREFACE.len()];
        let count = stream.peek(&mut seen).await.ok()?;
        if count == 0 {
            return None;
        }
        if seen[..count] != PREFACE[..count] {
            return Some(Speaks::Http1);
        }
        if count == PREFACE.len() {
            return Some(Speaks::Http2);
        }
        // Bytes that were seen stay, so there is no waiting for more than them.
        sleep(ACCEPT_PAUSE).await;
    }
}

/// Has hyper start what it does beside a connection the way that the host wants.
#[derive(Clone, Debug)]
struct Spawning(Arc<PortConfig>);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Spawning {
    fn execute(&self, future: F) {
        let task: Task = Box::pin(async move {
            future.await;
        });
        (self.0.spawn)(task);
    }
}
