//! One machine, step by step.

use change::{
    Assignment, Cause, Change, Evidence, Health, Kind, Next, Phase, Reversibility, Seen, Standing, Step,
    Then, Transition, Undecided, Wait,
};
use plimsoll_slo::{Comparison, Epoch, Rung, Terms};

pub(crate) fn canary(id: &str) -> Change {
    Change {
        id: id.to_owned(),
        kind: Kind::Deploy,
        target: "upstream/orders".to_owned(),
        to: "v2".to_owned(),
        steps: Change::canary(&Change::CANARY, Assignment::PerRequest),
        needs: Vec::new(),
        offers: Vec::new(),
        undecided: Undecided::default(),
        probation_ms: 600_000,
        hold_back: 0.05,
        relief: false,
        how: String::new(),
    }
}

pub(crate) fn seen(now: u64) -> Seen<'static> {
    Seen {
        now,
        leads: true,
        health: Health::Ready,
        ended: None,
        comparison: None,
        guarded: false,
        replaced_idle: true,
        burning: None,
        rung: Rung::Free,
        glass_broken: false,
        closed: None,
        needed_by: None,
        need_gone: None,
    }
}

/// What a comparison says when the candidate fails as often as the stable version, or much more often, of so much.
pub(crate) fn compared(events: u64, is_bad: bool) -> (Comparison, Evidence) {
    let seen = |events: u64, failed| plimsoll_slo::Seen {
        events,
        failed,
        slow: [events / 2, events / 10, events / 100],
    };
    let epoch = Epoch {
        share: 0.5,
        candidate: seen(events, if is_bad { events / 5 } else { events / 100 }),
        stable: seen(events, events / 100),
    };
    Evidence::of(&[epoch], 0, &Terms::default())
}

fn say(standing: &Standing, seen: &Seen<'_>) -> Transition {
    match standing.decide(seen) {
        Next::Say(said) => said,
        Next::Wait(wait) => panic!("it waits: {wait:?}, {:?}", standing.phase()),
    }
}

fn waits(standing: &Standing, seen: &Seen<'_>) -> Wait {
    match standing.decide(seen) {
        Next::Wait(wait) => wait,
        Next::Say(said) => panic!("it says {said:?}"),
    }
}

/// A canary that has come to this step, at a time of so many milliseconds.
fn at_step(step: usize, now: u64) -> Standing {
    let mut standing = Standing::new(canary("orders-1"), 0);
    standing.hear(1, &Transition::Armed);
    for step in 0..=step {
        standing.hear(now, &Transition::Entered { step, evidence: None });
    }
    standing
}

#[test]
fn a_good_one_goes_up_step_by_step_and_stays() {
    let (good, _) = compared(20_000, false);
    let mut standing = Standing::new(canary("orders-1"), 0);
    let mut now = 0;
    let mut shares = Vec::new();
    while !standing.phase().is_over() {
        now += 1_000;
        let what = Seen {
            comparison: Some(&good),
            guarded: true,
            ..seen(now)
        };
        if standing.phase() == Phase::Promoted {
            assert!(matches!(waits(&standing, &what), Wait::Probation(_)));
            assert!((standing.exposed_at(now) - 0.95).abs() < 1e-9);
            now += 600_000;
            let busy = Seen {
                replaced_idle: false,
                now,
                ..what.clone()
            };
            assert_eq!(waits(&standing, &busy), Wait::Idle);
            assert!((standing.exposed_at(now) - 1.0).abs() < 1e-9);
        }
        let said = say(&standing, &Seen { now, ..what });
        standing.hear(now, &said);
        shares.push(standing.exposed());
    }
    assert_eq!(standing.phase(), Phase::Final);
    assert_eq!(shares, [0.0, 0.01, 0.05, 0.25, 0.5, 0.95, 1.0]);
}

#[test]
fn no_clock_promotes() {
    for (then, cut) in [(Then::Revert, true), (Then::Ask, false)] {
        let mut change = canary("orders-1");
        change.undecided = Undecided {
            hold_ms: 60_000,
            then,
        };
        let mut standing = at_step(1, 1_000);
        standing.change = change;
        let (undecided, _) = compared(50, false);
        let what = |now| Seen {
            comparison: Some(&undecided),
            guarded: true,
            ..seen(now)
        };
        assert_eq!(waits(&standing, &what(60_999)), Wait::Evidence);
        let said = say(&standing, &what(61_000));
        standing.hear(61_000, &said);
        if cut {
            assert!(
                matches!(
                    said,
                    Transition::Cut {
                        cause: Cause::Undecided,
                        ..
                    }
                ),
                "{said:?}"
            );
            assert!(standing.exposed() < 1e-9);
            continue;
        }
        assert_eq!(said, Transition::Asked { step: 1 });
        // However long nobody answers.
        assert_eq!(waits(&standing, &what(u64::MAX)), Wait::Approval(2));
        standing.hear(
            99_000,
            &Transition::Approved {
                step: 2,
                why: "I have looked".to_owned(),
            },
        );
        assert_eq!(
            say(&standing, &what(100_000)),
            Transition::Entered {
                step: 2,
                evidence: None
            }
        );
    }
}

