//! What the admin side knows of the data plane at one moment: plain data, no handle into it.
//!
//! Metrics, the status page and the readiness probe are computed from a [`Reading`] and from nothing else, so none
//! of them can say what another does not know, and each can be tested without a gateway.

use std::sync::Arc;
use std::time::Duration;

use gateway::JoinReading;
use gateway::admission::AdmissionReading;
use gateway::hedging::HedgeReading;
use gateway::ledger::SeriesKey;
use gateway::objectives::WalkReading;
use plimsoll_policy::{BreakerState, MemoryLevel};
use plimsoll_slo::{
    Counts, Falling, FreshnessReading, Instant, Measure, Rising, Rung, Severity, TallySnapshot, Verdict,
};

/// One series of the ledger.
pub(crate) type Series = (SeriesKey, TallySnapshot);

/// The data plane at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// When, on the monotonic clock.
    pub(crate) now: Instant,
    /// When, since the Unix epoch.
    pub(crate) wall: Duration,
    pub(crate) phase: Phase,
    /// Every series that counted anything, in the order of their keys.
    pub(crate) series: Vec<Series>,
    /// Series that share the last number because all were given out.
    pub(crate) series_overflowed: u64,
    /// Events that the gateway could not tell because the queue was full.
    pub(crate) events_dropped: u64,
    pub(crate) listeners: Vec<ListenerReading>,
    pub(crate) upstreams: Vec<UpstreamReading>,
    /// How calls of services found the requests that they are made for.
    pub(crate) joins: JoinReading,
    /// For each route that is hedged.
    pub(crate) hedges: Vec<HedgeReading>,
    /// What the judge says, in the order of the configuration.
    pub(crate) objectives: Vec<ObjectiveReading>,
    /// What has no target and is watched, in the order of the configuration.
    pub(crate) watched: WatchedReading,
    /// For each objective that counts journeys, by its name.
    pub(crate) journeys: Vec<(Arc<str>, WalkReading)>,
    /// For each objective that is about freshness, by its name.
    pub(crate) freshness: Vec<(Arc<str>, FreshnessReading)>,
    /// Incidents that are not resolved, the latest first.
    pub(crate) incidents: Vec<IncidentReading>,
    /// Alerts that are open.
    pub(crate) alerts: Vec<AlertReading>,
    /// Whom alerts are told to.
    pub(crate) targets: Vec<TargetReading>,
    pub(crate) record: RecordReading,
    /// What is judged cannot be written down.
    pub(crate) state_failing: bool,
    /// Minutes of objectives that are not written down yet.
    pub(crate) state_unwritten: u64,
    pub(crate) memory: MemoryReading,
    pub(crate) config: ConfigReading,
}

/// What has no target and is watched, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WatchedReading {
    pub(crate) rises: Vec<RiseReading>,
    pub(crate) falls: Vec<FallReading>,
}

/// A figure of the business, and whether it has fallen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FallReading {
    /// In the space of names of objectives, of which it is none.
    pub(crate) name: Arc<str>,
    pub(crate) measure: Measure,
    pub(crate) vantage: &'static str,
    pub(crate) runbook: Option<Arc<str>>,
    pub(crate) falling: Falling,
}

impl FallReading {
    /// What it says, in one sentence.
    pub(crate) fn sentence(&self) -> String {
        let Falling {
            usual,
            allowed,
            present,
            ..
        } = self.falling;
        let figure = |value| self.figure(value);
        format!(
            "{} came to {} in the last ten minutes, where {} is usual at this time and {} the least that is no fall",
            self.name,
            figure(present),
            figure(usual),
            figure(allowed)
        )
    }

    /// What is looked at, in a word.
    pub(crate) const fn word(&self) -> &'static str {
        match self.measure {
            Measure::Rate { .. } => "rate",
            Measure::Share { .. } => "share",
        }
    }

    /// One of its figures, with its unit.
    pub(crate) fn figure(&self, value: Option<f64>) -> String {
        match (value, self.measure) {
            (None, _) => "-".to_owned(),
            (Some(share), Measure::Share { .. }) => format!("{:.1} %", 100.0 * share),
            (Some(rate), Measure::Rate { .. }) => format!("{rate:.1} a minute"),
        }
    }
}

/// How many callers a route blames, and whether that has risen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RiseReading {
    /// `client-errors:LISTENER:ROUTE`: in the space of names of objectives, of which it is none.
    pub(crate) name: Arc<str>,
    pub(crate) rising: Rising,
}

impl RiseReading {
    /// The listener and the route that it is of.
    pub(crate) fn route(&self) -> (&str, &str) {
        let (_, of) = self.name.split_once(':').unwrap_or_default();
        of.split_once(':').unwrap_or_default()
    }

    /// What it says, in one sentence.
    pub(crate) fn sentence(&self) -> String {
        let Rising { usual, present, .. } = self.rising;
        let percent = |share: Option<f64>| {
            share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
        };
        format!(
            "of what {} answered in the last ten minutes {} told a caller that it is at fault, where {} is usual",
            self.route().1,
            percent(present.bad_share()),
            percent(usual)
        )
    }
}

/// An incident that is not resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IncidentReading {
    pub(crate) id: Arc<str>,
    /// `open`, `acknowledged` or `mitigated`.
    pub(crate) phase: &'static str,
    /// Milliseconds since the Unix epoch.
    pub(crate) began: u64,
    pub(crate) objectives: Vec<String>,
}

