//! What is doubtful about an objective, by what was measured: whether it can be judged, met, and noticed when it is not.

use core::fmt;

use crate::{Budgeting, Judge, Severity};

/// Something that somebody should look at. It says what is wrong, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Doubt {
    /// No rule can page at this target in this window: the budget would be spent before anybody is called, or more than
    /// everything would have to fail.
    NobodyIsPaged,
    /// It was measured for so many hours, and nothing happened.
    NothingHappens {
        /// See above.
        hours: u64,
    },
    /// In its window so few events are to be expected that a single one spends all of the budget.
    OneSpendsAll {
        /// Events in the window.
        expected: f64,
    },
    /// So few that three failures, which may be chance, are more than the 2 % of the budget that a page is worth.
    LittleHappens {
        /// Events in the window.
        expected: f64,
        /// Events that would do.
        needed: f64,
    },
    /// What was measured is far from the target: it is a wish.
    NeverMet {
        /// The share that was good.
        share: f64,
        /// Hours that were measured.
        hours: u64,
    },
    /// Since it began to be judged so much of the time was not measured.
    Gaps {
        /// The share of the time: 0 to 1.
        share: f64,
    },
}

/// Three failures that are 2 % of a budget (Google's SRE Workbook, chapter 5, "Low-traffic services").
const FAILURES: f64 = 3.0;
const SHARE: f64 = 0.02;
/// Hours that have to be measured before anything is expected of the rest.
const HOURS_MIN: u64 = 1;
const NEVER_HOURS: u64 = 24;
/// Times the budget that has to be spent before a target is called a wish.
const NEVER_TIMES: f64 = 3.0;
/// What may be missing of the time.
const GAPS_MAX: f64 = 0.05;

impl Judge {
    /// What is doubtful about what it judges, by what it knows.
    ///
    /// ```
    /// use core::time::Duration;
    /// use plimsoll_slo::{Counts, Doubt, Judge, Objective, Second, Target, Window};
    ///
    /// let month = Window::Rolling(Duration::from_hours(720));
    /// let mut judge = Judge::new(Objective::of_events(Target::new(0.999)?, month));
    /// for minute in 0..120 {
    ///     judge.restore(minute, Counts { good: 1, bad: 0 }, 60);
    /// }
    /// judge.second(Second(7_200), Counts::default(), 0);
    /// let [Doubt::LittleHappens { expected, needed }] = judge.doubts()[..] else { panic!() };
    /// assert_eq!((expected.round(), needed.round()), (43_194.0, 150_000.0));
    /// # Ok::<(), plimsoll_slo::TargetError>(())
    /// ```
    pub fn doubts(&self) -> Vec<Doubt> {
        let verdict = self.verdict();
        let (objective, window) = (verdict.objective, verdict.window);
        let mut doubts = Vec::new();
        let pages = verdict
            .burns
            .iter()
            .any(|(rule, _)| rule.severity == Severity::Page);
        if !pages && objective.allowed().is_none() {
            doubts.push(Doubt::NobodyIsPaged);
        }
        let hours = window.measured / 3_600;
        let events = window.counts.total();
        let is_of_events = objective.budgeting == Budgeting::Occurrences;
        if events == 0 && hours >= HOURS_MIN {
            doubts.push(Doubt::NothingHappens { hours });
        } else if is_of_events && hours >= HOURS_MIN {
            let seconds = objective.window.length().as_secs_f64();
            let expected = events as f64 * seconds / window.measured as f64;
            let needed = FAILURES / (SHARE * objective.target.allowance());
            if expected * objective.target.allowance() < 1.0 {
                doubts.push(Doubt::OneSpendsAll { expected });
            } else if expected < needed {
                doubts.push(Doubt::LittleHappens { expected, needed });
            }
        }
        let spent = verdict.budget.spent.unwrap_or_default();
        if is_of_events && hours >= NEVER_HOURS && spent >= NEVER_TIMES {
            let share = 1.0 - window.counts.bad_share().unwrap_or_default();
            doubts.push(Doubt::NeverMet { share, hours });
        }
        doubts.extend(self.gaps());
        doubts
    }

