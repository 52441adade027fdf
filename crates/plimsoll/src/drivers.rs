//! Versions that Plimsoll starts and stops, so that a version is all that a deploy has to name.
//!
//! A reconciler on a thread of its own: four times a second it looks at what has to run, by the configuration and by
//! what was said of changes, and at what does; and starts, stops or waits. It has no memory that matters: processes are
//! found by a mark in their environment, and programs of others may be called twice. So it goes on after a kill -9 and
//! after an upgrade, and what it runs lives on meanwhile.
//!
//! **If it fails**: what cannot be started is tried again, less and less often, and its change is cut since nothing
//! answers; what cannot be stopped is tried again, and its change parked after ten minutes. While it is not known what was said of
//! changes, nothing is stopped.

mod child;
mod hooks;
mod life;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use gateway::Phase;
use plimsoll_slo::Instant;
use rustix::process::Signal;

use self::child::Child;
use self::hooks::{News, Stage};
use self::life::{Act, Life};
use self::wanted::Wanted;
use crate::config::value::pattern::{Filling, Pattern};
use crate::config::{DriverConfig, Driving, HooksConfig, ProcessConfig};
use crate::instance::Parts;
use crate::journal::Value;
use crate::rollout;

/// How often it looks.
const EVERY: Duration = Duration::from_millis(250);
/// How long it waits for something to listen: usually it is on this host.
const LISTENS_WITHIN: Duration = Duration::from_millis(100);

/// A version of an upstream, in one place.
#[allow(clippy::struct_field_names, reason = "it is called what users call it")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) upstream: String,
    pub(crate) version: String,
    pub(crate) endpoint: String,
}

impl Version {
    fn filling(&self) -> Filling<'_> {
        let port = self.endpoint.rsplit_once(':').map_or("", |(_, port)| port);
        let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        Filling {
            upstream: &self.upstream,
            version: &self.version,
            endpoint: &self.endpoint,
            port: if is_port { port } else { "" },
        }
    }

    fn fill(&self, pattern: &Pattern) -> String {
        pattern.fill(self.filling())
    }

    fn fill_all(&self, patterns: &[Pattern]) -> Vec<String> {
        patterns.iter().map(|pattern| self.fill(pattern)).collect()
    }
}

/// What others may know of it.
#[derive(Debug, Default)]
pub(crate) struct DriversSeen {
    /// Whether something of a version may be there; `None` if this process has nothing to do with it.
    is_there: BTreeMap<Version, bool>,
    /// What listens.
    up: BTreeSet<Version>,
    /// How often a process has ended by itself, and how the last time.
    ended: BTreeMap<Version, (u64, String)>,
}

impl DriversSeen {
    /// Whether this version was stopped.
    pub(crate) fn is_gone(&self, version: &Version) -> bool {
        self.is_there.get(version) == Some(&false)
    }

    /// Whether this version runs, and listens.
    pub(crate) fn is_up(&self, version: &Version) -> bool {
        self.up.contains(version)
    }

    /// How often a process of this version has ended by itself, and how the last time.
    pub(crate) fn ended(&self, version: &Version) -> Option<&(u64, String)> {
        self.ended.get(version)
    }
}

/// The thread. When this is dropped, what it runs is stopped, unless another process has taken over; and it ends.
#[derive(Debug)]
pub(crate) struct Drivers {
    /// Nothing is ever sent by it: that it is gone is the message.
    alive: Option<Sender<()>>,
    /// The same of the thread.
    working: Receiver<()>,
}

impl Drivers {
    /// Begins to look after what `parts` run.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(parts: &Arc<Parts>) -> anyhow::Result<Self> {
        let ((alive, ended), (works, working)) = (channel::<()>(), channel::<()>());
        let parts = Arc::clone(parts);
        let run = move || {
            let _works = works;
            let mut running = Running::default();
            loop {
                running.run_once(&parts);
                if ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Disconnected) {
                    break;
                }
            }
            if !parts.upgrader.has_handed_over() {
                running.end(&parts);
            }
        };
        std::thread::Builder::new()
            .name("drivers".to_owned())
            .spawn(run)
            .context("starting the thread that starts versions")?;
        Ok(Self {
            alive: Some(alive),
            working,
        })
    }
}

