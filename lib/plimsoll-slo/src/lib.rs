//! The judge.
//!
//! Everything Plimsoll knows about a service it learns from *outcomes*: what became of one event, and how long
//! it took. This crate holds the words ([`Outcome`], [`Reason`], [`Class`]), what is kept of them
//! ([`Tally`], [`Histogram`]), and what is said of the bad ones ([`Problem`]). It is pure: no clock, no dice, no I/O, no runtime, no dependency. Time is an
//! argument ([`Instant`]).

mod histogram;
mod outcome;
mod problem;
mod reason;
mod tally;
mod time;

pub use histogram::{Histogram, HistogramSnapshot};
pub use outcome::{Class, Outcome, classify_grpc, classify_http};
pub use problem::Problem;
pub use reason::{Blame, Delivered, Reason, ReasonInfo, RetrySafety};
pub use tally::{Tally, TallySnapshot};
pub use time::Instant;
