//! How it came: an objective's budget over its window, and how long its requests took in the last hour.

use std::time::Duration;

use plimsoll_slo::{Counts, Objective, WhatIf};
use serde_json::{Value, json};

use super::{Ask, Reply, good, missing, unclear};
use crate::civil;
use crate::config::{Scalar as _, TargetShare};
use crate::heat;

/// Points of a budget's history: more than a screen has room for.
const POINTS_MAX: u64 = 360;

/// Changes of one chart: more would be a hedge.
const CHANGES_MAX: usize = 100;

/// What an objective has spent, minute by minute.
#[derive(Debug)]
pub(crate) struct Past {
    /// Minutes since the Unix epoch: the first of the window or period, and the one that has begun.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// What may be bad in all of it.
    pub(crate) allowed: f64,
    /// The minute, what was bad in it, and that before corrections.
    pub(crate) minutes: Vec<(u64, f64, f64)>,
    pub(crate) is_corrected: bool,
}

/// The minutes of an objective's window or period, as they were counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) objective: Objective,
    /// When, in minutes since the Unix epoch, and what happened in them.
    pub(crate) minutes: Vec<(u64, Counts)>,
}

/// How long requests took.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// Each minute, and how many requests took up to each bound and more than the one before.
    pub(crate) minutes: Vec<(u64, Vec<u64>)>,
    /// What takes longer is bad.
    pub(crate) limit_ms: Option<u64>,
    pub(crate) examples: Vec<crate::record::entry::Example>,
}

impl Latencies {
    /// How many requests took up to each bound and more than the one before, and how many took longer than all.
    pub(crate) fn sums(&self) -> Vec<u64> {
        let mut sums = vec![0; heat::bounds().count() + 1];
        for (_, counts) in &self.minutes {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        sums
    }
}

/// The budget that was left at the end of each step, of what the window or period allows by now.
pub(super) fn budget(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let past = ask
        .backend
        .past(ask.name)
        .ok_or_else(|| missing("objective", ask.name))?;
    let step = (past.to + 1 - past.from).div_ceil(POINTS_MAX).max(1);
    let left = |bad: f64| (past.allowed > 0.0).then(|| 1.0 - bad / past.allowed);
    let (mut at, mut budget_left, mut as_counted) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bad, mut counted) = (0.0, 0.0);
    let mut minutes = past.minutes.iter().peekable();
    let mut end = past.from;
    while end <= past.to {
        end += step;
        let mut is_known = false;
        while let Some((_, more, more_counted)) = minutes.next_if(|(minute, ..)| *minute < end) {
            (bad, counted, is_known) = (bad + more, counted + more_counted, true);
        }
        at.push(60 * end.min(past.to + 1));
        // What is not known is a gap, and no straight line.
        budget_left.push(left(bad).filter(|_| is_known));
        as_counted.push(left(counted).filter(|_| is_known));
    }
    Ok(good(json!({
        "from": civil::moment(60_000 * past.from),
        "step_s": 60 * step,
        "allowed": past.allowed,
        "at_s": at,
        "budget_left": budget_left,
        "changes": changes(ask, Duration::from_mins(past.to + 1 - past.from)),
        "budget_left_as_counted": if past.is_corrected { as_counted.into() } else { Value::Null },
    })))
}

/// Minutes that are judged anew: a month. That takes some ten milliseconds.
const REPLAYED_MAX: usize = 44_640;

/// What another target would have said of the same minutes.
pub(super) fn what_if(ask: &Ask<'_>) -> Result<Reply, Reply> {
    if !ask
        .backend
        .objectives()
        .iter()
        .any(|reading| *reading.name == *ask.name)
    {
        return Err(missing("objective", ask.name));
    }
    let said = ask.parameter("target");
    let target = said.as_deref().and_then(TargetShare::parse);
    let target =
        target.ok_or_else(|| unclear("`target` has to be a share such as `99.9%`, of 60 % or more."))?;
    let counted = ask.backend.counted(ask.name);
    let counted =
        counted.ok_or_else(|| unclear("Only a budget that is a share of events can be judged anew."))?;
    let minutes = &counted.minutes[counted.minutes.len().saturating_sub(REPLAYED_MAX)..];
    let Objective { window, alpha, .. } = counted.objective;
    let found = WhatIf::replay(target.0, window.length(), alpha, minutes);
    let WhatIf {
        budget,
        pages,
        tickets,
    } = found;
    Ok(good(json!({
        "target": target.0.share(),
        "from": minutes.first().map(|(minute, _)| civil::moment(60_000 * minute)),
        "minutes": minutes.len(),
        "budget_left": budget.left(),
        "allowed": budget.allowed,
        "bad": budget.bad,
        "pages_at_most": pages,
        "tickets_at_most": tickets,
    })))
}

