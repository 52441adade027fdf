//! The house's tools, in the house's language: `cargo xtask <verb>`.
//!
//! A verb is one file with a `run`, and one line in [`VERBS`]. A verb returns how it ended; an error is for what
//! kept it from doing its work at all, and is printed with the whole chain of its causes.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool talks to whoever called it"
)]

mod bench;
mod ci;
mod conformance;
mod sim;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

type Run = fn(&[String]) -> anyhow::Result<ExitCode>;

/// Every verb: its name, what it does, and the function that does it.
const VERBS: &[(&str, &str, Run)] = &[
    (
        "bench",
        "speed: the gateway beside its peers, and each policy by itself",
        bench::run,
    ),
    (
        "ci",
        "everything that must pass before a change goes in; also on a laptop",
        ci::run,
    ),
    (
        "conformance",
        "the gateway beside programs that know the rules: h2spec, gRPC, WebSockets, other servers",
        conformance::run,
    ),
    (
        "sim",
        "seeds through the whole gateway, in a simulated world",
        sim::run,
    ),
    (
        "tidy",
        "the house rules that a compiler does not check",
        tidy::run,
    ),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((verb, rest)) = words.split_first() else {
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    if matches!(verb.as_str(), "--help" | "-h" | "help") {
        print!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some((_, _, run)) = VERBS.iter().find(|(name, _, _)| name == verb) else {
        eprint!("xtask: there is no verb `{verb}`\n\n{}", usage());
        return ExitCode::from(2);
    };
    run(rest).unwrap_or_else(|error| {
        eprintln!("xtask {verb}: {error:#}");
        ExitCode::from(2)
    })
}

fn usage() -> String {
    let verbs: Vec<String> = VERBS
        .iter()
        .map(|(name, about, _)| format!("  {name:<13}{about}\n"))
        .collect();
    format!("usage: cargo xtask <verb>\n\n{}", verbs.concat())
}

/// The root of the workspace that these tools were built in.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies directly under the root")
}
