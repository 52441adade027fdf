//! What happened and must not be forgotten: alerts, incidents, silences, corrections, changes, and what people did.
//!
//! Everything here is said as a fact that is never changed ([`Entry`]), and what there is follows from all facts by a
//! fold ([`State`]). So a process that begins, another node that shares the store, and a store that was away for an hour
//! need no rule of their own: whoever hears a fact applies it once. What two processes say alike has the same id, and is
//! one fact.
//!
//! A fact takes effect here at once, and is written down a little later by [`keeping`](crate::keeping). Without a store
//! it is forgotten with the process.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod changes;
pub(crate) mod corrections;
pub(crate) mod entry;
pub(crate) mod freezes;
pub(crate) mod incidents;
pub(crate) mod silences;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use store::Fact;

use crate::rollout;

use self::alerts::Alerts;
use self::audit::Audit;
use self::changes::Changes;
use self::corrections::Corrections;
pub(crate) use self::entry::{Entry, Said};
use self::freezes::Freezes;
use self::incidents::Incidents;
use self::silences::Silences;

/// Facts that may wait to be written: more than come in a day in which the store is away, in a few megabytes.
const UNWRITTEN_MAX: usize = 10_000;
/// What waits to be written by the lead: a word of each change.
const LED_MAX: usize = 100;
/// Ids that are known to have been heard, and facts that are remembered as they were said.
const IDS_MAX: usize = 50_000;
const LATEST_MAX: usize = 1_000;

/// See the module's header. All who share a process share one.
#[derive(Debug)]
pub(crate) struct Record {
    author: Arc<str>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    known: HashSet<Arc<str>>,
    /// The ids that are known, the oldest first.
    order: VecDeque<Arc<str>>,
    unwritten: VecDeque<Entry>,
    /// What holds only if it is written by whoever leads: until then it was not said.
    led: VecDeque<Entry>,
    /// There is a store.
    is_kept: bool,
    /// Facts that were never written, for want of room.
    lost: u64,
    said: u64,
    /// Where in the store the next facts of others are.
    heard_to: u64,
}

/// Who said something, for people: processes have names that mean nothing to them.
pub(crate) fn who(author: &str) -> &str {
    match author.strip_prefix(MACHINE) {
        Some(_) => "plimsoll",
        None => author,
    }
}

/// What the name of a process begins with, and that of a person does not.
pub(crate) const MACHINE: &str = "plimsoll/";

/// What follows from all facts.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) alerts: Alerts,
    pub(crate) incidents: Incidents,
    pub(crate) silences: Silences,
    pub(crate) corrections: Corrections,
    pub(crate) changes: Changes,
    pub(crate) freezes: Freezes,
    pub(crate) audit: Audit,
    /// The latest facts of all, the latest last.
    pub(crate) latest: VecDeque<Entry>,
    /// Everything that the store had was heard, or there is none.
    pub(crate) is_whole: bool,
}

impl State {
    fn apply(&mut self, entry: &Entry) {
        self.alerts.apply(entry);
        self.changes.apply(entry);
        self.freezes.apply(entry);
        self.incidents.apply(entry, &self.alerts, &self.changes);
        self.silences.apply(entry);
        self.corrections.apply(entry);
        self.audit.apply(entry);
        // Facts that are heard late are from before, and who looks for the latest looks by time.
        let place = self.latest.partition_point(|before| before.at <= entry.at);
        self.latest.insert(place, entry.clone());
        if self.latest.len() > LATEST_MAX {
            self.latest.pop_front();
        }
    }

    /// What changed in the time before `now`, the latest first: in words, and when.
    pub(crate) fn changes(&self, now: u64, within: Duration) -> impl Iterator<Item = (u64, Cow<'_, str>)> {
        let from = now.saturating_sub(within.as_millis() as u64);
        let latest = self.latest.iter().rev().take_while(move |entry| entry.at >= from);
        latest.filter_map(|entry| match &entry.said {
            Said::Changed { what } => Some((entry.at, Cow::Borrowed(what.as_str()))),
            Said::ChangeWent(said) => {
                let standing = self.changes.machine.get(&entry.about)?;
                Some((entry.at, Cow::Owned(rollout::words::news(standing, said)?)))
            }
            _ => None,
        })
    }
}

impl Record {
    /// Nothing has happened yet. `author` is the name of this process, which no other has that shares a store with it;
    /// `is_kept` if there is a store, from which more is to be heard.
    pub(crate) fn new(author: Arc<str>, is_kept: bool) -> Self {
        let mut inner = Inner::default();
        inner.state.is_whole = !is_kept;
        inner.is_kept = is_kept;
        Self {
            author,
            inner: Mutex::new(inner),
        }
    }

