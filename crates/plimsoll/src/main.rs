//! The whole reliability playbook as one binary.

mod cli;
mod config;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main().unwrap_or_else(|error| cli::report(&error)).into()
}
