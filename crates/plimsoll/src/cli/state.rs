//! `plimsoll state`: what outlives a restart, looked at, copied and put back.

use std::path::{Path, PathBuf};

use anyhow::Context;
use gateway::env::Env;
use gateway::plan::TlsClientPlan;
use store::care::{self, Found};
use store::{Database, Postgres, StoreError, Tls};

use super::{Exit, print};
use crate::civil;
use crate::config::secrets::{Secret, TokenSource};

/// Look at the state, copy it, put a copy back.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
    /// Authorities that a database's certificate may be from, instead of the public ones.
    #[arg(long, global = true)]
    ca: Option<PathBuf>,
}

/// A state is a file, or a database by its address: `postgres://plimsoll@db.example/plimsoll`. Its password is taken from
/// `PGPASSWORD`.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say whether a state is whole, and what is in it. It may be in use.
    Check {
        /// A state file, or `postgres://…`, whose password is taken from PGPASSWORD.
        state: Place,
    },
    /// Copy a state into a file, while Plimsoll runs.
    Backup {
        /// A state file, or `postgres://…`, whose password is taken from PGPASSWORD.
        state: Place,
        /// What the copy is to be called; there must be nothing of that name.
        to: PathBuf,
    },
    /// Put a copy in the place of a state file, while no Plimsoll runs, and keep the one before beside it; or add it to a
    /// database, in which what is there stays.
    Restore {
        /// The copy.
        from: PathBuf,
        /// A state file, or `postgres://…`, whose password is taken from PGPASSWORD.
        state: Place,
    },
}

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Database(Box<Database>),
}

impl std::str::FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Ok(Self::File(text.into()));
        }
        let database = Database::parse(text).map_err(|error| error.to_string())?;
        Ok(Self::Database(database.into()))
    }
}

/// Minutes that those who run are told of at once.
const LATELY: u64 = 1_440;

impl Args {
    /// Speaks to a database, by one of the ways to do so.
    fn connect(
        &self,
        database: &Database,
        way: fn(&Database, Option<&str>, Tls) -> Result<Postgres, StoreError>,
    ) -> anyhow::Result<Postgres> {
        let tls = TlsClientPlan {
            ca: self.ca.clone(),
            ..TlsClientPlan::default()
        };
        let tls = gateway::tls_client(&tls).context("reading the authority")?;
        // The name that all tools of Postgres know. If there is none, the server may not ask for one.
        let password = TokenSource::Environment("PGPASSWORD".to_owned()).read().ok();
        let opened = way(database, password.as_ref().map(Secret::to_send), tls);
        opened.with_context(|| database.to_string())
    }
}

/// Does it.
///
/// # Errors
/// The state is not there, in use or damaged, or the copy cannot be written.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.what {
        What::Check { state } => {
            let found = match state {
                Place::File(file) => care::check(file)?,
                Place::Database(database) => {
                    // Whether it is whole is for Postgres to say.
                    let found = args.connect(database, Postgres::look)?.found()?;
                    return print(&format!("it answers: {}", inside(&found)));
                }
            };
            print(&said(&found))?;
            Ok(if found.problems.is_empty() {
                Exit::Good
            } else {
                Exit::Failed
            })
        }
        What::Backup { state, to } => {
            let found = match state {
                Place::File(file) => care::backup(file, to)?,
                Place::Database(database) => {
                    care::backup_database(&mut args.connect(database, Postgres::look)?, to)?
                }
            };
            print(&format!("{} is a copy: {}", to.display(), said(&found)))
        }
        What::Restore { from, state } => match state {
            Place::File(file) => restore(from, file),
            Place::Database(database) => {
                let mut into = args.connect(database, Postgres::open)?;
                let lately = (Env::real().wall().as_secs() / 60).saturating_sub(LATELY);
                let found = care::restore_database(from, &mut into, lately)?;
                let now = into.found()?;
                print(&format!(
                    "{} was added to {database}: {}now there is {}",
                    from.display(),
                    said(&found),
                    inside(&now)
                ))
            }
        },
    }
}

fn restore(from: &Path, file: &Path) -> anyhow::Result<Exit> {
    let (found, kept) = care::restore(from, file)?;
    let kept = kept.map(|kept| format!("the one before is {}\n", kept.display()));
    print(&format!(
        "{} is put back: {}{}",
        file.display(),
        said(&found),
        kept.unwrap_or_default()
    ))
}

fn said(found: &Found) -> String {
    if !found.problems.is_empty() {
        return format!("it is not whole\n{}\n", found.problems.join("\n"));
    }
    format!("it is whole: {}", inside(found))
}

fn inside(found: &Found) -> String {
    let minute = |minute: u64| civil::moment(60_000 * minute);
    let span = found
        .span
        .map(|(first, last)| format!(", from {} to {}", minute(first), minute(last)));
    format!(
        "schema {}, {} minutes of {} objectives and watched routes{}, {} facts\n",
        found.schema,
        found.minutes,
        found.objectives,
        span.unwrap_or_default(),
        found.facts
    )
}
