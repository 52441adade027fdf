//! Reading the configuration again, while traffic flows: all of it takes effect, or none.
//!
//! The new file is read and resolved, compared with what runs, and applied. What is refused at any step is told (log,
//! status, the answer to whoever asked) and what ran before runs on. Reloads are taken one at a time.
//!
//! A few keys are read at the start only. A reload that changes them applies the rest, and says so in the same three
//! places for as long as the file differs from what the process was started with: a reload that seems to have moved
//! the admin port, and has not, is found out at the worst moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gateway::{ApplyError, Gateway, Phase, Plan};
use plimsoll_slo::Ladder;

use crate::access::Key;
use crate::config::{
    AlertsConfig, ChangesConfig, Config, ConfigError, DriverConfig, FlagsConfig, ObjectiveConfig,
};
use crate::journal::{Journal, Value};
use crate::reading::ConfigReading;
use crate::rollout::versions::{self, FileRead};
use crate::supervisor::Supervisor;

/// Bytes of a change that are remembered: it may be a whole stanza, and goes with every alert of the next hour.
const CHANGE_MAX: usize = 200;

/// Reloads the configuration.
#[derive(Debug)]
pub(crate) struct Reloader {
    /// `None` when the configuration came from flags.
    file: Option<PathBuf>,
    /// Which file it is, among those of all who share a record.
    place: String,
    /// When what is current was read: milliseconds since the Unix epoch.
    read_at: AtomicU64,
    started: Config,
    current: tokio::sync::Mutex<Config>,
    /// What of the current one is wanted by those who cannot wait for a reload.
    asked: Mutex<Asked>,
    gateway: Gateway,
    journal: Journal,
    supervisor: Supervisor,
    applied: AtomicU64,
    refused: AtomicU64,
    last: Mutex<Last>,
}

/// What is asked of the services, and who is told if it is not met.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) objectives: Arc<[ObjectiveConfig]>,
    pub(crate) watched: Arc<[ObjectiveConfig]>,
    pub(crate) alerts: Arc<AlertsConfig>,
    pub(crate) ladder: Ladder,
    pub(crate) changes: Arc<ChangesConfig>,
    /// What starts and stops versions, by the names of upstreams.
    pub(crate) drivers: Arc<BTreeMap<Arc<str>, DriverConfig>>,
    /// What services ask for at run time.
    pub(crate) flags: Option<FlagsConfig>,
    /// Where the upstreams are, as the file says.
    pub(crate) places: Arc<BTreeMap<Arc<str>, Vec<String>>>,
    /// Who may ask the port for operators.
    pub(crate) keys: Arc<[Key]>,
}

impl Asked {
    fn of(config: &Config) -> Self {
        let upstreams = config.plan.upstreams.iter();
        let places = upstreams.map(|upstream| (Arc::clone(&upstream.name), versions::texts(upstream)));
        Self {
            objectives: Arc::clone(&config.objectives),
            watched: Arc::clone(&config.watched),
            alerts: Arc::clone(&config.alerts),
            ladder: config.ladder,
            changes: Arc::clone(&config.changes),
            drivers: Arc::clone(&config.drivers),
            flags: config.flags.clone(),
            places: Arc::new(places.collect()),
            keys: Arc::clone(&config.admin.keys),
        }
    }
}

/// How the last one went.
#[derive(Debug)]
struct Last {
    applied_at: Duration,
    /// Keys that were applied and have no effect before the next start.
    at_next_start: Vec<String>,
    problems: Vec<String>,
    /// Why objectives and figures are not judged.
    broken: Vec<String>,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reloaded {
    /// It took effect.
    Applied {
        /// In lines for people; none if the file says what was applied already.
        changes: Vec<String>,
        /// Keys that differ from those of the start, and have no effect before the next.
        at_next_start: Vec<String>,
    },
    /// It did not, for these reasons; what ran before runs on.
    Refused(Vec<String>),
}

/// Which file it is, among those of all who share a record: the same after a restart.
fn place(file: Option<&Path>) -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    match file {
        Some(file) => {
            let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
            format!("{host}:{}", file.display())
        }
        None => format!("{host}: the command line"),
    }
}

