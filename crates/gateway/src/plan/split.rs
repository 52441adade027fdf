//! Two versions of one service, between which its requests are split.

use std::sync::Arc;
use std::time::Duration;

use super::WalkKey;

/// See the module's header. What share each gets is no part of the plan: it is set while the plan runs, see
/// [`Split`](crate::splits::Split).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitPlan {
    /// The change that it is for: unique, and the salt by which keys are drawn, so that they are others in each change.
    pub change: Arc<str>,
    /// The name of the upstream that routes lead to.
    pub stable: Arc<str>,
    /// The name of the upstream that may replace it.
    pub candidate: Arc<str>,
    /// Requests with the same of these keep to one version; `None` splits each by itself.
    pub key: Option<WalkKey>,
    /// What takes longer than each of these is slow: the stable version's median, 90th and 99th percentile, from before
    /// the change. `None` if they are not known.
    pub slow: Option<[Duration; 3]>,
}
