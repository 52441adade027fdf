//! What a change does, by its kind, and how it is judged.

use std::time::Duration;

use change::Change;
use gateway::plan::WalkKey;
use serde::{Deserialize, Serialize};

use super::versions::Deploy;
use crate::config;
use crate::flags::edit::Edit;

/// How a change is judged, in the words of the ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judged {
    /// What requests that keep to one side have in common, as for a journey.
    pub(crate) key: Option<String>,
    /// Microseconds beyond which a request is slow: the median and the 90th and 99th percentile of before, and what nobody
    /// notices.
    pub(crate) slow_us: Option<[u64; 3]>,
    pub(crate) alpha: f64,
    pub(crate) tolerated: f64,
    pub(crate) tolerated_slow: f64,
    /// The share of its requests that an objective allows to fail.
    pub(crate) allowed: Option<f64>,
}

impl Judged {
    pub(crate) fn key(&self) -> Option<WalkKey> {
        config::flag(self.key.as_deref()?).ok()
    }

    pub(crate) fn slow(&self) -> Option<[Duration; 3]> {
        self.slow_us.map(|slow| slow.map(Duration::from_micros))
    }
}

/// What a change does.
#[derive(Clone, Debug)]
pub(crate) enum What {
    Deploy(Deploy),
    Flag(Edit),
}

impl What {
    /// `None` if it is of a release that says it otherwise.
    pub(crate) fn of(change: &Change) -> Option<Self> {
        let deploy = || Deploy::of(change).map(Self::Deploy);
        deploy().or_else(|| Edit::of(change).map(Self::Flag))
    }

    pub(crate) fn judged(&self) -> Judged {
        match self {
            Self::Deploy(deploy) => deploy.judged(),
            Self::Flag(edit) => edit.judged.clone(),
        }
    }

    /// The upstreams whose requests tell what becomes of it.
    pub(crate) fn upstreams(&self) -> Vec<&str> {
        match self {
            Self::Deploy(deploy) => vec![&deploy.upstream],
            Self::Flag(edit) => edit.upstreams.iter().map(String::as_str).collect(),
        }
    }

    /// `None` if it brings no version.
    pub(crate) fn deploy(&self) -> Option<&Deploy> {
        match self {
            Self::Deploy(deploy) => Some(deploy),
            Self::Flag(_) => None,
        }
    }
}
