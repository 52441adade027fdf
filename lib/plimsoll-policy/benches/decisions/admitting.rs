//! What every request asks of the policies while all is well: one entry per decision.
//!
//! The benchmark times this list and a test proves that nothing on it allocates, so what is promised and what is
//! measured cannot drift apart. Each entry insists on being admitted: a refusal may be dearer (it is told to a
//! caller), and must not be measured by mistake.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_policy::{
    Adaptive, AdaptiveConfig, Attempted, Backoff, Breaker, BreakerConfig, BreakerDecision, BudgetConfig,
    Bulkhead, BulkheadDecision, Candidate, DeadlineConfig, DeadlineDecision, Failure, FailureKind,
    FaultAction, FaultConfig, FaultRule, HedgeConfig, HedgeDecision, HedgePlan, KeyedLimiter, Late, PeakEwma,
    Pushback, Quota, RateDecision, Repeatable, Report, RetryBudget, RetryConfig, RetryDecision, Sample,
    SeededDice, Slots, Usual, Withdrawal, gcra, hash_key, is_safe, pick,
};
use plimsoll_slo::Instant;

/// One kind of decision, ready to be made any number of times.
pub(crate) struct Decision {
    pub(crate) name: &'static str,
    repeat: Box<dyn FnMut(u32)>,
}

impl Decision {
    /// `decide` is called with a clock that moves on by 10 µs each time, as at 100,000 requests per second.
    fn new(name: &'static str, mut decide: impl FnMut(Instant) + 'static) -> Self {
        let mut now = Instant::from_nanos(1_000_000_000);
        // The loop is inside of the one dynamic call, so that the call is not part of what is timed.
        let repeat = move |times| {
            for _ in 0..times {
                now = now + Duration::from_micros(10);
                decide(black_box(now));
            }
        };
        Self {
            name,
            repeat: Box::new(repeat),
        }
    }

    /// Decides so many times.
    pub(crate) fn repeat(&mut self, times: u32) {
        (self.repeat)(times);
    }
}

/// Every decision, in the order in which a request meets them.
pub(crate) fn decisions() -> Vec<Decision> {
    vec![
        deadline(),
        key(),
        one_quota(),
        quota_by_key(),
        fault(),
        slots(),
        bulkhead(),
        breaker(),
        choice(),
        estimate(),
        self_time(),
        deposit(),
        backoff(),
        withdrawal(),
        retry(),
        hedge_plan(),
        hedge(),
    ]
}

fn deadline() -> Decision {
    let config = DeadlineConfig::default();
    let (asked, typical) = (Some(Duration::from_secs(2)), Some(Duration::from_millis(40)));
    Decision::new("deadline: admit", move |now| {
        let decision = config.admit(now, black_box(asked), black_box(typical));
        assert!(matches!(decision, DeadlineDecision::Admit(_)));
    })
}

fn key() -> Decision {
    Decision::new("rate limit: hash a key", |_| {
        let parts: [&[u8]; 2] = [b"tenant-4711", b"place-order"];
        black_box(hash_key(7, black_box(&parts)));
    })
}

fn one_quota() -> Decision {
    let quota = generous();
    let mut kept = 0;
    Decision::new("rate limit: decide", move |now| {
        let RateDecision::Admit { tat, .. } = gcra(kept, now, &quota, 1) else {
            unreachable!("ten times as much is allowed as is asked");
        };
        kept = tat;
    })
}

fn quota_by_key() -> Decision {
    let quota = generous();
    let mut limiter = KeyedLimiter::new(100_000);
    // As many callers as do not fit into the first two caches, in an order that no prefetcher guesses.
    let keys: Vec<u64> = (0..50_000_u64)
        .map(|n| hash_key(7, &[&n.to_le_bytes()]))
        .collect();
    let mut turn = 0;
    Decision::new("rate limit: decide, one of 50,000 keys", move |now| {
        turn = (turn + 1) % keys.len();
        let decision = limiter.decide(now, keys[turn], &quota, 1);
        assert!(matches!(decision, RateDecision::Admit { .. }));
    })
}

fn fault() -> Decision {
    let rule = |by_header: Option<&str>| FaultRule {
        share: 0.0,
        by_header: by_header.map(str::to_owned),
        action: FaultAction::Disconnect,
    };
    let config = FaultConfig {
        rules: vec![rule(None), rule(Some("slow-db")), rule(Some("no-db"))],
    };
    let mut dice = SeededDice::new(1);
    Decision::new("fault: decide, three rules", move |_| {
        assert!(config.decide(black_box(None), &mut dice).is_none());
    })
}

fn slots() -> Decision {
    let slots = Slots::new(20);
    Decision::new("adaptive limit: enter and leave", move |_| {
        assert!(slots.enter());
        assert!(!slots.leave());
    })
}

