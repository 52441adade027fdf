//! An options order desk.
#![allow(
    clippy::disallowed_methods,
    reason = "an ordinary service uses the ordinary clock and runtime; the ban is for code that is simulated"
)]
#![allow(dead_code, reason = "the HTTP side, which calls the store, is the next step")]
pub mod domain;
mod store;
mod timestamp;
pub use store::{Database, StoreError};
