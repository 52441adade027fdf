use super::*;
use crate::script::{Middle, duration, pairs, show};
use crate::{BudgetConfig, SeededDice, transcript};
use proptest::prelude::*;

struct Table {
    config: RetryConfig,
    budget: RetryBudget,
    attempted: Attempted,
}

impl Table {
    fn new() -> Self {
        Self {
            config: RetryConfig::default(),
            budget: RetryBudget::new(&BudgetConfig::default()),
            attempted: request("GET left=15s"),
        }
    }

    /// `config`, `budget`, `request` set the table; `refused`, `status` and `grpc` are failures to decide on.
    fn play(&mut self, command: &str) -> String {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let (first, more) = rest.split_once(' ').unwrap_or((rest, ""));
        let kind = match verb {
            "config" => return self.configure(rest),
            "request" => {
                self.attempted = request(rest);
                return String::new();
            }
            "tokens" => return format!("{}", self.budget.balance()),
            "refused" => FailureKind::Refused(Reason::from_code(first).expect("a reason's code")),
            "status" => FailureKind::Status(first.parse().unwrap()),
            "grpc" => FailureKind::Grpc(first.parse().unwrap()),
            _ => panic!("unknown command {command}"),
        };
        let pushback = match pairs(more).next() {
            Some(("after", wait)) => Pushback::After(duration(wait)),
            Some(("never", _)) => Pushback::Never,
            _ => Pushback::None,
        };
        let failure = Failure { kind, pushback };
        match self.config.decide(
            Instant::ORIGIN,
            &self.attempted,
            &failure,
            &self.budget,
            &mut Middle,
        ) {
            RetryDecision::Again(wait) => format!("again after {}", show(wait)),
            RetryDecision::Stop(stop) => format!("stop: {}", stop.word()),
        }
    }

    fn configure(&mut self, words: &str) -> String {
        for (key, value) in pairs(words) {
            match key {
                "retries-max" => self.config.retries_max = value.parse().unwrap(),
                "statuses" => self.config.statuses = value.split(',').map(|s| s.parse().unwrap()).collect(),
                "on-timeout" => self.config.on_timeout = value.parse().unwrap(),
                "retry-after-max" => self.config.retry_after_max = duration(value),
                "idempotent" => self.config.idempotent = value.parse().unwrap(),
                "burst" => {
                    self.budget = RetryBudget::new(&BudgetConfig {
                        share: 0.0,
                        burst: value.parse().unwrap(),
                    });
                }
                _ => panic!("unknown key {key}"),
            }
        }
        String::new()
    }
}

/// A first attempt of a whole body with 15 s left, unless said otherwise.
fn request(words: &str) -> Attempted {
    let find = |key: &str| pairs(words).find(|(k, _)| *k == key).map(|(_, value)| value);
    let method = words.split(' ').next().unwrap();
    Attempted {
        repeatable: Repeatable::of(method, find("key").is_some()),
        retries_done: find("done").map_or(0, |n| n.parse().unwrap()),
        upstream_of_retry: find("is-retry").is_some(),
        body_replayable: find("body-lost").is_none(),
        deadline: Instant::ORIGIN + find("left").map_or(Duration::from_secs(15), duration),
    }
}

#[test]
fn scripts() {
    transcript::check("retry", || {
        let mut table = Table::new();
        move |command: &str| table.play(command)
    });
}

#[test]
fn what_our_own_refusals_keep_away_is_never_sent_again() {
    let mut table = Table::new();
    for reason in Reason::ALL
        .iter()
        .filter(|reason| reason.info().blame == plimsoll_slo::Blame::Us)
    {
        let expected = if *reason == Reason::FaultInjected {
            "again after 12.5ms"
        } else {
            "stop: not-retriable"
        };
        assert_eq!(table.play(&format!("refused {reason}")), expected, "{reason}");
    }
}

fn failures() -> impl Strategy<Value = Failure> {
    let kind = prop_oneof![
        prop::sample::select(Reason::ALL).prop_map(FailureKind::Refused),
        (100u16..600).prop_map(FailureKind::Status),
        (0u8..17).prop_map(FailureKind::Grpc),
    ];
    let pushback = prop_oneof![
        Just(Pushback::None),
        Just(Pushback::Never),
        (0u64..10_000).prop_map(|ms| Pushback::After(Duration::from_millis(ms))),
    ];
    (kind, pushback).prop_map(|(kind, pushback)| Failure { kind, pushback })
}

proptest! {
    /// The promises of the design, checked against what `decide` answers and not against how it gets there.
    #[test]
    fn a_retry_is_safe_in_time_and_paid_for(
        failure in failures(), method in prop::sample::select(vec!["GET", "POST", "PATCH", "DELETE"]),
        key: bool, retries_done in 0u32..4, upstream_of_retry: bool, body_replayable: bool,
        left in 0u64..3_000, burst in 0u32..2, seed: u64,
    ) {
        let budget = RetryBudget::new(&BudgetConfig { share: 0.0, burst });
        let attempted = Attempted {
            repeatable: Repeatable::of(method, key),
            retries_done, upstream_of_retry, body_replayable,
            deadline: Instant::ORIGIN + Duration::from_millis(left),
        };
        let config = RetryConfig::default();
        let decision = config.decide(Instant::ORIGIN, &attempted, &failure, &budget, &mut SeededDice::new(seed));
        let RetryDecision::Again(wait) = decision else {
            prop_assert_eq!(budget.withdraw() == Withdrawal::Granted, burst == 1, "a stop costs nothing");
            return Ok(());
        };
        let undelivered = matches!(failure.kind, FailureKind::Refused(r) if r.info().delivered == Delivered::No);
        prop_assert!(key || undelivered || method == "GET" || method == "DELETE");
        prop_assert!(retries_done < 2 && !upstream_of_retry && body_replayable && burst == 1);
        prop_assert!(Instant::ORIGIN + wait < attempted.deadline);
        prop_assert!(failure.pushback != Pushback::Never);
        if let Pushback::After(least) = failure.pushback {
            prop_assert!(wait >= least && least <= config.retry_after_max);
        }
        prop_assert_eq!(budget.withdraw(), Withdrawal::Exhausted);
    }
}
