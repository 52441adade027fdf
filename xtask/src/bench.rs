//! `cargo xtask bench`: how fast it is, measured in this run and on this machine.
//!
//! `gateway` puts the shipped binary beside the proxies that people would otherwise take, `overload` does so while the
//! service behind them is asked for more than it can do, `policy` times the single decisions, `judge` what it costs to judge, and `accounting` what that adds to a request. All say what was aimed
//! at, and whether it was met, by the number.

mod accounting;
mod aims;
pub(crate) mod build;
mod cases;
mod flags;
mod gateway;
mod idle;
mod judge;
mod load;
mod machine;
mod measure;
mod origin;
mod overload;
mod pages;
mod peers;
mod plot;
mod policy;
mod process;
mod report;
mod results;
mod rollouts;
mod setting;
mod tools;
mod upgrades;

use std::process::ExitCode;

type Run = fn(&[String]) -> anyhow::Result<ExitCode>;

/// Every benchmark: its name, what it does, and the function that does it.
const BENCHES: &[(&str, &str, Run)] = &[
    (
        "gateway",
        "plimsoll beside HAProxy, nginx and Envoy: CPU, latency, memory, reload",
        gateway::run,
    ),
    (
        "overload",
        "plimsoll beside HAProxy and Envoy, up to ten times the load that the service bears",
        overload::run,
    ),
    (
        "judge",
        "what it costs to count for an objective, and to judge ten thousand every second",
        judge::run,
    ),
    (
        "accounting",
        "what counting for objectives and judging them adds to a request",
        accounting::run,
    ),
    (
        "pages",
        "how soon people see what happened: the first page, and a verdict after a request",
        pages::run,
    ),
    (
        "policy",
        "nanoseconds per decision, and that admitting allocates nothing",
        policy::run,
    ),
    (
        "rollouts",
        "how soon a bad candidate is found, and how seldom a good one is taken for one",
        rollouts::run,
    ),
    (
        "flags",
        "what it costs to evaluate a flag, and how soon an edit is everywhere",
        flags::run,
    ),
    (
        "upgrades",
        "processes and configurations that change under traffic, and who notices",
        upgrades::run,
    ),
    (
        "origin",
        "the server that `gateway` puts behind the proxies, on a port",
        origin::run,
    ),
];

pub(crate) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    let Some((name, rest)) = words.split_first() else {
        anyhow::bail!("which one?\n\n{}", usage());
    };
    if matches!(name.as_str(), "--help" | "-h" | "help") {
        print!("{}", usage());
        return Ok(ExitCode::SUCCESS);
    }
    let Some((_, _, run)) = BENCHES.iter().find(|(known, _, _)| known == name) else {
        anyhow::bail!("there is no benchmark `{name}`\n\n{}", usage());
    };
    run(rest)
}

fn usage() -> String {
    let benches: Vec<String> = BENCHES
        .iter()
        .map(|(name, about, _)| format!("  {name:<11}{about}\n"))
        .collect();
    format!(
        "usage: cargo xtask bench <name>\n\n{}\n{}\n{}",
        benches.concat(),
        gateway::usage(),
        overload::usage()
    )
}
