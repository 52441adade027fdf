//! What was counted, by the minute.

use std::sync::Arc;

use plimsoll_slo::Counts;

/// What was counted: the name of an objective and, in a word that changes with it, what counts for it. Counts of
/// another route or at another threshold are none of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The objective's name.
    pub objective: Arc<str>,
    /// What counts for it.
    pub counted: Arc<str>,
}

/// A minute and what happened in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute {
    /// Counted from the Unix epoch.
    pub minute: u64,
    /// The events. SQL knows no more than 2⁶³ − 1 of each.
    pub counts: Counts,
    /// Seconds of it that were measured: 0 to 60.
    pub measured: u8,
}

/// What one instance has counted in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who counted: nobody else writes rows of this name.
    pub instance: Arc<str>,
    /// Of what.
    pub key: Key,
    /// When, and how much.
    pub minute: Minute,
}
