//! A database that gateways on many machines share.
//!
//! Everything is in a schema of its own, `plimsoll`, whose version moves forward only, in numbered files. Whatever is
//! written at once is one statement, so that a process that is killed within it has written all of it or nothing, and no
//! transaction waits for a process that sleeps.
//!
//! Nothing is waited for for long: a database that does not answer is one that is away, which is told, and its connection
//! is given up. What it may have done meanwhile does no harm, since a row never says less than before.

mod address;
mod migrating;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_slo::{Counts, EvidenceMark, Second};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use self::address::Database;
use self::migrating::migrate;
use crate::care::Found;
use crate::minutes::by_minute;
use crate::packed::{pack, pack_values, unpack, unpack_values};
use crate::{BODY_MAX, Fact, Key, Minute, Remembered, Row, Shared, Store, StoreError};

/// What is asked of it.
struct Sql;

impl Sql {
    const WRITE: &str = include_str!("postgres/sql/write.sql");
    const OTHERS: &str = include_str!("postgres/sql/others.sql");
    const LATELY: &str = include_str!("postgres/sql/lately.sql");
    const LATELY_TO: &str = include_str!("postgres/sql/lately_to.sql");
    const MINUTES: &str = include_str!("postgres/sql/minutes.sql");
    const PUT_BACK: &str = include_str!("postgres/sql/put_back.sql");
    const FOUND: &str = include_str!("postgres/sql/found.sql");
    const ADD_UP: &str = include_str!("postgres/sql/add_up.sql");
    const THIN: &str = include_str!("postgres/sql/thin.sql");
    const PASS: &str = include_str!("postgres/sql/pass.sql");
    const REMEMBER: &str = include_str!("postgres/sql/remember.sql");
    const REMEMBERED: &str = include_str!("postgres/sql/remembered.sql");
    const FORGET_COUNTED: &str = include_str!("postgres/sql/forget_counted.sql");
    const FORGET: &str = include_str!("postgres/sql/forget.sql");
    const FORGET_EVIDENCE: &str = include_str!("postgres/sql/forget_evidence.sql");
    const NOTE: &str = include_str!("postgres/sql/note.sql");
    const NOTED: &str = include_str!("postgres/sql/noted.sql");
    const LEAD: &str = include_str!("postgres/sql/lead.sql");
    const LEADS: &str = include_str!("postgres/sql/leads.sql");
    const SHARE: &str = include_str!("postgres/sql/share.sql");
    const SHARED: &str = include_str!("postgres/sql/shared.sql");
    const UNSHARE: &str = include_str!("postgres/sql/unshare.sql");
    const FORGET_FACTS: &str = include_str!("postgres/sql/forget_facts.sql");
}

/// How long anything that is asked may take: on our side, and a second less on the other, which then says so itself.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const SETTINGS: &str = "SET statement_timeout = '9s'; SET lock_timeout = '4s'; \
                        SET idle_in_transaction_session_timeout = '5s'; SET synchronous_commit = on";

/// Names of the locks that those of a database share who note facts, and who add up.
const NOTING: i64 = 0x706c_696d_0002;
const ADDING_UP: i64 = 0x706c_696d_0003;

/// An error in words, with those of what is behind it: the library's own say little.
fn said(error: &tokio_postgres::Error) -> Box<dyn std::error::Error + Send + Sync> {
    use std::error::Error as _;
    let mut words = error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| db.message().to_owned());
    if error.as_db_error().is_none()
        && let Some(source) = error.source()
    {
        words = format!("{words}: {source}");
    }
    words.into()
}

/// What TLS is spoken by.
pub type Tls = rustls::ClientConfig;

/// See the module's header.
pub struct Postgres {
    /// It has one thread, the one that asks, and lives while it is waited for.
    runtime: Runtime,
    client: Client,
    /// Those that are asked every second.
    every_second: EverySecond,
    /// The mark that was told last, and what was to be seen then.
    seen: Option<(u64, String)>,
}

