//! A candidate beside what it is to replace: how soon a worse one is found, and how seldom one that is none.
//!
//! The tables are those of `cargo xtask bench rollouts`, at fewer runs.

use plimsoll_slo::{Arm, Comparison, Epoch, Finding, KeySlots, SLOTS, Seen, Sign, Terms, beyond};

use crate::dice::Dice;

/// The evidence of failures is 0.7 of all, and that since the first epoch half of it; so this is a test of them alone.
const OF_ONE: f64 = 1.0 / (0.7 * 0.5);

/// A candidate with a share of all requests, and how likely a request of each fails.
#[derive(Clone, Copy)]
struct Story {
    share: f64,
    candidate: f64,
    stable: f64,
}

impl Story {
    /// Requests of the candidate until it is found bad; `None` if it is not among so many requests of both.
    fn until_bad(self, dice: &mut Dice, terms: &Terms, most: u64) -> Option<u64> {
        let mut epoch = Epoch {
            share: self.share,
            candidate: Seen::default(),
            stable: Seen::default(),
        };
        for _ in 0..most {
            let is_candidate = dice.share() < self.share;
            let (fails, seen) = if is_candidate {
                (self.candidate, &mut epoch.candidate)
            } else {
                (self.stable, &mut epoch.stable)
            };
            seen.events += 1;
            // What is good changes nothing about failures.
            if dice.share() < fails {
                seen.failed += 1;
                let found = Comparison::of(&[even(epoch)], 0, terms);
                if matches!(found.finding, Finding::Bad(_)) {
                    return Some(epoch.candidate.events);
                }
            }
        }
        None
    }

    /// The mean, and how many of a hundred took no longer than the second.
    fn delays(self, terms: &Terms, runs: u64) -> (f64, u64) {
        let mut found: Vec<u64> = (0..runs)
            .map(|seed| {
                let found = self.until_bad(&mut Dice::new(seed), terms, 10_000_000);
                found.expect("it is worse")
            })
            .collect();
        found.sort_unstable();
        let mean = found.iter().sum::<u64>() as f64 / runs as f64;
        (mean, found[found.len() * 95 / 100])
    }
}

/// As if requests had been split exactly: the test of that is another one.
fn even(mut epoch: Epoch) -> Epoch {
    epoch.candidate.events = 0;
    epoch.stable.events = 0;
    epoch
}

fn terms(alpha: f64) -> Terms {
    Terms {
        alpha,
        tolerated: 1.0,
        ..Terms::default()
    }
}

/// Requests of the candidate until it is found, in the mean and in 95 of 100 runs: as they were computed for the research
/// on this test, with another program, and what may be off by chance.
#[test]
fn who_is_worse_is_found_as_soon_as_was_computed() {
    for (share, candidate, stable, alpha, mean, p95, runs) in [
        (0.01, 0.05, 0.01, 0.01, 146.0, 343.0, 200),
        (0.05, 0.05, 0.01, 0.01, 167.0, 384.0, 400),
        (0.10, 0.05, 0.01, 0.01, 180.0, 384.0, 400),
        (0.25, 0.05, 0.01, 0.01, 232.0, 508.0, 400),
        (0.50, 0.05, 0.01, 0.01, 361.0, 763.0, 400),
        (0.05, 0.05, 0.01, 0.001, 235.0, 492.0, 400),
        (0.10, 0.05, 0.01, 0.001, 250.0, 503.0, 400),
        (0.10, 0.05, 0.01, 0.0001, 331.0, 629.0, 400),
        (0.50, 0.01, 0.001, 0.01, 1_248.0, 2_355.0, 200),
        (0.05, 1.0, 0.001, 0.01, 3.0, 3.0, 400),
        (0.50, 1.0, 0.001, 0.01, 9.0, 9.0, 400),
    ] {
        let story = Story {
            share,
            candidate,
            stable,
        };
        let (found, found_95) = story.delays(&terms(OF_ONE * alpha), runs);
        assert!(
            (found / mean - 1.0).abs() < 0.15,
            "{share}, {alpha}: {found} in the mean, not {mean}"
        );
        let off = found_95 as f64 / p95 - 1.0;
        assert!(
            off.abs() < 0.25,
            "{share}, {alpha}: {found_95} in 95 of 100, not {p95}"
        );
    }
}

