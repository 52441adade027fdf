//! `cargo xtask bench upgrades`: processes and configurations that change under traffic, and who notices.
//!
//! One Plimsoll after the other takes over, with reloads in between, while callers of four protocols go on: HTTP/1 on
//! kept connections and on new ones, HTTP/2 by gRPC calls, gRPC streams and WebSockets that outlive their process, and
//! wrk at full speed. The callers are those of the tests (`callers.py`); they heed what they are told and repeat
//! nothing. Every request that is not answered well counts, and so does an upgrade or a reload that is refused.

mod callers;
mod subject;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use self::callers::{Callers, Noticed};
use self::subject::{Ports, Subject};
use super::build;
use super::machine::Machine;
use super::process::now;
use super::report::keep;
use super::results::Spread;

/// What is kept is at least this, and about this tree.
const KEPT_UPGRADES: usize = 100;
const KEPT_RELOADS: usize = 1_000;
/// Bounds of what may be asked for: a run ends on the day that it begins.
const UPGRADES_MAX: usize = 10_000;
const RELOADS_MAX: usize = 100_000;

const USAGE: &str = "usage: cargo xtask bench upgrades [--upgrades N] [--reloads N] [--plimsoll FILE]

Without options: 100 upgrades and 1000 reloads of the binary of this tree, which takes some minutes.
A run of that much or more is kept in bench/results and bench/README.md.
It needs wrk, and the Python that ./test prepares.
";

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    upgrades: usize,
    reloads: usize,
    plimsoll: Option<PathBuf>,
}

impl Asked {
    fn read(words: &[String]) -> anyhow::Result<Self> {
        let mut asked = Self {
            upgrades: KEPT_UPGRADES,
            reloads: KEPT_RELOADS,
            plimsoll: None,
        };
        let mut words = words.iter();
        while let Some(flag) = words.next() {
            let value = words
                .next()
                .with_context(|| format!("{flag} takes a value\n\n{USAGE}"))?;
            match flag.as_str() {
                "--upgrades" => asked.upgrades = value.parse().context("reading the number of upgrades")?,
                "--reloads" => asked.reloads = value.parse().context("reading the number of reloads")?,
                "--plimsoll" => asked.plimsoll = Some(PathBuf::from(value)),
                _ => anyhow::bail!("there is no option `{flag}`\n\n{USAGE}"),
            }
        }
        anyhow::ensure!(
            (1..=UPGRADES_MAX).contains(&asked.upgrades),
            "from 1 to {UPGRADES_MAX} upgrades"
        );
        anyhow::ensure!(asked.reloads <= RELOADS_MAX, "at most {RELOADS_MAX} reloads");
        Ok(asked)
    }

    fn is_kept(&self) -> bool {
        self.upgrades >= KEPT_UPGRADES && self.reloads >= KEPT_RELOADS && self.plimsoll.is_none()
    }

    /// How many reloads come before this upgrade.
    fn reloads_before(&self, upgrade: usize) -> usize {
        self.reloads * (upgrade + 1) / self.upgrades - self.reloads * upgrade / self.upgrades
    }
}

/// What came of a run.
#[derive(Debug, Default)]
struct Run {
    /// Milliseconds from asking for an upgrade to hearing that another process serves.
    upgrade_millis: Vec<f64>,
    /// Seconds from there to the end of the old process.
    drain_seconds: Vec<f64>,
    reload_millis: Vec<f64>,
    /// Refused upgrades and reloads, in words.
    refused: Vec<String>,
    noticed: Noticed,
}