struct EverySecond {
    write: Statement,
    lately: Statement,
    lately_to: Statement,
    noted: Statement,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// Waits for an answer, and not for long.
async fn answer<T>(asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failed> {
    match tokio::time::timeout(ANSWER_MAX, asked).await {
        Ok(answer) => answer.map_err(|error| said(&error)),
        Err(_) => Err(format!("it did not answer within {} s", ANSWER_MAX.as_secs()).into()),
    }
}

impl Postgres {
    /// Connects, and makes or migrates what is ours. `password` is used if the address has none; a server that is spoken
    /// to by TLS has to show a certificate that `tls` believes.
    ///
    /// # Errors
    /// [`StoreError::Open`] if that is not possible, [`StoreError::TooNew`] if a later release has written it.
    pub fn open(database: &Database, password: Option<&str>, tls: Tls) -> Result<Self, StoreError> {
        Self::connect(database, password, tls, true)
    }

    /// The same, and nothing is made or migrated: there has to be something of ours.
    ///
    /// # Errors
    /// As of [`Self::open`].
    pub fn look(database: &Database, password: Option<&str>, tls: Tls) -> Result<Self, StoreError> {
        Self::connect(database, password, tls, false)
    }

    fn connect(
        database: &Database,
        password: Option<&str>,
        tls: Tls,
        migrates: bool,
    ) -> Result<Self, StoreError> {
        let mut config = database.config.clone();
        if let Some(password) = password.filter(|_| !database.has_password()) {
            config.password(password);
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Open(error.into()))?;
        let connected = runtime.block_on(async {
            let tls = MakeRustlsConnect::new(tls);
            let connecting = answer(config.connect(tls));
            let (mut client, connection) = connecting.await.map_err(StoreError::Open)?;
            // It ends with its client, and says why to whoever asks next.
            runtime.spawn(async { drop(connection.await) });
            answer(client.batch_execute(SETTINGS))
                .await
                .map_err(StoreError::Open)?;
            migrate(&mut client, migrates).await?;
            let every_second = EverySecond::prepare(&client).await.map_err(StoreError::Open)?;
            Ok::<_, StoreError>((client, every_second))
        });
        let (client, every_second) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                // A name that is still looked up is not waited for.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Self {
            runtime,
            client,
            every_second,
            seen: None,
        })
    }

    /// What is in it. Whether that is whole is for Postgres to say.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn found(&mut self) -> Result<Found, StoreError> {
        let rows = self.read(Sql::FOUND, &[])?;
        let row = rows.first().ok_or(StoreError::Read("it says nothing".into()))?;
        let minute = |column| row.get::<_, Option<i64>>(column).map(i64::unsigned_abs);
        Ok(Found {
            schema: row.get::<_, i32>(0).unsigned_abs(),
            minutes: number(row, 1),
            objectives: number(row, 2),
            span: minute(3).zip(minute(4)),
            facts: number(row, 5),
            problems: Vec::new(),
        })
    }

    fn read(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let asked = self.runtime.block_on(answer(self.client.query(sql, params)));
        asked.map_err(StoreError::Read)
    }

    /// Changes what is long ago, by one of all who share it at a time. Whether there was anything to change.
    fn by_one(&mut self, sql: &str, before: u64) -> Result<bool, StoreError> {
        let client = &mut self.client;
        let changing = async {
            let tx = client.transaction().await?;
            tx.execute("SELECT pg_advisory_xact_lock($1)", &[&ADDING_UP])
                .await?;
            let rows = tx.execute(sql, &[&signed(before)]).await?;
            tx.commit().await?;
            Ok(rows > 0)
        };
        self.runtime.block_on(answer(changing)).map_err(StoreError::Write)
    }

    /// Notes facts, if nothing is asked of who leads or the lead with this number is the latest; whether they were.
    fn note_if(&mut self, fence: Option<u64>, facts: &[Fact]) -> Result<bool, StoreError> {
        if let Some(long) = facts.iter().find(|fact| fact.body.len() > BODY_MAX) {
            return Err(StoreError::TooLong(Arc::clone(&long.id)));
        }
        if facts.is_empty() && fence.is_none() {
            return Ok(true);
        }
        let ids = column(facts, |fact| clean(&fact.id));
        let at = column(facts, |fact| signed(fact.at));
        let kinds = column(facts, |fact| clean(&fact.kind));
        let about = column(facts, |fact| clean(&fact.about));
        let authors = column(facts, |fact| clean(&fact.author));
        let bodies = column(facts, |fact| clean(&fact.body));
        let params: [&(dyn ToSql + Sync); 6] = [&ids, &at, &kinds, &about, &authors, &bodies];
        let client = &mut self.client;
        let noting = async {
            let tx = client.transaction().await?;
            tx.execute("SELECT pg_advisory_xact_lock($1)", &[&NOTING]).await?;
            if let Some(fence) = fence
                && tx.query_opt(Sql::LEADS, &[&signed(fence)]).await?.is_none()
            {
                return Ok(false);
            }
            tx.execute(Sql::NOTE, &params).await?;
            tx.commit().await?;
            Ok(true)
        };
        self.runtime.block_on(answer(noting)).map_err(StoreError::Write)
    }

    fn change(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
        let asked = self.runtime.block_on(answer(self.client.execute(sql, params)));
        asked.map_err(StoreError::Write)
    }
}

