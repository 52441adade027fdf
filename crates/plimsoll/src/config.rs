//! What Plimsoll is told: from the text of `plimsoll.yaml` to a [`gateway::plan::Plan`].
//!
//! The way of a file: text → [`tree`] (YAML that knows its positions) → [`raw`] (what the user wrote, each value
//! typed and placed) → [`resolve`] (what runs). Every step adds to one list of problems, and none stops the next.
//! What can be written is declared once, in [`raw`]; [`schema`], [`reference`](mod@reference) and [`template`] are
//! made from it. `plimsoll run --upstream URL` goes the same way, from a text that is made of its flags.

mod broken;
mod definitions;
mod diff;
mod driving;
pub(crate) mod near;
pub(crate) mod openapi;
pub(crate) mod problem;
mod raw;
mod read;
pub(crate) mod reference;
mod resolve;
mod routes;
pub(crate) mod schema;
pub(crate) mod secrets;
mod shape;
mod stanza;
pub(crate) mod template;
pub(crate) mod tree;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use change::Undecided;
use gateway::plan::{Plan, TlsClientPlan, TlsServerPlan, WalkKey};
use jiff::tz::TimeZone;
use plimsoll_flags::Bucketing;
use plimsoll_slo::{Ladder, Measure, Objective};
use store::Database;

use crate::access::Key;
use crate::calendar::Calendar;
use crate::record::entry::Calls;
pub(crate) use driving::{DriverConfig, Driving, HooksConfig, ProcessConfig};
pub(crate) use near::nearest;
pub(crate) use problem::Problems;
use problem::{Mark, Place, Problem};
use raw::TopLevel;
pub(crate) use raw::{LogFormat, LogLevel};
use read::{Reader, Value as _};
use secrets::TokenSource;
use serde_json::Value;
use tree::{Bounds, Node};
pub(crate) use value::Scalar;
pub(crate) use value::address::Endpoint;
use value::hours::Hours;
pub(crate) use value::quantity::{Size, TargetShare};
use value::word::StateFile;

/// What runs: validated, with every default filled in.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// For the data plane.
    pub(crate) plan: Plan,

    /// What is asked, for each of the plan's objectives.
    pub(crate) objectives: Arc<[ObjectiveConfig]>,
    /// The same of what is watched beside them: see [`gateway::objectives::watched`].
    pub(crate) watched: Arc<[ObjectiveConfig]>,
    /// Who is told when one of them calls somebody.
    pub(crate) alerts: Arc<AlertsConfig>,
    /// What may be risked, by what is left of a budget.
    pub(crate) ladder: Ladder,
    /// How versions are rolled out.
    pub(crate) changes: Arc<ChangesConfig>,
    /// What starts and stops versions, by the names of upstreams.
    pub(crate) drivers: Arc<BTreeMap<Arc<str>, DriverConfig>>,
    /// What services ask for at run time.
    pub(crate) flags: Option<FlagsConfig>,
    /// Where what outlives a restart is kept.
    pub(crate) state: StateConfig,
    pub(crate) admin: AdminConfig,
    pub(crate) telemetry: TelemetryConfig,
    /// How long a new process may take to be ready in an upgrade.
    pub(crate) upgrade_max: Duration,
    /// Why objectives and figures were left out: only ever at a start, see [`Config::load_to_start`].
    pub(crate) broken: Vec<String>,
    /// Threads that carry traffic; 0 takes every core.
    pub(crate) cores: usize,
    /// A flag says how many, whatever the file says.
    cores_by_flag: bool,
    /// The values that are in effect, as a user would write them all down. See [`Config::changes`].
    effective: Node,
}

/// What counts for [`Watch::Callers`]. Of it two days are kept, which is more than anybody looks back.
pub(crate) const CLIENT_ERRORS: &str = "client-errors";

/// An objective: what it is called, and what is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ObjectiveConfig {
    pub(crate) name: Arc<str>,
    /// What counts, as it was written: what is kept of it goes by this.
    pub(crate) counted: Arc<str>,
    pub(crate) objective: Objective,
    /// Its periods, if the objective's window is the calendar's.
    pub(crate) calendar: Option<Calendar>,
    /// Its window in words: `30d`, `month`, `week in Europe/London`.
    pub(crate) window: Arc<str>,
    /// Where it is written down what to do: an address that works from everywhere.
    pub(crate) runbook: Option<Arc<str>>,
    /// Where its events are seen: `gateway`, or elsewhere, from where they are reported.
    pub(crate) vantage: &'static str,
    pub(crate) watch: Watch,
    /// The share of its events that is reported: more than 0, and 1 of what the gateway sees.
    pub(crate) sampling: f64,
    /// The objectives that it is made of, with their weights, if it counts nothing itself.
    pub(crate) members: Arc<[(Arc<str>, f64)]>,
}

