use gateway::plan::{Good, ObjectivePlan};
use jiff::tz::TimeZone;
use plimsoll_slo::{
    Class, Counts, FALL_LOOKS_BACK, Measure, Objective, Outcome, Reason, Severity, Target, Window,
};
use store::{Memory, Store};

use super::*;
use crate::calendar::{Calendar, Unit};

fn asked(target: f64) -> [ObjectiveConfig; 1] {
    [ObjectiveConfig {
        name: "checkout".into(),
        counted: "all".into(),
        objective: Objective::of_events(
            Target::new(target).unwrap(),
            Window::Rolling(Duration::from_hours(24)),
        ),
        calendar: None,
        window: "1d".into(),
        runbook: None,
        vantage: "gateway",
        watch: Watch::Target,
        sampling: 1.0,
        members: Arc::default(),
    }]
}

fn counted() -> [Arc<ObjectiveCounts>; 1] {
    counted_if(Good::Served { latency_max: None })
}

fn counted_if(good: Good) -> [Arc<ObjectiveCounts>; 1] {
    let plan = ObjectivePlan {
        name: "checkout".into(),
        routes: Vec::new(),
        tier: None,
        good,
        walk: None,
    };
    [Arc::new(ObjectiveCounts::new(&plan, 1))]
}

fn record(counts: &ObjectiveCounts, class: Class, callers: std::ops::Range<u64>) {
    for caller in callers {
        let outcome = Outcome {
            class,
            latency: Duration::ZERO,
            first_byte: Duration::ZERO,
            attempts: 1,
        };
        counts.record(0, &outcome, false, || caller);
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1_000_000 + seconds)
}

#[test]
fn a_late_second_loses_nothing_and_lowers_no_coverage() {
    let (asked, counted) = (asked(0.99), counted());
    let mut judging = Judging::new(None);
    judging.run_once(&[(&asked, &counted)], at(0));
    record(&counted[0], Class::Good, 0..10);
    judging.run_once(&[(&asked, &counted)], at(3));
    let window = judging.reading(&Ladder::default())[0].verdict.window;
    assert_eq!((window.counts, window.measured), (Counts { good: 10, bad: 0 }, 4));
    // Nobody knows what this process did in an hour in which it did not run.
    judging.run_once(&[(&asked, &counted)], at(3_600));
    assert_eq!(judging.reading(&Ladder::default())[0].verdict.window.measured, 5);
}

#[test]
fn what_is_counted_is_known_to_whoever_asks_anew_and_not_to_whoever_counts_something_else() {
    let counted = counted();
    let mut judging = Judging::new(Some("one".to_owned()));
    let good = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.window.counts.good;
    judging.run_once(&[(&asked(0.99), &counted)], at(0));
    record(&counted[0], Class::Good, 0..10);
    for second in 1..3 {
        judging.run_once(&[(&asked(0.99), &counted)], at(second));
        assert_eq!(good(&judging), 10);
    }
    judging.run_once(&[(&asked(0.9), &counted)], at(3));
    assert_eq!(good(&judging), 10);
    assert_eq!(judging.unwritten().len(), 1, "and is still to be written");
    let [mut other] = asked(0.9);
    other.counted = "gold".into();
    judging.run_once(&[(&[other], &counted)], at(4));
    assert_eq!(good(&judging), 0);
    judging.run_once(&[(&[], &counted)], at(5));
    assert!(judging.reading(&Ladder::default()).is_empty());
}

/// What the thread that keeps does; returns how many rows it wrote.
fn keep(disk: &mut Memory, judging: &mut Judging) -> usize {
    let rows = judging.unwritten();
    disk.write(&rows).unwrap();
    judging.wrote(&rows);
    for (instance, key, from) in judging.wanted() {
        let minutes = disk.others(&instance, &key, from).unwrap();
        judging.heard(&instance, &minutes);
    }
    let but = judging.hears_but();
    let (lately, _) = disk.lately(but.as_deref(), 0).unwrap();
    judging.heard_lately(&lately);
    rows.len()
}

