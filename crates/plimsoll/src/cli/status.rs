//! `plimsoll status` and `plimsoll reload`: asking a running Plimsoll by its admin port.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use gateway::env::Env;
use http::{Method, StatusCode};
use serde_json::Value;

use super::{Exit, print};
use crate::admin::ask::{ASK_MAX, ask};
use crate::config::secrets::{Secret, TokenSource};
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

/// Which Plimsoll is meant.
#[derive(Debug, clap::Args)]
pub(super) struct PortArgs {
    /// Its admin port.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900")]
    admin: String,
    /// File with the token of the admin port.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl PortArgs {
    /// Asks; what was answered, and whether it was done.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &str,
        limit: Duration,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let (status, body) = self.send(method, path, None, limit)?;
        let answer = serde_json::from_slice(&body).context("the admin port's answer is not JSON")?;
        Ok((status, answer))
    }

    /// The same with something to say; the answer as it came.
    pub(super) fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let token = self
            .token_file
            .clone()
            .map(|file| TokenSource::File(file).read())
            .transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let env = Env::real();
        let token = token.as_ref().map(Secret::to_send);
        let body = body.map(|body| body.to_string().into());
        Ok(runtime.block_on(ask(&env, &self.admin, method, path, token, body, limit))?)
    }
}

/// What a refusal says.
pub(super) fn detail(answer: &Value) -> String {
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    format!("{}: {}", text("title"), text("detail"))
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

pub(super) fn unreachable(error: &anyhow::Error) -> Exit {
    super::complain(&format!("plimsoll: {error:#}"));
    Exit::Refused
}
