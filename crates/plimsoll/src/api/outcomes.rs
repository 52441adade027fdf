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

/// Events alike that one outcome may stand for: rows that were checked.
const COUNT_MAX: u64 = 1_000_000_000;

/// Outcomes of one report.
pub(super) const OUTCOMES_MAX: usize = 500;

/// How old one may be that is counted as of now, and how far ahead a clock may be, in milliseconds.
const OLD_MAX: i64 = 5 * 60_000;
const AHEAD_MAX: i64 = 60_000;

/// What is told of one event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    /// What became of it, and of how many alike; a hash of for whom.
    Became {
        outcome: Outcome,
        count: u64,
        caller: u64,
    },
    /// When it was committed, and when it could be seen, in milliseconds since the Unix epoch; a hash of its id.
    Seen {
        event: u64,
        committed: Option<u64>,
        seen: Option<u64>,
    },
}

/// What became of one that was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    Counted,
    /// It counts when it can be seen, or when it is due.
    Waits,
    /// It can be seen, and nobody said that it was committed; or it counted already.
    Unannounced,
    /// Too many wait already.
    Full,
    /// There is no objective of this name.
    Unknown,
    /// The objective counts requests that it sees itself.
    OfRequests,
    /// The objective is about something else: whether it is to be told when events were committed and seen.
    OfOthers {
        is_seen: bool,
    },
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
    let (mut counted, mut excluded, mut waiting, mut repeated, mut refused) = (0, 0, 0, 0, Vec::new());
    for (index, outcome) in outcomes.iter().enumerate() {
        match one(ask, outcome) {
            Ok(Became::Counted) => counted += 1,
            Ok(Became::Excluded) => excluded += 1,
            Ok(Became::Waits) => waiting += 1,
            Ok(Became::Repeated) => repeated += 1,
            Err(why) => refused.push(json!({ "index": index, "id": outcome["id"].as_str(), "why": why })),
        }
    }
    Ok(good(
        json!({ "counted": counted, "excluded": excluded, "waiting": waiting, "repeated": repeated, "refused": refused }),
    ))
}

