//! Seeded simulation of the whole gateway.
//!
//! The real gateway (its build, its core, its reconcilers) runs on a simulated host, with simulated clients in front
//! and simulated endpoints behind it. A seed decides everything: which faults exist, when they happen, what is asked
//! and how the dice of the gateway fall. The same seed gives the same [trace](trace), in every process; README.md
//! says what that rests on.
//!
//! A run has four phases. In the *storm* faults happen, and only safety is promised. Then all faults are off and the
//! gateway *settles*. In the *calm* every request must be good. In the *quiet* nothing is asked, and all that was
//! held must be let go. [`properties`] are checked over the trace and the gateway's own readings.
#![allow(
    clippy::disallowed_methods,
    reason = "clients, endpoints and the owner of the gateway are the world outside; in it tasks are spawned freely"
)]

mod client;
mod endpoint;
mod frost;
mod nat;
mod panics;
mod parcel;
pub mod properties;
mod proxy;
mod run;
pub mod swarm;
pub mod trace;
mod weather;
mod world;

pub use proxy::{Reading, Readings};
pub use run::{Run, each, run};
