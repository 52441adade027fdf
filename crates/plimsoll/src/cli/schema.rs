//! `plimsoll schema`: what the configuration may be, for editors and for the book.

use super::{Exit, print};
use crate::config::{reference, schema};

/// Print the JSON Schema of the configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The reference in the book instead, as Markdown.
    #[arg(long)]
    markdown: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.markdown {
        return print(&reference::markdown());
    }
    print(&format!("{:#}\n", schema::schema()))
}
