//! `cargo xtask ci`: everything that must pass before a change goes in, in one command that also runs on a laptop.
//!
//! A step that fails does not stop the others: whoever reads the end should know all of it. The last line is
//! `N passed, N failed`, for people and for machines. It sums the `test result:` lines of all runs. A step that
//! fails with no failing test of its own (a lint, a build, a crash) counts as one more failure.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// A step: its name, what it proves, and how.
struct Step {
    name: &'static str,
    about: &'static str,
    work: fn(&mut Tally) -> anyhow::Result<Ending>,
}

const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "the code is formatted",
        work: |tally| cargo(tally, &["fmt", "--all", "--check"]),
    },
    Step {
        name: "clippy",
        about: "no lint has anything to say",
        work: clippy,
    },
    Step {
        name: "tidy",
        about: "the house rules hold",
        work: tidy,
    },
    Step {
        name: "deny",
        about: "licences, advisories and bans of dependencies",
        work: deny,
    },
    Step {
        name: "test",
        about: "all tests",
        work: test,
    },
    Step {
        name: "peers",
        about: "programs that we did not write agree: h2spec, gRPC, other servers",
        work: peers,
    },
    Step {
        name: "doctest",
        about: "the examples in the documentation",
        work: doctest,
    },
];

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Passed,
    Failed,
    Skipped(&'static str),
}

/// Tests that passed and failed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Takes in a line such as `test result: ok. 3 passed; 0 failed; …`; other lines say nothing.
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        let before =
            |word: &str| -> Option<u64> { result.split(word).next()?.rsplit(' ').next()?.parse().ok() };
        self.passed += before(" passed").unwrap_or(0);
        self.failed += before(" failed").unwrap_or(0);
    }

    /// Takes in how a step ended, given what had failed before it.
    fn close(&mut self, ending: &Ending, failed_before: u64) {
        if *ending == Ending::Failed && self.failed == failed_before {
            self.failed += 1;
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

pub(crate) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{}", usage());
        return Ok(ExitCode::SUCCESS);
    }
    let steps = chosen(words)?;
    let mut tally = Tally::default();
    let mut endings = Vec::new();
    for step in steps {
        println!("\n=== {}: {}", step.name, step.about);
        let begin = now();
        let failed_before = tally.failed;
        let ending = (step.work)(&mut tally).unwrap_or_else(|error| {
            println!("{}: {error:#}", step.name);
            Ending::Failed
        });
        tally.close(&ending, failed_before);
        if let Ending::Skipped(why) = ending {
            println!("skipped: {why}");
        }
        endings.push((step.name, ending, now() - begin));
    }
    print!("\n{}", table(&endings));
    println!("{tally}");
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The steps that were asked for, in their usual order; all of them if none was named.
fn chosen(words: &[String]) -> anyhow::Result<Vec<&'static Step>> {
    for word in words {
        let known = STEPS.iter().any(|step| step.name == word);
        anyhow::ensure!(known, "there is no step `{word}`\n\n{}", usage());
    }
    Ok(STEPS
        .iter()
        .filter(|step| words.is_empty() || words.iter().any(|word| word == step.name))
        .collect())
}

fn usage() -> String {
    let steps: Vec<String> = STEPS
        .iter()
        .map(|step| format!("  {:<9}{}\n", step.name, step.about))
        .collect();
    format!(
        "usage: cargo xtask ci [step…]\n\nWithout a step, all of them:\n\n{}",
        steps.concat()
    )
}

fn table(endings: &[(&str, Ending, Duration)]) -> String {
    let line = |(name, ending, time): &(&str, Ending, Duration)| {
        let word = match ending {
            Ending::Passed => "passed".to_owned(),
            Ending::Failed => "FAILED".to_owned(),
            Ending::Skipped(why) => format!("skipped: {why}"),
        };
        format!("{name:<9}{:>7.1} s  {word}\n", time.as_secs_f64())
    };
    endings.iter().map(line).collect::<Vec<_>>().concat()
}

