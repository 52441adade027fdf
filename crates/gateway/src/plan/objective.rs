//! What counts, and when it is good.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

/// What counts for an objective, or for something that is watched beside them. What is asked of it is the judge's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectivePlan {
    /// Unique among objectives and what is watched; a label.
    pub name: Arc<str>,
    /// The routes whose requests count, each by the name of its listener and its own.
    pub routes: Vec<(Arc<str>, Arc<str>)>,
    /// The tier whose requests count; `None` for all of them.
    pub tier: Option<Arc<str>>,
    /// When one is good.
    pub good: Good,
    /// Several requests are one event; `None` if each is one.
    pub walk: Option<WalkPlan>,
}

/// Requests of several routes that are one event: a journey of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkPlan {
    /// What the requests of one have in common.
    pub key: WalkKey,
    /// The routes that end one, like [`ObjectivePlan::routes`] and among them.
    pub ends: Vec<(Arc<str>, Arc<str>)>,
    /// How long one may take, from its first request on.
    pub within: Duration,
}

/// What requests of one journey have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WalkKey {
    /// Their trace.
    Trace,
    /// The value of a header.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(Arc<str>),
}

/// When a request is good. One that is excluded counts neither way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Good {
    /// When the service did its work, for a caller who was right or wrong: as it is classed, if the last byte of its
    /// answer took no longer than this.
    Served {
        /// See above.
        latency_max: Option<Duration>,
    },
    /// When its answer does not blame the caller. Of those that are bad by themselves nothing is said.
    Blameless,
    /// When the caller got what it asked for: served, and not blamed.
    Succeeded,
    /// When it can be seen so soon after it was committed. No request is: such events are reported.
    Seen {
        /// See above.
        within: Duration,
    },
}

impl ObjectivePlan {
    /// The time that an answer may take, if that is bounded.
    pub const fn latency_max(&self) -> Option<Duration> {
        match self.good {
            Good::Served { latency_max } => latency_max,
            Good::Blameless | Good::Succeeded | Good::Seen { .. } => None,
        }
    }
}