impl EverySecond {
    async fn prepare(client: &Client) -> Result<Self, Failed> {
        Ok(Self {
            write: answer(client.prepare(Sql::WRITE)).await?,
            lately: answer(client.prepare(Sql::LATELY)).await?,
            lately_to: answer(client.prepare(Sql::LATELY_TO)).await?,
            noted: answer(client.prepare(Sql::NOTED)).await?,
        })
    }
}

/// What SQL can hold of a count: 2⁶³ − 1 is more than ever happens in a minute.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A column that is a count, and was written as one.
fn number(row: &tokio_postgres::Row, column: usize) -> u64 {
    row.get::<_, i64>(column).unsigned_abs()
}

fn text(row: &tokio_postgres::Row, column: usize) -> Arc<str> {
    row.get::<_, &str>(column).into()
}

/// What was counted: of what, when, by whom, and how much, as the first columns of a statement.
fn counted_row(row: &tokio_postgres::Row) -> Row {
    Row {
        key: Key {
            objective: text(row, 0),
            counted: text(row, 1),
        },
        minute: Minute {
            minute: number(row, 2),
            counts: Counts {
                good: number(row, 4),
                bad: number(row, 5),
            },
            measured: row.get::<_, i16>(6) as u8,
        },
        instance: text(row, 3),
        log: None,
    }
}

