//! How fast a budget is being spent, and from when on that is told to people.
//!
//! The burn of a window is the share of bad events in it over the share that is allowed: at 1 the budget lasts exactly
//! as long as the objective looks back. A rule fires while the burn of a long window and of a twelfth of it are both at
//! its factor or above: the long one says that it matters, the short one that it still goes on. Source: Google's SRE
//! Workbook, chapter 5, "multiwindow, multi-burn-rate alerts".
//!
//! **The factors are solved, not copied.** The workbook's 14.4 spends 2 % of the budget of 30 days in an hour; over
//! seven days it would have spent 8.6 % before anybody is told, and at a target of 90 % it can never be reached, since no
//! more than everything can fail. So each rule keeps its windows, which are on a human scale, and spends the same share
//! of whatever budget there is, within what can be told from noise and what can happen at all.

use core::time::Duration;

use crate::{Sum, Target};

/// Whom a rule calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Somebody, in working hours.
    Ticket,
    /// Whoever is on call, now.
    Page,
}

impl Severity {
    /// The word for it in metrics, logs and rules.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

/// One burn-rate rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurnRule {
    /// Whom it calls.
    pub severity: Severity,
    /// Its long window, of minutes to days.
    pub long: Duration,
    /// Its short window, a twelfth of the long one.
    pub short: Duration,
    /// The burn at which it fires: more than 0.
    pub factor: f64,
    /// The share of the whole budget that is spent when it fires, at the traffic that there usually is.
    pub share: f64,
}

const HOUR: u64 = 3_600;

/// Severity, long window in hours, and share of the budget: the workbook's.
const WINDOWS: [(Severity, u64, f64); 4] = [
    (Severity::Page, 1, 0.02),
    (Severity::Page, 6, 0.05),
    (Severity::Ticket, 24, 0.10),
    (Severity::Ticket, 72, 0.10),
];

/// Below these a rule would fire while the budget lasts, or on what is hardly more than usual.
const FACTOR_MIN: [(Severity, f64); 2] = [(Severity::Page, 2.0), (Severity::Ticket, 1.0)];

/// Of all events so many may have to fail before a rule fires, or a total outage would be the least that it sees.
const FAILING_MAX: f64 = 0.8;

impl BurnRule {
    /// The rules for an objective that looks back so far. Those whose long window is longer than that are left out, and
    /// so are those that could not fire if nearly everything failed; without any page among them the objective cannot be
    /// watched by burn rates.
    ///
    /// ```
    /// use core::time::Duration;
    /// use plimsoll_slo::{BurnRule, Target};
    ///
    /// let rules = BurnRule::solve(Target::new(0.999)?, Duration::from_hours(30 * 24));
    /// let factors: Vec<f64> = rules.iter().map(|rule| (rule.factor * 10.0).round() / 10.0).collect();
    /// assert_eq!(factors, [14.4, 6.0, 3.0, 1.0]);
    ///
    /// let week = BurnRule::solve(Target::new(0.999)?, Duration::from_hours(7 * 24));
    /// assert_eq!(week[3].factor, 1.0, "and not 0.23, which the budget outlasts");
    /// assert!(BurnRule::solve(Target::new(0.5)?, Duration::from_hours(7 * 24)).len() < 4);
    /// # Ok::<(), plimsoll_slo::TargetError>(())
    /// ```
    pub fn solve(target: Target, period: Duration) -> Vec<Self> {
        let factor_max = FAILING_MAX / target.allowance();
        let rules = WINDOWS.into_iter().filter_map(|(severity, hours, share)| {
            let long = Duration::from_secs(hours * HOUR);
            let of_period = period.as_secs_f64() / long.as_secs_f64();
            let factor_min = FACTOR_MIN.iter().find(|(of, _)| *of == severity)?.1;
            if of_period < 1.0 || factor_max < factor_min {
                return None;
            }
            let factor = (share * of_period).clamp(factor_min, factor_max);
            Some(Self {
                severity,
                long,
                short: long / 12,
                factor,
                share: factor / of_period,
            })
        });
        rules.collect()
    }

    /// How the rule stands.
    pub fn judge(&self, target: Target, long: &Sum, short: &Sum) -> Burning {
        let burn = |sum: &Sum| Some(sum.counts.bad_share()? / target.allowance());
        self.burning(burn(long), burn(short))
    }

    /// The same by the burn of its windows.
    pub(crate) fn burning(&self, long: Option<f64>, short: Option<f64>) -> Burning {
        // A rule that is met to the last digit fires: rounding must not decide.
        let reached = |burn: Option<f64>| burn.is_some_and(|burn| burn >= self.factor * (1.0 - 1e-9));
        Burning {
            long,
            short,
            phase: match (reached(long), reached(short)) {
                (true, true) => Phase::Critical,
                (true, false) => Phase::Recovering,
                (false, true) => Phase::Rising,
                (false, false) => Phase::Fine,
            },
        }
    }
}

/// How a rule stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burning {
    /// The burn of the long window: 0 and more. `None` if nothing happened in it.
    pub long: Option<f64>,
    /// The same of the short window.
    pub short: Option<f64>,
    /// What the two say together.
    pub phase: Phase,
}

/// What the two windows of a rule say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Neither is at the factor.
    Fine,
    /// The short one is: it may become serious.
    Rising,
    /// Both are.
    Critical,
    /// The long one is, and it is over.
    Recovering,
}

impl Phase {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Rising => "rising",
            Self::Critical => "critical",
            Self::Recovering => "recovering",
        }
    }
}
