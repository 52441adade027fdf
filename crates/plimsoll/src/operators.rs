//! What operators may ask of an instance, and who may: the joint between the admin port and the parts that it is
//! about.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use gateway::Acceptor;
use gateway::objectives::ObjectiveCounts;
use gateway::plan::Protocol;
use plimsoll_slo::Fresh;
use tokio::sync::watch;

use crate::access::{Kept, Key};
use crate::admin::{AdminBackend, AdminConfig};
use crate::api::ApiBackend;
use crate::api::changes::Stable;
use crate::api::flags::Known;
use crate::api::history::{Counted, Latencies, Past};
use crate::api::outcomes::{Event, Heard, Reported};
use crate::api::stream::Judged;
use crate::config::{self, ChangesConfig, Scalar, Watch};
use crate::doubts::{self, Doubtful};
use crate::exemplars::Exemplars;
use crate::flags::edit;
use crate::history::Window;
use crate::instance::Parts;
use crate::observe;
use crate::reading::{FallReading, ObjectiveReading, Reading, TelemetryReading};
use crate::record::Record;
use crate::reload::Reloaded;
use crate::rollout::{self, Looked, Usual};
use crate::spread::Part;
use crate::upgrade;

/// The parts, as the admin port sees them.
#[derive(Clone, Debug)]
pub(crate) struct Operators(pub(crate) Arc<Parts>);

impl ApiBackend for Operators {
    fn record(&self) -> &Record {
        &self.0.record
    }

    fn objectives(&self) -> Vec<ObjectiveReading> {
        let judging = self.0.judging.lock().unwrap_or_else(PoisonError::into_inner);
        judging.reading(&self.0.reloader.asked().ladder)
    }

    fn concerns(&self) -> Vec<Arc<str>> {
        let judging = self.0.judging.lock().unwrap_or_else(PoisonError::into_inner);
        judging.names().collect()
    }

    fn doubts(&self) -> Vec<Doubtful> {
        doubts::find(&self.0)
    }

    fn kpis(&self) -> Vec<FallReading> {
        let judging = self.0.judging.lock().unwrap_or_else(PoisonError::into_inner);
        judging.watched().falls
    }

    fn past(&self, objective: &str) -> Option<Past> {
        let judging = self.0.judging.lock().unwrap_or_else(PoisonError::into_inner);
        judging.past(objective)
    }

    fn counted(&self, objective: &str) -> Option<Counted> {
        let judging = self.0.judging.lock().unwrap_or_else(PoisonError::into_inner);
        judging.counted(objective)
    }

