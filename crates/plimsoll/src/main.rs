//! The whole reliability playbook as one binary.

mod accept;
mod access;
mod admin;
mod alarm;
mod alerting;
mod allocator;
mod api;
mod calendar;
mod civil;
mod cli;
mod config;
mod dashboard;
mod demo;
mod doubts;
mod drivers;
mod exemplars;
mod export;
mod flags;
mod heat;
mod history;
mod inheritance;
mod instance;
mod journal;
mod judging;
mod keeping;
mod memory;
mod metrics;
mod observe;
mod openslo;
mod operators;
mod otlp;
mod outbound;
mod processors;
mod reading;
mod record;
mod reload;
mod rollout;
mod saturation;
mod signals;
mod spread;
mod status;
mod supervisor;
mod telemetry;
mod upgrade;
mod watching;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main().unwrap_or_else(|error| cli::report(&error)).into()
}
