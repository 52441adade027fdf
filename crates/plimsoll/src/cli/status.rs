//! `plimsoll status` and `plimsoll reload`: asking a running Plimsoll by its admin port.

use http::Method;
use serde_json::Value;

use super::asking::{PortArgs, detail, unreachable};
use super::{Exit, print};
use crate::admin::ask::ASK_MAX;
use crate::reload::applied;
use crate::status::{self, Json};

/// Say how a running Plimsoll is.
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    port: PortArgs,
    /// For programs.
    #[arg(long)]
    json: bool,
}

/// Have a running Plimsoll read its configuration again: all of it takes effect, or none.
#[derive(Debug, clap::Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    port: PortArgs,
}

/// The texts of a list in an answer; an older Plimsoll may have no such list.
fn strings(answer: &Value, field: &str) -> Vec<String> {
    let texts = answer[field].as_array().into_iter().flatten();
    texts.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Prints the status.
///
/// # Errors
/// It cannot be asked, or refuses.
pub(super) fn run(args: &StatusArgs) -> anyhow::Result<Exit> {
    let (status, answer) = match args.port.ask(Method::GET, "/status", ASK_MAX) {
        Ok(answered) => answered,
        Err(error) => return Ok(unreachable(&error)),
    };
    anyhow::ensure!(status.is_success(), "{}", detail(&answer));
    if args.json {
        return print(&format!("{answer:#}\n"));
    }
    print(&status::text(&status::Status::from_json(&answer)))
}

/// Has the configuration read again, and prints what changed or what is wrong.
///
/// # Errors
/// The output cannot be written.
pub(super) fn reload(args: &ReloadArgs) -> anyhow::Result<Exit> {
    let (status, answer) = match args.port.ask(Method::POST, "/reload", ASK_MAX) {
        Ok(answered) => answered,
        Err(error) => return Ok(unreachable(&error)),
    };
    if status.is_success() {
        return print(&applied(
            &strings(&answer, "changes"),
            &strings(&answer, "at_next_start"),
        ));
    }
    let problems = strings(&answer, "problems");
    let problems = if problems.is_empty() {
        detail(&answer)
    } else {
        problems.join("\n")
    };
    super::complain(&format!(
        "plimsoll: the reload was refused; what ran before runs on\n{problems}"
    ));
    Ok(Exit::Refused)
}
