//! `plimsoll demo`.

use std::net::SocketAddr;
use std::time::Duration;

use super::Exit;

/// Show a service, a gateway and an incident, all in one process.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Where to listen for traffic.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Where operators look.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900")]
    pub(crate) admin: SocketAddr,
    /// End after this time instead of at Ctrl-C.
    #[arg(long = "for", value_name = "DURATION", value_parser = crate::config::flag::<Duration>)]
    pub(crate) duration: Option<Duration>,
    /// Do not wait between the scenes.
    #[arg(long)]
    pub(crate) fast: bool,
}

/// Shows it.
///
/// # Errors
/// An address is taken, or the terminal is gone.
pub(super) fn run(args: &DemoArgs) -> anyhow::Result<Exit> {
    crate::demo::run(args)?;
    Ok(Exit::Good)
}
