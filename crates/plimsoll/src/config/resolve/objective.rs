//! Objectives: what counts, which the gateway has to know, and what is asked, which the judge does.

use std::sync::Arc;
use std::time::Duration;

use gateway::plan::{Good, ObjectivePlan, Plan};
use plimsoll_slo::{Budgeting, Empty, Objective, Slice, Target, USUAL_AFTER, USUAL_OVER, Window};

use super::counting::Counting;
use super::{Scope, composite};
use crate::calendar::Calendar;
use crate::config::raw::objective::{self as raw, EmptySlice, Spending, Vantage};
use crate::config::value::Scalar;
use crate::config::value::time::WindowWord;
use crate::config::{CLIENT_ERRORS, ObjectiveConfig, Watch};

/// Adds what counts to the plan, whose listeners are there already, and returns what is asked.
pub(super) fn resolve(
    objectives: Vec<raw::Objective>,
    plan: &mut Plan,
    scope: &mut Scope<'_>,
) -> Arc<[ObjectiveConfig]> {
    let mut asked = Vec::new();
    let simple = composite::members_of(&objectives);
    for objective in objectives {
        if !objective.composite.is_empty() {
            asked.extend(composite::resolve(&objective, &simple, scope));
            continue;
        }
        let name: Arc<str> = objective.name.as_str().into();
        let counting = Counting::of(&objective);
        let millis = |what: &str, time: &Option<Duration>| {
            time.map_or(String::new(), |time| format!("{what}{}ms", time.as_millis()))
        };
        let limit = millis("", &objective.latency.value) + &millis("fresh:", &objective.freshness.value);
        let counted = counting.words(&limit);
        let counts = ObjectivePlan {
            name: Arc::clone(&name),
            routes: counting.routes(plan, scope),
            tier: counting.tier(scope),
            good: resolve_good(&objective, scope),
            walk: counting.walk(plan),
        };
        plan.objectives.push(counts);
        let Some((window, calendar)) = resolve_window(&objective, scope) else {
            continue;
        };
        let Some(asked_of) = resolve_asked(&objective, window, scope) else {
            continue;
        };
        asked.push(ObjectiveConfig {
            name,
            counted,
            sampling: resolve_sampling(&objective, scope),
            objective: asked_of,
            window: match &calendar {
                None => Scalar::render(&objective.window.value).into(),
                Some(calendar) => calendar.to_string().into(),
            },
            calendar,
            runbook: objective.runbook.value.map(|link| link.0.into()),
            vantage: objective.vantage.value.word(),
            watch: Watch::Target,
            members: Arc::default(),
        });
    }
    asked.into()
}

/// What is watched of the answers of each route that blame the caller.
pub(super) fn of_client_errors(plan: &Plan) -> Vec<ObjectiveConfig> {
    let looks_back = Duration::from_mins((USUAL_OVER + 2 * USUAL_AFTER) as u64);
    let watched = gateway::objectives::of_client_errors(plan).into_iter();
    let watched = watched.filter_map(|plan| {
        Some(ObjectiveConfig {
            counted: CLIENT_ERRORS.into(),
            watch: Watch::Callers,
            ..without_target(plan.name, looks_back)?
        })
    });
    watched.collect()
}

/// Of something of which so much of the past has to be known, and that has no target.
pub(super) fn without_target(name: Arc<str>, looks_back: Duration) -> Option<ObjectiveConfig> {
    // Nothing goes by it.
    let target = Target::new(0.5).ok()?;
    Some(ObjectiveConfig {
        name,
        counted: Arc::from(""),
        objective: Objective::of_events(target, Window::Rolling(looks_back)),
        calendar: None,
        window: Arc::from(""),
        runbook: None,
        vantage: Vantage::Gateway.word(),
        watch: Watch::Target,
        sampling: 1.0,
        members: Arc::default(),
    })
}

/// The share of its events that is reported.
fn resolve_sampling(objective: &raw::Objective, scope: &mut Scope<'_>) -> f64 {
    let (sampling, place) = (objective.sampling.value.0, &objective.sampling.place);
    if sampling < 1.0 && objective.vantage.value == Vantage::Gateway {
        let wrong = "the gateway counts every request";
        scope.problem(place, wrong, "`100%`, or another `vantage` beside it");
    }
    if sampling <= 0.0 {
        scope.problem(place, "of nothing nothing can be said", "more than `0%`");
    }
    sampling
}

