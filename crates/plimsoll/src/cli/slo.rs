//! `plimsoll slo`: objectives, as they stand and for others.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use http::Method;
use serde_json::Value;

use super::asking::{PortArgs, say};
use super::{Exit, complain, print};
use crate::config::Config;
use crate::export::{alertmanager, grafana, prometheus};
use crate::openslo::{self, Documents};

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
    /// Say what is wrong or doubtful in OpenSLO documents, all of it at once; or, without a file, what is doubtful about the
    /// objectives of a running Plimsoll by what it has measured: too little traffic, targets that are never met, gaps.
    Lint {
        #[command(flatten)]
        port: PortArgs,
        /// Files; those that refer to each other together.
        files: Vec<PathBuf>,
    },
    /// Write OpenSLO documents as objectives of a configuration, with comments about what cannot be judged.
    Import {
        /// Files; those that refer to each other together.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Write the objectives of a configuration in the language of somebody else.
    Export {
        /// Recording and alerting rules for Prometheus, a configuration of Alertmanager or a dashboard of Grafana to go with
        /// them, or OpenSLO documents.
        #[arg(long, value_parser = ["prometheus", "alertmanager", "grafana", "openslo"], default_value = "prometheus")]
        format: String,
        /// What the service is called, in OpenSLO.
        #[arg(long, default_value = "plimsoll")]
        service: String,
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
        What::Lint { port, files } if files.is_empty() => say(port, Method::GET, "/doubts", None, doubts),
        What::Lint { files, .. } => lint(files),
        What::Import { files } => import(files),
        What::Export {
            format,
            service,
            file,
        } => {
            let config = Config::load(file)?;
            print(&match &**format {
                "openslo" => openslo::export::export(&config, service),
                "alertmanager" => alertmanager::configuration(&config.alerts),
                "grafana" => grafana::dashboard(&config.objectives),
                _ => prometheus::rules(&config.objectives),
            })
        }
    }
}

/// The documents of all files, with all that is to be said about them.
fn read(files: &[PathBuf]) -> anyhow::Result<Documents> {
    let mut documents = Documents::default();
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        documents.add(&file.display().to_string(), &text);
    }
    documents.check();
    Ok(documents)
}

fn lint(files: &[PathBuf]) -> anyhow::Result<Exit> {
    let documents = read(files)?;
    let mut text = String::new();
    for finding in &documents.findings {
        _ = writeln!(text, "{finding}");
    }
    let count = documents.findings.len();
    _ = writeln!(text, "{count} finding{}", if count == 1 { "" } else { "s" });
    print(&text)?;
    Ok(if documents.is_right() {
        Exit::Good
    } else {
        Exit::Usage
    })
}

fn doubts(answer: &Value) -> String {
    let mut text = String::new();
    let all = answer["doubts"].as_array().map_or(&[][..], Vec::as_slice);
    for doubt in all {
        let field = |name: &str| doubt[name].as_str().unwrap_or("-");
        _ = writeln!(
            text,
            "{}: {}: {}",
            field("objective"),
            field("doubt"),
            field("says")
        );
    }
    let count = all.len();
    _ = writeln!(text, "{count} doubt{}", if count == 1 { "" } else { "s" });
    text
}

fn import(files: &[PathBuf]) -> anyhow::Result<Exit> {
    let documents = read(files)?;
    if !documents.is_right() {
        for finding in &documents.findings {
            complain(&finding.to_string());
        }
        return Ok(Exit::Usage);
    }
    print(&openslo::import::import(&documents))
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