/// What is asked of what was counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Watch {
    /// Whether its target is met.
    Target,
    /// It has no target, and what is bad in it is not events but callers, each of whom counts once a minute: whether that
    /// has risen.
    Callers,
    /// It has no target: whether a figure has fallen below what is usual at this time of the day, which is that of a zone.
    Figure { measure: Measure, zone: TimeZone },
}

/// How versions are rolled out, unless whoever asks for one says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChangesConfig {
    /// Shares of traffic, growing.
    pub(crate) steps: Vec<f64>,
    pub(crate) undecided: Undecided,
    pub(crate) probation: Duration,
    pub(crate) hold_back: f64,
    /// As [`plimsoll_slo::Terms`] has them.
    pub(crate) alpha: f64,
    pub(crate) tolerated: f64,
    pub(crate) tolerated_slow: f64,
    /// Of two times nobody notices a difference of so much.
    pub(crate) unnoticed: Duration,
    /// When changes go on, by the clock of a zone; at all hours if there are none.
    pub(crate) hours: Vec<Hours>,
    pub(crate) zone: TimeZone,
}

/// Flags, and where they are served.
#[derive(Clone, Debug)]
pub(crate) struct FlagsConfig {
    /// The definitions, as they were written.
    pub(crate) written: Arc<Value>,
    pub(crate) bucketing: Bucketing,
    pub(crate) listen: Vec<SocketAddr>,
    /// Where requests carry the targeting key.
    pub(crate) key: Option<WalkKey>,
    pub(crate) token: Option<TokenSource>,
}

/// Who is told of alerts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AlertsConfig {
    /// Where people find the port for operators; without a slash at the end.
    pub(crate) address: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) targets: Vec<Target>,
    pub(crate) heartbeat: Option<Beat>,
}

/// One who is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Target {
    pub(crate) name: Arc<str>,
    pub(crate) calls: Vec<Calls>,
    pub(crate) way: Way,
    pub(crate) secret: Option<TokenSource>,
    pub(crate) tls: TlsClientPlan,
}

/// How a target is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By this address, without a slash at the end.
    Alertmanager(String),
    /// Its address is the secret.
    Slack,
    /// By another address than the usual one.
    PagerDuty(Option<String>),
    Webhook(String),
    Email(EmailConfig),
}

impl Way {
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Alertmanager(_) => "alertmanager",
            Self::Slack => "slack",
            Self::PagerDuty(_) => "pagerduty",
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
        }
    }
}

/// How mail goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EmailConfig {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: MailSecurity,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) user: Option<String>,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MailSecurity {
    Starttls,
    Tls,
    Off,
}

/// Somebody who is told that all is well.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Beat {
    /// The address, or where it is kept.
    pub(crate) address: Result<String, TokenSource>,
    pub(crate) every: Duration,
}

/// The port for operators.
#[derive(Clone, Debug)]
pub(crate) struct AdminConfig {
    pub(crate) listen: SocketAddr,
    /// Never empty when `listen` is not a loopback address.
    pub(crate) keys: Arc<[Key]>,
    pub(crate) tls: Option<TlsServerPlan>,
}

/// Where Plimsoll's own logs and traces go.
#[derive(Clone, Debug)]
pub(crate) struct TelemetryConfig {
    pub(crate) otlp: Option<OtlpConfig>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: LogLevel,
}

/// A collector that takes OTLP over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct OtlpConfig {
    pub(crate) endpoint: Endpoint,
    /// How it is verified; `None` is cleartext.
    pub(crate) tls: Option<TlsClientPlan>,
    pub(crate) send_every: Duration,
    /// Send metrics, not only traces.
    pub(crate) metrics: bool,
    /// Environment variable with headers to send; [`secrets::variable`] reads it.
    pub(crate) headers_env: Option<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file could not be read.
    #[error("reading the configuration {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// It was read, and is wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

/// Where what outlives a restart is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateConfig {
    File(StateFile),
    Database(Arc<DatabaseConfig>),
}

/// A database, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseConfig {
    pub(crate) database: Database,
    pub(crate) password: Option<TokenSource>,
    pub(crate) tls: TlsClientPlan,
}

/// Where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StatePlace {
    File(PathBuf),
    Database(Arc<DatabaseConfig>),
}

/// As people know it.
impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Database(config) => config.database.fmt(f),
        }
    }
}

