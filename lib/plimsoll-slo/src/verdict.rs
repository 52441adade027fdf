//! What the judge says, as data and as a sentence.

use core::fmt;
use core::time::Duration;

use crate::{Budget, Budgeting, BurnRule, Burning, Objective, Period, Phase, Second, Severity, Sum};

/// What the judge says of one objective.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// What is asked.
    pub objective: Objective,
    /// The second up to which everything was counted.
    pub as_of: Second,
    /// Whether it is met.
    pub state: State,
    /// Whom it calls.
    pub calls: Option<Severity>,
    /// The rules, and how they stand.
    pub burns: Vec<(BurnRule, Burning)>,
    /// Evidence that more fails than may, over what is needed for a page: 0 and more, and 1 suffices.
    pub evidence: f64,
    /// The budget over the whole window; of a period of the calendar what was earned so far.
    pub budget: Budget,
    /// The budget of the whole period, by what is expected of the rest of it: rather too small than too large. `None` if
    /// the window is no period, or slices are counted, or nothing is known to expect it by.
    pub forecast: Option<Budget>,
    /// The budget as it was counted, if that was corrected.
    pub as_counted: Option<Budget>,
    /// The present period, if the window is the calendar's.
    pub period: Option<Period>,
    /// What happened in the whole window.
    pub window: Sum,
    /// What happened in the last hour, or in the whole window if that is shorter.
    pub hour: Sum,
    /// Until the budget is spent, if it goes on as in the last five seconds, or five minutes if fewer than 20 events came
    /// in those; `None` if it outlasts the window, and if nothing is being spent.
    pub time_left: Option<Duration>,
    /// Callers that failed in the minute that goes on, at least.
    pub callers: u64,
}

/// Whether an objective is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// There was no event in the whole window.
    Unknown,
    /// There is budget left.
    Met,
    /// There is none.
    Missed,
}

impl State {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Met => "met",
            Self::Missed => "missed",
        }
    }
}

impl Verdict {
    /// How many times faster than the budget lasts it was spent in the last hour; `None` if nothing happened in it.
    pub fn burn(&self) -> Option<f64> {
        if self.objective.budgeting == Budgeting::Composite {
            let (_, burning) = self.burns.first()?;
            return burning.long;
        }
        let hour = self.hour.counts;
        match self.objective.allowed() {
            None => Some(hour.bad_share()? / self.objective.target.allowance()),
            Some(allowed) => {
                let of_hour = self.hour.seconds as f64 / self.window.seconds.max(1) as f64;
                (hour.total() > 0).then(|| hour.bad as f64 / (f64::from(allowed) * of_hour))
            }
        }
    }

    /// The share of the budget that is left: of the whole period if that is forecast. 1 at most, less than 0 if it is
    /// overspent; `None` if nothing happened.
    pub fn left(&self) -> Option<f64> {
        self.forecast.unwrap_or(self.budget).left()
    }

    /// Whether a rule for them fires, whatever the evidence: while it does, what they were called for goes on.
    pub fn burns_for(&self, severity: Severity) -> bool {
        let mut of_severity = self.burns.iter().filter(|(rule, _)| rule.severity == severity);
        of_severity.any(|(_, burning)| burning.phase == Phase::Critical)
    }

    /// The time that it looks back.
    const fn looks_back(&self) -> Span {
        Span(Duration::from_secs(self.window.seconds))
    }

    /// Of how much of the window anything is known, if that is little.
    fn known(&self) -> Option<String> {
        let known = Span(Duration::from_secs(self.window.measured));
        let little = self.window.coverage() < COVERAGE_MIN;
        little.then(|| format!(", by {known} of {}", self.looks_back()))
    }

    /// What it says in one sentence: how many events, how many people, how much is left, and for how long.
    pub fn sentence(&self) -> impl fmt::Display + '_ {
        Sentence(self)
    }
}

/// Of a window of which less is known it is said how much.
const COVERAGE_MIN: f64 = 0.9;

struct Sentence<'a>(&'a Verdict);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.0;
        let Some(left) = verdict.left() else {
            return match verdict.known() {
                None => write!(
                    f,
                    "nothing happened in {}, so nothing is known",
                    verdict.looks_back()
                ),
                Some(known) => write!(f, "nothing happened{known}, so nothing is known"),
            };
        };
        let hour = verdict.hour.counts;
        match verdict.burn() {
            Some(burn) if verdict.objective.budgeting == Budgeting::Composite => {
                write!(
                    f,
                    "its members burn {} what they may in the last hour",
                    Times(burn)
                )?;
            }
            None => f.write_str("nothing happened in the last hour")?,
            Some(burn) => {
                let (bad, total) = (Grouped(hour.bad), Grouped(hour.total()));
                write!(f, "{bad} of {total} failed in the last hour")?;
                if burn >= 1.0 && verdict.objective.allowed().is_none() {
                    write!(f, ", {} what the target allows", Times(burn))?;
                }
            }
        }
        if verdict.calls.is_some() && verdict.callers > 0 {
            let callers = if verdict.callers == 1 { "caller" } else { "callers" };
            write!(f, ", {} {callers} in this minute", Grouped(verdict.callers))?;
        }
        if let Some(allowed) = verdict.objective.allowed() {
            let (bad, allowed) = (Grouped(verdict.budget.bad as u64), Grouped(allowed.into()));
            write!(
                f,
                "; of the {allowed} that may in {} {bad} did",
                verdict.looks_back()
            )?;
        } else if left < 0.0 {
            write!(f, "; the budget is overspent by {}", Percent(-left))?;
        } else {
            write!(f, "; {} of the budget is left", Percent(left))?;
            if let Some(time) = verdict.time_left {
                write!(f, ", for {} at this rate", Span(time))?;
            }
        }
        match verdict.known() {
            None => Ok(()),
            Some(known) => write!(f, "{known}"),
        }
    }
}

/// A number with its thousands apart.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 1_000, self.0 % 1_000) {
            (0, rest) => write!(f, "{rest}"),
            (thousands, rest) => write!(f, "{},{rest:03}", Self(thousands)),
        }
    }
}

struct Times(f64);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 10.0 {
            write!(f, "{:.1} times", self.0)
        } else {
            write!(f, "{} times", Grouped(self.0.round() as u64))
        }
    }
}

struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = 100.0 * self.0;
        if percent < 10.0 {
            write!(f, "{percent:.1} %")
        } else {
            write!(f, "{} %", Grouped(percent.round() as u64))
        }
    }
}

/// A span of time in its largest unit of which there are two.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [
            (86_400, "days"),
            (3_600, "hours"),
            (60, "minutes"),
            (1, "seconds"),
        ];
        let seconds = self.0.as_secs();
        let of = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
        let (unit, word) = of.unwrap_or((1, "seconds"));
        write!(f, "{} {word}", Grouped(seconds / unit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(Grouped(61_000_042).to_string(), "61,000,042");
        assert_eq!(Times(22.4).to_string(), "22 times");
        assert_eq!(Percent(0.0312).to_string(), "3.1 %");
        let span = |seconds| Span(Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [span(2_460), span(119), span(0), span(2_592_000)],
            ["41 minutes", "119 seconds", "0 seconds", "30 days"]
        );
    }
}
