use std::time::Duration;

use super::entry::{Added, Opened, Told};
use super::incidents::LINES_MAX;
use super::*;

const NOON: Duration = Duration::from_mins(29_924_410);

fn record() -> Record {
    Record::new("one".into(), false)
}

fn noted(text: &str) -> Said {
    Said::IncidentNoted {
        text: text.to_owned(),
    }
}

fn placed(facts: Vec<Fact>) -> Vec<(u64, Fact)> {
    (1..).zip(facts).collect()
}

/// A record with an incident of which something is known.
fn troubled() -> Record {
    let record = record();
    let opened = Opened {
        objective: "checkout".to_owned(),
        began: Some(NOON.as_secs() - 100),
        ..Opened::default()
    };
    record.say_as(
        "checkout-page-1/opened",
        NOON,
        "checkout-page-1",
        Said::AlertOpened(Box::new(opened)),
    );
    let alert = "checkout-page-1".to_owned();
    let began = NOON.as_secs() - 100;
    record.say_as(
        "checkout-1/opened",
        NOON,
        "checkout-1",
        Said::IncidentOpened { alert, began },
    );
    record.say(NOON, Some("checkout-1"), noted("the broker is slow"));
    record.say(
        NOON + Duration::from_secs(9),
        None,
        Said::Changed {
            what: "orders rolled back".to_owned(),
        },
    );
    record
}

#[test]
fn what_is_folded_again_is_what_it_was() {
    let before = troubled();
    let (facts, waiting) = before.unwritten(100);
    assert_eq!((facts.len(), waiting), (4, 4));
    let after = record();
    // Twice, and in two pieces: it is one.
    after.heard(&placed(facts.clone())[..2]);
    after.heard(&placed(facts.clone()));
    after.heard(&placed(facts));
    assert_eq!((after.heard_to(), after.unwritten(1).1), (4, 0));
    // The store was opened anew.
    let (facts, _) = before.unwritten(100);
    after.hear_anew();
    after.heard(&placed(facts));
    assert_eq!(after.heard_to(), 4);
    let told = |record: &Record| record.read(|state| format!("{:?} {:?}", state.incidents, state.alerts));
    assert_eq!(told(&before), told(&after));
    after.read(|state| {
        let incident = state.incidents.get("checkout-1").unwrap();
        let texts: Vec<_> = incident.timeline.iter().map(|line| &*line.text).collect();
        assert_eq!(texts[2..], ["the broker is slow", "orders rolled back"]);
        assert_eq!(
            incident.timeline[0].at,
            1_000 * (NOON.as_secs() - 100),
            "it began before"
        );
        let changes: Vec<_> = state
            .changes(NOON.as_millis() as u64 + 10_000, Duration::from_mins(1))
            .collect();
        assert_eq!(changes[0].1, "orders rolled back");
    });
}

#[test]
fn what_is_written_waits_no_more_and_what_is_not_does() {
    let record = troubled();
    let (facts, _) = record.unwritten(2);
    record.wrote(&facts);
    assert_eq!(record.unwritten(100).1, 2);
    record.wrote(&facts);
    assert_eq!(record.unwritten(100).1, 2, "twice changes nothing");
}

#[test]
fn a_store_that_is_away_for_long_costs_bounded_memory_and_says_what_is_lost() {
    let record = record();
    for number in 0..UNWRITTEN_MAX + 5 {
        record.say(
            NOON,
            None,
            Said::Changed {
                what: number.to_string(),
            },
        );
    }
    assert_eq!((record.unwritten(1).1, record.lost()), (UNWRITTEN_MAX, 5));
    record.read(|state| assert_eq!(state.latest.len(), LATEST_MAX));
}

#[test]
fn a_timeline_is_bounded_and_says_what_is_missing() {
    let record = troubled();
    (0..LINES_MAX + 7).for_each(|_| _ = record.say(NOON, Some("checkout-1"), noted("again")));
    record.read(|state| {
        let incident = state.incidents.get("checkout-1").unwrap();
        assert_eq!(
            (incident.timeline.len(), incident.lines_left_out),
            (LINES_MAX, 11)
        );
    });
}

