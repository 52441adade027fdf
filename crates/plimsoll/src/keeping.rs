//! What was counted is written down whenever it was judged, and read when an objective is new to this process.
//!
//! It has a thread of its own: a disk or a database that does not answer holds up nobody. What cannot be written is kept,
//! up to [`judging`](crate::judging)'s bound, and written when that is possible again; what cannot be read is asked for
//! again. Meanwhile everything is counted and judged in memory, and coverage says what is missing.
//!
//! Alerts, incidents and what people did are kept in the same way, as the facts of the [`record`](crate::record).
//!
//! Several processes may share a store: two a file, as in an upgrade, and many a database. Each writes rows of its own,
//! and reads what the others have written since it last did. Once a minute they leave each other what evidence had come
//! to, for those who come later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use anyhow::Context;
use plimsoll_slo::Instant;
use store::{Postgres, Shared, Sqlite, Store, StoreError};

use crate::config::secrets::{Secret, TokenSource};
use crate::config::{CLIENT_ERRORS, StatePlace};
use crate::instance::Parts;
use crate::journal::Value;
use crate::judging::Judging;
use crate::record::Record;
use crate::rollout::{LED_FOR, sharing};

/// How often it is written if nobody says that there is something: a killed process loses what was counted since.
const EVERY: Duration = Duration::from_secs(1);
/// It rests so many times as long as it was at work, so that a store with much to do is not kept busy.
const RESTS: u32 = 4;
/// How long it reads what others have counted before it writes again. Of many objectives that takes longer, at a start;
/// the rest is read in the next rounds, which do not wait.
const READ_MAX: Duration = Duration::from_millis(250);
/// How long the last of it may take.
const ENDING_MAX: Duration = Duration::from_secs(5);
/// How often evidence is exchanged, and how often minutes are forgotten.
const EVIDENCE_EVERY: Duration = Duration::from_mins(1);
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// Minutes for which what was written is of late: those that can be judged by the second, and some to read them in.
const LATELY: usize = 20;
/// The farthest that any window slides back, and a day: what is written now may be asked for by an objective of tomorrow.
const KEPT_MINUTES: u64 = 93 * 1_440;

/// Minutes for which it is known who has counted what. Nobody writes later than a day.
const APART_MINUTES: u64 = 2 * 1_440;
/// Hours that are added up at once: usually it is one, and more after a copy was put back.
const HOURS_MAX: usize = 24;

/// A year of alerts, incidents and what people did, and a month to look back over it.
const KEPT_FACTS: u64 = 400 * 1_440;
/// Facts that are written or read at once, and how often that is done before counting is seen to again.
const FACTS_MAX: usize = 500;
const ROUNDS_MAX: usize = 20;

/// The thread that keeps. When this is dropped it writes what is left, and ends.
#[derive(Debug)]
pub(crate) struct Keeper {
    thread: Thread,
    /// Nothing is ever sent by it: that it is gone is the message.
    alive: Option<Sender<()>>,
    /// The same of the thread.
    working: Receiver<()>,
}

impl Keeper {
    /// Begins to keep there what `parts` judge.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(place: StatePlace, parts: &Arc<Parts>) -> anyhow::Result<Self> {
        let ((alive, ended), (works, working)) = (channel(), channel());
        let its_parts = Arc::clone(parts);
        let thread = std::thread::Builder::new().name("state".to_owned());
        let run = move || {
            let _works: Sender<()> = works;
            Keeping::new(place, &its_parts).run(&its_parts, &ended);
        };
        let started = thread
            .spawn(run)
            .context("starting the thread that keeps the state")?;
        let thread = started.thread().clone();
        // It is told when something was judged.
        _ = parts.keeper.set(thread.clone());
        Ok(Self {
            thread,
            alive: Some(alive),
            working,
        })
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.alive.take());
        self.thread.unpark();
        // Ready when the thread has ended; a disk that does not answer is not waited for.
        _ = self.working.recv_timeout(ENDING_MAX);
    }
}

struct Keeping {
    place: StatePlace,
    store: Option<Box<dyn Store>>,
    /// Whether the last time went wrong: that is told once.
    failing: bool,
    /// Not all was read that is wanted.
    is_behind: bool,
    /// Up to where it was read what others have written, and where that was a minute ago, two, and so on.
    heard_to: u64,
    marks: VecDeque<u64>,
    /// What this process has left of changes, by their parts: how much it was.
    left: BTreeMap<(Arc<str>, u32), u64>,
    /// When evidence was exchanged.
    exchanged_at: Option<Instant>,
    /// When minutes were forgotten: not in the first hour, in which a clock may yet be set.
    forgot_at: Instant,
}

