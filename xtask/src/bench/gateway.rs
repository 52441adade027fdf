//! `cargo xtask bench gateway`: the shipped binary beside the proxies that people would otherwise take.
//!
//! All of them are measured in one run, round by round, each started anew for every round and case, in an order that
//! turns by one from round to round. What is compared is the ratio within a round, since a busy neighbour disturbs
//! all of a round; what is reported is the median of the ratios, with the least and the greatest.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::cases::{CASES, Case, Work};
use super::machine::{self, Machine};
use super::measure::{Bench, make_pair};
use super::peers::{PEERS, Peer};
use super::results::Results;
use super::tools::Tools;
use super::{aims, build, report};

/// Fewer rounds than this are for looking, and nothing of them is kept.
const KEPT_ROUNDS: usize = 3;
/// Bounds of what may be asked for: a run ends on the day that it begins.
const ROUNDS_MAX: usize = 50;
const SECONDS_MAX: u64 = 60;
/// Descriptors for the clients of the memory case, and for a proxy to hold both sides of them.
const DESCRIPTORS: u64 = 4096;

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    rounds: usize,
    seconds: u64,
    only: Option<String>,
    plimsoll: Option<PathBuf>,
}

pub(super) fn usage() -> String {
    let cases: Vec<String> = CASES
        .iter()
        .map(|case| format!("  {:<9}{}\n", case.name, case.title))
        .collect();
    format!(
        "usage: cargo xtask bench gateway [--rounds N] [--seconds S] [--only CASE] [--plimsoll FILE]\n\n\
         Without options: {default:?} rounds of {seconds} seconds, all cases, the binary of this tree.\n\
         A run of it, of all cases and {KEPT_ROUNDS} rounds or more, is kept in bench/results and bench/README.md.\n\nCases:\n\n{}",
        cases.concat(),
        default = Asked::default().rounds,
        seconds = Asked::default().seconds,
    )
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            rounds: 5,
            seconds: 5,
            only: None,
            plimsoll: None,
        }
    }
}

impl Asked {
    fn read(words: &[String]) -> anyhow::Result<Self> {
        let mut asked = Self::default();
        let mut words = words.iter();
        while let Some(flag) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{flag} takes a value\n\n{}", usage()))?;
            match flag.as_str() {
                "--rounds" => asked.rounds = value.parse().context("reading the number of rounds")?,
                "--seconds" => asked.seconds = value.parse().context("reading the number of seconds")?,
                "--only" => asked.only = Some(value.clone()),
                "--plimsoll" => asked.plimsoll = Some(PathBuf::from(value)),
                _ => anyhow::bail!("there is no option `{flag}`\n\n{}", usage()),
            }
        }
        anyhow::ensure!(
            (1..=ROUNDS_MAX).contains(&asked.rounds),
            "from 1 to {ROUNDS_MAX} rounds"
        );
        anyhow::ensure!(
            (1..=SECONDS_MAX).contains(&asked.seconds),
            "from 1 to {SECONDS_MAX} seconds"
        );
        if let Some(only) = &asked.only {
            let known = CASES.iter().any(|case| case.name == only);
            anyhow::ensure!(known, "there is no case `{only}`\n\n{}", usage());
        }
        Ok(asked)
    }

    /// What is kept is about all cases and about this tree, and is no accident.
    fn is_kept(&self) -> bool {
        self.only.is_none() && self.plimsoll.is_none() && self.rounds >= KEPT_ROUNDS
    }

    fn cases(&self) -> impl Iterator<Item = &'static Case> {
        CASES
            .iter()
            .filter(|case| self.only.as_ref().is_none_or(|only| case.name == only))
    }
}

pub(super) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{}", usage());
        return Ok(ExitCode::SUCCESS);
    }
    let asked = Asked::read(words)?;
    machine::suffices(DESCRIPTORS)?;
    let (bench, machine) = prepare(asked.plimsoll.as_deref(), asked.seconds)?;
    let results = rounds(&bench, &asked)?;
    let text = format!(
        "{}\nRounds: {}, of {} s each.\n\n{}",
        machine.shown(),
        asked.rounds,
        asked.seconds,
        report::tables(&results)
    );
    println!("{text}");
    if asked.is_kept() {
        report::keep("gateway", &machine.date, &text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is needed to measure for so many seconds each time, with this binary or that of this tree.
pub(super) fn prepare(plimsoll: Option<&Path>, seconds: u64) -> anyhow::Result<(Bench, Machine)> {
    // The load average is of the last minute: building would be the disturbance that it tells of.
    let machine = Machine::look();
    let xtask = build::binary("xtask")?;
    let plimsoll = match plimsoll {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("finding {}", path.display()))?,
        None => build::binary("plimsoll")?,
    };
    // Beside the binaries, so that whoever moves `target` moves all of it.
    let target = xtask
        .parent()
        .and_then(|profile| profile.parent())
        .context("finding target")?;
    let directory = target.join("bench");
    std::fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let tools = Tools::gather(plimsoll, xtask, &directory)?;
    let machine = machine.with_versions(&tools);
    let pair = make_pair(&tools, &directory)?;
    let bench = Bench::begin(tools, directory, pair, Duration::from_secs(seconds))?;
    Ok((bench, machine))
}

fn rounds(bench: &Bench, asked: &Asked) -> anyhow::Result<Results> {
    let mut results = Results::default();
    for round in 0..asked.rounds {
        for case in asked.cases() {
            for peer in order(case, round) {
                let figures = bench
                    .measure(case, peer)
                    .with_context(|| format!("measuring {} in the case {}", peer.name, case.name))?;
                let shown: Vec<String> = figures
                    .iter()
                    .map(|(figure, number)| format!("{figure:?} {number:.2}"))
                    .collect();
                eprintln!(
                    "round {} {:<8} {:<9} {}",
                    round + 1,
                    case.name,
                    peer.name,
                    shown.join(", ")
                );
                results.add(case.name, peer.name, &figures);
            }
        }
    }
    Ok(results)
}

/// Who is measured in a case, beginning with another one each round: whoever comes first finds the machine coolest.
fn order(case: &Case, round: usize) -> Vec<&'static Peer> {
    let ours_alone = matches!(case.work, Work::Reload(_));
    let mut peers: Vec<&Peer> = PEERS
        .iter()
        .filter(|peer| !ours_alone || peer.name == aims::OURS)
        .collect();
    let count = peers.len();
    peers.rotate_left(round % count);
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> anyhow::Result<Asked> {
        Asked::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_bounded() {
        assert_eq!(read(&[]).unwrap(), Asked::default());
        assert!(Asked::default().is_kept() && !read(&["--plimsoll", "a"]).unwrap().is_kept());
        let asked = read(&["--rounds", "1", "--seconds", "2", "--only", "h2"]).unwrap();
        assert_eq!(
            (asked.rounds, asked.seconds, asked.only.as_deref()),
            (1, 2, Some("h2"))
        );
        for wrong in [
            &["--rounds"][..],
            &["--rounds", "0"],
            &["--seconds", "61"],
            &["--only", "h9"],
            &["--fast", "1"],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_order_turns_and_reload_is_ours_alone() {
        let names = |name: &str, round| -> Vec<_> {
            let case = CASES.iter().find(|case| case.name == name).unwrap();
            order(case, round).iter().map(|peer| peer.name).collect()
        };
        assert_eq!(names("get-64", 0), ["plimsoll", "haproxy", "nginx", "envoy"]);
        assert_eq!(names("get-64", 5), ["haproxy", "nginx", "envoy", "plimsoll"]);
        assert_eq!(names("reload", 3), ["plimsoll"]);
    }
}
