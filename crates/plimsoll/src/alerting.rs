//! Alerts on their way to people: whoever is to be told, is, once, and that it is over as well.
//!
//! It is a reconciler: once a second it compares what each target should know with what the record says it was told, and
//! sends what is missing. So nothing is queued and nothing is lost: a restart, a reload and a target that is away for an
//! hour are all the same to it. What was sent is a fact, written down after the target took it; between the two a crash
//! sends it again, under the same id, by which targets tell.
//!
//! One message to a target at a time, and alerts that are due together go together. A target that does not take them is
//! asked again after a pause that grows, by a breaker of its own, and nobody else waits for it.
//!
//! Of several processes that share a store, the one that opened an alert tells people of it. If it has not within
//! [`OWNER_MAX`], it may be gone, and any other does.

mod alertmanager;
mod email;
pub(crate) mod pagerduty;
mod slack;
mod telling;
#[cfg(test)]
mod tests;
mod webhook;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use gateway::Connector;
use gateway::env::Env;
use gateway::plan::Protocol;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use plimsoll_policy::{Breaker, BreakerConfig, BreakerDecision, Pass, Report};
use plimsoll_slo::Instant;

use self::telling::Telling;
pub(crate) use self::telling::{example_line, stands_out};
use crate::config::secrets::TokenSource;
use crate::config::{AlertsConfig, Target, Way};
use crate::journal::{Journal, Value};
use crate::outbound::{self, Answer};
use crate::reading::TargetReading;
use crate::record::entry::Told;
use crate::record::{Record, Said, State};

/// Time for one message.
const SEND_MAX: Duration = Duration::from_secs(10);
/// Alerts in one message to people, or events to PagerDuty in a row.
const MESSAGE_MAX: usize = 20;
/// How long the process that opened an alert has to tell people of it before others do, in milliseconds.
const OWNER_MAX: u64 = 60_000;
/// An alert that was over before anybody could be told of it is told of all the same, for so long, in milliseconds.
const LATE_MAX: u64 = 3_600_000;
/// How often Alertmanager is told of what still fires: well within its five minutes.
const REFRESH: Duration = Duration::from_mins(1);

/// What a target is told after a failure, and when: at first after a second, and never less often than once a minute.
const PATIENCE: BreakerConfig = BreakerConfig {
    failure_rate: 1.0,
    requests_min: 1,
    consecutive: 1,
    open_base: Duration::from_secs(1),
    open_max: Duration::from_mins(1),
    probes_max: 1,
    ramp_step: Duration::ZERO,
    probe_timeout: Duration::from_secs(30),
};

/// How it stands with each target. See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    lines: Mutex<BTreeMap<Arc<str>, Line>>,
}

/// One target, and what is on the way to it.
#[derive(Debug)]
struct Line {
    breaker: Breaker,
    is_busy: bool,
    /// When it asked to be asked again.
    not_before: Instant,
    /// When it was last told of everything that fires, or that all is well.
    refreshed: Option<Instant>,
    /// Why it did not take the last message.
    failing: Option<String>,
    /// Alerts that it should know of and does not.
    waiting: usize,
}

/// A message that is ready to go.
struct Parcel {
    to: Arc<str>,
    pass: Pass,
    tellings: Vec<Telling>,
}

/// What the desk needs of the process.
#[derive(Clone, Debug)]
pub(crate) struct Office {
    pub(crate) env: Env,
    pub(crate) journal: Journal,
    pub(crate) record: Arc<Record>,
    pub(crate) desk: Arc<Desk>,
}

/// Why a message was not taken.
struct Untaken {
    cause: anyhow::Error,
    after: Option<Duration>,
}

impl<E: Into<anyhow::Error>> From<E> for Untaken {
    fn from(error: E) -> Self {
        Self {
            cause: error.into(),
            after: None,
        }
    }
}

/// What a target should be told now: alerts that it does not know as they are. With `refresh` all that fires, too.
fn due(state: &State, target: &Target, process: &str, now: u64, refresh: bool) -> Vec<(Arc<str>, Told)> {
    let due = state.alerts.all().filter_map(|alert| {
        if !target.calls.contains(&alert.opened.severity) {
            return None;
        }
        let told = alert.told.get(&*target.name).copied();
        let (wanted, since) = match &alert.closed {
            None => (Told::Firing, alert.opened_at),
            Some((at, _)) => (Told::Resolved, *at),
        };
        let is_new = told != Some(wanted);
        let is_refreshed = refresh && wanted == Told::Firing;
        if !is_new && !is_refreshed {
            return None;
        }
        let is_silenced = state.silences.of(&alert.opened.objective, now).is_some();
        // Whoever was told that it fires is told that it is over, silence or not.
        let ends_what_was_told = wanted == Told::Resolved && told == Some(Told::Firing);
        if is_silenced && !ends_what_was_told {
            return None;
        }
        if wanted == Told::Resolved && told.is_none() && now.saturating_sub(alert.opened_at) > LATE_MAX {
            return None;
        }
        let is_ours = *alert.owner == *process || now.saturating_sub(since) > OWNER_MAX;
        is_ours.then(|| (Arc::clone(&alert.id), wanted))
    });
    due.collect()
}