impl Keeping {
    fn new(place: StatePlace, parts: &Parts) -> Self {
        Self {
            place,
            store: None,
            failing: false,
            is_behind: false,
            heard_to: 0,
            marks: VecDeque::new(),
            left: BTreeMap::new(),
            exchanged_at: None,
            forgot_at: parts.gateway.env().now(),
        }
    }

    fn run(mut self, parts: &Parts, ended: &Receiver<()>) {
        let env = parts.gateway.env();
        let mut rest = Duration::ZERO;
        let has_ended = || ended.try_recv() == Err(TryRecvError::Disconnected);
        loop {
            let begun = env.now();
            while env.now().since(begun) < rest && !has_ended() {
                std::thread::park_timeout(rest);
            }
            if !has_ended() && !self.is_behind {
                std::thread::park_timeout(EVERY);
            }
            let ends = has_ended();
            let begun = env.now();
            let kept = self.run_once(parts);
            // After an error it waits.
            self.is_behind &= kept.is_ok();
            self.tell(parts, kept);
            if ends {
                return;
            }
            rest = (RESTS * env.now().since(begun)).min(10 * EVERY);
            if self.is_behind {
                rest = Duration::ZERO;
            }
        }
    }

    /// Writes what is new, and reads what is wanted.
    fn run_once(&mut self, parts: &Parts) -> Result<(), StoreError> {
        self.is_behind = false;
        let store = match &mut self.store {
            Some(store) => store,
            none => {
                let opened = none.insert(open(&self.place)?);
                parts.record.hear_anew();
                judging(parts).hear_anew();
                (self.heard_to, self.exchanged_at) = (0, None);
                self.marks.clear();
                self.left.clear();
                opened
            }
        };
        let rows = judging(parts).unwritten();
        store.write(&rows)?;
        judging(parts).wrote(&rows);
        keep_facts(store.as_mut(), &parts.record)?;
        keep_changes(store.as_mut(), parts, &mut self.left)?;
        let env = parts.gateway.env();
        let (wanted, begun) = (judging(parts).wanted(), env.now());
        for (instance, key, from) in wanted {
            if env.now().since(begun) > READ_MAX {
                self.is_behind = true;
                break;
            }
            let minutes = store.others(&instance, &key, from)?;
            judging(parts).heard(&instance, &minutes);
        }
        let but = judging(parts).hears_but();
        if but.is_none() {
            (self.heard_to, self.exchanged_at) = (0, None);
        }
        let (lately, to) = store.lately(but.as_deref(), self.heard_to)?;
        judging(parts).heard_lately(&lately);
        self.heard_to = to;
        self.keep_evidence(parts)?;
        self.forget(parts)
    }

    /// Leaves what evidence had come to, and takes up what others have left.
    fn keep_evidence(&mut self, parts: &Parts) -> Result<(), StoreError> {
        let now = parts.gateway.env().now();
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if self.exchanged_at.is_some_and(|at| now.since(at) < EVIDENCE_EVERY) {
            return Ok(());
        }
        let found = store.remembered()?;
        judging(parts).believe(&found);
        let evidence = judging(parts).evidence();
        if !evidence.is_empty() {
            store.remember(&evidence)?;
        }
        self.exchanged_at = Some(now);
        // About as many as there are minutes.
        self.marks.push_back(self.heard_to);
        if self.marks.len() > LATELY
            && let Some(mark) = self.marks.pop_front()
        {
            store.pass(mark)?;
        }
        Ok(())
    }

