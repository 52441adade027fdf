//! What happened and must not be forgotten.

use std::sync::Arc;

/// Bytes of a body. The longest that is ever written is what an alert knows, some kilobytes; more is a fault.
pub const BODY_MAX: usize = 64 << 10;

/// Something that happened: who saw or did what, about what. Never changed; what follows from all of them is a fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// Its own: one that is known already is left as it is.
    pub id: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub at: u64,
    /// What it is, such as `incident-opened`.
    pub kind: Arc<str>,
    /// What it is about.
    pub about: Arc<str>,
    /// A person, or a process.
    pub author: Arc<str>,
    /// JSON, of up to [`BODY_MAX`] bytes.
    pub body: Arc<str>,
}
