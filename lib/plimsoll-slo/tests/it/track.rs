//! The sums of a track, held against adding everything up.

use std::time::Duration;

use plimsoll_slo::{Counts, STEP_MAX, Second, Track};
use proptest::prelude::*;

const WINDOWS: [u64; 4] = [30, 900, 1_800, 7_200];

fn model(said: &[(u64, Counts)], now: u64, window: u64) -> Counts {
    let begins = if window <= 900 {
        (now + 1).saturating_sub(window)
    } else {
        (now / 60).saturating_sub(window / 60) * 60
    };
    let within = said.iter().filter(|(at, _)| *at >= begins);
    within.fold(Counts::default(), |sum, (_, counts)| Counts {
        good: sum.good + counts.good,
        bad: sum.bad + counts.bad,
    })
}

proptest! {
    #[test]
    fn sums_are_what_adding_up_gives(steps in prop::collection::vec((-90i64..2_000, 0u64..50, 0u64..5), 1..200)) {
        let mut track = Track::new(&WINDOWS.map(Duration::from_secs));
        let (mut now, mut said) = (100_000u64, Vec::new());
        track.pass(Second(now));
        for (step, good, bad) in steps {
            let at = now.saturating_add_signed(step);
            now = now.max(at);
            let counts = Counts { good, bad };
            track.count(Second(at), counts);
            said.push((now, counts));
            for (place, window) in WINDOWS.into_iter().enumerate() {
                prop_assert_eq!(track.sum(place).counts, model(&said, now, window), "{} s at {}", window, now);
            }
        }
    }
}

#[test]
fn what_was_not_measured_lowers_coverage_and_adds_nothing() {
    let mut track = Track::new(&[Duration::from_mins(10), Duration::from_hours(1)]);
    let all = Counts { good: 1, bad: 0 };
    for at in 0..7_200 {
        track.count(Second(at), all);
    }
    assert!((track.sum(0).coverage() - 1.0).abs() < 1e-9);
    assert!((track.sum(1).coverage() - 1.0).abs() < 1e-9, "{:?}", track.sum(1));
    // A pause of half an hour.
    track.count(Second(9_000), all);
    assert!(track.sum(0).coverage() < 0.01);
    assert!((track.sum(1).coverage() - 0.5).abs() < 0.02, "{:?}", track.sum(1));
    // The store knows of it.
    for minute in 120..150 {
        assert!(track.restore(minute, Counts { good: 60, bad: 0 }, 60));
    }
    assert!((track.sum(1).coverage() - 1.0).abs() < 0.01, "{:?}", track.sum(1));
    assert!(!track.restore(1, all, 60), "too long ago");
}

#[test]
fn a_clock_that_steps_back_counts_nothing_twice_and_a_wild_one_begins_anew() {
    let one = Counts { good: 1, bad: 0 };
    let mut track = Track::new(&[Duration::from_mins(1), Duration::from_hours(1)]);
    track.count(Second(100_000), one);
    track.count(Second(99_990), one);
    assert_eq!(track.now(), Second(100_000));
    assert_eq!(track.sum(0).counts.good, 2);
    assert_eq!(track.sum(0).measured, 1, "it is one second still");
    track.count(Second(100_000 - STEP_MAX - 1), one);
    assert_eq!(track.now(), Second(100_000 - STEP_MAX - 1));
    assert_eq!(track.sum(1).counts.good, 1);
}

#[test]
fn what_a_wrong_clock_has_written_is_not_believed() {
    let one = Counts { good: 1, bad: 0 };
    let mut track = Track::new(&[Duration::from_hours(1)]);
    track.count(Second(100_000), one);
    assert!(!track.restore(1_000_000, one, 60));
    assert!(track.restore(100_000 / 60, one, 60));
    assert_eq!(track.sum(0).counts.good, 2);
    // Nor if nobody knew yet what time it is.
    let mut track = Track::new(&[Duration::from_hours(1)]);
    track.restore(1_000_000, one, 60);
    track.count(Second(100_000), one);
    track.count(Second(100_001), one);
    assert_eq!(track.sum(0).counts.good, 2);
}