impl Drop for Drivers {
    fn drop(&mut self) {
        drop(self.alive.take());
        // Every wait of the thread has a bound.
        _ = self.working.recv();
    }
}

/// What the thread knows.
#[derive(Debug, Default)]
struct Running {
    processes: BTreeMap<Version, Supervised>,
    hooked: BTreeMap<Version, Stage>,
    /// What was seen to listen since it runs.
    up: BTreeSet<Version>,
    has_looked: bool,
}

#[derive(Debug)]
struct Supervised {
    life: Life,
    child: Option<Child>,
    /// How often in a row it has ended by itself.
    failures: u32,
    unwanted: Option<Instant>,
    stop_within: Duration,
}

impl Supervised {
    fn new(life: Life, child: Option<Child>) -> Self {
        Self {
            life,
            child,
            failures: 0,
            unwanted: None,
            stop_within: Duration::ZERO,
        }
    }
}

impl Running {
    fn run_once(&mut self, parts: &Parts) {
        let drivers = parts.reloader.asked().drivers;
        let is_idle = drivers.is_empty() && self.processes.is_empty() && self.hooked.is_empty();
        // In an upgrade it is the one that serves who looks after them.
        if is_idle || *parts.gateway.phase().borrow() != Phase::Serving {
            return;
        }
        let now = parts.gateway.env().now();
        let running = parts.gateway.running();
        let composed = parts.composed(running.plan.clone(), parts.reloader.file_read());
        let (wanted, is_whole) = parts.record.read(|state| {
            let drained = |standing: &change::Standing| rollout::is_drained(parts, standing);
            let plans = [&running.plan, &composed];
            let wanted = wanted::wanted(&drivers, &plans, &state.changes, drained);
            (wanted, state.is_whole)
        });
        if !std::mem::replace(&mut self.has_looked, true) {
            self.adopt(parts, &drivers, now);
        }
        self.see_to_processes(parts, &drivers, &wanted, is_whole, now);
        self.see_to_hooks(parts, &drivers, &wanted, is_whole, now);
        self.see_what_listens();
        let mut seen = parts.drivers.lock().unwrap_or_else(PoisonError::into_inner);
        seen.up.clone_from(&self.up);
        let of_processes = self.processes.iter();
        let mut is_there: BTreeMap<Version, bool> = of_processes
            .map(|(version, process)| (version.clone(), !matches!(process.life, Life::Absent(_))))
            .collect();
        let of_hooks = self.hooked.iter();
        is_there.extend(of_hooks.map(|(version, stage)| (version.clone(), !matches!(stage, Stage::Stopped))));
        // What was forgotten was gone before.
        let gone = wanted
            .gone
            .iter()
            .filter(|version| by_process(&drivers, version).is_some());
        for version in gone {
            is_there.entry(version.clone()).or_insert(false);
        }
        seen.is_there = is_there;
        seen.ended.retain(|version, _| wanted.here.contains(version));
    }

    fn see_what_listens(&mut self) {
        let processes = self.processes.iter();
        let processes = processes.filter(|(_, process)| matches!(process.life, Life::Up(_)));
        let hooked = self.hooked.iter();
        let hooked = hooked.filter(|(_, stage)| matches!(stage, Stage::Started));
        let run: BTreeSet<&Version> = processes
            .map(|(version, _)| version)
            .chain(hooked.map(|(version, _)| version))
            .collect();
        self.up.retain(|version| run.contains(version));
        for version in run {
            if !self.up.contains(version) && rollout::connect(&version.endpoint, LISTENS_WITHIN).is_ok() {
                self.up.insert(version.clone());
            }
        }
    }

