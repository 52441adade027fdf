//! The layers as their users see them: what is asked of a service, what it gets to see, and what is held meanwhile.
//! Time is paused wherever somebody waits.
#![allow(clippy::disallowed_methods)] // a test stands outside the layers' Env: it is the world
#![allow(clippy::unwrap_used)] // clippy lets test functions unwrap, but not the helpers between them
#![allow(clippy::float_cmp)] // balances of budgets are whole tokens here

mod allocation;
mod answers;
mod dropping;
mod examples;
mod hedge;
mod hops;
mod idle;
mod limit;
mod replay;
mod service;
mod sharing;
mod vectors;
