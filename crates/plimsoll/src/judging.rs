//! The judge's clock: twice a second, what was counted for each objective goes to the judge of it.
//!
//! The gateway counts, and knows no objective's target; the judge decides, and knows no clock. They meet here. What an
//! objective asks may change with a reload: if the same is counted and the same is asked, the judge is the same.
//!
//! What this process counts is written down by [`keeping`](crate::keeping), and what others have counted, the one before
//! it among them, comes from there at any time. Of the latest minutes that is what they saw in each second, and all of it
//! together is judged as if one had seen it, so that all who share a store come to the same verdict; minutes of the past
//! are added to a judge who is at work.
//!
//! When this is late by some seconds, nothing is lost: the counters ran on, and what they gained belongs to the second
//! in which they are read.

mod judged;
mod recent;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use gateway::objectives::ObjectiveCounts;
use plimsoll_slo::{Budgeting, Counts, Ladder, Second, Verdict};
use store::{Key, Minute, Remembered, Row};

use self::judged::{Found, Judged, UNWRITTEN_MAX, key, looks_back};
use crate::api::history::{Counted, Past};
use crate::config::{ObjectiveConfig, Watch};
use crate::doubts::Doubtful;
use crate::reading::{FallReading, ObjectiveReading, RiseReading, WatchedReading};
use crate::record::corrections::Corrections;

/// Every objective with its judge.
#[derive(Debug)]
pub(crate) struct Judging {
    judged: Vec<Judged>,
    /// Those that are made of others, with their places among all that are asked.
    composites: Vec<(usize, ObjectiveConfig)>,
    /// This process, among those that share what is written down; `None` if nothing is.
    process: Option<String>,
    /// Judges that there have been. Each has rows of its own, or one that begins anew would take the place of what the
    /// one before it has written.
    begun: u32,
    /// What was counted for those that are gone, and is not written down yet.
    left: Vec<Row>,
    /// A judge is new, and has not heard what was written of late.
    is_new: bool,
}

/// What is asked, and the counters of all of it.
pub(crate) type Asked<'a> = (&'a [ObjectiveConfig], &'a [Arc<ObjectiveCounts>]);

/// What was counted for those that are gone, at most.
const LEFT_MAX: usize = 100_000;

impl Judging {
    /// No objective yet. `process` is its name among those that share what is written down; `None` if nothing is.
    pub(crate) const fn new(process: Option<String>) -> Self {
        Self {
            judged: Vec::new(),
            composites: Vec::new(),
            process,
            begun: 0,
            left: Vec::new(),
            is_new: false,
        }
    }