#[test]
fn what_is_asked_again_after_something_else_was_is_what_it_was() {
    let counted = counted();
    let mut disk = Memory::default();
    let mut judging = Judging::new(Some("one".to_owned()));
    let good = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.window.counts.good;
    let [mut other] = asked(0.99);
    other.counted = "gold".into();
    let [mut longer] = asked(0.99);
    longer.objective.window = Window::Rolling(Duration::from_hours(48));
    // A rollback of a configuration, all within one minute: what was counted before is on the disk only. What came
    // while something else was asked counted for that.
    let reloads = [asked(0.99), [other], asked(0.99), [longer]];
    for (second, (asked, expected)) in (0..).zip(reloads.into_iter().zip([10, 10, 20, 30])) {
        judging.run_once(&[(&asked, &counted)], at(2 * second));
        record(&counted[0], Class::Good, 0..10);
        judging.run_once(&[(&asked, &counted)], at(2 * second + 1));
        keep(&mut disk, &mut judging);
        assert_eq!(good(&judging), expected, "after {second}");
    }
}

#[test]
fn a_clock_that_steps_loses_nothing_that_is_written_down() {
    let (asked, counted) = (asked(0.99), counted());
    let mut disk = Memory::default();
    let mut judging = Judging::new(Some("one".to_owned()));
    let good = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.window.counts.good;
    // Back by a second over the turn of a minute (the origin is 40 s into one), and by an hour; ahead by three.
    for (round, seconds) in (1..).zip([
        19, 20, 21, 19, 20, 21, 10_000, 10_001, 6_400, 6_401, 17_200, 17_201,
    ]) {
        record(&counted[0], Class::Good, 0..1);
        judging.run_once(&[(&asked, &counted)], at(seconds));
        keep(&mut disk, &mut judging);
        keep(&mut disk, &mut judging);
        let written: u64 = {
            let key = key(&asked[0]);
            let minutes = disk.others("", &key, 0).unwrap();
            minutes.iter().map(|minute| minute.counts.good).sum()
        };
        assert_eq!(written, round);
        assert!(good(&judging) <= round);
    }
    assert_eq!(good(&judging), 12);
}

#[test]
fn what_is_written_and_heard_again_is_what_was_counted() {
    let (asked, counted) = (asked(0.99), counted());
    let mut disk = Memory::default();
    let process = |name: &str| Judging::new(Some(name.to_owned()));
    let (mut one, mut two) = (process("one"), process("two"));
    let mut keep = |judging: &mut Judging| keep(&mut disk, judging);
    let window = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.window;
    for second in 0..130 {
        record(&counted[0], Class::Good, 0..1);
        one.run_once(&[(&asked, &counted)], at(second));
        // It is a second late now and then.
        if second % 7 != 0 {
            keep(&mut one);
        }
    }
    assert_eq!(window(&one).counts.good, 130);
    keep(&mut one);
    assert_eq!(keep(&mut one), 0, "nothing is new");
    // Another begins, with counters of its own, while the first goes on.
    let fresh = self::counted();
    two.run_once(&[(&asked, &fresh)], at(130));
    keep(&mut two);
    assert_eq!((window(&two).counts.good, window(&two).measured), (130, 131));
    record(&counted[0], Class::Good, 0..5);
    one.run_once(&[(&asked, &counted)], at(131));
    keep(&mut one);
    two.run_once(&[(&asked, &fresh)], at(131));
    for _ in 0..2 {
        two.ask_others(at(131).as_secs() / 60);
        keep(&mut two);
        assert_eq!(window(&two).counts.good, 135, "once, however often it is asked");
    }
}

