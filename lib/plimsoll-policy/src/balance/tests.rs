use proptest::prelude::*;

use super::*;
use crate::SeededDice;

const TAU: Duration = Duration::from_secs(10);

/// How one simulated endpoint answers.
#[derive(Clone, Copy)]
struct Host {
    rtt: Duration,
    fails: bool,
    age: Duration,
}

fn host(rtt_ms: u64) -> Host {
    Host {
        rtt: Duration::from_millis(rtt_ms),
        fails: false,
        age: Duration::from_hours(1),
    }
}

/// Sends a request every millisecond for `seconds` to `hosts`, whose round trips vary by ±20 %.
/// Counts where they went.
fn simulate(hosts: &[Host], seconds: u64, penalise: bool) -> Vec<u64> {
    let mut dice = SeededDice::new(42);
    let mut ewmas = vec![PeakEwma::new(Duration::from_millis(30)); hosts.len()];
    let mut in_flight: Vec<(Instant, usize, Duration)> = Vec::new();
    let mut pending = vec![0u32; hosts.len()];
    let mut sent = vec![0; hosts.len()];
    for ms in 0..seconds * 1000 {
        let now = Instant::ORIGIN + Duration::from_millis(ms);
        in_flight.retain(|&(done, i, rtt)| {
            if done <= now {
                pending[i] -= 1;
                let sample = if penalise && hosts[i].fails {
                    penalty(None)
                } else {
                    rtt
                };
                ewmas[i].record(done, sample, TAU);
            }
            done > now
        });
        let cost = |i: usize| {
            Some(
                ewmas[i].load(now, pending[i])
                    * SlowStart::default().factor(hosts[i].age + now.since(Instant::ORIGIN)),
            )
        };
        let i = pick(hosts.len(), &mut dice, cost).unwrap();
        let rtt = hosts[i].rtt.mul_f64(0.8 + 0.4 * dice.unit());
        pending[i] += 1;
        sent[i] += 1;
        in_flight.push((now + rtt, i, rtt));
    }
    sent
}

#[test]
fn equal_hosts_share_evenly() {
    let sent = simulate(&[host(10); 5], 60, true);
    assert!(sent.iter().all(|&n| (11_000..13_000).contains(&n)), "{sent:?}");
}

#[test]
fn a_host_five_times_slower_gets_far_less() {
    let sent = simulate(&[host(10), host(10), host(50), host(10), host(10)], 60, true);
    assert!(sent[2] * 4 < sent[0], "{sent:?}");
    assert!(
        sent[2] > 0,
        "it must still be asked, or its recovery would go unseen: {sent:?}"
    );
}

#[test]
fn a_host_that_fails_fast_does_not_attract_traffic() {
    let failing = Host {
        fails: true,
        ..host(1)
    };
    let hosts = [host(10), host(10), failing, host(10), host(10)];
    let naive = simulate(&hosts, 60, false);
    assert!(naive[2] > naive[0], "without the penalty it would: {naive:?}");
    let sent = simulate(&hosts, 60, true);
    assert!(sent[2] * 100 < sent[0], "{sent:?}");
}

#[test]
fn a_young_host_is_brought_in_slowly() {
    let young = Host {
        age: Duration::ZERO,
        ..host(10)
    };
    let sent = simulate(&[host(10), host(10), host(10), host(10), young], 10, true);
    assert!(sent[4] * 3 < sent[0] * 2, "{sent:?}");
    assert!(sent[4] > 0, "{sent:?}");
}

#[test]
fn an_idle_slow_host_is_tried_again_by_one_request() {
    let at = |secs| Instant::ORIGIN + Duration::from_secs(secs);
    let mut slow = PeakEwma::new(Duration::from_millis(30));
    slow.record(at(0), Duration::from_secs(5), TAU);
    let mut good = PeakEwma::new(Duration::from_millis(30));
    good.record(at(90), Duration::from_millis(1), TAU);
    assert!(slow.load(at(1), 0) > good.load(at(90), 100));
    assert!(slow.load(at(90), 0) < good.load(at(90), 0), "forgiven");
    assert!(slow.load(at(90), 1) > good.load(at(90), 20), "but one at a time");
}

