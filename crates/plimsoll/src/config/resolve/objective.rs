//! Objectives: what counts, which the gateway has to know, and what is asked, which the judge does.

use std::sync::Arc;
use std::time::Duration;

use gateway::plan::{Direction, Good, ObjectivePlan, Plan};
use plimsoll_slo::{Budgeting, Empty, Objective, Slice, Target, USUAL_AFTER, USUAL_OVER, Window};

use super::{Scope, known_names};
use crate::calendar::Calendar;
use crate::config::raw::{self, EmptySlice, Spending, Vantage};
use crate::config::read::At;
use crate::config::value::Scalar;
use crate::config::value::time::WindowWord;
use crate::config::value::word::Name;
use crate::config::{CLIENT_ERRORS, ObjectiveConfig, Watch};

/// The tier of requests that name none.
const OTHER: &str = "other";

/// Adds what counts to the plan, whose listeners are there already, and returns what is asked.
pub(super) fn resolve(
    objectives: Vec<raw::Objective>,
    plan: &mut Plan,
    scope: &mut Scope<'_>,
) -> Arc<[ObjectiveConfig]> {
    let mut asked = Vec::new();
    for objective in objectives {
        let name: Arc<str> = objective.name.as_str().into();
        let counting = Counting::of(&objective);
        let latency_max = objective.latency.value;
        let limit = latency_max.map_or(String::new(), |latency| format!("{}ms", latency.as_millis()));
        let counted = format!("{};{limit}", counting.words());
        let counts = ObjectivePlan {
            name: Arc::clone(&name),
            routes: counting.routes(plan, scope),
            tier: counting.tier(scope),
            good: Good::Served { latency_max },
        };
        plan.objectives.push(counts);
        let Some((window, calendar)) = resolve_window(&objective, scope) else {
            continue;
        };
        let Some(budgeting) = resolve_budgeting(&objective, window, scope) else {
            continue;
        };
        asked.push(ObjectiveConfig {
            name,
            counted: counted.into(),
            objective: Objective {
                budgeting,
                ..Objective::of_events(objective.target.value.0, window)
            },
            window: match &calendar {
                None => Scalar::render(&objective.window.value).into(),
                Some(calendar) => calendar.to_string().into(),
            },
            calendar,
            runbook: objective.runbook.value.map(|link| link.0.into()),
            vantage: objective.vantage.value.word(),
            watch: Watch::Target,
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
    })
}

/// Which events count.
pub(super) struct Counting<'a> {
    pub(super) routes: &'a At<Vec<At<Name>>>,
    pub(super) tier: &'a At<Option<Name>>,
    pub(super) vantage: Vantage,
}

impl<'a> Counting<'a> {
    fn of(objective: &'a raw::Objective) -> Self {
        Self {
            routes: &objective.routes,
            tier: &objective.tier,
            vantage: objective.vantage.value,
        }
    }

    /// In words that are other ones if something else counts.
    pub(super) fn words(&self) -> String {
        let mut named: Vec<&str> = self.routes.iter().map(|route| route.as_str()).collect();
        named.sort_unstable();
        // What stands in no file from before there were others is the gateway's.
        let seen = match self.vantage {
            Vantage::Gateway => String::new(),
            elsewhere => elsewhere.word().to_owned() + ":",
        };
        let tier = self.tier.as_ref().map_or("", |tier| tier.as_str());
        format!("{seen}{};{tier}", named.join(","))
    }

    pub(super) fn routes(&self, plan: &Plan, scope: &mut Scope<'_>) -> Vec<(Arc<str>, Arc<str>)> {
        if self.vantage == Vantage::Gateway {
            return resolve_routes(self.routes, plan, scope);
        }
        // The events come from elsewhere: no route counts, and none may be named.
        let routes = self.routes.first().map(|route| &route.place);
        let tier = self.tier.is_some().then_some(&self.tier.place);
        if let Some(place) = routes.or(tier) {
            let wrong = "what is seen elsewhere has neither routes nor tiers here";
            scope.problem(place, wrong, "none of it, or `vantage: gateway`");
        }
        Vec::new()
    }

    pub(super) fn tier(&self, scope: &mut Scope<'_>) -> Option<Arc<str>> {
        resolve_tier(self.tier, scope)
    }
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

fn resolve_budgeting(objective: &raw::Objective, window: Window, scope: &mut Scope<'_>) -> Option<Budgeting> {
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
        (Spending::Occurrences, _) => return Some(Budgeting::Occurrences),
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
    let allowed = objective.target.value.0.allowance() * slices as f64;
    if allowed < 1.0 {
        let wrong = format!("of {slices} slices not one may be bad at this target, so there is no budget");
        let right = "a shorter slice, a longer window or a lower target";
        scope.problem(&objective.slice.place, wrong, right);
        return None;
    }
    Some(budgeting)
}

fn resolve_routes(routes: &[At<Name>], plan: &Plan, scope: &mut Scope<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let all = || {
        plan.listeners
            .iter()
            .flat_map(|listener| listener.routes.iter().map(move |route| (listener, route)))
    };
    let pair = |(listener, route): (&gateway::plan::ListenerPlan, &gateway::plan::RoutePlan)| {
        (Arc::clone(&listener.name), Arc::clone(&route.name))
    };
    if routes.is_empty() {
        let ingress = all().filter(|(listener, _)| listener.direction == Direction::Ingress);
        return ingress.map(pair).collect();
    }
    for named in routes {
        if !all().any(|(_, route)| *route.name == *named.as_str()) {
            let known: Vec<String> = all().map(|(_, route)| route.name.to_string()).collect();
            let wrong = format!("there is no route `{}`", named.as_str());
            scope.problem(&named.place, wrong, known_names(named.as_str(), &known));
        }
    }
    let is_named = |name: &str| routes.iter().any(|named| named.as_str() == name);
    all()
        .filter(|(_, route)| is_named(&route.name))
        .map(pair)
        .collect()
}

fn resolve_tier(tier: &At<Option<Name>>, scope: &mut Scope<'_>) -> Option<Arc<str>> {
    let name = tier.value.as_ref()?.as_str();
    if scope.tiers_known && name != OTHER && !scope.tiers.iter().any(|known| known == name) {
        let known: Vec<String> = scope.tiers.iter().cloned().chain([OTHER.to_owned()]).collect();
        let wrong = format!("there is no tier `{name}`");
        scope.problem(&tier.place, wrong, known_names(name, &known));
    }
    Some(name.into())
}
