//! `plimsoll change`: what is rolled out.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use change::Evidence;
use http::Method;
use serde_json::{Value, json};

use super::asking::{AuthorArgs, PortArgs, detail, listed, say, unreachable};
use super::{Exit, print};
use crate::admin::ask::ASK_MAX;
use crate::config::{self, secrets::variable};
use crate::rollout::words;

/// How often it is asked how a change stands, while that is waited for.
const ASKS_EVERY: Duration = Duration::from_millis(500);
/// How often in a row the port may not answer while a change is waited for: a minute.
const SILENT_MAX: u32 = 120;

/// Roll out a version, see how it goes, take it back.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List changes, those that were asked for last first.
    List {
        #[command(flatten)]
        port: PortArgs,
    },
    /// Show one, with everything that was said of it.
    Show {
        #[command(flatten)]
        port: PortArgs,
        /// The change, as `list` shows it.
        id: String,
    },
    Deploy(DeployArgs),
    /// Let it enter its next step, whatever is known of it.
    Promote {
        #[command(flatten)]
        of: OneArgs,
        /// All steps that are left, and not only the next.
        #[arg(long)]
        all: bool,
    },
    /// Keep it where it is. Danger still takes it back.
    Pause {
        #[command(flatten)]
        of: OneArgs,
    },
    /// Have it go on.
    Resume {
        #[command(flatten)]
        port: PortArgs,
        #[command(flatten)]
        author: AuthorArgs,
        /// The change, as `list` shows it.
        id: String,
    },
    /// Take it back, and first what needs it.
    Revert {
        #[command(flatten)]
        of: OneArgs,
    },
    /// Have no change go on for a while. What is bad is taken back as ever.
    Freeze {
        #[command(flatten)]
        of: WhileArgs,
    },
    /// End a freeze.
    Thaw {
        #[command(flatten)]
        port: PortArgs,
        #[command(flatten)]
        author: AuthorArgs,
        /// The freeze, as `freeze` has shown it.
        id: String,
    },
    /// Have nothing hold changes up for a while: no budget, no freeze, no hour. Somebody else has to confirm it.
    BreakGlass {
        #[command(flatten)]
        of: WhileArgs,
    },
    /// Confirm that the glass is to be broken.
    Confirm {
        #[command(flatten)]
        port: PortArgs,
        #[command(flatten)]
        author: AuthorArgs,
        /// What somebody else has asked for, as `break-glass` has shown it.
        id: String,
    },
    /// Make every comparison again that it was decided by, from what was counted.
    Replay {
        #[command(flatten)]
        port: PortArgs,
        /// The change, as `list` shows it.
        id: String,
    },
}

/// A change, and why something is to become of it.
#[derive(Debug, clap::Args)]
struct OneArgs {
    #[command(flatten)]
    port: PortArgs,
    #[command(flatten)]
    author: AuthorArgs,
    /// The change, as `list` shows it.
    id: String,
    /// Why.
    #[arg(long)]
    reason: String,
}

/// For how long, and why.
#[derive(Debug, clap::Args)]
struct WhileArgs {
    #[command(flatten)]
    port: PortArgs,
    #[command(flatten)]
    author: AuthorArgs,
    /// For how long.
    #[arg(long = "for", value_name = "DURATION", value_parser = config::flag::<Duration>)]
    length: Duration,
    /// Why.
    #[arg(long)]
    reason: String,
}

/// Roll out a version: one that runs already, or that the driver of its upstream starts.
#[derive(Debug, clap::Args)]
struct DeployArgs {
    #[command(flatten)]
    port: PortArgs,
    #[command(flatten)]
    author: AuthorArgs,
    /// The upstream whose version it is to be.
    upstream: String,
    /// Where the candidate is, such as `http://10.0.0.7:3000`; once for each endpoint. Without it, the driver of the upstream says where, and starts it.
    #[arg(long, value_name = "URL")]
    candidate: Vec<String>,
    /// What it is called. [default: the time of day]
    #[arg(long, value_name = "NAME")]
    version: Option<String>,
    /// Have users keep to a version: `cookie:sid` or `header:x-user`.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    how: HowArgs,
}