    /// Whether much of the time since the first minute that is known was not measured.
    fn gaps(&self) -> Option<Doubt> {
        let mut past = self.past().filter(|(.., measured)| *measured > 0).peekable();
        let (first, ..) = *past.peek()?;
        let measured: u64 = past.map(|(.., measured)| u64::from(measured)).sum();
        let now = self.verdict().as_of.minute();
        let minutes = now.saturating_sub(first);
        let share = 1.0 - measured as f64 / (60 * minutes.max(1)) as f64;
        (minutes >= 60 * HOURS_MIN && share > GAPS_MAX).then_some(Doubt::Gaps { share })
    }
}

impl Doubt {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NobodyIsPaged => "nobody-is-paged",
            Self::NothingHappens { .. } => "nothing-happens",
            Self::OneSpendsAll { .. } => "one-spends-all",
            Self::LittleHappens { .. } => "little-happens",
            Self::NeverMet { .. } => "never-met",
            Self::Gaps { .. } => "gaps",
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyIsPaged => f.write_str(
                "no rule can page at this target in this window; right would be a higher target or a longer window",
            ),
            Self::NothingHappens { hours } => write!(
                f,
                "nothing happened in the {hours} hours that were measured; right would be routes, a tier or a report that there is"
            ),
            Self::OneSpendsAll { expected } => write!(
                f,
                "with {expected:.0} events in its window a single failure spends all of the budget; right would be a lower target, a longer window or more routes together"
            ),
            Self::LittleHappens { expected, needed } => write!(
                f,
                "with {expected:.0} events in its window three failures are more than a page is worth, for which it takes {needed:.0}; right would be a lower target, a longer window, more routes together, or probes"
            ),
            Self::NeverMet { share, hours } => write!(
                f,
                "in the {hours} hours that were measured {:.3} % was good, so the target is a wish; right would be one that can be kept, and a plan for the other",
                100.0 * share
            ),
            Self::Gaps { share } => write!(
                f,
                "{:.0} % of the time since it began was not measured; right would be a Plimsoll that runs throughout, or several that share a state",
                100.0 * share
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::{Counts, Objective, Second, Target, Window};

    fn judge(target: f64, hours: u64, minutes: impl Iterator<Item = (u64, Counts)>) -> Judge {
        let window = Window::Rolling(Duration::from_hours(hours));
        let target = Target::new(target).expect("it is one");
        let mut judge = Judge::new(Objective::of_events(target, window));
        let mut last = 0;
        for (minute, counts) in minutes {
            judge.restore(minute, counts, 60);
            last = minute;
        }
        judge.second(Second(60 * (last + 1)), Counts::default(), 0);
        judge
    }

    fn words(judge: &Judge) -> Vec<&'static str> {
        judge.doubts().into_iter().map(Doubt::word).collect()
    }

    #[test]
    fn each_doubt_has_its_case_and_what_is_well_has_none() {
        let busy = |minute| (minute, Counts { good: 600, bad: 0 });
        assert_eq!(words(&judge(0.999, 720, (1_000..3_000).map(busy))), [""; 0]);
        assert_eq!(
            words(&judge(0.55, 24, (1_000..3_000).map(busy))),
            ["nobody-is-paged"]
        );
        let idle = |minute| (minute, Counts::default());
        assert_eq!(
            words(&judge(0.999, 720, (1_000..1_200).map(idle))),
            ["nothing-happens"]
        );
        let rare = |minute| {
            (
                minute,
                Counts {
                    good: u64::from(minute % 60 == 0),
                    bad: 0,
                },
            )
        };
        assert_eq!(
            words(&judge(0.999, 720, (1_000..1_200).map(rare))),
            ["one-spends-all"]
        );
        let slow = |minute| (minute, Counts { good: 1, bad: 0 });
        assert_eq!(
            words(&judge(0.999, 720, (1_000..1_200).map(slow))),
            ["little-happens"]
        );
        let broken = |minute| (minute, Counts { good: 590, bad: 10 });
        assert_eq!(
            words(&judge(0.999, 720, (1_000..3_000).map(broken))),
            ["never-met"]
        );
        let holes = (1_000..3_000).filter(|minute| minute % 10 > 0).map(busy);
        assert_eq!(words(&judge(0.999, 720, holes)), ["gaps"]);
        // Of a minute nobody knows much.
        assert_eq!(words(&judge(0.999, 720, (1_000..1_001).map(idle))), [""; 0]);
    }
}