/// Seconds of a service in which a request takes 100 ms in the median, and one in a hundred eight times as long as it
/// would (log-normal, with a standard deviation of 0.6 of the logarithm).
fn took(dice: &mut Dice) -> f64 {
    let normal = (-2.0 * (1.0 - dice.share()).ln()).sqrt() * (core::f64::consts::TAU * dice.share()).cos();
    let tail = if dice.share() < 0.01 { 8.0 } else { 1.0 };
    0.1 * (0.6 * normal).exp() * tail
}

/// See [`who_is_worse_is_found_as_soon_as_was_computed`].
#[test]
fn who_is_slower_is_found_as_soon_as_was_computed() {
    let mut dice = Dice::new(7);
    let mut usual: Vec<f64> = (0..200_000).map(|_| took(&mut dice)).collect();
    usual.sort_by(f64::total_cmp);
    let quantiles = plimsoll_slo::SLOW.map(|share| usual[(share * usual.len() as f64) as usize]);
    // A fifth of what may be wrong is for slowness, and half of that for what begins with the first epoch.
    let terms = Terms {
        tolerated_slow: 1.0,
        ..terms(0.01 / (0.2 * 0.5))
    };
    for (share, slower, mean, runs) in [
        (0.1, 2.0, 26.0, 400),
        (0.5, 2.0, 58.0, 400),
        (0.1, 1.5, 77.0, 400),
        (0.1, 1.2, 433.0, 200),
        (0.5, 1.2, 812.0, 200),
    ] {
        let until_bad = |seed| {
            let mut dice = Dice::new(seed);
            let mut epoch = Epoch {
                share,
                candidate: Seen::default(),
                stable: Seen::default(),
            };
            loop {
                let is_candidate = dice.share() < share;
                let (seen, times) = if is_candidate {
                    (&mut epoch.candidate, slower)
                } else {
                    (&mut epoch.stable, 1.0)
                };
                let took = times * took(&mut dice);
                seen.events += 1;
                for (slow, quantile) in seen.slow.iter_mut().zip(quantiles) {
                    *slow += u64::from(took > quantile);
                }
                if let Finding::Bad(sign) = Comparison::of(&[even(epoch)], 0, &terms).finding {
                    assert!(matches!(sign, Sign::Slow(_)), "{sign:?}");
                    return epoch.candidate.events;
                }
            }
        };
        let found = (0..runs).map(until_bad).sum::<u64>() as f64 / runs as f64;
        assert!(
            (found / mean - 1.0).abs() < 0.2,
            "{share}, {slower}: {found} in the mean, not {mean}"
        );
    }
}

/// The guard beside it: requests until it is beyond chance that more fails than an objective of 99.9 % allows.
#[test]
fn what_hurts_both_is_found_by_the_objective() {
    for (fails, mean) in [(0.01, 472.0), (0.05, 52.0), (0.1, 20.0)] {
        let until = |seed| {
            let mut dice = Dice::new(seed);
            let (mut good, mut bad) = (0, 0);
            while beyond(good, bad, 0.001) < 100.0 {
                if dice.share() < fails {
                    bad += 1;
                } else {
                    good += 1;
                }
            }
            good + bad
        };
        let found = (0..1_000).map(until).sum::<u64>() as f64 / 1_000.0;
        assert!(
            (found / mean - 1.0).abs() < 0.15,
            "{fails}: {found} in the mean, not {mean}"
        );
    }
    let is_wrong = |seed| {
        let mut dice = Dice::new(seed);
        let mut bad = 0;
        (1..=100_000_u64).any(|all| {
            let fails = dice.share() < 0.001;
            bad += u64::from(fails);
            fails && beyond(all - bad, bad, 0.001) >= 100.0
        })
    };
    let wrong = (0..300).filter(|seed| is_wrong(*seed)).count();
    assert!(wrong <= 8, "{wrong} of 300, where 1 in 100 may be");
}