/// When an event is good.
fn resolve_good(objective: &raw::Objective, scope: &mut Scope<'_>) -> Good {
    let latency_max = objective.latency.value;
    let Some(within) = objective.freshness.value else {
        return Good::Served { latency_max };
    };
    let place = &objective.freshness.place;
    if objective.vantage.value == Vantage::Gateway {
        let wrong = "how soon something can be seen is not seen by the gateway";
        scope.problem(place, wrong, "`vantage: job`, or another place, beside it");
    }
    if latency_max.is_some() {
        let wrong = "an event is good by its freshness or by its latency";
        scope.problem(place, wrong, "one of the two");
    }
    Good::Seen { within }
}

fn resolve_window(objective: &raw::Objective, scope: &mut Scope<'_>) -> Option<(Window, Option<Calendar>)> {
    let (count, begins) = (&objective.window_count, &objective.window_begins);
    let unit = match objective.window.value {
        WindowWord::Calendar(unit) => unit,
        WindowWord::Last(last) => {
            let place = begins
                .is_some()
                .then_some(&begins.place)
                .or_else(|| (count.value != 1).then_some(&count.place));
            if let Some(place) = place {
                let right = "`window: week` or another period of the calendar, or none of it";
                scope.problem(place, "a window that rolls begins anew all the time", right);
            }
            return Some((Window::Rolling(last), None));
        }
    };
    let usual = Calendar::usual(unit, objective.zone.value.clone());
    let calendar = Calendar {
        count: count.value,
        anchor: begins.value.unwrap_or(usual.anchor),
        ..usual
    };
    let Some(length) = calendar.length() else {
        let wrong = format!("{} {}s are more than a year", count.value, unit.word());
        scope.problem(&count.place, wrong, "a year at most");
        return None;
    };
    Some((Window::Calendar(length), Some(calendar)))
}

/// What is asked, of a share or absolutely.
fn resolve_asked(objective: &raw::Objective, window: Window, scope: &mut Scope<'_>) -> Option<Objective> {
    let (target, allowed) = (&objective.target, &objective.allowed);
    if objective.budget.value == Spending::Absolute {
        if target.is_some() {
            let wrong = "a budget that is absolute has no share";
            scope.problem(&target.place, wrong, "`allowed: 3` instead of it");
        }
        if allowed.is_none() {
            let wrong = "nothing says how many may be bad";
            scope.problem(&objective.budget.place, wrong, "`allowed: 3` beside it");
        }
        return Some(Objective::absolute(allowed.value?, window));
    }
    if allowed.is_some() {
        let wrong = "how many may be bad is said of a budget that is absolute";
        scope.problem(
            &allowed.place,
            wrong,
            "`budget: absolute` beside it, or a `target` instead",
        );
    }
    let Some(share) = target.value else {
        // What could not be read is told already.
        if !scope.reader.told_of(&target.place) {
            let wrong = "nothing says which share is to be good";
            scope.problem(&objective.name.place, wrong, "`target: 99.9%` beside it");
        }
        return None;
    };
    Some(Objective {
        budgeting: resolve_budgeting(objective, share.0, window, scope)?,
        ..Objective::of_events(share.0, window)
    })
}

fn resolve_budgeting(
    objective: &raw::Objective,
    asked: Target,
    window: Window,
    scope: &mut Scope<'_>,
) -> Option<Budgeting> {
    let (length, of_slice) = (objective.slice.value, objective.slice_target.value);
    let slice = Slice {
        minutes: (length.as_secs() / 60) as u16,
        empty: match objective.empty_slice.value {
            EmptySlice::Unknown => Empty::Unknown,
            EmptySlice::Good => Empty::Good,
            EmptySlice::Skipped => Empty::Skipped,
        },
    };
    let budgeting = match (objective.budget.value, of_slice) {
        (Spending::Occurrences | Spending::Absolute, _) => return Some(Budgeting::Occurrences),
        (Spending::RatioTimeslices, _) => Budgeting::RatioTimeslices { slice },
        (Spending::Timeslices, Some(target)) => Budgeting::Timeslices {
            slice,
            target: target.0,
        },
        (Spending::Timeslices, None) => {
            let wrong = "`timeslices` need to know when a slice is good";
            scope.problem(&objective.budget.place, wrong, "`slice_target: 95%` beside it");
            return None;
        }
    };
    if slice.length() != length {
        let wrong = "a slice is whole minutes";
        scope.problem(&objective.slice.place, wrong, "`1m`, `5m` or `1h`");
        return None;
    }
    let slices = window.length().as_secs() / slice.length().as_secs();
    let allowed = asked.allowance() * slices as f64;
    if allowed < 1.0 {
        let wrong = format!("of {slices} slices not one may be bad at this target, so there is no budget");
        let right = "a shorter slice, a longer window or a lower target";
        scope.problem(&objective.slice.place, wrong, right);
        return None;
    }
    Some(budgeting)
}
