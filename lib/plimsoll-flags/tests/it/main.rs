//! Promises of the evaluator, against what flagd asks of its own and against chance.

mod allocation;
#[path = "../../benches/evaluations/flags.rs"]
mod flags;
#[cfg(feature = "openfeature")]
mod provider;
mod ramps;
mod random;
mod refusals;
mod schema;
mod testbed;
