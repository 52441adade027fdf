//! The command line: one verb, one file.

mod asking;
mod change;
mod check;
mod completions;
mod demo;
mod explain;
mod flag;
mod incident;
mod init;
mod run;
mod schema;
mod silence;
mod slo;
mod state;
mod status;
mod token;
mod top;
mod upgrade;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::ConfigError;

pub(crate) use demo::DemoArgs;

/// How a verb ended. The numbers are a promise to scripts: docs/src/operations.md lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Good,
    /// Something failed at run time.
    Failed,
    /// A flag or the configuration is wrong; nothing was begun.
    Usage,
    /// A running Plimsoll refused, or cannot be reached.
    Refused,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Good => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
        })
    }
}

/// Carries traffic to your service, and keeps it within what the service can bear.
#[derive(Debug, Parser)]
#[command(
    name = "plimsoll",
    version,
    after_help = "Exit codes: 0 it is done; 1 it failed at run time; 2 a flag or the configuration is wrong; \
                  3 a reload or an upgrade was refused, or the admin port cannot be reached."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::RunArgs),
    Demo(DemoArgs),
    Status(status::StatusArgs),
    Top(top::Args),
    Reload(status::ReloadArgs),
    Upgrade(upgrade::Args),
    Slo(slo::Args),
    Incident(incident::Args),
    Silence(silence::Args),
    Change(change::Args),
    Flag(flag::Args),
    State(state::Args),
    Token(token::Args),
    Check(check::Args),
    Init(init::Args),
    Schema(schema::Args),
    Explain(explain::Args),
    Completions(completions::Args),
}

/// Reads the arguments and does what they say.
///
/// # Errors
/// Whatever kept the verb from being done.
pub(crate) fn main() -> anyhow::Result<Exit> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // `--help` and `--version` are errors to clap, and go to standard output.
        Err(error) => {
            error.print()?;
            return Ok(if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Good
            });
        }
    };
    match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Status(args) => status::run(&args),
        Verb::Top(args) => top::run(&args),
        Verb::Reload(args) => status::reload(&args),
        Verb::Upgrade(args) => upgrade::run(&args),
        Verb::Slo(args) => slo::run(&args),
        Verb::Incident(args) => incident::run(&args),
        Verb::Silence(args) => silence::run(&args),
        Verb::Change(args) => change::run(&args),
        Verb::Flag(args) => flag::run(&args),
        Verb::State(args) => state::run(&args),
        Verb::Token(args) => token::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Init(args) => init::run(&args),
        Verb::Schema(args) => schema::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Completions(args) => completions::run(&args),
    }
}

/// Says on standard error why a verb was not done: the whole chain of sources, or all problems of a file.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    let text = match error.downcast_ref::<ConfigError>() {
        Some(ConfigError::Wrong(problems)) => {
            let count = problems.count();
            format!("{problems}\n{count} problem{}", if count == 1 { "" } else { "s" })
        }
        Some(ConfigError::Read { .. }) | None => format!("plimsoll: {error:#}"),
    };
    complain(&text);
    let usage = error.is::<ConfigError>() || error.is::<explain::UnknownCode>();
    if usage { Exit::Usage } else { Exit::Failed }
}

/// Writes to standard error. When that fails there is nowhere left to complain to.
fn complain(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> anyhow::Result<Exit> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(Exit::Good),
    }
}