/// An alert that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertReading {
    pub(crate) id: Arc<str>,
    pub(crate) severity: Severity,
    /// Somebody wants nobody to be told.
    pub(crate) is_silenced: bool,
}

/// What happened and is to be remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordReading {
    /// Facts that are not written down yet.
    pub(crate) unwritten: u64,
    /// Facts that never will be.
    pub(crate) lost: u64,
}

/// Somebody who is told of alerts, and how it stands with that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetReading {
    pub(crate) name: Arc<str>,
    /// Alerts that it should know of and does not.
    pub(crate) waiting: usize,
    /// Why it did not take the last message.
    pub(crate) failing: Option<String>,
}

/// One objective, and what is said of it.
#[derive(Clone, Debug)]
pub(crate) struct ObjectiveReading {
    pub(crate) name: Arc<str>,
    /// Its window in words.
    pub(crate) window: Arc<str>,
    /// Where it is written down what to do.
    pub(crate) runbook: Option<Arc<str>>,
    /// Where its events are seen: `gateway`, or elsewhere, from where they are reported.
    pub(crate) vantage: &'static str,
    /// The share of its events that is reported.
    pub(crate) sampling: f64,
    pub(crate) verdict: Verdict,
    /// What may be risked.
    pub(crate) rung: Rung,
    /// Events that count, since this process began to count them.
    pub(crate) counted: Counts,
    /// The objectives that it is made of, with their weights, if it counts nothing itself.
    pub(crate) members: Arc<[(Arc<str>, f64)]>,
}

/// Memory that is held, and what may come in because of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryReading {
    pub(crate) level: MemoryLevel,
    /// Bytes.
    pub(crate) held: u64,
    /// Bytes that may be held; `None` without a bound.
    pub(crate) limit: Option<u64>,
}

/// Whether traffic is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Draining,
    Stopped,
}

/// One listener.
#[derive(Clone, Debug)]
pub(crate) struct ListenerReading {
    pub(crate) name: Arc<str>,
    /// As it was bound, with the port that was found for port 0; empty when it is not bound.
    pub(crate) address: String,
    pub(crate) connections: u32,
    pub(crate) connections_max: u32,
    /// Connections turned away because there were as many as may be.
    pub(crate) connections_refused: u64,
}

/// One upstream and what protects it.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamReading {
    pub(crate) name: Arc<str>,
    pub(crate) version: Arc<str>,
    /// `None` when it has no breaker.
    pub(crate) breaker: Option<BreakerState>,
    pub(crate) breaker_trips: u64,
    pub(crate) in_flight: u32,
    pub(crate) in_flight_max: u32,
    /// Requests that the bulkhead refused.
    pub(crate) bulkhead_refused: u64,
    /// `None` when it has no adaptive limit.
    pub(crate) admission: Option<AdmissionReading>,
    /// Retries that could be paid for now.
    pub(crate) retry_tokens: f64,
    /// Why the last look-up of its names failed; empty when it did not.
    pub(crate) resolve_error: String,
    pub(crate) endpoints: Vec<EndpointReading>,
}

/// One endpoint of an upstream.
#[derive(Clone, Debug)]
pub(crate) struct EndpointReading {
    pub(crate) address: String,
    /// By active health checks.
    pub(crate) healthy: bool,
    /// By outlier ejection.
    pub(crate) ejected: bool,
    pub(crate) attempts: u64,
    pub(crate) failures: u64,
    /// Attempts under way.
    pub(crate) pending: u32,
    pub(crate) connections: u32,
}

/// What is configured, and how the last attempts to change it went.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigReading {
    /// Counts what was applied: 1 is the first.
    pub(crate) generation: u64,
    /// When that was, since the Unix epoch.
    pub(crate) applied_at: Duration,
    pub(crate) reloads_applied: u64,
    pub(crate) reloads_refused: u64,
    /// Keys that a reload changed and that have no effect before the next start.
    pub(crate) at_next_start: Vec<String>,
    /// Why the last reload was refused; empty when it was applied, or none was asked for.
    pub(crate) problems: Vec<String>,
    /// Why objectives and figures of the business are not judged: what is wrong with them.
    pub(crate) broken: Vec<String>,
}

/// What telemetry itself did, good and bad.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TelemetryReading {
    /// Lines that the journal could not queue.
    pub(crate) lines_dropped: u64,
    /// Lines left out by the journal's own bound on repetition.
    pub(crate) lines_suppressed: u64,
    pub(crate) spans: SentReading,
    /// Data points of metrics.
    pub(crate) points: SentReading,
}

/// What became of what was meant for a collector.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SentReading {
    pub(crate) sent: u64,
    /// What no collector took: queue full, refused, or nobody there for too long.
    pub(crate) dropped: u64,
    /// The last was not taken.
    pub(crate) failing: bool,
}

impl Phase {
    /// The word for it everywhere.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// The word for a breaker's state in metrics and on the status page.
pub(crate) fn breaker_word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Passing => "passing",
        BreakerState::Tripped => "tripped",
        BreakerState::Probing => "probing",
    }
}

#[cfg(test)]
pub(crate) mod sample;
