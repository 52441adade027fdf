//! What only a database can do: be shared by machines, be away, and come back.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex, PoisonError, Weak};

use private_postgres::Server;
use store::{Database, Fact, Postgres, Row, Store, StoreError, care};

use crate::sqlite::{Directory, key, row};

/// An empty database, on a server that tests share for as long as one of them goes on.
pub(crate) struct Home {
    server: Arc<Server>,
    name: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut shared = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
        let server = shared.upgrade().unwrap_or_else(|| Arc::new(Server::start()));
        *shared = Arc::downgrade(&server);
        drop(shared);
        let name = format!("state{}", NEXT.fetch_add(1, Relaxed));
        server.database(&name);
        Self { server, name }
    }

    fn address(&self) -> Database {
        parse(&self.server.address(&self.name)).unwrap()
    }

    pub(crate) fn open(&self) -> Postgres {
        open(&self.address()).unwrap()
    }

    fn sql(&self, statement: &str) {
        self.server.sql_in(&self.name, statement);
    }
}

fn parse(address: &str) -> Result<Database, String> {
    Database::parse(address).map_err(|error| error.to_string())
}

fn open(database: &Database) -> Result<Postgres, StoreError> {
    Postgres::open(database, None, tls())
}

fn tls() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

#[test]
fn an_address_is_checked_and_its_password_shown_to_nobody() {
    let said = |address: &str| parse(address).map(|database| format!("{database} {database:?}"));
    let shown = "postgres://db.example:6432/state postgres://db.example:6432/state";
    let address = "postgres://ada:secret@db.example:6432/state?sslmode=require";
    assert_eq!(said(address).unwrap(), shown);
    assert_eq!(
        said("host=/run/postgresql user=ada").unwrap(),
        "postgres:///run/postgresql/ada postgres:///run/postgresql/ada"
    );
    for (address, why) in [
        ("postgres://ada:secret@db:port/state", "port"),
        ("postgres:///state", "names no host"),
        ("postgres://ada:secret@db/state?sslmode=prefer", "`require`"),
        ("ada:secret@db", "connection string"),
    ] {
        let refused = said(address).unwrap_err();
        assert!(refused.contains(why), "{address}: {refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}

#[test]
fn many_that_begin_at_once_make_one_schema() {
    let home = Home::new();
    let together = Barrier::new(6);
    std::thread::scope(|scope| {
        for index in 0..6 {
            let (home, together) = (&home, &together);
            scope.spawn(move || {
                together.wait();
                let mut store = home.open();
                store.write(&[row(&index.to_string(), 1, 1)]).unwrap();
            });
        }
    });
    assert_eq!(home.open().others("", &key(), 0).unwrap()[0].counts.good, 6);
}

#[test]
fn who_only_looks_makes_nothing() {
    let home = Home::new();
    let look = || Postgres::look(&home.address(), None, tls());
    let nothing = look().unwrap_err();
    let why = std::error::Error::source(&nothing).unwrap().to_string();
    assert_eq!(why, "there is no state of Plimsoll's in it");
    drop(home.open());
    assert_eq!(look().unwrap().found().unwrap().minutes, 0);
}

#[test]
fn a_schema_of_a_later_release_is_left_alone() {
    let home = Home::new();
    drop(home.open());
    home.sql("UPDATE plimsoll.version SET version = 99");
    let refused = open(&home.address());
    assert!(
        matches!(refused, Err(StoreError::TooNew { found: 99, known: 3 })),
        "{refused:?}"
    );
}

#[test]
fn who_may_make_no_schema_is_told_so_and_may_be_given_one() {
    let home = Home::new();
    home.sql("CREATE ROLE clerk LOGIN");
    let as_clerk = home
        .server
        .address(&home.name)
        .replace("user=postgres", "user=clerk");
    let refused = open(&parse(&as_clerk).unwrap()).unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("permission denied"), "{why}");
    home.sql("CREATE SCHEMA plimsoll AUTHORIZATION clerk");
    let mut store = open(&parse(&as_clerk).unwrap()).unwrap();
    store.write(&[row("one", 1, 5)]).unwrap();
    drop(store);
    home.sql("DROP OWNED BY clerk; DROP ROLE clerk");
}

#[test]
fn a_connection_that_was_cut_is_an_error_and_what_was_written_is_there() {
    let home = Home::new();
    let mut store = home.open();
    store.write(&[row("one", 1, 5)]).unwrap();
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
        home.name
    );
    home.server.sql(&cut);
    assert!(matches!(
        store.write(&[row("one", 1, 6)]),
        Err(StoreError::Write(_))
    ));
    let mut anew = home.open();
    assert_eq!(anew.others("two", &key(), 0).unwrap(), [row("one", 1, 5).minute]);
    anew.write(&[row("one", 1, 6)]).unwrap();
    assert_eq!(anew.others("two", &key(), 0).unwrap(), [row("one", 1, 6).minute]);
}

fn fact(author: &str, number: u32) -> Fact {
    Fact {
        id: format!("{author}-{number}").into(),
        at: 1,
        kind: "said".into(),
        about: "".into(),
        author: author.into(),
        body: "null".into(),
    }
}

#[test]
fn whoever_reads_while_three_write_misses_nothing() {
    const EACH: u32 = 150;
    let home = Home::new();
    let mut reader = home.open();
    let (mut facts, mut rows) = (Vec::new(), std::collections::BTreeMap::new());
    std::thread::scope(|scope| {
        for author in ["one-1", "two-1", "three-1"] {
            let mut store = home.open();
            scope.spawn(move || {
                for number in 0..EACH {
                    store.note(&[fact(author, number)]).unwrap();
                    store
                        .write(&[
                            row(author, 1, number.into()),
                            row(author, 2 + u64::from(number), 1),
                        ])
                        .unwrap();
                }
            });
        }
        let (mut after, mut mark) = (0, 0);
        while facts.len() < 3 * EACH as usize || rows.len() < 3 + 3 * EACH as usize {
            for (place, fact) in reader.noted(after, 7).unwrap() {
                assert!(place > after);
                after = place;
                facts.push(fact.id);
            }
            let (written, to) = reader.lately(None, mark).unwrap();
            assert!(to >= mark);
            mark = to;
            for row in written {
                rows.insert((row.instance, row.minute.minute), row.minute.counts.good);
            }
        }
        // The last of what was written again and again comes as well.
        let (written, _) = reader.lately(None, mark).unwrap();
        rows.extend(
            written
                .into_iter()
                .map(|row| ((row.instance, row.minute.minute), row.minute.counts.good)),
        );
    });
    let (written, _) = reader.lately(None, 0).unwrap();
    rows.extend(
        written
            .into_iter()
            .map(|row| ((row.instance, row.minute.minute), row.minute.counts.good)),
    );
    assert!(
        rows.iter()
            .filter(|((_, minute), _)| *minute == 1)
            .all(|(_, good)| *good == u64::from(EACH) - 1)
    );
    facts.sort_unstable();
    facts.dedup();
    assert_eq!(facts.len(), 3 * EACH as usize);
}

#[test]
fn a_database_is_copied_into_a_file_and_a_file_into_a_database() {
    let (home, directory) = (Home::new(), Directory::new());
    let mut store = home.open();
    let rows: Vec<Row> = (0..12_000).map(|minute| row("one", minute, 1)).collect();
    store.write(&rows).unwrap();
    store.note(&[fact("one", 1)]).unwrap();
    let found = store.found().unwrap();
    assert_eq!(
        (found.schema, found.minutes, found.span, found.facts),
        (3, 12_000, Some((0, 11_999)), 1)
    );
    let copied = care::backup_database(&mut store, &directory.file()).unwrap();
    assert_eq!((copied.minutes, copied.facts), (12_000, 1));
    let taken = care::backup_database(&mut store, &directory.file());
    assert!(matches!(taken, Err(StoreError::Taken(_))), "{taken:?}");
    let other = Home::new();
    let mut other = other.open();
    other.write(&[row("two", 5, 1)]).unwrap();
    for _ in 0..2 {
        care::restore_database(&directory.file(), &mut other, 11_990).unwrap();
    }
    let found = other.found().unwrap();
    assert_eq!((found.minutes, found.facts), (12_001, 1));
    assert_eq!(other.others("", &key(), 5).unwrap()[0].counts.good, 2);
    assert_eq!(other.lately(None, 0).unwrap().0.len(), 1 + 10);
    let nowhere = care::restore_database(&directory.file().with_extension("no"), &mut other, 0);
    assert!(matches!(nowhere, Err(StoreError::Open(_))), "{nowhere:?}");
}

#[test]
fn a_transaction_that_goes_on_for_long_brings_nothing_again_and_is_not_missed() {
    let home = Home::new();
    let mut store = home.open();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let address = home.server.address(&home.name);
    runtime.block_on(async {
        let (mut client, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls)
            .await
            .unwrap();
        runtime.spawn(connection);
        let slow = client.transaction().await.unwrap();
        let late =
            "INSERT INTO plimsoll.lately (objective, counted, minute, instance, place, good, bad, measured)
                    VALUES ('a', 'all', 9, 'slow-1', pg_current_xact_id()::text::bigint, 7, 0, 60)";
        slow.execute(late, &[]).await.unwrap();
        // On a thread of its own: a store waits by itself.
        let mut mark = 0;
        let mut ask = |store: &mut Postgres| {
            let from = mark;
            let (rows, to) = std::thread::scope(|scope| {
                let asked = scope.spawn(|| store.lately(None, from).unwrap());
                asked.join().unwrap()
            });
            mark = to;
            let told = rows
                .into_iter()
                .map(|row| (row.instance.to_string(), row.minute.counts.good));
            told.collect::<Vec<_>>()
        };
        let write = |store: &mut Postgres, good| {
            std::thread::scope(|scope| {
                let written = scope.spawn(|| store.write(&[row("one-1", 1, good)]).unwrap());
                written.join().unwrap();
            });
        };
        write(&mut store, 5);
        assert_eq!(ask(&mut store), [("one-1".to_owned(), 5)]);
        for _ in 0..3 {
            assert_eq!(ask(&mut store), []);
        }
        write(&mut store, 6);
        assert_eq!(ask(&mut store), [("one-1".to_owned(), 6)]);
        slow.commit().await.unwrap();
        assert_eq!(ask(&mut store), [("slow-1".to_owned(), 7)]);
    });
}
