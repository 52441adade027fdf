//! What a store promises, asked of each of them.

use plimsoll_slo::Counts;
use proptest::prelude::*;
use store::{BODY_MAX, Fact, Key, Memory, Minute, Row, Sqlite, Store, StoreError};

use crate::sqlite::Directory;

fn key(objective: &str, counted: &str) -> Key {
    Key {
        objective: objective.into(),
        counted: counted.into(),
    }
}

fn minute(at: u64, good: u64, bad: u64, measured: u8) -> Minute {
    Minute {
        minute: at,
        counts: Counts { good, bad },
        measured,
    }
}

fn row(instance: &str, objective: &str, minute: Minute) -> Row {
    Row {
        instance: instance.into(),
        key: key(objective, "all"),
        minute,
    }
}

/// Asks `check` of every store, empty.
fn every(check: impl Fn(&mut dyn Store)) {
    check(&mut Memory::default());
    let directory = Directory::new();
    check(&mut Sqlite::open(&directory.file()).unwrap());
}

#[test]
fn writing_twice_changes_nothing_and_what_two_have_counted_adds_up() {
    every(|store| {
        store.write(&[row("one", "a", minute(7, 10, 1, 30))]).unwrap();
        for _ in 0..2 {
            store.write(&[row("one", "a", minute(7, 20, 2, 60))]).unwrap();
        }
        store
            .write(&[
                row("two", "a", minute(7, 5, 5, 20)),
                row("two", "a", minute(8, 1, 0, 1)),
            ])
            .unwrap();
        let all = store.others("three", &key("a", "all"), 0).unwrap();
        assert_eq!(all, [minute(7, 25, 7, 60), minute(8, 1, 0, 1)]);
        assert_eq!(
            store.others("two", &key("a", "all"), 0).unwrap(),
            [minute(7, 20, 2, 60)]
        );
        assert_eq!(
            store.others("three", &key("a", "all"), 8).unwrap(),
            [minute(8, 1, 0, 1)]
        );
    });
}

#[test]
fn what_counts_something_else_is_another_key() {
    every(|store| {
        store.write(&[row("one", "a", minute(7, 1, 0, 60))]).unwrap();
        for other in [key("b", "all"), key("a", "gold")] {
            assert_eq!(store.others("two", &other, 0).unwrap(), []);
        }
    });
}

#[test]
fn what_is_forgotten_is_gone_and_the_rest_is_there() {
    every(|store| {
        let rows: Vec<Row> = (0..10).map(|at| row("one", "a", minute(at, 1, 0, 60))).collect();
        store.write(&rows).unwrap();
        assert_eq!(store.forget(4).unwrap(), 4);
        assert_eq!(store.forget(4).unwrap(), 0);
        assert_eq!(store.others("two", &key("a", "all"), 0).unwrap().len(), 6);
    });
}

#[test]
fn names_may_be_anything() {
    every(|store| {
        for name in ["", "'; DROP TABLE minutes; --", "ordre-payé", "a\0b"] {
            let of = Row {
                instance: name.into(),
                key: key(name, name),
                minute: minute(1, 2, 3, 4),
            };
            store.write(&[of]).unwrap();
            let read = store.others("another", &key(name, name), 0).unwrap();
            assert_eq!(read, [minute(1, 2, 3, 4)], "{name:?}");
        }
    });
}

fn fact(id: &str, at: u64, body: &str) -> Fact {
    Fact {
        id: id.into(),
        at,
        kind: "incident-noted".into(),
        about: "checkout-1".into(),
        author: "ada".into(),
        body: body.into(),
    }
}

fn ids(noted: &[(u64, Fact)]) -> Vec<&str> {
    noted.iter().map(|(_, fact)| &*fact.id).collect()
}

#[test]
fn facts_come_in_their_order_and_twice_is_once() {
    every(|store| {
        store.note(&[fact("b", 5, "1"), fact("a", 9, "2")]).unwrap();
        store
            .note(&[fact("a", 1, "other"), fact("c", 1, "3"), fact("c", 1, "4")])
            .unwrap();
        let noted = store.noted(0, 10).unwrap();
        assert_eq!(ids(&noted), ["b", "a", "c"]);
        assert_eq!(noted[1].1, fact("a", 9, "2"), "what was said first stands");
        // In pieces, from the last place that was told.
        let first = store.noted(0, 2).unwrap();
        assert_eq!(first, noted[..2]);
        assert_eq!(store.noted(first[1].0, 10).unwrap(), noted[2..]);
        assert_eq!(store.noted(noted[2].0, 10).unwrap(), []);
        assert_eq!(store.noted(0, 0).unwrap(), []);
    });
}

#[test]
fn old_facts_are_forgotten_and_their_places_are_not_given_again() {
    every(|store| {
        store
            .note(&[fact("a", 10, "1"), fact("b", 20, "2"), fact("c", 30, "3")])
            .unwrap();
        let last = store.noted(0, 10).unwrap()[2].0;
        assert_eq!(store.forget_facts(25).unwrap(), 2);
        assert_eq!(ids(&store.noted(0, 10).unwrap()), ["c"]);
        assert_eq!(store.forget_facts(100).unwrap(), 1);
        store.note(&[fact("d", 100, "4")]).unwrap();
        assert!(store.noted(last, 10).unwrap()[0].0 > last);
    });
}

#[test]
fn a_fact_that_is_too_long_is_refused_with_all_that_came_with_it() {
    every(|store| {
        let long = "x".repeat(BODY_MAX + 1);
        let refused = store.note(&[fact("short", 1, "1"), fact("long", 1, &long)]);
        assert!(matches!(refused, Err(StoreError::TooLong(id)) if &*id == "long"));
        assert_eq!(store.noted(0, 10).unwrap(), []);
        store.note(&[fact("a\0'b", 1, &long[1..])]).unwrap();
        assert_eq!(ids(&store.noted(0, 10).unwrap()), ["a\0'b"]);
    });
}

/// An instance, an objective, and a minute of it.
fn written() -> impl Strategy<Value = (u8, u8, Minute)> {
    let minutes = (0u64..20, 0u64..1_000, 0u64..1_000, 0u8..=60)
        .prop_map(|(at, good, bad, measured)| minute(at, good, bad, measured));
    (0u8..3, 0u8..2, minutes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_file_says_what_the_model_says(steps in prop::collection::vec((written(), 0u64..25), 1..40)) {
        let directory = Directory::new();
        let (mut model, mut file) = (Memory::default(), Sqlite::open(&directory.file()).unwrap());
        for ((instance, objective, minute), from) in steps {
            let (instance, objective) = (instance.to_string(), objective.to_string());
            let rows = [row(&instance, &objective, minute)];
            model.write(&rows).unwrap();
            file.write(&rows).unwrap();
            let of = key(&objective, "all");
            prop_assert_eq!(model.others("1", &of, from).unwrap(), file.others("1", &of, from).unwrap());
            if from == 24 {
                prop_assert_eq!(model.forget(minute.minute).unwrap(), file.forget(minute.minute).unwrap());
            }
        }
    }
}