fn clippy(tally: &mut Tally) -> anyhow::Result<Ending> {
    cargo(
        tally,
        &[
            "clippy",
            "--locked",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    )
}

fn test(tally: &mut Tally) -> anyhow::Result<Ending> {
    // Documentation examples are a step of their own; `--all-targets` would leave them out, and run benchmarks.
    let targets = ["--lib", "--bins", "--tests", "--examples"];
    let base = ["test", "--locked", "--workspace", "--no-fail-fast"];
    cargo(tally, &[&base[..], &targets[..]].concat())
}

fn doctest(tally: &mut Tally) -> anyhow::Result<Ending> {
    cargo(
        tally,
        &["test", "--locked", "--workspace", "--no-fail-fast", "--doc"],
    )
}

/// The suites of `cargo xtask conformance`, with what is on this machine.
fn peers(tally: &mut Tally) -> anyhow::Result<Ending> {
    let (passed, failed) = crate::conformance::run_suites(&[], &[])?;
    tally.passed += passed;
    tally.failed += failed;
    Ok(if failed == 0 {
        Ending::Passed
    } else {
        Ending::Failed
    })
}

fn tidy(_: &mut Tally) -> anyhow::Result<Ending> {
    let report = crate::tidy::report()?;
    for line in &report {
        println!("{line}");
    }
    Ok(if report.is_empty() {
        Ending::Passed
    } else {
        Ending::Failed
    })
}

/// Installing cargo-deny means minutes of compiling, so it is used where it is and never fetched.
fn deny(tally: &mut Tally) -> anyhow::Result<Ending> {
    let asked = Command::new("cargo")
        .args(["deny", "--version"])
        .output()
        .context("starting cargo")?;
    if asked.status.success() {
        cargo(tally, &["deny", "--locked", "--workspace", "check"])
    } else {
        Ok(Ending::Skipped("cargo-deny is not installed"))
    }
}

/// Runs cargo, passes on what it prints, and reads the results of tests out of it.
fn cargo(tally: &mut Tally, words: &[&str]) -> anyhow::Result<Ending> {
    println!("$ cargo {}", words.join(" "));
    let mut child = Command::new("cargo")
        .args(words)
        .current_dir(crate::root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting cargo")?;
    let mut printed = BufReader::new(child.stdout.take().expect("its standard output is piped"));
    let mut line = Vec::new();
    // Lines are read as bytes: a test may print what is not UTF-8.
    while printed
        .read_until(b'\n', &mut line)
        .context("reading what cargo prints")?
        > 0
    {
        std::io::stdout().write_all(&line).context("printing")?;
        tally.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    let status = child.wait().context("waiting for cargo")?;
    Ok(if status.success() {
        Ending::Passed
    } else {
        Ending::Failed
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "it times real programs; nothing here is ever simulated"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_runs_are_summed() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
            "test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "not a test result: ok. 5 passed; 5 failed",
        ] {
            tally.read(line);
        }
        assert_eq!(tally.to_string(), "13 passed, 2 failed");
    }

    #[test]
    fn a_step_that_fails_without_a_failing_test_is_one_failure() {
        let mut tally = Tally { passed: 1, failed: 2 };
        tally.close(&Ending::Failed, 2);
        assert_eq!(tally.failed, 3, "nothing had failed in this step but the step");
        tally.close(&Ending::Failed, 1);
        tally.close(&Ending::Passed, 3);
        tally.close(&Ending::Skipped("it is not here"), 3);
        assert_eq!(tally.failed, 3);
    }

    #[test]
    fn steps_are_chosen_by_name_and_run_in_their_usual_order() {
        let names = |words: &[&str]| -> anyhow::Result<Vec<&str>> {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            Ok(chosen(&words)?.iter().map(|step| step.name).collect())
        };
        assert_eq!(names(&[]).unwrap().len(), STEPS.len());
        assert_eq!(names(&["test", "fmt"]).unwrap(), ["fmt", "test"]);
        assert!(names(&["tset"]).is_err());
    }

    #[test]
    fn the_table_has_a_line_for_each_step() {
        let endings = [
            ("fmt", Ending::Passed, Duration::from_millis(1250)),
            ("clippy", Ending::Failed, Duration::from_mins(1)),
            ("deny", Ending::Skipped("it is not here"), Duration::ZERO),
        ];
        let expected = "fmt          1.2 s  passed\n\
                        clippy      60.0 s  FAILED\n\
                        deny         0.0 s  skipped: it is not here\n";
        assert_eq!(table(&endings), expected);
    }
}
