//! Verdicts as they come, as server-sent events (the WHATWG's HTML standard, section 9.2).
//!
//! First every objective, as `verdict`; then each second those that differ from what was sent last, and `judged`, which
//! says when: whoever hears no `judged` for some seconds knows that what it shows is old.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::{Ask, Reply, missing, objectives};
use crate::civil;
use crate::reading::ObjectiveReading;

/// What the judge said in one second, once for all who listen. Most listen for when it was at work, and not for what it
/// said: that is written out for the first who wants it.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    /// Seconds since the Unix epoch.
    as_of: u64,
    readings: Vec<ObjectiveReading>,
    verdicts: OnceLock<Vec<Named>>,
}

/// The name of an objective, and its verdict in JSON.
type Named = (Arc<str>, Arc<str>);

impl Judged {
    pub(crate) fn of(readings: &[ObjectiveReading]) -> Self {
        Self {
            as_of: readings
                .iter()
                .map(|reading| reading.verdict.as_of.0)
                .max()
                .unwrap_or(0),
            readings: readings.to_vec(),
            verdicts: OnceLock::new(),
        }
    }

    fn verdicts(&self) -> &[Named] {
        self.verdicts
            .get_or_init(|| self.readings.iter().map(named).collect())
    }
}

fn named(reading: &ObjectiveReading) -> Named {
    let mut shown = objectives::shown(reading);
    // It would make each verdict another one each second.
    if let Value::Object(fields) = &mut shown {
        fields.remove("as_of");
    }
    (Arc::clone(&reading.name), shown.to_string().into())
}

/// Somebody who listens.
#[derive(Debug)]
pub(crate) struct Follower {
    /// The one that is wanted, if not all are.
    only: Option<String>,
    sent: HashMap<Arc<str>, Arc<str>>,
}

impl Follower {
    /// What is sent at once; a reader that was cut off asks again after a second.
    pub(crate) fn first(&mut self, readings: &[ObjectiveReading]) -> String {
        format!("retry: 1000\n\n{}", self.next(&Judged::of(readings)))
    }

    /// What is sent after a second.
    pub(crate) fn next(&mut self, judged: &Judged) -> String {
        let mut events = String::new();
        // An objective that is judged no more is forgotten, and told anew if it comes back.
        let mut sent = HashMap::new();
        let none = self.only.as_deref().is_some_and(str::is_empty);
        for (name, verdict) in if none { &[] } else { judged.verdicts() } {
            if self.only.as_deref().is_some_and(|only| *only != **name) {
                continue;
            }
            if self.sent.get(name).is_none_or(|before| **before != **verdict) {
                _ = write!(events, "event: verdict\ndata: {verdict}\n\n");
            }
            sent.insert(Arc::clone(name), Arc::clone(verdict));
        }
        self.sent = sent;
        let as_of = json!({ "as_of": civil::moment(1_000 * judged.as_of) });
        _ = write!(events, "event: judged\ndata: {as_of}\n\n");
        events
    }
}

pub(super) fn verdicts(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let only = ask.parameter("objective").map(Cow::into_owned);
    // Of no objective at all: whoever asks so wants to know that the judge is at work, and when.
    if let Some(only) = &only
        && !only.is_empty()
        && !ask
            .backend
            .objectives()
            .iter()
            .any(|reading| *reading.name == **only)
    {
        return Err(missing("objective", only));
    }
    let sent = HashMap::new();
    Ok(Reply::Stream(Follower { only, sent }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::sample;

    #[test]
    fn each_hears_everything_first_and_then_what_changed() {
        let mut follower = Follower {
            only: None,
            sent: HashMap::new(),
        };
        let mut reading = sample::burning();
        let first = follower.first(std::slice::from_ref(&reading));
        assert!(
            first.starts_with("retry: 1000\n\nevent: verdict\ndata: {\"allowed\":null,"),
            "{first}"
        );
        let judged = "event: judged\ndata: {\"as_of\":\"2026-11-23T20:09:59.000Z\"}\n\n";
        assert!(first.ends_with(judged), "{first}");
        // One event is one line, whatever the names in it.
        assert!(
            first.lines().all(|line| line.is_empty() || line.contains(": ")),
            "{first}"
        );
        reading.verdict.as_of.0 += 1;
        let next = follower.next(&Judged::of(std::slice::from_ref(&reading)));
        assert_eq!(next, judged.replace("20:09:59", "20:10:00"));
        reading.verdict.hour.counts.bad += 1;
        let next = follower.next(&Judged::of(std::slice::from_ref(&reading)));
        assert_eq!(next.matches("event: verdict").count(), 1);
        assert_eq!(
            follower.next(&Judged::of(&[])).matches("event: verdict").count(),
            0
        );
        let back = follower.next(&Judged::of(std::slice::from_ref(&reading)));
        assert_eq!(back.matches("event: verdict").count(), 1);
    }

    #[test]
    fn whoever_wants_one_hears_of_one() {
        let reading = sample::burning();
        let mut other = sample::burning();
        other.name = "search".into();
        let mut follower = Follower {
            only: Some("search".to_owned()),
            sent: HashMap::new(),
        };
        let first = follower.first(&[reading, other]);
        assert_eq!(first.matches("event: verdict").count(), 1);
        assert!(first.contains("\"name\":\"search\""), "{first}");
    }

    #[test]
    fn for_whoever_wants_the_time_only_nothing_is_written_out() {
        let judged = Judged::of(&[sample::burning()]);
        let mut follower = Follower {
            only: Some(String::new()),
            sent: HashMap::new(),
        };
        assert!(follower.next(&judged).starts_with("event: judged\n"));
        assert!(judged.verdicts.get().is_none());
    }
}