    /// Takes on what runs already.
    fn adopt(&mut self, parts: &Parts, drivers: &BTreeMap<Arc<str>, DriverConfig>, now: Instant) {
        for (version, child) in Child::find(parts.reloader.file_read().place) {
            if by_process(drivers, &version).is_some() && !self.processes.contains_key(&version) {
                tell(
                    parts,
                    "a version was found running",
                    &version,
                    Some(("pid", Value::Count(child.id().into()))),
                );
                self.processes
                    .insert(version, Supervised::new(Life::Up(now), Some(child)));
            }
        }
    }

    fn see_to_processes(
        &mut self,
        parts: &Parts,
        drivers: &BTreeMap<Arc<str>, DriverConfig>,
        wanted: &Wanted,
        is_whole: bool,
        now: Instant,
    ) {
        let here = wanted.here.iter();
        let missing: Vec<&Version> = here
            .filter(|version| by_process(drivers, version).is_some() && !self.processes.contains_key(version))
            .collect();
        if !missing.is_empty() {
            // Another process may have started it a moment ago.
            self.adopt(parts, drivers, now);
        }
        for version in missing {
            self.processes
                .entry(version.clone())
                .or_insert_with(|| Supervised::new(Life::Absent(now), None));
        }
        self.processes.retain(|version, process| {
            let (Some(config), Some(driver)) =
                (by_process(drivers, version), drivers.get(&*version.upstream))
            else {
                // The endpoint may be meant still, and be somebody else's to look after.
                tell(
                    parts,
                    "a version is left running, since its upstream has no driver any more",
                    version,
                    None,
                );
                return false;
            };
            process.stop_within = driver.stop_within;
            let may_stay = wanted.here.contains(version) || !is_whole;
            process.unwanted = (!may_stay).then(|| process.unwanted.unwrap_or(now));
            turn(parts, version, process, config, now)
        });
    }

    fn see_to_hooks(
        &mut self,
        parts: &Parts,
        drivers: &BTreeMap<Arc<str>, DriverConfig>,
        wanted: &Wanted,
        is_whole: bool,
        now: Instant,
    ) {
        let all = wanted.here.iter().chain(&wanted.gone);
        for version in all.filter(|version| by_hooks(drivers, version).is_some()) {
            self.hooked.entry(version.clone()).or_default();
        }
        self.hooked.retain(|version, _| {
            by_hooks(drivers, version).is_some()
                && (wanted.here.contains(version) || wanted.gone.contains(version))
        });
        for (version, stage) in &mut self.hooked {
            let is_wanted = wanted.here.contains(version);
            let Some(config) = by_hooks(drivers, version) else {
                continue;
            };
            let is_ours = !config.by_leader || rollout::leads(parts);
            if !is_ours || !(is_wanted || is_whole) {
                continue;
            }
            match stage.turn(version, config, is_wanted, now) {
                None => {}
                Some(News::Did(verb)) => {
                    let verb = ("verb", verb.word().into());
                    tell(parts, "a version was seen to", version, Some(verb));
                }
                Some(News::Failed(verb, why)) => {
                    let cause = format!("`{}`: {why}", verb.word());
                    warn(parts, "a program for a version has failed", version, &cause);
                }
            }
        }
    }

    /// Stops what this process has started: nobody comes after it.
    fn end(mut self, parts: &Parts) {
        for (version, process) in &mut self.processes {
            if let (Some(child), Life::Up(_)) = (&process.child, process.life) {
                tell(parts, "a version is asked to end", version, None);
                child.signal(Signal::TERM);
            }
        }
        let env = parts.gateway.env();
        let begun = env.now();
        while !self.processes.is_empty() {
            let waited = env.now().since(begun);
            self.processes.retain(|_, process| {
                let Some(child) = &mut process.child else {
                    return false;
                };
                if waited >= process.stop_within {
                    child.signal(Signal::KILL);
                    return false;
                }
                child.ended().is_none()
            });
            std::thread::sleep(EVERY / 10);
        }
    }
}

