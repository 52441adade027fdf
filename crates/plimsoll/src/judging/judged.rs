//! One objective and its judge: what is counted here goes in by the second, and what others have counted when it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway::objectives::ObjectiveCounts;
use plimsoll_slo::{CallerSet, Counts, Falling, Judge, Ladder, MinuteLog, Rising, STEP_MAX, Second, Window};
use store::{Key, Minute, Remembered, Row};

use super::recent::{self, Recent};
use crate::calendar;
use crate::config::{ObjectiveConfig, Watch};
use crate::reading::ObjectiveReading;

/// See the module's header.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) asked: ObjectiveConfig,
    pub(super) counts: Arc<ObjectiveCounts>,
    pub(super) judge: Judge,
    /// What had been counted when it was last looked.
    before: Counts,
    /// Callers that had failed by then, and the minute that they did so in.
    failed: (u64, CallerSet),
    /// The second that was last judged.
    pub(super) at: Option<Second>,
    recent: Recent,
    pub(super) kept: Kept,
    /// What was found, if it has no target, and the minute in which that was looked up.
    pub(super) found: Found,
    looked: u64,
}

/// What was found of something that is watched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    Nothing,
    Rising(Rising),
    Falling(Falling),
}

impl Found {
    /// Nothing yet, of what is watched so.
    fn of(watch: &Watch) -> Self {
        match watch {
            Watch::Target => Self::Nothing,
            Watch::Callers => Self::Rising(Rising::default()),
            Watch::Figure { .. } => Self::Falling(Falling::default()),
        }
    }
}

/// What of an objective is to be written down, and to be read.
#[derive(Debug)]
pub(super) struct Kept {
    /// Whose rows are its own.
    pub(super) instance: Arc<str>,
    pub(super) key: Key,
    /// What this process has counted in each minute that is not written yet as it is, and in the one that goes on.
    own: BTreeMap<u64, Own>,
    /// What others had counted in each of the latest minutes, as far as the judge knows.
    others: BTreeMap<u64, Minute>,
    /// The minute from which on others are to be asked.
    pub(super) unread: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Own {
    now: Minute,
    written: Option<Minute>,
}

/// Seconds that may be made up for. After a longer sleep nobody knows what was measured.
const LATE_MAX: u64 = 10;
/// Seconds after which it is written that they were measured, though nothing happened in them.
const MEASURED_EVERY: u8 = 10;
/// Seconds of a minute after which what others have seen of the one before is known.
const SETTLED: u64 = 5;
/// Minutes that may wait to be written: a day in which the disk is full.
pub(super) const UNWRITTEN_MAX: usize = 1_440;

/// Tells a judge which period it is.
fn turn(judge: &mut Judge, asked: &ObjectiveConfig, at: Second) {
    let calendar = asked.calendar.as_ref();
    if let Some(period) = calendar.and_then(|calendar| calendar.period(at)) {
        judge.turn(period);
    }
}

pub(super) fn key(asked: &ObjectiveConfig) -> Key {
    Key {
        objective: Arc::clone(&asked.name),
        counted: Arc::clone(&asked.counted),
    }
}

/// How far back an objective looks: the whole of a period, which may have begun so long ago, and what it is forecast by.
pub(super) fn looks_back(asked: &ObjectiveConfig) -> Duration {
    match asked.objective.window {
        Window::Rolling(last) => last,
        Window::Calendar(length) => (length * 11 / 10).max(Duration::from_hours(29 * 24)),
    }
}

impl Judged {
    pub(super) fn new(
        asked: ObjectiveConfig,
        counts: Arc<ObjectiveCounts>,
        at: Second,
        instance: Arc<str>,
    ) -> Self {
        let looks_back = looks_back(&asked).as_secs().div_ceil(60);
        Self {
            judge: Judge::new(asked.objective),
            before: Counts::default(),
            failed: (0, CallerSet::default()),
            recent: Recent::default(),
            kept: Kept {
                instance,
                key: key(&asked),
                own: BTreeMap::new(),
                others: BTreeMap::new(),
                unread: Some(at.minute().saturating_sub(looks_back)),
            },
            found: Found::of(&asked.watch),
            looked: 0,
            asked,
            counts,
            at: None,
        }
    }

    /// Goes on where another one stopped to look at the same counters: nobody has judged what was counted since.
    pub(super) const fn looks_from(&mut self, other: &Self) {
        (self.before, self.failed) = (other.before, other.failed);
    }

