//! A file looked at, copied and put back by people.
//!
//! Looking and copying go on beside a process that writes: what is copied is one moment of it. Putting back waits for
//! nobody: a file that somebody has open is left alone, since that process would go on with the one that it knows, and
//! nobody would find out before the next start. The one that was there is kept beside it.
//!
//! A copy is written under another name, brought to the disk, and then called what it is to be called: whoever is
//! interrupted has the whole of it or nothing.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use super::{BUSY_MAX, SCHEMA, Sqlite, open, read, write};
use crate::{Store, StoreError};

/// What was found in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The version of its schema.
    pub schema: u32,
    /// Rows of what was counted.
    pub minutes: u64,
    /// The first minute and the last, counted from the Unix epoch.
    pub span: Option<(u64, u64)>,
    /// Facts.
    pub facts: u64,
    /// Objectives that something was counted of.
    pub objectives: u64,
    /// What is wrong with it, in SQLite's words; nothing if it is whole.
    pub problems: Vec<String>,
}

/// Problems that are told of one file.
const PROBLEMS_MAX: u32 = 20;

/// Opens a file that is there, to be read only.
fn look(path: &Path) -> Result<Connection, StoreError> {
    // One that is not there would be made, and be found to be whole.
    if let Err(missing) = std::fs::metadata(path) {
        return Err(StoreError::Open(missing.into()));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(open)?;
    connection.busy_timeout(BUSY_MAX).map_err(open)?;
    Ok(connection)
}

/// Looks whether a file is whole, and what is in it. It is not changed, and may be in use.
///
/// # Errors
/// [`StoreError::Open`] if it is not there or no such file, [`StoreError::TooNew`] if a later release has written it.
pub fn check(path: &Path) -> Result<Found, StoreError> {
    let connection = look(path)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let schema = number("PRAGMA user_version").map_err(open)?.unsigned_abs() as u32;
    let known = SCHEMA.len() as u32;
    if schema > known {
        return Err(StoreError::TooNew { found: schema, known });
    }
    let mut found = Found {
        schema,
        problems: integrity(&connection).map_err(open)?,
        ..Found::default()
    };
    if schema == 0 {
        found.problems.push("it has no schema of Plimsoll's".to_owned());
    }
    // What is broken may not be countable either; then that is said.
    if !found.problems.is_empty() {
        return Ok(found);
    }
    found.minutes = number("SELECT count(*) FROM minutes")
        .map_err(read)?
        .unsigned_abs();
    found.objectives = number("SELECT count(DISTINCT objective) FROM minutes")
        .map_err(read)?
        .unsigned_abs();
    if schema > 1 {
        found.facts = number("SELECT count(*) FROM facts").map_err(read)?.unsigned_abs();
    }
    found.span = connection
        .query_row("SELECT min(minute), max(minute) FROM minutes", [], |row| {
            let (first, last): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
            Ok(first
                .zip(last)
                .map(|(first, last)| (first.unsigned_abs(), last.unsigned_abs())))
        })
        .map_err(read)?;
    Ok(found)
}

fn integrity(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let look = || {
        let mut statement = connection.prepare(&format!("PRAGMA integrity_check({PROBLEMS_MAX})"))?;
        let said = statement.query_map([], |row| row.get::<_, String>(0))?;
        said.collect::<rusqlite::Result<Vec<_>>>()
    };
    match look() {
        Ok(said) => Ok(said.into_iter().filter(|line| line != "ok").collect()),
        // So broken that it cannot be looked at.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
            Ok(vec![error.to_string()])
        }
        Err(error) => Err(error),
    }
}

/// Copies a file as it is at one moment, while it is written to if need be. What the copy is to be called must be free.
///
/// # Errors
/// [`StoreError`] if the file is not whole, or the copy cannot be written; nothing is left behind then.
pub fn backup(from: &Path, to: &Path) -> Result<Found, StoreError> {
    if to.try_exists().map_err(|error| StoreError::Write(error.into()))? {
        return Err(StoreError::Taken(to.to_owned()));
    }
    whole(from)?;
    let partial = beside(to, "partial");
    name(copy(from, &partial), &partial, to)
}

