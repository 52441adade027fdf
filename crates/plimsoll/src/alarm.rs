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

use crate::reading::{FallReading, ObjectiveReading, RiseReading};
use crate::record::State;
use crate::record::entry::Calls;
use crate::record::incidents::Incident;

/// Milliseconds without a reason to call after which an alert closes: one of this process, and one that another has
/// opened, whose counts may be heard a minute late.
const QUIET: u64 = 60_000;
const QUIET_OF_OTHERS: u64 = 180_000;
/// Milliseconds that an incident is mitigated after which it is resolved.
const LASTS: u64 = 600_000;

/// Something that may call somebody: an objective, or what is watched beside them.
#[derive(Clone, Debug)]
pub(crate) struct Concern {
    name: Arc<str>,
    calls: Option<Severity>,
    /// Whether there is a reason to go on calling somebody who was called by a ticket, and by a page.
    goes_on: [bool; 2],
    /// It is a figure of the business: what it says is news only if no objective that may be the reason pages.
    is_figure: bool,
    /// What it says, for the timeline of an incident that explains it.
    says: String,
}

impl Concern {
    pub(crate) fn of_objective(reading: &ObjectiveReading) -> Self {
        let verdict = &reading.verdict;
        let goes_on = |severity| verdict.calls >= Some(severity) || verdict.burns_for(severity);
        Self {
            name: Arc::clone(&reading.name),
            calls: verdict.calls,
            goes_on: [Severity::Ticket, Severity::Page].map(goes_on),
            is_figure: false,
            says: String::new(),
        }
    }

    /// Nobody is woken by a rise: whether it hurts, a person has to say.
    pub(crate) fn of_rise(reading: &RiseReading) -> Self {
        let has_risen = reading.rising.suffices();
        Self {
            name: Arc::clone(&reading.name),
            calls: has_risen.then_some(Severity::Ticket),
            goes_on: [has_risen, false],
            is_figure: false,
            says: String::new(),
        }
    }

    /// Objectives are what pages: where a figure falls and all of them are met, they do not see something.
    pub(crate) fn of_fall(reading: &FallReading) -> Self {
        let has_fallen = reading.falling.suffices();
        Self {
            name: Arc::clone(&reading.name),
            calls: has_fallen.then_some(Severity::Ticket),
            goes_on: [has_fallen, false],
            is_figure: true,
            says: reading.sentence(),
        }
    }

    fn goes_on(&self, severity: Severity) -> bool {
        self.goes_on[usize::from(severity == Severity::Page)]
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    Open {
        objective: Arc<str>,
        calls: Calls,
    },
    Close {
        alert: Arc<str>,
        why: &'static str,
    },
    Begin {
        alert: Arc<str>,
    },
    Join {
        incident: Arc<str>,
        alert: Arc<str>,
    },
    Mitigate {
        incident: Arc<str>,
    },
    Resolve {
        incident: Arc<str>,
    },
    /// A figure of the business has fallen, for which this incident may be the reason.
    Note {
        incident: Arc<str>,
        figure: Arc<str>,
        says: String,
    },
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
        concerns: &[Concern],
        behind: &Behind,
    ) -> Vec<Decision> {
        let pages: Vec<&str> = concerns
            .iter()
            .filter(|concern| concern.calls == Some(Severity::Page))
            .map(|concern| &*concern.name)
            .chain(
                state
                    .alerts
                    .open()
                    .filter(|alert| alert.opened.severity == Calls::Page)
                    .map(|alert| &*alert.opened.objective),
            )
            .collect();
        let mut decisions: Vec<_> = concerns
            .iter()
            .filter(|concern| {
                !concern.is_figure || !pages.iter().any(|page| explains(page, &concern.name, behind))
            })
            .filter_map(|concern| opens(concern, state))
            .collect();
        decisions.extend(notes(state, concerns, behind));
        decisions.extend(self.closes(process, now, state, concerns));
        decisions.extend(begins(state, behind));
        decisions.extend(
            state
                .incidents
                .open()
                .filter_map(|incident| ends(now, incident, state)),
        );
        decisions
    }

    fn closes(&mut self, process: &str, now: u64, state: &State, concerns: &[Concern]) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let mut quiet = BTreeMap::new();
        for alert in state.alerts.open() {
            let objective = &alert.opened.objective;
            let close = |why| Decision::Close {
                alert: Arc::clone(&alert.id),
                why,
            };
            let Some(concern) = concerns.iter().find(|concern| *concern.name == **objective) else {
                decisions.push(close("it is asked no more"));
                continue;
            };
            if concern.goes_on(alert.opened.severity.severity()) {
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
fn opens(concern: &Concern, state: &State) -> Option<Decision> {
    let calls = match concern.calls? {
        Severity::Page => Calls::Page,
        Severity::Ticket => Calls::Ticket,
    };
    let is_open = |calls| state.alerts.open_of(&concern.name, calls).is_some();
    (!is_open(calls) && !is_open(Calls::Page)).then(|| Decision::Open {
        objective: Arc::clone(&concern.name),
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

/// Whether what an objective pages for may be why a figure has fallen: a service that both depend on. Of a figure that
/// others report nobody knows what it depends on; and an objective that others report explains none of ours, since a
/// ticket too many is better than a fall that nobody is told of.
fn explains(objective: &str, figure: &str, behind: &Behind) -> bool {
    let upstreams = |name: &str| behind.get(name).filter(|upstreams| !upstreams.is_empty());
    match (upstreams(objective), upstreams(figure)) {
        (Some(a), Some(b)) => !a.is_disjoint(b),
        (_, None) => true,
        (None, Some(_)) => false,
    }
}

/// Figures that have fallen, for the incidents that may be why: what an outage costs belongs to its story.
fn notes(state: &State, concerns: &[Concern], behind: &Behind) -> Vec<Decision> {
    let fallen = concerns
        .iter()
        .filter(|concern| concern.is_figure && concern.calls.is_some());
    let of_figure = |concern: &Concern| {
        let incidents = state.incidents.open().filter(|incident| {
            let mut objectives = incident.objectives.iter();
            incident.mitigated.is_none()
                && !incident.figures.iter().any(|figure| **figure == *concern.name)
                && objectives.any(|objective| explains(objective, &concern.name, behind))
        });
        incidents
            .map(|incident| Decision::Note {
                incident: Arc::clone(&incident.id),
                figure: Arc::clone(&concern.name),
                says: concern.says.clone(),
            })
            .collect::<Vec<_>>()
    };
    fallen.flat_map(of_figure).collect()
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
