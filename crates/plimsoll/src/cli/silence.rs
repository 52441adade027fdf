//! `plimsoll silence`: nobody is told of an objective for a while.

use std::fmt::Write as _;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::Exit;
use super::asking::{AuthorArgs, PortArgs, listed, say};
use crate::config;

/// Have nobody told of an objective for a while. Alerts open and close as ever.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List silences, the latest first.
    List {
        #[command(flatten)]
        port: PortArgs,
    },
    /// Begin one.
    Set {
        #[command(flatten)]
        port: PortArgs,
        #[command(flatten)]
        author: AuthorArgs,
        /// An objective, or the beginning of its name and `*`.
        objective: String,
        /// For how long, up to 30 days.
        #[arg(long = "for", value_name = "DURATION", value_parser = config::flag::<Duration>)]
        length: Duration,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// End one before its time.
    End {
        #[command(flatten)]
        port: PortArgs,
        #[command(flatten)]
        author: AuthorArgs,
        /// The silence, as `list` shows it.
        id: String,
    },
}

/// Asks, and prints what comes.
///
/// # Errors
/// It refuses, or the output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.what {
        What::List { port } => say(port, Method::GET, "/silences", None, list),
        What::Set {
            port,
            author,
            objective,
            length,
            reason,
        } => {
            let minutes = length.as_secs().div_ceil(60);
            let body = json!({ "objective": objective, "minutes": minutes, "reason": reason, "author": author.name() });
            say(port, Method::POST, "/silences", Some(&body), line)
        }
        What::End { port, author, id } => {
            let body = json!({ "author": author.name() });
            say(
                port,
                Method::DELETE,
                &format!("/silences/{id}"),
                Some(&body),
                line,
            )
        }
    }
}

fn list(answer: &Value) -> String {
    listed(answer, "silences", "no silence\n", line)
}

fn line(silence: &Value) -> String {
    let field = |name: &str| silence[name].as_str().unwrap_or("-").to_owned();
    let holds = if silence["holds"] == true {
        "until"
    } else {
        "ended"
    };
    let mut text = String::new();
    // Writing to a String cannot fail.
    _ = writeln!(
        text,
        "{}  {}  {holds} {}  {}: {}",
        field("id"),
        field("objective"),
        field("until"),
        field("author"),
        field("reason")
    );
    text
}
