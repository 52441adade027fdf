//! Budgets of slices, periods of the calendar, forecasts and corrections.

use std::time::Duration;

use plimsoll_slo::{
    Budgeting, Corrected, Correction, Counts, Empty, Evidence, Judge, Objective, Period, ROUND, Second,
    Severity, Slice, State, Target, Window,
};
use proptest::prelude::*;

use crate::dice::Dice;

fn target(share: f64) -> Target {
    Target::new(share).expect("it is one")
}

fn counts(good: u64, bad: u64) -> Counts {
    Counts { good, bad }
}

const DAY: Window = Window::Rolling(Duration::from_hours(24));

fn sliced(share: f64, minutes: u16, empty: Empty, of_slice: Option<f64>) -> Objective {
    let slice = Slice { minutes, empty };
    let budgeting = match of_slice {
        Some(share) => Budgeting::Timeslices {
            slice,
            target: target(share),
        },
        None => Budgeting::RatioTimeslices { slice },
    };
    Objective {
        budgeting,
        ..Objective::of_events(target(share), DAY)
    }
}

/// Plays minutes of these counts, all in their first second; measured throughout.
fn play(judge: &mut Judge, from: u64, minutes: &[Counts]) {
    for (minute, counts) in (from..).zip(minutes) {
        for second in 0..60 {
            let now = if second == 0 { *counts } else { Counts::default() };
            judge.second(Second(60 * minute + second), now, now.bad.min(1));
        }
    }
}

fn close(a: Option<f64>, b: f64) -> bool {
    a.is_some_and(|a| (a - b).abs() < 1e-9)
}

#[test]
fn a_slice_is_good_or_bad_however_much_happened_in_it() {
    // Of 288 slices of five minutes 1 % may be bad, which is 2.88.
    let mut judge = Judge::new(sliced(0.99, 5, Empty::Unknown, Some(0.9)));
    // A busy slice with 10 % bad is good yet, a quiet one with one bad of two is not, and the third goes on.
    play(&mut judge, 1_000, &[counts(900, 100); 5]);
    play(&mut judge, 1_005, &[counts(1, 1); 5]);
    play(&mut judge, 1_010, &[counts(0, 5)]);
    let verdict = judge.verdict();
    assert!(close(verdict.budget.spent, 1.0 / 2.88), "{:?}", verdict.budget);
    assert!((verdict.budget.allowed - 2.88).abs() < 1e-9 && (verdict.budget.bad - 1.0).abs() < 1e-9);
    assert_eq!(
        verdict.window.counts,
        counts(4_505, 510),
        "events are told as they are"
    );
    assert_eq!(verdict.window.measured, 600, "two slices are known");
    assert_eq!(verdict.state, State::Met);

    let mut judge = Judge::new(sliced(0.99, 5, Empty::Unknown, None));
    play(&mut judge, 1_000, &[counts(900, 100); 5]);
    play(&mut judge, 1_005, &[counts(1, 1); 6]);
    assert!(close(judge.verdict().budget.spent, 0.6 / 2.88), "shares add up");
}

#[test]
fn what_an_empty_slice_is_has_to_be_said() {
    // 1,440 slices of a minute, of which 1 % may be bad; one is bad, four are empty, one of two is not measured.
    for (empty, known, allowed) in [
        (Empty::Unknown, 1, 14.4),
        (Empty::Good, 5, 14.4),
        (Empty::Skipped, 5, 14.36),
    ] {
        let mut judge = Judge::new(sliced(0.99, 1, empty, Some(0.9)));
        play(&mut judge, 1_000, &[counts(0, 1)]);
        play(&mut judge, 1_001, &[Counts::default(); 4]);
        judge.second(Second(60 * 1_006), Counts::default(), 0);
        let verdict = judge.verdict();
        assert_eq!(verdict.window.measured, 60 * known, "{empty:?}");
        assert!(
            (verdict.budget.allowed - allowed).abs() < 1e-9,
            "{empty:?}: {:?}",
            verdict.budget
        );
        assert!(close(verdict.budget.spent, 1.0 / allowed), "{empty:?}");
    }
    let mut judge = Judge::new(sliced(0.99, 1, Empty::Skipped, Some(0.9)));
    play(&mut judge, 1_000, &[Counts::default(); 5]);
    assert_eq!(judge.verdict().state, State::Unknown, "nothing happened in any");
}

