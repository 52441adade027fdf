//! `plimsoll completions`: for the shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Exit, print};

/// Print the completion script of a shell.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    shell: Shell,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "plimsoll", &mut script);
    print(&String::from_utf8_lossy(&script))
}
