use proptest::prelude::*;

use super::*;

/// A token bucket in exact arithmetic, written without looking at GCRA: tokens in units of one T-th, filled
/// by one unit per nanosecond.
struct Bucket {
    level: u128,
    at: u64,
}

impl Bucket {
    fn take(&mut self, now: u64, quota: &Quota, cost: u32) -> bool {
        let (interval, burst) = (quota.interval().as_nanos(), u128::from(quota.burst()));
        self.level = (self.level + u128::from(now - self.at)).min(interval * burst);
        self.at = now;
        let asked = interval * u128::from(cost).min(burst);
        let enough = self.level >= asked;
        if enough {
            self.level -= asked;
        }
        enough
    }
}

fn any_quota() -> impl Strategy<Value = Quota> {
    (1u32..2_000, 1u64..100_000_000_000, 1u32..50)
        .prop_filter_map("a rate of at most one per nanosecond", |(count, per, burst)| {
            Quota::new(count, Duration::from_nanos(per), burst)
        })
}

/// Waits, in sixteenths of the quota's interval so that boundaries are hit, and costs.
fn any_arrivals() -> impl Strategy<Value = Vec<(u64, u32)>> {
    prop::collection::vec((0u64..100, prop_oneof![4 => Just(1u32), 1 => 0u32..60]), 1..200)
}

proptest! {
    #[test]
    fn gcra_is_an_exact_token_bucket(
        quota in any_quota(),
        arrivals in any_arrivals(),
        start in 0u64..1 << 60,
    ) {
        let mut bucket = Bucket { level: quota.refill().as_nanos(), at: start };
        let (mut now, mut kept) = (start, 0);
        for (wait, cost) in arrivals {
            now += wait * (quota.interval / 16).max(1);
            let decision = gcra(kept, Instant::from_nanos(now), &quota, cost);
            prop_assert_eq!(matches!(decision, RateDecision::Admit { .. }), bucket.take(now, &quota, cost));
            let missing = (quota.refill().as_nanos() - bucket.level) as u64;
            match decision {
                RateDecision::Admit { tat, remaining, reset } => {
                    prop_assert_eq!(u128::from(remaining), bucket.level / quota.interval().as_nanos());
                    prop_assert_eq!(reset, Duration::from_nanos(missing));
                    kept = tat;
                }
                RateDecision::Refuse { retry_after, reset } => {
                    prop_assert_eq!(reset, Duration::from_nanos(missing));
                    let then = Instant::from_nanos(now) + retry_after;
                    let just_before = then.before(Duration::from_nanos(1));
                    let admits = |at| matches!(gcra(kept, at, &quota, cost), RateDecision::Admit { .. });
                    prop_assert!(admits(then) && !admits(just_before), "retry_after is exact");
                }
            }
        }
    }

    /// Over every stretch of time: admitted ≤ burst + elapsed × rate, by the rate that was asked for and not
    /// the rounded one.
    #[test]
    fn the_rate_is_never_exceeded(
        count in 1u32..1_000,
        per in 1_000u64..1_000_000,
        burst in 1u32..20,
        arrivals in any_arrivals(),
    ) {
        let quota = Quota::new(count, Duration::from_nanos(per), burst).unwrap();
        let (mut now, mut kept, mut admitted) = (0, 0, Vec::new());
        for (wait, _) in arrivals {
            now += wait * (quota.interval / 16).max(1);
            if let RateDecision::Admit { tat, .. } = gcra(kept, Instant::from_nanos(now), &quota, 1) {
                kept = tat;
                admitted.push(now);
            }
        }
        for (i, first) in admitted.iter().enumerate() {
            for (j, last) in admitted.iter().enumerate().skip(i) {
                let beyond_burst = (j - i + 1).saturating_sub(burst as usize) as u64;
                prop_assert!(beyond_burst * per <= (last - first) * u64::from(count));
            }
        }
    }

    /// As long as nobody with a TAT was evicted, every caller is limited as if it were alone.
    #[test]
    fn a_keyed_limiter_is_many_limiters(
        quota in any_quota(),
        requests in prop::collection::vec((0u64..20, 0u64..40), 1..400),
    ) {
        let mut limiter = KeyedLimiter::new(64);
        let mut alone = std::collections::HashMap::new();
        let mut now = 0;
        for (wait, caller) in requests {
            now += wait * (quota.interval / 16).max(1);
            let at = Instant::from_nanos(now);
            let kept = alone.entry(caller).or_insert(0);
            let expected = gcra(*kept, at, &quota, 1);
            if let RateDecision::Admit { tat, .. } = expected {
                *kept = tat;
            }
            let decided = limiter.decide(at, hash_key(9, &[&caller.to_le_bytes()]), &quota, 1);
            if limiter.evicted_live() > 0 {
                break;
            }
            prop_assert_eq!(decided, expected);
        }
    }

    /// Eight callers always fit, even if all their keys fall into one set.
    #[test]
    fn one_set_holds_eight(
        quota in any_quota(),
        requests in prop::collection::vec((0u64..20, 0u64..8), 1..400),
    ) {
        let mut limiter = KeyedLimiter::new(1024);
        let mut now = 0;
        for (wait, caller) in requests {
            now += wait * (quota.interval / 16).max(1);
            let _decision = limiter.decide(Instant::from_nanos(now), caller << 32, &quota, 1);
        }
        prop_assert_eq!(limiter.evicted_live(), 0);
    }
}

