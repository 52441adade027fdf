//! When alerts open and close, and incidents with them: from what the judge says each second, and what the record has.
//!
//! An alert opens when an objective calls somebody. It stays open while the rules that it came from fire, evidence or not,
//! since a process that has just begun has no evidence yet; and it closes when they have not for a minute, so that one
//! that comes and goes is one alert.
//!
//! A page opens an incident, or joins one that is open and shares an upstream with it: a database that is slow is one
//! incident, however many objectives notice. When no page of an incident is open any more it is mitigated, and when that
//! has lasted it is resolved.
//!
//! It decides, and does nothing: no clock, no lock, no network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_slo::Severity;

use crate::reading::ObjectiveReading;
use crate::record::State;
use crate::record::entry::Calls;
use crate::record::incidents::Incident;

/// Milliseconds without a reason to call after which an alert closes: one of this process, and one that another has
/// opened, whose counts may be heard a minute late.
const QUIET: u64 = 60_000;
const QUIET_OF_OTHERS: u64 = 180_000;
/// Milliseconds that an incident is mitigated after which it is resolved.
const LASTS: u64 = 600_000;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    Open { objective: Arc<str>, calls: Calls },
    Close { alert: Arc<str>, why: &'static str },
    Begin { alert: Arc<str> },
    Join { incident: Arc<str>, alert: Arc<str> },
    Mitigate { incident: Arc<str> },
    Resolve { incident: Arc<str> },
}

/// What it has to remember between two seconds, and what need not outlive the process.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// Since when there has been no reason for an alert, in milliseconds since the Unix epoch.
    quiet: BTreeMap<Arc<str>, u64>,
}

/// By the name of an objective the upstreams that its routes lead to.
pub(crate) type Behind = BTreeMap<Arc<str>, BTreeSet<Arc<str>>>;

impl Alarm {
    /// What this process is to do at `now`, in milliseconds since the Unix epoch.
    pub(crate) fn decide(
        &mut self,
        process: &str,
        now: u64,
        state: &State,
        readings: &[ObjectiveReading],
        behind: &Behind,
    ) -> Vec<Decision> {
        let mut decisions: Vec<_> = readings
            .iter()
            .filter_map(|reading| opens(reading, state))
            .collect();
        decisions.extend(self.closes(process, now, state, readings));
        decisions.extend(begins(state, behind));
        decisions.extend(
            state
                .incidents
                .open()
                .filter_map(|incident| ends(now, incident, state)),
        );
        decisions
    }

    fn closes(
        &mut self,
        process: &str,
        now: u64,
        state: &State,
        readings: &[ObjectiveReading],
    ) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let mut quiet = BTreeMap::new();
        for alert in state.alerts.open() {
            let objective = &alert.opened.objective;
            let close = |why| Decision::Close {
                alert: Arc::clone(&alert.id),
                why,
            };
            let Some(reading) = readings.iter().find(|reading| *reading.name == **objective) else {
                decisions.push(close("it is asked no more"));
                continue;
            };
            let calls = alert.opened.severity.severity();
            let goes_on = reading.verdict.calls >= Some(calls) || reading.verdict.burns_for(calls);
            if goes_on {
                continue;
            }
            let since = self.quiet.get(&alert.id).copied().unwrap_or(now).min(now);
            let enough = if *alert.owner == *process {
                QUIET
            } else {
                QUIET_OF_OTHERS
            };
            if now - since >= enough {
                decisions.push(close("no more fails than may"));
            }
            quiet.insert(Arc::clone(&alert.id), since);
        }
        self.quiet = quiet;
        decisions
    }
}

/// A ticket is of no use beside a page.
fn opens(reading: &ObjectiveReading, state: &State) -> Option<Decision> {
    let calls = match reading.verdict.calls? {
        Severity::Page => Calls::Page,
        Severity::Ticket => Calls::Ticket,
    };
    let is_open = |calls| state.alerts.open_of(&reading.name, calls).is_some();
    (!is_open(calls) && !is_open(Calls::Page)).then(|| Decision::Open {
        objective: Arc::clone(&reading.name),
        calls,
    })
}

/// A page that belongs to no incident yet. One in a round, so that the next may join what this one begins.
fn begins(state: &State, behind: &Behind) -> Option<Decision> {
    let mut pages = state
        .alerts
        .open()
        .filter(|alert| alert.opened.severity == Calls::Page);
    let page = pages.find(|alert| state.incidents.of_alert(&alert.id).is_none())?;
    let upstreams = |objective: &str| behind.get(objective);
    let own = upstreams(&page.opened.objective);
    let is_akin = |incident: &&Incident| {
        incident.objectives.iter().any(|objective| {
            *objective == page.opened.objective
                || upstreams(objective)
                    .zip(own)
                    .is_some_and(|(a, b)| !a.is_disjoint(b))
        })
    };
    let alert = Arc::clone(&page.id);
    Some(match state.incidents.open().find(is_akin) {
        Some(incident) => Decision::Join {
            incident: Arc::clone(&incident.id),
            alert,
        },
        None => Decision::Begin { alert },
    })
}

fn ends(now: u64, incident: &Incident, state: &State) -> Option<Decision> {
    let alerts = || incident.alerts.iter().filter_map(|id| state.alerts.get(id));
    if alerts().any(|alert| alert.closed.is_none()) {
        return None;
    }
    let incident_id = Arc::clone(&incident.id);
    let Some((mitigated, _)) = &incident.mitigated else {
        return Some(Decision::Mitigate {
            incident: incident_id,
        });
    };
    // Somebody may have said so long before the last page was over.
    let closed = alerts()
        .filter_map(|alert| alert.closed.as_ref())
        .map(|(at, _)| *at)
        .max();
    let well_since = closed.unwrap_or(0).max(*mitigated);
    (now.saturating_sub(well_since) >= LASTS).then_some(Decision::Resolve {
        incident: incident_id,
    })
}

#[cfg(test)]
mod tests;
