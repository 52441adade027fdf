//! What was counted is written down every second, and read when an objective is new to this process.
//!
//! It has a thread of its own: a disk that does not answer holds up nobody. What cannot be written is kept, up to
//! [`judging`](crate::judging)'s bound, and written when that is possible again; what cannot be read is asked for again.
//! Meanwhile everything is counted and judged in memory, and coverage says what is missing.
//!
//! Several processes may share a file, as two do in an upgrade. Each writes rows of its own, and once a minute reads
//! what the others have counted in the last few.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use store::{Sqlite, Store, StoreError};

use crate::instance::Parts;
use crate::journal::Value;

/// How often it is written: what a killed process loses is at most as much.
const EVERY: Duration = Duration::from_secs(1);
/// How long the last of it may take.
const ENDING_MAX: Duration = Duration::from_secs(3);
/// How often the others are asked, and minutes are forgotten.
const OTHERS_EVERY: u64 = 60;
const FORGET_EVERY: u64 = 3_600;
/// The farthest that any objective looks back, and a day.
const KEPT_MINUTES: u64 = 93 * 1_440;

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
    /// This process, among those that share the file.
    instance: String,
    store: Option<Box<dyn Store>>,
    /// Whether the last time went wrong: that is told once.
    failing: bool,
    /// When, in seconds since the Unix epoch, the others were asked and minutes were forgotten.
    others_at: u64,
    forgot_at: u64,
}

impl Keeping {
    fn new(path: PathBuf, parts: &Parts) -> Self {
        let env = parts.gateway.env();
        let instance = format!("{}-{}", env.wall().as_millis(), std::process::id());
        Self {
            path,
            instance,
            store: None,
            failing: false,
            others_at: 0,
            forgot_at: 0,
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
        let now = parts.gateway.env().wall().as_secs();
        let store = match &mut self.store {
            Some(store) => store,
            none => none.insert(open(&self.path)?),
        };
        let judging = || parts.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = judging().unwritten();
        store.write(&self.instance, &rows)?;
        judging().wrote(&rows);
        let wanted = judging().unread();
        for (key, from) in wanted {
            let minutes = store.others(&self.instance, &key, from)?;
            judging().heard(&key, &minutes);
        }
        if now >= self.others_at + OTHERS_EVERY {
            judging().ask_others(now / 60);
            self.others_at = now;
        }
        if now >= self.forgot_at + FORGET_EVERY {
            store.forget((now / 60).saturating_sub(KEPT_MINUTES))?;
            self.forgot_at = now;
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

fn open(path: &Path) -> Result<Box<dyn Store>, StoreError> {
    Ok(Box::new(Sqlite::open(path)?))
}
