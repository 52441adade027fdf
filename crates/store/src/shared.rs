//! What several processes count together, each in a row of its own.

use std::sync::Arc;

/// What one process has counted of a part of something, in a form that only those who share it read: the latest takes the
/// place of what it has said before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// What it is about: a change.
    pub about: Arc<str>,
    /// Which part of it.
    pub part: u32,
    /// The process.
    pub instance: Arc<str>,
    /// How much it has counted: what says less is older.
    pub said: u64,
    /// Of up to [`BODY_MAX`](crate::BODY_MAX) bytes.
    pub body: Arc<[u8]>,
}
