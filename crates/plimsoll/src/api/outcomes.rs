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
    let (mut counted, mut repeated, mut refused) = (0, 0, Vec::new());
    for (index, outcome) in outcomes.iter().enumerate() {
        match one(ask, outcome) {
            Ok(true) => counted += 1,
            Ok(false) => repeated += 1,
            Err(why) => refused.push(json!({ "index": index, "id": outcome["id"].as_str(), "why": why })),
        }
    }
    Ok(good(
        json!({ "counted": counted, "repeated": repeated, "refused": refused }),
    ))
}

/// Counts one; whether it was new.
fn one(ask: &Ask<'_>, outcome: &Value) -> Result<bool, String> {
    let id = outcome["id"]
        .as_str()
        .filter(|id| (1..=ID_MAX).contains(&id.len()));
    let id = id.ok_or_else(|| format!("`id` has to be a text of up to {ID_MAX} bytes"))?;
    let objective = outcome["objective"]
        .as_str()
        .ok_or("`objective` has to be the name of one")?;
    let is_good = outcome["good"]
        .as_bool()
        .ok_or("`good` has to be true or false")?;
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
        class: if is_good {
            Class::Good
        } else {
            Class::Bad(Reason::UpstreamError)
        },
        latency,
        first_byte: latency,
        attempts: 1,
    };
    let mut heard = ask.backend.heard();
    if heard.has(id) {
        return Ok(false);
    }
    match ask
        .backend
        .report(objective, &outcome, heard.hasher.hash_one(caller))
    {
        Reported::Counted => {
            heard.note(id);
            Ok(true)
        }
        Reported::Unknown => Err(format!("no objective is called `{objective}`")),
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
        ]));
        assert_eq!(
            (status, &said["counted"], &said["repeated"]),
            (200, &2.into(), &1.into()),
            "{said}"
        );
        let refused = said["refused"].as_array().unwrap();
        let of: Vec<u64> = refused.iter().map(|one| one["index"].as_u64().unwrap()).collect();
        assert_eq!(of, [3, 4, 5, 6, 7, 8, 9, 10]);
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
        assert_eq!(*fake.reported.borrow(), (1, 1));
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
