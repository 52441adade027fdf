//! What a store promises, asked of each of them.

use plimsoll_slo::{Counts, EvidenceMark, MinuteLog, Second};
use proptest::prelude::*;
use store::{BODY_MAX, Fact, Key, Memory, Minute, Remembered, Row, Shared, Sqlite, Store, StoreError};

use crate::postgres::Home;
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
        log: None,
    }
}

/// Asks `check` of every store, empty.
fn every(check: impl Fn(&mut dyn Store)) {
    check(&mut Memory::default());
    let directory = Directory::new();
    check(&mut Sqlite::open(&directory.file()).unwrap());
    check(&mut Home::new().open());
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
fn what_nobody_looks_back_to_is_forgotten_early() {
    every(|store| {
        let of = |counted: &str, at| Row {
            key: key("a", counted),
            ..row("one", "a", minute(at, 1, 0, 60))
        };
        let rows = (2_000..2_010).flat_map(|at| [of("all", at), of("client-errors", at)]);
        store.write(&rows.collect::<Vec<_>>()).unwrap();
        store.forget_counted("client-errors", 2_004).unwrap();
        let count =
            |store: &mut dyn Store, counted| store.others("two", &key("a", counted), 0).unwrap().len();
        assert_eq!((count(store, "all"), count(store, "client-errors")), (10, 6));
        // What is older than a day before is for the others to forget.
        store.forget_counted("client-errors", 2_004 + 1_444).unwrap();
        assert_eq!(count(store, "client-errors"), 4);
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
fn what_is_long_ago_is_added_up_hour_by_hour_and_is_the_same() {
    every(|store| {
        let rows = (10..200).flat_map(|at| {
            let of = |instance, good| row(instance, "a", minute(at, good, 1, at as u8 % 60));
            [of("one", 5), of("two", at), row("one", "b", minute(at, 1, 0, 60))]
        });
        store.write(&rows.collect::<Vec<_>>()).unwrap();
        let before = ["a", "b"].map(|of| store.others("", &key(of, "all"), 0).unwrap());
        let sums =
            |store: &mut dyn Store| ["a", "b"].map(|of| store.others("three", &key(of, "all"), 0).unwrap());
        assert_eq!(sums(store), before);
        let hours = std::iter::from_fn(|| store.add_up(150).unwrap().then_some(())).count();
        assert_eq!(hours, 3, "140 minutes");
        assert_eq!(sums(store), before);
        // One of each objective up to there, and as it was from there on.
        let rows = store.minutes(None, 1_000).unwrap();
        assert_eq!(rows.len(), 2 * 140 + 3 * 50);
        assert!(
            rows.iter()
                .all(|row| row.instance.is_empty() == (row.minute.minute < 150))
        );
        // What comes after all is added as well.
        store.write(&[row("late", "a", minute(20, 7, 0, 60))]).unwrap();
        assert!(store.add_up(150).unwrap());
        assert!(!store.add_up(150).unwrap());
        let sum = &store.others("three", &key("a", "all"), 20).unwrap()[0];
        assert_eq!(*sum, minute(20, 5 + 20 + 7, 2, 60));
        assert_eq!(store.forget(150).unwrap(), 2 * 140);
    });
}

#[test]
fn what_is_longer_ago_is_kept_by_the_hour_and_adds_up_to_the_same() {
    every(|store| {
        // Of a, each minute has another count, and half of the first hour was not measured.
        let of_a = |at: u64| {
            row(
                "one",
                "a",
                minute(
                    at,
                    at % 7,
                    u64::from(at.is_multiple_of(3)),
                    if at < 150 { 0 } else { 60 },
                ),
            )
        };
        let rows = (120..330).flat_map(|at| [of_a(at), row("one", "b", minute(at, 1_000_000_007, 0, 59))]);
        store.write(&rows.collect::<Vec<_>>()).unwrap();
        assert!(!store.thin_out(1_000).unwrap(), "they are not added up");
        while store.add_up(330).unwrap() {}
        let sum = |store: &mut dyn Store, of: &str, hour: u64| {
            let minutes = store.others("two", &key(of, "all"), hour).unwrap();
            let of_hour = minutes.iter().filter(|minute| minute.minute < hour + 60);
            of_hour.fold((0, 0, 0), |(good, bad, measured), minute| {
                (
                    good + minute.counts.good,
                    bad + minute.counts.bad,
                    measured + u64::from(minute.measured),
                )
            })
        };
        let sums = |store: &mut dyn Store| {
            [120, 180, 240].map(|hour| [sum(store, "a", hour), sum(store, "b", hour)])
        };
        let before = sums(store);
        assert!(!store.thin_out(179).unwrap(), "it is not over");
        let hours = std::iter::from_fn(|| store.thin_out(310).unwrap().then_some(())).count();
        assert_eq!(hours, 3);
        assert_eq!(sums(store), before);
        // Two rows for each hour, and what is not so long ago by the minute.
        assert_eq!(store.minutes(None, 1_000).unwrap().len(), 2 * (3 + 30));
        let minutes = store.others("two", &key("a", "all"), 130).unwrap();
        assert_eq!(
            minutes.first().map(|minute| (minute.minute, minute.measured)),
            Some((130, 30))
        );
        assert_eq!(minutes.len(), 200, "from the middle of an hour on");
        assert_eq!(minutes[199], minute(329, 0, 0, 60));
        // What comes after all counts beside it, and nothing is added up twice.
        store.write(&[row("late", "a", minute(125, 7, 0, 60))]).unwrap();
        assert!(store.add_up(330).unwrap());
        assert!(!store.add_up(330).unwrap() && !store.thin_out(310).unwrap());
        assert_eq!(sum(store, "a", 120).0, before[0][0].0 + 7);
        assert_eq!(store.forget(240).unwrap(), 2 * 2 + 1);
    });
}

#[test]
fn names_may_be_anything() {
    every(|store| {
        for name in ["a", "'; DROP TABLE minutes; --", "ordre-payé", "a\\b"] {
            let of = Row {
                instance: name.into(),
                key: key(name, name),
                minute: minute(1, 2, 3, 4),
                log: None,
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
        assert_eq!(store.forget_facts(25, &["carts-1", "checkout-1"]).unwrap(), 0);
        assert_eq!(store.forget_facts(25, &["carts-1"]).unwrap(), 2);
        assert_eq!(ids(&store.noted(0, 10).unwrap()), ["c"]);
        assert_eq!(store.forget_facts(100, &[]).unwrap(), 1);
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
        store.note(&[fact("a\\'b", 1, &long[1..])]).unwrap();
        assert_eq!(ids(&store.noted(0, 10).unwrap()), ["a\\'b"]);
    });
}

/// An instance, an objective, and a minute of it.
fn written() -> impl Strategy<Value = (u8, u8, Minute)> {
    let minutes = (0u64..20, 0u64..1_000, 0u64..1_000, 0u8..=60)
        .prop_map(|(at, good, bad, measured)| minute(at, good, bad, measured));
    (0u8..3, 0u8..2, minutes)
}

#[test]
fn everything_can_be_copied_in_pieces_and_twice_is_once() {
    every(|store| {
        let rows: Vec<Row> = (0..7)
            .flat_map(|at| {
                [
                    row("two", "b", minute(at, 1, 0, 60)),
                    row("one", "a", minute(at, 2, 1, 60)),
                ]
            })
            .collect();
        store.write(&rows).unwrap();
        store.note(&[fact("b", 5, "1"), fact("a", 9, "2")]).unwrap();
        store.remember(&[evidence("99", 600, 60, 1.5)]).unwrap();
        let (mut pieces, mut last) = (Vec::new(), None);
        while let Some(piece) =
            Some(store.minutes(last.as_ref(), 3).unwrap()).filter(|piece| !piece.is_empty())
        {
            assert!(piece.len() <= 3);
            last = piece.last().cloned();
            pieces.extend(piece);
        }
        assert_eq!(pieces.len(), 14);
        assert!(rows.iter().all(|row| pieces.contains(row)));
        let mut other = Memory::default();
        // What is known there already, and what is newer, stays.
        other
            .write(&[
                row("one", "a", minute(3, 5, 5, 60)),
                row("three", "a", minute(3, 1, 0, 60)),
            ])
            .unwrap();
        for _ in 0..2 {
            store::copy(store, &mut other, 6).unwrap();
        }
        assert_eq!(
            other.others("", &key("a", "all"), 3).unwrap()[0],
            minute(3, 6, 5, 60)
        );
        assert_eq!(other.minutes(None, 100).unwrap().len(), 15);
        // It is told of what was written, and of the latest that came from the copy.
        let mut told = other.lately(None, 0).unwrap().0;
        told.sort_by_key(|row| (row.minute.minute, row.key.clone()));
        let minutes: Vec<u64> = told.iter().map(|row| row.minute.minute).collect();
        assert_eq!(minutes, [3, 3, 6, 6]);
        assert_eq!(ids(&other.noted(0, 10).unwrap()), ["b", "a"]);
        assert_eq!(other.remembered().unwrap(), store.remembered().unwrap());
        // And the other way round.
        store::copy(&mut other, store, u64::MAX).unwrap();
        assert_eq!(
            store.minutes(None, 100).unwrap(),
            other.minutes(None, 100).unwrap()
        );
    });
}

/// What an instance has seen in a minute so far: so many good events and one bad one in the second that is named.
fn logged(instance: &str, at: u64, good: u64, second: u8) -> Row {
    let mut log = MinuteLog::default();
    log.count(second, Counts { good, bad: 1 }, [7]);
    Row {
        log: Some(log),
        ..row(instance, "a", minute(at, good, 1, 1))
    }
}

#[test]
fn what_is_written_is_heard_of_once_by_the_others_and_in_full_by_who_comes_late() {
    every(|store| {
        store
            .write(&[logged("one-1", 7, 3, 5), logged("two-1", 7, 4, 6)])
            .unwrap();
        let (rows, mark) = store.lately(Some("one-"), 0).unwrap();
        assert_eq!(rows, [logged("two-1", 7, 4, 6)]);
        // Nothing new for one who asks from there; while others write, the latest may come again.
        let (rows, mark) = store.lately(Some("one-"), mark).unwrap();
        assert!(
            rows.iter().all(|row| *row == logged("two-1", 7, 4, 6)),
            "{rows:?}"
        );
        store
            .write(&[logged("two-1", 7, 9, 6), row("two-1", "a", minute(2, 1, 1, 60))])
            .unwrap();
        let (mut rows, mark) = store.lately(Some("one-"), mark).unwrap();
        rows.sort_by_key(|row| row.minute.minute);
        assert_eq!(
            rows,
            [row("two-1", "a", minute(2, 1, 1, 60)), logged("two-1", 7, 9, 6)]
        );
        let (rows, _) = store.lately(None, 0).unwrap();
        assert_eq!(rows.len(), 3);
        // What is not of late any more is counted still; it may be so for longer while others write.
        let only_the_latest = (0..1_000).any(|_| {
            store.pass(mark).unwrap();
            let (_, mark) = store.lately(None, 0).unwrap();
            store.write(&[logged("one-1", 9, 1, 1)]).unwrap();
            store.pass(mark).unwrap();
            store.lately(None, 0).unwrap().0 == [logged("one-1", 9, 1, 1)]
        });
        assert!(only_the_latest);
        assert_eq!(store.others("three", &key("a", "all"), 0).unwrap().len(), 3);
    });
}

#[test]
fn what_says_less_is_older_and_changes_nothing() {
    every(|store| {
        store.write(&[logged("one", 7, 5, 5)]).unwrap();
        for older in [logged("one", 7, 4, 5), row("one", "a", minute(7, 6, 0, 60))] {
            store.write(&[older]).unwrap();
        }
        assert_eq!(
            store.others("two", &key("a", "all"), 0).unwrap(),
            [minute(7, 5, 1, 1)]
        );
        assert_eq!(store.lately(None, 0).unwrap().0, [logged("one", 7, 5, 5)]);
        // Nor does what says the same, and not by the second.
        store.write(&[row("one", "a", minute(7, 5, 1, 1))]).unwrap();
        assert_eq!(store.lately(None, 0).unwrap().0, [logged("one", 7, 5, 5)]);
        // Even within one time of writing.
        store
            .write(&[
                logged("one", 8, 5, 5),
                logged("one", 8, 4, 5),
                logged("one", 8, 6, 5),
            ])
            .unwrap();
        assert_eq!(
            store.others("two", &key("a", "all"), 8).unwrap(),
            [minute(8, 6, 1, 1)]
        );
    });
}

fn evidence(asked: &str, at: u64, since: u64, value: f64) -> Remembered {
    Remembered {
        key: key("a", "all"),
        asked: asked.into(),
        mark: EvidenceMark {
            at: Second(at),
            since: Second(since),
            values: vec![value, 1e-300, 2.5e14],
        },
    }
}

#[test]
fn evidence_is_that_of_who_has_looked_for_the_longest_while_he_looks() {
    every(|store| {
        store
            .remember(&[evidence("99", 600, 60, 1.5), evidence("95", 600, 60, 0.5)])
            .unwrap();
        let known = |store: &mut dyn Store| {
            let all = store.remembered().unwrap();
            assert_eq!(all.len(), 2);
            all.into_iter().find(|one| &*one.asked == "99").unwrap()
        };
        assert_eq!(known(store), evidence("99", 600, 60, 1.5));
        store.remember(&[evidence("99", 660, 120, 9.0)]).unwrap();
        assert_eq!(
            known(store),
            evidence("99", 600, 60, 1.5),
            "it has looked for a shorter time"
        );
        store.remember(&[evidence("99", 660, 60, 2.0)]).unwrap();
        store.remember(&[evidence("99", 540, 30, 9.0)]).unwrap();
        assert_eq!(known(store), evidence("99", 660, 60, 2.0), "that is older");
        store.remember(&[evidence("99", 961, 720, 3.0)]).unwrap();
        assert_eq!(known(store), evidence("99", 961, 720, 3.0), "nobody else goes on");
        store.forget(11).unwrap();
        let left = store.remembered().unwrap();
        assert_eq!(
            left,
            [evidence("99", 961, 720, 3.0)],
            "and the other was of minute 10"
        );
    });
}

#[test]
fn one_leads_at_a_time_and_who_has_lost_the_lead_notes_nothing_by_it() {
    every(|store| {
        let fact = |id: &str| Fact {
            id: id.into(),
            at: 7,
            kind: "changed".into(),
            about: "a".into(),
            author: "one".into(),
            body: "null".into(),
        };
        assert!(!store.note_leading(1, &[fact("early")]).unwrap(), "nobody leads");
        assert_eq!(store.lead("one", 1_000, 6_000).unwrap(), Some(1));
        assert_eq!(store.lead("two", 5_999, 9_000).unwrap(), None);
        assert_eq!(store.lead("one", 2_000, 7_000).unwrap(), Some(1), "it goes on");
        assert_eq!(
            store.lead("one", 2_000, 3_000).unwrap(),
            Some(1),
            "and a late word shortens nothing"
        );
        assert_eq!(store.lead("two", 6_999, 9_000).unwrap(), None);
        assert!(store.note_leading(1, &[fact("first")]).unwrap());
        assert_eq!(store.lead("two", 7_000, 9_000).unwrap(), Some(2));
        assert!(!store.note_leading(1, &[fact("stale")]).unwrap());
        assert!(store.note_leading(2, &[fact("second"), fact("first")]).unwrap());
        assert!(store.note_leading(2, &[]).unwrap());
        assert_eq!(store.lead("one", 9_000, 9_500).unwrap(), Some(3));
        let noted = store.noted(0, 10).unwrap();
        let ids: Vec<&str> = noted.iter().map(|(_, fact)| &*fact.id).collect();
        assert_eq!(ids, ["first", "second"]);
        let long = Fact {
            body: "x".repeat(BODY_MAX + 1).into(),
            ..fact("long")
        };
        assert!(matches!(
            store.note_leading(3, &[long]),
            Err(StoreError::TooLong(_))
        ));
    });
}

#[test]
fn what_is_shared_is_the_latest_of_each() {
    every(|store| {
        let shared = |about: &str, part, instance: &str, said, body: &[u8]| Shared {
            about: about.into(),
            part,
            instance: instance.into(),
            said,
            body: body.into(),
        };
        let (one, two) = (shared("a", 0, "one", 5, b"\0\xff"), shared("a", 1, "one", 2, b""));
        store.share(&[one.clone(), two.clone()]).unwrap();
        let other = shared("b", 0, "one", 9, b"b");
        store
            .share(&[shared("a", 0, "two", 1, b"x"), other.clone()])
            .unwrap();
        assert_eq!(
            store.shared("two").unwrap(),
            [one.clone(), two.clone(), other.clone()]
        );
        store.share(&[shared("a", 0, "one", 4, b"older")]).unwrap();
        store.share(&[shared("b", 0, "one", 9, b"again")]).unwrap();
        let again = shared("b", 0, "one", 9, b"again");
        assert_eq!(store.shared("two").unwrap(), [one, two, again.clone()]);
        store.unshare("a").unwrap();
        assert_eq!(store.shared("").unwrap(), [again]);
        store.share(&[]).unwrap();
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_store_says_what_the_model_says(steps in prop::collection::vec((written(), 0u64..25), 1..40)) {
        let (directory, home) = (Directory::new(), Home::new());
        let mut model = Memory::default();
        let mut stores: [Box<dyn Store>; 2] = [
            Box::new(Sqlite::open(&directory.file()).unwrap()),
            Box::new(home.open()),
        ];
        let mut marks = [0; 3];
        for ((instance, objective, minute), from) in steps {
            let (instance, objective) = (instance.to_string(), objective.to_string());
            let rows = [row(&instance, &objective, minute)];
            model.write(&rows).unwrap();
            let of = key(&objective, "all");
            let others = model.others("1", &of, from).unwrap();
            let (mut lately, mark) = model.lately(Some("2"), marks[2]).unwrap();
            marks[2] = mark;
            let forgotten = (from == 24).then(|| model.forget(minute.minute).unwrap());
            for (store, mark) in stores.iter_mut().zip(&mut marks) {
                store.write(&rows).unwrap();
                prop_assert_eq!(&store.others("1", &of, from).unwrap(), &others);
                let (mut heard, to) = store.lately(Some("2"), *mark).unwrap();
                *mark = to;
                // In any order, and some may come twice.
                let by_id = |row: &Row| (row.key.clone(), row.minute.minute, row.instance.clone());
                heard.sort_by_key(by_id);
                lately.sort_by_key(by_id);
                prop_assert!(lately.iter().all(|row| heard.contains(row)), "{:?} {:?}", heard, lately);
                prop_assert_eq!(forgotten.map(|_| store.forget(minute.minute).unwrap()), forgotten);
            }
        }
    }
}