    /// The name of this process.
    pub(crate) fn author(&self) -> &Arc<str> {
        &self.author
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What follows from all that is known.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock().state)
    }

    /// This process says something, under an id of its own; `about` nothing means the fact itself. Returns the id.
    pub(crate) fn say(&self, wall: Duration, about: Option<&str>, said: Said) -> Arc<str> {
        self.say_for(&Arc::clone(&self.author), wall, about, said)
    }

    /// The same in the name of a person.
    pub(crate) fn say_for(
        &self,
        author: &Arc<str>,
        wall: Duration,
        about: Option<&str>,
        said: Said,
    ) -> Arc<str> {
        let mut inner = self.lock();
        inner.said += 1;
        // It stands in addresses, in one segment.
        let process = self.author.strip_prefix(MACHINE).unwrap_or(&self.author);
        let id: Arc<str> = format!("{process}-{}", inner.said).into();
        inner.say(Entry {
            about: about.map_or_else(|| Arc::clone(&id), Into::into),
            id: Arc::clone(&id),
            at: wall.as_millis() as u64,
            author: Arc::clone(author),
            said,
        });
        id
    }

    /// This process says something that others would say in the same words, and under the same id.
    pub(crate) fn say_as(&self, id: &str, wall: Duration, about: &str, said: Said) {
        self.lock().say(Entry {
            id: id.into(),
            at: wall.as_millis() as u64,
            about: about.into(),
            author: Arc::clone(&self.author),
            said,
        });
    }

    /// The same of something that only whoever leads may say: it holds once it is written by the lead, and not before.
    /// Without a store this process leads itself.
    pub(crate) fn say_led(&self, id: &str, wall: Duration, about: &str, said: Said) {
        let entry = Entry {
            id: id.into(),
            at: wall.as_millis() as u64,
            about: about.into(),
            author: Arc::clone(&self.author),
            said,
        };
        let mut inner = self.lock();
        if !inner.is_kept {
            inner.say(entry);
        } else if !inner.known.contains(id) && inner.led.iter().all(|waits| *waits.id != *id) {
            inner.led.push_back(entry);
            if inner.led.len() > LED_MAX {
                inner.led.pop_front();
            }
        }
    }

    /// What waits to be written by the lead.
    pub(crate) fn led(&self) -> Vec<Fact> {
        self.lock().led.iter().map(Entry::to_fact).collect()
    }

    /// What became of it: it holds now, or it was never said.
    pub(crate) fn settle_led(&self, facts: &[Fact], holds: bool) {
        let mut inner = self.lock();
        for fact in facts {
            let Some(place) = inner.led.iter().position(|entry| entry.id == fact.id) else {
                continue;
            };
            let entry = inner.led.remove(place);
            if let Some(entry) = entry.filter(|entry| holds && !inner.known.contains(&entry.id)) {
                inner.apply(&entry);
            }
        }
    }

    /// What is not written yet, the oldest first, up to so many; and how many there are in all.
    pub(crate) fn unwritten(&self, count_max: usize) -> (Vec<Fact>, usize) {
        let inner = self.lock();
        let facts = inner.unwritten.iter().take(count_max).map(Entry::to_fact);
        (facts.collect(), inner.unwritten.len())
    }

    /// So many of those are written.
    pub(crate) fn wrote(&self, facts: &[Fact]) {
        let mut inner = self.lock();
        for fact in facts {
            if inner.unwritten.front().is_some_and(|entry| entry.id == fact.id) {
                inner.unwritten.pop_front();
            }
        }
    }

    /// This one cannot be written.
    pub(crate) fn give_up(&self, id: &str) {
        let mut inner = self.lock();
        let before = inner.unwritten.len();
        inner.unwritten.retain(|entry| *entry.id != *id);
        inner.lost += (before - inner.unwritten.len()) as u64;
    }

    /// Facts that will never be written.
    pub(crate) fn lost(&self) -> u64 {
        self.lock().lost
    }

    /// Where in the store the next facts are.
    pub(crate) fn heard_to(&self) -> u64 {
        self.lock().heard_to
    }

    /// The store is another one, or may be: all that it has is to be heard. What is known changes nothing.
    pub(crate) fn hear_anew(&self) {
        self.lock().heard_to = 0;
    }

    /// All that the store had was heard.
    pub(crate) fn heard_all(&self) {
        self.lock().state.is_whole = true;
    }

    /// What the store has from there on, each fact with its place. What is known already changes nothing, but for who
    /// said it: the first to have it written.
    pub(crate) fn heard(&self, facts: &[(u64, Fact)]) {
        let mut inner = self.lock();
        for (place, fact) in facts {
            inner.heard_to = inner.heard_to.max(*place);
            if inner.known.contains(&fact.id) {
                inner.state.alerts.owned(&fact.id, &fact.author);
            } else if let Some(entry) = Entry::of_fact(fact) {
                inner.apply(&entry);
            }
        }
    }
}

impl Inner {
    fn say(&mut self, entry: Entry) {
        if self.known.contains(&entry.id) {
            return;
        }
        self.apply(&entry);
        self.unwritten.push_back(entry);
        if self.unwritten.len() > UNWRITTEN_MAX {
            self.unwritten.pop_front();
            self.lost += 1;
        }
    }

    fn apply(&mut self, entry: &Entry) {
        self.known.insert(Arc::clone(&entry.id));
        self.order.push_back(Arc::clone(&entry.id));
        if self.order.len() > IDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.state.apply(entry);
    }
}
