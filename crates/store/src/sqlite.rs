//! A file beside the configuration.
//!
//! WAL, so that reading waits for nobody. `synchronous = NORMAL`: after the machine has lost its power the last second
//! or so may be missing, and nothing is torn; after the process alone has died nothing is. The schema moves forward
//! only, in numbered files; a file that a later release has written is left alone.

pub mod care;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_slo::{Counts, EvidenceMark, Second};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::minutes::by_minute;
use crate::packed::{pack, pack_values, unpack, unpack_values};
use crate::{BODY_MAX, Fact, Key, Minute, Remembered, Row, Shared, Store, StoreError};

/// Every version of the schema, in order.
const SCHEMA: &[&str] = &[
    include_str!("sqlite/schema/0001-minutes.sql"),
    include_str!("sqlite/schema/0002-facts.sql"),
    include_str!("sqlite/schema/0003-lately.sql"),
    include_str!("sqlite/schema/0004-hours.sql"),
    include_str!("sqlite/schema/0005-changes.sql"),
];

const WRITE: &str = include_str!("sqlite/sql/write.sql");
const WRITE_LATELY: &str = include_str!("sqlite/sql/write_lately.sql");
const LATELY: &str = include_str!("sqlite/sql/lately.sql");
const LATELY_TO: &str = include_str!("sqlite/sql/lately_to.sql");
const MINUTES: &str = include_str!("sqlite/sql/minutes.sql");
const OLDEST_APART: &str = include_str!("sqlite/sql/oldest_apart.sql");
const ADD_UP: &str = include_str!("sqlite/sql/add_up.sql");
const ADDED_UP: &str = include_str!("sqlite/sql/added_up.sql");
const OLDEST_WHOLE: &str = include_str!("sqlite/sql/oldest_whole.sql");
const THIN: &str = include_str!("sqlite/sql/thin.sql");
const THINNED: &str = include_str!("sqlite/sql/thinned.sql");
const PASS: &str = include_str!("sqlite/sql/pass.sql");
const REMEMBER: &str = include_str!("sqlite/sql/remember.sql");
const REMEMBERED: &str = include_str!("sqlite/sql/remembered.sql");
const FORGET_EVIDENCE: &str = include_str!("sqlite/sql/forget_evidence.sql");
const OTHERS: &str = include_str!("sqlite/sql/others.sql");
const FORGET_COUNTED: &str = include_str!("sqlite/sql/forget_counted.sql");
const FORGET: &str = include_str!("sqlite/sql/forget.sql");
const NOTE: &str = include_str!("sqlite/sql/note.sql");
const NOTED: &str = include_str!("sqlite/sql/noted.sql");
const LEAD: &str = include_str!("sqlite/sql/lead.sql");
const LEADS: &str = include_str!("sqlite/sql/leads.sql");
const SHARE: &str = include_str!("sqlite/sql/share.sql");
const SHARED: &str = include_str!("sqlite/sql/shared.sql");
const UNSHARE: &str = include_str!("sqlite/sql/unshare.sql");
const FORGET_FACTS: &str = include_str!("sqlite/sql/forget_facts.sql");

/// How long another process may write before this one gives up; it comes back in a second.
const BUSY_MAX: Duration = Duration::from_secs(2);

/// See the module's header.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    /// Which file that was when it was opened.
    opened: Option<FileId>,
}

/// The device and the inode of a file.
type FileId = (u64, u64);

fn file_id(path: &Path) -> Option<FileId> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