/// The same, as it goes into one message. Alertmanager is told of all that fires whenever it is told of anything: it
/// forgets what it does not hear of again.
fn message(state: &State, target: &Target, process: &str, now: u64, is_refreshed: bool) -> Message {
    let due = |refresh| due(state, target, process, now, refresh);
    let mut alerts = due(false);
    let waiting = alerts.len();
    if !matches!(target.way, Way::Alertmanager(_)) {
        alerts.truncate(MESSAGE_MAX);
    } else if !(alerts.is_empty() && is_refreshed) {
        alerts = due(true);
    }
    Message { alerts, waiting }
}

/// What goes to a target at once.
struct Message {
    alerts: Vec<(Arc<str>, Told)>,
    /// How many of those it does not know yet, with those that have no room here.
    waiting: usize,
}

impl Office {
    /// Looks once, and sends what is due.
    pub(crate) fn run_once(&self, config: &Arc<AlertsConfig>) {
        for (place, target) in config.targets.iter().enumerate() {
            let Some(parcel) = self.pack(config, target) else {
                continue;
            };
            let (office, config) = (self.clone(), Arc::clone(config));
            self.env.spawn(async move {
                office.carry(&config, &config.targets[place], parcel).await;
            });
        }
        let mut lines = self.desk.lock();
        lines.retain(|name, _| {
            **name == *HEARTBEAT || config.targets.iter().any(|target| target.name == *name)
        });
    }

    /// What is due to a target, if it can be sent now.
    fn pack(&self, config: &AlertsConfig, target: &Target) -> Option<Parcel> {
        let (now, wall) = (self.env.now(), self.env.wall().as_millis() as u64);
        let mut lines = self.desk.lock();
        let line = lines
            .entry(Arc::clone(&target.name))
            .or_insert_with(|| Line::new(now));
        let is_refreshed = line.refreshed.is_some_and(|at| now.since(at) < REFRESH);
        let (tellings, waiting): (Vec<Telling>, usize) = self.record.read(|state| {
            let Message { alerts, waiting } =
                message(state, target, self.record.author(), wall, is_refreshed);
            let telling = |(id, told): (Arc<str>, Told)| {
                let incident = state.incidents.of_alert(&id);
                Some(Telling {
                    alert: state.alerts.get(&id)?.clone(),
                    told,
                    incident: incident.map(|incident| incident.id.to_string()),
                    address: config.address.clone(),
                })
            };
            (alerts.into_iter().filter_map(telling).collect(), waiting)
        });
        line.waiting = waiting;
        if tellings.is_empty() {
            return None;
        }
        let pass = line.admit(now, &self.env)?;
        Some(Parcel {
            to: Arc::clone(&target.name),
            pass,
            tellings,
        })
    }

    async fn carry(&self, config: &AlertsConfig, target: &Target, parcel: Parcel) {
        let mut taken = Vec::new();
        let result = send(&self.env, config, target, &parcel.tellings, &mut taken).await;
        let wall = self.env.wall();
        for place in taken {
            let Telling { alert, told, .. } = &parcel.tellings[place];
            let (id, target) = (&alert.id, parcel.to.to_string());
            let word = match told {
                Told::Firing => "firing",
                Told::Resolved => "resolved",
            };
            let fact = format!("{id}/told/{target}/{word}");
            self.record
                .say_as(&fact, wall, id, Said::AlertTold { target, told: *told });
        }
        self.settle(&parcel.to, parcel.pass, result);
    }

    /// A message was taken, or not.
    fn settle(&self, name: &Arc<str>, pass: Pass, result: Result<(), Untaken>) {
        let now = self.env.now();
        let mut lines = self.desk.lock();
        let Some(line) = lines.get_mut(name) else { return };
        line.is_busy = false;
        let target = ("target", Value::from(&**name));
        match result {
            Ok(()) => {
                line.breaker.report(now, pass, Report::Success);
                line.refreshed = Some(now);
                if line.failing.take().is_some() {
                    self.journal.info("a target takes alerts again", &[target]);
                }
            }
            Err(Untaken { cause, after }) => {
                line.breaker.report(now, pass, Report::Failure);
                line.not_before = now + after.unwrap_or_default().min(PATIENCE.open_max);
                let cause = format!("{cause:#}");
                if line.failing.replace(cause.clone()).is_none() {
                    let cause = ("cause", Value::from(&*cause));
                    self.journal
                        .error("a target does not take alerts", &[target, cause]);
                }
            }
        }
    }