#[test]
fn silences_hold_for_those_that_are_meant_and_for_a_while() {
    let record = record();
    let set = |objective: &str, minutes: u64| {
        let from = NOON.as_millis() as u64;
        record.say(
            NOON,
            None,
            Said::SilenceSet {
                objective: objective.to_owned(),
                from,
                until: from + 60_000 * minutes,
                reason: "we know".to_owned(),
            },
        )
    };
    let id = set("checkout", 60);
    set("pay*", 10);
    let quiet = |objective: &str, minute: u64| {
        let at = NOON.as_millis() as u64 + 60_000 * minute;
        record.read(|state| state.silences.of(objective, at).is_some())
    };
    assert!(quiet("checkout", 59) && !quiet("checkout", 60) && !quiet("checkout-fast", 0));
    assert!(quiet("payments", 9) && quiet("pay", 0) && !quiet("payments", 10) && !quiet("search", 0));
    record.say(NOON + Duration::from_mins(5), Some(&id), Said::SilenceEnded);
    assert!(quiet("checkout", 4) && !quiet("checkout", 5));
}

#[test]
fn corrections_hold_until_they_are_withdrawn() {
    let record = record();
    let made = Said::CorrectionMade {
        objective: "checkout".to_owned(),
        from: 10,
        to: 11,
        added: Some(Added { good: -5, bad: 5 }),
        reason: "the release broke logins".to_owned(),
    };
    let id = record.say(NOON, None, made);
    record.read(|state| {
        assert_eq!(state.corrections.of("checkout").len(), 1);
        assert_eq!(state.corrections.of("search"), []);
    });
    record.say(
        NOON,
        Some(&id),
        Said::CorrectionWithdrawn {
            reason: "it did not".to_owned(),
        },
    );
    record.read(|state| assert_eq!(state.corrections.of("checkout"), []));
}

#[test]
fn who_was_told_is_remembered_after_it_closed() {
    let record = troubled();
    let told = |told| Said::AlertTold {
        target: "oncall".to_owned(),
        told,
    };
    record.say(NOON, Some("checkout-page-1"), told(Told::Firing));
    record.say(
        NOON,
        Some("checkout-page-1"),
        Said::AlertClosed {
            why: "over".to_owned(),
        },
    );
    record.say(NOON, Some("checkout-page-1"), told(Told::Resolved));
    record.read(|state| {
        let alert = state.alerts.get("checkout-page-1").unwrap();
        assert_eq!(alert.told.get("oncall"), Some(&Told::Resolved));
        assert_eq!(state.alerts.open().count(), 0);
        assert_eq!(
            &*state.alerts.next_id("checkout", alert.opened.severity),
            "checkout-ticket-2"
        );
    });
}

#[test]
fn an_incident_that_flaps_for_days_stays_small_and_loses_none_that_is_open() {
    let record = troubled();
    let open = |number: u32| {
        let id = format!("checkout-page-{number}");
        let opened = Opened {
            objective: "checkout".to_owned(),
            ..Opened::default()
        };
        record.say(NOON, Some(&id), Said::AlertOpened(Box::new(opened)));
        record.say(
            NOON,
            Some("checkout-1"),
            Said::IncidentJoined { alert: id.clone() },
        );
        id
    };
    let stays = open(2);
    for number in 3..1_000 {
        let id = open(number);
        let why = "over".to_owned();
        record.say(NOON, Some(&id), Said::AlertClosed { why });
    }
    record.read(|state| {
        let incident = state.incidents.get("checkout-1").unwrap();
        let ids: Vec<&str> = incident.alerts.iter().map(|id| &**id).collect();
        assert_eq!((ids.len(), ids[0], ids[1]), (200, "checkout-page-1", &*stays));
        assert_eq!(ids.last(), Some(&"checkout-page-999"));
    });
}
