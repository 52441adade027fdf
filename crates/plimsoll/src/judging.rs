//! The judge's clock: every second, what was counted for each objective goes to the judge of it.
//!
//! The gateway counts, and knows no objective's target; the judge decides, and knows no clock. They meet here. What an
//! objective asks may change with a reload: if the same is counted and the same is asked, the judge is the same.
//!
//! What this process counts is written down by [`keeping`](crate::keeping), and what others have counted, the one before
//! it among them, comes from there at any time: minutes of the past are added to a judge who is at work.
//!
//! When this is late by some seconds, nothing is lost: the counters ran on, and what they gained belongs to the second
//! in which they are read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway::objectives::ObjectiveCounts;
use plimsoll_slo::{Counts, Judge, Ladder, STEP_MAX, Second, Window};
use store::{Key, Minute, Row};

use crate::api::history::Past;
use crate::config::ObjectiveConfig;
use crate::reading::ObjectiveReading;
use crate::record::corrections::Corrections;

/// Every objective with its judge.
#[derive(Debug)]
pub(crate) struct Judging {
    judged: Vec<Judged>,
    /// This process, among those that share what is written down; `None` if nothing is.
    process: Option<String>,
    /// Judges that there have been. Each has rows of its own, or one that begins anew would take the place of what the
    /// one before it has written.
    begun: u32,
    /// What was counted for those that are gone, and is not written down yet.
    left: Vec<Row>,
}

#[derive(Debug)]
struct Judged {
    asked: ObjectiveConfig,
    counts: Arc<ObjectiveCounts>,
    judge: Judge,
    /// What had been counted when it was last looked.
    before: Counts,
    /// Callers that had failed by then, and the minute that they did so in.
    failed: (u64, u64),
    /// The second that was last judged.
    at: Option<Second>,
    kept: Kept,
}

/// What of an objective is to be written down, and to be read.
#[derive(Debug)]
struct Kept {
    /// Whose rows are its own.
    instance: Arc<str>,
    key: Key,
    /// What this process has counted in each minute that is not written yet as it is, and in the one that goes on.
    own: BTreeMap<u64, Own>,
    /// What others had counted in the latest minutes when they were last asked.
    others: BTreeMap<u64, Minute>,
    /// The minute from which on others are to be asked.
    unread: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Own {
    now: Minute,
    written: Option<Minute>,
}

/// Seconds that may be made up for. After a longer sleep nobody knows what was measured.
const LATE_MAX: u64 = 10;
/// Minutes that may wait to be written: a day in which the disk is full.
const UNWRITTEN_MAX: usize = 1_440;
/// The same of judges that are gone.
const LEFT_MAX: usize = 100_000;
/// Minutes that others are asked about again: they count in the latest, and may have written all of a day late.
const OTHERS_LATE: [u64; 2] = [5, UNWRITTEN_MAX as u64];

impl Judging {
    /// No objective yet. `process` is its name among those that share what is written down; `None` if nothing is.
    pub(crate) const fn new(process: Option<String>) -> Self {
        Self {
            judged: Vec::new(),
            process,
            begun: 0,
            left: Vec::new(),
        }
    }

    /// Judges what was counted since the last time. `wall` is the time since the Unix epoch.
    pub(crate) fn run_once(
        &mut self,
        asked: &[ObjectiveConfig],
        counted: &[Arc<ObjectiveCounts>],
        wall: Duration,
    ) {
        let at = Second(wall.as_secs());
        self.follow(asked, counted, at);
        self.judged.iter_mut().for_each(|judged| judged.run_once(at));
        if self.process.is_none() {
            self.judged.iter_mut().for_each(|judged| judged.kept.own.clear());
        }
    }

