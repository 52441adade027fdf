//! Several changes, and what was said in any order.

use std::collections::BTreeSet;

use change::{Cause, Change, Changes, Refusal, Transition};

use crate::machine::canary;

#[test]
fn what_cannot_be_is_refused_when_it_is_asked_for() {
    let mut changes = Changes::default();
    let there = BTreeSet::from(["schema/7".to_owned()]);
    let refused = |changes: &Changes, edit: fn(&mut Change)| {
        let mut change = canary("orders-2");
        edit(&mut change);
        changes
            .accept(&change, &there)
            .map_err(|refusal| refusal.to_string())
    };
    assert_eq!(refused(&changes, |_| {}), Ok(()));
    assert_eq!(
        refused(&changes, |change| change.needs = vec!["schema/7".to_owned()]),
        Ok(())
    );
    for (edit, said) in [
        (
            (|change| change.steps.clear()) as fn(&mut Change),
            "there are 0 steps",
        ),
        (|change| change.steps[2].share = 0.0, "a share of 0"),
        (|change| change.steps[2].share = f64::NAN, "a share of NaN"),
        (|change| change.steps[1].share = 0.7, "goes down"),
        (|change| change.hold_back = 0.9, "0.9 is held back"),
        (|change| change.to.clear(), "words of up to"),
        (
            |change| change.needs = vec!["schema/8".to_owned()],
            "`schema/8`, which nothing offers",
        ),
        (
            |change| {
                change.needs = vec!["a".to_owned()];
                change.offers = vec!["a".to_owned()];
            },
            "offers itself",
        ),
    ] {
        let found = refused(&changes, edit).unwrap_err();
        assert!(found.contains(said), "{found}, and not {said}");
    }
    let first = canary("orders-1");
    changes.hear("orders-1", 1, &Transition::Proposed(Box::new(first)));
    assert!(
        refused(&changes, |_| {})
            .unwrap_err()
            .contains("orders-1 is changing upstream/orders, and is proposed")
    );
    assert!(refused(&changes, |change| change.target = "upstream/carts".to_owned()).is_ok());
    assert_eq!(
        changes.accept(&canary("orders-1"), &there),
        Err(Refusal::Known("orders-1".to_owned()))
    );
    changes.hear(
        "orders-1",
        2,
        &Transition::Cut {
            cause: Cause::Asked(String::new()),
            evidence: None,
        },
    );
    assert!(refused(&changes, |_| {}).is_err(), "it is not undone yet");
    changes.hear("orders-1", 3, &Transition::Undone);
    assert!(refused(&changes, |_| {}).is_ok());
}

#[test]
fn what_needs_it_is_taken_back_first() {
    let mut changes = Changes::default();
    let there = BTreeSet::new();
    let with = |id: &str, needs: &[&str], offers: &[&str]| Change {
        target: id.to_owned(),
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        offers: offers.iter().map(|offer| (*offer).to_owned()).collect(),
        ..canary(id)
    };
    let schema = with("schema", &[], &["column"]);
    let code = with("code", &["column"], &["api/2"]);
    let flag = with("flag", &["api/2", "column"], &[]);
    for change in [&schema, &code, &flag] {
        assert_eq!(changes.accept(change, &there), Ok(()), "{}", change.id);
        changes.hear(&change.id, 1, &Transition::Proposed(Box::new(change.clone())));
        assert!(changes.accept(&with("late", &["flag/on"], &[]), &there).is_err());
        changes.hear(&change.id, 2, &Transition::Promoted { evidence: None });
    }
    assert_eq!(changes.revert_order("schema"), ["flag", "code", "schema"]);
    assert_eq!(changes.revert_order("flag"), ["flag"]);
    let cut = Transition::Cut {
        cause: Cause::Asked("no".to_owned()),
        evidence: None,
    };
    changes.hear("schema", 3, &cut);
    assert_eq!(changes.need_gone("code", &there), Some("schema"));
    assert_eq!(
        changes.need_gone("code", &BTreeSet::from(["column".to_owned()])),
        None
    );
    assert!(changes.needed_by("schema").is_some());
    for id in ["flag", "code"] {
        changes.hear(id, 3, &cut);
        changes.hear(id, 4, &Transition::Undone);
    }
    assert_eq!(changes.needed_by("schema"), None);
}

#[test]
fn what_is_in_force_is_remembered_however_many_come_after_it() {
    let mut changes = Changes::default();
    let mut promote = |target: &str, number: u64, at: u64| {
        let id = format!("{target}-{number}");
        let change = Change {
            target: target.to_owned(),
            ..canary(&id)
        };
        changes.hear(&id, at, &Transition::Proposed(Box::new(change)));
        changes.hear(&id, at, &Transition::Promoted { evidence: None });
        changes.hear(&id, at, &Transition::Finished { evidence: None });
    };
    // Two of them end in the same millisecond.
    promote("carts", 1, 7);
    promote("orders", 1, 7);
    for number in 2..=700 {
        promote("orders", number, 7 + number);
    }
    let in_force: Vec<&str> = changes.in_force().map(|standing| &*standing.change.id).collect();
    assert_eq!(in_force, ["carts-1", "orders-700"]);
    assert_eq!(changes.all().count(), 500);
    assert!(changes.get("orders-1").is_none() && changes.get("orders-699").is_some());
}

#[test]
fn what_is_heard_in_another_order_and_twice_comes_to_the_same() {
    let change = canary("orders-1");
    let story = [
        (1, Transition::Proposed(Box::new(change))),
        (2, Transition::Armed),
        (
            3,
            Transition::Entered {
                step: 0,
                evidence: None,
            },
        ),
        (
            4,
            Transition::Entered {
                step: 1,
                evidence: None,
            },
        ),
        (
            5,
            Transition::Paused {
                why: "lunch".to_owned(),
            },
        ),
        (6, Transition::Resumed),
        (
            7,
            Transition::Entered {
                step: 2,
                evidence: None,
            },
        ),
        (
            8,
            Transition::Cut {
                cause: Cause::Lost,
                evidence: None,
            },
        ),
        (
            9,
            Transition::Cut {
                cause: Cause::Undecided,
                evidence: None,
            },
        ),
        (10, Transition::Undone),
    ];
    let after = |order: &[usize]| {
        let mut changes = Changes::default();
        for place in order {
            let (at, said) = &story[*place];
            changes.hear("orders-1", *at, said);
        }
        changes.get("orders-1").cloned()
    };
    let usual: Vec<usize> = (0..story.len()).collect();
    let expected = after(&usual);
    assert!(expected.is_some());
    let mut backwards = usual.clone();
    backwards.reverse();
    let mut twice = usual.clone();
    twice.extend(&usual);
    let shuffled = vec![9, 3, 0, 7, 5, 1, 8, 2, 6, 4, 4, 9];
    for order in [backwards, twice, shuffled] {
        assert_eq!(after(&order), expected, "{order:?}");
    }
}