#[test]
fn three_that_share_a_store_come_to_one_verdict() {
    let asked = asked(0.99);
    let mut disk = Memory::default();
    let mut all: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|name| (Judging::new(Some(name.to_owned())), counted()))
        .collect();
    let bad = Class::Bad(Reason::UpstreamReset);
    for second in 0..400_u64 {
        for (index, (judging, counted)) in (0_u64..).zip(&mut all) {
            // The second looks twice a second, and the third is away for a while.
            record(&counted[0], Class::Good, 0..3 + index);
            if second > 200 {
                let first = 10 * second + 5 * index;
                record(&counted[0], bad, first..first + second % 7);
            }
            judging.run_once(&[(&asked, counted)], at(second));
            if index == 1 {
                record(&counted[0], Class::Good, 0..1);
                judging.run_once(&[(&asked, counted)], at(second));
            }
            if index < 2 || !(150..390).contains(&second) {
                keep(&mut disk, judging);
            }
        }
    }
    for _ in 0..2 {
        for (judging, counted) in &mut all {
            keep(&mut disk, judging);
            judging.run_once(&[(&asked, counted)], at(400));
            keep(&mut disk, judging);
        }
    }
    let verdict = |index: usize| {
        let judging: &Judging = &all[index].0;
        format!("{:?}", judging.reading(&Ladder::default())[0].verdict)
    };
    assert_eq!(verdict(0), verdict(1));
    assert_eq!(verdict(0), verdict(2));
    let verdict = &all[0].0.reading(&Ladder::default())[0].verdict;
    assert_eq!(verdict.window.counts.good, 400 * (3 + 4 + 5 + 1));
    assert_eq!(verdict.calls, Some(Severity::Page));
    let said = format!("{verdict:?}");
    // Who comes when all are gone knows it as well, and evidence with it.
    let evidence: Vec<_> = all.iter().flat_map(|(judging, _)| judging.evidence()).collect();
    assert!(evidence.is_empty(), "nothing is long enough ago");
    let mut late = Judging::new(Some("late".to_owned()));
    let fresh = counted();
    late.run_once(&[(&asked, &fresh)], at(400));
    keep(&mut disk, &mut late);
    assert_eq!(format!("{:?}", late.reading(&Ladder::default())[0].verdict), said);
}

#[test]
fn evidence_is_handed_on() {
    let (asked, counted) = (asked(0.99), counted());
    let mut one = Judging::new(Some("one".to_owned()));
    let bad = Class::Bad(Reason::UpstreamReset);
    for second in 0..1_500_u64 {
        if second.is_multiple_of(40) {
            record(&counted[0], bad, second..second + 1);
        }
        one.run_once(&[(&asked, &counted)], at(second));
    }
    let found = one.evidence();
    let evidence = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.evidence;
    let mut two = Judging::new(Some("two".to_owned()));
    two.run_once(&[(&asked, &self::counted())], at(1_500));
    two.believe(&found);
    assert!(
        evidence(&two) > 0.01 * evidence(&one),
        "{} {}",
        evidence(&two),
        evidence(&one)
    );
    // What is found against something else is none.
    let other = self::asked(0.5);
    let mut three = Judging::new(Some("three".to_owned()));
    three.run_once(&[(&other, &self::counted())], at(1_500));
    three.believe(&found);
    assert!(evidence(&three) < 1e-6);
}

