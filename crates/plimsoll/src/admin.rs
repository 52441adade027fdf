//! The port for operators: is it alive, is it ready, how is it, what does it count; reload, drain.
//!
//! It runs on the control side, computes every answer from what is in memory, and so stays up when upstreams, stores
//! and collectors are down, and through a drain to its end. It is not for users' traffic: HTTP/1 only, and a bound on
//! everything. Bodies are read by the [`api`](crate::api) only.
//!
//! It ends when it is closed: by the end of the process, or because another process has taken over, whose port this
//! address is from then on. Answers under way are finished, kept connections end with the next one.
//!
//! **Who may.** Where no keys are configured everybody on the machine; on any other than a loopback address there have
//! to be some, and [`bind`] refuses to go without. Browsers on the machine are a way in for strangers, so the `Host`
//! must be ours (DNS rebinding) and whatever changes something must not come from another site; see [`guard`] and
//! [`access`](crate::access).

mod answer;
pub(crate) mod ask;
mod asked;
mod body;
mod forms;
mod guard;
mod login;
mod pages;
mod spelling;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use gateway::Acceptor;
use gateway::env::{Env, Stream};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::access::{Door, Key, Now};
use crate::api::ApiBackend;
use crate::api::stream::Judged;
use crate::exemplars::Exemplars;
use crate::history::Window;
use crate::metrics::Scrape;
use crate::reading::{Reading, TelemetryReading};
use crate::reload::Reloaded;
use crate::rollout::Looked;
use crate::saturation::Saturation;
use crate::spread::Part;
use crate::status;

/// Connections at once. Scrapers, probes and a few people need a handful.
const CONNECTIONS_MAX: usize = 64;

/// Bytes of a request's head, and header fields in it: enough for a browser with its cookies for `localhost`.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// Time for a head to arrive, and for a kept connection to be idle: longer than a scrape interval of 15 s.
const HEAD_TIME_MAX: Duration = Duration::from_secs(20);

/// Time after which a connection is ended even if it is in use, so that none is held for ever by not reading.
const CONNECTION_TIME_MAX: Duration = Duration::from_mins(10);

/// Time for the answer under way when it is.
const FAREWELL: Duration = Duration::from_secs(5);

/// Rest after accepting failed, which is for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the port can tell and do.
pub(crate) trait AdminBackend: ApiBackend + Send + Sync + 'static {
    /// How what counts for an objective was made up in the last hour.
    fn breakdown(&self, objective: &str) -> Vec<Part>;
    /// What was seen of changes that are on their way.
    fn looked_at(&self) -> BTreeMap<String, Looked>;
    /// The data plane now.
    fn reading(&self) -> Reading;
    /// What happened in the last `length` before `reading`.
    fn window(&self, reading: &Reading, length: Duration) -> Window;
    fn exemplars(&self) -> MutexGuard<'_, Exemplars>;
    fn telemetry(&self) -> TelemetryReading;
    /// Who may ask. With none, everybody on this machine.
    fn keys(&self) -> Arc<[Key]>;
    /// What the judge says, every second.
    fn judged(&self) -> watch::Receiver<Arc<Judged>>;
    /// Reads the configuration again and applies it: all of it or nothing.
    fn reload(&self) -> impl Future<Output = Reloaded> + Send;
    /// Takes no new work, finishes what there is.
    fn drain(&self);
    /// Has a new process take over; its id, or why there is none.
    fn upgrade(&self) -> impl Future<Output = Result<u32, String>> + Send;

    /// Collects everything that is known, for `read`.
    fn scrape<T>(&self, read: impl FnOnce(&Scrape<'_>) -> T) -> T {
        let reading = self.reading();
        let window = self.window(&reading, status::WINDOW);
        let (saturation, telemetry) = (Saturation::read(), self.telemetry());
        let exemplars = self.exemplars();
        read(&Scrape {
            reading: &reading,
            window: &window,
            exemplars: &exemplars,
            saturation: &saturation,
            telemetry,
        })
    }
}

/// Where the port is, and who may use it.
#[derive(Clone, Debug)]
pub(crate) struct AdminConfig {
    pub(crate) listen: SocketAddr,
    /// Somebody has to show a key.
    pub(crate) asks_for_keys: bool,
    pub(crate) tls: Option<Arc<Acceptor>>,
}

