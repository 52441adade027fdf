//! The proxies, side by side: one file each, and one line here.
//!
//! What is set is what a careful owner would set for this use, and the same for all: one worker, kept connections on
//! both sides without a limit on the requests they carry, HTTP/1.1 to the origin, no access log. The peers have none
//! of our policies switched on beyond their own defaults; ours has all of them.

mod envoy;
mod haproxy;
mod nginx;
mod plimsoll;

use super::setting::{Launch, Setting};
use super::tools::Tools;

pub(crate) use plimsoll::{BARE, COUNTING, policy_named, rewrite};

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Writes its configuration and says how to start it in the foreground.
    pub(crate) launch: fn(&Tools, &Setting<'_>) -> anyhow::Result<Launch>,
    /// The arguments that make it print its version.
    pub(crate) version: &'static [&'static str],
}

/// Every proxy, in the order of the report.
pub(crate) const PEERS: &[Peer] = &[plimsoll::PEER, haproxy::PEER, nginx::PEER, envoy::PEER];
