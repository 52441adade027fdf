//! `plimsoll check`: is the file right, and what would change?

use std::fmt::Write;
use std::path::PathBuf;

use super::{Exit, print};
use crate::config::{Config, shown};
use crate::reload;

/// Report everything that is wrong with a configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The configuration; `-` is standard input.
    #[arg(default_value = "plimsoll.yaml")]
    file: PathBuf,
    /// Show what changes from this configuration to FILE.
    #[arg(long, value_name = "OLD")]
    diff: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let config = Config::load(&args.file)?;
    let mut text = match &args.diff {
        Some(old) => {
            let old = Config::load(old)?;
            let (changes, at_next_start) = (old.changes(&config), old.at_next_start(&config));
            let changes = if changes.is_empty() {
                "nothing changes\n".to_owned()
            } else {
                changes.join("\n") + "\n"
            };
            changes + &reload::waiting(&at_next_start)
        }
        None => String::new(),
    };
    let plan = &config.plan;
    let routes = plan.listeners.iter().map(|listener| listener.routes.len()).sum();
    let (listeners, routes) = (
        counted(plan.listeners.len(), "listener"),
        counted(routes, "route"),
    );
    let upstreams = counted(plan.upstreams.len(), "upstream");
    writeln!(
        text,
        "{} is right: {listeners}, {routes}, {upstreams}",
        shown(&args.file)
    )?;
    print(&text)
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
