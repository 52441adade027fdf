//! Objectives that are made of others.

use std::collections::BTreeSet;
use std::sync::Arc;

use plimsoll_slo::{Objective, Window};

use super::{Scope, known_names};
use crate::config::raw::objective::{self as raw, Spending, Vantage};
use crate::config::value::Scalar;
use crate::config::value::time::WindowWord;
use crate::config::{ObjectiveConfig, Watch};

/// Those that a composite may be made of: all that are none.
pub(super) fn members_of(objectives: &[raw::Objective]) -> Vec<String> {
    let simple = objectives
        .iter()
        .filter(|objective| objective.composite.is_empty());
    simple.map(|objective| objective.name.to_string()).collect()
}

/// What is asked of one. `known` are those that it may be made of.
pub(super) fn resolve(
    objective: &raw::Objective,
    known: &[String],
    scope: &mut Scope<'_>,
) -> Option<ObjectiveConfig> {
    alone(objective, scope);
    let mut seen = BTreeSet::new();
    for member in objective.composite.iter() {
        let (name, place) = (member.objective.as_str(), &member.objective.place);
        if !known.iter().any(|known| known == name) {
            let wrong = format!("there is no objective `{name}` that is no composite");
            scope.problem(place, wrong, known_names(name, known));
        }
        if !seen.insert(name) {
            scope.problem(
                place,
                format!("`{name}` is a member already"),
                "each once, with a `weight`",
            );
        }
    }
    let WindowWord::Last(last) = objective.window.value else {
        let wrong = "a composite has no period of its own";
        scope.problem(&objective.window.place, wrong, "a window that rolls, as `30d`");
        return None;
    };
    let members = objective.composite.iter();
    Some(ObjectiveConfig {
        name: objective.name.as_str().into(),
        counted: Arc::from(""),
        objective: Objective::composite(Window::Rolling(last)),
        calendar: None,
        window: Scalar::render(&objective.window.value).into(),
        runbook: objective
            .runbook
            .value
            .as_ref()
            .map(|link| link.0.as_str().into()),
        vantage: Vantage::Gateway.word(),
        watch: Watch::Target,
        sampling: 1.0,
        members: members
            .map(|member| {
                (
                    Arc::from(member.objective.as_str()),
                    f64::from(member.weight.value),
                )
            })
            .collect(),
    })
}

/// Reports what is said of something that it would count itself.
fn alone(objective: &raw::Objective, scope: &mut Scope<'_>) {
    let raw::Objective {
        target,
        allowed,
        routes,
        upstream,
        version,
        journey,
        tier,
        latency,
        freshness,
        vantage,
        budget,
        slice_target,
        ..
    } = objective;
    let places = [
        target.is_some().then_some(&target.place),
        allowed.is_some().then_some(&allowed.place),
        (!routes.is_empty()).then_some(&routes.place),
        upstream.is_some().then_some(&upstream.place),
        version.is_some().then_some(&version.place),
        journey.is_some().then_some(&journey.place),
        tier.is_some().then_some(&tier.place),
        latency.is_some().then_some(&latency.place),
        freshness.is_some().then_some(&freshness.place),
        (vantage.value != Vantage::Gateway).then_some(&vantage.place),
        (budget.value != Spending::Occurrences).then_some(&budget.place),
        slice_target.is_some().then_some(&slice_target.place),
    ];
    for place in places.into_iter().flatten() {
        let wrong = "a composite counts nothing of its own";
        scope.problem(place, wrong, "a `composite`, a `window` and a `runbook` alone");
    }
}