/// Why there is no port.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    #[error(
        "the admin address {0} can be reached from other machines and asks for no token; \
         set admin.tokens, admin.token_file or admin.token_env, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    #[error("cannot listen on the admin address {address}")]
    Bind { address: SocketAddr, source: io::Error },
}

/// The port, bound and not yet answering.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Acceptor>>,
}

/// Binds the port, unless a socket was inherited for it.
///
/// # Errors
/// [`AdminError`] if it would be open to the network, or the address cannot be had.
pub(crate) async fn bind(
    config: AdminConfig,
    inherited: Option<std::net::TcpListener>,
) -> Result<Admin, AdminError> {
    let AdminConfig {
        listen,
        asks_for_keys,
        tls,
    } = config;
    if !asks_for_keys && !listen.ip().to_canonical().is_loopback() {
        return Err(AdminError::Open(listen));
    }
    let failed = |source| AdminError::Bind {
        address: listen,
        source,
    };
    let listener = match inherited {
        Some(socket) => TcpListener::from_std(socket),
        None => TcpListener::bind(listen).await,
    };
    let listener = listener.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Admin {
        listener,
        address,
        tls,
    })
}

/// What every connection needs.
struct Serving<B> {
    env: Env,
    closed: watch::Receiver<bool>,
    backend: B,
    address: SocketAddr,
    tls: Option<Arc<Acceptor>>,
    door: Door,
    /// Seats for those who listen to verdicts.
    streams: Arc<Semaphore>,
}

impl Admin {
    /// The address, with the port that was found for port 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it shows, to be read again when it changes.
    pub(crate) fn tls(&self) -> Option<Arc<Acceptor>> {
        self.tls.clone()
    }

    /// A descriptor of its socket, for a process that is to take over.
    ///
    /// # Errors
    /// Whatever `dup` says.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    /// Answers until it is `closed`, and what was asked before.
    pub(crate) async fn serve(self, env: Env, backend: impl AdminBackend, mut closed: watch::Receiver<bool>) {
        let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let serving = Serving {
            env: env.clone(),
            closed: closed.clone(),
            backend,
            address: self.address,
            tls: self.tls,
            door: Door::default(),
            streams: Arc::new(Semaphore::new(stream::STREAMS_MAX)),
        };
        let serving = Arc::new(serving);
        loop {
            let accepted = tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => break,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, peer)) = accepted else {
                env.sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // One too many is closed without a word: whoever fills the port would not read it.
            let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
                continue;
            };
            let serving = Arc::clone(&serving);
            env.spawn(async move {
                serving.connection(Stream::Tcp(stream), peer.ip()).await;
                drop(seat);
            });
        }
        drop(self.listener);
        // Nobody shuts the semaphore, and every seat is given back within the farewell.
        drop(seats.acquire_many(CONNECTIONS_MAX as u32).await);
    }
}

impl<B: AdminBackend> Serving<B> {
    async fn connection(self: Arc<Self>, stream: Stream, from: IpAddr) {
        let Some(stream) = self.shaken(stream).await else {
            return;
        };
        let serving = Arc::clone(&self);
        let service = service_fn(move |request| {
            let serving = Arc::clone(&serving);
            async move { Ok::<_, Infallible>(serving.answer(request, from).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut closed = self.closed.clone();
        tokio::select! {
            biased;
            _ = connection.as_mut() => return,
            _ = closed.wait_for(|closed| *closed) => connection.as_mut().graceful_shutdown(),
            () = self.env.sleep(CONNECTION_TIME_MAX) => connection.as_mut().graceful_shutdown(),
        }
        tokio::select! {
            biased;
            _ = connection => {}
            () = self.env.sleep(FAREWELL) => {}
        }
    }

    /// The stream inside TLS, if that is spoken here and the peer can.
    async fn shaken(&self, stream: Stream) -> Option<Stream> {
        let Some(tls) = &self.tls else {
            return Some(stream);
        };
        let shaken = tokio::select! {
            biased;
            shaken = tls.accept(stream) => shaken,
            () = self.env.sleep(HEAD_TIME_MAX) => return None,
        };
        shaken.ok().map(|(stream, _)| stream)
    }

    fn now(&self) -> Now {
        Now {
            steady: self.env.now(),
            wall: self.backend.wall(),
        }
    }
}