/// Failures of both until a candidate that is as good is known to be, where one request in a hundred fails.
#[test]
fn who_is_as_good_is_known_to_be_after_so_many_failures() {
    for (share, next, mean) in [(0.5, 1.0, 57.0), (0.1, 1.0, 135.0)] {
        let terms = Terms {
            next,
            ..Terms::default()
        };
        let until = |seed| {
            let mut dice = Dice::new(seed);
            let mut epoch = Epoch {
                share,
                candidate: Seen::default(),
                stable: Seen::default(),
            };
            loop {
                let seen = if dice.share() < share {
                    &mut epoch.candidate
                } else {
                    &mut epoch.stable
                };
                seen.failed += 1;
                let failures = Comparison::of(&[epoch], 0, &terms).signs[0];
                if failures.as_good >= Some(1.0) || epoch.candidate.failed + epoch.stable.failed > 5_000 {
                    return epoch.candidate.failed + epoch.stable.failed;
                }
            }
        };
        let found = (0..500).map(until).sum::<u64>() as f64 / 500.0;
        assert!(
            (found / mean - 1.0).abs() < 0.25,
            "{share}: {found} in the mean, not {mean}"
        );
    }
}

/// A rollout in steps, of a candidate that is as good; in the middle of it an incident, in which both fail fifty times as
/// often.
#[test]
fn an_incident_of_both_convicts_nobody() {
    const STEP: u64 = 20_000;
    let terms = terms(0.01);
    let is_wrong = |seed| {
        let mut dice = Dice::new(seed);
        let mut epochs: Vec<Epoch> = Vec::new();
        for (step, share) in [0.01, 0.05, 0.1, 0.25, 0.5].into_iter().enumerate() {
            epochs.push(Epoch {
                share,
                candidate: Seen::default(),
                stable: Seen::default(),
            });
            let fails = if step == 2 { 0.05 } else { 0.001 };
            // Only what fails tells anything.
            for _ in 0..dice.poisson(STEP as f64 * fails) {
                let is_candidate = dice.share() < share;
                let epoch = epochs.last_mut().expect("one was put there");
                let seen = if is_candidate {
                    &mut epoch.candidate
                } else {
                    &mut epoch.stable
                };
                seen.failed += 1;
                if matches!(Comparison::of(&epochs, step, &terms).finding, Finding::Bad(_)) {
                    return true;
                }
            }
        }
        false
    };
    let wrong = (0..300).filter(|seed| is_wrong(*seed)).count();
    assert!(wrong <= 8, "{wrong} of 300, where 1 in 100 may be");
}

/// Users of whom some fail half the time, whatever version they get, and keep to the one they got.
struct Users {
    dice: Dice,
    slots: Vec<u16>,
    failing: Vec<bool>,
}

impl Users {
    fn new(seed: u64, users: usize) -> Self {
        let mut dice = Dice::new(seed);
        Self {
            slots: (0..users)
                .map(|_| (dice.share() * f64::from(SLOTS)) as u16)
                .collect(),
            failing: (0..users).map(|_| dice.share() < 0.02).collect(),
            dice,
        }
    }

    /// The slot of the next request, and whether it fails. Few users make most of the requests.
    fn request(&mut self) -> (u16, bool) {
        let user = (self.slots.len() as f64 * self.dice.share().powi(3)) as usize;
        let fails = if self.failing[user] { 0.5 } else { 0.0005 };
        (self.slots[user], self.dice.share() < fails)
    }
}

/// How many of so many rollouts are rolled back, in which users keep to a version; each request counts, or each slot once.
fn wrong_with_users(runs: u64, each_counts: bool) -> usize {
    let terms = terms(0.01);
    let is_wrong = |seed| {
        let mut users = Users::new(seed, 2_000);
        let mut epochs: Vec<Epoch> = Vec::new();
        let mut before = 0;
        for (step, share) in [0.05, 0.25, 0.5].into_iter().enumerate() {
            let boundary = (share * f64::from(SLOTS)) as u16;
            let mut keys = KeySlots::default();
            let mut each = Epoch {
                share,
                candidate: Seen::default(),
                stable: Seen::default(),
            };
            epochs.push(each);
            for _ in 0..10_000 {
                let (slot, fails) = users.request();
                let arm = if slot < boundary {
                    Arm::Candidate
                } else {
                    Arm::Stable
                };
                if !fails {
                    continue;
                }
                let is_news = keys.failed.insert(slot);
                let seen = match arm {
                    Arm::Candidate => &mut each.candidate,
                    Arm::Stable => &mut each.stable,
                };
                seen.failed += 1;
                epochs[step] = if each_counts {
                    each
                } else {
                    keys.epoch(boundary, before)
                };
                if (each_counts || is_news)
                    && matches!(Comparison::of(&epochs, step, &terms).finding, Finding::Bad(_))
                {
                    return true;
                }
            }
            before = boundary;
        }
        false
    };
    (0..runs).filter(|seed| is_wrong(*seed)).count()
}