impl Sqlite {
    /// Opens a file, or makes one.
    ///
    /// # Errors
    /// [`StoreError::Open`] if it cannot be opened or is no such file, [`StoreError::TooNew`] if a later release has
    /// written it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // Not as a URI: a path is a path, whatever is in it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(open)?;
        connection.busy_timeout(BUSY_MAX).map_err(open)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
            .map_err(open)?;
        migrate(&mut connection)?;
        Ok(Self {
            connection,
            path: path.to_owned(),
            opened: file_id(path),
        })
    }

    fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        // SQLite goes on writing to a file that has no name any more, and all seems well until the next start.
        if file_id(&self.path) != self.opened {
            return Err(StoreError::Gone);
        }
        let begun = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate);
        begun.map_err(write)
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let tx = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(open)?;
    let found: u32 = tx
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(open)?;
    let known = SCHEMA.len() as u32;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for version in &SCHEMA[found as usize..] {
        tx.execute_batch(version).map_err(open)?;
    }
    tx.pragma_update(None, "user_version", known).map_err(open)?;
    tx.commit().map_err(open)
}

fn open(error: rusqlite::Error) -> StoreError {
    StoreError::Open(error.into())
}

fn write(error: rusqlite::Error) -> StoreError {
    StoreError::Write(error.into())
}

fn read(error: rusqlite::Error) -> StoreError {
    StoreError::Read(error.into())
}

/// What SQL can hold of a count: 2⁶³ − 1 is more than ever happens in a minute.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Sqlite {
    /// Writes rows, and tells of them those who ask what was written of late.
    fn write_rows(&mut self, rows: &[Row], tells: bool) -> Result<(), StoreError> {
        let tx = self.begin()?;
        let mut statement = tx.prepare(WRITE).map_err(write)?;
        let mut lately = tx.prepare(WRITE_LATELY).map_err(write)?;
        for Row {
            instance,
            key,
            minute,
            log,
        } in rows
        {
            let Counts { good, bad } = minute.counts;
            let (good, bad, at) = (signed(good), signed(bad), signed(minute.minute));
            let (of, counted, measured) = (&key.objective, &key.counted, minute.measured);
            let is_new = statement
                .execute(params![of, counted, at, instance, good, bad, measured])
                .map_err(write)?;
            if is_new > 0 && tells {
                let log = log.as_ref().map(pack);
                lately
                    .execute(params![of, counted, at, instance, good, bad, measured, log])
                    .map_err(write)?;
            }
        }
        drop((statement, lately));
        tx.commit().map_err(write)
    }
}

/// A column that is a count, and was written as one.
fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// What was counted: of what, when, by whom, and how much, as the first columns of a statement.
fn counted_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        key: Key {
            objective: row.get(0)?,
            counted: row.get(1)?,
        },
        minute: Minute {
            minute: number(row, 2)?,
            counts: Counts {
                good: number(row, 4)?,
                bad: number(row, 5)?,
            },
            measured: row.get(6)?,
        },
        instance: row.get(3)?,
        log: None,
    })
}

/// Writes facts down in a transaction.
fn note(tx: &Transaction<'_>, facts: &[Fact]) -> Result<(), StoreError> {
    let mut statement = tx.prepare(NOTE).map_err(write)?;
    for Fact {
        id,
        at,
        kind,
        about,
        author,
        body,
    } in facts
    {
        statement
            .execute(params![id, signed(*at), kind, about, author, body])
            .map_err(write)?;
    }
    Ok(())
}