    /// Judges what was counted since the last time: of each list what is asked, and the counters of it. `wall` is the time
    /// since the Unix epoch.
    pub(crate) fn run_once(&mut self, lists: &[Asked<'_>], wall: Duration) {
        let at = Second(wall.as_secs());
        let counted = lists.iter().flat_map(|(_, counted)| *counted);
        counted.for_each(|counts| counts.record_overdue(wall.as_millis() as u64));
        self.follow(lists, at);
        self.judged.iter_mut().for_each(|judged| judged.run_once(at));
        if self.process.is_none() {
            self.judged.iter_mut().for_each(Judged::keeps_nothing);
        }
    }

    /// Goes by what is asked now, in that order.
    fn follow(&mut self, lists: &[Asked<'_>], at: Second) {
        let mut before = VecDeque::from(std::mem::take(&mut self.judged));
        let counted = lists.iter().flat_map(|(_, counted)| *counted);
        let counted: HashMap<&str, &Arc<ObjectiveCounts>> =
            counted.map(|counts| (&*counts.name, counts)).collect();
        let asked = lists.iter().flat_map(|(asked, _)| *asked);
        let composites = asked
            .clone()
            .enumerate()
            .filter(|(_, asked)| !asked.members.is_empty());
        let composites: Vec<(usize, &ObjectiveConfig)> = composites.collect();
        if !composites
            .iter()
            .copied()
            .eq(self.composites.iter().map(|(place, asked)| (*place, asked)))
        {
            self.composites = composites
                .into_iter()
                .map(|(place, asked)| (place, asked.clone()))
                .collect();
        }
        let pairs = asked.filter_map(|asked| Some((asked, *counted.get(&*asked.name)?)));
        for (asked, counts) in pairs {
            // The same is counted, by the same counters.
            let same = |judged: &Judged| judged.kept.key == key(asked) && Arc::ptr_eq(&judged.counts, counts);
            // Usually they are those of before, in their order.
            let old = before.iter().position(same).and_then(|old| before.remove(old));
            let judged = match old {
                // What is known belongs to other minutes, if the clock has jumped; but it is all there is if none is kept.
                Some(old) if self.process.is_none() || !old.is_astray(at) && !old.is_outlooked_by(asked) => {
                    old.asked(asked)
                }
                // What is written down is read.
                old => {
                    self.begun += 1;
                    self.is_new = true;
                    let process = self.process.as_deref().unwrap_or_default();
                    let instance = format!("{process}-{}", self.begun);
                    let mut judged = Judged::new(asked.clone(), Arc::clone(counts), at, instance.into());
                    before.extend(old);
                    if let Some(other) = before.iter().find(|other| Arc::ptr_eq(&other.counts, counts)) {
                        judged.looks_from(other);
                    }
                    judged
                }
            };
            self.judged.push(judged);
        }
        if self.process.is_some() {
            self.left.extend(before.iter().flat_map(Judged::unwritten));
            self.left.truncate(LEFT_MAX);
        }
    }

    /// The second that was judged last, if anything is asked.
    pub(crate) fn latest(&self) -> Option<Second> {
        self.judged.iter().filter_map(|judged| judged.at).max()
    }

    /// How far back the one looks that looks farthest.
    pub(crate) fn looks_back(&self) -> Duration {
        let all = self.judged.iter().map(|judged| looks_back(&judged.asked));
        all.max().unwrap_or_default()
    }

    /// What is said of each objective by now.
    pub(crate) fn reading(&self, ladder: &Ladder) -> Vec<ObjectiveReading> {
        let objectives = self
            .judged
            .iter()
            .filter(|judged| judged.asked.watch == Watch::Target);
        let mut readings: Vec<_> = objectives.map(|judged| judged.reading(ladder)).collect();
        for (place, asked) in &self.composites {
            if let Some(reading) = composite(asked, &readings, ladder) {
                readings.insert((*place).min(readings.len()), reading);
            }
        }
        readings
    }

    /// What is known of what has no target and is watched.
    pub(crate) fn watched(&self) -> WatchedReading {
        let mut watched = WatchedReading::default();
        for judged in &self.judged {
            let name = Arc::clone(&judged.asked.name);
            match (&judged.asked.watch, judged.found) {
                (Watch::Callers, Found::Rising(rising)) => watched.rises.push(RiseReading { name, rising }),
                (Watch::Figure { measure, .. }, Found::Falling(falling)) => watched.falls.push(FallReading {
                    name,
                    measure: *measure,
                    vantage: judged.asked.vantage,
                    runbook: judged.asked.runbook.clone(),
                    falling,
                }),
                _ => {}
            }
        }
        watched
    }

    /// What an objective has spent in its window or period.
    pub(crate) fn past(&self, name: &str) -> Option<Past> {
        let judged = self.judged.iter().find(|judged| *judged.asked.name == *name)?;
        let verdict = judged.judge.verdict();
        let (from, to) = looked_at(&verdict);
        Some(Past {
            from,
            to,
            allowed: verdict.forecast.unwrap_or(verdict.budget).allowed,
            minutes: judged.judge.spent().collect(),
            is_corrected: verdict.as_counted.is_some(),
        })
    }

    /// The minutes that an objective looks back, as they were counted, if its budget is a share of events.
    pub(crate) fn counted(&self, name: &str) -> Option<Counted> {
        let judged = self.judged.iter().find(|judged| *judged.asked.name == *name)?;
        let objective = judged.asked.objective;
        let verdict = judged.judge.verdict();
        let (from, _) = looked_at(&verdict);
        let minutes = judged
            .judge
            .past()
            .filter(|(minute, _, measured)| *minute >= from && *measured > 0);
        (objective.budgeting == Budgeting::Occurrences).then(|| Counted {
            objective,
            minutes: minutes.map(|(minute, counts, _)| (minute, counts)).collect(),
        })
    }

    /// The names of all that is judged or watched.
    pub(crate) fn names(&self) -> impl Iterator<Item = Arc<str>> + '_ {
        let judged = self.judged.iter().map(|judged| &judged.asked.name);
        let composites = self.composites.iter().map(|(_, asked)| &asked.name);
        judged.chain(composites).cloned()
    }

    /// What is doubtful about each objective, by what was measured.
    pub(crate) fn doubts(&self) -> Vec<Doubtful> {
        let objectives = self
            .judged
            .iter()
            .filter(|judged| judged.asked.watch == Watch::Target);
        let doubts = objectives.flat_map(|judged| {
            judged.judge.doubts().into_iter().map(|doubt| Doubtful {
                objective: Arc::clone(&judged.asked.name),
                word: doubt.word(),
                says: doubt.to_string(),
            })
        });
        doubts.collect()
    }

    /// When that began for which an objective calls somebody.
    pub(crate) fn began(&self, name: &str) -> Option<Second> {
        let judged = self.judged.iter().find(|judged| *judged.asked.name == *name)?;
        judged.judge.began()
    }

    /// These are the corrections that hold: by objective.
    pub(crate) fn correct(&mut self, corrections: &Corrections) {
        for judged in &mut self.judged {
            judged.judge.correct(corrections.of(&judged.asked.name));
        }
    }

    /// What this process has counted and is not written down yet.
    pub(crate) fn unwritten(&self) -> Vec<Row> {
        let judged = self.judged.iter().filter(|_| self.process.is_some());
        let left = self.left.iter().cloned();
        left.chain(judged.flat_map(Judged::unwritten)).collect()
    }

    /// That was written down.
    pub(crate) fn wrote(&mut self, rows: &[Row]) {
        self.left.retain(|left| !rows.contains(left));
        for row in rows {
            for judged in self.of(&row.instance) {
                judged.wrote(&row.minute);
            }
        }
    }

    /// What others than this instance are to be asked about, and from which minute on.
    pub(crate) fn wanted(&self) -> Vec<(Arc<str>, Key, u64)> {
        let kept = self.judged.iter().map(|judged| &judged.kept);
        kept.filter_map(|kept| Some((Arc::clone(&kept.instance), kept.key.clone(), kept.unread?)))
            .collect()
    }

    /// What others than this instance have counted, by what they wrote down.
    pub(crate) fn heard(&mut self, instance: &str, minutes: &[Minute]) {
        for judged in self.of(instance) {
            judged.heard(minutes);
        }
    }

    /// Which process this is, in the names of those that count here; `None` if a judge is new, and has to hear what
    /// others have counted here before it. What was written of late is to be asked for from the beginning then.
    pub(crate) fn hears_but(&mut self) -> Option<String> {
        let process = self.process.as_ref()?;
        (!std::mem::take(&mut self.is_new)).then(|| format!("{process}-"))
    }

    /// All that was written of late is to be asked for again.
    pub(crate) const fn hear_anew(&mut self) {
        self.is_new = true;
    }

    /// What was written of late, by anybody.
    pub(crate) fn heard_lately(&mut self, rows: &[Row]) {
        let mut places: HashMap<&Key, usize> = HashMap::new();
        let mut new = BTreeSet::new();
        if !rows.is_empty() {
            // No two are of one key: their names differ.
            places.extend(
                (0..)
                    .zip(&self.judged)
                    .map(|(place, judged)| (&judged.kept.key, place)),
            );
        }
        let of_ours = rows.iter().filter_map(|row| Some((*places.get(&row.key)?, row)));
        let of_ours: Vec<_> = of_ours.collect();
        for (place, row) in of_ours {
            if self.judged[place].heard_lately(row) {
                new.insert((place, row.minute.minute));
            }
        }
        for (place, minute) in new {
            self.judged[place].revise(minute);
        }
    }

    /// What evidence had come to, to be kept for others and for the next process.
    pub(crate) fn evidence(&self) -> Vec<Remembered> {
        self.judged.iter().filter_map(Judged::evidence).collect()
    }

    /// What evidence had come to by others who have looked for longer.
    pub(crate) fn believe(&mut self, found: &[Remembered]) {
        let by_key: HashMap<&Key, Vec<&Remembered>> = found.iter().fold(HashMap::new(), |mut by_key, one| {
            by_key.entry(&one.key).or_insert_with(Vec::new).push(one);
            by_key
        });
        for judged in &mut self.judged {
            for found in by_key.get(&judged.kept.key).into_iter().flatten() {
                judged.believe(found);
            }
        }
    }

    /// Others are to be asked about all of the last day, of which they may have written something late.
    pub(crate) fn ask_others(&mut self, minute: u64) {
        let from = minute.saturating_sub(UNWRITTEN_MAX as u64);
        self.judged.iter_mut().for_each(|judged| judged.ask_others(from));
    }

    fn of<'a>(&'a mut self, instance: &'a str) -> impl Iterator<Item = &'a mut Judged> {
        let judged = self.judged.iter_mut();
        judged.filter(move |judged| *judged.kept.instance == *instance)
    }
}

/// The first minute of the window or period, and the one that goes on.
fn looked_at(verdict: &Verdict) -> (u64, u64) {
    let to = verdict.as_of.minute();
    let length = verdict.objective.window.length().as_secs() / 60;
    let rolls_from = (to + 1).saturating_sub(length);
    (verdict.period.map_or(rolls_from, |period| period.from), to)
}

/// What is said of one that is made of others, by what is said of those.
fn composite(asked: &ObjectiveConfig, all: &[ObjectiveReading], ladder: &Ladder) -> Option<ObjectiveReading> {
    let members = asked.members.iter().filter_map(|(name, weight)| {
        let member = all.iter().find(|reading| reading.name == *name)?;
        Some((&member.verdict, *weight))
    });
    let verdict = Verdict::composite(asked.objective, &members.collect::<Vec<_>>())?;
    Some(ObjectiveReading {
        name: Arc::clone(&asked.name),
        window: Arc::clone(&asked.window),
        runbook: asked.runbook.clone(),
        vantage: asked.vantage,
        sampling: asked.sampling,
        rung: ladder.rung(verdict.left()),
        verdict,
        counted: Counts::default(),
        members: Arc::clone(&asked.members),
    })
}

#[cfg(test)]
mod tests;
