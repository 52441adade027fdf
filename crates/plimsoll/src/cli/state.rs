//! `plimsoll state`: the file that outlives a restart, looked at, copied and put back.

use std::path::PathBuf;

use store::care::{self, Found};

use super::{Exit, print};
use crate::civil;

/// Look at the state file, copy it, put a copy back.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say whether a state file is whole, and what is in it. It may be in use.
    Check {
        /// The state file.
        file: PathBuf,
    },
    /// Copy a state file as it is at one moment, while Plimsoll runs.
    Backup {
        /// The state file.
        file: PathBuf,
        /// What the copy is to be called; there must be nothing of that name.
        to: PathBuf,
    },
    /// Put a copy in the place of a state file, while no Plimsoll runs. The one before is kept beside it.
    Restore {
        /// The copy.
        from: PathBuf,
        /// The state file.
        file: PathBuf,
    },
}

/// Does it.
///
/// # Errors
/// The file is not there, in use or damaged, or the copy cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.what {
        What::Check { file } => {
            let found = care::check(file)?;
            print(&said(&found))?;
            Ok(if found.problems.is_empty() {
                Exit::Good
            } else {
                Exit::Failed
            })
        }
        What::Backup { file, to } => {
            let found = care::backup(file, to)?;
            print(&format!("{} is a copy: {}", to.display(), said(&found)))
        }
        What::Restore { from, file } => {
            let (found, kept) = care::restore(from, file)?;
            let kept = kept.map(|kept| format!("the one before is {}\n", kept.display()));
            print(&format!(
                "{} is put back: {}{}",
                file.display(),
                said(&found),
                kept.unwrap_or_default()
            ))
        }
    }
}

fn said(found: &Found) -> String {
    if !found.problems.is_empty() {
        return format!("it is not whole\n{}\n", found.problems.join("\n"));
    }
    let minute = |minute: u64| civil::moment(60_000 * minute);
    let span = found
        .span
        .map(|(first, last)| format!(", from {} to {}", minute(first), minute(last)));
    format!(
        "it is whole: schema {}, {} minutes of {} objectives{}, {} facts\n",
        found.schema,
        found.minutes,
        found.objectives,
        span.unwrap_or_default(),
        found.facts
    )
}
