//! Outcomes that somebody else has seen: a service, a job, a browser, a probe.
//!
//! They count when they come, for an objective whose `vantage` is not the gateway. Each has an id of whoever reports it:
//! one that was heard before counts once, so that a report of which nobody knows whether it arrived can be sent again.
//! Ids are remembered by this process, the latest [`IDS_MAX`] of them. One outcome that is not right does not keep the
//! others from counting, and is told of.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use plimsoll_slo::{Class, Outcome, Reason};
use serde_json::{Value, json};

use super::{Ask, Reply, good, unfit};

/// Ids that are remembered: at 100 a second those of the last quarter of an hour, in some megabytes.
const IDS_MAX: usize = 100_000;

/// Bytes of an id.
const ID_MAX: usize = 200;

/// Outcomes of one report.
pub(super) const OUTCOMES_MAX: usize = 500;

/// How old one may be that is counted as of now, and how far ahead a clock may be, in milliseconds.
const OLD_MAX: i64 = 5 * 60_000;
const AHEAD_MAX: i64 = 60_000;

/// What became of one that was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    Counted,
    /// There is no objective of this name.
    Unknown,
    /// The objective counts requests that it sees itself.
    OfRequests,
}

/// The ids that were heard lately.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// By their hashes: what is remembered is as small as that.
    known: HashSet<u64>,
    /// The latest last.
    order: VecDeque<u64>,
    hasher: RandomState,
}

impl Heard {
    pub(crate) fn has(&self, id: &str) -> bool {
        self.known.contains(&self.hasher.hash_one(id))
    }

