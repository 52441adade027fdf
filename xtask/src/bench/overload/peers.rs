//! The proxies under overload: each set up as an owner would who knows the service.
//!
//! All of them are told that callers wait for a second, look after the health of endpoints every two seconds, keep
//! connections on both sides, run one worker and write no access log. What protects the service is each proxy's own:
//! its file here says which and why. Without a proxy, callers talk to the service itself.

mod envoy;
mod haproxy;
mod plimsoll;

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Programs;
use crate::bench::setting::Launch;

/// How long callers wait, in the words of the configurations.
const PATIENCE: &str = "1s";

/// Where a proxy stands.
#[derive(Debug)]
pub(crate) struct Site<'a> {
    pub(crate) listen: u16,
    pub(crate) admin: u16,
    /// For the calls of the service, if there is a dependency.
    pub(crate) egress: u16,
    pub(crate) services: &'a [u16],
    /// Requests that one endpoint of the service works on at once.
    pub(crate) workers: usize,
    pub(crate) dependency: Option<u16>,
    pub(crate) retrying: Retrying,
    pub(crate) directory: &'a Path,
}

/// What ours is told about retries; the others stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retrying {
    /// As it is without a word about them.
    AsShipped,
    /// With this budget in hundredths, and nothing else that would keep a retry from the service.
    Alone(u32),
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Writes its configuration and says how to start it in the foreground; `None` for no proxy at all.
    pub(crate) launch: Option<fn(&Programs, &Site<'_>) -> anyhow::Result<Launch>>,
    /// The arguments that make it print its version.
    pub(crate) version: &'static [&'static str],
}

pub(crate) const OURS: &str = "plimsoll";
pub(crate) const DIRECT: &str = "no proxy";

/// Every peer, in the order of the report.
pub(crate) const PEERS: &[Peer] = &[
    plimsoll::PEER,
    haproxy::PEER,
    envoy::PEER,
    Peer {
        name: DIRECT,
        launch: None,
        version: &[],
    },
];

impl Site<'_> {
    fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }

    fn endpoints(&self) -> Value {
        self.services
            .iter()
            .map(|port| json!(format!("http://127.0.0.1:{port}")))
            .collect()
    }
}
