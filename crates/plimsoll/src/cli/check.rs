//! `plimsoll check`: is the file right, and what would change?

use std::fmt::Write;
use std::path::PathBuf;

use gateway::plan::{MemoryPlan, Plan};

use super::{Exit, print};
use crate::config::{Config, Scalar, Size, shown};
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
    text.push_str(&worst_case(plan));
    print(&text)
}

/// A note if callers at their worst could make us hold more than `limits.memory`. Only where a size was written down:
/// the defaults bear many times more connections than any machine could serve at their worst, and say so nowhere.
fn worst_case(plan: &Plan) -> String {
    match plan.memory {
        MemoryPlan::Bytes(limit) if plan.bytes_max() > limit => format!(
            "note: with every connection and stream at its worst, {} could be held, more than limits.memory, {}: new \
             work is refused before that\n",
            Scalar::render(&Size(rounded(plan.bytes_max()))),
            Scalar::render(&Size(limit)),
        ),
        _ => String::new(),
    }
}

/// Whole mebibytes: no more is meant.
fn rounded(bytes: u64) -> u64 {
    bytes >> 20 << 20
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