proptest! {
    /// Slices of which minutes come in any order, from here and from elsewhere, are what adding up gives.
    #[test]
    fn late_minutes_change_their_slice(
        said in prop::collection::vec((0u64..60, 0u64..4, 0u64..3), 0..80),
        length in 1u16..8,
    ) {
        let objective = sliced(0.9, length, Empty::Unknown, Some(0.5));
        let mut judge = Judge::new(objective);
        let begins = 100 * u64::from(length);
        judge.second(Second(60 * (begins + 60)), Counts::default(), 0);
        let mut minutes = [Counts::default(); 60];
        for (minute, good, bad) in said {
            judge.restore(begins + minute, counts(good, bad), 60);
            minutes[minute as usize].good += good;
            minutes[minute as usize].bad += bad;
        }
        let over = 60 / usize::from(length) * usize::from(length);
        let bad = minutes[..over].chunks(length.into()).filter(|slice| {
            let (good, bad) = slice.iter().fold((0, 0), |sum, counts| (sum.0 + counts.good, sum.1 + counts.bad));
            bad > good
        });
        prop_assert!((judge.verdict().budget.bad - bad.count() as f64).abs() < 1e-9);
    }
}

#[test]
fn slices_are_no_chance_after_a_few_of_them_and_no_page_before() {
    let mut judge = Judge::new(sliced(0.99, 1, Empty::Unknown, Some(0.95)));
    play(&mut judge, 1_000, &[counts(1_000, 0); 600]);
    // 4 % fail for hours: every slice is good.
    play(&mut judge, 1_600, &[counts(960, 40); 300]);
    let verdict = judge.verdict();
    assert_eq!(
        (verdict.calls, verdict.budget.bad),
        (None, 0.0),
        "{}",
        verdict.sentence()
    );
    let mut minutes = 0;
    while judge.verdict().calls != Some(Severity::Page) {
        play(&mut judge, 1_900 + minutes, &[counts(900, 100)]);
        minutes += 1;
        assert!(minutes < 12, "{}", judge.verdict().sentence());
    }
    assert!(minutes > 2, "one bad minute may be chance");
}

#[test]
fn slices_that_are_as_bad_as_they_may_be_page_for_nobody() {
    let mut dice = Dice::new(3);
    let months = 300;
    let paged = |_: &u64| {
        let mut evidence = Evidence::new(target(0.99), 0.01);
        (0..u64::from(ROUND) / 60).any(|_| {
            evidence.quiet(60);
            // In part bad: the half of one in fifty.
            evidence.slice(if dice.share() < 0.02 { 0.5 } else { 0.0 });
            evidence.suffices()
        })
    };
    let paged = (0..months).filter(paged).count();
    // At 1 in 100 each, four or more in 300 months would be as unlikely as 1 in 2, and nine as 1 in 250.
    assert!(paged < 9, "{paged} of {months} months");
}

fn of_month(share: f64) -> Objective {
    let month = Duration::from_hours(30 * 24);
    Objective::of_events(target(share), Window::Calendar(month))
}

#[test]
fn a_period_begins_with_nothing_spent_and_knows_how_far_it_is() {
    let mut judge = Judge::new(of_month(0.99));
    let (begins, ends) = (1_000_000, 1_000_000 + 31 * 1_440);
    judge.turn(Period {
        from: begins - 30 * 1_440,
        to: begins,
    });
    play(&mut judge, begins - 2, &[counts(50, 50); 2]);
    assert_eq!(judge.verdict().state, State::Missed);
    let period = Period {
        from: begins,
        to: ends,
    };
    judge.turn(period);
    assert_eq!(
        judge.verdict().state,
        State::Unknown,
        "nothing happened in it yet"
    );
    play(&mut judge, begins, &[counts(995, 5); 60]);
    let verdict = judge.verdict();
    assert!(close(verdict.budget.spent, 0.5), "{:?}", verdict.budget);
    assert_eq!((verdict.window.seconds, verdict.window.measured), (3_600, 3_600));
    assert_eq!(
        (verdict.period, verdict.forecast),
        (Some(period), None),
        "no week is known"
    );
    // What is said late of the period before counts for that one.
    judge.restore(begins - 1, counts(0, 1_000), 60);
    assert!(close(judge.verdict().budget.spent, 0.5));
    judge.restore(begins, counts(0, 300), 60);
    assert!(close(judge.verdict().budget.spent, 600.0 / 603.0));
}

