//! Where and of what a run was: without this a number says nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::measure::OTHER_CPU;
use super::peers::PEERS;
use super::tools::{Tools, printed};

/// Above this load average, others were at work: the run is marked as disturbed.
const QUIET: f64 = 0.5;

#[derive(Debug)]
pub(crate) struct Machine {
    /// As `2026-01-31`.
    pub(crate) date: String,
    processor: String,
    kernel: String,
    /// Of the last minute, before the run.
    load: f64,
    commit: String,
    versions: Vec<String>,
}

impl Machine {
    /// Looks at the machine. What cannot be told is `unknown`: it is no reason not to measure.
    pub(crate) fn look() -> Self {
        let cpus = std::thread::available_parallelism().map_or(0, usize::from);
        let info = read("/proc/cpuinfo");
        let model = info
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = read("/proc/loadavg");
        Self {
            date: said("date", &["--utc", "+%F"]),
            processor: format!("{cpus} CPUs, {}", model.map_or("unknown", |(_, name)| name)),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            load: load
                .split(' ')
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or(f64::NAN),
            commit: said("git", &["describe", "--always", "--dirty", "--abbrev=9"]),
            versions: vec![said("rustc", &["--version"])],
        }
    }

    /// Takes down the versions of what is measured and of what measures.
    pub(crate) fn with_versions(mut self, tools: &Tools) -> Self {
        for peer in PEERS {
            self.add_version(peer.name, tools.of_peer(peer.name), peer.version);
        }
        // wrk prints its version with its usage, and calls that a failure.
        let wrk = Command::new(&tools.wrk).arg("--version").output();
        let text = wrk.map_or_else(
            |_| String::new(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        );
        self.versions
            .push(format!("wrk {}", version(&text).unwrap_or("unknown")));
        self.add_version("h2load", &tools.h2load, &["--version"]);
        self
    }

    /// Takes down the version of one program, as it says it when called with these arguments.
    pub(crate) fn add_version(&mut self, name: &str, program: &Path, arguments: &[&str]) {
        let text = printed(Command::new(program).args(arguments)).unwrap_or_default();
        self.versions
            .push(format!("{name} {}", version(&text).unwrap_or("unknown")));
    }

    /// One paragraph of Markdown.
    pub(crate) fn shown(&self) -> String {
        let Self {
            date,
            processor,
            kernel,
            load,
            commit,
            versions,
        } = self;
        // Not a number is not quiet either.
        let disturbed = if *load <= QUIET {
            ""
        } else {
            "\n**Disturbed**: others were at work on this machine; take the numbers for an impression.\n"
        };
        format!(
            "Measured on {date}, commit `{commit}`: {processor}, {kernel}, load average {load:.2} before the run; {}.\n{disturbed}",
            versions.join(", ")
        )
    }
}

/// Makes sure that there are two CPUs, and that so many files may be open.
///
/// # Errors
/// What is missing, with the command that helps.
pub(crate) fn suffices(descriptors: u64) -> anyhow::Result<()> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    anyhow::ensure!(
        cpus > OTHER_CPU,
        "it takes two CPUs: one for the proxy, one for the rest"
    );
    let limits = fs::read_to_string("/proc/self/limits").context("reading the limits of this process")?;
    let open = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        // The one word that is no number is `unlimited`.
        .unwrap_or(u64::MAX);
    anyhow::ensure!(
        open >= descriptors,
        "{open} files may be open and {descriptors} are needed; to allow them: ulimit -n {descriptors}"
    );
    Ok(())
}

/// The first word that looks like a version, such as `2.6.12-1` or `nginx/1.22.1`.
fn version(text: &str) -> Option<&str> {
    text.split([' ', '\n', '/', '\t'])
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn said(program: &str, words: &[&str]) -> String {
    let mut command = Command::new(program);
    let text = printed(command.args(words).current_dir(crate::root()));
    text.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        let said = [
            (
                "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - x",
                "2.6.12-1+deb12u4",
            ),
            ("nginx version: nginx/1.22.1\n", "1.22.1"),
            ("wrk debian/4.1.0-3+b2 [epoll]", "4.1.0-3+b2"),
            (
                "envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean",
                "1.40.0",
            ),
            ("plimsoll 0.1.0\n", "0.1.0"),
        ];
        for (text, expected) in said {
            assert_eq!(version(text), Some(expected), "{text}");
        }
    }
}