impl Store for Sqlite {
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        self.write_rows(rows, true)
    }

    fn put_back(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        self.write_rows(rows, false)
    }

    fn minutes(&mut self, after: Option<&Row>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let mut statement = self.connection.prepare(MINUTES).map_err(read)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let (objective, counted, instance) = after.map_or(("", "", ""), |row| {
            (&*row.key.objective, &*row.key.counted, &*row.instance)
        });
        let minute = after.map_or(-1, |row| signed(row.minute.minute));
        let rows = statement.query_map(params![objective, counted, minute, instance, limit], counted_row);
        rows.and_then(Iterator::collect).map_err(read)
    }

    fn others(&mut self, but: &str, key: &Key, from: u64) -> Result<Vec<Minute>, StoreError> {
        let mut statement = self.connection.prepare(OTHERS).map_err(read)?;
        let rows = statement.query_map(params![key.objective, key.counted, signed(from), but], |row| {
            let minute = Minute {
                minute: number(row, 0)?,
                counts: Counts {
                    good: number(row, 1)?,
                    bad: number(row, 2)?,
                },
                measured: row.get(3)?,
            };
            Ok((minute, row.get(4)?))
        });
        let rows: Vec<(Minute, bool)> = rows.and_then(Iterator::collect).map_err(read)?;
        Ok(by_minute(rows, from))
    }

    fn lately(&mut self, but: Option<&str>, mark: u64) -> Result<(Vec<Row>, u64), StoreError> {
        let tx = self.connection.transaction().map_err(read)?;
        let to = tx.query_row(LATELY_TO, [], |row| number(row, 0)).map_err(read)?;
        let mut statement = tx.prepare(LATELY).map_err(read)?;
        let rows = statement.query_map(params![signed(mark), but], |row| {
            let packed: Option<Vec<u8>> = row.get(7)?;
            Ok(Row {
                log: packed.and_then(|bytes| unpack(&bytes)),
                ..counted_row(row)?
            })
        });
        let rows = rows.and_then(Iterator::collect).map_err(read)?;
        Ok((rows, to))
    }

    fn pass(&mut self, mark: u64) -> Result<(), StoreError> {
        let passed = self.connection.execute(PASS, [signed(mark)]);
        passed.map(drop).map_err(write)
    }

    fn remember(&mut self, evidence: &[Remembered]) -> Result<(), StoreError> {
        let tx = self.begin()?;
        let mut statement = tx.prepare(REMEMBER).map_err(write)?;
        for Remembered { key, asked, mark } in evidence {
            let (at, since) = (signed(mark.at.0), signed(mark.since.0));
            let found = pack_values(&mark.values);
            statement
                .execute(params![key.objective, key.counted, asked, at, since, found])
                .map_err(write)?;
        }
        drop(statement);
        tx.commit().map_err(write)
    }

    fn remembered(&mut self) -> Result<Vec<Remembered>, StoreError> {
        let mut statement = self.connection.prepare(REMEMBERED).map_err(read)?;
        let all = statement.query_map([], |row| {
            Ok(Remembered {
                key: Key {
                    objective: row.get(0)?,
                    counted: row.get(1)?,
                },
                asked: row.get(2)?,
                mark: EvidenceMark {
                    at: Second(number(row, 3)?),
                    since: Second(number(row, 4)?),
                    values: unpack_values(&row.get::<_, Vec<u8>>(5)?),
                },
            })
        });
        all.and_then(Iterator::collect).map_err(read)
    }

    fn add_up(&mut self, before: u64) -> Result<bool, StoreError> {
        let tx = self.begin()?;
        let oldest = tx.query_row(OLDEST_APART, [], |row| row.get::<_, Option<i64>>(0));
        let oldest = oldest.map_err(write)?.filter(|at| *at < signed(before));
        let Some(oldest) = oldest else {
            return Ok(false);
        };
        let before = signed(before).min(oldest + 60);
        tx.execute(ADD_UP, [before]).map_err(write)?;
        tx.execute(ADDED_UP, [before]).map_err(write)?;
        tx.commit().map_err(write)?;
        Ok(true)
    }

    fn thin_out(&mut self, before: u64) -> Result<bool, StoreError> {
        let tx = self.begin()?;
        let oldest = tx.query_row(OLDEST_WHOLE, [], |row| row.get::<_, Option<i64>>(0));
        let hour = oldest.map_err(write)?.map(|oldest| oldest / 60 * 60);
        let Some(hour) = hour.filter(|hour| hour + 60 <= signed(before)) else {
            return Ok(false);
        };
        tx.execute(THIN, [hour]).map_err(write)?;
        let thinned = tx.execute(THINNED, [hour]).map_err(write)?;
        tx.commit().map_err(write)?;
        Ok(thinned > 0)
    }

    fn forget_counted(&mut self, counted: &str, before: u64) -> Result<(), StoreError> {
        let forgotten = self
            .connection
            .execute(FORGET_COUNTED, params![counted, signed(before)]);
        forgotten.map(drop).map_err(write)
    }

    fn forget(&mut self, before: u64) -> Result<usize, StoreError> {
        let of_evidence = self
            .connection
            .execute(FORGET_EVIDENCE, [signed(before.saturating_mul(60))]);
        of_evidence.map_err(write)?;
        let forgotten = self.connection.execute(FORGET, [signed(before)]);
        forgotten.map_err(write)
    }

    fn note(&mut self, facts: &[Fact]) -> Result<(), StoreError> {
        if let Some(long) = facts.iter().find(|fact| fact.body.len() > BODY_MAX) {
            return Err(StoreError::TooLong(Arc::clone(&long.id)));
        }
        let tx = self.begin()?;
        note(&tx, facts)?;
        tx.commit().map_err(write)
    }

    fn lead(&mut self, who: &str, now: u64, until: u64) -> Result<Option<u64>, StoreError> {
        let tx = self.begin()?;
        let fence: Option<i64> = tx
            .query_row(LEAD, params![who, signed(now), signed(until)], |row| row.get(0))
            .optional()
            .map_err(write)?;
        tx.commit().map_err(write)?;
        Ok(fence.map(i64::unsigned_abs))
    }

    fn note_leading(&mut self, fence: u64, facts: &[Fact]) -> Result<bool, StoreError> {
        if let Some(long) = facts.iter().find(|fact| fact.body.len() > BODY_MAX) {
            return Err(StoreError::TooLong(Arc::clone(&long.id)));
        }
        let tx = self.begin()?;
        let leads = tx
            .query_row(LEADS, params![signed(fence)], |row| row.get(0))
            .map_err(write)?;
        if leads {
            note(&tx, facts)?;
        }
        tx.commit().map_err(write)?;
        Ok(leads)
    }

    fn share(&mut self, rows: &[Shared]) -> Result<(), StoreError> {
        let tx = self.begin()?;
        for row in rows {
            let params = params![row.about, row.part, row.instance, signed(row.said), &*row.body];
            tx.execute(SHARE, params).map_err(write)?;
        }
        tx.commit().map_err(write)
    }

    fn shared(&mut self, but: &str) -> Result<Vec<Shared>, StoreError> {
        let mut statement = self.connection.prepare(SHARED).map_err(read)?;
        let rows = statement.query_map(params![but], |row| {
            Ok(Shared {
                about: row.get(0)?,
                part: row.get(1)?,
                instance: row.get(2)?,
                said: row.get::<_, i64>(3)?.unsigned_abs(),
                body: row.get::<_, Vec<u8>>(4)?.into(),
            })
        });
        rows.and_then(Iterator::collect).map_err(read)
    }

    fn unshare(&mut self, about: &str) -> Result<(), StoreError> {
        let tx = self.begin()?;
        tx.execute(UNSHARE, params![about]).map_err(write)?;
        tx.commit().map_err(write)
    }

    fn noted(&mut self, after: u64, limit: usize) -> Result<Vec<(u64, Fact)>, StoreError> {
        let mut statement = self.connection.prepare(NOTED).map_err(read)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![signed(after), limit], |row| {
            let fact = Fact {
                id: row.get(1)?,
                at: number(row, 2)?,
                kind: row.get(3)?,
                about: row.get(4)?,
                author: row.get(5)?,
                body: row.get(6)?,
            };
            Ok((number(row, 0)?, fact))
        });
        rows.and_then(Iterator::collect).map_err(read)
    }

    fn forget_facts(&mut self, before: u64, kept: &[&str]) -> Result<usize, StoreError> {
        let kept = format!("\n{}\n", kept.join("\n"));
        let forgotten = self.connection.execute(FORGET_FACTS, (signed(before), kept));
        forgotten.map_err(write)
    }
}