    /// Forgets what is too old, and adds up what is old, once an hour.
    fn forget(&mut self, parts: &Parts) -> Result<(), StoreError> {
        let env = parts.gateway.env();
        let (now, minute) = (env.now(), env.wall().as_secs() / 60);
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        if now.since(self.forgot_at) < FORGET_EVERY {
            return Ok(());
        }
        judging(parts).ask_others(minute);
        // A calendar year is longer than anything slides.
        let looked_back = judging(parts).looks_back().as_secs() / 60;
        store.forget(minute.saturating_sub(KEPT_MINUTES.max(looked_back)))?;
        store.forget_counted(CLIENT_ERRORS, minute.saturating_sub(APART_MINUTES))?;
        // A version that was promoted is what runs, however long ago that was.
        let in_force: Vec<String> = parts.record.read(|state| {
            let in_force = state.changes.machine.in_force();
            in_force.map(|standing| standing.change.id.clone()).collect()
        });
        let kept: Vec<&str> = in_force.iter().map(String::as_str).collect();
        store.forget_facts(60_000 * minute.saturating_sub(KEPT_FACTS), &kept)?;
        for _ in 0..HOURS_MAX {
            if !store.add_up(minute.saturating_sub(APART_MINUTES))? {
                break;
            }
        }
        for _ in 0..HOURS_MAX {
            if !store.thin_out(minute.saturating_sub(KEPT_MINUTES))? {
                break;
            }
        }
        self.forgot_at = now;
        Ok(())
    }

    fn tell(&mut self, parts: &Parts, kept: Result<(), StoreError>) {
        parts.state_failing.store(kept.is_err(), Relaxed);
        let place = self.place.to_string();
        let file = ("where", Value::from(&*place));
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

/// Leads if it can, writes what only the lead may say, and exchanges what was counted of changes that are on their way.
fn keep_changes(
    store: &mut dyn Store,
    parts: &Parts,
    left: &mut BTreeMap<(Arc<str>, u32), u64>,
) -> Result<(), StoreError> {
    let is_going = |id: &str| {
        parts.record.read(|state| {
            let standing = state.changes.machine.get(id);
            // One of which nothing was heard yet may be.
            standing.map_or(!state.is_whole, |standing| !standing.phase().is_over())
        })
    };
    let is_any = parts
        .record
        .read(|state| state.changes.machine.all().any(|one| !one.phase().is_over()));
    let led = parts.record.led();
    if !is_any && led.is_empty() && left.is_empty() {
        return Ok(());
    }
    let (env, me) = (parts.gateway.env(), parts.record.author());
    let now = env.wall().as_millis() as u64;
    let fence = store.lead(me, now, now + LED_FOR)?;
    if !led.is_empty() {
        let holds = match fence.map(|fence| store.note_leading(fence, &led)) {
            // What is too long would be in the way of all that come after it.
            None | Some(Err(StoreError::TooLong(_))) => false,
            Some(noted) => noted?,
        };
        parts.record.settle_led(&led, holds);
    }
    let splits = &parts.gateway.running().splits;
    let rows = splits
        .iter()
        .flat_map(|split| sharing::rows(&split.plan.change, me, &split.readings()));
    let rows = rows.filter(|row| left.get(&(Arc::clone(&row.about), row.part)) != Some(&row.said));
    let rows: Vec<Shared> = rows.filter(|row| is_going(&row.about)).collect();
    store.share(&rows)?;
    for row in rows {
        left.insert((row.about, row.part), row.said);
    }
    let others = store.shared(me)?;
    let mut known: Vec<Arc<str>> = left.keys().map(|(about, _)| Arc::clone(about)).collect();
    known.extend(others.iter().map(|row| Arc::clone(&row.about)));
    known.sort();
    known.dedup();
    for over in known.iter().filter(|about| !is_going(about)) {
        store.unshare(over)?;
        left.retain(|(about, _), _| about != over);
    }
    let mut rollouts = parts.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
    rollouts.heard(sharing::read(&others), fence.is_some(), env.now());
    Ok(())
}

fn judging(parts: &Parts) -> MutexGuard<'_, Judging> {
    parts.judging.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(place: &StatePlace) -> Result<Box<dyn Store>, StoreError> {
    let config = match place {
        StatePlace::File(path) => return Ok(Box::new(Sqlite::open(path)?)),
        StatePlace::Database(config) => config,
    };
    // What is in files is read anew each time: it may have been renewed.
    let password = config.password.as_ref().map(TokenSource::read).transpose();
    let password = password.map_err(|error| StoreError::Open(error.into()))?;
    let tls = gateway::tls_client(&config.tls).map_err(|error| StoreError::Open(error.into()))?;
    let password = password.as_ref().map(Secret::to_send);
    Ok(Box::new(Postgres::open(&config.database, password, tls)?))
}
