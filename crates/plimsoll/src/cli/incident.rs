//! `plimsoll incident`: what happened, who is at it, and that it is over.

use std::fmt::Write as _;

use http::Method;
use serde_json::{Value, json};

use super::asking::{AuthorArgs, PortArgs, detail, say, unreachable};
use super::{Exit, print};
use crate::admin::ask::ASK_MAX;
use crate::civil;

/// Look at incidents of a running Plimsoll, and work on them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List incidents, the latest first, and how long they took.
    List {
        #[command(flatten)]
        port: PortArgs,
    },
    /// Show one with its timeline.
    Show {
        #[command(flatten)]
        one: One,
    },
    /// Say that somebody is at it.
    Ack {
        #[command(flatten)]
        one: One,
    },
    /// Add a line to its timeline.
    Note {
        #[command(flatten)]
        one: One,
        /// What is to be remembered.
        text: String,
    },
    /// Say that nobody is hurt any more.
    Mitigate {
        #[command(flatten)]
        one: One,
    },
    /// Say that it is over.
    Resolve {
        #[command(flatten)]
        one: One,
    },
    /// Write a draft in Markdown, of facts only.
    Postmortem {
        #[command(flatten)]
        one: One,
    },
}

#[derive(Debug, clap::Args)]
struct One {
    #[command(flatten)]
    port: PortArgs,
    #[command(flatten)]
    author: AuthorArgs,
    /// The incident, such as `checkout-7`.
    id: String,
}

/// Asks, and prints what comes.
///
/// # Errors
/// It refuses, or the output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let (one, verb, more) = match &args.what {
        What::List { port } => return say(port, Method::GET, "/incidents", None, list),
        What::Show { one } => return say(&one.port, Method::GET, &one.path(""), None, show),
        What::Postmortem { one } => return postmortem(one),
        What::Ack { one } => (one, "/acknowledge", json!({})),
        What::Note { one, text } => (one, "/notes", json!({ "text": text })),
        What::Mitigate { one } => (one, "/mitigate", json!({})),
        What::Resolve { one } => (one, "/resolve", json!({})),
    };
    let mut body = more;
    body["author"] = one.author.name().into();
    say(&one.port, Method::POST, &one.path(verb), Some(&body), show)
}

impl One {
    fn path(&self, verb: &str) -> String {
        format!("/incidents/{}{verb}", self.id)
    }
}

fn postmortem(one: &One) -> anyhow::Result<Exit> {
    let path = format!("{}{}", crate::api::ROOT, one.path("/postmortem"));
    let (status, answer) = match one.port.send(Method::GET, &path, None, ASK_MAX) {
        Ok(answered) => answered,
        Err(error) => return Ok(unreachable(&error)),
    };
    if !status.is_success() {
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        return Ok(unreachable(&anyhow::anyhow!("{}", detail(&answer))));
    }
    print(&String::from_utf8_lossy(&answer))
}

fn list(answer: &Value) -> String {
    let incidents = answer["incidents"].as_array().map_or(&[][..], Vec::as_slice);
    if incidents.is_empty() {
        return "no incident\n".to_owned();
    }
    let mut text = String::new();
    for incident in incidents {
        let field = |name: &str| incident[name].as_str().unwrap_or("-").to_owned();
        // Writing to a String cannot fail.
        _ = writeln!(
            text,
            "{:<24}  {:<12}  began {}  mitigated after {}",
            field("id"),
            field("phase"),
            field("began_at"),
            civil::span(incident["to_mitigate_ms"].as_u64())
        );
    }
    for (name, words) in [
        ("to_detect", "detected"),
        ("to_mitigate", "mitigated"),
        ("to_resolve", "resolved"),
    ] {
        let clock = &answer["clocks"][name];
        let (count, median, p90) = (
            &clock["count"],
            civil::span(clock["median_ms"].as_u64()),
            civil::span(clock["p90_ms"].as_u64()),
        );
        _ = writeln!(text, "{words} after {median} (median of {count}), {p90} (p90)");
    }
    text
}

fn show(incident: &Value) -> String {
    let field = |name: &str| incident[name].as_str().unwrap_or("-").to_owned();
    let objectives = incident["objectives"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let objectives: Vec<&str> = objectives.collect();
    let mut text = format!(
        "{} is {}: {}\nbegan {}, detected after {}, mitigated after {}, resolved after {}\n\n",
        field("id"),
        field("phase"),
        objectives.join(", "),
        field("began_at"),
        civil::span(incident["to_detect_ms"].as_u64()),
        civil::span(incident["to_mitigate_ms"].as_u64()),
        civil::span(incident["to_resolve_ms"].as_u64())
    );
    for line in incident["timeline"].as_array().into_iter().flatten() {
        let part = |name: &str| line[name].as_str().unwrap_or_default();
        _ = writeln!(text, "{}  {}: {}", part("at"), part("author"), part("text"));
    }
    text
}
