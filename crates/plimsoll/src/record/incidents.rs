//! Incidents, as the record has them: when each began, what was seen and done, and when it was over.
//!
//! ```text
//! page ──> open ──acknowledged──> (still open) ──> mitigated ──> resolved
//!            ^                                        │
//!            └──────────── the next page ─────────────┘
//! ```
//!
//! It began when what it is about began, not when somebody was called. It is mitigated when nobody is hurt any more: no
//! page is open, or somebody says so. It is resolved when that has lasted, or somebody says so, and not reopened then: what
//! comes later is another one.

use std::collections::VecDeque;
use std::sync::Arc;

use super::alerts::Alerts;
use super::changes::Changes;
use super::entry::{Entry, Said};
use crate::rollout::words;

/// Incidents that are remembered, and lines of one.
const INCIDENTS_MAX: usize = 500;
pub(crate) const LINES_MAX: usize = 500;
/// Alerts of one that are remembered when they are over.
const ALERTS_MAX: usize = 200;

/// When something was done, in milliseconds since the Unix epoch, and by whom.
pub(crate) type Mark = (u64, Arc<str>);

/// A time in which users were hurt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incident {
    pub(crate) id: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub(crate) began: u64,
    pub(crate) detected: u64,
    pub(crate) acknowledged: Option<Mark>,
    pub(crate) mitigated: Option<Mark>,
    pub(crate) resolved: Option<Mark>,
    /// The alerts that called for it, the first of them first.
    pub(crate) alerts: Vec<Arc<str>>,
    pub(crate) objectives: Vec<String>,
    /// Figures of the business that have fallen meanwhile.
    pub(crate) figures: Vec<String>,
    pub(crate) timeline: Vec<Line>,
    /// How often it was said that it is mitigated.
    pub(crate) mitigations: u64,
    /// Lines that are not there, for want of room.
    pub(crate) lines_left_out: u64,
}

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) at: u64,
    pub(crate) author: Arc<str>,
    pub(crate) text: String,
}

/// The clocks of an incident, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "a time to something is called so in the field"
)]
pub(crate) struct Clocks {
    /// From its beginning until somebody was called.
    pub(crate) to_detect: Option<u64>,
    pub(crate) to_acknowledge: Option<u64>,
    pub(crate) to_mitigate: Option<u64>,
    pub(crate) to_resolve: Option<u64>,
}

impl Incident {
    /// Where it stands, in a word.
    pub(crate) fn phase(&self) -> &'static str {
        match (&self.resolved, &self.mitigated, &self.acknowledged) {
            (Some(_), ..) => "resolved",
            (None, Some(_), _) => "mitigated",
            (None, None, Some(_)) => "acknowledged",
            (None, None, None) => "open",
        }
    }

    pub(crate) fn clocks(&self) -> Clocks {
        let since = |mark: &Option<Mark>| mark.as_ref().map(|(at, _)| at.saturating_sub(self.began));
        Clocks {
            to_detect: Some(self.detected.saturating_sub(self.began)),
            to_acknowledge: since(&self.acknowledged),
            to_mitigate: since(&self.mitigated),
            to_resolve: since(&self.resolved),
        }
    }

    fn line(&mut self, entry: &Entry, text: impl Into<String>) {
        if self.timeline.len() >= LINES_MAX {
            self.lines_left_out += 1;
            return;
        }
        let line = Line {
            at: entry.at,
            author: Arc::clone(&entry.author),
            text: text.into(),
        };
        // Facts of several processes come as they come; a timeline is in the order of time.
        let place = self.timeline.partition_point(|before| before.at <= line.at);
        self.timeline.insert(place, line);
    }
}

/// The incidents that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    /// The latest last.
    all: VecDeque<Incident>,
}

impl Incidents {
    /// The latest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Incident> {
        self.all.iter().rev()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Incident> {
        self.all.iter().rev().find(|incident| *incident.id == *id)
    }

