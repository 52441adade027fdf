//! `cargo xtask bench policy`: how long each decision takes, and the proof that admitting allocates nothing.
//!
//! The list of decisions, the timing and the proof are in `lib/plimsoll-policy`; this makes a table of them.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

use super::machine::Machine;
use super::report;
use super::tools::printed;

/// What a decision may take, in nanoseconds.
const NANOS_MAX: f64 = 1000.0;
/// What cargo says when the proof holds.
const PROOF: &str = "test allocation::what_admits_does_not_allocate ... ok";

pub(super) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(words.is_empty(), "takes no arguments");
    let machine = Machine::look();
    eprintln!("proving that admitting allocates nothing");
    let proof = [
        "test",
        "--locked",
        "--package",
        "plimsoll-policy",
        "--test",
        "it",
        "allocation",
    ];
    let said = printed(Command::new("cargo").args(proof).current_dir(crate::root()))?;
    // A filter that matches no test passes as well.
    anyhow::ensure!(said.contains(PROOF), "the proof did not run:\n{said}");
    eprintln!("timing each decision");
    let text = benched("plimsoll-policy", "decisions")?;
    let timed = timings(&text).with_context(|| format!("reading the timings:\n{text}"))?;
    let text = format!("{}\n{}", machine.shown(), table(&timed));
    println!("{text}");
    report::keep("policy", &machine.date, &text)?;
    Ok(ExitCode::SUCCESS)
}

/// What a benchmark of a package says, built as what is shipped.
pub(super) fn benched(package: &str, bench: &str) -> anyhow::Result<String> {
    let words = [
        "bench",
        "--locked",
        "--profile",
        "dist",
        "--package",
        package,
        "--bench",
        bench,
    ];
    printed(Command::new("cargo").args(words).current_dir(crate::root()))
}

/// Name, least, median and greatest nanoseconds.
pub(super) type Timed<'a> = (&'a str, [f64; 3]);

/// Lines with tabs are timings; the others are cargo's. `None` if there is none.
pub(super) fn timings(text: &str) -> Option<Vec<Timed<'_>>> {
    let timed: Vec<Timed<'_>> = text.lines().filter_map(timing).collect();
    (!timed.is_empty()).then_some(timed)
}

fn timing(line: &str) -> Option<Timed<'_>> {
    let mut words = line.split('\t');
    let name = words.next()?;
    let mut number = || words.next()?.parse().ok();
    Some((name, [number()?, number()?, number()?]))
}

fn table(timed: &[Timed<'_>]) -> String {
    let rows: Vec<String> = timed
        .iter()
        .map(|(name, [least, median, _])| {
            let verdict = if *median <= NANOS_MAX {
                "met".to_owned()
            } else {
                format!("**missed** by {:.0} ns", median - NANOS_MAX)
            };
            format!("| {name} | {median:.1} (least {least:.1}) | ≤ {NANOS_MAX:.0} | {verdict} |\n")
        })
        .collect();
    let sum: f64 = timed.iter().map(|(_, [_, median, _])| median).sum();
    format!(
        "| decision | ns, median of batches | aim, ns | verdict |\n|---|---|---|---|\n{}\n\
         All of them together: {sum:.0} ns; a request that is not retried needs all but the last three.\n\
         Allocations when admitting: 0, proven by `lib/plimsoll-policy/tests/it/allocation.rs` in this run.\n",
        rows.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_are_read_between_lines_of_cargo() {
        let text = "   Running benches\nbreaker: admit\t7.9\t8.2\t40.0\nslow\t900.0\t1200.4\t9000.0\n";
        let timed = timings(text).unwrap();
        assert_eq!(timed[0], ("breaker: admit", [7.9, 8.2, 40.0]));
        let table = table(&timed);
        assert!(
            table.contains("| breaker: admit | 8.2 (least 7.9) | ≤ 1000 | met |"),
            "{table}"
        );
        assert!(table.contains("**missed** by 200 ns"), "{table}");
        assert!(timings("   Running benches\n").is_none());
    }
}
