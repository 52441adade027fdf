//! Changes, as they are read.

use change::{Assignment, Change, Evidence, Kind, Next, Transition, Undecided, Wait};
use plimsoll_slo::{Epoch, Seen, Terms};

use super::*;

/// A version of orders that every twentieth request gets.
pub(super) fn rolled_out(record: &Record) {
    let change = Change {
        id: "orders-1".to_owned(),
        kind: Kind::Deploy,
        target: "orders".to_owned(),
        to: "v2".to_owned(),
        steps: Change::canary(&[0.05, 0.5], Assignment::PerRequest),
        needs: Vec::new(),
        offers: Vec::new(),
        undecided: Undecided::default(),
        probation_ms: 60_000,
        hold_back: 0.05,
        relief: false,
        how: String::new(),
    };
    let step = Transition::Entered {
        step: 0,
        evidence: None,
    };
    for (second, said) in [
        (0, Transition::Proposed(Box::new(change))),
        (1, Transition::Armed),
        (2, step),
    ] {
        let at = NOON + Duration::from_secs(second);
        record.say_for(
            &"ada".into(),
            at,
            Some("orders-1"),
            Said::ChangeWent(Box::new(said)),
        );
    }
}

pub(super) fn looked() -> BTreeMap<String, Looked> {
    let seen = |events, failed| Seen {
        events,
        failed,
        slow: [events / 2, events / 10, events / 100],
    };
    let epoch = Epoch {
        share: 0.05,
        candidate: seen(1_000, 12),
        stable: seen(19_000, 190),
    };
    let terms = Terms {
        next: 0.5,
        ..Terms::default()
    };
    let (comparison, evidence) = Evidence::of(&[epoch], 0, &terms);
    let looked = Looked {
        comparison: Some(comparison),
        evidence: Some(evidence),
        next: Next::Wait(Wait::Evidence),
    };
    BTreeMap::from([("orders-1".to_owned(), looked)])
}

#[test]
fn a_change_says_how_it_stands_by_what_and_what_may_be_done() {
    let (record, reading) = (troubled(), sample::reading());
    let text = |path| page_of(&record, &reading, path).unwrap().to_text();
    let list = text("/changes");
    for said in [
        "One change is on its way",
        "orders-1",
        "orders to v2",
        "5 %",
        "gets 5 % (step 1 of 2)",
        "for evidence",
    ] {
        assert!(list.contains(said), "{said} is not in: {list}");
    }
    let one = text("/changes/orders-1");
    for said in [
        "orders-1: orders to v2, step 1 of 2, for 5 % of the traffic",
        "Its steps are 5 %, 50 %, and then everybody.",
        "It waits for evidence.",
        "12 of 1000 failed",
        "190 of 19000 failed",
        "1.20",
        "ada",
    ] {
        assert!(one.contains(said), "{said} is not in: {one}");
    }
    let html = page_of(&record, &reading, "/changes/orders-1").unwrap();
    let html = html.to_html("/changes/orders-1", Some(&operator()), None);
    for action in ["revert", "pause", "promote"] {
        assert!(
            html.contains(&format!("action=\"/changes/orders-1/{action}\"")),
            "{action}"
        );
    }
    // On the axis of time it is a change like any other.
    assert!(
        text("/").contains("orders-1 (orders to v2) gets 5 %"),
        "{}",
        text("/")
    );
}
