use super::*;
use crate::script::{duration, pairs, show};
use crate::transcript;
use proptest::prelude::*;

struct Table {
    config: HedgeConfig,
    allowance: RetryBudget,
    budget: RetryBudget,
}

impl Table {
    fn new() -> Self {
        let config = HedgeConfig::default();
        Self {
            config,
            allowance: config.allowance(),
            budget: RetryBudget::new(&BudgetConfig::default()),
        }
    }

    /// `config` and `budget` set the table, `requests` pay in; `send` asks for a plan and `late` for a decision.
    fn play(&mut self, command: &str) -> String {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "config" => self.configure(rest),
            "budget" => self.budget = RetryBudget::new(&budget(rest)),
            "requests" => (0..rest.parse().unwrap()).for_each(|_| {
                self.allowance.deposit();
                self.budget.deposit();
            }),
            "refund" => {
                self.allowance.refund();
                self.budget.refund();
            }
            "left" => {
                return format!(
                    "{} of the route, {} of the upstream",
                    self.allowance.balance(),
                    self.budget.balance()
                );
            }
            "send" => return self.send(rest),
            "late" => {
                return match self.config.decide(&late(rest), &self.allowance, &self.budget) {
                    HedgeDecision::Send => "send".to_owned(),
                    HedgeDecision::Refuse(why) => format!("refuse: {}", why.word()),
                };
            }
            _ => panic!("unknown command {command}"),
        }
        String::new()
    }

    fn configure(&mut self, words: &str) {
        for (key, value) in pairs(words) {
            match key {
                "after" => self.config.after = Some(duration(value)),
                "share" => self.config.share = value.parse().unwrap(),
                "load-max" => self.config.load_max = value.parse().unwrap(),
                "idempotent" => self.config.idempotent = value.parse().unwrap(),
                _ => panic!("unknown key {key}"),
            }
        }
        self.allowance.configure(&self.config.allowed());
    }

    fn send(&self, words: &str) -> String {
        let (method, more) = words.split_once(' ').unwrap_or((words, ""));
        let find = |key: &str| pairs(more).find(|(k, _)| *k == key).map(|(_, value)| value);
        let candidate = Candidate {
            safe: is_safe(method),
            upstream_of_retry: find("is-retry").is_some(),
        };
        match self.config.plan(&candidate, find("p95").map(duration)) {
            HedgePlan::After(wait) => format!("after {}", show(wait)),
            HedgePlan::Never(why) => format!("never: {}", why.word()),
        }
    }
}

fn budget(words: &str) -> BudgetConfig {
    let mut config = BudgetConfig { share: 0.0, burst: 0 };
    for (key, value) in pairs(words) {
        match key {
            "share" => config.share = value.parse().unwrap(),
            "burst" => config.burst = value.parse().unwrap(),
            _ => panic!("unknown key {key}"),
        }
    }
    config
}

/// A moment in which nothing speaks against a hedge, unless said otherwise.
fn late(words: &str) -> Late {
    let find = |key: &str| pairs(words).find(|(k, _)| *k == key).map(|(_, value)| value);
    let now = Instant::ORIGIN + Duration::from_mins(1);
    Late {
        now,
        deadline: now + find("left").map_or(Duration::from_secs(15), duration),
        body_whole: find("body-coming").is_none(),
        elsewhere: find("alone").is_none(),
        passing: find("tripped").is_none(),
        load: find("load").map_or(0.0, |load| load.parse().unwrap()),
    }
}

#[test]
fn scripts() {
    transcript::check("hedge", || {
        let mut table = Table::new();
        move |command: &str| table.play(command)
    });
}

#[test]
fn every_late_refusal_is_listed_once() {
    let words: std::collections::BTreeSet<_> = NoHedge::LATE.iter().map(|why| why.word()).collect();
    assert_eq!(words.len(), NoHedge::LATE.len());
    for why in [NoHedge::NotSafe, NoHedge::OtherLayerRetries, NoHedge::NotLearned] {
        assert!(
            !words.contains(why.word()),
            "{why:?} is said when a request is sent"
        );
    }
}

proptest! {
    /// The promises of the design, checked against what `decide` answers and not against how it gets there.
    #[test]
    fn a_hedge_has_somewhere_to_go_and_is_paid_for_twice(
        left in 0u64..3, body_whole: bool, elsewhere: bool, passing: bool,
        load in 0.0f64..1.5, load_max in 0.0f64..=1.0, share in 0.0f64..=1.0, burst in 0u32..3,
        requests in 0u32..200, asked in 1u32..60,
    ) {
        let config = HedgeConfig { share, load_max, ..HedgeConfig::default() };
        let (allowance, budget) = (config.allowance(), RetryBudget::new(&BudgetConfig { share: 0.1, burst }));
        (0..requests).for_each(|_| { allowance.deposit(); budget.deposit(); });
        let before = (allowance.balance(), budget.balance());
        let now = Instant::ORIGIN + Duration::from_secs(1);
        let late = Late {
            now, deadline: now + Duration::from_secs(left), body_whole, elsewhere, passing, load,
        };
        let sent = (0..asked)
            .filter(|_| config.decide(&late, &allowance, &budget) == HedgeDecision::Send)
            .count();
        let spent = (before.0 - allowance.balance(), before.1 - budget.balance());
        prop_assert!((spent.0 - sent as f64).abs() < 1e-6 && (spent.1 - sent as f64).abs() < 1e-6, "{spent:?}");
        if sent > 0 {
            prop_assert!(left > 0 && body_whole && elsewhere && passing && load < load_max);
        } else if left > 0 && body_whole && elsewhere && passing && load < load_max {
            prop_assert!(before.0 < 1.0 || before.1 < 1.0, "nothing spoke against it");
        }
    }
}