/// How a change goes on.
#[derive(Debug, clap::Args)]
pub(super) struct HowArgs {
    /// A share of traffic, such as `5%`; once for each step. After the last, everybody has it.
    #[arg(long, value_name = "SHARE", conflicts_with = "at_once")]
    step: Vec<String>,
    /// For everybody in one step.
    #[arg(long)]
    at_once: bool,
    /// How long a step is held while nobody can tell whether the candidate is good.
    #[arg(long, value_name = "DURATION")]
    hold_max: Option<String>,
    /// What then: `revert` or `ask`.
    #[arg(long, value_name = "WORD")]
    undecided: Option<String>,
    /// How long the version before is kept warm after everybody has the new one.
    #[arg(long, value_name = "DURATION")]
    probation: Option<String>,
    /// Wait until it is promoted (exit code 0) or rolled back (1).
    #[arg(long)]
    wait: bool,
}

/// Asks, and prints what comes.
///
/// # Errors
/// It refuses, or the output cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.what {
        What::List { port } => say(port, Method::GET, "/changes", None, list),
        What::Show { port, id } => say(port, Method::GET, &format!("/changes/{id}"), None, show),
        What::Deploy(args) => deploy(args),
        What::Promote { of, all } => ask_for(of, "promote", json!({ "all": all })),
        What::Pause { of } => ask_for(of, "pause", json!({})),
        What::Revert { of } => ask_for(of, "revert", json!({})),
        What::Resume { port, author, id } => {
            let body = json!({ "author": author.name() });
            say(
                port,
                Method::POST,
                &format!("/changes/{id}/resume"),
                Some(&body),
                line,
            )
        }
        What::Freeze { of } => for_a_while(of, "/freezes", freeze),
        What::BreakGlass { of } => for_a_while(of, "/glass", glass),
        What::Thaw { port, author, id } => {
            let body = json!({ "author": author.name() });
            say(
                port,
                Method::DELETE,
                &format!("/freezes/{id}"),
                Some(&body),
                freeze,
            )
        }
        What::Confirm { port, author, id } => {
            let body = json!({ "author": author.name() });
            say(
                port,
                Method::POST,
                &format!("/glass/{id}/confirm"),
                Some(&body),
                glass,
            )
        }
        What::Replay { port, id } => replay(port, id),
    }
}

fn ask_for(of: &OneArgs, what: &str, mut body: Value) -> anyhow::Result<Exit> {
    body["author"] = json!(of.author.name());
    body["reason"] = json!(of.reason);
    say(
        &of.port,
        Method::POST,
        &format!("/changes/{}/{what}", of.id),
        Some(&body),
        line,
    )
}

fn for_a_while(of: &WhileArgs, path: &str, words: fn(&Value) -> String) -> anyhow::Result<Exit> {
    let minutes = of.length.as_secs().div_ceil(60);
    let body = json!({ "minutes": minutes, "reason": of.reason, "author": of.author.name() });
    say(&of.port, Method::POST, path, Some(&body), words)
}

fn freeze(freeze: &Value) -> String {
    let text = |field: &str| freeze[field].as_str().unwrap_or("-");
    let holds = if freeze["holds"] == true { "until" } else { "ended" };
    let (id, until, author, reason) = (text("id"), text("until"), text("author"), text("reason"));
    format!("{id}  no change goes on {holds} {until}  {author}: {reason}\n")
}

fn glass(glass: &Value) -> String {
    let text = |field: &str| glass[field].as_str().unwrap_or("-");
    let how = match glass["broken"].as_bool() {
        Some(true) => format!(
            "is broken for {} min, confirmed by {}",
            glass["minutes"],
            text("confirmed_by")
        ),
        _ => format!("waits for somebody else: plimsoll change confirm {}", text("id")),
    };
    format!("{}  {how}  {}: {}\n", text("id"), text("author"), text("reason"))
}

fn deploy(args: &DeployArgs) -> anyhow::Result<Exit> {
    let version = args.version.clone().unwrap_or_else(named_by_time);
    let mut body = json!({
        "upstream": args.upstream,
        "version": version,
        "author": args.author.name(),
    });
    if !args.candidate.is_empty() {
        body["candidate"] = json!(args.candidate);
    }
    if let Some(key) = &args.key {
        body["key"] = json!(key);
    }
    begin(&args.port, "/changes", body, &args.how)
}

