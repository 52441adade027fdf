//! Second by second, what is decided about alerts and incidents becomes facts, with everything that is known at that
//! moment and would be gone later: requests that failed, what they have in common, what changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway::plan::{ObjectivePlan, Plan};
use plimsoll_slo::{Instant, Second};

use crate::alarm::{Alarm, Behind, Concern, Decision};
use crate::exemplars::Exemplar;
use crate::heat::Heat;
use crate::instance::Parts;
use crate::journal::Value;
use crate::reading::{FallReading, ObjectiveReading, RiseReading, WatchedReading};
use crate::record::alerts::Alerts;
use crate::record::entry::{Calls, Example, Opened};
use crate::record::{Record, Said};
use crate::spread::{Spread, counts_for};

/// Requests that are kept with an alert.
const EXAMPLES_MAX: usize = 8;
/// How far back changes are looked for, and how many are told.
const CHANGES_WITHIN: Duration = Duration::from_hours(1);
const CHANGES_MAX: usize = 10;

/// What this remembers.
#[derive(Debug, Default)]
pub(crate) struct Watching {
    alarm: Alarm,
    pub(crate) spread: Spread,
    pub(crate) heat: Heat,
    trips: Trips,
    /// It was said that this process is new: after what the store knows was heard, so that it belongs to what is open.
    said_started: bool,
    /// When it looked first.
    began: Option<Instant>,
}

/// How often each breaker has tripped, and when it did last.
#[derive(Debug, Default)]
struct Trips(BTreeMap<Arc<str>, (u64, Option<Duration>)>);

/// A breaker that trips again within this time is the same story: in an outage it does so every two seconds.
const SAME_STORY: Duration = Duration::from_mins(10);

impl Trips {
    /// Whether a breaker that has tripped so often by now has something to tell.
    fn is_news(&mut self, name: &Arc<str>, trips: u64, wall: Duration) -> bool {
        let (before, last) = self.0.entry(Arc::clone(name)).or_insert((trips, None));
        if trips <= *before {
            return false;
        }
        *before = trips;
        let is_same = last.is_some_and(|last| wall.saturating_sub(last) < SAME_STORY);
        *last = Some(wall);
        !is_same
    }
}

/// How long nobody is called while what the store knows of alerts has not been heard: a disk answers sooner, and one that
/// does not is not waited for.
const HEARING_MAX: Duration = Duration::from_secs(5);

impl Watching {
    /// Looks once. `began` tells when that began for which an objective calls somebody.
    pub(crate) fn run_once(
        &mut self,
        parts: &Parts,
        (readings, watched): (&[ObjectiveReading], &WatchedReading),
        began: impl Fn(&str) -> Option<Second>,
    ) {
        let wall = parts.gateway.env().wall();
        let running = parts.gateway.running();
        self.note_trips(parts, wall);
        let began_at = *self.began.get_or_insert(parts.gateway.env().now());
        let is_new = parts.gateway.env().now().since(began_at) < HEARING_MAX;
        if is_new && parts.record.read(|state| !state.is_whole) {
            return;
        }
        if !std::mem::replace(&mut self.said_started, true) {
            let what = format!("plimsoll {} started", env!("CARGO_PKG_VERSION"));
            parts.record.say(wall, None, Said::Changed { what });
        }
        let (record, now) = (&parts.record, wall.as_millis() as u64);
        let mut behind = behind(&running.plan);
        for reading in readings.iter().filter(|reading| !reading.members.is_empty()) {
            let of_members = reading
                .members
                .iter()
                .filter_map(|(member, _)| behind.get(member));
            let upstreams = of_members.flatten().cloned().collect();
            behind.insert(Arc::clone(&reading.name), upstreams);
        }
        let of_objectives = readings.iter().map(Concern::of_objective);
        let of_watched = watched.rises.iter().map(Concern::of_rise);
        let of_watched = of_watched.chain(watched.falls.iter().map(Concern::of_fall));
        let concerns: Vec<_> = of_objectives.chain(of_watched).collect();
        let decisions =
            record.read(|state| self.alarm.decide(record.author(), now, state, &concerns, &behind));
        for decision in decisions {
            if let Decision::Open { objective, calls } = decision {
                let mut opened = of_watched_one(watched, &objective).unwrap_or_else(|| Opened {
                    began: began(&objective).map(|second| second.0),
                    ..self.opened(parts, &running.plan, readings, &objective)
                });
                opened.changes = changes(parts, wall);
                opened.severity = calls;
                open(parts, wall, opened);
            } else {
                tell(parts, &decision);
                act(record, wall, &decision);
            }
        }
    }

