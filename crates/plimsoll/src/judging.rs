//! The judge's clock: every second, what was counted for each objective goes to the judge of it.
//!
//! The gateway counts, and knows no objective's target; the judge decides, and knows no clock. They meet here. What an
//! objective asks may change with a reload: if the same is counted and the same is asked, the judge is the same.
//!
//! When this is late by some seconds, nothing is lost: the counters ran on, and what they gained belongs to the second
//! in which they are read.

use std::sync::Arc;
use std::time::Duration;

use gateway::objectives::ObjectiveCounts;
use plimsoll_slo::{Counts, Judge, Second, Severity};

use crate::config::ObjectiveConfig;
use crate::reading::ObjectiveReading;

/// Every objective with its judge.
#[derive(Debug, Default)]
pub(crate) struct Judging {
    judged: Vec<Judged>,
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
    /// The second that was last judged, and whom it called then.
    at: Option<Second>,
    calls: Option<Severity>,
}

/// Seconds that may be made up for. After a longer sleep nobody knows what was measured.
const LATE_MAX: u64 = 10;

impl Judging {
    /// Judges what was counted since the last time, and returns the objectives that call somebody else than before.
    /// `wall` is the time since the Unix epoch.
    pub(crate) fn run_once(
        &mut self,
        asked: &[ObjectiveConfig],
        counted: &[Arc<ObjectiveCounts>],
        wall: Duration,
    ) -> Vec<ObjectiveReading> {
        self.follow(asked, counted);
        let at = Second(wall.as_secs());
        let turned = self.judged.iter_mut().filter_map(|judged| judged.run_once(at));
        turned.collect()
    }

    /// Goes by what is asked now, in that order.
    fn follow(&mut self, asked: &[ObjectiveConfig], counted: &[Arc<ObjectiveCounts>]) {
        let mut before = std::mem::take(&mut self.judged);
        let pairs = asked.iter().filter_map(|asked| {
            let counts = counted.iter().find(|counts| counts.plan.name == asked.name)?;
            Some((asked, counts))
        });
        for (asked, counts) in pairs {
            let same = before
                .iter()
                .position(|judged| judged.asked == *asked && Arc::ptr_eq(&judged.counts, counts));
            self.judged.push(match same {
                Some(same) => before.swap_remove(same),
                None => Judged::new(asked.clone(), Arc::clone(counts)),
            });
        }
    }

    /// What is said of each objective by now.
    pub(crate) fn reading(&self) -> Vec<ObjectiveReading> {
        self.judged.iter().map(Judged::reading).collect()
    }
}

impl Judged {
    fn new(asked: ObjectiveConfig, counts: Arc<ObjectiveCounts>) -> Self {
        Self {
            judge: Judge::new(asked.objective),
            before: counts.counts(),
            failed: (0, counts.callers().count()),
            asked,
            counts,
            at: None,
            calls: None,
        }
    }

    fn reading(&self) -> ObjectiveReading {
        ObjectiveReading {
            name: Arc::clone(&self.asked.name),
            verdict: self.judge.verdict(),
        }
    }

    /// Judges up to this second; returns the verdict if it calls somebody else than before.
    fn run_once(&mut self, at: Second) -> Option<ObjectiveReading> {
        let nothing = Counts::default();
        if let Some(last) = self.at.filter(|last| at.0.saturating_sub(last.0) <= LATE_MAX) {
            (last.0 + 1..at.0).for_each(|second| self.judge.second(Second(second), nothing, 0));
        }
        let (counts, failed) = (self.counts.counts(), self.counts.callers().count());
        let gained = Counts {
            good: counts.good - self.before.good,
            bad: counts.bad - self.before.bad,
        };
        self.judge
            .second(at, gained, failed.saturating_sub(self.failed.1));
        (self.before, self.failed.1, self.at) = (counts, failed, Some(at));
        if at.minute() != self.failed.0 {
            self.counts.forget_callers();
            self.failed = (at.minute(), 0);
        }
        let reading = self.reading();
        let before = std::mem::replace(&mut self.calls, reading.verdict.calls);
        (before != reading.verdict.calls).then_some(reading)
    }
}

#[cfg(test)]
mod tests {
    use gateway::plan::ObjectivePlan;
    use plimsoll_slo::{Class, Objective, Outcome, Reason, Target};

    use super::*;

    fn asked(target: f64) -> [ObjectiveConfig; 1] {
        [ObjectiveConfig {
            name: "checkout".into(),
            objective: Objective {
                target: Target::new(target).unwrap(),
                period: Duration::from_hours(24),
                alpha: 0.01,
            },
        }]
    }

    fn counted() -> [Arc<ObjectiveCounts>; 1] {
        let plan = ObjectivePlan {
            name: "checkout".into(),
            routes: Vec::new(),
            tier: None,
            latency_max: None,
        };
        [Arc::new(ObjectiveCounts::new(plan, 1))]
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
        let mut judging = Judging::default();
        judging.run_once(&asked, &counted, at(0));
        record(&counted[0], Class::Good, 0..10);
        judging.run_once(&asked, &counted, at(3));
        let window = judging.reading()[0].verdict.window;
        assert_eq!((window.counts, window.measured), (Counts { good: 10, bad: 0 }, 4));
        // Nobody knows what this process did in an hour in which it did not run.
        judging.run_once(&asked, &counted, at(3_600));
        assert_eq!(judging.reading()[0].verdict.window.measured, 5);
    }

    #[test]
    fn what_asks_the_same_keeps_its_judge_and_what_asks_anew_begins_anew() {
        let counted = counted();
        let mut judging = Judging::default();
        judging.run_once(&asked(0.99), &counted, at(0));
        record(&counted[0], Class::Good, 0..10);
        judging.run_once(&asked(0.99), &counted, at(1));
        judging.run_once(&asked(0.99), &counted, at(2));
        assert_eq!(judging.reading()[0].verdict.window.counts.good, 10);
        judging.run_once(&asked(0.9), &counted, at(3));
        assert_eq!(
            judging.reading()[0].verdict.window.counts.good,
            0,
            "these were counted before"
        );
        judging.run_once(&[], &counted, at(4));
        assert!(judging.reading().is_empty());
    }

    #[test]
    fn whoever_is_called_is_told_once_and_each_caller_counts_once_a_minute() {
        let (asked, counted) = (asked(0.99), counted());
        let mut judging = Judging::default();
        let bad = Class::Bad(Reason::UpstreamReset);
        // One who fails every second is no evidence for a page; in two minutes it was counted twice or thrice.
        for second in 0..100 {
            record(&counted[0], Class::Good, 0..10);
            record(&counted[0], bad, 7..8);
            let turned = judging.run_once(&asked, &counted, at(second));
            assert!(
                turned
                    .iter()
                    .all(|turned| turned.verdict.calls != Some(Severity::Page))
            );
        }
        assert_eq!(judging.reading()[0].verdict.callers, 1);
        // Many at once are.
        let mut told = 0;
        for second in 100..130 {
            let first = 1_000 * second;
            record(&counted[0], bad, first..first + 100);
            told += judging.run_once(&asked, &counted, at(second)).len();
        }
        assert_eq!(told, 1);
        assert_eq!(judging.reading()[0].verdict.calls, Some(Severity::Page));
    }
}
