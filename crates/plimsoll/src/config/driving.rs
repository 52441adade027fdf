//! What starts and stops the versions of an upstream, as it was resolved.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::value::pattern::{Filling, Pattern, Variable};

/// See the module's header.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DriverConfig {
    /// Where a version is found; without it a deploy has to say.
    pub(crate) at: Option<Pattern>,
    /// Of which `{port}` in it is one.
    pub(crate) ports: Option<RangeInclusive<u16>>,
    /// How long a version may take to end before it is killed.
    pub(crate) stop_within: Duration,
    pub(crate) way: Driving,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Driving {
    Process(ProcessConfig),
    Hooks(HooksConfig),
}

/// Versions as children of this process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ProcessConfig {
    /// The program first.
    pub(crate) command: Vec<Pattern>,
    pub(crate) directory: Option<Pattern>,
    pub(crate) environment: Vec<Variable>,
    /// Names of variables of our own environment.
    pub(crate) pass: Vec<String>,
}

/// Versions that others run, and programs that tell them to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HooksConfig {
    pub(crate) start: Vec<Pattern>,
    pub(crate) stop: Vec<Pattern>,
    /// Exits with 0 if a version runs.
    pub(crate) running: Option<Vec<Pattern>>,
    /// How long each may take.
    pub(crate) within: Duration,
    /// Only whoever leads calls them; otherwise everybody does, each for its own host.
    pub(crate) by_leader: bool,
}

impl DriverConfig {
    /// Where a version is to be found; `free` says whether a port is. `None` if nothing says where, or every port is taken.
    pub(crate) fn place(&self, upstream: &str, version: &str, free: impl Fn(u16) -> bool) -> Option<String> {
        let at = self.at.as_ref()?;
        let port = match &self.ports {
            Some(ports) if at.has("{port}") => ports.clone().find(|port| free(*port))?.to_string(),
            _ => String::new(),
        };
        Some(at.fill(Filling {
            upstream,
            version,
            endpoint: "",
            port: &port,
        }))
    }
}