#[test]
fn a_ninth_caller_evicts_the_least_indebted_and_is_counted() {
    let quota = Quota::new(1, Duration::from_secs(1), 4).unwrap();
    let now = Instant::from_nanos(1_000_000_000_000);
    let mut limiter = KeyedLimiter::new(8);
    assert_eq!(limiter.capacity(), 8);
    for key in 0..8 {
        let cost = if key == 5 { 1 } else { 2 };
        assert!(matches!(
            limiter.decide(now, key, &quota, cost),
            RateDecision::Admit { .. }
        ));
    }
    let admitted = limiter.decide(now, 8, &quota, 4);
    assert!(matches!(admitted, RateDecision::Admit { remaining: 0, .. }));
    assert_eq!(limiter.evicted_live(), 1);
    let again = limiter.decide(now, 5, &quota, 4);
    assert!(
        matches!(again, RateDecision::Admit { .. }),
        "5 was forgotten, with the one request it had used"
    );

    let later = now + Duration::from_mins(1);
    let _decision = limiter.decide(later, 99, &quota, 1);
    assert_eq!(
        limiter.evicted_live(),
        2,
        "a full bucket is as good as none: its eviction is exact"
    );
}

#[test]
fn memory_is_constant_under_a_flood_of_keys() {
    let quota = Quota::new(10, Duration::from_secs(1), 10).unwrap();
    let mut limiter = KeyedLimiter::new(100);
    let place = limiter.capacity();
    for key in 0..100_000u64 {
        let _decision = limiter.decide(
            Instant::from_nanos(1),
            hash_key(1, &[&key.to_le_bytes()]),
            &quota,
            1,
        );
    }
    assert_eq!((place, limiter.capacity()), (128, 128));
    assert_eq!(limiter.evicted_live(), 100_000 - 128);
}

/// As Linux counts them, in KiB.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_table_takes_memory_for_the_callers_that_come() {
    let quota = Quota::new(10, Duration::from_secs(1), 10).unwrap();
    let before = resident();
    // Room for 4 million: 64 MiB. The tests beside this one take less than a quarter of that.
    let mut limiter = KeyedLimiter::new(1 << 22);
    for key in 0..100u64 {
        let key = hash_key(1, &[&key.to_le_bytes()]);
        let _decision = limiter.decide(Instant::from_nanos(1), key, &quota, 1);
    }
    let taken = resident().saturating_sub(before);
    assert!(taken < 16 << 10, "{taken} KiB");
}

#[test]
fn a_caller_that_is_being_refused_survives_a_flood_of_new_keys() {
    let quota = Quota::new(1, Duration::from_secs(1), 10).unwrap();
    let now = Instant::from_nanos(1);
    let mut limiter = KeyedLimiter::new(8);
    assert!(matches!(
        limiter.decide(now, 7, &quota, 10),
        RateDecision::Admit { .. }
    ));
    for key in 100..10_000 {
        let _decision = limiter.decide(now, key, &quota, 1);
    }
    assert!(matches!(
        limiter.decide(now, 7, &quota, 1),
        RateDecision::Refuse { .. }
    ));
}

#[test]
fn a_looser_quota_after_a_reload_holds_at_once() {
    let hourly = Quota::new(1, Duration::from_hours(1), 5).unwrap();
    let now = Instant::from_nanos(77);
    let RateDecision::Admit { tat, .. } = gcra(0, now, &hourly, 5) else {
        panic!("the bucket is full")
    };
    let fast = Quota::new(10, Duration::from_secs(1), 5).unwrap();
    let RateDecision::Refuse { retry_after, .. } = gcra(tat, now, &fast, 1) else {
        panic!("it is empty")
    };
    assert_eq!(retry_after, Duration::from_millis(100), "not hours");
}

#[test]
fn quotas_that_cannot_be_kept_are_not_made() {
    let second = Duration::from_secs(1);
    assert_eq!(Quota::new(1, Duration::ZERO, 1), None);
    assert_eq!(Quota::new(1, second, 0), None);
    assert_eq!(
        Quota::new(2, Duration::from_nanos(1), 1),
        None,
        "two per nanosecond"
    );
    assert_eq!(Quota::new(1, Duration::MAX, 1), None);
    assert_eq!(
        Quota::new(1, Duration::from_hours(24), u32::MAX),
        None,
        "eleven million years to fill"
    );
    assert_eq!(
        Quota::new(3, second, 1).unwrap().interval(),
        Duration::from_nanos(333_333_334),
        "rounded up"
    );
}
