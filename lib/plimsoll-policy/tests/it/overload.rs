//! What the adaptive limit and the queue promise together, proven on a service whose capacity is known.
//!
//! The service does 16 things at a time and takes 20 ms for each, so it can do 792 a second with the way there and
//! back. Every scenario is played with several seeds and with times that are all alike, that differ, and that differ a
//! lot (log-normal with a coefficient of variation of 0, 0.5 and 1).

mod world;

use std::time::Duration;

use plimsoll_policy::{Adaptive, AdaptiveConfig, Pressure, Priority, Sample};
use plimsoll_slo::Instant;
use world::{Setting, Story, Weather, play};

const CAPACITY: f64 = 16.0 / 0.0202;
const SEEDS: std::ops::Range<u64> = 1..4;
const SPREADS: [f64; 3] = [0.0, 0.5, 1.0];

const fn asked(rate: f64) -> Weather {
    Weather {
        rate,
        workers: 16,
        takes: 20.0,
        depends: 0.0,
    }
}

/// A calm minute at half of what the service can do, in which the limit comes down from its maximum, and then `weather`
/// for as long.
fn after_a_calm_minute(seed: u64, spread: f64, weather: Weather) -> Story {
    play(Setting {
        seed,
        spread,
        weather: vec![(0.0, asked(0.5 * CAPACITY)), (70.0, weather)],
        seconds: 130.0,
        ..Setting::default()
    })
}

fn for_all(check: impl Fn(u64, f64)) {
    for seed in SEEDS {
        for spread in SPREADS {
            check(seed, spread);
        }
    }
}

#[test]
fn at_ten_times_its_capacity_a_service_does_what_it_can() {
    for_all(|seed, spread| {
        let story = after_a_calm_minute(seed, spread, asked(10.0 * CAPACITY));
        let calm = story.between(60.0, 70.0);
        // From the third second on.
        let full = story.between(73.0, 129.0);
        let said = format!("seed {seed}, spread {spread}: {full:?}");
        assert!(full.goodput >= 0.95 * CAPACITY, "{said}");
        assert!(full.served[&Priority::Critical] >= 0.999, "{said}");
        assert!(full.p99 <= 2.1 * calm.p99, "{said}");
        let settled = story.between(73.0, 74.0);
        assert!(settled.goodput >= 0.9 * CAPACITY, "{said}, and {settled:?}");
    });
}

#[test]
fn below_seven_tenths_of_its_capacity_nobody_is_shed() {
    for_all(|seed, spread| {
        let story = after_a_calm_minute(seed, spread, asked(0.7 * CAPACITY));
        assert_eq!(story.between(0.0, 130.0).shed, 0, "seed {seed}, spread {spread}");
    });
}

#[test]
fn a_service_that_has_become_slower_is_not_taken_for_overloaded() {
    for_all(|seed, spread| {
        let slower = Weather {
            takes: 40.0,
            ..asked(0.3 * CAPACITY)
        };
        let story = after_a_calm_minute(seed, spread, slower);
        let after = story.between(70.0, 130.0);
        assert!(
            after.shed * 50 <= after.asked,
            "seed {seed}, spread {spread}: {after:?}"
        );
        assert_eq!(story.between(80.0, 130.0).shed, 0, "seed {seed}, spread {spread}");
    });
}

#[test]
fn a_slow_dependency_and_overload_are_told_apart() {
    for seed in 1..21 {
        let depends = |millis, rate| Weather {
            depends: millis,
            ..asked(rate * CAPACITY)
        };
        let then = |weather| {
            let weather = vec![(0.0, depends(20.0, 0.6)), (70.0, weather)];
            play(Setting {
                seed,
                spread: 0.5,
                weather,
                seconds: 90.0,
                ..Setting::default()
            })
        };
        // Ten times as many requests are in flight, and none of them is the service's.
        let slow = then(depends(200.0, 0.6));
        let bound = slow
            .limits
            .iter()
            .any(|(_, _, pressure)| *pressure == Pressure::Bound);
        assert!(
            !bound && slow.between(0.0, 90.0).shed == 0,
            "seed {seed}: {:?}",
            slow.limits
        );
        let full = then(depends(20.0, 2.0));
        let free = full
            .limits
            .iter()
            .any(|(at, _, pressure)| *at > 73.0 && *pressure == Pressure::Free);
        assert!(!free, "seed {seed}: {:?}", full.limits);
    }
}

#[test]
fn a_noisy_tenant_does_not_starve_the_others() {
    for_all(|seed, spread| {
        let story = play(Setting {
            seed,
            spread,
            noisy: 0.95,
            weather: vec![(0.0, asked(0.5 * CAPACITY)), (70.0, asked(10.0 * CAPACITY))],
            seconds: 100.0,
            ..Setting::default()
        });
        // The critical take half of the capacity; of the other half the quiet could use two thirds. Some of them find
        // several of the critical before them and wait for too long; the noisy one has one in twenty.
        let full = story.between(73.0, 99.0);
        assert!(full.quiet >= 0.7, "seed {seed}, spread {spread}: {full:?}");
        assert!(
            full.goodput >= 0.94 * CAPACITY,
            "seed {seed}, spread {spread}: {full:?}"
        );
    });
}