/// What a reload that was applied did, in lines for people.
pub(crate) fn applied(changes: &[String], at_next_start: &[String]) -> String {
    let changes = if changes.is_empty() {
        "applied, and nothing changes\n".to_owned()
    } else {
        format!("applied\n{}\n", changes.join("\n"))
    };
    changes + &waiting(at_next_start)
}

/// The line about what has to wait; empty if nothing does.
pub(crate) fn waiting(at_next_start: &[String]) -> String {
    if at_next_start.is_empty() {
        return String::new();
    }
    format!("takes effect at the next start: {}\n", at_next_start.join(", "))
}

impl Reloader {
    /// A reloader for what `gateway` runs now.
    pub(crate) fn new(
        file: Option<PathBuf>,
        current: Config,
        gateway: Gateway,
        journal: Journal,
        supervisor: Supervisor,
    ) -> Self {
        let applied_at = gateway.env().wall();
        for problem in &current.broken {
            journal.error(
                "not judged, since it is wrong",
                &[("problem", Value::from(&**problem))],
            );
        }
        let broken = current.broken.clone();
        Self {
            place: place(file.as_deref()),
            read_at: AtomicU64::new(applied_at.as_millis() as u64),
            file,
            started: current.clone(),
            asked: Mutex::new(Asked::of(&current)),
            current: tokio::sync::Mutex::new(current),
            gateway,
            journal,
            supervisor,
            applied: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            last: Mutex::new(Last {
                applied_at,
                at_next_start: Vec::new(),
                problems: Vec::new(),
                broken,
            }),
        }
    }