#[test]
fn a_rise_of_refused_callers_is_found_by_all_and_outlives_a_restart() {
    let mut asked = asked(0.5);
    asked[0].watch = Watch::Callers;
    asked[0].objective.window = Window::Rolling(Duration::from_hours(26));
    let mut disk = Memory::default();
    let process = |name: &str| (Judging::new(Some(name.to_owned())), counted_if(Good::Blameless));
    let mut both = [process("one"), process("two")];
    let rising = |judging: &Judging| judging.watched().rises[0].rising;
    let has_risen = |judging: &Judging| rising(judging).suffices();
    let answered = crate::reading::sample::outcome(Class::Good, 1, 1);
    // Twenty callers a minute at each, of whom one in twenty is refused, as often as it asks; after three hours half are.
    let mut minute = 0;
    let mut play =
        |both: &mut [(Judging, [Arc<ObjectiveCounts>; 1])], disk: &mut Memory, minutes: u64, refused: u64| {
            for _ in 0..minutes {
                for second in 0..60 {
                    for (judging, counted) in &mut *both {
                        if second == 30 {
                            for caller in 0..20 {
                                let blames = caller < refused;
                                (0..3).for_each(|_| counted[0].record(0, &answered, blames, || caller));
                            }
                        }
                        judging.run_once(&[(&asked, &*counted)], at(60 * minute + second));
                        if second % 10 == 0 {
                            keep(disk, judging);
                        }
                    }
                }
                minute += 1;
            }
        };
    play(&mut both, &mut disk, 180, 1);
    let usual = rising(&both[0].0).usual.unwrap();
    // Each request that was not refused counts, and each caller that was.
    assert!((usual - 1.0 / (3.0 * 19.0 + 1.0)).abs() < 1e-3, "{usual}");
    assert!(!has_risen(&both[0].0));
    assert!(
        both[0].0.reading(&Ladder::default()).is_empty(),
        "it is no objective"
    );
    play(&mut both, &mut disk, 4, 10);
    assert_eq!(rising(&both[0].0), rising(&both[1].0));
    assert!(has_risen(&both[0].0));
    let mut after = [process("after")];
    play(&mut after, &mut disk, 2, 10);
    assert!(has_risen(&after[0].0), "the next process knows what was usual");
}

#[test]
fn what_nobody_keeps_is_not_gathered() {
    let mut judging = Judging::new(None);
    for second in 0..3 {
        judging.run_once(&[(&asked(0.99), &counted())], at(second));
        assert_eq!(judging.unwritten(), []);
    }
}

#[test]
fn a_disk_that_is_full_for_long_costs_bounded_memory() {
    let (asked, counted) = (asked(0.99), counted());
    let mut judging = Judging::new(Some("one".to_owned()));
    for minute in 0..3_000 {
        judging.run_once(&[(&asked, &counted)], at(60 * minute));
    }
    assert_eq!(judging.unwritten().len(), UNWRITTEN_MAX);
}

#[test]
fn each_caller_counts_once_a_minute() {
    let (asked, counted) = (asked(0.99), counted());
    let mut judging = Judging::new(Some("one".to_owned()));
    let bad = Class::Bad(Reason::UpstreamReset);
    let calls = |judging: &Judging| judging.reading(&Ladder::default())[0].verdict.calls;
    // One who fails every second is no evidence for a page; in two minutes it was counted twice or thrice.
    for second in 0..100 {
        record(&counted[0], Class::Good, 0..10);
        record(&counted[0], bad, 7..8);
        judging.run_once(&[(&asked, &counted)], at(second));
        assert_ne!(calls(&judging), Some(Severity::Page));
    }
    assert_eq!(judging.reading(&Ladder::default())[0].verdict.callers, 1);
    // Many at once are.
    for second in 100..130 {
        let first = 1_000 * second;
        record(&counted[0], bad, first..first + 100);
        judging.run_once(&[(&asked, &counted)], at(second));
    }
    assert_eq!(calls(&judging), Some(Severity::Page));
    assert_eq!(judging.began("checkout"), Some(Second(at(100).as_secs())));
}

#[test]
fn a_year_is_kept_for_whoever_looks_back_so_far() {
    let mut judging = Judging::new(None);
    assert_eq!(judging.looks_back(), Duration::ZERO);
    let mut asked = asked(0.99);
    judging.run_once(&[(&asked, &counted())], at(0));
    assert_eq!(judging.looks_back(), Duration::from_hours(24));
    let year = Calendar::usual(Unit::Year, TimeZone::UTC);
    asked[0].objective.window = Window::Calendar(year.length().unwrap());
    asked[0].calendar = Some(year);
    judging.run_once(&[(&asked, &counted())], at(1));
    assert!(judging.looks_back() > Duration::from_hours(366 * 24));
}

