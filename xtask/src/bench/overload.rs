//! `cargo xtask bench overload`: what becomes of callers when a service is asked for more than it can do.
//!
//! A service of known capacity stands behind each proxy in turn, and callers come at their own times, however it fares.
//! [`scenarios`] is what is done to them; every one is run for every peer, with the same arrivals, in one run. The
//! aims are in [`judge`], and a run in which the generator was the bottleneck judges nothing.

mod arrivals;
mod dice;
mod generator;
mod judge;
mod lines;
mod peers;
mod pictures;
mod samples;
mod scenarios;
mod service;
mod settled;
mod tables;
mod watch;
mod wire;
mod workers;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use self::peers::{DIRECT, OURS, PEERS, Peer};
use self::scenarios::chain::{Chain, LINKS};
use self::scenarios::dependency::Dependency;
use self::scenarios::dying::{self, Dying};
use self::scenarios::outage::{self, Outage};
use self::scenarios::steady::Steady;
use self::scenarios::sweep::{Level, Sweep};
use self::scenarios::{SCENARIOS, chain, dependency, steady, sweep};
use self::world::{Ground, Run};
use super::build;
use super::machine::{self, Machine};
use super::{report, tools};

/// Descriptors for the callers of ten times the capacity who wait for a second, and for the service's side of them.
const DESCRIPTORS: u64 = 16_384;
/// Shorter runs than these are for looking, and nothing of them is kept.
const KEPT_SECONDS: u64 = 5;
const KEPT_STEADY: u64 = 60;
/// Bounds of what may be asked for.
const SECONDS_MAX: u64 = 120;
const STEADY_MAX: u64 = 24 * 3600;

/// The programs that are put to the test.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) plimsoll: PathBuf,
    pub(crate) haproxy: PathBuf,
    pub(crate) envoy: PathBuf,
}

/// What was asked for.
#[derive(Debug, PartialEq)]
struct Asked {
    /// Of each level and stretch, after the time to adapt.
    seconds: u64,
    steady: u64,
    only: Option<String>,
    peers: Option<Vec<String>>,
    plimsoll: Option<PathBuf>,
}

/// All that came out, by peer.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) sweeps: Vec<(&'static str, Sweep)>,
    /// One step, of a proxy that has just been started.
    pub(crate) fresh: Vec<(&'static str, Level)>,
    pub(crate) steadies: Vec<(&'static str, Steady)>,
    pub(crate) dependencies: Vec<(&'static str, Dependency)>,
    /// With the way in which the service was gone.
    pub(crate) outages: Vec<(&'static str, &'static str, Outage)>,
    /// With the way in which the endpoint died.
    pub(crate) dyings: Vec<(&'static str, &'static str, Dying)>,
    /// Ours alone.
    pub(crate) chains: Vec<Chain>,
}

pub(super) fn usage() -> String {
    let scenarios: Vec<String> = SCENARIOS
        .iter()
        .map(|(name, about)| format!("  {name:<12}{about}\n"))
        .collect();
    format!(
        "usage: cargo xtask bench overload [--seconds S] [--steady S] [--only SCENARIO] [--peers A,B] [--plimsoll FILE]\n\n\
         Without options: {KEPT_SECONDS} seconds for each level after the time to adapt, {KEPT_STEADY} of steady load,\n\
         all scenarios and peers, the binary of this tree. A run of all that, or longer, is kept in bench/results and\n\
         bench/README.md.\n\nScenarios:\n\n{}",
        scenarios.concat(),
    )
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            seconds: KEPT_SECONDS,
            steady: KEPT_STEADY,
            only: None,
            peers: None,
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
                "--seconds" => asked.seconds = value.parse().context("reading the number of seconds")?,
                "--steady" => asked.steady = value.parse().context("reading the seconds of steady load")?,
                "--only" => asked.only = Some(value.clone()),
                "--peers" => asked.peers = Some(value.split(',').map(str::to_owned).collect()),
                "--plimsoll" => asked.plimsoll = Some(PathBuf::from(value)),
                _ => anyhow::bail!("there is no option `{flag}`\n\n{}", usage()),
            }
        }
        anyhow::ensure!(
            (3..=SECONDS_MAX).contains(&asked.seconds),
            "from 3 to {SECONDS_MAX} seconds"
        );
        anyhow::ensure!(
            (1..=STEADY_MAX).contains(&asked.steady),
            "from 1 to {STEADY_MAX} seconds of steady load"
        );
        if let Some(only) = &asked.only {
            let known = SCENARIOS.iter().any(|(name, _)| name == only);
            anyhow::ensure!(known, "there is no scenario `{only}`\n\n{}", usage());
        }
        for name in asked.peers.iter().flatten() {
            let known = PEERS.iter().any(|peer| peer.name == name);
            anyhow::ensure!(known, "there is no peer `{name}`");
        }
        Ok(asked)
    }

    /// What is kept is about everything and about this tree, and is no accident.
    fn is_kept(&self) -> bool {
        self.only.is_none()
            && self.peers.is_none()
            && self.plimsoll.is_none()
            && self.seconds >= KEPT_SECONDS
            && self.steady >= KEPT_STEADY
    }

    fn wants(&self, scenario: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == scenario)
    }

    fn peers(&self) -> impl Iterator<Item = &'static Peer> {
        PEERS.iter().filter(|peer| {
            let names = self.peers.as_ref();
            names.is_none_or(|names| names.iter().any(|name| name == peer.name))
        })
    }
}

