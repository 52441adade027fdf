//! The data plane: it listens, protects, forwards and counts.
//!
//! Thread per core: every core has its own sockets, connections and counters, and asks the pure policies of
//! `plimsoll-policy` about each request, in the order that [`pipeline`] reads. What cores share is in [`upstream`]
//! and [`running`]; what they may touch of the world outside comes from [`env::Env`].

mod abreast;
pub mod admission;
mod attempt;
mod attempts;
mod body;
mod connection;

mod entering;
pub mod env;
pub mod event;
mod fields;
mod framing;
#[cfg(any(test, feature = "fuzzed"))]
pub mod fuzzed;
mod gateway;
pub mod hedging;
mod http1;
mod http2;
mod identity;
mod inherited;
mod journeys;
pub mod ledger;
mod memory;
mod message;
pub mod objectives;
mod outgoing;
mod passed;
mod percore;
mod pipeline;
mod places;
pub mod plan;
mod pool;
mod race;
mod rates;
pub mod reconcile;
mod respond;
mod route;
pub mod running;
pub mod splits;
mod ticket;
mod tls;
mod upgrade;
pub mod upstream;
mod versioned;
mod websocket;
mod wire;

pub use gateway::{CoreSeat, Gateway, Phase};
pub use identity::Trace;
pub use inherited::{Handed, Inherited};
pub use journeys::JoinReading;
pub use plan::Plan;
pub use route::{Found, RouteError, RouteTable};
pub use running::{ApplyError, Running};
pub use tls::{Acceptor, Connector, TlsError, client as tls_client};
