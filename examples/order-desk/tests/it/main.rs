//! The desk as its clients meet it: over real sockets, with a broker that can be put in any mood.
#![allow(
    clippy::disallowed_methods,
    reason = "tests of an ordinary service use the ordinary clock and runtime"
)]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod broker_trouble;
mod load;
mod orders;
mod program;
mod quotes;
mod restarts;
mod world;