pub(super) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{}", usage());
        return Ok(ExitCode::SUCCESS);
    }
    let asked = Asked::read(words)?;
    machine::suffices(DESCRIPTORS)?;
    let (ground, machine) = prepare(&asked)?;
    if !world::pin_self()? {
        eprintln!("not allowed to go before others on this machine: neighbours may make runs void");
    }
    let findings = all(&ground, &asked)?;
    let name = format!("{}-overload", machine.date);
    let pictures = pictures::draw(&findings);
    let text = format!(
        "{}\n{}\n{}",
        machine.shown(),
        report::verdicts(&judge::aims(&findings)),
        tables::all(&findings)
    );
    let directory = if asked.is_kept() {
        report::keep(
            "overload",
            &machine.date,
            &format!("{text}{}", pictures::shown(&pictures, &name)),
        )?;
        crate::root().join("bench/results")
    } else {
        ground.directory
    };
    for picture in &pictures {
        let path = directory.join(format!("{name}-{}.svg", picture.name));
        std::fs::write(&path, picture.chart.svg()).with_context(|| format!("writing {}", path.display()))?;
        eprintln!("drawn: {}", path.display());
    }
    println!("{text}");
    Ok(ExitCode::SUCCESS)
}

fn prepare(asked: &Asked) -> anyhow::Result<(Ground, Machine)> {
    // The load average is of the last minute: building would be the disturbance that it tells of.
    let mut machine = Machine::look();
    tools::install(|name| matches!(name, "haproxy" | "taskset" | "setpriv"))?;
    let plimsoll = match &asked.plimsoll {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("finding {}", path.display()))?,
        None => build::binary("plimsoll")?,
    };
    // Beside what is built, so that whoever moves `target` moves all of it.
    let own = std::env::current_exe().context("finding this program")?;
    let target = own
        .parent()
        .and_then(|profile| profile.parent())
        .context("finding target")?;
    let directory = world::directory(target);
    std::fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let programs = Programs {
        plimsoll,
        haproxy: tools::packaged("haproxy")?,
        envoy: tools::envoy(&target.join("bench"))?,
    };
    for peer in PEERS.iter().filter(|peer| peer.launch.is_some()) {
        machine.add_version(peer.name, programs.of(peer.name), peer.version);
    }
    Ok((Ground { programs, directory }, machine))
}

impl Programs {
    fn of(&self, peer: &str) -> &std::path::Path {
        match peer {
            "haproxy" => &self.haproxy,
            "envoy" => &self.envoy,
            _ => &self.plimsoll,
        }
    }
}

/// Scenario by scenario, and within each one peer after the other, so that all of them meet the same neighbours.
fn all(ground: &Ground, asked: &Asked) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    for (scenario, _) in SCENARIOS.iter().filter(|(name, _)| asked.wants(name)) {
        one(ground, asked, scenario, &mut findings)
            .with_context(|| format!("running the scenario {scenario}"))?;
    }
    Ok(findings)
}

