//! `cargo xtask bench judge`: what it costs to judge.
//!
//! What is timed is in `crates/gateway/benches/judging.rs`; this makes a table of it, with what was aimed at.

use std::process::ExitCode;

use anyhow::Context as _;

use super::machine::Machine;
use super::policy::{benched, timings};
use super::report;

/// What each may take, in nanoseconds: an outcome is counted for every request, a version drawn for those that are split, and ten thousand objectives are judged
/// every second on a tenth of a core.
const AIMS: [(&str, f64); 3] = [("count", 60.0), ("draw", 50.0), ("judge", 10_000.0)];

pub(super) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(words.is_empty(), "takes no arguments");
    let machine = Machine::look();
    let text = benched("gateway", "judging")?;
    let timed = timings(&text).with_context(|| format!("reading the timings:\n{text}"))?;
    let rows: Vec<String> = timed.iter().map(|timed| row(*timed)).collect();
    let text = format!(
        "{}\n| of each | ns, median of batches | aim, ns | verdict |\n|---|---|---|---|\n{}",
        machine.shown(),
        rows.concat()
    );
    println!("{text}");
    report::keep("judge", &machine.date, &text)?;
    Ok(ExitCode::SUCCESS)
}

fn row((name, [least, median, greatest]): (&str, [f64; 3])) -> String {
    let aim = AIMS.iter().find(|(kind, _)| name.starts_with(kind));
    let (aim, verdict) = match aim {
        None => ("—".to_owned(), "—".to_owned()),
        Some((_, aim)) if median <= *aim => (format!("≤ {aim:.0}"), "met".to_owned()),
        Some((_, aim)) => (
            format!("≤ {aim:.0}"),
            format!("**missed** by {:.0} ns", median - aim),
        ),
    };
    format!("| {name} | {median:.1} ({least:.1}..{greatest:.1}) | {aim} | {verdict} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_said() {
        assert_eq!(
            row(("count a good outcome", [2.0, 3.0, 9.0])),
            "| count a good outcome | 3.0 (2.0..9.0) | ≤ 60 | met |\n"
        );
        assert!(row(("judge a second", [2.0, 12_000.0, 13_000.0])).contains("**missed** by 2000 ns"));
    }
}