    /// A breaker that trips is a change that people look for.
    fn note_trips(&mut self, parts: &Parts, wall: Duration) {
        for upstream in &parts.gateway.running().upstreams {
            let (name, trips) = (&upstream.plan.name, upstream.state.breaker_trips());
            if self.trips.is_news(name, trips, wall) {
                let what = format!("the breaker of {name} tripped");
                parts.record.say(wall, None, Said::Changed { what });
            }
        }
    }

    /// All that is known of what an objective calls for.
    fn opened(&self, parts: &Parts, plan: &Plan, readings: &[ObjectiveReading], name: &str) -> Opened {
        let wall = parts.gateway.env().wall();
        let reading = readings.iter().find(|reading| *reading.name == *name);
        let mut opened = Opened {
            objective: name.to_owned(),
            sentence: reading.map_or_else(String::new, |reading| reading.verdict.sentence().to_string()),
            runbook: reading.and_then(|reading| reading.runbook.as_deref().map(str::to_owned)),
            ..Opened::default()
        };
        if let Some(objective) = plan.objectives.iter().find(|objective| *objective.name == *name) {
            opened.examples = examples(parts, objective);
            let since = wall.as_secs() / 60 - SPREAD_OVER.min(wall.as_secs() / 60);
            opened.stands_out = self.spread.stands_out(objective, since);
        }
        opened
    }
}

/// All that is known of something that is watched, if that is its name.
fn of_watched_one(watched: &WatchedReading, name: &str) -> Option<Opened> {
    let rise = watched.rises.iter().find(|rise| *rise.name == *name);
    let fall = watched.falls.iter().find(|fall| *fall.name == *name);
    rise.map(of_rise).or_else(|| fall.map(of_fall))
}

/// All that is known of a fall: that nothing failed that anybody has seen is the point of it.
fn of_fall(fall: &FallReading) -> Opened {
    Opened {
        objective: fall.name.to_string(),
        sentence: format!(
            "a blind spot: {}, and no objective that may be the reason pages",
            fall.sentence()
        ),
        began: fall.falling.began.map(|minute| 60 * minute),
        runbook: fall.runbook.as_deref().map(str::to_owned),
        ..Opened::default()
    }
}

/// All that is known of a rise; requests that blame their callers are good, and none of them was kept.
fn of_rise(rise: &RiseReading) -> Opened {
    Opened {
        objective: rise.name.to_string(),
        sentence: rise.sentence(),
        began: rise.rising.began.map(|minute| 60 * minute),
        ..Opened::default()
    }
}

/// What changed in the last hour, the latest first.
fn changes(parts: &Parts, wall: Duration) -> Vec<String> {
    parts.record.read(|state| {
        let changes = state.changes(wall.as_millis() as u64, CHANGES_WITHIN);
        changes
            .take(CHANGES_MAX)
            .map(|(at, what)| format!("{}: {what}", crate::civil::clock(at)))
            .collect()
    })
}

/// Minutes over which failures are compared with the traffic.
const SPREAD_OVER: u64 = 10;

/// The latest requests that failed and count for an objective, the latest first.
pub(crate) fn examples(parts: &Parts, objective: &ObjectivePlan) -> Vec<Example> {
    let exemplars = parts.telemetry.exemplars();
    let failed = exemplars.bad().filter(|(key, _)| counts_for(objective, key));
    let mut examples: Vec<Example> = failed
        .map(|(key, exemplar)| {
            let Exemplar {
                trace_id,
                request_id,
                latency,
                at,
                bad,
            } = exemplar;
            Example {
                trace_id: format!("{trace_id:032x}"),
                request_id: request_id.to_string(),
                route: key.route.to_string(),
                tier: key.tier.to_string(),
                reason: bad.map_or("", |reason| reason.info().code).to_owned(),
                latency_ms: latency.as_millis() as u64,
                at: at.as_millis() as u64,
            }
        })
        .collect();
    examples.sort_by_key(|example| std::cmp::Reverse(example.at));
    examples.truncate(EXAMPLES_MAX);
    examples
}

/// By objective the upstreams that its routes lead to.
fn behind(plan: &Plan) -> Behind {
    let upstreams = |objective: &ObjectivePlan| {
        let all = plan
            .listeners
            .iter()
            .flat_map(|listener| listener.routes.iter().map(move |route| (&listener.name, route)));
        let of = all.filter(|(listener, route)| {
            let mut pairs = objective.routes.iter();
            pairs.any(|(on, name)| on == *listener && *name == route.name)
        });
        of.map(|(_, route)| Arc::clone(&route.upstream)).collect()
    };
    let objectives = plan.objectives.iter().chain(&plan.kpis);
    objectives
        .map(|objective| (Arc::clone(&objective.name), upstreams(objective)))
        .collect()
}