fn one(ground: &Ground, asked: &Asked, scenario: &str, findings: &mut Findings) -> anyhow::Result<()> {
    match scenario {
        "sweep" => each(asked, |peer| {
            let told = |level: &Level| tell(peer, &format!("sweep at {}", level.times), &level.run);
            let sweep = sweep::all(ground, peer, asked.seconds, told)?;
            findings.sweeps.push((peer.name, sweep));
            let fresh = twice(|| sweep::fresh(ground, peer, asked.seconds), |level| &level.run)?;
            tell(peer, "a step just after start", &fresh.run);
            findings.fresh.push((peer.name, fresh));
            Ok(())
        }),
        "steady" => each(asked, |peer| {
            // Without a proxy there is nobody who could refuse.
            if peer.name != DIRECT {
                let steady = twice(|| steady::run(ground, peer, asked.steady), |found| &found.run)?;
                tell(peer, "steady", &steady.run);
                findings.steadies.push((peer.name, steady));
            }
            Ok(())
        }),
        "dependency" => each(asked, |peer| {
            let dependency = twice(
                || dependency::run(ground, peer, asked.seconds),
                |found| &found.run,
            )?;
            tell(peer, "dependency", &dependency.run);
            findings.dependencies.push((peer.name, dependency));
            Ok(())
        }),
        "outage" => outage::WAYS.iter().try_for_each(|(way, state)| {
            each(asked, |peer| {
                let outage = twice(|| outage::run(ground, peer, *state), |found| &found.run)?;
                tell(peer, &format!("outage, {way}"), &outage.run);
                findings.outages.push((peer.name, way, outage));
                Ok(())
            })
        }),
        "dying" => dying::WAYS.iter().try_for_each(|(way, state)| {
            each(asked, |peer| {
                // Without a proxy there is nobody who could choose another endpoint.
                if peer.name != DIRECT {
                    let dying = twice(|| dying::run(ground, peer, *state), |found| &found.run)?;
                    tell(peer, &format!("an endpoint {way}"), &dying.run);
                    findings.dyings.push((peer.name, way, dying));
                }
                Ok(())
            })
        }),
        // The chain is ours alone: the others' retries have no budget to be held to.
        _ => LINKS.iter().try_for_each(|link| {
            let ours = PEERS
                .iter()
                .find(|peer| peer.name == OURS)
                .expect("we are in the list");
            let chain = twice(|| chain::run(ground, ours, *link), |found| &found.run)?;
            tell(ours, &format!("chain of {}", link.hops), &chain.run);
            findings.chains.push(chain);
            Ok(())
        }),
    }
}

fn each(asked: &Asked, mut run: impl FnMut(&'static Peer) -> anyhow::Result<()>) -> anyhow::Result<()> {
    asked
        .peers()
        .try_for_each(|peer| run(peer).with_context(|| format!("putting {} to the test", peer.name)))
}

/// Runs it once more if the first time says nothing: a machine that stood still for a moment does so seldom.
fn twice<T>(mut run: impl FnMut() -> anyhow::Result<T>, of: impl Fn(&T) -> &Run) -> anyhow::Result<T> {
    let first = run()?;
    let Some(why) = of(&first).void() else {
        return Ok(first);
    };
    eprintln!("once more, since it is void: {why}");
    run()
}

/// One line for whoever waits.
fn tell(peer: &Peer, what: &str, run: &Run) {
    let samples = &run.samples;
    let summary = samples.between(Duration::ZERO, Duration::MAX);
    eprintln!(
        "{:<9} {what:<20} offered {} good {} refused {} failed {} timed out {} broken {}; p99 {:.0} ms; \
         lag {} ms, load {:.0} % of its CPU, proxy {:.0} %{}",
        peer.name,
        summary.offered,
        summary.good,
        summary.refused,
        summary.failed,
        summary.timed_out,
        summary.broken,
        summary.p99,
        samples.lag_p99().as_millis(),
        run.busy * 100.0,
        run.proxy_busy * 100.0,
        run.void()
            .map_or_else(String::new, |why| format!("; VOID: {why}"))
    );
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
        assert!(Asked::default().is_kept());
        for partial in [
            &["--only", "sweep"][..],
            &["--peers", "envoy"],
            &["--plimsoll", "a"],
            &["--seconds", "4"],
            &["--steady", "9"],
        ] {
            assert!(!read(partial).unwrap().is_kept(), "{partial:?}");
        }
        let asked = read(&["--peers", "haproxy,no proxy"]).unwrap();
        let names: Vec<_> = asked.peers().map(|peer| peer.name).collect();
        assert_eq!(names, ["haproxy", "no proxy"]);
        for wrong in [
            &["--seconds", "2"][..],
            &["--only", "all"],
            &["--peers", "nginx"],
            &["--fast", "1"],
            &["--steady"],
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