    /// Tells whoever waits for it that all is well, if it is time. The caller knows that all is.
    pub(crate) fn beat(&self, config: &AlertsConfig) {
        let Some(beat) = config.heartbeat.clone() else {
            return;
        };
        let now = self.env.now();
        let mut lines = self.desk.lock();
        let line = lines.entry(HEARTBEAT.into()).or_insert_with(|| Line::new(now));
        if line.refreshed.is_some_and(|at| now.since(at) < beat.every) {
            return;
        }
        let Some(pass) = line.admit(now, &self.env) else {
            return;
        };
        drop(lines);
        let office = self.clone();
        self.env.spawn(async move {
            let result = async {
                let address = match beat.address {
                    Ok(address) => address,
                    Err(secret) => secret.read()?.to_send().to_owned(),
                };
                let tls = Connector::build(&gateway::plan::TlsClientPlan::default(), Protocol::Http1)?;
                let posted = outbound::post(
                    &office.env,
                    &address,
                    &tls,
                    HeaderMap::new(),
                    Bytes::new(),
                    SEND_MAX,
                );
                accepted(&posted.await?)
            };
            let result = result.await;
            office.settle(&HEARTBEAT.into(), pass, result);
        });
    }
}

/// The heartbeat, among the names of targets: no target can be called so.
const HEARTBEAT: &str = "(heartbeat)";

impl Desk {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands with each target.
    pub(crate) fn reading(&self) -> Vec<TargetReading> {
        let lines = self.lock();
        let reading = |(name, line): (&Arc<str>, &Line)| TargetReading {
            name: Arc::clone(name),
            waiting: line.waiting,
            failing: line.failing.clone(),
        };
        lines.iter().map(reading).collect()
    }
}

impl Line {
    fn new(now: Instant) -> Self {
        Self {
            breaker: Breaker::new(PATIENCE),
            is_busy: false,
            not_before: now,
            refreshed: None,
            failing: None,
            waiting: 0,
        }
    }

    fn admit(&mut self, now: Instant, env: &Env) -> Option<Pass> {
        if self.is_busy || now < self.not_before {
            return None;
        }
        match self.breaker.admit(now, &mut env.dice()) {
            BreakerDecision::Admit(pass) => {
                self.is_busy = true;
                Some(pass)
            }
            BreakerDecision::Refuse { .. } => None,
        }
    }
}

/// Sends these once. Those that were taken are in `taken` by their place, whatever comes after them.
async fn send(
    env: &Env,
    config: &AlertsConfig,
    target: &Target,
    tellings: &[Telling],
    taken: &mut Vec<usize>,
) -> Result<(), Untaken> {
    let secret = target.secret.as_ref().map(TokenSource::read).transpose()?;
    let secret = secret.as_ref().map(crate::config::secrets::Secret::to_send);
    let labels = &config.labels;
    let tls = || Connector::build(&target.tls, Protocol::Http1).context("preparing TLS");
    let mut headers = json_headers();
    let (address, body) = match &target.way {
        Way::Alertmanager(address) => {
            if let Some(token) = secret {
                let mut value =
                    HeaderValue::from_str(&format!("Bearer {token}")).context("the token is no header")?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            (
                format!("{address}/api/v2/alerts"),
                alertmanager::body(tellings, labels),
            )
        }
        Way::Slack => (
            secret.context("there is no address")?.to_owned(),
            slack::body(tellings),
        ),
        Way::Webhook(address) => {
            let body = webhook::body(tellings, labels);
            let id = webhook_id(tellings);
            let signed = webhook::sign(
                secret.unwrap_or_default(),
                &id,
                env.wall().as_secs(),
                body.to_string().as_bytes(),
            );
            headers.extend(signed);
            (address.clone(), body)
        }
        Way::PagerDuty(address) => {
            let address = address.as_deref().unwrap_or(pagerduty::ADDRESS);
            let (key, tls) = (secret.context("there is no routing key")?, tls()?);
            for (place, telling) in tellings.iter().enumerate() {
                let body = pagerduty::body(telling, key, labels).to_string();
                let posted = outbound::post(env, address, &tls, headers.clone(), body.into(), SEND_MAX);
                accepted(&posted.await?)?;
                taken.push(place);
            }
            return Ok(());
        }
        Way::Email(email) => {
            let message = email::message(email, tellings)?;
            email::send(email, target.tls.ca.as_deref(), secret, message, SEND_MAX).await?;
            taken.extend(0..tellings.len());
            return Ok(());
        }
    };
    let tls = tls()?;
    let posted = outbound::post(env, &address, &tls, headers, body.to_string().into(), SEND_MAX);
    accepted(&posted.await?)?;
    taken.extend(0..tellings.len());
    Ok(())
}

/// The same for the same alerts, so that who gets them twice can tell.
fn webhook_id(tellings: &[Telling]) -> String {
    let parts = tellings.iter().map(|telling| match telling.told {
        Told::Firing => telling.alert.id.to_string(),
        Told::Resolved => format!("{}/resolved", telling.alert.id),
    });
    parts.collect::<Vec<_>>().join(",")
}

fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
}

/// Whether an answer says that the message was taken.
fn accepted(answer: &Answer) -> Result<(), Untaken> {
    let said = || -> anyhow::Result<()> {
        let text = String::from_utf8_lossy(&answer.body);
        let text = text.trim();
        let end = text.floor_char_boundary(SAID_MAX);
        ensure!(
            answer.status.is_success(),
            "it answered {}: {}",
            answer.status.as_u16(),
            &text[..end]
        );
        Ok(())
    };
    said().map_err(|cause| Untaken {
        cause,
        after: answer.after,
    })
}

/// Bytes of what a target says that are told.
const SAID_MAX: usize = 200;
