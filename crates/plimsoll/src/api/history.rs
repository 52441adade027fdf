//! How it came: an objective's budget over its window, and how long its requests took in the last hour.

use serde_json::{Value, json};

use super::{Ask, Reply, good, missing};
use crate::civil;
use crate::heat;

/// Points of a budget's history: more than a screen has room for.
const POINTS_MAX: u64 = 360;

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

/// How long requests took.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// Each minute, and how many requests took up to each bound and more than the one before.
    pub(crate) minutes: Vec<(u64, Vec<u64>)>,
    /// What takes longer is bad.
    pub(crate) limit_ms: Option<u64>,
    pub(crate) examples: Vec<crate::record::entry::Example>,
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
        "budget_left_as_counted": if past.is_corrected { as_counted.into() } else { Value::Null },
    })))
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
}