    /// The file that is current.
    pub(crate) fn file_read(&self) -> FileRead<'_> {
        FileRead {
            place: &self.place,
            at: self.read_at.load(Relaxed),
        }
    }

    /// What is asked, and who is told.
    pub(crate) fn asked(&self) -> Asked {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What runs was changed, and how: for whoever looks for a cause.
    pub(crate) fn changed(reloaded: &Reloaded) -> Option<String> {
        let Reloaded::Applied { changes, .. } = reloaded else {
            return None;
        };
        let first = changes.first()?;
        let first = &first[..first.floor_char_boundary(CHANGE_MAX)];
        Some(match changes.len() - 1 {
            0 => format!("configuration: {first}"),
            more => format!("configuration: {first}, and {more} more"),
        })
    }

    /// Runs another configuration, that comes from no file.
    ///
    /// # Errors
    /// Why the gateway cannot; what ran before runs on.
    pub(crate) async fn run_instead(&self, config: Config) -> Result<(), ApplyError> {
        let mut current = self.current.lock().await;
        self.gateway.apply(config.plan.clone()).await?;
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Asked::of(&config);
        *current = config;
        Ok(())
    }

    /// Has the gateway run what is configured, with what `compose` makes of it, if that is not what it runs.
    ///
    /// # Errors
    /// Why the gateway cannot; what ran before runs on.
    pub(crate) async fn recompose(&self, compose: impl Fn(Plan, FileRead<'_>) -> Plan) -> Result<(), String> {
        let current = self.current.lock().await;
        let plan = compose(current.plan.clone(), self.file_read());
        if *self.gateway.phase().borrow() != Phase::Serving
            || versions::is_same(&plan, &self.gateway.running().plan)
        {
            return Ok(());
        }
        let applied = self.gateway.apply(plan).await;
        applied.map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
        Ok(())
    }

    /// Reads the file and applies it, with what `compose` makes of it.
    pub(crate) async fn reload(&self, compose: impl Fn(Plan, FileRead<'_>) -> Plan) -> Reloaded {
        let mut current = self.current.lock().await;
        // What binds an address now would keep it from whoever is started next.
        if *self.gateway.phase().borrow() != Phase::Serving {
            let problem = "this process is draining, and takes nothing new";
            let refused = Reloaded::Refused(vec![problem.to_owned()]);
            self.tell(&refused);
            return refused;
        }
        self.supervisor.reloading();
        let file = FileRead {
            at: self.gateway.env().wall().as_millis() as u64,
            ..self.file_read()
        };
        let reloaded = match self.read() {
            Err(problems) => Reloaded::Refused(problems),
            Ok(new) => {
                let (changes, at_next_start) = (current.changes(&new), self.started.at_next_start(&new));
                let applied = self.gateway.apply(compose(new.plan.clone(), file)).await;
                applied.map_or_else(
                    |error| Reloaded::Refused(vec![format!("{:#}", anyhow::Error::new(error))]),
                    |_| {
                        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Asked::of(&new);
                        *current = new;
                        self.read_at.store(file.at, Relaxed);
                        Reloaded::Applied {
                            changes,
                            at_next_start,
                        }
                    },
                )
            }
        };
        self.tell(&reloaded);
        self.supervisor.ready(match reloaded {
            Reloaded::Applied { .. } => "serving",
            Reloaded::Refused(_) => "serving; the last reload was refused, the log says why",
        });
        reloaded
    }

    /// Keeps the configuration as it is for as long as the guard lives.
    pub(crate) async fn hold(&self) -> tokio::sync::MutexGuard<'_, Config> {
        self.current.lock().await
    }

    /// Whether the configuration is standard input's, which can be read once.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.file.as_deref().is_some_and(|file| file == Path::new("-"))
    }

    fn read(&self) -> Result<Config, Vec<String>> {
        let Some(file) = &self.file else {
            let problem = "there is no file to read again: Plimsoll was started with --upstream; start it with --config";
            return Err(vec![problem.to_owned()]);
        };
        Config::load(file).map_err(|error| match error {
            ConfigError::Wrong(problems) => problems.to_string().lines().map(str::to_owned).collect(),
            error @ ConfigError::Read { .. } => vec![format!("{:#}", anyhow::Error::new(error))],
        })
    }

    fn tell(&self, reloaded: &Reloaded) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match reloaded {
            Reloaded::Applied {
                changes,
                at_next_start,
            } => {
                self.applied.fetch_add(1, Relaxed);
                *last = Last {
                    applied_at: self.gateway.env().wall(),
                    at_next_start: at_next_start.clone(),
                    problems: Vec::new(),
                    // It would have been refused otherwise.
                    broken: Vec::new(),
                };
                let count = changes.len().to_string();
                self.journal
                    .info("configuration applied", &[("changes", Value::from(&*count))]);
                for change in changes {
                    self.journal
                        .info("configuration changed", &[("change", Value::from(&**change))]);
                }
                if !at_next_start.is_empty() {
                    let keys = at_next_start.join(", ");
                    self.journal
                        .warn("takes effect at the next start", &[("keys", Value::from(&*keys))]);
                }
            }
            Reloaded::Refused(problems) => {
                self.refused.fetch_add(1, Relaxed);
                last.problems.clone_from(problems);
                for problem in problems {
                    self.journal
                        .error("configuration refused", &[("problem", Value::from(&**problem))]);
                }
            }
        }
    }

    /// What is configured, and how the last reloads went.
    pub(crate) fn reading(&self) -> ConfigReading {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        ConfigReading {
            generation: self.gateway.running().generation,
            applied_at: last.applied_at,
            reloads_applied: self.applied.load(Relaxed),
            reloads_refused: self.refused.load(Relaxed),
            at_next_start: last.at_next_start.clone(),
            problems: last.problems.clone(),
            broken: last.broken.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_remembered_in_few_words() {
        let changed = |changes: &[&str]| {
            Reloader::changed(&Reloaded::Applied {
                changes: changes.iter().map(|change| (*change).to_owned()).collect(),
                at_next_start: Vec::new(),
            })
        };
        assert_eq!(changed(&[]), None);
        assert_eq!(
            changed(&["~ cores: 1 -> 2"]).as_deref(),
            Some("configuration: ~ cores: 1 -> 2")
        );
        let long = "é".repeat(5_000);
        let said = changed(&[&long, "b", "c"]).unwrap();
        assert!(said.len() < 300 && said.ends_with("é, and 2 more"), "{said}");
        assert_eq!(Reloader::changed(&Reloaded::Refused(vec!["x".to_owned()])), None);
    }
}
