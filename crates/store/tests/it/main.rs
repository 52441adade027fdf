//! Every store is held to the same contract.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod care;
mod contract;
mod postgres;
mod sqlite;