/// Puts a copy in the place of a file that nobody has open, which is kept as `before-restore` beside it. Returns what was
/// put there, and where the one before is, if there was one.
///
/// # Errors
/// [`StoreError::InUse`] if somebody has it open; [`StoreError`] if the copy is not whole, or cannot be written. The file
/// is as it was then.
pub fn restore(from: &Path, to: &Path) -> Result<(Found, Option<PathBuf>), StoreError> {
    whole(from)?;
    let partial = beside(to, "partial");
    let failed = |error: std::io::Error| StoreError::Write(error.into());
    drop(std::fs::remove_file(&partial));
    let found = copy(from, &partial)
        .and_then(|()| whole(&partial))
        .inspect_err(|_| {
            drop(std::fs::remove_file(&partial));
        })?;
    let mut kept = None;
    if to.try_exists().map_err(failed)? {
        if let Err(error) = close(to) {
            drop(std::fs::remove_file(&partial));
            return Err(error);
        }
        // By a second name, so that at no moment there is nothing of the first.
        let before = free(to);
        std::fs::hard_link(to, &before).map_err(failed)?;
        kept = Some(before);
    }
    // What the one before has left in these would be taken for the new one's.
    for left in ["-wal", "-shm"] {
        drop(std::fs::remove_file(with_end(to, left)));
    }
    std::fs::rename(&partial, to).map_err(failed)?;
    settle(to)?;
    Ok((found, kept))
}

/// Calls a copy that was made what it is to be called, if it is whole; nothing is left behind if not.
fn name(copied: Result<(), StoreError>, partial: &Path, to: &Path) -> Result<Found, StoreError> {
    let named = copied.and_then(|()| whole(partial)).and_then(|found| {
        std::fs::rename(partial, to).map_err(|error| StoreError::Write(error.into()))?;
        settle(to)?;
        Ok(found)
    });
    if named.is_err() {
        drop(std::fs::remove_file(partial));
    }
    named
}

/// Copies all that a database has into a file, of which there must be none yet. Others may write to it meanwhile.
///
/// # Errors
/// [`StoreError`] of either; nothing is left behind then.
pub fn backup_database(from: &mut dyn Store, to: &Path) -> Result<Found, StoreError> {
    if to.try_exists().map_err(|error| StoreError::Write(error.into()))? {
        return Err(StoreError::Taken(to.to_owned()));
    }
    let partial = beside(to, "partial");
    drop(std::fs::remove_file(&partial));
    let copied = Sqlite::open(&partial).and_then(|mut file| crate::copy(from, &mut file, u64::MAX));
    name(copied, &partial, to)
}

/// Adds all that a file has to a database: what is there already stays, and is there once. Others may write to it
/// meanwhile; they are told of minutes from `tells_from` on, and find the others when they begin anew.
///
/// # Errors
/// [`StoreError`] if the file is not whole, or of the database; what was added until then is there, and may be added
/// again.
pub fn restore_database(from: &Path, to: &mut dyn Store, tells_from: u64) -> Result<Found, StoreError> {
    let found = whole(from)?;
    // It may be of an earlier release, and is not to be changed.
    let name = format!("plimsoll-restore-{}.state", std::process::id());
    let partial = std::env::temp_dir().join(name);
    let added = copy(from, &partial)
        .and_then(|()| Sqlite::open(&partial))
        .and_then(|mut file| crate::copy(&mut file, to, tells_from));
    drop(std::fs::remove_file(&partial));
    added.map(|()| found)
}

/// The file is whole, or not to be used.
fn whole(path: &Path) -> Result<Found, StoreError> {
    let found = check(path)?;
    match found.problems.first() {
        None => Ok(found),
        Some(problem) => Err(StoreError::Broken {
            path: path.to_owned(),
            problem: problem.clone(),
        }),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    drop(std::fs::remove_file(to));
    let name = to
        .to_str()
        .ok_or_else(|| StoreError::Write("the name of the copy is no text".into()))?;
    look(from)?
        .execute("VACUUM INTO ?1", params![name])
        .map_err(write)?;
    // Its version goes with it; that it is on the disk is ours to see to.
    let written = File::open(to).and_then(|file| file.sync_all());
    written.map_err(|error| StoreError::Write(error.into()))
}

/// Brings all that stands beside a file into it, if nobody has it open.
fn close(path: &Path) -> Result<(), StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(open)?;
    // Whoever has it open holds a lock for as long, which this cannot be had beside.
    let alone = connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT; PRAGMA wal_checkpoint(TRUNCATE)",
    );
    match alone {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
            Err(StoreError::InUse(path.to_owned()))
        }
        // What is there may be the very thing that is to be replaced: no database at all.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The name is on the disk as well as the file.
fn settle(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let opened = File::open(directory.unwrap_or(Path::new(".")));
    opened
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StoreError::Write(error.into()))
}

/// A name for what is kept that nothing has: what was kept before stays.
fn free(path: &Path) -> PathBuf {
    let mut name = beside(path, "before-restore");
    let mut number = 2;
    while name.exists() {
        name = beside(path, &format!("before-restore-{number}"));
        number += 1;
    }
    name
}

fn beside(path: &Path, end: &str) -> PathBuf {
    with_end(path, &format!(".{end}"))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