    pub(crate) fn note(&mut self, id: &str) {
        let hash = self.hasher.hash_one(id);
        if self.known.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

pub(super) fn report(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let outcomes = ask.body["outcomes"]
        .as_array()
        .filter(|all| (1..=OUTCOMES_MAX).contains(&all.len()));
    let outcomes =
        outcomes.ok_or_else(|| unfit(format!("`outcomes` has to be a list of 1 to {OUTCOMES_MAX}.")))?;
    let (mut counted, mut excluded, mut repeated, mut refused) = (0, 0, 0, Vec::new());
    for (index, outcome) in outcomes.iter().enumerate() {
        match one(ask, outcome) {
            Ok(Became::Counted) => counted += 1,
            Ok(Became::Excluded) => excluded += 1,
            Ok(Became::Repeated) => repeated += 1,
            Err(why) => refused.push(json!({ "index": index, "id": outcome["id"].as_str(), "why": why })),
        }
    }
    Ok(good(
        json!({ "counted": counted, "excluded": excluded, "repeated": repeated, "refused": refused }),
    ))
}

/// What became of one that is right.
enum Became {
    Counted,
    /// Whoever reported it says that it says nothing about the service.
    Excluded,
    /// It was heard before.
    Repeated,
}

/// How it is classed, by whoever has seen it.
fn class(outcome: &Value) -> Result<Class, String> {
    let excluded = match &outcome["excluded"] {
        Value::Null => None,
        why => Some(
            why.as_str()
                .filter(|why| (1..=ID_MAX).contains(&why.len()))
                .ok_or_else(|| format!("`excluded` has to say why, in up to {ID_MAX} bytes"))?,
        ),
    };
    match (excluded, &outcome["good"]) {
        (Some(_), Value::Null) => Ok(Class::Excluded(Reason::UpstreamError)),
        (Some(_), _) => Err("an outcome that is `excluded` is neither `good` nor bad".to_owned()),
        (None, Value::Bool(true)) => Ok(Class::Good),
        (None, Value::Bool(false)) => Ok(Class::Bad(Reason::UpstreamError)),
        (None, _) => Err("`good` has to be true or false".to_owned()),
    }
}

/// Counts one.
fn one(ask: &Ask<'_>, outcome: &Value) -> Result<Became, String> {
    let id = outcome["id"]
        .as_str()
        .filter(|id| (1..=ID_MAX).contains(&id.len()));
    let id = id.ok_or_else(|| format!("`id` has to be a text of up to {ID_MAX} bytes"))?;
    let (objective, kpi) = (outcome["objective"].as_str(), outcome["kpi"].as_str());
    let objective = objective.xor(kpi);
    let objective = objective.ok_or("`objective`, or `kpi`, has to be the name of one")?;
    let class = class(outcome)?;
    let latency = match &outcome["latency_ms"] {
        Value::Null => Duration::ZERO,
        value => {
            let millis = value
                .as_f64()
                .filter(|millis| (0.0..=86_400_000.0).contains(millis));
            Duration::from_secs_f64(millis.ok_or("`latency_ms` has to be from 0 to a day")? / 1_000.0)
        }
    };
    if let Some(at) = outcome["at"].as_str() {
        let at: Timestamp = at
            .parse()
            .map_err(|_| "`at` has to be a time such as `2026-11-26T02:14:00Z`")?;
        let age = ask.now().cast_signed() - at.as_millisecond();
        if !(-AHEAD_MAX..=OLD_MAX).contains(&age) {
            return Err("it is counted as of now, and `at` is not of the last five minutes".to_owned());
        }
    }
    // Whoever names no caller is one: what fails a thousand times for one is weaker evidence than for a thousand.
    let caller = outcome["caller"].as_str().unwrap_or_default();
    let outcome = Outcome {
        class,
        latency,
        first_byte: latency,
        attempts: 1,
    };
    let mut heard = ask.backend.heard();
    if heard.has(id) {
        return Ok(Became::Repeated);
    }
    match ask
        .backend
        .report(objective, &outcome, heard.hasher.hash_one(caller))
    {
        Reported::Counted => {
            heard.note(id);
            Ok(match class {
                Class::Excluded(_) => Became::Excluded,
                Class::Good | Class::Bad(_) => Became::Counted,
            })
        }
        Reported::Unknown => Err(format!("no objective or figure is called `{objective}`")),
        Reported::OfRequests => Err(format!(
            "`{objective}` counts the requests that pass here; give it another `vantage`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::tests::{ask, troubled};
    use super::*;

    #[test]
    fn what_is_right_counts_once_and_what_is_not_says_why() {
        let fake = troubled();
        let report = |outcomes: Value| {
            ask(
                &fake,
                &Method::POST,
                "/outcomes",
                &json!({ "outcomes": outcomes }),
            )
        };
        let (status, said) = report(json!([
            { "id": "a", "objective": "nightly", "good": true },
            { "id": "b", "objective": "nightly", "good": false, "latency_ms": 12.5, "caller": "ada", "at": "2026-11-23T20:09:00Z" },
            { "id": "a", "objective": "nightly", "good": true },
            { "id": "c", "objective": "checkout", "good": true },
            { "id": "d", "objective": "nihgtly", "good": true },
            { "objective": "nightly", "good": true },
            { "id": "e", "objective": "nightly", "good": "yes" },
            { "id": "f", "objective": "nightly", "good": true, "latency_ms": -1 },
            { "id": "g", "objective": "nightly", "good": true, "at": "2026-11-23T19:00:00Z" },
            { "id": "h", "objective": "nightly", "good": true, "at": "yesterday" },
            7,
            { "id": "i", "objective": "nightly", "excluded": "maintenance of the bank" },
            { "id": "i", "objective": "nightly", "excluded": "maintenance of the bank" },
            { "id": "j", "objective": "nightly", "good": true, "excluded": "it is neither" },
            { "id": "k", "objective": "nightly", "excluded": true },
            { "id": "l", "kpi": "nightly", "objective": "nightly", "good": true },
            { "id": "m", "kpi": "nightly", "good": true },
        ]));
        assert_eq!(
            (status, &said["counted"], &said["repeated"], &said["excluded"]),
            (200, &3.into(), &2.into(), &1.into()),
            "{said}"
        );
        let refused = said["refused"].as_array().unwrap();
        let of: Vec<u64> = refused.iter().map(|one| one["index"].as_u64().unwrap()).collect();
        assert_eq!(of, [3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15]);
        assert!(
            refused[0]["why"]
                .as_str()
                .unwrap()
                .contains("counts the requests that pass here")
        );
        // Sent again as a whole: what was refused may be right by now, and nothing counts twice.
        assert_eq!(
            report(json!([{ "id": "b", "objective": "nightly", "good": false }])).1["repeated"],
            1
        );
        assert_eq!(*fake.reported.borrow(), (2, 1));
        for wrong in [
            json!([]),
            json!("a"),
            Value::Null,
            vec![json!({}); OUTCOMES_MAX + 1].into(),
        ] {
            assert_eq!(report(wrong).0, 422);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut heard = Heard::default();
        (0..=IDS_MAX).for_each(|number| heard.note(&number.to_string()));
        assert!(!heard.has("0") && heard.has("1") && heard.has(&IDS_MAX.to_string()));
        heard.note("1");
        assert_eq!((heard.known.len(), heard.order.len()), (IDS_MAX, IDS_MAX));
    }
}
