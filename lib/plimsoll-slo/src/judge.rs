//! The judge of one objective: what happened goes in second by second, and a [`Verdict`] comes out at any time.
//!
//! ```text
//! counts of a second ─> track, or marks of slices ──> burn of each rule ─┐
//!                                         └─────────> budget, time left ─┼─> verdict
//! callers that failed ──────────────────────────────> evidence ──────────┘
//! ```
//!
//! **A page** needs three things: a rule that says that it matters and goes on, evidence that it is no chance, and, in
//! the evidence, callers instead of failures. Or, in the *fast lane*, evidence and a budget that is spent within the
//! hour if it goes on: a service that fails altogether is not left to fill the windows of a rule first.
//!
//! **A ticket** needs its rule only: nobody is woken by it.
//!
//! **An absolute budget** has neither rules nor evidence: what may hardly ever be wrong calls when it is, once, for an hour.
//!
//! **Unknown is an answer.** Without a single event in the whole window nothing is said of the budget, and coverage says
//! for how much of it that holds.
//!
//! **Corrections** change what is judged, and what was counted is judged beside it: by a second judge, which is there
//! only for as long as there are any.

use core::time::Duration;

use crate::slices::{PARTS, Slices};
use crate::weighing::{Seen, Weighing};
use crate::{
    Allowance, Budget, Budgeting, BurnRule, Burning, Correction, Counts, EvidenceMark, MinuteLog, Objective,
    Phase, Rate, Second, Severity, State, Sum, Track, Verdict, Window, change_point, forecast, time_left,
};

/// See the module's header.
#[derive(Clone, Debug)]
pub struct Judge {
    objective: Objective,
    rules: Vec<BurnRule>,
    /// What happened, as it is corrected.
    events: Track,
    slices: Option<Slices>,
    period: Option<Period>,
    corrections: Vec<Correction>,
    /// Judges what was counted, if anything is corrected.
    as_counted: Option<Box<Self>>,
    weighing: Weighing,
    ahead: Ahead,
}

/// A period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first minute, counted from the Unix epoch.
    pub from: u64,
    /// The minute after its last.
    pub to: u64,
}

/// How long the budget lasts.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    /// When that was looked up: it may be a walk through the whole window.
    at: Second,
    time: Option<Duration>,
    /// Since when it is so short that the fast lane may be taken.
    short_since: Option<Second>,
    /// Events that the rest of the period brings, and the minute in which that was looked up.
    forecast: Option<f64>,
    forecast_at: u64,
}

/// Seconds for which the time that is left is believed.
const LOOK_EVERY: u64 = 5;
/// In the fast lane the budget lasts for no more than so many minutes, and has done so for as many seconds: a restart
/// is shorter.
const FAST: (usize, u64) = (60, 10);
/// Over which the rate of the present is taken: the shorter if so many events came in it.
const PRESENT: [Duration; 2] = [Duration::from_secs(5), Duration::from_mins(5)];
const PRESENT_MIN: u64 = 20;
/// The same of slices.
const PRESENT_SLICES: u32 = 5;

/// Seconds before which nothing began for which somebody is called: the longest window of a rule.
const BEGAN_MAX: u64 = 3 * 86_400;

/// The windows of a track that are no rule's: the whole one, the last hour, and those of the present.
const PERIOD: usize = 0;
const HOUR: usize = 1;
const PRESENTS: [usize; 2] = [2, 3];
const RULES: usize = 4;

impl Judge {
    /// A judge who knows nothing yet.
    pub fn new(objective: Objective) -> Self {
        let rules = objective.rules();
        let kept = match objective.window {
            Window::Rolling(length) => length,
            // A month may be longer than usual, and is forecast by four weeks.
            Window::Calendar(length) => {
                (length * 11 / 10).max(Duration::from_secs(60 * forecast::LOOKS_BACK))
            }
        };
        let hour = objective.window.length().min(Duration::from_hours(1));
        let of_rules = || rules.iter().flat_map(|rule| [rule.long, rule.short]);
        let mut windows = vec![kept, hour, PRESENT[0], PRESENT[1]];
        let slices = objective.budgeting.slice().and_then(|slice| {
            let present = PRESENT[1].max(PRESENT_SLICES * slice.length());
            let windows: Vec<_> = [kept, hour, present, present]
                .into_iter()
                .chain(of_rules())
                .collect();
            Slices::new(objective.budgeting, &windows)
        });
        if slices.is_none() {
            windows.extend(of_rules());
        }
        Self {
            events: Track::new(&windows),
            slices,
            period: None,
            corrections: Vec::new(),
            as_counted: None,
            weighing: Weighing::new(objective.target, objective.alpha),
            ahead: Ahead::default(),
            rules,
            objective,
        }
    }