/// Asks for a change, and waits for it if that is wanted.
pub(super) fn begin(port: &PortArgs, path: &str, mut body: Value, how: &HowArgs) -> anyhow::Result<Exit> {
    if !how.step.is_empty() {
        body["steps"] = json!(how.step);
    }
    if how.at_once {
        body["at_once"] = json!(true);
    }
    for (field, value) in [
        ("hold_max", &how.hold_max),
        ("undecided", &how.undecided),
        ("probation", &how.probation),
    ] {
        if let Some(value) = value {
            body[field] = json!(value);
        }
    }
    let made = match call(port, Method::POST, path, Some(&body))? {
        Ok(made) => made,
        Err(exit) => return Ok(exit),
    };
    if !how.wait {
        return print(&line(&made));
    }
    wait(port, made["id"].as_str().unwrap_or_default())
}

/// What nobody has named is named by when it came.
fn named_by_time() -> String {
    jiff::Timestamp::now().strftime("v%Y%m%d-%H%M%S").to_string()
}

/// Asks for something; the answer, or that there is none and why was said.
fn call(
    port: &PortArgs,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Result<Value, Exit>> {
    let path = format!("{}{path}", crate::api::ROOT);
    let (status, answer) = match port.send(method, &path, body, ASK_MAX) {
        Ok(answered) => answered,
        Err(error) => return Ok(Err(unreachable(&error))),
    };
    let answer: Value = serde_json::from_slice(&answer).context("the admin port's answer is not JSON")?;
    if !status.is_success() {
        return Ok(Err(unreachable(&anyhow::anyhow!("{}", detail(&answer)))));
    }
    Ok(Ok(answer))
}

/// Prints what is said of a change, line by line, until it is promoted or over.
fn wait(port: &PortArgs, id: &str) -> anyhow::Result<Exit> {
    let path = format!("{}/changes/{id}", crate::api::ROOT);
    let mut printed = 0;
    let mut silent = 0;
    loop {
        // The port may be away for a moment, in an upgrade for example; the change goes on meanwhile.
        let answered = port.send(Method::GET, &path, None, ASK_MAX);
        let shown = answered
            .ok()
            .filter(|(status, _)| status.is_success())
            .and_then(|(_, answer)| serde_json::from_slice::<Value>(&answer).ok());
        let Some(shown) = shown else {
            silent += 1;
            if silent > SILENT_MAX {
                let error =
                    anyhow::anyhow!("the admin port does not answer any more; {id} goes on by itself");
                return Ok(unreachable(&error));
            }
            std::thread::sleep(ASKS_EVERY);
            continue;
        };
        silent = 0;
        let told = told(&shown);
        for line in told.iter().skip(printed) {
            print(line)?;
        }
        printed = told.len().max(printed);
        let phase = shown["phase"].as_str().unwrap_or_default();
        let exit = match phase {
            "promoted" | "final" => Exit::Good,
            "reverted" | "parked" => Exit::Failed,
            _ => {
                std::thread::sleep(ASKS_EVERY);
                continue;
            }
        };
        summarize(&shown)?;
        return Ok(exit);
    }
}

/// A summary for the page of a job, where there is one: GitHub names a file for it.
fn summarize(shown: &Value) -> anyhow::Result<()> {
    let Ok(file) = variable("GITHUB_STEP_SUMMARY") else {
        return Ok(());
    };
    let text = |field: &str| shown[field].as_str().unwrap_or("-").to_owned();
    let mut summary = format!(
        "### {}: {} to {} — {}\n\n| UTC | who | what |\n|---|---|---|\n",
        text("id"),
        text("target"),
        text("to"),
        text("phase")
    );
    for line in shown["told"].as_array().into_iter().flatten() {
        let field = |name: &str| line[name].as_str().unwrap_or("-").replace('|', "\\|");
        _ = writeln!(
            summary,
            "| {} | {} | {} |",
            field("at"),
            field("author"),
            field("says")
        );
    }
    let file = PathBuf::from(file);
    let mut open = OpenOptions::new().append(true).create(true).open(&file)?;
    open.write_all(summary.as_bytes())
        .with_context(|| format!("writing the summary to {}", file.display()))
}

fn told(shown: &Value) -> Vec<String> {
    let id = shown["id"].as_str().unwrap_or("-");
    let lines = shown["told"].as_array().into_iter().flatten();
    lines
        .map(|line| {
            let field = |name: &str| line[name].as_str().unwrap_or("-");
            format!("{}  {}  {id} {}\n", field("at"), field("author"), field("says"))
        })
        .collect()
}

fn list(answer: &Value) -> String {
    listed(answer, "changes", "no change\n", line)
}

pub(super) fn line(change: &Value) -> String {
    let text = |field: &str| change[field].as_str().unwrap_or("-");
    let exposed = words::share(change["exposed"].as_f64().unwrap_or_default());
    let waits = change["waits"]
        .as_str()
        .map_or_else(String::new, |waits| format!("; waits {waits}"));
    format!(
        "{}  {} to {}  {} at {exposed}  {}{waits}\n",
        text("id"),
        text("target"),
        text("to"),
        text("phase"),
        text("says")
    )
}

fn show(change: &Value) -> String {
    let mut out = line(change);
    if let Some(verdict) = change["verdict"].as_object() {
        let number = |value: &Value| value.as_f64().unwrap_or_default();
        let arm = |arm: &str| {
            let seen = &verdict[arm];
            format!("{} of {} failed", seen["failed"], seen["events"])
        };
        _ = writeln!(
            out,
            "  {}: candidate {}, stable {}; {:.2} of the evidence that it is worse",
            verdict["finding"].as_str().unwrap_or("-"),
            arm("candidate"),
            arm("stable"),
            number(&verdict["worse"])
        );
        for sign in verdict["signs"].as_array().into_iter().flatten() {
            let ratio = sign["ratio"]
                .as_f64()
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2} times"));
            let as_good = sign["as_good"]
                .as_f64()
                .map_or_else(String::new, |found| format!(", as good {found:.3}"));
            _ = writeln!(
                out,
                "    {:<9}  {ratio}, worse {:.3}{as_good}",
                sign["sign"].as_str().unwrap_or("-"),
                number(&sign["worse"]),
            );
        }
    }
    for line in told(change) {
        _ = write!(out, "  {line}");
    }
    out
}