#[test]
fn what_was_given_up_keeps_a_host_from_being_forgiven() {
    let at = |secs| Instant::ORIGIN + Duration::from_secs(secs);
    let mut slow = PeakEwma::new(Duration::from_millis(30));
    slow.record(at(0), Duration::from_secs(5), TAU);
    // Five seconds are 0.6 ms after 90; a request that was given up after 20 ms says that they are still more.
    assert!(slow.load(at(90), 0) < 0.001);
    slow.record_at_least(at(90), Duration::from_millis(20), TAU);
    assert!((slow.load(at(90), 0) - 0.020).abs() < 1e-9);
    // Nothing is learned from one that was given up sooner than what is known, not even that it is slow still.
    slow.record_at_least(at(91), Duration::from_millis(1), TAU);
    assert!((slow.load(at(91), 0) - 0.020 * (-0.1_f64).exp()).abs() < 1e-9);
}

#[test]
fn an_unknown_host_is_tried_at_once_by_one_request() {
    let unknown = PeakEwma::new(Duration::from_millis(30));
    assert!(unknown.load(Instant::ORIGIN, 0) < 1e-9);
    assert!((unknown.load(Instant::ORIGIN, 1) - 0.060).abs() < 1e-9);
}

#[test]
fn two_choices_are_every_ordered_pair_equally_often() {
    let mut dice = SeededDice::new(3);
    let mut seen = [[0u32; 4]; 4];
    for _ in 0..12_000 {
        let (a, b) = choose_two(4, &mut dice).unwrap();
        seen[a][b] += 1;
    }
    for (a, row) in seen.iter().enumerate() {
        for (b, &n) in row.iter().enumerate() {
            if a == b {
                assert_eq!(n, 0);
            } else {
                assert!((850..1150).contains(&n), "{a},{b}: {n}");
            }
        }
    }
}

#[test]
fn without_a_time_constant_nothing_is_remembered() {
    let mut ewma = PeakEwma::new(Duration::from_millis(30));
    ewma.record(Instant::ORIGIN, Duration::from_secs(1), Duration::ZERO);
    assert!(ewma.load(Instant::ORIGIN, 0).abs() < f64::EPSILON);
}

proptest! {
    /// Whatever may not be used is not picked; if anything may be used, something is; nobody is asked twice.
    #[test]
    fn pick_finds_a_usable_endpoint(usable in prop::collection::vec(any::<bool>(), 0..12), seed: u64) {
        let mut asked = vec![0; usable.len()];
        let picked = pick(usable.len(), &mut SeededDice::new(seed), |i| {
            asked[i] += 1;
            usable[i].then_some(1.0)
        });
        match picked {
            Some(i) => prop_assert!(usable[i]),
            None => prop_assert!(usable.iter().all(|&u| !u)),
        }
        prop_assert!(asked.iter().all(|&n| n <= 1));
    }

    /// The estimate stays between the least and the greatest sample, and a load is a number.
    #[test]
    fn the_estimate_is_bounded_by_its_samples(
        samples in prop::collection::vec((0u64..5_000_000_000, 0u64..300_000), 1..50),
        tau_ms in 1u64..100_000,
    ) {
        let mut ewma = PeakEwma::new(Duration::from_millis(30));
        let mut now = Instant::ORIGIN;
        for &(wait_ns, rtt_ms) in &samples {
            now = now + Duration::from_nanos(wait_ns);
            ewma.record(now, Duration::from_millis(rtt_ms), Duration::from_millis(tau_ms));
        }
        let rtts = || samples.iter().map(|sample| sample.1 as f64);
        let (least, most) = (rtts().fold(f64::MAX, f64::min), rtts().fold(0.0, f64::max));
        let load = ewma.load(now, 0) * 1000.0;
        prop_assert!(load >= least - 1e-6 && load <= most + 1e-6, "{load} not in {least}..={most}");
    }

    #[test]
    fn slow_start_only_ever_falls(
        window_ms in 0u64..60_000,
        floor in -1.0f64..2.0,
        a_ms in 0u64..90_000,
        b_ms in 0u64..90_000,
    ) {
        let slow = SlowStart { window: Duration::from_millis(window_ms), floor };
        let (young, old) = (a_ms.min(b_ms), a_ms.max(b_ms));
        let factor = |age_ms| slow.factor(Duration::from_millis(age_ms));
        let (young, old) = (factor(young), factor(old));
        prop_assert!(young >= old && old >= 1.0 && young <= 100.0, "{young} {old}");
    }
}