#[test]
fn users_who_keep_to_a_version_count_once() {
    let naive = wrong_with_users(100, true);
    let right = wrong_with_users(300, false);
    assert!(
        naive >= 10,
        "each request counts, and {naive} of 100 are wrong: then nothing is shown here"
    );
    assert!(right <= 8, "{right} of 300, where 1 in 100 may be");
}

#[test]
fn what_becomes_worse_late_is_found_and_what_was_good_is_not_good_for_ever() {
    let seen = |failed| Seen {
        failed,
        ..Seen::default()
    };
    let fine = Epoch {
        share: 0.25,
        candidate: seen(250),
        stable: seen(750),
    };
    let terms = Terms::default();
    let mut epochs = vec![fine; 3];
    let all = |epochs: &[Epoch]| Comparison::of(epochs, epochs.len() - 1, &terms);
    assert_eq!(
        all(&epochs).finding,
        Finding::Undecided,
        "what is slow is not known"
    );
    assert!(all(&epochs).signs[0].as_good >= Some(1.0));
    // It leaks: as many fail again as of the stable version, three times its share.
    epochs.push(Epoch {
        share: 0.25,
        candidate: seen(70),
        stable: seen(70),
    });
    let found = all(&epochs);
    assert!(found.signs[0].as_good < Some(1.0), "{found:?}");
    assert_eq!(found.finding, Finding::Bad(Sign::Failures), "{found:?}");
    // Had it gone into one epoch with what was before, it would be hidden in it.
    let one = epochs
        .iter()
        .fold((seen(0), seen(0)), |(candidate, stable), epoch| {
            (candidate.and(epoch.candidate), stable.and(epoch.stable))
        });
    let one = Epoch {
        share: 0.25,
        candidate: one.0,
        stable: one.1,
    };
    assert_eq!(all(&[one]).finding, Finding::Undecided);
}

#[test]
fn what_never_fails_is_good_by_its_objective_and_by_time_never() {
    let slow = |events: u64| [events / 2, events / 10, events / 100];
    let seen = |events| Seen {
        events,
        failed: 0,
        slow: slow(events),
    };
    let epoch = |events: u64| Epoch {
        share: 0.5,
        candidate: seen(events),
        stable: seen(events),
    };
    let with = |allowed| Terms {
        allowed,
        ..Terms::default()
    };
    let found = |events, allowed| Comparison::of(&[epoch(events)], 0, &with(allowed)).finding;
    assert_eq!(
        found(10_000_000, None),
        Finding::Undecided,
        "there is nothing to compare"
    );
    assert_eq!(
        found(1_000, Some(0.001)),
        Finding::Undecided,
        "a thousand say little about one in a thousand"
    );
    assert_eq!(found(10_000, Some(0.001)), Finding::Good);
    assert_eq!(
        Comparison::of(&[], 0, &with(Some(0.001))).finding,
        Finding::Undecided
    );
    // How much more it takes is told, and is about right.
    let more = Comparison::of(&[epoch(2_000)], 0, &with(Some(0.001)))
        .more
        .unwrap();
    assert!((0.1..4.0).contains(&more), "{more}");
    let then = epoch((2_000.0 * (1.0 + more) * 1.1) as u64);
    assert_eq!(
        Comparison::of(&[then], 0, &with(Some(0.001))).finding,
        Finding::Good,
        "{more}"
    );
}

#[test]
fn a_split_that_is_not_what_it_should_be_is_found_both_ways() {
    let of = |candidate, stable| {
        let seen = |events| Seen {
            events,
            ..Seen::default()
        };
        let epoch = Epoch {
            share: 0.1,
            candidate: seen(candidate),
            stable: seen(stable),
        };
        Comparison::of(&[epoch], 0, &Terms::default()).finding
    };
    assert_eq!(of(1_000, 9_000), Finding::Undecided);
    assert_eq!(of(700, 9_300), Finding::Bad(Sign::Split));
    assert_eq!(of(1_400, 8_600), Finding::Bad(Sign::Split));
}