#[test]
fn the_limit_follows_the_capacity() {
    for_all(|seed, spread| {
        let workers = |workers| Weather {
            workers,
            ..asked(2.0 * CAPACITY)
        };
        let story = play(Setting {
            seed,
            spread,
            weather: vec![
                (0.0, asked(0.5 * CAPACITY)),
                (70.0, workers(16)),
                (100.0, workers(8)),
                (130.0, workers(64)),
            ],
            seconds: 160.0,
            ..Setting::default()
        });
        let goodput = |from, to| story.between(from, to).goodput / CAPACITY;
        let said = format!("seed {seed}, spread {spread}: {:?}", story.limits);
        assert!(goodput(75.0, 100.0) >= 0.94, "{said}");
        assert!(goodput(110.0, 130.0) >= 0.47, "{said}");
        assert!(goodput(140.0, 159.0) >= 1.9, "there is enough for all: {said}");
        assert!(
            story
                .limits
                .last()
                .is_some_and(|(_, _, pressure)| *pressure == Pressure::Free),
            "{said}"
        );
    });
}

#[test]
fn a_start_in_the_middle_of_overload_finds_its_limit() {
    for_all(|seed, spread| {
        let story = play(Setting {
            seed,
            spread,
            weather: vec![(0.0, asked(3.0 * CAPACITY))],
            seconds: 100.0,
            ..Setting::default()
        });
        let late = story.between(60.0, 99.0);
        let said = format!("seed {seed}, spread {spread}: {late:?}, {:?}", story.limits);
        assert!(late.goodput >= 0.9 * CAPACITY, "{said}");
        assert!(late.served[&Priority::Critical] >= 0.999, "{said}");
        assert!(late.p50 <= 100.0, "{said}");
    });
}

#[test]
fn a_load_that_creeps_up_is_held_off_at_every_level() {
    for_all(|seed, spread| {
        let levels = [0.3, 0.5, 0.7, 0.9, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0];
        let starts = (0..10).map(|level| 8.0 * f64::from(level));
        let story = play(Setting {
            seed,
            spread,
            weather: starts
                .clone()
                .zip(levels)
                .map(|(start, level)| (start, asked(level * CAPACITY)))
                .collect(),
            seconds: 80.0,
            ..Setting::default()
        });
        let unloaded = story.between(0.0, 8.0);
        for (start, level) in starts.zip(levels) {
            let figures = story.between(start + 3.0, start + 8.0);
            let said = format!("seed {seed}, spread {spread}, {level}: {figures:?}, unloaded {unloaded:?}");
            assert!(figures.goodput >= 0.85 * CAPACITY * level.min(1.0), "{said}");
            assert!(figures.served[&Priority::Critical] >= 0.99, "{said}");
            assert!(figures.p50 <= 3.0 * unloaded.p50, "{said}");
        }
    });
}

/// Tenths of a second in which so many want to be at work in something that does twenty at a time.
fn windows(adaptive: &mut Adaptive, from: Instant, count: u64, wanted: u32) -> Instant {
    let mut now = from;
    for _ in 0..count {
        let busy = wanted.min(adaptive.limit());
        if busy < wanted {
            adaptive.note_full();
        }
        let times = f64::from(busy.max(20)) / 20.0;
        let sample = Sample {
            took: Duration::from_millis(5).mul_f64(times),
            ratio: times.ln(),
            busy,
        };
        for _ in 0..60 {
            now = now + Duration::from_micros(1_700);
            adaptive.record(now, sample);
        }
    }
    now
}

#[test]
fn what_is_measured_without_time_of_ones_own_binds_nothing() {
    let config = AdaptiveConfig { min: 2, max: 1024 };
    let mut adaptive = Adaptive::new(config, Instant::ORIGIN);
    let now = windows(&mut adaptive, Instant::ORIGIN, 50, 10);
    adaptive.set_blind(true);
    let now = windows(&mut adaptive, now, 50, 200);
    assert_eq!(adaptive.pressure(), Pressure::Free);
    assert!(!adaptive.is_learning());

    // Who can see again sees the queue; and who goes blind meanwhile lets go of what was only tried.
    adaptive.set_blind(false);
    let mut now = now;
    while adaptive.pressure() == Pressure::Free {
        now = windows(&mut adaptive, now, 1, 200);
        assert!(now < Instant::ORIGIN + Duration::from_secs(20), "{adaptive:?}");
    }
    assert!(adaptive.set_blind(true).is_some_and(|limit| limit >= 200));
    assert_eq!(adaptive.pressure(), Pressure::Free);

    // One that is bound stays so, and goes no lower.
    adaptive.set_blind(false);
    now = windows(&mut adaptive, now, 50, 200);
    let bound = adaptive.limit();
    assert!((20..50).contains(&bound), "{adaptive:?}");
    adaptive.set_blind(true);
    windows(&mut adaptive, now, 50, 200);
    assert!(adaptive.limit() >= bound, "{adaptive:?}");
    assert!(adaptive.limit() < 100, "{adaptive:?}");
}
