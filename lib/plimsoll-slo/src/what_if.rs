//! What another target would have said of the same minutes: before somebody promises something, or has people called for
//! it.

use core::time::Duration;

use crate::{Budget, BurnRule, Counts, Evidence, Phase, Severity, Target, Track};

/// What would have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WhatIf {
    /// The budget of these minutes.
    pub budget: Budget,
    /// How often somebody would have been called by a page, and by a ticket without one.
    pub pages: u32,
    /// See `pages`.
    pub tickets: u32,
}

impl WhatIf {
    /// Judges these minutes in their order, of a window of this length, in which every event counts alike: when they were,
    /// and what happened in them. Rules and evidence go by the minute, which is as exact as what is kept, and the fast lane
    /// is left out. Who failed is not known any more, so each that failed counts as somebody else: pages are as many as
    /// there would have been at most.
    ///
    /// ```
    /// use core::time::Duration;
    /// use plimsoll_slo::{Counts, Target, WhatIf};
    ///
    /// let day = Duration::from_hours(24);
    /// let well = |minute| (minute, Counts { good: 600, bad: 0 });
    /// let outage = (700..720).map(|minute| (minute, Counts { good: 400, bad: 200 }));
    /// let minutes: Vec<_> = (0..700).map(well).chain(outage).chain((720..1_440).map(well)).collect();
    ///
    /// let strict = WhatIf::replay(Target::new(0.999)?, day, 0.01, &minutes);
    /// assert_eq!(strict.pages, 1);
    /// assert!(strict.budget.left().unwrap() < 0.0);
    /// let mild = WhatIf::replay(Target::new(0.8)?, day, 0.01, &minutes);
    /// assert_eq!((mild.pages, mild.budget.left().unwrap() > 0.9), (0, true));
    /// # Ok::<(), plimsoll_slo::TargetError>(())
    /// ```
    pub fn replay(target: Target, window: Duration, alpha: f64, minutes: &[(u64, Counts)]) -> Self {
        let rules = BurnRule::solve(target, window);
        let windows: Vec<Duration> = rules.iter().flat_map(|rule| [rule.long, rule.short]).collect();
        let mut track = Track::of_minutes(&windows);
        let mut evidence = Evidence::new(target, alpha);
        let (mut pages, mut tickets, mut called, mut before) = (0, 0, None, None);
        let mut sum = Counts::default();
        for (minute, counts) in minutes.iter().copied() {
            let passed = before
                .replace(minute)
                .map_or(1, |before| minute.saturating_sub(before).max(1));
            evidence.quiet(u32::try_from(60 * passed - 1).unwrap_or(u32::MAX));
            evidence.second(counts.good, counts.bad);
            track.count(crate::Second(60 * minute), counts);
            sum = Counts {
                good: sum.good + counts.good,
                bad: sum.bad + counts.bad,
            };
            let fires = |severity| {
                let mut places = rules.iter().zip((0..).step_by(2));
                places.any(|(rule, at)| {
                    let judged = || rule.judge(target, &track.sum(at), &track.sum(at + 1)).phase;
                    rule.severity == severity && judged() == Phase::Critical
                })
            };
            let calls = if evidence.suffices() && fires(Severity::Page) {
                Some(Severity::Page)
            } else {
                fires(Severity::Ticket).then_some(Severity::Ticket)
            };
            match (called, calls) {
                (Some(Severity::Page), _) | (_, None) | (Some(Severity::Ticket), Some(Severity::Ticket)) => {}
                (_, Some(Severity::Page)) => pages += 1,
                (None, Some(Severity::Ticket)) => tickets += 1,
            }
            called = calls;
        }
        Self {
            budget: Budget::of_events(target, sum),
            pages,
            tickets,
        }
    }
}