fn open(parts: &Parts, wall: Duration, opened: Opened) {
    let (objective, calls, sentence) = (opened.objective.clone(), opened.severity, opened.sentence.clone());
    let id = begin(&parts.record, wall, opened);
    let said = [
        ("objective", Value::from(&*objective)),
        ("alert", Value::from(&*id)),
        ("verdict", Value::from(&*sentence)),
    ];
    match calls {
        Calls::Page => parts.journal.error("an objective pages", &said),
        Calls::Ticket => parts.journal.warn("an objective asks for a ticket", &said),
    }
}

/// Says that an alert is open, and returns its id.
pub(crate) fn begin(record: &Record, wall: Duration, opened: Opened) -> Arc<str> {
    let (objective, calls) = (&opened.objective, opened.severity);
    let id = record.read(|state| {
        if state.is_whole {
            state.alerts.next_id(objective, calls)
        } else {
            Alerts::id_of_time(objective, calls, wall)
        }
    });
    record.say_as(
        &format!("{id}/opened"),
        wall,
        &id,
        Said::AlertOpened(Box::new(opened)),
    );
    id
}

fn tell(parts: &Parts, decision: &Decision) {
    let said = |name: &'static str, id: &Arc<str>, message: &str| {
        parts.journal.info(message, &[(name, Value::from(&**id))]);
    };
    match decision {
        Decision::Close { alert, .. } => said("alert", alert, "an objective calls nobody any more"),
        Decision::Mitigate { incident } => said("incident", incident, "nobody is hurt any more"),
        Decision::Resolve { incident } => said("incident", incident, "the incident is resolved"),
        Decision::Note { incident, says, .. } => said("incident", incident, says),
        Decision::Open { .. } | Decision::Begin { .. } | Decision::Join { .. } => {}
    }
}

/// Says what was decided, under an id that everybody gives it.
pub(crate) fn act(record: &Record, wall: Duration, decision: &Decision) {
    match decision {
        Decision::Open { .. } => {}
        Decision::Close { alert, why } => {
            let why = (*why).to_owned();
            record.say_as(&format!("{alert}/closed"), wall, alert, Said::AlertClosed { why });
        }
        Decision::Begin { alert } => {
            let opened = record.read(|state| {
                let alert = state.alerts.get(alert)?;
                let number = alert.id.rsplit('-').next().unwrap_or_default();
                let began = alert.opened.began.unwrap_or(alert.opened_at / 1_000);
                Some((format!("{}-{number}", alert.opened.objective), began))
            });
            if let Some((incident, began)) = opened {
                let alert = alert.to_string();
                let said = Said::IncidentOpened { alert, began };
                record.say_as(&format!("{incident}/opened"), wall, &incident, said);
            }
        }
        Decision::Join { incident, alert } => {
            let id = format!("{incident}/joined/{alert}");
            let alert = alert.to_string();
            record.say_as(&id, wall, incident, Said::IncidentJoined { alert });
        }
        Decision::Note {
            incident,
            figure,
            says,
        } => {
            let (figure, says) = (figure.to_string(), says.clone());
            let id = format!("{incident}/fell/{figure}");
            record.say_as(&id, wall, incident, Said::IncidentFigureFell { figure, says });
        }
        Decision::Mitigate { incident } => {
            let before = record.read(|state| state.incidents.get(incident).map_or(0, |one| one.mitigations));
            record.say_as(
                &format!("{incident}/mitigated/{before}"),
                wall,
                incident,
                Said::IncidentMitigated,
            );
        }
        Decision::Resolve { incident } => {
            record.say_as(
                &format!("{incident}/resolved"),
                wall,
                incident,
                Said::IncidentResolved,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breaker_that_flaps_is_told_of_once() {
        let (mut trips, name) = (Trips::default(), Arc::from("orders"));
        let minutes = |minutes| Duration::from_mins(1_000 + minutes);
        assert!(!trips.is_news(&name, 7, minutes(0)), "those were before");
        assert!(trips.is_news(&name, 8, minutes(1)));
        for minute in 2..60 {
            assert!(!trips.is_news(&name, 7 + minute, minutes(minute)));
        }
        assert!(!trips.is_news(&name, 66, minutes(80)), "it did not trip");
        assert!(trips.is_news(&name, 67, minutes(80)));
    }
}
