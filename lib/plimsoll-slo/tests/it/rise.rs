//! A rise is found soon, a share that is what it always was is not, and what is not known is not judged.

use plimsoll_slo::{Counts, Rising};

use crate::dice::Dice;

/// Minutes with so many requests on average, of which this share is refused.
fn play(
    dice: &mut Dice,
    from: u64,
    minutes: u64,
    rate: f64,
    share: impl Fn(u64) -> f64,
) -> Vec<(u64, Counts)> {
    (from..from + minutes)
        .map(|minute| {
            let total = dice.poisson(rate);
            let bad = (0..total).filter(|_| dice.share() < share(minute)).count() as u64;
            (
                minute,
                Counts {
                    good: total - bad,
                    bad,
                },
            )
        })
        .collect()
}

/// Minutes from the beginning of a rise until it is found.
fn delay(known: &[(u64, Counts)], rise: &[(u64, Counts)]) -> Option<(usize, Option<u64>)> {
    (1..=rise.len()).find_map(|count| {
        let minutes = known.iter().chain(&rise[..count]).copied();
        let rising = Rising::find(minutes, 0.01);
        rising.suffices().then_some((count, rising.began))
    })
}

#[test]
fn a_release_that_breaks_logging_in_is_found_within_minutes() {
    let mut dice = Dice::new(7);
    for (rate, share, most) in [
        (60.0, 0.9, 1),
        (60.0, 0.3, 1),
        (60.0, 0.1, 6),
        (5.0, 0.9, 2),
        (1.0, 0.9, 9),
    ] {
        let mut delays: Vec<usize> = (0..40)
            .map(|_| {
                let known = play(&mut dice, 0, 1_500, rate, |_| 0.01);
                let rise = play(&mut dice, 1_500, 60, rate, |_| share);
                let (delay, began) = delay(&known, &rise).expect("it is found within the hour");
                assert!(
                    began.is_some_and(|began| began.abs_diff(1_500) <= 10),
                    "{began:?}"
                );
                delay
            })
            .collect();
        delays.sort_unstable();
        assert!(delays[20] <= most, "{rate} a minute, {share}: {delays:?}");
    }
}

#[test]
fn what_is_as_usual_is_no_rise_however_much_it_varies_over_the_day() {
    let mut dice = Dice::new(11);
    let mut found = 0;
    for rate in [1.0, 10.0, 100.0] {
        for share in [0.0, 0.01, 0.05, 0.2] {
            // By day there is up to half more of it than on average.
            let usual =
                |minute: u64| share * (1.0 + 0.5 * (minute as f64 * std::f64::consts::TAU / 1_440.0).sin());
            let all = play(&mut dice, 0, 4 * 1_440, rate, usual);
            let looks = (1_440..all.len()).step_by(7);
            let found_here = looks.filter(|at| {
                let minutes = all[at.saturating_sub(1_560)..=*at].iter().copied();
                Rising::find(minutes, 0.01).suffices()
            });
            found += usize::from(found_here.count() > 0);
        }
    }
    assert_eq!(found, 0);
}

#[test]
fn what_is_not_known_is_not_judged_and_what_lasts_becomes_usual() {
    let mut dice = Dice::new(3);
    // A new route of which half is refused: that may be what it is for.
    let new = play(&mut dice, 0, 110, 60.0, |_| 0.5);
    let rising = Rising::find(new, 0.01);
    assert_eq!((rising.usual, rising.suffices()), (None, false));
    // A rise is one for some hours, and then the world is another one.
    let mut all = play(&mut dice, 0, 1_440, 60.0, |_| 0.01);
    all.extend(play(&mut dice, 1_440, 3 * 1_440, 60.0, |_| 0.1));
    let suffices = |minute: usize| {
        let minutes = all[minute.saturating_sub(1_560)..minute].iter().copied();
        Rising::find(minutes, 0.01).suffices()
    };
    assert!(suffices(1_460) && suffices(1_440 + 180));
    assert!(!suffices(2 * 1_440 + 120));
    assert_eq!(Rising::find([], 0.01), Rising::default());
}

#[test]
fn it_is_over_soon_after_it_is_over() {
    let mut dice = Dice::new(5);
    let mut all = play(&mut dice, 0, 1_440, 60.0, |_| 0.01);
    all.extend(play(&mut dice, 1_440, 30, 60.0, |_| 0.8));
    assert!(Rising::find(all.clone(), 0.01).suffices());
    all.extend(play(&mut dice, 1_470, 15, 60.0, |_| 0.01));
    let rising = Rising::find(all, 0.01);
    assert!(!rising.suffices(), "{rising:?}");
    assert_eq!(rising.began, None);
}
