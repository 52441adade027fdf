//! The judge of one objective: what happened goes in second by second, and a [`Verdict`] comes out at any time.
//!
//! ```text
//! counts of a second ─> track ──> burn of each rule ─┐
//!                         └────> budget, time left ──┼─> verdict
//! callers that failed ─> evidence ───────────────────┘
//! ```
//!
//! **A page** needs three things: a rule that says that it matters and goes on, evidence that it is no chance, and, in
//! the evidence, callers instead of failures. Or, in the *fast lane*, evidence and a budget that is spent within the
//! hour if it goes on: a service that fails altogether is not left to fill the windows of a rule first.
//!
//! **A ticket** needs its rule only: nobody is woken by it.
//!
//! **Unknown is an answer.** Without a single event in the whole window nothing is said of the budget, and coverage says
//! for how much of it that holds.

use core::time::Duration;

use crate::{
    Budget, BurnRule, Burning, Counts, Evidence, Phase, Rate, Second, Severity, State, Target, Track,
    Verdict, time_left,
};

/// What is asked of a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// How much is to be good.
    pub target: Target,
    /// How far it looks back: minutes to 92 days.
    pub period: Duration,
    /// How likely a page without cause may be, at most, in 30 days in which the target was met: more than 0, less than
    /// 1; 0.01 is one in eight years.
    pub alpha: f64,
}

/// See the module's header.
#[derive(Clone, Debug)]
pub struct Judge {
    objective: Objective,
    rules: Vec<BurnRule>,
    track: Track,
    evidence: Evidence,
    /// A minute, and how many callers failed in it.
    failed: (u64, u64),
    left: Left,
}

/// How long the budget lasts.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    /// When that was looked up: it may be a walk through the whole window.
    at: Second,
    time: Option<Duration>,
    /// Since when it is so short that the fast lane may be taken.
    short_since: Option<Second>,
}

/// Seconds for which that is believed.
const LOOK_EVERY: u64 = 5;
/// In the fast lane the budget lasts for no more than so many minutes, and has done so for as many seconds: a restart
/// is shorter.
const FAST: (usize, u64) = (60, 10);
/// Over which the rate of the present is taken: the shorter if so many events came in it.
const PRESENT: [Duration; 2] = [Duration::from_secs(5), Duration::from_mins(5)];
const PRESENT_MIN: u64 = 20;

/// The windows of the track that are no rule's: the whole one, the last hour, and those of the present.
const PERIOD: usize = 0;
const HOUR: usize = 1;
const PRESENTS: [usize; 2] = [2, 3];
const RULES: usize = 4;

impl Judge {
    /// A judge who knows nothing yet.
    pub fn new(objective: Objective) -> Self {
        let rules = BurnRule::solve(objective.target, objective.period);
        let hour = objective.period.min(Duration::from_hours(1));
        let mut windows = vec![objective.period, hour, PRESENT[0], PRESENT[1]];
        windows.extend(rules.iter().flat_map(|rule| [rule.long, rule.short]));
        Self {
            objective,
            rules,
            track: Track::new(&windows),
            evidence: Evidence::new(objective.target, objective.alpha),
            failed: (0, 0),
            left: Left::default(),
        }
    }

    /// What is known of a minute from elsewhere: see [`Track::restore`].
    pub fn restore(&mut self, minute: u64, counts: Counts, measured: u8) -> bool {
        self.track.restore(minute, counts, measured)
    }

    /// What it knows of the minutes that it looks back: see [`Track::past`].
    pub fn past(&self) -> impl Iterator<Item = (u64, Counts, u8)> + '_ {
        self.track.past()
    }

    /// A second was measured: what happened in it, and how many callers failed in it for the first time in their minute.
    pub fn second(&mut self, at: Second, counts: Counts, callers: u64) {
        let before = self.track.now();
        self.track.count(at, counts);
        let known = if self.failed.0 == at.minute() {
            self.failed.1
        } else {
            0
        };
        self.failed = (at.minute(), known + callers);
        // Of the time before the first second nobody has any evidence.
        let skipped = at.0.saturating_sub(before.0 + 1);
        if before != Second(0) && skipped > 0 {
            self.evidence.quiet(u32::try_from(skipped).unwrap_or(u32::MAX));
        }
        self.evidence.second(counts.good, callers);
        self.look_ahead();
    }

    fn look_ahead(&mut self) {
        let now = self.track.now();
        if now < self.left.at {
            // The clock stepped back.
            self.left = Left::default();
        }
        // Nobody asks for the fast lane without evidence, and it is a short walk. Whoever is on it leaves it at twice the
        // time: in three seconds more or fewer requests come by chance.
        let is_on = self.left.short_since.is_some();
        let minutes_max = if is_on { 2 * FAST.0 } else { FAST.0 };
        let is_short = self.evidence.suffices() && self.time_left(minutes_max).is_some();
        self.left.short_since = is_short.then(|| self.left.short_since.unwrap_or(now));
        if now.0 >= self.left.at.0 + LOOK_EVERY {
            self.left.at = now;
            self.left.time = self.time_left(usize::MAX);
        }
    }

    /// Until the budget is spent; `None` if that is more than so many minutes away, or never.
    fn time_left(&self, minutes_max: usize) -> Option<Duration> {
        let [recent, longer] = PRESENTS.map(|window| self.track.sum(window));
        let present = if recent.counts.total() >= PRESENT_MIN {
            recent
        } else {
            longer
        };
        let target = self.objective.target;
        // Below a burn of 1 nothing is spent, and what is spent already is told apart.
        if present.counts.bad_share()? <= target.allowance() {
            return None;
        }
        let a_minute = |count: u64| 60.0 * count as f64 / present.measured.max(1) as f64;
        let rate = Rate {
            good: a_minute(present.counts.good),
            bad: a_minute(present.counts.bad),
        };
        let window = self.track.sum(PERIOD).counts;
        time_left(target, window, self.track.minutes().take(minutes_max), rate)
    }

    /// What it says by now.
    pub fn verdict(&self) -> Verdict {
        let sum = |window| self.track.sum(window);
        let window = sum(PERIOD);
        let budget = Budget::of_events(self.objective.target, window.counts);
        let burns: Vec<_> = (RULES..)
            .step_by(2)
            .zip(&self.rules)
            .map(|(at, rule)| (*rule, rule.judge(self.objective.target, &sum(at), &sum(at + 1))))
            .collect();
        Verdict {
            objective: self.objective,
            as_of: self.track.now(),
            state: match budget.spent {
                None => State::Unknown,
                Some(spent) if spent < 1.0 => State::Met,
                Some(_) => State::Missed,
            },
            calls: self.calls(&burns),
            burns,
            evidence: self.evidence.share(),
            budget,
            window,
            hour: sum(HOUR),
            time_left: self.left.time,
            callers: self.failed.1,
        }
    }

    fn calls(&self, burns: &[(BurnRule, Burning)]) -> Option<Severity> {
        let rule = |severity| {
            burns
                .iter()
                .any(|(rule, burning)| rule.severity == severity && burning.phase == Phase::Critical)
        };
        let now = self.track.now();
        let fast = self
            .left
            .short_since
            .is_some_and(|since| now.0 >= since.0 + FAST.1);
        if self.evidence.suffices() && (rule(Severity::Page) || fast) {
            Some(Severity::Page)
        } else {
            rule(Severity::Ticket).then_some(Severity::Ticket)
        }
    }
}
