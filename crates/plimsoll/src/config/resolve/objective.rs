//! Objectives: what counts, which the gateway has to know, and what is asked, which the judge does.

use std::sync::Arc;

use gateway::plan::{Direction, ObjectivePlan, Plan};
use plimsoll_slo::Objective;

use super::{Scope, known_names};
use crate::config::ObjectiveConfig;
use crate::config::raw;
use crate::config::read::At;
use crate::config::value::word::Name;

/// Pages without cause in 30 days, on average and at most: one in eight years.
const ALPHA: f64 = 0.01;

/// The tier of requests that name none.
const OTHER: &str = "other";

/// Adds what counts to the plan, whose listeners are there already, and returns what is asked.
pub(super) fn resolve(
    objectives: Vec<raw::Objective>,
    plan: &mut Plan,
    scope: &mut Scope<'_>,
) -> Arc<[ObjectiveConfig]> {
    scope.unique("objective", objectives.iter().map(|objective| &objective.name));
    let mut asked = Vec::new();
    for objective in objectives {
        let raw::Objective {
            name,
            target,
            routes,
            tier,
            latency,
            window,
        } = objective;
        let name: Arc<str> = name.as_str().into();
        let mut named: Vec<&str> = routes.iter().map(|route| route.as_str()).collect();
        named.sort_unstable();
        let words = [
            named.join(","),
            tier.as_ref()
                .map_or(String::new(), |tier| tier.as_str().to_owned()),
            latency.map_or(String::new(), |latency| format!("{}ms", latency.as_millis())),
        ];
        let counted = ObjectivePlan {
            name: Arc::clone(&name),
            routes: resolve_routes(&routes.value, plan, scope),
            tier: resolve_tier(&tier, scope),
            latency_max: latency.value,
        };
        plan.objectives.push(counted);
        let objective = Objective {
            target: target.value.0,
            period: window.value,
            alpha: ALPHA,
        };
        asked.push(ObjectiveConfig {
            name,
            counted: words.join(";").into(),
            objective,
        });
    }
    asked.into()
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
