//! Looked at, copied and put back, with everybody in the way.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use plimsoll_slo::Counts;
use store::{Fact, Key, Minute, Row, Sqlite, Store, StoreError, care};

use crate::sqlite::Directory;

fn key() -> Key {
    Key {
        objective: "a".into(),
        counted: "all".into(),
    }
}

fn rows(minutes: std::ops::Range<u64>, good: u64) -> Vec<Row> {
    let row = |minute| Row {
        instance: "one".into(),
        key: key(),
        minute: Minute {
            minute,
            counts: Counts { good, bad: 1 },
            measured: 60,
        },
        log: None,
    };
    minutes.map(row).collect()
}

fn filled(path: &Path) -> Sqlite {
    let mut store = Sqlite::open(path).unwrap();
    store.write(&rows(10..20, 5)).unwrap();
    let fact = Fact {
        id: "f".into(),
        at: 1,
        kind: "said".into(),
        about: "".into(),
        author: "ada".into(),
        body: "null".into(),
    };
    store.note(&[fact]).unwrap();
    store
}

#[test]
fn a_file_says_what_is_in_it_while_it_is_in_use() {
    let directory = Directory::new();
    let _store = filled(&directory.file());
    let found = care::check(&directory.file()).unwrap();
    assert_eq!(
        (found.minutes, found.span, found.facts, found.objectives),
        (10, Some((10, 19)), 1, 1)
    );
    assert_eq!((found.schema, found.problems), (5, Vec::new()));
}

#[test]
fn what_is_not_there_or_no_state_is_said_and_not_made() {
    let directory = Directory::new();
    assert!(matches!(care::check(&directory.file()), Err(StoreError::Open(_))));
    assert!(!directory.file().exists());
    std::fs::write(directory.file(), "notes, not a database ".repeat(100)).unwrap();
    assert!(matches!(care::check(&directory.file()), Err(StoreError::Open(_))));
    let other = directory.file().with_extension("other");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    assert_eq!(
        care::check(&other).unwrap().problems,
        ["it has no schema of Plimsoll's"]
    );
    assert!(matches!(
        care::backup(&other, &directory.file().with_extension("copy")),
        Err(StoreError::Broken { .. })
    ));
}

/// A page in the middle is overwritten.
#[test]
fn damage_is_found_and_is_neither_copied_nor_put_back() {
    let directory = Directory::new();
    let mut store = filled(&directory.file());
    store.write(&rows(100..3_000, 7)).unwrap();
    drop(store);
    let mut bytes = std::fs::read(directory.file()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2_000].fill(0xab);
    let broken = directory.file().with_extension("broken");
    std::fs::write(&broken, bytes).unwrap();
    assert!(!care::check(&broken).unwrap().problems.is_empty());
    let copy = directory.file().with_extension("copy");
    assert!(matches!(
        care::backup(&broken, &copy),
        Err(StoreError::Broken { .. })
    ));
    assert!(!copy.exists() && !copy.with_extension("copy.partial").exists());
    assert!(matches!(
        care::restore(&broken, &directory.file()),
        Err(StoreError::Broken { .. })
    ));
    assert_eq!(
        care::check(&directory.file()).unwrap().minutes,
        2_910,
        "what is there is left alone"
    );
}

#[test]
fn a_copy_is_one_moment_of_what_is_being_written() {
    let directory = Directory::new();
    let mut store = filled(&directory.file());
    let (stop, path) = (AtomicBool::new(false), directory.file());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // All of ten minutes change together, so a copy in which they differ is of two moments. It ends by itself
            // if the other side fails.
            (0..20_000)
                .take_while(|_| !stop.load(Relaxed))
                .for_each(|good| store.write(&rows(10..20, good)).unwrap());
        });
        for number in 0..20 {
            let copy = path.with_extension(format!("copy-{number}"));
            care::backup(&path, &copy).unwrap();
            let minutes = Sqlite::open(&copy).unwrap().others("two", &key(), 0).unwrap();
            assert_eq!(minutes.len(), 10);
            assert!(
                minutes.iter().all(|minute| minute.counts == minutes[0].counts),
                "{minutes:?}"
            );
        }
        stop.store(true, Relaxed);
    });
    let copy = path.with_extension("copy-0");
    assert!(matches!(care::backup(&path, &copy), Err(StoreError::Taken(_))));
}

#[test]
fn a_copy_is_put_back_unless_somebody_has_the_file_open() {
    let directory = Directory::new();
    let (path, copy) = (directory.file(), directory.file().with_extension("copy"));
    let mut store = filled(&path);
    care::backup(&path, &copy).unwrap();
    store.write(&rows(20..30, 9)).unwrap();
    assert!(matches!(care::restore(&copy, &path), Err(StoreError::InUse(_))));
    assert_eq!(store.others("two", &key(), 0).unwrap().len(), 20);
    // Not closed, as after a kill: what is in its log belongs to the one that is kept.
    drop(store);
    let (found, kept) = care::restore(&copy, &path).unwrap();
    assert_eq!(found.minutes, 10);
    let read = |path: &Path| {
        Sqlite::open(path)
            .unwrap()
            .others("two", &key(), 0)
            .unwrap()
            .len()
    };
    assert_eq!((read(&path), read(&kept.unwrap())), (10, 20));
    // What was kept before stays.
    let kept = care::restore(&copy, &path).unwrap().1.unwrap();
    assert!(
        kept.to_string_lossy().ends_with(".before-restore-2"),
        "{}",
        kept.display()
    );
    // To where nothing is.
    let fresh = directory.file().with_extension("fresh");
    assert_eq!(care::restore(&copy, &fresh).unwrap().1, None);
    assert_eq!(read(&fresh), 10);
}