/// What became of one that is right.
enum Became {
    Counted,
    /// Whoever reported it says that it says nothing about the service.
    Excluded,
    /// It is committed, and nobody has seen it yet.
    Waits,
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

/// A time that it tells.
fn time(outcome: &Value, key: &str) -> Result<Option<i64>, String> {
    let value = &outcome[key];
    if value.is_null() {
        return Ok(None);
    }
    let time = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let time = time.ok_or_else(|| format!("`{key}` has to be a time such as `2026-11-26T02:14:00Z`"))?;
    Ok(Some(time.as_millisecond()))
}

/// What became of it, by whoever has seen it.
fn became(ask: &Ask<'_>, told_of: &Value, caller: u64) -> Result<Event, String> {
    let class = class(told_of)?;
    let latency = match &told_of["latency_ms"] {
        Value::Null => Duration::ZERO,
        value => {
            let millis = value
                .as_f64()
                .filter(|millis| (0.0..=86_400_000.0).contains(millis));
            Duration::from_secs_f64(millis.ok_or("`latency_ms` has to be from 0 to a day")? / 1_000.0)
        }
    };
    if let Some(at) = time(told_of, "at")? {
        let age = ask.now().cast_signed() - at;
        if !(-AHEAD_MAX..=OLD_MAX).contains(&age) {
            return Err("it is counted as of now, and `at` is not of the last five minutes".to_owned());
        }
    }
    let outcome = Outcome {
        class,
        latency,
        first_byte: latency,
        attempts: 1,
    };
    let count = match &told_of["count"] {
        Value::Null => 1,
        value => value
            .as_u64()
            .filter(|count| (1..=COUNT_MAX).contains(count))
            .ok_or_else(|| format!("`count` has to be from 1 to {COUNT_MAX}"))?,
    };
    Ok(Event::Became {
        outcome,
        count,
        caller,
    })
}

/// When it was committed, and when it could be seen.
fn seen(ask: &Ask<'_>, outcome: &Value, event: u64) -> Result<Event, String> {
    if !outcome["good"].is_null() || !outcome["excluded"].is_null() {
        let wrong = "an outcome with `committed_at` or `visible_at` is good by those, and has neither `good` nor `excluded`";
        return Err(wrong.to_owned());
    }
    let (committed, seen) = (time(outcome, "committed_at")?, time(outcome, "visible_at")?);
    let ahead = ask.now().cast_signed() + AHEAD_MAX;
    if committed.max(seen).is_some_and(|at| at > ahead) {
        return Err("it is said to happen more than a minute from now".to_owned());
    }
    let at = |at: Option<i64>| at.map(|at| at.max(0).cast_unsigned());
    Ok(Event::Seen {
        event,
        committed: at(committed),
        seen: at(seen),
    })
}

/// Counts one.
fn one(ask: &Ask<'_>, outcome: &Value) -> Result<Became, String> {
    let id = outcome["id"]
        .as_str()
        .filter(|id| (1..=ID_MAX).contains(&id.len()));
    let id = id.ok_or_else(|| format!("`id` has to be a text of up to {ID_MAX} bytes"))?;
    let (objective, kpi) = (outcome["objective"].as_str(), outcome["kpi"].as_str());
    let name = objective.xor(kpi);
    let name = name.ok_or("`objective`, or `kpi`, has to be the name of one")?;
    let mut heard = ask.backend.heard();
    let is_of_time = ["committed_at", "visible_at"].map(|key| !outcome[key].is_null());
    let event = if is_of_time == [false; 2] {
        // Whoever names no caller is one: what fails a thousand times for one is weaker evidence than for a thousand.
        let caller = outcome["caller"].as_str().unwrap_or_default();
        became(ask, outcome, heard.hasher.hash_one(caller))?
    } else {
        seen(ask, outcome, heard.hasher.hash_one((name, id)))?
    };
    // That it was committed and that it can be seen is told under one id.
    let told = format!("{id}{}", if is_of_time[1] { "\0visible" } else { "" });
    if heard.has(&told) {
        return Ok(Became::Repeated);
    }
    let became = match ask.backend.report(name, &event) {
        Reported::Counted => match event {
            Event::Became {
                outcome:
                    Outcome {
                        class: Class::Excluded(_),
                        ..
                    },
                ..
            } => Became::Excluded,
            _ => Became::Counted,
        },
        Reported::Waits => Became::Waits,
        Reported::Unknown => return Err(format!("no objective or figure is called `{name}`")),
        Reported::OfRequests => {
            let wrong = format!("`{name}` counts the requests that pass here; give it another `vantage`");
            return Err(wrong);
        }
        Reported::OfOthers { is_seen: true } => {
            let wrong =
                format!("`{name}` is about freshness, and has to be told `committed_at` and `visible_at`");
            return Err(wrong);
        }
        Reported::OfOthers { is_seen: false } => {
            let wrong = format!("`{name}` is not about freshness, and has to be told `good`");
            return Err(wrong);
        }
        Reported::Unannounced => {
            let wrong = "nothing was said to be committed under this `id`, or it counted already";
            return Err(wrong.to_owned());
        }
        Reported::Full => return Err("too many events wait to be seen".to_owned()),
    };
    heard.note(&told);
    Ok(became)
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
            { "id": "n", "objective": "search", "committed_at": "2026-11-23T20:09:00Z" },
            { "id": "n", "objective": "search", "committed_at": "2026-11-23T20:09:00Z" },
            { "id": "n", "objective": "search", "visible_at": "2026-11-23T20:09:30Z" },
            { "id": "n", "objective": "search", "visible_at": "2026-11-23T20:09:30Z" },
            { "id": "o", "objective": "search", "good": true },
            { "id": "o", "objective": "nightly", "visible_at": "2026-11-23T20:09:30Z" },
            { "id": "o", "objective": "search", "visible_at": "soon" },
            { "id": "o", "objective": "search", "visible_at": "2027-11-23T20:09:30Z" },
            { "id": "o", "objective": "search", "visible_at": "2026-11-23T20:09:30Z", "good": true },
        ]));
        assert_eq!(
            (status, &said["counted"], &said["repeated"], &said["excluded"]),
            (200, &4.into(), &4.into(), &1.into()),
            "{said}"
        );
        assert_eq!(said["waiting"], 1);
        let refused = said["refused"].as_array().unwrap();
        let of: Vec<u64> = refused.iter().map(|one| one["index"].as_u64().unwrap()).collect();
        assert_eq!(of, [3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 21, 22, 23, 24, 25]);
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
