//! The world outside, behind one seam.
//!
//! Clock, dice, network, names and spawning come from an [`Env`], so that the same gateway runs on the real machine
//! and in a seeded simulation. `Env` is an enum in disguise: the real world is called directly, the simulated one
//! through [`World`], and no generic parameter runs through the pipeline. Time is tokio's in both: a simulated
//! world pauses and turns that clock.
//!
//! Nothing else in this crate may read a clock, open a socket, look up a name or spawn; clippy's disallowed methods
//! see to it.
#![allow(clippy::disallowed_methods)] // the one place that is allowed to touch the world

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plimsoll_policy::{Dice, SeededDice};
use plimsoll_slo::Instant;
use tokio::net::{TcpStream, UnixStream};

mod listener;
mod stream;

pub(crate) use listener::Listening;
pub use listener::{Accepted, Bound};
pub use stream::{Io, Stream};

/// A boxed future, for the simulated world only.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a simulated world provides instead of the operating system.
pub trait World: Send + Sync + 'static {
    /// Connects to `address`.
    fn connect(&self, address: SocketAddr) -> Boxed<'_, io::Result<Stream>>;
    /// Listens on `address`; connections arrive through the returned listener.
    fn listen(&self, address: SocketAddr) -> Boxed<'_, io::Result<Box<dyn WorldListener>>>;
    /// Looks up `host`.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Boxed<'a, io::Result<Vec<SocketAddr>>>;
    /// Time since the Unix epoch.
    fn wall(&self) -> Duration;
}

/// A simulated listening socket.
pub trait WorldListener: Send + 'static {
    /// Waits for the next connection.
    fn accept(&mut self) -> Boxed<'_, io::Result<Accepted>>;
    /// The address it listens on.
    ///
    /// # Errors
    /// The socket is gone.
    fn address(&self) -> io::Result<SocketAddr>;
}

/// Clock, dice, network, names and spawning: real or simulated. Cheap to clone, shared by all cores.
#[derive(Clone)]
pub struct Env {
    origin: tokio::time::Instant,
    seed: Arc<AtomicU64>,
    world: Option<Arc<dyn World>>,
}

impl Env {
    /// The machine as it is, with dice seeded from the operating system.
    pub fn real() -> Self {
        use std::hash::{BuildHasher, RandomState};
        // The standard library seeds its hashers from the system's entropy; hashing a constant reads it out.
        let seed = RandomState::new().hash_one(std::process::id());
        Self {
            origin: tokio::time::Instant::now(),
            seed: Arc::new(AtomicU64::new(seed)),
            world: None,
        }
    }

    /// A simulated world. Must be called where tokio's clock is the simulated one.
    pub fn simulated(seed: u64, world: Arc<dyn World>) -> Self {
        Self {
            origin: tokio::time::Instant::now(),
            seed: Arc::new(AtomicU64::new(seed)),
            world: Some(world),
        }
    }

    /// Whether this is a simulation.
    pub fn is_simulated(&self) -> bool {
        self.world.is_some()
    }

    /// The monotonic clock.
    pub fn now(&self) -> Instant {
        let elapsed = self.origin.elapsed();
        Instant::ORIGIN + elapsed
    }

    /// Time since the Unix epoch, for people and for the wire; never for decisions.
    pub fn wall(&self) -> Duration {
        match &self.world {
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Some(world) => world.wall(),
        }
    }

    /// Dice of one's own: each call gives a new stream, the same ones in the same order for the same seed.
    pub fn dice(&self) -> SeededDice {
        let seed = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        SeededDice::new(SeededDice::new(seed).roll())
    }

    /// Completes at `when`.
    pub fn sleep_until(&self, when: Instant) -> tokio::time::Sleep {
        tokio::time::sleep_until(self.origin + when.since(Instant::ORIGIN).min(SLEEP_MAX))
    }

    /// Completes after `duration`.
    pub fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        tokio::time::sleep(duration.min(SLEEP_MAX))
    }

    /// Connects over TCP, with Nagle's algorithm off.
    ///
    /// # Errors
    /// Whatever the connect says.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        match &self.world {
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            Some(world) => world.connect(address).await,
        }
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// Whatever the connect says; `Unsupported` in a simulation.
    pub async fn connect_unix(&self, path: &Path) -> io::Result<Stream> {
        match &self.world {
            None => UnixStream::connect(path).await.map(Stream::Unix),
            Some(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Looks up a name by the system's resolver (`/etc/hosts`, search domains and all), off the caller's thread.
    ///
    /// # Errors
    /// Whatever the resolver says; `NotFound` when there is no address.
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut found: Vec<SocketAddr> = match &self.world {
            None => tokio::net::lookup_host((host, port)).await?.collect(),
            Some(world) => world.resolve(host, port).await?,
        };
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(found)
        }
    }

    /// Runs a task on the current core's thread.
    pub fn spawn_local(&self, task: impl Future<Output = ()> + 'static) {
        drop(tokio::task::spawn_local(task));
    }

    /// Runs a task on the control runtime.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }
}

/// The furthest a timer is set: tokio's wheel spans about two years.
const SLEEP_MAX: Duration = Duration::from_hours(8760);

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("simulated", &self.is_simulated())
            .finish_non_exhaustive()
    }
}
