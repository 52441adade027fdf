//! `plimsoll status`: its arguments.

use std::path::PathBuf;

/// Say how a running Plimsoll is.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Its admin port.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900")]
    pub(crate) admin: String,
    /// For programs.
    #[arg(long)]
    pub(crate) json: bool,
    /// File with the token of the admin port.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
}
