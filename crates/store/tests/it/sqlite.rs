//! What only a file can do: outlive its process, be shared, be somebody else's.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use plimsoll_slo::Counts;
use store::{Fact, Key, Minute, Row, Sqlite, Store, StoreError};

/// A directory that goes with the test.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("store-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("plimsoll.state")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(crate) fn row(instance: &str, minute: u64, good: u64) -> Row {
    Row {
        instance: instance.into(),
        key: key(),
        minute: Minute {
            minute,
            counts: Counts { good, bad: 0 },
            measured: 60,
        },
        log: None,
    }
}

pub(crate) fn key() -> Key {
    Key {
        objective: "a".into(),
        counted: "all".into(),
    }
}

#[test]
fn what_was_written_is_there_after_the_process() {
    let directory = Directory::new();
    let mut store = Sqlite::open(&directory.file()).unwrap();
    store.write(&[row("one", 1, 5)]).unwrap();
    // Not closed: that is what is left when a process is killed.
    std::mem::forget(store);
    let mut store = Sqlite::open(&directory.file()).unwrap();
    assert_eq!(store.others("two", &key(), 0).unwrap(), [row("one", 1, 5).minute]);
}

#[test]
fn two_processes_write_at_once() {
    let directory = Directory::new();
    let write = |instance: &'static str| {
        let mut store = Sqlite::open(&directory.file()).unwrap();
        move || (0..200).for_each(|minute| store.write(&[row(instance, minute, 1)]).unwrap())
    };
    let (one, two) = (write("one"), write("two"));
    std::thread::scope(|scope| {
        scope.spawn(one);
        scope.spawn(two);
    });
    let mut store = Sqlite::open(&directory.file()).unwrap();
    let minutes = store.others("three", &key(), 0).unwrap();
    assert_eq!(minutes.len(), 200);
    assert!(minutes.iter().all(|minute| minute.counts.good == 2));
}

#[test]
fn what_is_no_state_file_is_refused_and_left_as_it_is() {
    let directory = Directory::new();
    let text = "not a database at all, but notes that somebody needs".repeat(40);
    std::fs::write(directory.file(), &text).unwrap();
    assert!(matches!(
        Sqlite::open(&directory.file()),
        Err(StoreError::Open(_))
    ));
    assert_eq!(std::fs::read_to_string(directory.file()).unwrap(), text);
    let nowhere = directory.file().join("state");
    assert!(matches!(Sqlite::open(&nowhere), Err(StoreError::Open(_))));
}

#[test]
fn a_file_of_a_later_release_is_left_alone() {
    let directory = Directory::new();
    drop(Sqlite::open(&directory.file()).unwrap());
    let later = rusqlite::Connection::open(directory.file()).unwrap();
    later.pragma_update(None, "user_version", 99).unwrap();
    drop(later);
    let refused = Sqlite::open(&directory.file());
    assert!(
        matches!(refused, Err(StoreError::TooNew { found: 99, known: 5 })),
        "{refused:?}"
    );
}

#[test]
fn a_file_that_is_removed_or_replaced_is_noticed() {
    let directory = Directory::new();
    let mut store = Sqlite::open(&directory.file()).unwrap();
    store.write(&[row("one", 1, 5)]).unwrap();
    let away = directory.file().with_extension("away");
    std::fs::rename(directory.file(), &away).unwrap();
    assert!(matches!(store.write(&[row("one", 2, 5)]), Err(StoreError::Gone)));
    // Opened anew it is another file, and the one before has what was written to it.
    let mut anew = Sqlite::open(&directory.file()).unwrap();
    assert!(matches!(store.write(&[row("one", 2, 5)]), Err(StoreError::Gone)));
    anew.write(&[row("one", 2, 5)]).unwrap();
    assert_eq!(anew.others("two", &key(), 0).unwrap(), [row("one", 2, 5).minute]);
}

#[test]
fn a_file_of_an_earlier_release_is_taken_over_with_what_is_in_it() {
    let directory = Directory::new();
    let first = include_str!("../../src/sqlite/schema/0001-minutes.sql");
    let early = rusqlite::Connection::open(directory.file()).unwrap();
    early.execute_batch(first).unwrap();
    early
        .execute_batch("INSERT INTO minutes VALUES ('a', 'all', 1, 'one', 5, 0, 60)")
        .unwrap();
    early.pragma_update(None, "user_version", 1).unwrap();
    drop(early);
    let mut store = Sqlite::open(&directory.file()).unwrap();
    assert_eq!(store.others("two", &key(), 0).unwrap(), [row("one", 1, 5).minute]);
    assert_eq!(store.noted(0, 10).unwrap(), []);
}

#[test]
fn whoever_reads_while_two_write_misses_nothing() {
    let directory = Directory::new();
    let fact = |author: &str, number: u32| Fact {
        id: format!("{author}-{number}").into(),
        at: 1,
        kind: "said".into(),
        about: "".into(),
        author: author.into(),
        body: "null".into(),
    };
    let write = |author: &'static str| {
        let mut store = Sqlite::open(&directory.file()).unwrap();
        move || (0..200).for_each(|number| store.note(&[fact(author, number)]).unwrap())
    };
    let (one, two) = (write("one"), write("two"));
    let mut reader = Sqlite::open(&directory.file()).unwrap();
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(one);
        scope.spawn(two);
        let mut after = 0;
        while seen.len() < 400 {
            for (place, fact) in reader.noted(after, 7).unwrap() {
                assert!(place > after);
                after = place;
                seen.push(fact.id);
            }
        }
    });
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 400);
}