#[test]
fn a_figure_that_falls_is_found_from_what_is_written_down() {
    let mut asked = asked(0.5);
    asked[0].watch = Watch::Figure {
        measure: Measure::Rate { fall: 0.2 },
        zone: TimeZone::UTC,
    };
    asked[0].objective.window = Window::Rolling(Duration::from_hours(24 * FALL_LOOKS_BACK));
    let (key, mut disk) = (key(&asked[0]), Memory::default());
    // Eleven days of fifty orders a minute, of which this process knows by what was written.
    let now = at(0).as_secs() / 60;
    let row = |minute| Row {
        instance: "before-1".into(),
        key: key.clone(),
        minute: Minute {
            minute,
            counts: Counts { good: 50, bad: 0 },
            measured: 60,
        },
        log: None,
    };
    let before: Vec<_> = (now - 11 * 1_440..now).map(row).collect();
    before.chunks(5_000).for_each(|rows| disk.write(rows).unwrap());
    let (mut judging, counted) = (Judging::new(Some("one".to_owned())), counted_if(Good::Succeeded));
    let mut play = |from: u64, to: u64, good: u64| {
        for second in from..to {
            if second % 60 == 10 {
                record(&counted[0], Class::Good, 0..good);
            }
            judging.run_once(&[(&asked, &counted)], at(second));
            if second % 10 == 0 {
                keep(&mut disk, &mut judging);
            }
        }
        judging.watched().falls[0].falling
    };
    let falling = play(0, 240, 50);
    assert_eq!((falling.usual, falling.suffices()), (Some(50.0), false));
    let falling = play(240, 600, 2);
    assert!(falling.suffices(), "{falling:?}");
    assert_eq!(falling.began.map(|minute| minute - now), Some(4));
    assert!(
        judging.reading(&Ladder::default()).is_empty(),
        "it is no objective"
    );
}

#[test]
fn a_composite_spends_what_its_members_spend_in_its_own_place() {
    let one = |name: &str| ObjectiveConfig {
        name: name.into(),
        ..asked(0.9)[0].clone()
    };
    let composite = ObjectiveConfig {
        objective: Objective::composite(Window::Rolling(Duration::from_hours(24))),
        members: [("pay".into(), 3.0), ("read".into(), 1.0)].into(),
        ..one("shop")
    };
    let asked = [one("pay"), composite, one("read")];
    let counts = |name: &str| {
        let plan = ObjectivePlan {
            name: name.into(),
            routes: Vec::new(),
            tier: None,
            good: Good::Served { latency_max: None },
            walk: None,
        };
        Arc::new(ObjectiveCounts::new(&plan, 1))
    };
    let counted = [counts("pay"), counts("read")];
    let mut judging = Judging::new(None);
    judging.run_once(&[(&asked, &counted)], at(0));
    // Of a hundred ten may fail: one spends half of that, the other nothing.
    record(&counted[0], Class::Good, 0..95);
    record(&counted[0], Class::Bad(Reason::UpstreamError), 95..100);
    record(&counted[1], Class::Good, 0..100);
    judging.run_once(&[(&asked, &counted)], at(1));
    let all = judging.reading(&Ladder::default());
    let names: Vec<&str> = all.iter().map(|reading| &*reading.name).collect();
    assert_eq!(names, ["pay", "shop", "read"]);
    let left = all[1].verdict.left().unwrap();
    assert!((left - (1.0 - 0.75 * 0.5)).abs() < 1e-9, "{left}");
    // What it is made of may change.
    let asked = [one("pay"), one("read")];
    judging.run_once(&[(&asked, &counted)], at(2));
    assert_eq!(judging.reading(&Ladder::default()).len(), 2);
}
