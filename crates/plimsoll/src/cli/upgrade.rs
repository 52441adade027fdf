//! `plimsoll upgrade`: has a running Plimsoll start its program once more and leave its sockets to it.

use std::time::Duration;

use http::Method;

use super::asking::{PortArgs, detail, unreachable};
use super::{Exit, print};
use crate::upgrade;

/// More than `upgrade_max` can be: whoever is asked has the answer, if only that it took too long.
const UPGRADE_MAX: Duration = Duration::from_mins(6);

/// Have a running Plimsoll start its program anew and leave its sockets to it: no connection is lost.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    port: PortArgs,
}

/// Has a new process take over, and prints which, or why none did.
///
/// # Errors
/// The output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let (status, answer) = match args.port.ask(Method::POST, "/upgrade", UPGRADE_MAX) {
        Ok(answered) => answered,
        Err(error) => return Ok(unreachable(&error)),
    };
    let pid = answer["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    if let Some(pid) = pid.filter(|_| status.is_success()) {
        return print(&upgrade::taken_over(pid));
    }
    super::complain(&format!("plimsoll: {}", detail(&answer)));
    Ok(Exit::Refused)
}
