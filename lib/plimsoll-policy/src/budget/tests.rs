use super::*;
use proptest::prelude::*;

const THREADS: u64 = 8;
const EACH: u64 = 1_000;

/// Retries that one thread is granted for `EACH` requests, of which all attempts fail.
fn hammer(budget: &RetryBudget) -> u64 {
    let mut retries = 0;
    for _ in 0..EACH {
        budget.deposit();
        // At most two retries for each request, as with the default `retries_max`.
        retries += (0..2)
            .take_while(|_| budget.withdraw() == Withdrawal::Granted)
            .count() as u64;
    }
    retries
}

#[test]
fn every_percent_is_kept_exactly_by_eight_threads() {
    for percent in 1..=100u64 {
        let config = BudgetConfig {
            share: percent as f64 / 100.0,
            burst: 10,
        };
        let budget = RetryBudget::new(&config);
        let retries: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| hammer(&budget))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let earned = THREADS * EACH * percent / 100;
        assert!(retries <= earned + 10, "{percent} %: {retries} of {earned}");
        // Not stricter than it says: all that can be lost is what did not fit while the bucket was still full.
        assert!(
            retries >= earned.saturating_sub(1),
            "{percent} %: only {retries} of {earned}"
        );
        assert!(
            (0.0..1.0).contains(&budget.balance()),
            "{percent} %: {}",
            budget.balance()
        );
    }
}

#[test]
fn a_share_is_rounded_to_a_millionth_and_held_in_its_range() {
    let per_request = |share| {
        RetryBudget::new(&BudgetConfig { share, burst: 1 })
            .per_request
            .into_inner()
    };
    assert_eq!(
        [-1.0, 0.0, 0.15, 0.333_333_3, 1.0, 7.0, f64::NAN].map(per_request),
        [0, 0, 150_000, 333_333, TOKEN, TOKEN, 0]
    );
}

#[test]
fn no_burst_means_no_retries() {
    let budget = RetryBudget::new(&BudgetConfig { share: 1.0, burst: 0 });
    budget.deposit();
    budget.refund();
    assert_eq!(budget.withdraw(), Withdrawal::Exhausted);
}

#[test]
fn new_rules_grant_nothing() {
    let budget = RetryBudget::new(&BudgetConfig { share: 0.1, burst: 4 });
    assert_eq!(budget.withdraw(), Withdrawal::Granted);
    for (burst, left) in [(10, 3.0), (2, 2.0), (4, 2.0), (0, 0.0), (10, 0.0)] {
        budget.configure(&BudgetConfig { share: 0.5, burst });
        assert!(
            (budget.balance() - left).abs() < 1e-9,
            "burst {burst}: {}",
            budget.balance()
        );
    }
    budget.deposit();
    assert!((budget.balance() - 0.5).abs() < 1e-9, "the new share is paid in");
}

proptest! {
    /// Against the law itself, in any order of requests, retries and refunds.
    #[test]
    fn granted_less_refunded_never_exceeds_share_of_requests_plus_burst(
        percent in 0i64..=100, burst in 0u32..5, steps in prop::collection::vec(0u8..4, 0..500),
    ) {
        let budget = RetryBudget::new(&BudgetConfig { share: percent as f64 / 100.0, burst });
        let (mut requests, mut outstanding) = (0, 0);
        for step in steps {
            match step {
                0 | 1 => {
                    budget.deposit();
                    requests += 1;
                }
                2 if outstanding > 0 => {
                    budget.refund();
                    outstanding -= 1;
                }
                _ => outstanding += i64::from(budget.withdraw() == Withdrawal::Granted),
            }
            prop_assert!(outstanding * 100 <= percent * requests + i64::from(burst) * 100);
            prop_assert!((0.0..=f64::from(burst)).contains(&budget.balance()));
        }
    }
}