    /// Goes by what is asked now, in that order.
    fn follow(&mut self, asked: &[ObjectiveConfig], counted: &[Arc<ObjectiveCounts>], at: Second) {
        let mut before = std::mem::take(&mut self.judged);
        let pairs = asked.iter().filter_map(|asked| {
            let counts = counted.iter().find(|counts| counts.name == asked.name)?;
            Some((asked, counts))
        });
        for (asked, counts) in pairs {
            // The same is counted, by the same counters.
            let same = |judged: &Judged| judged.kept.key == key(asked) && Arc::ptr_eq(&judged.counts, counts);
            let old = before.iter().position(same).map(|old| before.swap_remove(old));
            let judged = match old {
                // What is known belongs to other minutes, if the clock has jumped; but it is all there is if none is kept.
                Some(old) if self.process.is_none() || !old.is_astray(at) && !old.is_outlooked_by(asked) => {
                    old.asked(asked)
                }
                // What is written down is read.
                old => {
                    self.begun += 1;
                    let process = self.process.as_deref().unwrap_or_default();
                    let instance = format!("{process}-{}", self.begun);
                    let mut judged = Judged::new(asked.clone(), Arc::clone(counts), at, instance.into());
                    if let Some(old) = old {
                        // Nobody has judged what was counted since.
                        (judged.before, judged.failed) = (old.before, old.failed);
                        before.push(old);
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
        self.judged.iter().map(|judged| judged.reading(ladder)).collect()
    }

    /// What an objective has spent in its window or period.
    pub(crate) fn past(&self, name: &str) -> Option<Past> {
        let judged = self.judged.iter().find(|judged| *judged.asked.name == *name)?;
        let verdict = judged.judge.verdict();
        let to = verdict.as_of.minute();
        let length = verdict.objective.window.length().as_secs() / 60;
        Some(Past {
            from: verdict
                .period
                .map_or_else(|| (to + 1).saturating_sub(length), |period| period.from),
            to,
            allowed: verdict.forecast.unwrap_or(verdict.budget).allowed,
            minutes: judged.judge.spent().collect(),
            is_corrected: verdict.as_counted.is_some(),
        })
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

    /// Others are to be asked about the latest minutes, in which they may have counted since; or about all of the last
    /// day.
    pub(crate) fn ask_others(&mut self, minute: u64, of_a_day: bool) {
        let from = minute.saturating_sub(OTHERS_LATE[usize::from(of_a_day)]);
        for judged in &mut self.judged {
            let unread = &mut judged.kept.unread;
            *unread = Some(unread.map_or(from, |asked| asked.min(from)));
        }
    }

    fn of<'a>(&'a mut self, instance: &'a str) -> impl Iterator<Item = &'a mut Judged> {
        let judged = self.judged.iter_mut();
        judged.filter(move |judged| *judged.kept.instance == *instance)
    }
}

/// Tells a judge which period it is.
fn turn(judge: &mut Judge, asked: &ObjectiveConfig, at: Second) {
    let calendar = asked.calendar.as_ref();
    if let Some(period) = calendar.and_then(|calendar| calendar.period(at)) {
        judge.turn(period);
    }
}

fn key(asked: &ObjectiveConfig) -> Key {
    Key {
        objective: Arc::clone(&asked.name),
        counted: Arc::clone(&asked.counted),
    }
}

/// How far back an objective looks: the whole of a period, which may have begun so long ago, and what it is forecast by.
fn looks_back(asked: &ObjectiveConfig) -> Duration {
    match asked.objective.window {
        Window::Rolling(last) => last,
        Window::Calendar(length) => (length * 11 / 10).max(Duration::from_hours(29 * 24)),
    }
}

impl Judged {
    fn new(asked: ObjectiveConfig, counts: Arc<ObjectiveCounts>, at: Second, instance: Arc<str>) -> Self {
        let looks_back = looks_back(&asked).as_secs().div_ceil(60);
        Self {
            judge: Judge::new(asked.objective),
            before: counts.counts(),
            failed: (0, counts.callers().count()),
            kept: Kept {
                instance,
                key: key(&asked),
                own: BTreeMap::new(),
                others: BTreeMap::new(),
                unread: Some(at.minute().saturating_sub(looks_back)),
            },
            asked,
            counts,
            at: None,
        }
    }

    /// The clock is not where it was.
    fn is_astray(&self, at: Second) -> bool {
        self.at.is_some_and(|last| last.0.abs_diff(at.0) > STEP_MAX)
    }

    /// What is asked now looks farther back than anything in memory does.
    fn is_outlooked_by(&self, asked: &ObjectiveConfig) -> bool {
        looks_back(asked) > looks_back(&self.asked)
    }

    /// If something else is asked of the same counts, what is known is judged anew.
    fn asked(self, asked: &ObjectiveConfig) -> Self {
        if self.asked == *asked {
            return self;
        }
        let mut judge = Judge::new(asked.objective);
        for (minute, counts, measured) in self.judge.past() {
            judge.restore(minute, counts, measured);
        }
        if let Some(at) = self.at {
            turn(&mut judge, asked, at);
        }
        Self {
            asked: asked.clone(),
            judge,
            ..self
        }
    }

    fn reading(&self, ladder: &Ladder) -> ObjectiveReading {
        let verdict = self.judge.verdict();
        ObjectiveReading {
            rung: ladder.rung(verdict.left()),
            counted: self.before,
            name: Arc::clone(&self.asked.name),
            window: Arc::clone(&self.asked.window),
            runbook: self.asked.runbook.clone(),
            vantage: self.asked.vantage,
            verdict,
        }
    }

    /// Judges up to this second.
    fn run_once(&mut self, at: Second) {
        // As the judge has it: what comes for a second that has passed is counted in the newest.
        let at = self.at.map_or(at, |last| last.max(at));
        if self.at.is_none_or(|last| last.minute() != at.minute()) {
            turn(&mut self.judge, &self.asked, at);
        }
        if let Some(last) = self.at.filter(|last| at.0.saturating_sub(last.0) <= LATE_MAX) {
            (last.0 + 1..at.0).for_each(|second| self.second(Second(second), Counts::default(), 0));
        }
        let (counts, failed) = (self.counts.counts(), self.counts.callers().count());
        let gained = Counts {
            good: counts.good - self.before.good,
            bad: counts.bad - self.before.bad,
        };
        self.second(at, gained, failed.saturating_sub(self.failed.1));
        (self.before, self.failed.1, self.at) = (counts, failed, Some(at));
        if at.minute() != self.failed.0 {
            self.counts.forget_callers();
            self.failed = (at.minute(), 0);
        }
    }

    fn second(&mut self, at: Second, counts: Counts, callers: u64) {
        self.judge.second(at, counts, callers);
        let nothing = Own {
            now: Minute {
                minute: at.minute(),
                counts: Counts::default(),
                measured: 0,
            },
            written: None,
        };
        let own = self.kept.own.entry(at.minute()).or_insert(nothing);
        own.now.counts.good += counts.good;
        own.now.counts.bad += counts.bad;
        // A second that came twice, since the clock stepped, was measured once.
        if self.at != Some(at) {
            own.now.measured = (own.now.measured + 1).min(60);
        }
        if self.kept.own.len() > UNWRITTEN_MAX {
            self.kept.own.pop_first();
        }
    }

    /// A minute in which nothing happens is written once it is over.
    fn unwritten(&self) -> impl Iterator<Item = Row> {
        let goes_on = self.at.map_or(0, Second::minute);
        let own = self.kept.own.values();
        own.filter(move |own| match own.written {
            None => true,
            Some(written) if own.now.minute >= goes_on => written.counts != own.now.counts,
            Some(written) => written != own.now,
        })
        .map(|own| Row {
            instance: Arc::clone(&self.kept.instance),
            key: self.kept.key.clone(),
            minute: own.now,
        })
    }

    fn wrote(&mut self, minute: &Minute) {
        let goes_on = self.at.map_or(0, Second::minute);
        if let Some(own) = self.kept.own.get_mut(&minute.minute) {
            own.written = Some(*minute);
        }
        self.kept
            .own
            .retain(|at, own| *at >= goes_on || own.written != Some(own.now));
    }

    fn heard(&mut self, minutes: &[Minute]) {
        if self.kept.unread.take().is_none() {
            return;
        }
        for minute in minutes {
            let before = self.kept.others.get(&minute.minute);
            let (counts, measured) = before.map_or((Counts::default(), 0), |m| (m.counts, m.measured));
            let more = Counts {
                good: minute.counts.good.saturating_sub(counts.good),
                bad: minute.counts.bad.saturating_sub(counts.bad),
            };
            let measured = minute.measured.saturating_sub(measured);
            if self.judge.restore(minute.minute, more, measured) {
                self.kept.others.insert(minute.minute, *minute);
            }
        }
        // Those who are asked again are asked about no more than a day.
        let newest = self.at.map_or(0, Second::minute);
        self.kept.others.retain(|at, _| at + OTHERS_LATE[1] + 1 >= newest);
    }
}

#[cfg(test)]
mod tests;