fn self_time() -> Decision {
    let usual = Usual::default();
    let mut adaptive = Adaptive::new(AdaptiveConfig::default(), Instant::ORIGIN);
    let mut millis = 0;
    Decision::new("adaptive limit: take in a self time", move |now| {
        millis = millis % 20 + 1;
        let took = black_box(Duration::from_millis(millis));
        let ratio = usual.ratio(took);
        if adaptive.is_learning() {
            usual.learn(now, took);
        }
        black_box(adaptive.record(now, Sample { took, ratio, busy: 7 }));
    })
}

fn bulkhead() -> Decision {
    let bulkhead = Arc::new(Bulkhead::default());
    Decision::new("bulkhead: enter and leave", move |_| {
        let decision = black_box(bulkhead.enter());
        assert!(matches!(decision, BulkheadDecision::Admit(_)));
    })
}

fn breaker() -> Decision {
    let mut breaker = Breaker::new(BreakerConfig::default());
    let mut dice = SeededDice::new(1);
    Decision::new("breaker: admit and report", move |now| {
        let BreakerDecision::Admit(pass) = breaker.admit(now, &mut dice) else {
            unreachable!("nothing ever fails");
        };
        breaker.report(now, black_box(pass), Report::Success);
    })
}

fn choice() -> Decision {
    let measured = |n: u64| {
        let mut ewma = PeakEwma::new(Duration::from_millis(30));
        ewma.record(
            Instant::ORIGIN,
            Duration::from_millis(10 + n),
            Duration::from_secs(10),
        );
        ewma
    };
    let endpoints: Vec<PeakEwma> = (0..8).map(measured).collect();
    let mut dice = SeededDice::new(1);
    Decision::new("balance: pick one of eight", move |now| {
        let picked = pick(endpoints.len(), &mut dice, |at| {
            Some(endpoints[at].load(now, black_box(3)))
        });
        assert!(black_box(picked).is_some());
    })
}

fn estimate() -> Decision {
    let mut ewma = PeakEwma::new(Duration::from_millis(30));
    Decision::new("balance: record a round trip", move |now| {
        ewma.record(now, black_box(Duration::from_millis(10)), Duration::from_secs(10));
        black_box(&ewma);
    })
}

fn deposit() -> Decision {
    let budget = RetryBudget::new(&BudgetConfig::default());
    Decision::new("retry budget: deposit", move |_| black_box(&budget).deposit())
}

fn backoff() -> Decision {
    let backoff = Backoff::default();
    let mut dice = SeededDice::new(1);
    Decision::new("backoff: delay", move |_| {
        black_box(backoff.delay(black_box(2), &mut dice));
    })
}

fn withdrawal() -> Decision {
    let budget = RetryBudget::new(&BudgetConfig::default());
    Decision::new("retry budget: withdraw and refund", move |_| {
        assert_eq!(black_box(&budget).withdraw(), Withdrawal::Granted);
        budget.refund();
    })
}

fn retry() -> Decision {
    let config = RetryConfig::default();
    let budget = RetryBudget::new(&BudgetConfig::default());
    let mut dice = SeededDice::new(1);
    let failure = Failure {
        kind: FailureKind::Status(503),
        pushback: Pushback::None,
    };
    Decision::new("retry: decide and refund", move |now| {
        let attempted = Attempted {
            repeatable: Repeatable::of(black_box("GET"), false),
            retries_done: 0,
            upstream_of_retry: false,
            body_replayable: true,
            deadline: now + Duration::from_secs(15),
        };
        let decision = config.decide(now, &attempted, black_box(&failure), &budget, &mut dice);
        assert!(matches!(decision, RetryDecision::Again(_)));
        budget.refund();
    })
}

fn hedge_plan() -> Decision {
    let config = HedgeConfig::default();
    let p95 = Some(Duration::from_millis(20));
    Decision::new("hedge: plan", move |_| {
        let candidate = Candidate {
            safe: is_safe(black_box("GET")),
            upstream_of_retry: false,
        };
        let plan = config.plan(&candidate, black_box(p95));
        assert!(matches!(plan, HedgePlan::After(_)));
    })
}

fn hedge() -> Decision {
    let config = HedgeConfig::default();
    let (allowance, budget) = (config.allowance(), RetryBudget::new(&BudgetConfig::default()));
    Decision::new("hedge: decide and refund", move |now| {
        let late = Late {
            now,
            deadline: now + Duration::from_secs(15),
            body_whole: true,
            elsewhere: true,
            passing: true,
            load: black_box(0.2),
        };
        assert_eq!(config.decide(&late, &allowance, &budget), HedgeDecision::Send);
        allowance.refund();
        budget.refund();
    })
}

/// A million requests per second, ten times what the clock of [`Decision::new`] lets through.
fn generous() -> Quota {
    Quota::new(1_000_000, Duration::from_secs(1), 1_000).expect("neither number is zero")
}
