//! The gateway against real sockets: what a client sees, what an origin sees, and what is counted of it.
//!
//! [`world`] starts a gateway in three lines, [`origin`] is what stands behind it, [`client`] what stands in front.
//! In [`still`] there are no sockets and no waiting, where the time that something takes is what is tested.
#![allow(clippy::disallowed_methods)] // a test stands outside the gateway's Env: it is the world
#![allow(clippy::unwrap_used)] // clippy lets test functions unwrap, but not the helpers between them

mod admission;
mod certificates;
mod client;
mod edges;
mod failures;
mod faults;
mod framing;
mod grpc;
mod handover;
mod headers;
mod health;
mod hedging;
mod joined;
mod lifecycle;
mod memory;
mod oracle;
mod origin;
mod overload;
mod protocols;
mod reconcile;
mod retries;
mod secure;
mod slow;
mod splits;
mod still;
mod streams;
mod upgrade;
mod vectors;
mod world;