impl Config {
    /// Reads a file; `-` is standard input.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, or with everything that is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        Ok(Self::read(&shown(path), &bytes_of(path)?)?)
    }

    /// The same for a process that would otherwise not start: an objective or a figure of the business that is wrong is
    /// left out, and [`Config::broken`] says why. Traffic does not wait for what is only said about it.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, or something else is wrong with it.
    pub(crate) fn load_to_start(path: &Path) -> Result<Self, ConfigError> {
        Ok(broken::read(&shown(path), &bytes_of(path)?)?)
    }

    /// Where what outlives a restart is kept, if the configuration was read from `file` and a supervisor has given a
    /// directory for it, or not; `None` for nowhere.
    pub(crate) fn state_place(&self, file: Option<&Path>, given: Option<&Path>) -> Option<StatePlace> {
        let kept = match &self.state {
            StateConfig::Database(database) => return Some(StatePlace::Database(Arc::clone(database))),
            StateConfig::File(kept) => kept,
        };
        let file = file.filter(|file| *file != Path::new("-"))?;
        let beside = given.or_else(|| file.parent())?;
        let path = match kept {
            StateFile::Auto => beside.join(file.with_extension("state").file_name()?),
            StateFile::Off => return None,
            StateFile::At(path) => beside.join(path),
        };
        Some(StatePlace::File(path))
    }

    /// Reads the text of a file that is called `file` in messages.
    ///
    /// # Errors
    /// [`Problems`] with everything that is wrong.
    pub(crate) fn read(file: &str, bytes: &[u8]) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let node = parse(bytes, Bounds::CONFIG, &mut problems);
        Self::of(node.as_ref(), problems).map_err(|problems| Problems::new(file, problems))
    }

    /// What a tree says, if nothing was wrong with its text.
    fn of(node: Option<&Node>, problems: Vec<Problem>) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(problems);
        let config = node
            .and_then(|node| TopLevel::read(node, &mut reader))
            .map(|root| resolve::resolve(root, &mut reader));
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => Err(reader.problems),
        }
    }

    /// A gateway in front of one upstream, with the defaults for everything else.
    ///
    /// # Errors
    /// [`Problems`] in the words for a file, if a flag is wrong.
    pub(crate) fn in_front_of(
        upstream: &str,
        listen: Option<&str>,
        admin: Option<&str>,
    ) -> Result<Self, Problems> {
        // Through JSON, so that no flag can be more than the value it stands for.
        let text = serde_json::json!({
            "upstreams": [{ "name": "upstream", "endpoints": [upstream] }],
            "listeners": [{ "name": "ingress", "listen": listen.unwrap_or("127.0.0.1:8080") }],
            "admin": admin.map(|listen| serde_json::json!({ "listen": listen })),
        });
        Self::read("flags", text.to_string().as_bytes()).map_err(Problems::of_flags)
    }

    /// Runs so many cores, whatever the file says now or later.
    pub(crate) fn set_cores(&mut self, cores: usize) {
        self.cores = cores;
        self.cores_by_flag = true;
    }

    /// What changes from `self` to `new`, in lines for people; none if nothing does.
    pub(crate) fn changes(&self, new: &Self) -> Vec<String> {
        let changes = diff::changes(&self.effective, &new.effective);
        let lines = changes.into_iter().map(|change| change.line);
        let written = |config: &Self| config.flags.as_ref().map(|flags| Arc::clone(&flags.written));
        let flags = diff::flags(written(self).as_deref(), written(new).as_deref());
        lines.chain(flags).collect()
    }

    /// The keys that are other ones in `new` and that a process which was started with `self` reads no more.
    pub(crate) fn at_next_start(&self, new: &Self) -> Vec<String> {
        let changes = diff::changes(&self.effective, &new.effective);
        let waiting = changes.into_iter().filter(diff::Change::waits);
        // A port that was not opened at the start is opened at the next.
        let opens = (self.flags.is_none() && new.flags.is_some()).then(|| "flags.file".to_owned());
        waiting
            .map(|change| change.path)
            .chain(opens)
            .filter(|path| !(self.cores_by_flag && path == "cores"))
            .collect()
    }
}

/// Reads a value that stands in a flag.
///
/// # Errors
/// What is wrong and what would be right, in the words for a file.
pub(crate) fn flag<T: Scalar>(text: &str) -> Result<T, String> {
    let shape = T::SHAPE;
    T::parse(text).ok_or_else(|| format!("not {}; right would be {}", shape.what, shape.right))
}

/// Bytes to a tree; `None` with a problem if they are no text, or no YAML.
fn parse(bytes: &[u8], bounds: Bounds, problems: &mut Vec<Problem>) -> Option<Node> {
    match std::str::from_utf8(bytes) {
        Ok(text) => tree::parse(text, bounds, problems),
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let line = good.matches('\n').count() + 1;
            let column = good.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
            let place = Place {
                mark: Mark { line, column },
                path: String::new(),
            };
            problems.push(Problem::new(&place, "this byte is not UTF-8", "text in UTF-8"));
            None
        }
    }
}

/// What a file is called in messages.
pub(crate) fn shown(path: &Path) -> String {
    if path.as_os_str() == "-" {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, ConfigError> {
    read_bytes(path, Bounds::CONFIG).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

/// One byte more than the bound at most, so that what is too long is seen to be.
fn read_bytes(path: &Path, bounds: Bounds) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let bytes_max = bounds.bytes_max as u64 + 1;
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(bytes_max).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?
            .take(bytes_max)
            .read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
