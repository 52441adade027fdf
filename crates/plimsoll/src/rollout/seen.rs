//! What is seen of a change apart from its comparison: its objectives, whether it answers, and what holds it up.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use change::{Evidence, Gate, Health, Phase, Standing};
use gateway::Running;
use gateway::plan::Good;
use gateway::splits::Split;
use jiff::Timestamp;
use plimsoll_slo::{Comparison, Instant, Rung, beyond};

use super::judged::What;
use super::versions::Deploy;
use crate::civil;
use crate::config;
use crate::instance::Parts;
use crate::reading::ObjectiveReading;
use crate::record::entry::Calls;
use crate::record::who;

/// How long what is under way at a candidate that was cut is waited for.
const UNDONE_AFTER: u64 = 30_000;
/// Milliseconds after which what was drawn for a version is under way there.
const SETTLED_AFTER: u64 = 500;
/// Milliseconds by which what burns may have begun before its cause was noted: clocks differ, and seconds are whole.
const AT_ONCE: u64 = 2_000;

/// The names of the objectives whose requests go to one of these upstreams.
pub(super) fn touched(plan: &gateway::Plan, upstreams: &[&str]) -> BTreeSet<Arc<str>> {
    let leads = |(listener, route): &(Arc<str>, Arc<str>)| {
        let mut listeners = plan.listeners.iter().filter(|one| one.name == *listener);
        listeners.any(|listener| {
            let mut routes = listener.routes.iter();
            routes.any(|one| one.name == *route && upstreams.contains(&&*one.upstream))
        })
    };
    let objectives = plan.objectives.iter();
    let touched = objectives.filter(|objective| objective.routes.iter().any(leads));
    touched.map(|objective| Arc::clone(&objective.name)).collect()
}

/// The objective about availability that allows the least to fail, and the share that it allows.
pub(super) fn tightest(parts: &Parts, touched: &BTreeSet<Arc<str>>) -> Option<(Arc<str>, f64)> {
    let running = parts.gateway.running();
    let counts = |name: &Arc<str>| {
        let mut plans = running.plan.objectives.iter();
        let plan = plans.find(|plan| plan.name == *name);
        plan.is_some_and(|plan| plan.good == Good::Served { latency_max: None } && plan.walk.is_none())
    };
    let asked = parts.reloader.asked();
    let of = asked
        .objectives
        .iter()
        .filter(|one| touched.contains(&one.name) && counts(&one.name) && one.members.is_empty())
        .filter(|one| one.objective.allowed().is_none());
    let of = of.map(|one| (Arc::clone(&one.name), one.objective.target.allowance()));
    of.min_by(|one, other| one.1.total_cmp(&other.1))
}

/// What may be risked, by the objective that has the least left.
pub(super) fn rung(readings: &[ObjectiveReading], touched: &BTreeSet<Arc<str>>) -> Rung {
    let of = readings.iter().filter(|reading| touched.contains(&reading.name));
    // Of what is not known yet it says careful; with no objective at all there is no budget to be careful with.
    of.map(|reading| reading.rung).max().unwrap_or(Rung::Free)
}

/// An objective that pages since somebody is exposed.
pub(super) fn burning(parts: &Parts, standing: &Standing, touched: &BTreeSet<Arc<str>>) -> Option<String> {
    let exposed = standing.exposed_since()?.saturating_sub(AT_ONCE);
    parts.record.read(|state| {
        let mut pages = state.alerts.open().filter(|alert| {
            let began = alert
                .opened
                .began
                .map_or(alert.opened_at, |second| 1_000 * second);
            alert.opened.severity == Calls::Page && began >= exposed
        });
        let page = pages.find(|alert| touched.contains(alert.opened.objective.as_str()));
        page.map(|alert| alert.opened.objective.clone())
    })
}

/// An objective that more of a candidate's requests fail than allows, beyond chance: where everybody has it, and there is
/// nothing to compare it with. Three failures are asked for, since the first may be anybody's.
pub(super) fn beyond_objective(
    parts: &Parts,
    standing: &Standing,
    alpha: f64,
    evidence: Option<&Evidence>,
    touched: &BTreeSet<Arc<str>>,
) -> Option<String> {
    const FAILURES_MIN: u64 = 3;
    let (candidate, _) = evidence
        .filter(|_| gate(standing) == Some(Gate::Guard))?
        .of_step();
    let (name, allowed) = tightest(parts, touched)?;
    let good = candidate.events.saturating_sub(candidate.failed);
    let is_beyond =
        candidate.failed >= FAILURES_MIN && beyond(good, candidate.failed, allowed) >= 1.0 / alpha;
    is_beyond.then(|| name.to_string())
}

/// What the step that was entered last asks for.
fn gate(standing: &Standing) -> Option<Gate> {
    let step = standing.change.steps.get(standing.step()?)?;
    Some(step.gate())
}

/// Whether a step without a comparison may be left: it was asked for that the candidate is within its objective, and
/// that is shown by what it did itself.
pub(super) fn is_guarded(standing: &Standing, comparison: Option<&Comparison>) -> bool {
    gate(standing) == Some(Gate::Guard) && comparison.is_some_and(|found| found.signs[0].as_good >= Some(1.0))
}

