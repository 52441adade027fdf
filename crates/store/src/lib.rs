//! What must outlive a restart.
//!
//! Counting goes on in memory, and no request ever waits for this crate. What was counted is written down a little
//! later, by whoever counted it, and read when a process begins, so that an objective over thirty days does not forget
//! them. Several processes may share a store: in an upgrade two do, and each writes rows of its own, so that writing
//! the same twice changes nothing and what two have counted adds up.
//!
//! A [`Store`] is a contract, and `tests/it` holds every adapter to it: [`Memory`], which is the model, [`Sqlite`], a
//! file, and [`Postgres`], a database that gateways on many machines share.

mod facts;
mod memory;
mod minutes;
mod packed;
mod postgres;
mod shared;
mod sqlite;

pub use facts::{BODY_MAX, Fact};
pub use memory::Memory;
pub use minutes::{Key, Minute, Remembered, Row};
pub use postgres::{Database, Postgres, Tls};
pub use shared::Shared;
pub use sqlite::Sqlite;
pub use sqlite::care;

/// Why the store did not do what was asked. Nothing of it was done then.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("opening the state")]
    Open(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was written by a later release.
    #[error("the state has schema {found}, and this release knows {known}: it was written by a later one")]
    TooNew {
        /// The version of the schema that was found.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// It is not where it was opened any more: what is written to it now would be gone with this process.
    #[error("the state file was removed or replaced since it was opened")]
    Gone,
    /// It is damaged.
    #[error("{} is not whole: {problem}", path.display())]
    Broken {
        /// The file.
        path: std::path::PathBuf,
        /// The first that is wrong with it.
        problem: String,
    },
    /// A process has it open.
    #[error("{} is in use: stop the Plimsoll that has it open", .0.display())]
    InUse(std::path::PathBuf),
    /// There is a file already where one is to be made.
    #[error("{} is there already", .0.display())]
    Taken(std::path::PathBuf),
    /// A fact says more than it may.
    #[error("the fact {0} is longer than {BODY_MAX} bytes")]
    TooLong(std::sync::Arc<str>),
    /// It cannot be read.
    #[error("reading the state")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It cannot be written.
    #[error("writing the state")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is kept, and by whom it was counted.
pub trait Store: Send + std::fmt::Debug {
    /// Writes down what was counted in each of these minutes so far: a row takes the place of the one of the same
    /// instance, key and minute, unless it says less, since then it is older. All of them or none.
    ///
    /// # Errors
    /// [`StoreError::Write`] or [`StoreError::Gone`]. What was there before is there still.
    fn write(&mut self, rows: &[Row]) -> Result<(), StoreError>;

    /// What all instances but one have counted together, from this minute on, the earliest first: events add up. A
    /// minute that several have measured was measured for as long as one of them did at most.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn others(&mut self, but: &str, key: &Key, from: u64) -> Result<Vec<Minute>, StoreError>;

    /// Every row of every instance, in an order of the store's own, after this one, up to so many; without logs.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn minutes(&mut self, after: Option<&Row>, limit: usize) -> Result<Vec<Row>, StoreError>;

    /// The same as [`Self::write`], and nobody is told: of rows that come from a copy.
    ///
    /// # Errors
    /// [`StoreError::Write`] or [`StoreError::Gone`].
    fn put_back(&mut self, rows: &[Row]) -> Result<(), StoreError>;

    /// What was written since this mark, and of late at all if that is 0, each row as it is now; and the mark to go on
    /// from. Nothing is left out, and some may come twice. `but` leaves out the instances of one process.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn lately(&mut self, but: Option<&str>, mark: u64) -> Result<(Vec<Row>, u64), StoreError>;

    /// What was written before this mark is not of late any more.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn pass(&mut self, mark: u64) -> Result<(), StoreError>;

    /// Keeps what evidence had come to, for those who come later: the latest, by whoever has looked for the longest, for
    /// as long as that one goes on. All of them or none.
    ///
    /// # Errors
    /// [`StoreError::Write`] or [`StoreError::Gone`].
    fn remember(&mut self, evidence: &[Remembered]) -> Result<(), StoreError>;

    /// All that is kept of evidence.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn remembered(&mut self) -> Result<Vec<Remembered>, StoreError>;

    /// Adds up what all have counted in each minute before this one, of the oldest hour of which that was not done yet.
    /// Nobody may write to it any more. Returns whether there was such an hour.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn add_up(&mut self, before: u64) -> Result<bool, StoreError>;

    /// Makes one of the minutes of the oldest hour that is over before this minute and kept by the minute, of what was added
    /// up: what is read of it from then on are minutes of equal parts. Returns whether there was such an hour.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn thin_out(&mut self, before: u64) -> Result<bool, StoreError>;

    /// Forgets what was counted so in the day before this minute: of what nobody looks back to for long.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn forget_counted(&mut self, counted: &str, before: u64) -> Result<(), StoreError>;

    /// Forgets every minute before this one, and evidence from before it. Returns how many minutes those were.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn forget(&mut self, before: u64) -> Result<usize, StoreError>;

    /// Writes these facts down, all of them or none. One whose id is known is left as it is, whatever it says.
    ///
    /// # Errors
    /// [`StoreError::Write`] or [`StoreError::Gone`]; [`StoreError::TooLong`] if a body is. What was there before is
    /// there still.
    fn note(&mut self, facts: &[Fact]) -> Result<(), StoreError>;

    /// What was noted after this place, up to so many, in the order in which it became visible, each with its place.
    /// Whoever asks again from the last place that he was told misses nothing; 0 is before all.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn noted(&mut self, after: u64, limit: usize) -> Result<Vec<(u64, Fact)>, StoreError>;

    /// Takes the lead, or goes on leading, in the name of a process until a time: if nobody else leads at `now`, both in
    /// milliseconds since the Unix epoch. Returns the number of the lead, which is another one whenever another process
    /// takes it; `None` if another leads.
    ///
    /// # Errors
    /// [`StoreError::Write`] or [`StoreError::Gone`].
    fn lead(&mut self, who: &str, now: u64, until: u64) -> Result<Option<u64>, StoreError>;

    /// The same as [`Self::note`], if the lead with this number is the latest; whether it is. Whatever clocks say, nobody
    /// notes anything by a lead that another has taken.
    ///
    /// # Errors
    /// As of [`Self::note`].
    fn note_leading(&mut self, fence: u64, facts: &[Fact]) -> Result<bool, StoreError>;

    /// Leaves what a process has counted, for those who count the same: what says less is older and changes nothing. All
    /// of them or none.
    ///
    /// # Errors
    /// [`StoreError::Write`] or [`StoreError::Gone`].
    fn share(&mut self, rows: &[Shared]) -> Result<(), StoreError>;

    /// What all processes but one have left, by what it is about, part and process.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    fn shared(&mut self, but: &str) -> Result<Vec<Shared>, StoreError>;

    /// Forgets what was left about something.
    ///
    /// # Errors
    /// [`StoreError::Write`] or [`StoreError::Gone`].
    fn unshare(&mut self, about: &str) -> Result<(), StoreError>;

    /// Forgets every fact from before this time, in milliseconds since the Unix epoch, but for those about something that
    /// is to be kept. Returns how many those were.
    ///
    /// # Errors
    /// [`StoreError::Write`].
    fn forget_facts(&mut self, before: u64, kept: &[&str]) -> Result<usize, StoreError>;
}

/// Rows, and facts, that are copied at once.
const COPIED_ROWS: usize = 5_000;
const COPIED_FACTS: usize = 500;

/// Copies all that is in one store into another, in which what is there stays: what both know is known once. Whoever asks
/// what was written there of late is told of minutes from `tells_from` on.
///
/// # Errors
/// [`StoreError`] of either; what was copied until then is there, and copying again goes on from it.
pub fn copy(from: &mut dyn Store, to: &mut dyn Store, tells_from: u64) -> Result<(), StoreError> {
    let mut last = None;
    loop {
        let rows = from.minutes(last.as_ref(), COPIED_ROWS)?;
        let Some(latest) = rows.last() else {
            break;
        };
        last = Some(latest.clone());
        let (told, quiet): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.minute.minute >= tells_from);
        to.put_back(&quiet)?;
        to.write(&told)?;
    }
    let mut after = 0;
    loop {
        let facts = from.noted(after, COPIED_FACTS)?;
        let Some((place, _)) = facts.last() else {
            break;
        };
        after = *place;
        let facts: Vec<Fact> = facts.into_iter().map(|(_, fact)| fact).collect();
        to.note(&facts)?;
    }
    to.remember(&from.remembered()?)
}
