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

    /// What is said of each objective by now.
    pub(crate) fn reading(&self, ladder: &Ladder) -> Vec<ObjectiveReading> {
        self.judged.iter().map(|judged| judged.reading(ladder)).collect()
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
mod tests {
    use gateway::plan::ObjectivePlan;
    use plimsoll_slo::{Class, Objective, Outcome, Reason, Severity, Target};
    use store::{Memory, Store};

    use super::*;

    fn asked(target: f64) -> [ObjectiveConfig; 1] {
        [ObjectiveConfig {
            name: "checkout".into(),
            counted: "all".into(),
            objective: Objective::of_events(
                Target::new(target).unwrap(),
                Window::Rolling(Duration::from_hours(24)),
            ),
            calendar: None,
            window: "1d".into(),
            runbook: None,
        }]
    }

    fn counted() -> [Arc<ObjectiveCounts>; 1] {
        let plan = ObjectivePlan {
            name: "checkout".into(),
            routes: Vec::new(),
            tier: None,
            latency_max: None,
        };
        [Arc::new(ObjectiveCounts::new(&plan, 1))]
    }

    fn record(counts: &ObjectiveCounts, class: Class, callers: std::ops::Range<u64>) {
        for caller in callers {
            let outcome = Outcome {
                class,
                latency: Duration::ZERO,
                first_byte: Duration::ZERO,
                attempts: 1,
            };
            counts.record(0, &outcome, || caller);
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn a_late_second_loses_nothing_and_lowers_no_coverage() {
        let (asked, counted) = (asked(0.99), counted());
        let mut judging = Judging::new(None);
        judging.run_once(&asked, &counted, at(0));
        record(&counted[0], Class::Good, 0..10);
        judging.run_once(&asked, &counted, at(3));
        let window = judging.reading(&Ladder::default())[0].verdict.window;
        assert_eq!((window.counts, window.measured), (Counts { good: 10, bad: 0 }, 4));
        // Nobody knows what this process did in an hour in which it did not run.
        judging.run_once(&asked, &counted, at(3_600));
        assert_eq!(judging.reading(&Ladder::default())[0].verdict.window.measured, 5);
    }

    #[test]
    fn what_is_counted_is_known_to_whoever_asks_anew_and_not_to_whoever_counts_something_else() {
        let counted = counted();
        let mut judging = Judging::new(Some("one".to_owned()));
        let good = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.window.counts.good;
        judging.run_once(&asked(0.99), &counted, at(0));
        record(&counted[0], Class::Good, 0..10);
        for second in 1..3 {
            judging.run_once(&asked(0.99), &counted, at(second));
            assert_eq!(good(&judging), 10);
        }
        judging.run_once(&asked(0.9), &counted, at(3));
        assert_eq!(good(&judging), 10);
        assert_eq!(judging.unwritten().len(), 1, "and is still to be written");
        let [mut other] = asked(0.9);
        other.counted = "gold".into();
        judging.run_once(&[other], &counted, at(4));
        assert_eq!(good(&judging), 0);
        judging.run_once(&[], &counted, at(5));
        assert!(judging.reading(&Ladder::default()).is_empty());
    }

    /// What the thread that keeps does; returns how many rows it wrote.
    fn keep(disk: &mut Memory, judging: &mut Judging) -> usize {
        let rows = judging.unwritten();
        disk.write(&rows).unwrap();
        judging.wrote(&rows);
        for (instance, key, from) in judging.wanted() {
            let minutes = disk.others(&instance, &key, from).unwrap();
            judging.heard(&instance, &minutes);
        }
        rows.len()
    }

    #[test]
    fn what_is_asked_again_after_something_else_was_is_what_it_was() {
        let counted = counted();
        let mut disk = Memory::default();
        let mut judging = Judging::new(Some("one".to_owned()));
        let good = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.window.counts.good;
        let [mut other] = asked(0.99);
        other.counted = "gold".into();
        let [mut longer] = asked(0.99);
        longer.objective.window = Window::Rolling(Duration::from_hours(48));
        // A rollback of a configuration, all within one minute: what was counted before is on the disk only. What came
        // while something else was asked counted for that.
        let reloads = [asked(0.99), [other], asked(0.99), [longer]];
        for (second, (asked, expected)) in (0..).zip(reloads.into_iter().zip([10, 10, 20, 30])) {
            judging.run_once(&asked, &counted, at(2 * second));
            record(&counted[0], Class::Good, 0..10);
            judging.run_once(&asked, &counted, at(2 * second + 1));
            keep(&mut disk, &mut judging);
            assert_eq!(good(&judging), expected, "after {second}");
        }
    }

    #[test]
    fn a_clock_that_steps_loses_nothing_that_is_written_down() {
        let (asked, counted) = (asked(0.99), counted());
        let mut disk = Memory::default();
        let mut judging = Judging::new(Some("one".to_owned()));
        let good = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.window.counts.good;
        // Back by a second over the turn of a minute (the origin is 40 s into one), and by an hour; ahead by three.
        for (round, seconds) in (1..).zip([
            19, 20, 21, 19, 20, 21, 10_000, 10_001, 6_400, 6_401, 17_200, 17_201,
        ]) {
            record(&counted[0], Class::Good, 0..1);
            judging.run_once(&asked, &counted, at(seconds));
            keep(&mut disk, &mut judging);
            keep(&mut disk, &mut judging);
            let written: u64 = {
                let key = key(&asked[0]);
                let minutes = disk.others("", &key, 0).unwrap();
                minutes.iter().map(|minute| minute.counts.good).sum()
            };
            assert_eq!(written + 1, round, "the first was counted before it looked");
            assert!(good(&judging) <= round);
        }
        assert_eq!(good(&judging), 11);
    }

    #[test]
    fn what_is_written_and_heard_again_is_what_was_counted() {
        let (asked, counted) = (asked(0.99), counted());
        let mut disk = Memory::default();
        let process = |name: &str| Judging::new(Some(name.to_owned()));
        let (mut one, mut two) = (process("one"), process("two"));
        let mut keep = |judging: &mut Judging| keep(&mut disk, judging);
        let window = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.window;
        for second in 0..130 {
            record(&counted[0], Class::Good, 0..1);
            one.run_once(&asked, &counted, at(second));
            // It is a second late now and then.
            if second % 7 != 0 {
                keep(&mut one);
            }
        }
        assert_eq!(
            window(&one).counts.good,
            129,
            "the first came before it was looked"
        );
        keep(&mut one);
        assert_eq!(keep(&mut one), 0, "nothing is new");
        // Another begins, with counters of its own, while the first goes on.
        let fresh = self::counted();
        two.run_once(&asked, &fresh, at(130));
        keep(&mut two);
        assert_eq!((window(&two).counts.good, window(&two).measured), (129, 131));
        record(&counted[0], Class::Good, 0..5);
        one.run_once(&asked, &counted, at(131));
        keep(&mut one);
        for _ in 0..2 {
            two.ask_others(at(131).as_secs() / 60, false);
            keep(&mut two);
            assert_eq!(window(&two).counts.good, 134, "once, however often it is asked");
        }
    }

    #[test]
    fn what_nobody_keeps_is_not_gathered() {
        let mut judging = Judging::new(None);
        for second in 0..3 {
            judging.run_once(&asked(0.99), &counted(), at(second));
            assert_eq!(judging.unwritten(), []);
        }
    }

    #[test]
    fn a_disk_that_is_full_for_long_costs_bounded_memory() {
        let (asked, counted) = (asked(0.99), counted());
        let mut judging = Judging::new(Some("one".to_owned()));
        for minute in 0..3_000 {
            judging.run_once(&asked, &counted, at(60 * minute));
        }
        assert_eq!(judging.unwritten().len(), UNWRITTEN_MAX);
    }

    #[test]
    fn each_caller_counts_once_a_minute() {
        let (asked, counted) = (asked(0.99), counted());
        let mut judging = Judging::new(Some("one".to_owned()));
        let bad = Class::Bad(Reason::UpstreamReset);
        let calls = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.calls;
        // One who fails every second is no evidence for a page; in two minutes it was counted twice or thrice.
        for second in 0..100 {
            record(&counted[0], Class::Good, 0..10);
            record(&counted[0], bad, 7..8);
            judging.run_once(&asked, &counted, at(second));
            assert_ne!(calls(&judging), Some(Severity::Page));
        }
        assert_eq!(judging.reading(&Ladder::default())[0].verdict.callers, 1);
        // Many at once are.
        for second in 100..130 {
            let first = 1_000 * second;
            record(&counted[0], bad, first..first + 100);
            judging.run_once(&asked, &counted, at(second));
        }
        assert_eq!(calls(&judging), Some(Severity::Page));
        assert_eq!(judging.began("checkout"), Some(Second(at(100).as_secs())));
    }
}
