//! Asking a running Plimsoll by its admin port: which one is meant, who asks, and what to say when it refuses.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use gateway::Connector;
use gateway::env::Env;
use gateway::plan::{Protocol, TlsClientPlan};
use http::{Method, StatusCode};
use serde_json::Value;

use super::{Exit, print};
use crate::admin::ask::{ASK_MAX, ask};
use crate::config::secrets::{self, Secret, TokenSource};

/// Which Plimsoll is meant.
#[derive(Debug, clap::Args)]
pub(super) struct PortArgs {
    /// Its admin port.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900")]
    admin: String,
    /// File with the token of the admin port.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file with the authority of its certificate, if it is not a public one.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
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
        let tls = TlsClientPlan {
            ca: self.ca.clone(),
            ..TlsClientPlan::default()
        };
        let tls = Connector::build(&tls, Protocol::Http1).context("reading the authority")?;
        let to = (&*self.admin, &tls);
        Ok(runtime.block_on(ask(&env, to, method, path, token, body, limit))?)
    }
}

/// What an answer lists under a name, each in lines of its own; if there is none, that.
pub(super) fn listed(answer: &Value, name: &str, none: &str, line: impl FnMut(&Value) -> String) -> String {
    let all: String = answer[name].as_array().into_iter().flatten().map(line).collect();
    if all.is_empty() { none.to_owned() } else { all }
}

/// What a refusal says.
pub(super) fn detail(answer: &Value) -> String {
    let text = |field: &str| answer[field].as_str().unwrap_or_default();
    format!("{}: {}", text("title"), text("detail"))
}

/// Who says so.
#[derive(Debug, clap::Args)]
pub(super) struct AuthorArgs {
    /// Who says so; the user who is logged in if nothing is said.
    #[arg(long = "as", value_name = "NAME")]
    author: Option<String>,
}

impl AuthorArgs {
    pub(super) fn name(&self) -> Option<String> {
        self.author.clone().or_else(|| secrets::variable("USER").ok())
    }
}

/// Asks the API for something, and prints the answer in words.
pub(super) fn say(
    port: &PortArgs,
    method: Method,
    path: &str,
    body: Option<&Value>,
    words: fn(&Value) -> String,
) -> anyhow::Result<Exit> {
    let path = format!("{}{path}", crate::api::ROOT);
    let (status, answer) = match port.send(method, &path, body, ASK_MAX) {
        Ok(answered) => answered,
        Err(error) => return Ok(unreachable(&error)),
    };
    let answer: Value = serde_json::from_slice(&answer).context("the admin port's answer is not JSON")?;
    if !status.is_success() {
        return Ok(unreachable(&anyhow::anyhow!("{}", detail(&answer))));
    }
    print(&words(&answer))
}

pub(super) fn unreachable(error: &anyhow::Error) -> Exit {
    super::complain(&format!("plimsoll: {error:#}"));
    Exit::Refused
}
