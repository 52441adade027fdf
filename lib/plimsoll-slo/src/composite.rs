//! Several objectives as one: what is said of it follows from what is said of its members, and nothing is counted for it.
//!
//! ```text
//! burn  = Σ wᵢ × burnᵢ  / Σ wᵢ      of each window of a rule, over the members of which it is known
//! spent = Σ wᵢ × spentᵢ / Σ wᵢ
//! ```
//!
//! So members spend parts of one budget, whatever they count and however much of it there is: two that each spend half of
//! theirs have spent half together. The weights are those of OpenSLO v1, `compositeWeight`.
//!
//! **Evidence** is the mean of the members' by the same weights. A mean of what each suffices by chance with a probability
//! of `α` at most does so as well, however they hang together.

use crate::{Budget, BurnRule, Burning, Objective, Phase, Severity, State, Sum, Verdict};

impl Verdict {
    /// What is said of a composite, by the verdicts of its members with their weights, which are more than 0. It calls by
    /// its own rules, and not by the fast lane, which is its members'. `None` if it has no members.
    pub fn composite(objective: Objective, members: &[(&Self, f64)]) -> Option<Self> {
        let as_of = members.iter().map(|(verdict, _)| verdict.as_of).max()?;
        let burns = burns(&objective, members);
        let budgets = members.iter().filter_map(|(verdict, weight)| {
            let spent = verdict.forecast.unwrap_or(verdict.budget).spent?;
            Some((spent, *weight))
        });
        let spent = mean(budgets);
        let evidence = mean(
            members
                .iter()
                .map(|(verdict, weight)| (verdict.evidence, *weight)),
        );
        let evidence = evidence.unwrap_or_default();
        // Of what one member does not know, nothing is known of all.
        let known = |sum: fn(&Self) -> &Sum| {
            let least = |share: f64, (verdict, _): &(&Self, f64)| share.min(sum(verdict).coverage());
            let coverage = members.iter().fold(1.0, least);
            let seconds = objective.window.length().as_secs();
            Sum {
                measured: (coverage * seconds as f64).round() as u64,
                seconds,
                ..Sum::default()
            }
        };
        Some(Self {
            objective,
            as_of,
            state: match spent {
                None => State::Unknown,
                Some(spent) if spent < 1.0 => State::Met,
                Some(_) => State::Missed,
            },
            calls: calls(&burns, evidence),
            burns,
            evidence,
            budget: Budget {
                spent,
                allowed: 1.0,
                bad: spent.unwrap_or_default(),
            },
            forecast: None,
            as_counted: None,
            period: None,
            window: known(|verdict| &verdict.window),
            hour: known(|verdict| &verdict.hour),
            time_left: None,
            callers: members
                .iter()
                .map(|(verdict, _)| verdict.callers)
                .max()
                .unwrap_or_default(),
        })
    }
}

/// How the rules stand: each by the same windows of the members that have them.
fn burns(objective: &Objective, members: &[(&Verdict, f64)]) -> Vec<(BurnRule, Burning)> {
    let judged = objective.rules().into_iter().map(|rule| {
        let of = |window: fn(&Burning) -> Option<f64>| {
            let known = members.iter().filter_map(|(verdict, weight)| {
                let mut burns = verdict.burns.iter();
                let (_, burning) = burns.find(|(of, _)| of.long == rule.long)?;
                Some((window(burning)?, *weight))
            });
            mean(known)
        };
        let (long, short) = (of(|burning| burning.long), of(|burning| burning.short));
        (rule, rule.burning(long, short))
    });
    judged.collect()
}

fn calls(burns: &[(BurnRule, Burning)], evidence: f64) -> Option<Severity> {
    let fires = |severity| {
        let mut rules = burns.iter().filter(|(rule, _)| rule.severity == severity);
        rules.any(|(_, burning)| burning.phase == Phase::Critical)
    };
    if evidence >= 1.0 && fires(Severity::Page) {
        Some(Severity::Page)
    } else {
        fires(Severity::Ticket).then_some(Severity::Ticket)
    }
}

/// By weight; `None` of nothing.
fn mean(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (sum, weights) = values.fold((0.0, 0.0), |(sum, weights), (value, weight)| {
        (sum + weight * value, weights + weight)
    });
    (weights > 0.0).then(|| sum / weights)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::{Counts, Judge, Second, Target, Window};

    const DAYS: Window = Window::Rolling(Duration::from_hours(720));

    fn verdict(target: f64, bad: impl Fn(u64) -> u64) -> Verdict {
        let target = Target::new(target).expect("it is one");
        let mut judge = Judge::new(Objective::of_events(target, DAYS));
        for second in 0..7_200 {
            let bad = bad(second);
            judge.second(Second(second), Counts { good: 100 - bad, bad }, bad);
        }
        judge.verdict()
    }

    #[test]
    fn members_spend_one_budget_by_their_weights() {
        let well = verdict(0.99, |_| 0);
        // Half of its budget: one in two hundred.
        let half = verdict(0.99, |second| u64::from(second % 2 == 0));
        let of =
            |members: &[(&Verdict, f64)]| Verdict::composite(Objective::composite(DAYS), members).unwrap();
        let left = |members: &[(&Verdict, f64)]| (100.0 * of(members).left().unwrap()).round() as i64;
        assert_eq!(
            [
                left(&[(&half, 1.0)]),
                left(&[(&half, 1.0), (&well, 1.0)]),
                left(&[(&half, 3.0), (&well, 1.0)])
            ],
            [50, 75, 63]
        );
        let both = of(&[(&half, 1.0), (&well, 1.0)]);
        assert_eq!((both.state, both.calls), (State::Met, None));
        assert!((both.burns[0].1.long.unwrap() - 0.25).abs() < 1e-9, "{both:?}");
        assert_eq!(
            both.sentence().to_string(),
            "its members burn 0.2 times what they may in the last hour; 75 % of the budget is left, by 2 hours of 30 days"
        );
        // However different what they count is.
        let strict = verdict(0.9999, |second| u64::from(second % 200 == 0));
        assert_eq!(left(&[(&half, 1.0), (&strict, 1.0)]), 50);
        assert_eq!(Verdict::composite(Objective::composite(DAYS), &[]), None);
    }

    #[test]
    fn it_calls_when_its_members_burn_together() {
        let outage = verdict(0.99, |second| if second >= 6_000 { 90 } else { 0 });
        let well = verdict(0.99, |_| 0);
        let of = |weight: f64| {
            let members = [(&outage, weight), (&well, 1.0)];
            Verdict::composite(Objective::composite(DAYS), &members).unwrap()
        };
        assert_eq!(outage.calls, Some(Severity::Page));
        // Thirty times what is allowed in the hour, of which it is a half, or a tenth.
        assert_eq!(of(1.0).calls, Some(Severity::Page));
        assert_eq!(of(0.1).calls, Some(Severity::Ticket), "{:?}", of(0.1).burns);
        let unknown = Judge::new(Objective::of_events(outage.objective.target, DAYS)).verdict();
        let nothing = Verdict::composite(Objective::composite(DAYS), &[(&unknown, 1.0)]).unwrap();
        assert_eq!((nothing.state, nothing.left()), (State::Unknown, None));
    }
}