#[test]
fn a_month_that_has_just_begun_is_judged_by_what_it_will_bring() {
    let mut judge = Judge::new(of_month(0.99));
    let (begins, length) = (1_000_000, 30 * 1_440);
    judge.turn(Period {
        from: begins,
        to: begins + length,
    });
    // Four weeks of 100 a minute, but the third, in which half of it came, and the fourth, which nobody measured.
    let week = 10_080;
    for minute in begins - 4 * week..begins {
        let back = (begins - 1 - minute) / week + 1;
        let good = if back == 3 { 50 } else { 100 };
        if back < 4 {
            judge.restore(minute, counts(good, 0), 60);
        }
    }
    play(&mut judge, begins, &[counts(0, 100); 2]);
    let verdict = judge.verdict();
    assert!(
        verdict.budget.left().is_some_and(|left| left < -90.0),
        "of what was earned all is spent"
    );
    // Weeks as they were seen a minute in, which is when it was looked up last: two of 100 a minute, one of 50.
    let rest = (length - 1) as f64;
    let low = 50.0 * rest + 0.2 * (50.0 * rest);
    let forecast = verdict.forecast.expect("three weeks are known");
    assert!(
        (forecast.allowed - 0.01 * (200.0 + low)).abs() < 3.0,
        "{forecast:?} {low}"
    );
    assert_eq!(verdict.state, State::Met);
    // 25,900 or so may be bad, 200 were, and 100 or a few more come in a minute, as it was looked up last.
    let left = verdict.time_left.expect("it goes on").as_secs() / 60;
    assert!((245..262).contains(&left), "{left}");
}

#[test]
fn slices_of_a_period_are_all_known_beforehand() {
    let slice = Slice {
        minutes: 1,
        empty: Empty::Unknown,
    };
    let mut judge = Judge::new(Objective {
        budgeting: Budgeting::Timeslices {
            slice,
            target: target(0.5),
        },
        ..of_month(0.99)
    });
    let (begins, length) = (1_000_000, 28 * 1_440);
    judge.turn(Period {
        from: begins,
        to: begins + length,
    });
    play(&mut judge, begins, &[counts(0, 1); 10]);
    judge.second(Second(60 * (begins + 10)), Counts::default(), 0);
    let budget = judge.verdict().budget;
    assert!(
        (budget.allowed - 403.2).abs() < 1e-9 && (budget.bad - 10.0).abs() < 1e-9,
        "{budget:?}"
    );
    let left = judge.verdict().time_left.map(|left| left.as_secs() / 60);
    assert!(left.is_some_and(|left| (390..=400).contains(&left)), "{left:?}");
}

fn excluded(from: u64, to: u64) -> Correction {
    Correction {
        from,
        to,
        what: Corrected::Excluded,
    }
}