/// Sees to one process; whether it is to be remembered.
fn turn(
    parts: &Parts,
    version: &Version,
    process: &mut Supervised,
    config: &ProcessConfig,
    now: Instant,
) -> bool {
    if let Some(how) = process.child.as_mut().and_then(Child::ended) {
        process.child = None;
        process.life = match process.life {
            Life::Up(began) if process.unwanted.is_none() => {
                warn(parts, "a version has ended by itself", version, &how);
                let (until, failures) = life::again(began, process.failures, now);
                process.failures = failures;
                let mut seen = parts.drivers.lock().unwrap_or_else(PoisonError::into_inner);
                let ended = seen.ended.entry(version.clone()).or_default();
                *ended = (ended.0 + 1, how);
                Life::Absent(until)
            }
            Life::Up(_) | Life::Ending(..) | Life::Absent(_) => {
                tell(parts, "a version has ended", version, Some(("how", how.into())));
                Life::Absent(now)
            }
        };
    }
    match life::decide(process.life, process.unwanted, now, process.stop_within) {
        Act::Nothing => {}
        Act::Forget => return false,
        Act::Start => match Child::start(config, version, parts.reloader.file_read().place) {
            Ok(child) => {
                let pid = ("pid", Value::Count(child.id().into()));
                tell(parts, "a version was started", version, Some(pid));
                process.child = Some(child);
                process.life = Life::Up(now);
            }
            Err(error) => {
                let why = error.to_string();
                warn(parts, "a version cannot be started", version, &why);
                let (until, failures) = life::again(now, process.failures, now);
                process.failures = failures;
                let mut seen = parts.drivers.lock().unwrap_or_else(PoisonError::into_inner);
                let ended = seen.ended.entry(version.clone()).or_default();
                *ended = (ended.0 + 1, why);
                process.life = Life::Absent(until);
            }
        },
        act @ (Act::Terminate | Act::Kill) => {
            let is_late = act == Act::Kill;
            if let Some(child) = &process.child {
                child.signal(if is_late { Signal::KILL } else { Signal::TERM });
            }
            if is_late {
                warn(
                    parts,
                    "a version is killed",
                    version,
                    "it did not end in its time",
                );
            } else {
                tell(parts, "a version is asked to end", version, None);
            }
            process.life = Life::Ending(now, is_late);
        }
    }
    true
}

fn by_process<'a>(
    drivers: &'a BTreeMap<Arc<str>, DriverConfig>,
    version: &Version,
) -> Option<&'a ProcessConfig> {
    match &drivers.get(&*version.upstream)?.way {
        Driving::Process(process) => Some(process),
        Driving::Hooks(_) => None,
    }
}

fn by_hooks<'a>(drivers: &'a BTreeMap<Arc<str>, DriverConfig>, version: &Version) -> Option<&'a HooksConfig> {
    match &drivers.get(&*version.upstream)?.way {
        Driving::Hooks(hooks) => Some(hooks),
        Driving::Process(_) => None,
    }
}

fn tell<'a>(parts: &Parts, message: &str, version: &'a Version, more: Option<(&'static str, Value<'a>)>) {
    let mut fields = of(version).to_vec();
    fields.extend(more);
    parts.journal.info(message, &fields);
}

fn warn(parts: &Parts, message: &str, version: &Version, cause: &str) {
    let [upstream, version] = of(version);
    parts
        .journal
        .warn(message, &[upstream, version, ("cause", cause.into())]);
}

fn of(version: &Version) -> [(&'static str, Value<'_>); 2] {
    [
        ("upstream", Value::from(&*version.upstream)),
        ("version", Value::from(&*version.version)),
    ]
}
