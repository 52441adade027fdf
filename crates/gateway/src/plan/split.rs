//! Requests that are split between two of something, so that the two can be compared.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_policy::Bucketing;

use super::WalkKey;

/// See the module's header. What share each gets is no part of the plan: it is set while the plan runs, see
/// [`Split`](crate::splits::Split).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitPlan {
    /// The change that it is for: unique, and the salt by which keys are drawn, so that they are others in each change.
    pub change: Arc<str>,
    /// What is split.
    pub between: Between,
    /// Requests with the same of these keep to one side; `None` splits each by itself.
    pub key: Option<WalkKey>,
    /// What takes longer than each of these is slow: what the stable side's median, 90th and 99th percentile were before
    /// the change. `None` if they are not known.
    pub slow: Option<[Duration; 3]>,
}

/// What a [`SplitPlan`] splits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Between {
    /// Two versions of one service: requests are sent to one or the other.
    Versions {
        /// The name of the upstream that routes lead to.
        stable: Arc<str>,
        /// The name of the upstream that may replace it.
        candidate: Arc<str>,
    },
    /// Two settings of a flag that the service evaluates itself: requests go where they went, and which setting one gets
    /// follows from its key, as it does in the service.
    Flag {
        /// The upstreams whose requests are told apart.
        upstreams: Vec<Arc<str>>,
        /// How keys are drawn, by the flag's definition.
        bucketing: Bucketing,
    },
}

impl SplitPlan {
    /// The names of all upstreams that it is about.
    pub fn upstreams(&self) -> Vec<&Arc<str>> {
        match &self.between {
            Between::Versions { stable, candidate } => vec![stable, candidate],
            Between::Flag { upstreams, .. } => upstreams.iter().collect(),
        }
    }

    /// The names of the two versions, if that is what is split: the stable one first.
    pub fn versions(&self) -> Option<(&Arc<str>, &Arc<str>)> {
        match &self.between {
            Between::Versions { stable, candidate } => Some((stable, candidate)),
            Between::Flag { .. } => None,
        }
    }
}