#[test]
fn a_correction_changes_what_is_judged_and_not_what_was_counted() {
    let mut judge = Judge::new(Objective::of_events(target(0.99), DAY));
    play(&mut judge, 1_000, &[counts(100, 0); 5]);
    play(&mut judge, 1_005, &[counts(0, 100); 2]);
    let counted: Vec<_> = judge.past().collect();
    assert!(close(judge.verdict().budget.spent, 200.0 / 7.0));
    assert_eq!(judge.verdict().as_counted, None);
    judge.correct(vec![excluded(1_005, 1_010)]);
    let verdict = judge.verdict();
    assert_eq!(
        (verdict.budget.spent, verdict.window.counts.total()),
        (Some(0.0), 500)
    );
    assert!(close(
        verdict.as_counted.and_then(|budget| budget.spent),
        200.0 / 7.0
    ));
    assert_eq!(judge.past().collect::<Vec<_>>(), counted);
    // What comes in the time of it, and what comes late, is corrected as well.
    play(&mut judge, 1_007, &[counts(0, 50)]);
    assert!(judge.restore(1_006, counts(0, 7), 60));
    let verdict = judge.verdict();
    assert_eq!(
        (verdict.budget.bad, verdict.as_counted.map(|budget| budget.bad)),
        (0.0, Some(257.0))
    );
    // A wider window says the same as if it had been so from the beginning; then it is taken back.
    judge.correct(vec![excluded(1_005, 1_006)]);
    assert_eq!(judge.verdict().window.counts, counts(500, 157));
    judge.correct(Vec::new());
    let verdict = judge.verdict();
    assert_eq!(
        (verdict.window.counts, verdict.as_counted),
        (counts(500, 257), None)
    );
}

#[test]
fn events_can_be_taken_for_what_they_were() {
    let mut judge = Judge::new(Objective::of_events(target(0.9), DAY));
    play(&mut judge, 1_000, &[counts(100, 0); 3]);
    // A release answered 403 to everybody, which looked like their own fault; and more cannot be taken than there is.
    let added = |from, good, bad| Correction {
        from,
        to: from + 1,
        what: Corrected::Added { good, bad },
    };
    judge.correct(vec![added(1_000, -40, 40), added(1_001, -500, 0)]);
    assert_eq!(judge.verdict().window.counts, counts(160, 40));
    judge.restore(1_000, counts(10, 0), 0);
    assert_eq!(judge.verdict().window.counts, counts(170, 40));
}

#[test]
fn in_announced_maintenance_nobody_is_paged() {
    let mut judge = Judge::new(Objective::of_events(target(0.999), DAY));
    play(&mut judge, 1_000, &[counts(600, 0); 5]);
    judge.correct(vec![excluded(1_005, 1_020)]);
    for second in 0..600 {
        judge.second(Second(60 * 1_005 + second), counts(0, 10), 10);
        assert_eq!(judge.verdict().calls, None);
    }
    assert!(close(judge.verdict().budget.spent, 0.0));
    assert!(
        (judge.verdict().window.coverage() * 86_400.0 - 900.0).abs() < 60.0,
        "it was measured"
    );
}

#[test]
fn what_must_be_right_calls_for_the_first_that_is_not() {
    let mut judge = Judge::new(Objective::absolute(3, DAY));
    assert_eq!(judge.verdict().state, State::Unknown, "nothing was checked");
    play(&mut judge, 1_000, &[counts(61_000, 0); 60]);
    let verdict = judge.verdict();
    assert_eq!(
        (verdict.state, verdict.calls, verdict.left()),
        (State::Met, None, Some(1.0))
    );
    play(&mut judge, 1_060, &[counts(60_999, 1)]);
    let verdict = judge.verdict();
    assert_eq!((verdict.state, verdict.calls), (State::Met, Some(Severity::Page)));
    assert_eq!(
        verdict.sentence().to_string(),
        "1 of 3,721,000 failed in the last hour, 1 caller in this minute; of the 3 that may in 24 hours 1 did, by 61 minutes of 24 hours"
    );
    assert_eq!(judge.began(), Some(Second(60 * 1_060)));
    // It calls for an hour, and the budget remembers for a day.
    play(&mut judge, 1_061, &[counts(61_000, 0); 61]);
    let verdict = judge.verdict();
    assert_eq!(verdict.calls, None);
    assert!(close(verdict.left(), 2.0 / 3.0));
    play(&mut judge, 1_122, &[counts(60_997, 3)]);
    let verdict = judge.verdict();
    assert_eq!(
        (verdict.state, verdict.time_left),
        (State::Missed, Some(Duration::ZERO))
    );
    assert!(close(verdict.left(), -1.0 / 3.0));
}
