//! `plimsoll slo`: objectives, as they stand and for others.

use std::fmt::Write as _;
use std::path::PathBuf;

use http::Method;
use serde_json::Value;

use super::asking::{PortArgs, say};
use super::{Exit, print};
use crate::config::Config;
use crate::export::prometheus;

/// Look at objectives, and take them elsewhere.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the objectives of a running Plimsoll, with their verdicts.
    List {
        #[command(flatten)]
        port: PortArgs,
    },
    /// Show all that a running Plimsoll knows of one, as JSON.
    Show {
        #[command(flatten)]
        port: PortArgs,
        /// The objective.
        name: String,
    },
    /// Write the objectives of a configuration in the language of somebody else.
    Export {
        /// Recording and alerting rules for Prometheus.
        #[arg(long, value_parser = ["prometheus"], default_value = "prometheus")]
        format: String,
        /// The configuration; `-` is standard input.
        file: PathBuf,
    },
}

/// Does it.
///
/// # Errors
/// The configuration is wrong, it is refused, or the output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.what {
        What::List { port } => say(port, Method::GET, "/objectives", None, list),
        What::Show { port, name } => {
            let path = format!("/objectives/{name}");
            say(port, Method::GET, &path, None, |answer| format!("{answer:#}\n"))
        }
        What::Export { format: _, file } => print(&prometheus::rules(&Config::load(file)?.objectives)),
    }
}

fn list(answer: &Value) -> String {
    let mut text = String::new();
    for objective in answer["objectives"].as_array().into_iter().flatten() {
        let field = |name: &str| objective[name].as_str().unwrap_or("-");
        // Writing to a String cannot fail.
        _ = writeln!(
            text,
            "{:<24}  {:<8}  {:<7}  {:<10}  {}",
            field("name"),
            field("state"),
            field("calls"),
            field("policy"),
            field("sentence")
        );
    }
    if text.is_empty() {
        "no objective\n".to_owned()
    } else {
        text
    }
}
