//! What was counted is written down every second, and read when an objective is new to this process.
//!
//! It has a thread of its own: a disk that does not answer holds up nobody. What cannot be written is kept, up to
//! [`judging`](crate::judging)'s bound, and written when that is possible again; what cannot be read is asked for again.
//! Meanwhile everything is counted and judged in memory, and coverage says what is missing.
//!
//! Alerts, incidents and what people did are kept in the same way, as the facts of the [`record`](crate::record).
//!
//! Several processes may share a file, as two do in an upgrade. Each writes rows of its own, and once a minute reads
//! what the others have counted in the last few.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use plimsoll_slo::Instant;
use store::{Sqlite, Store, StoreError};

use crate::instance::Parts;
use crate::journal::Value;
use crate::record::Record;

/// How often it is written. A killed process loses that, and what was not judged yet, which is a second as well.
const EVERY: Duration = Duration::from_secs(1);
/// How long the last of it may take.
const ENDING_MAX: Duration = Duration::from_secs(5);
/// How often the others are asked, and minutes are forgotten.
const OTHERS_EVERY: Duration = Duration::from_mins(1);
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// The farthest that any window slides back, and a day: what is written now may be asked for by an objective of tomorrow.
const KEPT_MINUTES: u64 = 93 * 1_440;

/// A year of alerts, incidents and what people did, and a month to look back over it.
const KEPT_FACTS: u64 = 400 * 1_440;
/// Facts that are written or read at once, and how often that is done before counting is seen to again.
const FACTS_MAX: usize = 500;
const ROUNDS_MAX: usize = 20;

/// The thread that keeps. When this is dropped it writes what is left, and ends.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// Nothing is ever sent by it: that it is gone is the message.
    alive: Option<Sender<()>>,
    /// The same of the thread.
    working: Receiver<()>,
}

impl Keeper {
    /// Begins to keep in this file what `parts` judge.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(path: PathBuf, parts: &Arc<Parts>) -> anyhow::Result<Self> {
        let ((alive, ended), (works, working)) = (channel(), channel());
        let parts = Arc::clone(parts);
        let thread = std::thread::Builder::new().name("state".to_owned());
        let run = move || {
            let _works: Sender<()> = works;
            Keeping::new(path, &parts).run(&parts, &ended);
        };
        thread
            .spawn(run)
            .context("starting the thread that keeps the state")?;
        Ok(Self {
            alive: Some(alive),
            working,
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.alive.take());
        // Ready when the thread has ended; a disk that does not answer is not waited for.
        _ = self.working.recv_timeout(ENDING_MAX);
    }
}

struct Keeping {
    path: PathBuf,
    store: Option<Box<dyn Store>>,
    /// Whether the last time went wrong: that is told once.
    failing: bool,
    /// When the others were asked, and when minutes were forgotten: not in the first hour, in which a clock may yet be set.
    asked_at: Instant,
    forgot_at: Instant,
}

impl Keeping {
    fn new(path: PathBuf, parts: &Parts) -> Self {
        let env = parts.gateway.env();
        Self {
            path,
            store: None,
            failing: false,
            asked_at: env.now(),
            forgot_at: env.now(),
        }
    }

    fn run(mut self, parts: &Parts, ended: &Receiver<()>) {
        loop {
            let ends = ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Disconnected);
            let kept = self.run_once(parts);
            self.tell(parts, kept);
            if ends {
                return;
            }
        }
    }

    /// Writes what is new, and reads what is wanted.
    fn run_once(&mut self, parts: &Parts) -> Result<(), StoreError> {
        let env = parts.gateway.env();
        let (now, minute) = (env.now(), env.wall().as_secs() / 60);
        let store = match &mut self.store {
            Some(store) => store,
            none => {
                let opened = none.insert(open(&self.path)?);
                parts.record.hear_anew();
                opened
            }
        };
        let judging = || parts.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = judging().unwritten();
        store.write(&rows)?;
        judging().wrote(&rows);
        keep_facts(store.as_mut(), &parts.record)?;
        let wanted = judging().wanted();
        for (instance, key, from) in wanted {
            let minutes = store.others(&instance, &key, from)?;
            judging().heard(&instance, &minutes);
        }
        if now.since(self.asked_at) >= OTHERS_EVERY {
            let of_a_day = now.since(self.forgot_at) >= FORGET_EVERY;
            judging().ask_others(minute, of_a_day);
            self.asked_at = now;
            if of_a_day {
                // A calendar year is longer than anything slides.
                let looked_back = judging().looks_back().as_secs() / 60;
                store.forget(minute.saturating_sub(KEPT_MINUTES.max(looked_back)))?;
                store.forget_facts(60_000 * minute.saturating_sub(KEPT_FACTS))?;
                self.forgot_at = now;
            }
        }
        Ok(())
    }

    fn tell(&mut self, parts: &Parts, kept: Result<(), StoreError>) {
        parts.state_failing.store(kept.is_err(), Relaxed);
        let path = self.path.to_string_lossy();
        let file = ("file", Value::from(&*path));
        match kept {
            Ok(()) if self.failing => {
                self.failing = false;
                parts.journal.info("the state is kept again", &[file]);
            }
            Ok(()) => {}
            Err(error) => {
                // Opened anew: a file that was moved away or replaced is another one.
                self.store = None;
                if !std::mem::replace(&mut self.failing, true) {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    let said = [file, ("error", Value::from(&*error))];
                    parts
                        .journal
                        .error("the state cannot be kept; counting goes on in memory", &said);
                }
            }
        }
    }
}

/// Writes down what was said, and hears what others have said.
fn keep_facts(store: &mut dyn Store, record: &Record) -> Result<(), StoreError> {
    for _ in 0..ROUNDS_MAX {
        let (facts, waiting) = record.unwritten(FACTS_MAX);
        if facts.is_empty() {
            break;
        }
        match store.note(&facts) {
            // It would be in the way of all that come after it.
            Err(StoreError::TooLong(id)) => record.give_up(&id),
            Err(error) => return Err(error),
            Ok(()) => record.wrote(&facts),
        }
        if waiting <= facts.len() {
            break;
        }
    }
    for _ in 0..ROUNDS_MAX {
        let facts = store.noted(record.heard_to(), FACTS_MAX)?;
        record.heard(&facts);
        if facts.len() < FACTS_MAX {
            record.heard_all();
            break;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Box<dyn Store>, StoreError> {
    Ok(Box::new(Sqlite::open(path)?))
}
