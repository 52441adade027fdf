//! Feature flags in flagd's format.
//!
//! A [`FlagSet`] is compiled from definitions once and evaluated for a [`Context`] often. It is pure: no clock (the
//! time is an argument), no dice, no I/O, no lock, and no allocation for a flag without a rule.
//!
//! - [`FlagSet::compile`] tells all [`Problem`]s of definitions, each with its place; what is taken but can hardly be
//!   meant is among [`FlagSet::doubts`].
//! - [`Bucketing`] names which of flagd's three ways to hash a key holds for a set. It decides who is in a rollout, and
//!   two evaluators of different generations agree on next to nobody.
//! - [`ramp`] serves a new definition to a part of the keys, [`slot`] says which key is in which part, and [`moved`]
//!   counts what an edit changes for whom.
//!
//! Where the official evaluators part, outside of bucketing, this one does what flagd itself does, in Go: an operand of
//! an odd kind fails the evaluation where JavaScript and Python would coerce it, `cat` trims, variables in `filter`,
//! `some` and `none` are looked up in the context first. The header of `rule.rs` has the whole list, and what is not
//! copied. Numbers are doubles throughout, so integers beyond 2⁵³ are not told apart, not even as keys in `v3`, where
//! the evaluators do not agree yet. A flag whose default variant is `""` has none, and a `targeting` of null is a rule
//! that chooses nothing.
//!
//! With the feature `openfeature`, the module `provider` serves a set to OpenFeature's SDK for Rust, in the process.
#![warn(missing_docs)]

mod cbor;
mod context;
mod evaluation;
mod flag;
mod moved;
mod problem;
#[cfg(feature = "openfeature")]
pub mod provider;
mod ramp;
mod rule;
mod set;

pub use context::Context;
pub use evaluation::{ErrorCode, Evaluation, Reason};
pub use flag::{Flag, Kind, State};
pub use moved::{Moved, moved};
pub use plimsoll_policy::{Bucketing, UnknownBucketing, slot};
pub use problem::Problem;
pub use ramp::ramp;
pub use set::FlagSet;
