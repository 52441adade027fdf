//! `plimsoll explain`: what a reason means, and what to do about it.

use std::fmt::Write;

use anyhow::bail;
use plimsoll_slo::Reason;

use super::{Exit, print};
use crate::config::nearest;

/// Say what the code of a refusal or failure means.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The code, as it stands in answers, metrics and logs. Without it, all are listed.
    code: Option<String>,
    /// All of them as a page of the book, in Markdown.
    #[arg(long, conflicts_with = "code")]
    markdown: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.code {
        _ if args.markdown => print(&page()?),
        None => print(&list()?),
        Some(code) => match Reason::from_code(code) {
            Some(reason) => print(&one(reason)?),
            None => match nearest(code, Reason::ALL.iter().map(|reason| reason.code())) {
                Some(near) => bail!(UnknownCode(format!(
                    "`{code}` is not a reason; right would be `{near}`"
                ))),
                None => {
                    bail!(UnknownCode(format!(
                        "`{code}` is not a reason; `plimsoll explain` lists them all"
                    )))
                }
            },
        },
    }
}

/// Refused before anything was begun.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UnknownCode(String);

fn one(reason: Reason) -> Result<String, std::fmt::Error> {
    let info = reason.info();
    let mut text = String::new();
    writeln!(text, "{}: {}\n\n{}\n", info.code, info.title, info.explain)?;
    writeln!(text, "blame      {}", info.blame.word())?;
    writeln!(text, "delivered  {}", info.delivered.word())?;
    writeln!(text, "retry      {}", info.retry.word())?;
    writeln!(text, "HTTP       {}", info.status)?;
    writeln!(text, "gRPC       {}", info.grpc)?;
    Ok(text)
}

fn list() -> Result<String, std::fmt::Error> {
    let width = Reason::ALL
        .iter()
        .map(|reason| reason.code().len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for info in Reason::ALL.iter().map(|reason| reason.info()) {
        writeln!(
            text,
            "{:width$}  {:8}  {}  {}",
            info.code,
            info.blame.word(),
            info.status,
            info.title
        )?;
    }
    Ok(text)
}

fn page() -> Result<String, std::fmt::Error> {
    let mut text = String::from(
        "# Reasons\n\n\
         Everything that goes wrong with a request has a reason.\n\
         Its code stands in the answer, in metrics and in logs, and is never changed or used for another.\n\
         `plimsoll explain CODE` says the same as this page.\n\
         *Blame* is who has to act: the caller, the upstream, or us, which is Plimsoll or a limit that you set.\n\
         *Delivered* is whether the service may have seen the request.\n\
         *Retry* is whether sending the same request again is safe, safe if it is idempotent, or never of use.\n\n\
         | code | HTTP | gRPC | blame | delivered | retry |\n|---|---|---|---|---|---|\n",
    );
    for info in Reason::ALL.iter().map(|reason| reason.info()) {
        let (code, blame, delivered, retry) = (
            info.code,
            info.blame.word(),
            info.delivered.word(),
            info.retry.word(),
        );
        writeln!(
            text,
            "| [`{code}`](#{code}) | {} | {} | {blame} | {delivered} | {retry} |",
            info.status, info.grpc
        )?;
    }
    for info in Reason::ALL.iter().map(|reason| reason.info()) {
        // One sentence to a line, as everywhere in the book.
        let explain = info.explain.replace(". ", ".\n");
        write!(text, "\n## {}\n\n{}.\n{explain}\n", info.code, info.title)?;
    }
    Ok(text)
}
