//! `plimsoll init`: a configuration to begin with.

use std::path::PathBuf;

use super::{Exit, print};
use crate::config::{openapi, template};

/// Write a commented configuration to standard output.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Every key, not only those that most people need.
    #[arg(long, conflicts_with = "openapi")]
    full: bool,
    /// One route for each operation of an OpenAPI 3 description, in JSON or YAML.
    #[arg(long, value_name = "FILE")]
    openapi: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.openapi {
        Some(path) => print(&openapi::import(path)?),
        None => print(&template::template(args.full)),
    }
}
