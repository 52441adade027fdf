//! Objectives, and what the judge says of them.

use plimsoll_slo::{Budget, BurnRule, Burning, Sum};
use serde_json::{Value, json};

use super::{Ask, Reply, good, missing};
use crate::civil;
use crate::doubts::Doubtful;
use crate::reading::ObjectiveReading;
use crate::status::tables::share_asked;

#[expect(clippy::unnecessary_wraps, reason = "like all that answer")]
pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let all: Vec<Value> = ask.backend.objectives().iter().map(shown).collect();
    Ok(good(json!({ "objectives": all })))
}

/// What is doubtful about them.
#[expect(clippy::unnecessary_wraps, reason = "like all that answer")]
pub(super) fn doubts(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let shown =
        |doubt: &Doubtful| json!({ "objective": &*doubt.objective, "doubt": doubt.word, "says": doubt.says });
    let all: Vec<Value> = ask.backend.doubts().iter().map(shown).collect();
    Ok(good(json!({ "doubts": all })))
}

pub(super) fn one(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let all = ask.backend.objectives();
    let one = all.iter().find(|reading| *reading.name == *ask.name);
    one.map(|reading| good(shown(reading)))
        .ok_or_else(|| missing("objective", ask.name))
}

pub(super) fn shown(reading: &ObjectiveReading) -> Value {
    let verdict = &reading.verdict;
    let budget =
        |budget: &Budget| json!({ "left": budget.left(), "allowed": budget.allowed, "bad": budget.bad });
    json!({
        "name": &*reading.name,
        "target": share_asked(&verdict.objective),
        "allowed": verdict.objective.allowed(),
        "window": &*reading.window,
        "window_s": verdict.objective.window.length().as_secs(),
        "budgeting": verdict.objective.budgeting.word(),
        "as_of": civil::moment(1_000 * verdict.as_of.0),
        "state": verdict.state.word(),
        "calls": verdict.calls.map(plimsoll_slo::Severity::word),
        "sentence": verdict.sentence().to_string(),
        "policy": reading.rung.word(),
        "budget": budget(&verdict.budget),
        "budget_forecast": verdict.forecast.as_ref().map(budget),
        "budget_as_counted": verdict.as_counted.as_ref().map(budget),
        "budget_left": verdict.left(),
        "time_left_s": verdict.time_left.map(|left| left.as_secs()),
        "evidence": verdict.evidence,
        "burns": verdict.burns.iter().map(burn).collect::<Vec<_>>(),
        "period": verdict.period.map(|period| json!({ "from": civil::moment(60_000 * period.from), "to": civil::moment(60_000 * period.to) })),
        "in_window": sum(&verdict.window),
        "in_hour": sum(&verdict.hour),
        "callers_failing": verdict.callers,
        "runbook": reading.runbook.as_deref(),
        "vantage": reading.vantage,
        "sampling": reading.sampling,
        "members": reading.members.iter().map(|(name, weight)| json!({ "objective": &**name, "weight": weight })).collect::<Vec<_>>(),
    })
}

fn burn((rule, burning): &(BurnRule, Burning)) -> Value {
    json!({
        "severity": rule.severity.word(),
        "long_s": rule.long.as_secs(),
        "short_s": rule.short.as_secs(),
        "factor": rule.factor,
        "long": burning.long,
        "short": burning.short,
        "phase": burning.phase.word(),
    })
}

fn sum(sum: &Sum) -> Value {
    json!({ "good": sum.counts.good, "bad": sum.counts.bad, "coverage": sum.coverage() })
}