    /// The present period of an objective whose window is the calendar's: what was before does not count any more.
    pub fn turn(&mut self, period: Period) {
        if self.period == Some(period) || matches!(self.objective.window, Window::Rolling(_)) {
            return;
        }
        self.period = Some(period);
        self.events.turn(PERIOD, period.from);
        if let Some(slices) = &mut self.slices {
            slices.turn(PERIOD, period.from);
        }
        self.ahead = Ahead::default();
        if let Some(as_counted) = &mut self.as_counted {
            as_counted.turn(period);
        }
    }

    /// What is known of a minute from elsewhere: see [`Track::restore`].
    pub fn restore(&mut self, minute: u64, counts: Counts, measured: u8) -> bool {
        let Some(as_counted) = &mut self.as_counted else {
            let is_taken = self.events.restore(minute, counts, measured);
            self.late(minute);
            return is_taken;
        };
        let is_taken = as_counted.restore(minute, counts, measured);
        self.events.restore(minute, Counts::default(), measured);
        self.take_over(minute);
        is_taken
    }

    /// What it knows of the minutes that it looks back, as it was counted: see [`Track::past`].
    pub fn past(&self) -> impl Iterator<Item = (u64, Counts, u8)> + '_ {
        let counted = self
            .as_counted
            .as_ref()
            .map_or(&self.events, |judge| &judge.events);
        counted.past()
    }

    /// What was bad in each known minute of the window or period, in the unit of the budget, the oldest first: as it is
    /// corrected, and as it was counted.
    pub fn spent(&self) -> impl Iterator<Item = (u64, f64, f64)> + '_ {
        let now = self.events.now().minute();
        let from = self.period.map_or_else(
            || (now + 1).saturating_sub(self.objective.window.length().as_secs() / 60),
            |period| period.from,
        );
        let corrected = self.spending();
        let counted = self
            .as_counted
            .as_ref()
            .map_or(corrected, |judge| judge.spending());
        let unit = if self.slices.is_some() { PARTS as f64 } else { 1.0 };
        let minutes = corrected.past().filter(move |(minute, ..)| *minute >= from);
        minutes.map(move |(minute, counts, _)| {
            let (as_counted, _) = counted.minute(minute);
            (minute, counts.bad as f64 / unit, as_counted.bad as f64 / unit)
        })
    }

    /// These hold from now on, and no other corrections. One that adds events is about minutes that are over.
    pub fn correct(&mut self, corrections: Vec<Correction>) {
        if corrections == self.corrections {
            return;
        }
        if self.as_counted.is_none() {
            self.as_counted = Some(Box::new(self.clone()));
        }
        self.corrections = corrections;
        (self.events.oldest()..=self.events.now().minute()).for_each(|minute| self.take_over(minute));
        let (weighing, seen) = self.weighing();
        weighing.anew(Second(0), &seen);
        if self.corrections.is_empty() {
            self.as_counted = None;
        }
    }

    /// A minute is what was counted, after corrections.
    fn take_over(&mut self, minute: u64) {
        let Some(as_counted) = &self.as_counted else {
            return;
        };
        let (counted, measured) = as_counted.events.minute(minute);
        let counts = Correction::apply(&self.corrections, minute, counted);
        if self.events.minute(minute) != (counts, measured) {
            self.events.set(minute, counts, measured);
            self.late(minute);
        }
        if counts == Counts::default() && minute + 15 >= self.events.now().minute() {
            let seconds = 60 * minute..60 * (minute + 1);
            seconds.for_each(|at| _ = self.weighing.set_callers(Second(at), 0));
        }
    }

    fn late(&mut self, minute: u64) {
        if let Some(slices) = &mut self.slices {
            slices.late(minute, &self.events);
        }
    }

    /// A second was measured: what happened in it, and how many callers failed in it for the first time in their minute.
    /// Called again for the same second it adds to it.
    pub fn second(&mut self, at: Second, counts: Counts, callers: u64) {
        if let Some(as_counted) = &mut self.as_counted {
            as_counted.second(at, counts, callers);
        }
        let (counts, callers) = if self.excludes(at) {
            (Counts::default(), 0)
        } else {
            (counts, callers)
        };
        self.events.count(at, counts);
        if let Some(slices) = &mut self.slices {
            slices.pass(at, &self.events);
        }
        let (weighing, seen) = self.weighing();
        weighing.second(seen.events.now(), callers, &seen);
        self.look_ahead();
    }

    /// What is known by now of a minute, of all who count together: it takes the place of what was known of its seconds.
    /// Nothing is changed by what is said of a second that is yet to come, or that passed 15 minutes ago.
    pub fn revise(&mut self, minute: u64, log: &MinuteLog) {
        if let Some(as_counted) = &mut self.as_counted {
            as_counted.revise(minute, log);
        }
        let mut changed = None;
        for (at, log) in (60 * minute..).map(Second).zip(log.seconds()) {
            let (counts, callers) = if self.excludes(at) {
                (Counts::default(), 0)
            } else {
                (log.counts, log.callers)
            };
            let is_new = self.events.revise(at, counts, log.is_measured);
            if self.weighing.set_callers(at, callers) || is_new {
                changed = changed.or(Some(at));
            }
        }
        let Some(changed) = changed else {
            return;
        };
        self.take_over(minute);
        self.late(minute);
        let (weighing, seen) = self.weighing();
        weighing.anew(changed, &seen);
        // It was looked up by something else.
        (self.ahead.forecast_at, self.ahead.at) = (0, Second(0));
        self.look_ahead();
    }

    fn excludes(&self, at: Second) -> bool {
        self.corrections.iter().any(|one| one.excludes(at.minute()))
    }

    fn weighing(&mut self) -> (&mut Weighing, Seen<'_>) {
        let seen = Seen {
            events: &self.events,
            slices: self.slices.as_ref(),
        };
        (&mut self.weighing, seen)
    }

    /// What evidence had come to a while ago, for those who go on from there: see [`Self::believe`].
    pub fn evidence_mark(&self) -> Option<EvidenceMark> {
        self.weighing.mark()
    }

    /// Goes on from what somebody has found who asks the same, if he has looked for longer; what is known of the time
    /// since is weighed in. Whether it does.
    pub fn believe(&mut self, mark: &EvidenceMark) -> bool {
        let (weighing, seen) = self.weighing();
        weighing.believe(mark, &seen)
    }

    /// What the budget is spent by: events, or marks.
    fn spending(&self) -> &Track {
        self.slices.as_ref().map_or(&self.events, Slices::marks)
    }

    fn look_ahead(&mut self) {
        let now = self.events.now();
        if now < self.ahead.at {
            // The clock stepped back.
            self.ahead = Ahead::default();
        }
        if let Some(period) = self.period
            && self.objective.budgeting == Budgeting::Occurrences
            && self.ahead.forecast_at != now.minute()
        {
            self.ahead.forecast_at = now.minute();
            self.ahead.forecast = forecast::to_come(&self.events, period.to.saturating_sub(now.minute()));
        }
        // Nobody asks for the fast lane without evidence, and it is a short walk. Whoever is on it leaves it at twice the
        // time: in three seconds more or fewer requests come by chance.
        let is_on = self.ahead.short_since.is_some();
        let minutes_max = if is_on { 2 * FAST.0 } else { FAST.0 };
        let is_short = self.weighing.evidence().suffices() && self.time_left(minutes_max).is_some();
        self.ahead.short_since = is_short.then(|| self.ahead.short_since.unwrap_or(now));
        // At the same seconds everywhere.
        if now.0 / LOOK_EVERY != self.ahead.at.0 / LOOK_EVERY {
            self.ahead.at = now;
            self.ahead.time = self.time_left(usize::MAX);
        }
    }

    /// Until the budget is spent; `None` if that is more than so many minutes away, or never.
    fn time_left(&self, minutes_max: usize) -> Option<Duration> {
        let spending = self.spending();
        let [recent, longer] = PRESENTS.map(|window| spending.sum(window));
        let present = if recent.counts.total() >= PRESENT_MIN {
            recent
        } else {
            longer
        };
        // Below a burn of 1 nothing is spent, and what is spent already is told apart.
        let spends = match self.objective.allowed() {
            None => present.counts.bad_share()? > self.objective.target.allowance(),
            Some(_) => present.counts.bad > 0,
        };
        if !spends {
            return None;
        }
        let seconds = match self.slices {
            None => present.measured,
            Some(_) => present.seconds,
        };
        let a_minute = |count: u64| 60.0 * count as f64 / seconds.max(1) as f64;
        let rate = Rate {
            good: a_minute(present.counts.good),
            bad: a_minute(present.counts.bad),
        };
        let (window, allowance) = (spending.sum(PERIOD).counts, self.allowance());
        let Some(period) = self.period else {
            return time_left(allowance, window, spending.minutes().take(minutes_max), rate);
        };
        // Nothing leaves a period but by its end.
        let rest = period.to.saturating_sub(spending.now().minute()) as usize;
        let nothing = core::iter::repeat_n(Counts::default(), rest.min(minutes_max));
        time_left(allowance, window, nothing, rate)
    }

    /// How many events, or parts of slices, may be bad.
    fn allowance(&self) -> Allowance {
        let target = self.objective.target;
        if let Some(slices) = &self.slices {
            let (_, all) = slices.known(&self.whole(slices));
            return Allowance::Fixed(target.allowance() * (all * PARTS) as f64);
        }
        if let Some(allowed) = self.objective.allowed() {
            return Allowance::Fixed(allowed.into());
        }
        match self.ahead.forecast {
            None => Allowance::Share(target),
            Some(to_come) => {
                let so_far = self.events.sum(PERIOD).counts;
                Allowance::Fixed(Budget::expecting(target, so_far, to_come).allowed)
            }
        }
    }

    /// The marks of the whole window: of the whole period, what is to come of it included.
    fn whole(&self, slices: &Slices) -> Sum {
        let sum = slices.marks().sum(PERIOD);
        let seconds = match (self.period, self.objective.window) {
            (Some(period), _) => 60 * (period.to - period.from),
            (None, window) => window.length().as_secs(),
        };
        Sum { seconds, ..sum }
    }

    /// The budget as it stands, and that of the whole period if that is forecast.
    fn budgets(&self) -> (Budget, Option<Budget>) {
        let target = self.objective.target;
        if let Some(slices) = &self.slices {
            let whole = self.whole(slices);
            let (known, all) = slices.known(&whole);
            let bad = whole.counts.bad as f64 / PARTS as f64;
            let budget = Budget::of_slices(target, all, bad);
            // Of no slice at all nothing is known.
            let spent = budget.spent.filter(|_| known > 0);
            return (Budget { spent, ..budget }, None);
        }
        let counts = self.events.sum(PERIOD).counts;
        if let Some(allowed) = self.objective.allowed() {
            return (Budget::absolute(allowed, counts), None);
        }
        let expected = self.ahead.forecast.filter(|_| counts.total() > 0);
        let forecast = expected.map(|to_come| Budget::expecting(target, counts, to_come));
        (Budget::of_events(target, counts), forecast)
    }

    /// When that began for which it calls somebody now: see [`Track::latest`] for how exact that is. `None` if there is
    /// nothing worse than is allowed, in the last three days.
    pub fn began(&self) -> Option<Second> {
        let oldest = Second(self.events.now().0.saturating_sub(BEGAN_MAX));
        let latest = self.events.latest().take_while(|(begins, _)| *begins >= oldest);
        change_point::find(self.objective.target, latest)
    }

    fn burns(&self) -> Vec<(BurnRule, Burning)> {
        let spending = self.spending();
        let judged = (RULES..).step_by(2).zip(&self.rules).map(|(at, rule)| {
            let (long, short) = (spending.sum(at), spending.sum(at + 1));
            (*rule, rule.judge(self.objective.target, &long, &short))
        });
        judged.collect()
    }

    /// What it says by now.
    pub fn verdict(&self) -> Verdict {
        let (budget, forecast) = self.budgets();
        let burns = self.burns();
        Verdict {
            objective: self.objective,
            as_of: self.events.now(),
            state: match forecast.unwrap_or(budget).spent {
                None => State::Unknown,
                Some(spent) if spent < 1.0 => State::Met,
                Some(_) => State::Missed,
            },
            calls: self.calls(&burns),
            burns,
            evidence: self.weighing.evidence().share(),
            budget,
            forecast,
            as_counted: self.as_counted.as_ref().map(|judge| judge.budgets().0),
            period: self.period,
            window: self.window(),
            hour: self.events.sum(HOUR),
            time_left: self.ahead.time,
            callers: self.weighing.callers(self.events.now().minute()),
        }
    }

    /// What happened in the window. Of slices, time is known when they are.
    fn window(&self) -> Sum {
        let events = self.events.sum(PERIOD);
        let Some(slices) = &self.slices else {
            return events;
        };
        let known = slices.marks().sum(PERIOD).measured / 60;
        let length = self
            .objective
            .budgeting
            .slice()
            .map_or(60, |slice| slice.length().as_secs());
        Sum {
            measured: (known * length).min(events.seconds),
            ..events
        }
    }

    fn calls(&self, burns: &[(BurnRule, Burning)]) -> Option<Severity> {
        if self.objective.allowed().is_some() {
            return (self.events.sum(HOUR).counts.bad > 0).then_some(Severity::Page);
        }
        let rule = |severity| {
            burns
                .iter()
                .any(|(rule, burning)| rule.severity == severity && burning.phase == Phase::Critical)
        };
        let now = self.events.now();
        let fast = self
            .ahead
            .short_since
            .is_some_and(|since| now.0 >= since.0 + FAST.1);
        if self.weighing.evidence().suffices() && (rule(Severity::Page) || fast) {
            Some(Severity::Page)
        } else {
            rule(Severity::Ticket).then_some(Severity::Ticket)
        }
    }
}