    /// The clock is not where it was.
    pub(super) fn is_astray(&self, at: Second) -> bool {
        self.at.is_some_and(|last| last.0.abs_diff(at.0) > STEP_MAX)
    }

    /// What is asked now looks farther back than anything in memory does.
    pub(super) fn is_outlooked_by(&self, asked: &ObjectiveConfig) -> bool {
        looks_back(asked) > looks_back(&self.asked)
    }

    /// If something else is asked of the same counts, what is known is judged anew.
    pub(super) fn asked(self, asked: &ObjectiveConfig) -> Self {
        if self.asked == *asked {
            return self;
        }
        let mut judge = Judge::new(asked.objective);
        if let Some(at) = self.at {
            judge.second(at, Counts::default(), 0);
            let by_second = recent::oldest(at);
            let before = self.judge.past().filter(|(minute, ..)| *minute < by_second);
            for (minute, counts, measured) in before {
                judge.restore(minute, counts, measured);
            }
            for minute in self.recent.minutes() {
                judge.revise(minute, &self.recent.of_all(minute));
            }
            turn(&mut judge, asked, at);
        }
        Self {
            found: Found::of(&asked.watch),
            looked: 0,
            asked: asked.clone(),
            judge,
            ..self
        }
    }

    pub(super) fn reading(&self, ladder: &Ladder) -> ObjectiveReading {
        let verdict = self.judge.verdict();
        ObjectiveReading {
            rung: ladder.rung(verdict.left()),
            counted: self.before,
            members: Arc::clone(&self.asked.members),
            name: Arc::clone(&self.asked.name),
            window: Arc::clone(&self.asked.window),
            runbook: self.asked.runbook.clone(),
            vantage: self.asked.vantage,
            sampling: self.asked.sampling,
            verdict,
        }
    }

    /// Judges up to this second.
    pub(super) fn run_once(&mut self, at: Second) {
        // As the judge has it: what comes for a second that has passed is counted in the newest.
        let at = self.at.map_or(at, |last| last.max(at));
        if self.at.is_none_or(|last| last.minute() != at.minute()) {
            turn(&mut self.judge, &self.asked, at);
        }
        if let Some(last) = self.at.filter(|last| at.0.saturating_sub(last.0) <= LATE_MAX) {
            for second in last.0 + 1..at.0 {
                self.second(Second(second), Counts::default(), &CallerSet::default());
            }
        }
        let (counts, callers) = (self.counts.counts(), self.counts.callers());
        let gained = Counts {
            good: counts.good - self.before.good,
            bad: counts.bad - self.before.bad,
        };
        self.second(at, gained, &callers.without(&self.failed.1));
        self.look(at);
        (self.before, self.failed.1, self.at) = (counts, callers, Some(at));
        if at.minute() != self.failed.0 {
            self.counts.forget_callers();
            self.failed = (at.minute(), CallerSet::default());
        }
    }

    /// Looks for what is watched, once a minute, when the others have said what they saw of the one before.
    fn look(&mut self, at: Second) {
        let minute = at.minute();
        if minute == self.looked || at.0 % 60 < SETTLED {
            return;
        }
        let past = self.judge.past().filter(|(past, ..)| *past < minute);
        let alpha = self.asked.objective.alpha;
        self.found = match &self.asked.watch {
            Watch::Target => Found::Nothing,
            Watch::Callers => {
                let minutes = past.map(|(minute, counts, _)| (minute, counts));
                Found::Rising(Rising::find(minutes, alpha))
            }
            Watch::Figure { measure, zone } => {
                let ago = |minute, days| calendar::days_ago(zone, minute, days);
                Found::Falling(Falling::find(past, minute, ago, *measure, alpha))
            }
        };
        self.looked = minute;
    }

    fn second(&mut self, at: Second, mut counts: Counts, failed: &CallerSet) {
        let minute = at.minute();
        if self.asked.watch == Watch::Callers {
            counts.bad = self.recent.new_here(at, failed);
        }
        let callers = self.recent.count(at, counts, failed.places());
        if self.recent.of_others(minute).is_none() {
            self.judge.second(at, counts, callers);
        } else {
            self.judge.second(at, Counts::default(), 0);
            self.judge.revise(minute, &self.recent.of_all(minute));
        }
        let nothing = Own {
            now: Minute {
                minute,
                counts: Counts::default(),
                measured: 0,
            },
            written: None,
        };
        let own = self.kept.own.entry(minute).or_insert(nothing);
        own.now.counts.good += counts.good;
        own.now.counts.bad += counts.bad;
        // A second that came twice was measured once.
        if self.at != Some(at) {
            own.now.measured = (own.now.measured + 1).min(60);
        }
        if self.kept.own.len() > UNWRITTEN_MAX {
            self.kept.own.pop_first();
        }
    }