/// The same but for this.
fn with<'a>(seen: &Seen<'a>, edit: impl FnOnce(&mut Seen<'a>)) -> Seen<'a> {
    let mut seen = seen.clone();
    edit(&mut seen);
    seen
}

#[test]
fn danger_is_cut_without_a_leader_and_whatever_holds_it() {
    let (bad, _) = compared(1_000, true);
    let held = with(&seen(10_000), |seen| {
        seen.leads = false;
        seen.rung = Rung::Frozen;
        seen.closed = Some("lunch");
    });
    for (what, cause) in [
        (
            with(&held, |seen| seen.comparison = Some(&bad)),
            Cause::Bad("failures".to_owned()),
        ),
        (
            with(&held, |seen| seen.burning = Some("checkout")),
            Cause::Burning("checkout".to_owned()),
        ),
        (with(&held, |seen| seen.health = Health::Away(3_000)), Cause::Lost),
        (with(&held, |seen| seen.health = Health::Gone), Cause::Lost),
        (
            with(&held, |seen| seen.ended = Some((3, "signal 11"))),
            Cause::Ending("signal 11".to_owned()),
        ),
        (
            with(&held, |seen| seen.need_gone = Some("schema-3")),
            Cause::Needed("schema-3".to_owned()),
        ),
    ] {
        let mut standing = at_step(2, 5_000);
        let why = "lunch".to_owned();
        standing.hear(5_001, &Transition::Paused { why });
        let said = say(&standing, &what);
        assert_eq!(
            said,
            Transition::Cut {
                cause,
                evidence: None
            }
        );
        standing.hear(10_000, &said);
        assert!(standing.exposed() < 1e-9);
        // What it did is undone, and then it is over.
        assert_eq!(
            waits(&standing, &with(&held, |seen| seen.health = Health::Ready)),
            Wait::Undoing
        );
        standing.hear(
            11_000,
            &say(&standing, &with(&held, |seen| seen.health = Health::Gone)),
        );
        assert_eq!(standing.phase(), Phase::Reverted);
        assert_eq!(waits(&standing, &what), Wait::Over);
    }
}

#[test]
fn what_nobody_is_exposed_to_burns_nothing() {
    let (bad, _) = compared(1_000, true);
    let mut armed = Standing::new(canary("orders-1"), 0);
    armed.hear(1, &Transition::Armed);
    let what = with(&seen(10_000), |seen| {
        seen.leads = false;
        seen.burning = Some("checkout");
        seen.comparison = Some(&bad);
    });
    assert_eq!(waits(&armed, &what), Wait::Leader);
}

#[test]
fn what_adds_risk_asks_everybody() {
    let (good, _) = compared(20_000, false);
    let standing = at_step(1, 1_000);
    let good = with(&seen(2_000), |seen| seen.comparison = Some(&good));
    let second = Transition::Entered {
        step: 2,
        evidence: None,
    };
    for (what, wait) in [
        (with(&good, |seen| seen.leads = false), Wait::Leader),
        (
            with(&good, |seen| seen.rung = Rung::Frozen),
            Wait::Budget(Rung::Frozen),
        ),
        (
            with(&good, |seen| seen.rung = Rung::Restricted),
            Wait::Approval(2),
        ),
        (
            with(&good, |seen| seen.closed = Some("lunch")),
            Wait::Closed("lunch".to_owned()),
        ),
    ] {
        assert_eq!(waits(&standing, &what), wait);
    }
    let broken = with(&good, |seen| {
        seen.rung = Rung::Frozen;
        seen.closed = Some("lunch");
        seen.glass_broken = true;
    });
    for what in [with(&good, |seen| seen.rung = Rung::Careful), broken] {
        assert_eq!(say(&standing, &what), second);
    }
    let mut approved = standing;
    let why = "asked".to_owned();
    approved.hear(1_500, &Transition::Approved { step: 2, why });
    assert_eq!(
        say(&approved, &with(&good, |seen| seen.rung = Rung::Restricted)),
        second
    );
}

#[test]
fn a_pause_holds_what_is_good_until_it_ends() {
    let (good, _) = compared(20_000, false);
    let good = with(&seen(2_000), |seen| seen.comparison = Some(&good));
    let mut standing = at_step(1, 1_000);
    let why = "lunch".to_owned();
    let pause = Transition::Paused { why };
    standing.hear(1_500, &pause);
    assert_eq!(waits(&standing, &good), Wait::Paused);
    standing.hear(1_600, &Transition::Resumed);
    // It is heard late once more.
    standing.hear(1_500, &pause);
    assert!(matches!(standing.decide(&good), Next::Say(_)));
}

#[test]
fn what_cannot_be_taken_back_is_a_persons() {
    let mut change = canary("drop-column");
    change.kind = Kind::Schema;
    change.steps = vec![
        Step {
            share: 1.0,
            assignment: Assignment::Global,
            reversibility: Reversibility::Slow,
        },
        Step {
            share: 1.0,
            assignment: Assignment::Global,
            reversibility: Reversibility::None,
        },
    ];
    let mut standing = Standing::new(change, 0);
    standing.hear(1, &Transition::Armed);
    let shown = Seen {
        guarded: true,
        ..seen(2)
    };
    standing.hear(2, &say(&standing, &shown));
    assert_eq!(standing.phase(), Phase::Step(0));
    let glass = Seen {
        glass_broken: true,
        ..shown.clone()
    };
    assert_eq!(waits(&standing, &glass), Wait::Approval(1), "whatever is broken");
    let before = standing.clone();
    standing.hear(
        3,
        &Transition::Approved {
            step: 1,
            why: "nobody reads it".to_owned(),
        },
    );
    standing.hear(3, &say(&standing, &shown));
    assert!(standing.is_past_return() && !before.is_past_return());
    // From here on it is not taken back, and says so.
    let burning = Seen {
        burning: Some("checkout"),
        ..shown.clone()
    };
    standing.hear(4, &say(&standing, &burning));
    let parked = say(&standing, &burning);
    assert!(
        matches!(&parked, Transition::Parked { why } if why.contains("forwards")),
        "{parked:?}"
    );
    standing.hear(5, &parked);
    assert_eq!((standing.phase(), standing.exposed()), (Phase::Parked, 1.0));
    // What can be is; and if that takes too long, it is a person's as well.
    let mut stuck = before;
    stuck.hear(
        4,
        &Transition::Cut {
            cause: Cause::Asked("no".to_owned()),
            evidence: None,
        },
    );
    assert_eq!(waits(&stuck, &shown), Wait::Undoing);
    assert!(matches!(
        say(
            &stuck,
            &Seen {
                now: 700_000,
                ..shown
            }
        ),
        Transition::Parked { .. }
    ));
}

#[test]
fn a_candidate_that_never_comes_up_is_given_up() {
    let standing = Standing::new(canary("orders-1"), 1_000);
    let away = |now, health| Seen { health, ..seen(now) };
    assert_eq!(waits(&standing, &away(90_000, Health::Away(89_000))), Wait::Ready);
    assert_eq!(waits(&standing, &away(90_000, Health::Gone)), Wait::Ready);
    for health in [Health::Away(120_000), Health::Gone] {
        let said = say(&standing, &away(121_000, health));
        assert_eq!(
            said,
            Transition::Cut {
                cause: Cause::NeverReady,
                evidence: None
            }
        );
    }
}

#[test]
fn what_takes_risk_away_asks_nobody_and_nothing_takes_it_back() {
    let step = Step {
        share: 1.0,
        assignment: Assignment::Global,
        reversibility: Reversibility::Instant,
    };
    let change = Change {
        kind: Kind::Flag,
        steps: vec![step],
        relief: true,
        ..canary("kill-1")
    };
    let mut standing = Standing::new(change, 0);
    let bad = compared(2_000, true).0;
    let held = Seen {
        rung: Rung::Frozen,
        closed: Some("lunch"),
        burning: Some("checkout"),
        comparison: Some(&bad),
        ..seen(1_000)
    };
    for said in [
        Transition::Armed,
        Transition::Entered {
            step: 0,
            evidence: None,
        },
        Transition::Promoted { evidence: None },
    ] {
        assert_eq!(say(&standing, &held), said);
        standing.hear(1_000, &said);
    }
    assert_eq!(waits(&standing, &held), Wait::Probation(600_000));
}