/// Whether nothing is under way at the candidate of a change that was cut, or has been for so long that it is not waited
/// for.
pub(crate) fn is_drained(parts: &Parts, standing: &Standing) -> bool {
    let (running, env) = (parts.gateway.running(), parts.gateway.env());
    let id = &standing.change.id;
    let Some(split) = running.splits.iter().find(|split| *split.plan.change == **id) else {
        return true;
    };
    let wall = env.wall().as_millis() as u64;
    let candidate = split.plan.versions().map(|(_, candidate)| candidate);
    candidate.is_none_or(|candidate| pending(&running, candidate, env.now()) == 0)
        || wall.saturating_sub(standing.since()) >= UNDONE_AFTER
}

/// Requests under way at an upstream.
fn pending(running: &Running, upstream: &str, now: Instant) -> u32 {
    let mut upstreams = running.upstreams.iter();
    let Some(upstream) = upstreams.find(|one| *one.plan.name == *upstream) else {
        return 0;
    };
    let endpoints = upstream.state.endpoints();
    endpoints
        .iter()
        .map(|endpoint| endpoint.reading(now).pending)
        .sum()
}

/// Whether what a driver has started listens.
fn is_up(parts: &Parts, standing: &Standing, deploy: &Deploy) -> bool {
    let version = deploy.candidate_version(&standing.change.to);
    let drivers = parts.drivers.lock().unwrap_or_else(PoisonError::into_inner);
    !deploy.driven || version.is_some_and(|version| drivers.is_up(&version))
}

/// How often a process of the candidate has ended by itself, and how the last time.
pub(super) fn ended(parts: &Parts, standing: &Standing, deploy: &Deploy) -> Option<(u64, String)> {
    let version = deploy.candidate_version(&standing.change.to)?;
    let drivers = parts.drivers.lock().unwrap_or_else(PoisonError::into_inner);
    drivers.ended(&version).cloned()
}

pub(super) fn health(parts: &Parts, standing: &Standing, what: &What, split: Option<&Arc<Split>>) -> Health {
    let What::Deploy(deploy) = what else {
        // A setting of a flag is nothing that runs.
        return match standing.phase() {
            Phase::Reverting => Health::Gone,
            _ => Health::Ready,
        };
    };
    let now = parts.gateway.env().now();
    if standing.phase() == Phase::Reverting {
        let version = deploy.candidate_version(&standing.change.to);
        let is_stopped = || {
            let drivers = parts.drivers.lock().unwrap_or_else(PoisonError::into_inner);
            version.is_none_or(|version| drivers.is_gone(&version))
        };
        return if is_drained(parts, standing) && (!deploy.driven || is_stopped()) {
            Health::Gone
        } else {
            Health::Ready
        };
    }
    let running = parts.gateway.running();
    let candidate = split.and_then(|split| {
        let mut upstreams = running.upstreams.iter();
        let (_, candidate) = split.plan.versions()?;
        upstreams.find(|upstream| upstream.plan.name == *candidate)
    });
    let id = &standing.change.id;
    let mut rollouts = parts.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(candidate) = candidate else {
        return Health::Gone;
    };
    let endpoints = candidate.state.endpoints();
    let readings: Vec<_> = endpoints.iter().map(|endpoint| endpoint.reading(now)).collect();
    if readings.iter().any(|reading| reading.healthy && !reading.ejected) && is_up(parts, standing, deploy) {
        rollouts.away.remove(id);
        return Health::Ready;
    }
    let since = *rollouts.away.entry(id.clone()).or_insert(now);
    Health::Away(now.since(since).as_millis() as u64)
}

/// Why no change may go on at this time, if none may.
pub(super) fn closed(parts: &Parts, now: u64) -> Option<String> {
    let frozen = parts.record.read(|state| {
        let freeze = state.freezes.holding(now)?;
        let until = civil::moment(freeze.until);
        Some(format!(
            "all is frozen until {until}, by {}: {}",
            who(&freeze.author),
            freeze.reason
        ))
    });
    frozen.or_else(|| {
        let changes = parts.reloader.asked().changes;
        let at = Timestamp::from_millisecond(i64::try_from(now).unwrap_or(i64::MAX)).ok()?;
        let here = changes.zone.to_datetime(at);
        let is_open = changes.hours.is_empty() || changes.hours.iter().any(|hours| hours.has(here));
        let spelled: Vec<String> = changes.hours.iter().map(config::Scalar::render).collect();
        (!is_open).then(|| format!("changes go on at these hours: {}", spelled.join(", ")))
    })
}

/// Whether nothing is under way at the version that is replaced, or has been for so long that it is not waited for.
pub(super) fn is_idle(parts: &Parts, standing: &Standing, deploy: &Deploy, now: u64) -> bool {
    let (running, steady) = (parts.gateway.running(), parts.gateway.env().now());
    let ends = standing.since().saturating_add(standing.change.probation_ms);
    if now >= ends.saturating_add(UNDONE_AFTER) {
        return true;
    }
    // What was drawn for it a moment ago may not be there yet.
    pending(&running, &deploy.upstream, steady) == 0 && now >= ends.saturating_add(SETTLED_AFTER)
}