fn replay(port: &PortArgs, id: &str) -> anyhow::Result<Exit> {
    let shown = match call(port, Method::GET, &format!("/changes/{id}"), None)? {
        Ok(shown) => shown,
        Err(exit) => return Ok(exit),
    };
    let (text, holds) = replayed(&shown);
    print(&text)?;
    Ok(if holds { Exit::Good } else { Exit::Failed })
}

/// What every comparison comes to when it is made again, and whether that is what was written down.
fn replayed(shown: &Value) -> (String, bool) {
    let (mut out, mut holds, mut count) = (String::new(), true, 0);
    for line in shown["told"].as_array().into_iter().flatten() {
        let evidence = &line["said"]["of"]["evidence"];
        let Ok(evidence) = serde_json::from_value::<Evidence>(evidence.clone()) else {
            continue;
        };
        let (found, is_same) = evidence.replay();
        count += 1;
        holds &= is_same;
        let said = line["said"]["said"].as_str().unwrap_or("-");
        let verdict = if is_same { "the same" } else { "NOT the same" };
        _ = writeln!(
            out,
            "{}  {said}: {}, made again: {:.4} of the evidence that it is worse, {verdict}",
            line["at"].as_str().unwrap_or("-"),
            evidence.found(),
            found.worse,
        );
    }
    if count == 0 {
        out.push_str("nothing was decided by a comparison\n");
    }
    (out, holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_slo::{Epoch, Seen, Terms};

    #[test]
    fn a_comparison_that_was_written_otherwise_is_found() {
        let seen = |events, failed| Seen {
            events,
            failed,
            slow: [0; 3],
        };
        let epoch = Epoch {
            share: 0.05,
            candidate: seen(40, 20),
            stable: seen(760, 8),
        };
        let (_, evidence) = Evidence::of(&[epoch], 0, &Terms::default());
        let line = |evidence: &Value| json!({ "at": "T", "said": { "said": "cut", "of": { "cause": {}, "evidence": evidence } } });
        let mut kept = serde_json::to_value(&evidence).unwrap();
        let (text, holds) = replayed(&json!({ "told": [line(&kept), { "said": { "said": "armed" } }] }));
        assert!(holds && text.contains("cut: bad:failures"), "{text}");
        kept["found"] = json!("good");
        let (text, holds) = replayed(&json!({ "told": [line(&kept)] }));
        assert!(!holds && text.contains("NOT the same"), "{text}");
    }
}