    /// Nothing is to be written down.
    pub(super) fn keeps_nothing(&mut self) {
        self.kept.own.clear();
    }

    /// That it was measured, and that nothing happened, is written now and then.
    pub(super) fn unwritten(&self) -> impl Iterator<Item = Row> {
        let goes_on = self.at.map_or(0, Second::minute);
        let own = self.kept.own.values();
        own.filter(move |own| match own.written {
            None => true,
            Some(written) if own.now.minute >= goes_on => {
                written.counts != own.now.counts || own.now.measured >= written.measured + MEASURED_EVERY
            }
            Some(written) => written != own.now,
        })
        .map(|own| Row {
            instance: Arc::clone(&self.kept.instance),
            key: self.kept.key.clone(),
            minute: own.now,
            log: self.recent.own(own.now.minute).cloned(),
        })
    }

    pub(super) fn wrote(&mut self, minute: &Minute) {
        let goes_on = self.at.map_or(0, Second::minute);
        if let Some(own) = self.kept.own.get_mut(&minute.minute) {
            own.written = Some(*minute);
        }
        self.kept
            .own
            .retain(|at, own| *at >= goes_on || own.written != Some(own.now));
    }

    /// What others have counted in minutes of the past. Those that are known by the second are heard of so.
    pub(super) fn heard(&mut self, minutes: &[Minute]) {
        if self.kept.unread.take().is_none() {
            return;
        }
        let now = self.at.unwrap_or_default();
        let past = minutes
            .iter()
            .filter(|minute| minute.minute < recent::oldest(now));
        for minute in past {
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
        self.kept
            .others
            .retain(|at, _| at + UNWRITTEN_MAX as u64 + 1 >= now.minute());
    }

    /// What another one has counted in a minute by now. Whether that is to be judged: see [`Self::revise`].
    pub(super) fn heard_lately(&mut self, row: &Row) -> bool {
        let (now, minute) = (self.at.unwrap_or_default(), row.minute.minute);
        let is_of_time =
            (now.minute().saturating_sub(UNWRITTEN_MAX as u64)..=now.minute() + 1).contains(&minute);
        if row.instance == self.kept.instance || !is_of_time {
            // It is our own; or somebody's clock is wrong, or so late that whoever begins anew finds it.
            return false;
        }
        if minute < recent::oldest(now) {
            self.ask_others(minute);
            return false;
        }
        let log = row.log.clone();
        // One that comes from a copy has none.
        let log = log.unwrap_or_else(|| MinuteLog::of_minute(row.minute.counts, row.minute.measured));
        self.recent.hear(minute, &row.instance, log)
    }

    /// Judges anew what is known of a minute of late.
    pub(super) fn revise(&mut self, minute: u64) {
        self.judge.revise(minute, &self.recent.of_all(minute));
        if let Some(of_others) = self.recent.of_others(minute) {
            self.kept.others.insert(minute, of_others);
        }
    }

    /// Others are to be asked about what they counted from this minute on.
    pub(super) fn ask_others(&mut self, from: u64) {
        let unread = &mut self.kept.unread;
        *unread = Some(unread.map_or(from, |asked| asked.min(from)));
    }

    /// What evidence had come to, for others.
    pub(super) fn evidence(&self) -> Option<Remembered> {
        Some(Remembered {
            key: self.kept.key.clone(),
            asked: self.asks(),
            mark: self.judge.evidence_mark()?,
        })
    }

    /// Goes on from what others have found, if it is about the same.
    pub(super) fn believe(&mut self, found: &Remembered) {
        if found.key == self.kept.key && found.asked == self.asks() {
            self.judge.believe(&found.mark);
        }
    }

    /// What evidence depends on, beside what is counted.
    fn asks(&self) -> Arc<str> {
        let objective = &self.asked.objective;
        let (target, alpha, budgeting) = (objective.target, objective.alpha, objective.budgeting);
        format!("{target:?} {alpha} {budgeting:?}").into()
    }
}
