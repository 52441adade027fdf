//! `plimsoll flag`: what services ask for at run time, and how it is changed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use http::Method;
use serde_json::{Map, Value, json};

use super::Exit;
use super::asking::{AuthorArgs, PortArgs, listed, say};
use super::change::{self, HowArgs};
use crate::api::flags::moved_in_words;

/// See flags, try an edit, ramp it, or kill one.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List flags.
    List {
        #[command(flatten)]
        port: PortArgs,
    },
    /// Show one, with its definition.
    Show {
        #[command(flatten)]
        port: PortArgs,
        /// Its key.
        flag: String,
    },
    /// Evaluate one, and say why it is so.
    Evaluate {
        #[command(flatten)]
        port: PortArgs,
        /// Its key.
        flag: String,
        /// For whom: the targeting key.
        #[arg(long = "for", value_name = "KEY")]
        user: Option<String>,
        /// An attribute, such as `tier=gold`; what is no JSON is a text. Once for each.
        #[arg(long = "with", value_name = "NAME=VALUE", value_parser = attribute)]
        attributes: Vec<(String, Value)>,
    },
    /// Say how many users an edit would move, and change nothing.
    Preview {
        #[command(flatten)]
        port: PortArgs,
        #[command(flatten)]
        to: EditArgs,
        /// File with a context on each line, as JSON; without it 10,000 users are drawn, who have no attributes.
        #[arg(long, value_name = "FILE")]
        contexts: Option<PathBuf>,
    },
    /// Change one step by step, judged by the requests of those who have it.
    Ramp {
        #[command(flatten)]
        port: PortArgs,
        #[command(flatten)]
        author: AuthorArgs,
        #[command(flatten)]
        to: EditArgs,
        /// An upstream whose requests tell what becomes of it; once for each. Without it, all do.
        #[arg(long, value_name = "NAME")]
        upstream: Vec<String>,
        #[command(flatten)]
        how: HowArgs,
    },
    /// Turn one off at once, or give everybody one variant.
    Kill {
        #[command(flatten)]
        port: PortArgs,
        #[command(flatten)]
        author: AuthorArgs,
        /// Its key.
        flag: String,
        /// What everybody gets. Without it, the code's default.
        #[arg(long, value_name = "NAME")]
        variant: Option<String>,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// What a flag is to be.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false, id = "edit")]
struct EditKind {
    /// File with its definition, as JSON.
    #[arg(long, value_name = "FILE")]
    definition: Option<PathBuf>,
    /// What is everybody's but for whom its rule says otherwise.
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
}

#[derive(Debug, clap::Args)]
struct EditArgs {
    /// Its key.
    flag: String,
    #[command(flatten)]
    edit: EditKind,
}

impl EditArgs {
    fn body(&self) -> anyhow::Result<Value> {
        let definition = self.edit.definition.as_deref().map(read).transpose()?;
        Ok(json!({ "definition": definition, "variant": self.edit.variant }))
    }
}

fn read(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", file.display()))
}

fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("an attribute is NAME=VALUE, such as tier=gold")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

/// Where a flag is. Its key may have anything in it.
fn path(flag: &str, verb: &str) -> String {
    let key: String = flag.bytes().fold(String::new(), |mut key, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            key.push(char::from(byte));
        } else {
            _ = write!(key, "%{byte:02X}");
        }
        key
    });
    format!("/flags/{key}{verb}")
}

/// Asks, and prints what comes.
///
/// # Errors
/// A file cannot be read, or the output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.what {
        What::List { port } => say(port, Method::GET, "/flags", None, list),
        What::Show { port, flag } => say(port, Method::GET, &path(flag, ""), None, show),
        What::Evaluate {
            port,
            flag,
            user,
            attributes,
        } => {
            let mut context: Map<String, Value> = attributes.iter().cloned().collect();
            if let Some(user) = user {
                context.insert("targetingKey".to_owned(), json!(user));
            }
            let body = json!({ "context": context });
            say(
                port,
                Method::POST,
                &path(flag, "/evaluate"),
                Some(&body),
                evaluated,
            )
        }
        What::Preview { port, to, contexts } => {
            let mut body = to.body()?;
            if let Some(file) = contexts {
                body["contexts"] = lines(file)?;
            }
            say(
                port,
                Method::POST,
                &path(&to.flag, "/preview"),
                Some(&body),
                moved,
            )
        }
        What::Ramp {
            port,
            author,
            to,
            upstream,
            how,
        } => {
            let mut body = to.body()?;
            body["author"] = json!(author.name());
            if !upstream.is_empty() {
                body["upstreams"] = json!(upstream);
            }
            change::begin(port, &path(&to.flag, "/ramp"), body, how)
        }
        What::Kill {
            port,
            author,
            flag,
            variant,
            reason,
        } => {
            let body = json!({ "author": author.name(), "variant": variant, "reason": reason });
            say(
                port,
                Method::POST,
                &path(flag, "/kill"),
                Some(&body),
                change::line,
            )
        }
    }
}

/// A context on each line.
fn lines(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let contexts = lines.enumerate().map(|(number, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("line {} of {} is not JSON", number + 1, file.display()))
    });
    contexts.collect::<anyhow::Result<Vec<Value>>>().map(Value::Array)
}

fn list(answer: &Value) -> String {
    let doubts = listed(answer, "doubts", "", |doubt| {
        format!("doubtful: {}\n", doubt.as_str().unwrap_or_default())
    });
    listed(answer, "flags", "there are no flags\n", line) + &doubts
}

fn line(flag: &Value) -> String {
    let text = |field: &str| flag[field].as_str().unwrap_or("the code's default");
    let mut line = format!("{}  {}  {}", text("key"), text("state"), text("default_variant"));
    let reads: Vec<&str> = flag["reads"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !reads.is_empty() {
        _ = write!(line, "  by {}", reads.join(", "));
    }
    if let Some(change) = flag["under_way"].as_str() {
        _ = write!(line, "  changed by {change}");
    }
    if let Some(change) = flag["in_force"].as_str() {
        _ = write!(line, "  as {change} has made it, which is not in the file yet");
    }
    line + "\n"
}

fn show(flag: &Value) -> String {
    let definition = serde_json::to_string_pretty(&flag["definition"]).unwrap_or_default();
    format!("{}{definition}\n", line(flag))
}

fn evaluated(answer: &Value) -> String {
    let variant = answer["variant"]
        .as_str()
        .map_or_else(String::new, |variant| format!(" ({variant})"));
    let value = match &answer["value"] {
        Value::Null => "the code's default".to_owned(),
        value => value.to_string(),
    };
    let reason = answer["reason"].as_str().unwrap_or_default();
    let why = answer["error"]["says"]
        .as_str()
        .map_or_else(String::new, |why| format!(": {why}"));
    format!("{value}{variant}  {reason}{why}\n")
}

fn moved(answer: &Value) -> String {
    moved_in_words(answer).join("\n") + "\n"
}