    /// Those that are not resolved, the latest first.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Incident> {
        self.all().filter(|incident| incident.resolved.is_none())
    }

    pub(crate) fn of_alert(&self, alert: &str) -> Option<&Incident> {
        self.all()
            .find(|incident| incident.alerts.iter().any(|id| **id == *alert))
    }

    pub(super) fn apply(&mut self, entry: &Entry, alerts: &Alerts, changes: &Changes) {
        match &entry.said {
            Said::IncidentOpened { alert, began } => self.begin(entry, alert, *began, alerts),
            Said::AlertClosed { why } => {
                let about = alerts
                    .get(&entry.about)
                    .map(|alert| alert.opened.objective.clone());
                let text = format!("{} calls nobody any more: {why}", about.unwrap_or_default());
                if let Some(incident) = self.find(|one| one.alerts.contains(&entry.about)) {
                    incident.line(entry, text);
                }
            }
            Said::Changed { what } => {
                self.note_all(entry, what);
            }
            Said::ChangeWent(said) => {
                let standing = changes.machine.get(&entry.about);
                if let Some(what) = standing.and_then(|standing| words::news(standing, said)) {
                    self.note_all(entry, &what);
                }
            }
            _ => {
                if let Some(incident) = self.find(|one| one.id == entry.about) {
                    follow(incident, entry, alerts);
                }
            }
        }
    }

    /// A line of every incident that goes on.
    fn note_all(&mut self, entry: &Entry, what: &str) {
        for incident in self.all.iter_mut().filter(|one| one.resolved.is_none()) {
            incident.line(entry, what.to_owned());
        }
    }

    fn find(&mut self, is_it: impl Fn(&Incident) -> bool) -> Option<&mut Incident> {
        self.all.iter_mut().rev().find(|incident| is_it(incident))
    }

    fn begin(&mut self, entry: &Entry, alert: &str, began: u64, alerts: &Alerts) {
        let opened = alerts.get(alert);
        let detected = opened.map_or(entry.at, |alert| alert.opened_at);
        let mut incident = Incident {
            id: Arc::clone(&entry.about),
            began: (1_000 * began).min(detected),
            detected,
            acknowledged: None,
            mitigated: None,
            resolved: None,
            alerts: vec![alert.into()],
            objectives: opened
                .map(|alert| alert.opened.objective.clone())
                .into_iter()
                .collect(),
            figures: Vec::new(),
            timeline: Vec::new(),
            mitigations: 0,
            lines_left_out: 0,
        };
        let before = Entry {
            at: incident.began,
            ..entry.clone()
        };
        incident.line(&before, "it began: from here on more fails than may");
        if let Some(alert) = opened {
            incident.line(
                entry,
                format!("{} pages: {}", alert.opened.objective, alert.opened.sentence),
            );
        }
        self.all.push_back(incident);
        if self.all.len() > INCIDENTS_MAX {
            self.all.pop_front();
        }
    }
}

/// What is said about an incident that there is.
fn follow(incident: &mut Incident, entry: &Entry, alerts: &Alerts) {
    let mark = || Some((entry.at, Arc::clone(&entry.author)));
    match &entry.said {
        Said::IncidentJoined { alert } => {
            incident.alerts.push(alert.as_str().into());
            // Of one that flaps for days the first is kept, and those that are open.
            if incident.alerts.len() > ALERTS_MAX {
                let is_over = |id: &Arc<str>| alerts.get(id).is_none_or(|alert| alert.closed.is_some());
                let over = (1..incident.alerts.len()).find(|place| is_over(&incident.alerts[*place]));
                over.map(|place| incident.alerts.remove(place));
            }
            // Whoever was well is hurt again.
            incident.mitigated = None;
            let Some(alert) = alerts.get(alert) else { return };
            let objective = &alert.opened.objective;
            if !incident.objectives.contains(objective) {
                incident.objectives.push(objective.clone());
            }
            let began = alert.opened.began.map_or(u64::MAX, |began| 1_000 * began);
            // A page that comes later may be about what began earlier.
            incident.began = incident
                .began
                .min(began.max(incident.began.saturating_sub(EARLIER_MAX)));
            incident.line(entry, format!("{objective} pages: {}", alert.opened.sentence));
        }
        Said::IncidentAcknowledged if incident.acknowledged.is_none() => {
            incident.acknowledged = mark();
            incident.line(entry, "acknowledged");
        }
        Said::IncidentNoted { text } => incident.line(entry, text.clone()),
        Said::IncidentFigureFell { figure, says } if !incident.figures.contains(figure) => {
            incident.figures.push(figure.clone());
            incident.line(entry, says.clone());
        }
        Said::IncidentMitigated if incident.mitigated.is_none() => {
            incident.mitigated = mark();
            incident.mitigations += 1;
            incident.line(entry, "mitigated: nobody is hurt any more");
        }
        Said::IncidentResolved if incident.resolved.is_none() => {
            if incident.mitigated.is_none() {
                incident.mitigated = mark();
            }
            incident.resolved = mark();
            incident.line(entry, "resolved");
        }
        _ => {}
    }
}

/// What began longer before the incident than this is no part of it: a budget that leaked for days.
const EARLIER_MAX: u64 = 3_600_000;