/// What changed since then, for the axis of time, the latest first.
fn changes(ask: &Ask<'_>, since: Duration) -> Vec<Value> {
    ask.backend.record().read(|state| {
        let all = state.changes(ask.now(), since).take(CHANGES_MAX);
        all.map(|(at, what)| json!({ "at_s": at / 1_000, "what": what }))
            .collect()
    })
}

pub(super) fn latency(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let seen = ask
        .backend
        .latencies(ask.name)
        .ok_or_else(|| missing("objective", ask.name))?;
    let bounds: Vec<f64> = heat::bounds()
        .map(|bound| bound.as_secs_f64() * 1_000.0)
        .collect();
    Ok(good(json!({
        "at_s": seen.minutes.iter().map(|(minute, _)| 60 * minute).collect::<Vec<_>>(),
        "bounds_ms": bounds,
        "counts": seen.minutes.iter().map(|(_, counts)| counts).collect::<Vec<_>>(),
        "limit_ms": seen.limit_ms,
        "examples": seen.examples,
        "changes": changes(ask, Duration::from_hours(1)),
    })))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::tests::{ask, troubled};
    use super::*;

    #[test]
    fn a_budget_burns_down_and_what_is_not_known_is_a_gap() {
        let mut fake = troubled();
        fake.past = Some(Past {
            from: 1_000,
            to: 1_719,
            allowed: 10.0,
            minutes: vec![(1_000, 0.0, 0.0), (1_003, 1.0, 2.0), (1_719, 4.0, 4.0)],
            is_corrected: true,
        });
        let (status, body) = ask(&fake, &Method::GET, "/objectives/checkout/history", &Value::Null);
        assert_eq!((status, &body["step_s"]), (200, &120.into()));
        let left = body["budget_left"].as_array().unwrap();
        assert_eq!((left.len(), body["at_s"].as_array().unwrap().len()), (360, 360));
        assert_eq!(
            (&left[0], &left[1], &left[2]),
            (&json!(1.0), &json!(0.9), &Value::Null)
        );
        assert_eq!(
            (&left[359], &body["at_s"][359]),
            (&json!(0.5), &json!(60 * 1_720))
        );
        assert_eq!(body["budget_left_as_counted"][1], 0.8);
        assert_eq!(
            ask(&fake, &Method::GET, "/objectives/nobody/history", &Value::Null).0,
            404
        );
    }
    #[test]
    fn another_target_is_judged_by_the_same_minutes() {
        let fake = troubled();
        let asked = |query: &str| {
            let path = format!("/objectives/checkout/what-if{query}");
            ask(&fake, &Method::GET, &path, &Value::Null)
        };
        let (status, body) = asked("?target=99%25");
        assert_eq!(
            (status, &body["bad"], &body["minutes"]),
            (200, &json!(50.0), &json!(100))
        );
        let left = body["budget_left"].as_f64().unwrap();
        assert!((left - (1.0 - 50.0 / 100.5)).abs() < 1e-9, "{body}");
        assert_eq!(
            (&body["pages_at_most"], &body["from"]),
            (&json!(0), &json!("1970-01-01T16:40:00.000Z"))
        );
        let (_, strict) = asked("?target=99.99%25");
        assert_eq!(strict["pages_at_most"], 1, "{strict}");
        for wrong in ["", "?target=100%25", "?target=much", "?target=5%25"] {
            assert_eq!(asked(wrong).0, 400, "{wrong}");
        }
        assert_eq!(
            ask(
                &fake,
                &Method::GET,
                "/objectives/nobody/what-if?target=99%25",
                &Value::Null
            )
            .0,
            404
        );
    }
}