    fn report(&self, name: &str, event: &Event) -> Reported {
        let asked = self.0.reloader.asked();
        let figures = asked.watched.iter().filter(|one| one.watch != Watch::Callers);
        let mut all = asked.objectives.iter().chain(figures);
        let Some(one) = all.find(|one| *one.name == *name) else {
            return Reported::Unknown;
        };
        if one.vantage == "gateway" {
            return Reported::OfRequests;
        }
        let running = self.0.gateway.running();
        let mut counted = running.objectives.iter().chain(&running.watched);
        let counts = counted.find(|counts| *counts.name == *name);
        let now = self.wall().as_millis() as u64;
        counts.map_or(Reported::Unknown, |counts| count(counts, event, now))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn latencies(&self, objective: &str) -> Option<Latencies> {
        self.0.latencies(objective)
    }

    fn changes(&self) -> Arc<ChangesConfig> {
        self.0.reloader.asked().changes
    }

    fn stable(&self, upstream: &str) -> Option<Stable> {
        rollout::stable(&self.0, upstream)
    }

    fn reach(&self, endpoints: &[String]) -> Result<(), String> {
        // Whoever asks waits for it, and the other thread of the control runtime serves the rest.
        tokio::task::block_in_place(|| rollout::reach(endpoints))
    }

    fn flags(&self) -> Option<Known> {
        let config = self.0.reloader.asked().flags?;
        let running = self.0.gateway.running();
        let all = running.plan.upstreams.iter();
        let upstreams = all
            .map(|upstream| upstream.name.to_string())
            // A candidate is no upstream of its own.
            .filter(|name| !name.contains('@'));
        let file = self.0.reloader.file_read();
        let settled = self
            .0
            .record
            .read(|state| edit::compose(&config.written, &state.changes, file, &BTreeMap::new()));
        Some(Known {
            served: self.0.flags.served(),
            written: config.written,
            settled,
            key: config.key.as_ref().map(Scalar::render),
            upstreams: upstreams.collect(),
        })
    }

    fn refresh_flags(&self) {
        self.0.flags.refresh(&self.0);
    }

    fn usual(&self, upstreams: &[String]) -> Usual {
        let names: Vec<&str> = upstreams.iter().map(String::as_str).collect();
        rollout::usual(&self.0, &names)
    }

    fn looked(&self, change: &str) -> Option<Looked> {
        let rollouts = self.0.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
        rollouts.looked(change).cloned()
    }

    fn wall(&self) -> Duration {
        self.0.gateway.env().wall()
    }
}

/// Counts what somebody tells of an event, at `now` in milliseconds since the Unix epoch.
fn count(counts: &ObjectiveCounts, event: &Event, now: u64) -> Reported {
    match *event {
        Event::Became { .. } if counts.fresh(now).is_some() => Reported::OfOthers { is_seen: true },
        Event::Became {
            outcome,
            count,
            caller,
        } => {
            counts.record_reported(&outcome, count, caller);
            Reported::Counted
        }
        Event::Seen {
            event,
            committed,
            seen,
        } => match counts.record_seen(event, committed, seen, now) {
            None => Reported::OfOthers { is_seen: false },
            Some(Fresh::Good | Fresh::Bad) => Reported::Counted,
            Some(Fresh::Waits | Fresh::Known) => Reported::Waits,
            Some(Fresh::Unknown) => Reported::Unannounced,
            Some(Fresh::TurnedAway) => Reported::Full,
        },
    }
}

impl AdminBackend for Operators {
    fn breakdown(&self, objective: &str) -> Vec<Part> {
        self.0.breakdown(objective)
    }

    fn looked_at(&self) -> BTreeMap<String, Looked> {
        let rollouts = self.0.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
        rollouts.all().clone()
    }

    fn reading(&self) -> Reading {
        observe::read(&self.0)
    }

    fn window(&self, reading: &Reading, length: Duration) -> Window {
        let history = self.0.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.window(reading.now, length, &reading.series)
    }

    fn exemplars(&self) -> MutexGuard<'_, Exemplars> {
        self.0.telemetry.exemplars()
    }

    fn telemetry(&self) -> TelemetryReading {
        self.0.telemetry.reading()
    }

    fn keys(&self) -> Arc<[Key]> {
        self.0.reloader.asked().keys
    }

    fn judged(&self) -> watch::Receiver<Arc<Judged>> {
        self.0.judged.subscribe()
    }

    async fn reload(&self) -> Reloaded {
        self.0.reload().await
    }

    fn drain(&self) {
        self.0.drain();
    }

    async fn upgrade(&self) -> Result<u32, String> {
        upgrade::run(&self.0).await
    }
}

/// Where the port is. Tokens are read once, so that one that is missing is found at the start.
///
/// # Errors
/// A token, certificate or key cannot be read.
pub(crate) fn port(config: &config::AdminConfig) -> anyhow::Result<AdminConfig> {
    for key in &*config.keys {
        if let Kept::Source(source) = &key.kept {
            source
                .read()
                .with_context(|| format!("reading the admin token `{}`", key.name))?;
        }
    }
    let tls = config
        .tls
        .as_ref()
        .map(|tls| Acceptor::build(tls, Protocol::Http1));
    Ok(AdminConfig {
        listen: config.listen,
        asks_for_keys: !config.keys.is_empty(),
        tls: tls
            .transpose()
            .context("reading the admin port's certificate")?
            .map(Arc::new),
    })
}
