//! An options order desk: an ordinary HTTP service with a database and a dependency that may misbehave.
//!
//! It takes orders, weighs their risk, keeps them in SQLite or Postgres and has them executed by a broker. It is
//! the service that other examples stand in front of, so it knows nothing of what stands there. [`start`] runs
//! it on the current tokio runtime; `src/main.rs` is the same as a program of its own. [`broker_sim`] is the
//! dependency, with switchable moods, and [`load`] is a steady stream of clients.
//!
//! A request goes `server` → `http` → `draft` (what was written) → `store` (with `domain` as the judge) →
//! `broker`, and back through `http` or `problem`. What the broker did not answer is `settle`'s.
#![allow(
    clippy::disallowed_methods,
    reason = "an ordinary service uses the ordinary clock and runtime; the ban is for code that is simulated"
)]

mod broker;
pub mod broker_sim;
mod client;
mod dice;
pub mod domain;
mod draft;
mod http;
pub mod load;
mod problem;
mod quotes;
mod server;
mod settle;
mod socket;
mod store;
mod timestamp;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::task::JoinSet;

use crate::broker::Broker;
pub use crate::client::BadOrigin;
use crate::domain::price::Price;
use crate::domain::risk::Limits;
pub use crate::problem::chain;
use crate::server::Server;
use crate::store::Store;
pub use crate::store::{Database, StoreError};

/// How a desk is set up. [`DeskConfig::new`] fills in everything that has a sensible default.
#[derive(Clone, Debug)]
pub struct DeskConfig {
    /// Port 0 takes a free port; [`Desk::address`] tells which.
    pub listen: SocketAddr,
    /// `http://host:port` of the broker.
    pub broker: String,
    pub database: Database,
    /// After this long without an answer, what the broker did is unknown.
    pub broker_timeout: Duration,
    /// How often the desk asks about orders whose fate is unknown.
    pub settle_interval: Duration,
    /// The limits of accounts that are opened from now on.
    pub limits: Limits,
    pub quote_interval: Duration,
    /// A quote stream ends after this many events.
    pub quote_events_max: u64,
    /// A fault for others to find: nobody of this tier (`x-tier`) can place an order.
    pub fault_tier: Option<String>,
}

impl DeskConfig {
    pub fn new(listen: SocketAddr, broker: impl Into<String>, database: Database) -> Self {
        Self {
            listen,
            broker: broker.into(),
            database,
            broker_timeout: Duration::from_secs(1),
            settle_interval: Duration::from_secs(1),
            limits: Limits {
                contracts_max: 10_000,
                notional_max: Price::from_units(100_000_000),
            },
            quote_interval: Duration::from_millis(250),
            quote_events_max: 240,
            fault_tier: None,
        }
    }
}

/// Why a desk could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error("listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("use the broker's address")]
    Broker(#[from] BadOrigin),
    #[error("open the order book")]
    Store(#[from] StoreError),
}

/// A running desk; it ends when it is stopped or dropped.
#[derive(Debug)]
pub struct Desk {
    server: Server,
    settling: JoinSet<()>,
    app: Arc<App>,
}

/// What every request has at hand.
#[derive(Debug)]
struct App {
    store: Store,
    broker: Broker,
    broker_timeout: Duration,
    limits: Limits,
    quote_interval: Duration,
    quote_events_max: u64,
    fault_tier: Option<String>,
}

/// Opens the database, listens, and serves on the current tokio runtime. The broker need not be there yet.
///
/// # Errors
/// When the broker's address makes no sense, the database cannot be opened, or the address is taken.
pub async fn start(config: DeskConfig) -> Result<Desk, DeskError> {
    let app = Arc::new(App {
        broker: Broker::new(&config.broker, config.broker_timeout)?,
        store: Store::open(&config.database).await?,
        broker_timeout: config.broker_timeout,
        limits: config.limits,
        quote_interval: config.quote_interval,
        quote_events_max: config.quote_events_max,
        fault_tier: config.fault_tier,
    });
    let shared = Arc::clone(&app);
    let service = service_fn(move |request| {
        let app = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(http::answer(app, request).await) }
    });
    let address = config.listen;
    let server = Server::start(address, service)
        .await
        .map_err(|source| DeskError::Listen { address, source })?;
    let settler = Arc::clone(&app);
    let mut settling = JoinSet::new();
    settling.spawn(async move { settle::run(&settler, config.settle_interval).await });
    Ok(Desk {
        server,
        settling,
        app,
    })
}

impl Desk {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Finishes the requests that are being served, then closes the database.
    pub async fn stop(mut self) {
        self.settling.shutdown().await;
        self.server.stop().await;
        if let Some(app) = Arc::into_inner(self.app) {
            app.store.close().await;
        }
    }
}