pub(super) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let asked = Asked::read(words)?;
    // The load average is of the last minute: building would be the disturbance that it tells of.
    let machine = Machine::look();
    let plimsoll = match &asked.plimsoll {
        Some(path) => path.canonicalize().context("finding the binary")?,
        None => build::binary("plimsoll")?,
    };
    let run = measure(&asked, plimsoll)?;
    let text = format!("{}\n{}", machine.shown(), run.shown());
    println!("{text}");
    if asked.is_kept() {
        keep("upgrades", &machine.date, &text)?;
    }
    let clean = run.failed() == 0;
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn measure(asked: &Asked, plimsoll: PathBuf) -> anyhow::Result<Run> {
    let ports = Ports::find()?;
    let origins = callers::Origins::start(&ports)?;
    let mut subject = Subject::start(plimsoll, ports, &origins)?;
    let callers = Callers::start(subject.ports())?;
    let mut run = Run::default();
    for upgrade in 0..asked.upgrades {
        for _ in 0..asked.reloads_before(upgrade) {
            let began = now();
            match subject.reload() {
                Ok(()) => run.reload_millis.push(millis(began.elapsed())),
                Err(error) => run.refused.push(format!("{error:#}")),
            }
        }
        let began = now();
        match subject.upgrade() {
            Ok(old) => {
                run.upgrade_millis.push(millis(began.elapsed()));
                let began = now();
                subject::ended(old)?;
                run.drain_seconds.push(began.elapsed().as_secs_f64());
            }
            Err(error) => run.refused.push(format!("{error:#}")),
        }
        eprintln!(
            "upgrade {} of {}, {} reloads, {} refused",
            upgrade + 1,
            asked.upgrades,
            run.reload_millis.len(),
            run.refused.len()
        );
    }
    run.noticed = callers.end()?;
    Ok(run)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Run {
    fn failed(&self) -> u64 {
        self.noticed.failed() + self.refused.len() as u64
    }

    /// Tables in Markdown.
    fn shown(&self) -> String {
        let failed = self.failed();
        let verdict = if failed == 0 { "met" } else { "**missed**" };
        let (upgrades, reloads) = (self.upgrade_millis.len(), self.reload_millis.len());
        let spread = |numbers: &[f64], digits| {
            Spread::of(numbers).map_or_else(|| "—".to_owned(), |spread| spread.shown(digits))
        };
        let mut text = format!(
            "| figure | measured | aim | verdict |\n|---|---|---|---|\n\
             | {upgrades} upgrades and {reloads} reloads under mixed load: failed | {failed} | 0 | {verdict} |\n\n\
             | callers | answered | failed |\n|---|---|---|\n"
        );
        for (kind, answered, failed) in self.noticed.rows() {
            _ = writeln!(text, "| {kind} | {answered} | {failed} |");
        }
        _ = write!(
            text,
            "\n| | median (least..greatest) |\n|---|---|\n\
             | `plimsoll upgrade`, until the new process serves, ms | {} |\n\
             | from there to the end of the old process, s | {} |\n\
             | `plimsoll reload`, ms | {} |\n",
            spread(&self.upgrade_millis, 1),
            spread(&self.drain_seconds, 2),
            spread(&self.reload_millis, 1),
        );
        for words in self.refused.iter().chain(&self.noticed.failures) {
            _ = write!(text, "\n- {words}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> anyhow::Result<Asked> {
        Asked::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_bounded() {
        assert!(read(&[]).unwrap().is_kept());
        assert!(!read(&["--upgrades", "99"]).unwrap().is_kept());
        assert!(!read(&["--plimsoll", "a"]).unwrap().is_kept());
        for wrong in [&["--upgrades", "0"][..], &["--reloads"], &["--fast", "1"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn reloads_are_spread_over_the_upgrades() {
        let asked = read(&["--upgrades", "3", "--reloads", "10"]).unwrap();
        let before: Vec<_> = (0..3).map(|upgrade| asked.reloads_before(upgrade)).collect();
        assert_eq!(before, [3, 3, 4]);
    }

    #[test]
    fn what_was_refused_counts_and_is_told() {
        let run = Run {
            refused: vec!["it is draining".to_owned()],
            ..Run::default()
        };
        assert_eq!(run.failed(), 1);
        assert!(run.shown().contains("**missed**") && run.shown().contains("- it is draining"));
        assert!(Run::default().shown().contains("| 0 | 0 | met |"));
    }
}
