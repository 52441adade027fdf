//! The whole reliability playbook as one binary.

mod accept;
mod admin;
mod allocator;
mod calendar;
mod civil;
mod cli;
mod config;
mod demo;
mod exemplars;
mod history;
mod inheritance;
mod instance;
mod journal;
mod judging;
mod keeping;
mod memory;
mod metrics;
mod observe;
mod operators;
mod otlp;
mod processors;
mod reading;
mod reload;
mod saturation;
mod signals;
mod status;
mod supervisor;
mod telemetry;
mod upgrade;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main().unwrap_or_else(|error| cli::report(&error)).into()
}