/// Text of Postgres holds everything but NUL, which stands in no name of ours.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A column of a statement that takes many rows.
fn column<R, T>(rows: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// The latest of each: one statement may not write a row twice.
fn once(rows: &[Row]) -> Vec<&Row> {
    let mut latest = std::collections::BTreeMap::new();
    for row in rows {
        let id = (&row.key, row.minute.minute, &row.instance);
        let before: &mut &Row = latest.entry(id).or_insert(row);
        if row.is_newer(&before.minute) {
            *before = row;
        }
    }
    latest.into_values().collect()
}

impl Store for Postgres {
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows = once(rows);
        let objectives = column(&rows, |row| clean(&row.key.objective));
        let counted = column(&rows, |row| clean(&row.key.counted));
        let minutes = column(&rows, |row| signed(row.minute.minute));
        let instances = column(&rows, |row| clean(&row.instance));
        let good = column(&rows, |row| signed(row.minute.counts.good));
        let bad = column(&rows, |row| signed(row.minute.counts.bad));
        let measured = column(&rows, |row| i16::from(row.minute.measured));
        let logs = column(&rows, |row| row.log.as_ref().map(pack));
        let params: [&(dyn ToSql + Sync); 8] = [
            &objectives,
            &counted,
            &minutes,
            &instances,
            &good,
            &bad,
            &measured,
            &logs,
        ];
        let writing = answer(self.client.execute(&self.every_second.write, &params));
        self.runtime
            .block_on(writing)
            .map(drop)
            .map_err(StoreError::Write)
    }

    fn put_back(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        let rows = once(rows);
        let objectives = column(&rows, |row| clean(&row.key.objective));
        let counted = column(&rows, |row| clean(&row.key.counted));
        let minutes = column(&rows, |row| signed(row.minute.minute));
        let instances = column(&rows, |row| clean(&row.instance));
        let good = column(&rows, |row| signed(row.minute.counts.good));
        let bad = column(&rows, |row| signed(row.minute.counts.bad));
        let measured = column(&rows, |row| i16::from(row.minute.measured));
        let params: [&(dyn ToSql + Sync); 7] = [
            &objectives,
            &counted,
            &minutes,
            &instances,
            &good,
            &bad,
            &measured,
        ];
        self.change(Sql::PUT_BACK, &params).map(drop)
    }

    fn minutes(&mut self, after: Option<&Row>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let of = |part: fn(&Row) -> &str| after.map_or_else(String::new, |row| clean(part(row)));
        let (objective, counted) = (of(|row| &row.key.objective), of(|row| &row.key.counted));
        let (minute, instance) = (
            after.map_or(-1, |row| signed(row.minute.minute)),
            of(|row| &row.instance),
        );
        let params: [&(dyn ToSql + Sync); 5] = [&objective, &counted, &minute, &instance, &limit];
        let rows = self.read(Sql::MINUTES, &params)?;
        Ok(rows.iter().map(counted_row).collect())
    }

    fn others(&mut self, but: &str, key: &Key, from: u64) -> Result<Vec<Minute>, StoreError> {
        let (objective, counted, but) = (clean(&key.objective), clean(&key.counted), clean(but));
        let rows = self.read(Sql::OTHERS, &[&objective, &counted, &signed(from), &but])?;
        let minutes = rows.iter().map(|row| {
            let minute = Minute {
                minute: number(row, 0),
                counts: Counts {
                    good: number(row, 1),
                    bad: number(row, 2),
                },
                measured: row.get::<_, i16>(3) as u8,
            };
            (minute, row.get(4))
        });
        Ok(by_minute(minutes, from))
    }

    fn lately(&mut self, but: Option<&str>, mark: u64) -> Result<(Vec<Row>, u64), StoreError> {
        let seen = self.seen.take().filter(|(of, _)| *of == mark);
        let seen = seen.map(|(_, snapshot)| snapshot);
        let asking = async {
            // Before the rows: what is written in between comes again.
            let to = self.client.query_one(&self.every_second.lately_to, &[]).await?;
            let params: [&(dyn ToSql + Sync); 3] = [&signed(mark), &but, &seen];
            let rows = self.client.query(&self.every_second.lately, &params).await?;
            Ok((rows, number(&to, 0), to.get::<_, String>(1)))
        };
        let asked = self.runtime.block_on(answer(asking));
        let (rows, to, snapshot) = asked.map_err(StoreError::Read)?;
        self.seen = Some((to, snapshot));
        let rows = rows.iter().map(|row| Row {
            log: row.get::<_, Option<&[u8]>>(7).and_then(unpack),
            ..counted_row(row)
        });
        Ok((rows.collect(), to))
    }

    fn pass(&mut self, mark: u64) -> Result<(), StoreError> {
        self.change(Sql::PASS, &[&signed(mark)]).map(drop)
    }

    fn remember(&mut self, evidence: &[Remembered]) -> Result<(), StoreError> {
        let mut latest = std::collections::BTreeMap::new();
        for one in evidence {
            latest.insert((&one.key, &one.asked), one);
        }
        let evidence: Vec<&Remembered> = latest.into_values().collect();
        let objectives = column(&evidence, |one| clean(&one.key.objective));
        let counted = column(&evidence, |one| clean(&one.key.counted));
        let asked = column(&evidence, |one| clean(&one.asked));
        let at = column(&evidence, |one| signed(one.mark.at.0));
        let since = column(&evidence, |one| signed(one.mark.since.0));
        let found = column(&evidence, |one| pack_values(&one.mark.values));
        let params: [&(dyn ToSql + Sync); 6] = [&objectives, &counted, &asked, &at, &since, &found];
        self.change(Sql::REMEMBER, &params).map(drop)
    }

    fn remembered(&mut self) -> Result<Vec<Remembered>, StoreError> {
        let rows = self.read(Sql::REMEMBERED, &[])?;
        let all = rows.iter().map(|row| Remembered {
            key: Key {
                objective: text(row, 0),
                counted: text(row, 1),
            },
            asked: text(row, 2),
            mark: EvidenceMark {
                at: Second(number(row, 3)),
                since: Second(number(row, 4)),
                values: unpack_values(row.get(5)),
            },
        });
        Ok(all.collect())
    }

    fn add_up(&mut self, before: u64) -> Result<bool, StoreError> {
        self.by_one(Sql::ADD_UP, before)
    }

    fn thin_out(&mut self, before: u64) -> Result<bool, StoreError> {
        self.by_one(Sql::THIN, before)
    }

    fn forget_counted(&mut self, counted: &str, before: u64) -> Result<(), StoreError> {
        let forgotten = self.change(Sql::FORGET_COUNTED, &[&counted, &signed(before)]);
        forgotten.map(drop)
    }

    fn forget(&mut self, before: u64) -> Result<usize, StoreError> {
        self.change(Sql::FORGET_EVIDENCE, &[&signed(before.saturating_mul(60))])?;
        let forgotten = self.change(Sql::FORGET, &[&signed(before)])?;
        Ok(forgotten as usize)
    }

    fn note(&mut self, facts: &[Fact]) -> Result<(), StoreError> {
        self.note_if(None, facts)?;
        Ok(())
    }

    fn lead(&mut self, who: &str, now: u64, until: u64) -> Result<Option<u64>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&clean(who), &signed(now), &signed(until)];
        let asked = self
            .runtime
            .block_on(answer(self.client.query_opt(Sql::LEAD, &params)));
        let row = asked.map_err(StoreError::Write)?;
        Ok(row.map(|row| number(&row, 0)))
    }

    fn note_leading(&mut self, fence: u64, facts: &[Fact]) -> Result<bool, StoreError> {
        self.note_if(Some(fence), facts)
    }

    fn share(&mut self, rows: &[Shared]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let about = column(rows, |row| clean(&row.about));
        let parts = column(rows, |row| i32::try_from(row.part).unwrap_or(i32::MAX));
        let instances = column(rows, |row| clean(&row.instance));
        let said = column(rows, |row| signed(row.said));
        let bodies = column(rows, |row| row.body.to_vec());
        self.change(Sql::SHARE, &[&about, &parts, &instances, &said, &bodies])?;
        Ok(())
    }

    fn shared(&mut self, but: &str) -> Result<Vec<Shared>, StoreError> {
        let rows = self.read(Sql::SHARED, &[&clean(but)])?;
        let shared = |row: &tokio_postgres::Row| Shared {
            about: text(row, 0),
            part: row.get::<_, i32>(1).unsigned_abs(),
            instance: text(row, 2),
            said: number(row, 3),
            body: row.get::<_, &[u8]>(4).into(),
        };
        Ok(rows.iter().map(shared).collect())
    }

    fn unshare(&mut self, about: &str) -> Result<(), StoreError> {
        self.change(Sql::UNSHARE, &[&clean(about)])?;
        Ok(())
    }

    fn noted(&mut self, after: u64, limit: usize) -> Result<Vec<(u64, Fact)>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params: [&(dyn ToSql + Sync); 2] = [&signed(after), &limit];
        let asking = answer(self.client.query(&self.every_second.noted, &params));
        let rows = self.runtime.block_on(asking).map_err(StoreError::Read)?;
        let facts = rows.iter().map(|row| {
            let fact = Fact {
                id: text(row, 1),
                at: number(row, 2),
                kind: text(row, 3),
                about: text(row, 4),
                author: text(row, 5),
                body: text(row, 6),
            };
            (number(row, 0), fact)
        });
        Ok(facts.collect())
    }

    fn forget_facts(&mut self, before: u64, kept: &[&str]) -> Result<usize, StoreError> {
        let forgotten = self.change(Sql::FORGET_FACTS, &[&signed(before), &kept])?;
        Ok(forgotten as usize)
    }
}
