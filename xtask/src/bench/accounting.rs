//! `cargo xtask bench accounting`: what counting for objectives and judging them adds to a request.
//!
//! The same binary twice, round by round, one after the other in an order that turns: with three objectives over all its
//! routes and every route watched for client errors, and with nothing to count for. What is compared is the CPU time of a
//! request within a round.

use std::process::ExitCode;

use anyhow::Context as _;

use super::cases::{CASES, Case};
use super::gateway;
use super::peers::{BARE, COUNTING, Peer};
use super::report;
use super::results::{Figure, Results, Spread};

/// Rounds, and seconds of each measurement.
const ROUNDS: usize = 9;
const SECONDS: u64 = 4;
/// The case that a request costs least in, so that what is added shows most.
const CASE: &str = "get-64";
/// What may be added.
const AIM: f64 = 1.03;

pub(super) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(words.is_empty(), "takes no arguments");
    let (bench, machine) = gateway::prepare(None, SECONDS)?;
    let case = CASES
        .iter()
        .find(|case| case.name == CASE)
        .context("finding the case")?;
    let mut results = Results::default();
    for round in 0..ROUNDS {
        for peer in order(round) {
            let figures = bench
                .measure(case, peer)
                .with_context(|| format!("measuring {}", peer.name))?;
            eprintln!("round {} {:<9} {figures:?}", round + 1, peer.name);
            results.add(case.name, peer.name, &figures);
        }
    }
    let text = format!(
        "{}\nRounds: {ROUNDS}, of {SECONDS} s each.\n\n{}",
        machine.shown(),
        table(case, &results)?
    );
    println!("{text}");
    report::keep("accounting", &machine.date, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// Who is measured first turns.
fn order(round: usize) -> [&'static Peer; 2] {
    if round.is_multiple_of(2) {
        [&BARE, &COUNTING]
    } else {
        [&COUNTING, &BARE]
    }
}

fn table(case: &Case, results: &Results) -> anyhow::Result<String> {
    let cpu = |peer: &Peer| {
        let spread = Spread::of(results.of(case.name, peer.name, Figure::CpuMicros));
        spread.context("nothing was measured")
    };
    let ratios = results.ratios(case.name, COUNTING.name, BARE.name, Figure::CpuMicros);
    let ratio = Spread::of(&ratios).context("nothing was measured")?;
    let verdict = if ratio.median <= AIM {
        "met".to_owned()
    } else {
        format!("**missed** by {:.1} %", 100.0 * (ratio.median - AIM))
    };
    Ok(format!(
        "| {} | CPU of a request, µs |\n|---|---|\n| nothing is counted for | {} |\n| three objectives, 51 routes watched | {} |\n| ratio, median of rounds; at most {AIM} | {}: {verdict} |\n",
        case.title,
        cpu(&BARE)?.shown(2),
        cpu(&COUNTING)?.shown(2),
        ratio.shown(3)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_the_ratio_within_a_round() {
        let mut results = Results::default();
        for (bare, counting) in [(10.0, 10.2), (20.0, 20.2), (15.0, 18.0)] {
            results.add(CASE, BARE.name, &[(Figure::CpuMicros, bare)]);
            results.add(CASE, COUNTING.name, &[(Figure::CpuMicros, counting)]);
        }
        let case = CASES.iter().find(|case| case.name == CASE).unwrap();
        let text = table(case, &results).unwrap();
        assert!(text.contains("1.020 (1.010..1.200): met"), "{text}");
        assert_eq!(order(0)[0].name, order(1)[1].name);
    }
}
