//! Several who count for one objective, and each of whom judges it: who knows the same says the same.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_slo::{
    Budgeting, Corrected, Correction, Counts, Empty, Judge, MinuteLog, Objective, Second, Severity, Slice,
    Target, Window,
};
use proptest::prelude::*;

use crate::dice::Dice;

/// One who counts and judges: what it has seen itself, and what it has heard from the others.
struct Node {
    index: usize,
    judge: Judge,
    own: BTreeMap<u64, MinuteLog>,
    heard: BTreeMap<(u64, usize), MinuteLog>,
}

impl Node {
    fn new(objective: Objective, index: usize) -> Self {
        Self {
            index,
            judge: Judge::new(objective),
            own: BTreeMap::new(),
            heard: BTreeMap::new(),
        }
    }

    fn known(&self, minute: u64) -> MinuteLog {
        let mut log = self.own.get(&minute).cloned().unwrap_or_default();
        let heard = self.heard.range((minute, 0)..(minute + 1, 0));
        heard.for_each(|(_, other)| log.merge(other));
        log
    }

    fn second(&mut self, at: u64, counts: Counts, failed: &[u16]) {
        let own = self.own.entry(at / 60).or_default();
        own.count((at % 60) as u8, counts, failed.iter().copied());
        let log = self.known(at / 60).second((at % 60) as u8);
        self.judge.second(Second(at), log.counts, log.callers);
        // A caller may have been taken from a later second, and is the first of this one.
        self.judge.revise(at / 60, &self.known(at / 60));
    }

    fn hear(&mut self, from: usize, minute: u64, log: &MinuteLog) {
        self.heard.insert((minute, from), log.clone());
        self.judge.revise(minute, &self.known(minute));
    }
}

/// What happens at a node in a second.
fn happens(dice: &mut Dice, is_out: bool) -> (Counts, Vec<u16>) {
    let total = (6.0 * dice.share()) as u64;
    let share = if is_out { 0.4 } else { 0.01 };
    let bad = (0..total).filter(|_| dice.share() < share).count() as u64;
    let failed = (0..bad).map(|_| (12.0 * dice.share()) as u16);
    (
        Counts {
            good: total - bad,
            bad,
        },
        failed.collect(),
    )
}

fn objectives() -> [Objective; 3] {
    let target = Target::new(0.99).expect("it is one");
    let of_events = Objective::of_events(target, Window::Rolling(Duration::from_hours(24)));
    let slice = Slice {
        minutes: 2,
        empty: Empty::Good,
    };
    [
        of_events,
        Objective {
            budgeting: Budgeting::RatioTimeslices { slice },
            ..of_events
        },
        Objective {
            budgeting: Budgeting::Timeslices { slice, target },
            ..of_events
        },
    ]
}

const BEGINS: u64 = 1_795_000_020;
const SECONDS: u64 = 1_300;
/// Nothing happens any more, and everything is heard.
const ENDS: u64 = SECONDS + 30;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn whoever_knows_the_same_says_the_same(seed in any::<u64>(), of in 0usize..3, corrected in any::<bool>()) {
        let objective = objectives()[of];
        let mut dice = Dice::new(seed);
        let mut nodes: Vec<Node> = (0..3).map(|index| Node::new(objective, index)).collect();
        // The third begins late, and the second leaves for a while and is not heard of in that time.
        let joins = [0, 0, (600.0 * dice.share()) as u64];
        let away = (200.0 + 300.0 * dice.share()) as u64..(500.0 + 200.0 * dice.share()) as u64;
        let out = (300.0 * dice.share()) as u64..(300.0 + 900.0 * dice.share()) as u64;
        let correction = Correction {
            from: BEGINS / 60 + 4,
            to: BEGINS / 60 + 6,
            what: Corrected::Excluded,
        };
        for at in 0..ENDS {
            let second = BEGINS + at;
            for (index, node) in nodes.iter_mut().enumerate() {
                if at < joins[index] {
                    continue;
                }
                let (counts, failed) = if at < SECONDS {
                    happens(&mut dice, out.contains(&at))
                } else {
                    (Counts::default(), Vec::new())
                };
                node.second(second, counts, &failed);
                if corrected && at == 700 {
                    node.judge.correct(vec![correction]);
                }
            }
            for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
                let is_away = (from == 1 || to == 1) && away.contains(&at);
                let hears = at == SECONDS || (!is_away && dice.share() < 0.2);
                if !hears || at < joins[to] {
                    continue;
                }
                let [from, to] = nodes.get_disjoint_mut([from, to]).expect("they are two");
                for (minute, log) in from.own.range(second / 60 - 14..) {
                    to.hear(from.index, *minute, log);
                }
            }
            // Who comes late is told what evidence had come to before.
            let mark = nodes[0].judge.evidence_mark();
            if let Some(mark) = mark.filter(|_| at.is_multiple_of(60) || at == ENDS - 20) {
                nodes[2].judge.believe(&mark);
                nodes[1].judge.believe(&mark);
            }
        }
        let [one, two, three] = [0, 1, 2].map(|index| nodes[index].judge.verdict());
        prop_assert_eq!(format!("{one:?}"), format!("{two:?}"));
        prop_assert_eq!(format!("{one:?}"), format!("{three:?}"));
    }
}

#[test]
fn three_find_together_what_none_finds_alone() {
    let [objective, ..] = objectives();
    let mut nodes: Vec<Node> = (0..3).map(|index| Node::new(objective, index)).collect();
    let mut alone = Judge::new(objective);
    for at in 0..400 {
        let second = BEGINS + at;
        // A quiet service, of which one caller fails at each, all at the same time.
        let fails = at >= 300 && at.is_multiple_of(30);
        let counts = Counts {
            good: u64::from(!fails && at.is_multiple_of(30)),
            bad: u64::from(fails),
        };
        for (index, node) in (0u16..).zip(&mut nodes) {
            let failed = [100 * index + at as u16 % 90];
            node.second(second, counts, &failed[..usize::from(fails)]);
        }
        alone.second(Second(second), counts, u64::from(fails));
        for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
            let log = nodes[from].own[&(second / 60)].clone();
            nodes[to].hear(from, second / 60, &log);
        }
    }
    let evidence = alone.verdict().evidence;
    for node in &nodes {
        let verdict = node.judge.verdict();
        assert!(
            verdict.evidence > 100.0 * evidence,
            "{} {evidence}",
            verdict.evidence
        );
        assert_eq!(verdict.calls, Some(Severity::Page));
    }
}

#[test]
fn evidence_outlives_whoever_has_found_it() {
    let [objective, ..] = objectives();
    let play = |judge: &mut Judge, seconds: std::ops::Range<u64>| {
        for at in seconds {
            let bad = u64::from(at.is_multiple_of(200));
            judge.second(Second(BEGINS + at), Counts { good: 1 - bad, bad }, bad);
        }
    };
    let mut before = Judge::new(objective);
    play(&mut before, 0..3_000);
    let mark = before.evidence_mark().expect("much is settled");
    assert!(mark.at <= Second(BEGINS + 3_000 - 780));
    // What was counted since the mark is heard as well: then it is as if nothing had been.
    let mut after = Judge::new(objective);
    for minute in mark.at.minute()..=(BEGINS + 2_999) / 60 {
        let mut log = MinuteLog::default();
        for at in (60 * minute..60 * minute + 60).filter(|at| *at < BEGINS + 3_000) {
            let bad = u64::from((at - BEGINS).is_multiple_of(200));
            log.count(
                (at % 60) as u8,
                Counts { good: 1 - bad, bad },
                (0..bad).map(|_| 1),
            );
        }
        if minute == mark.at.minute() {
            after.second(Second(BEGINS + 2_999), Counts::default(), 0);
        }
        after.revise(minute, &log);
    }
    assert!(after.believe(&mark));
    assert!(!after.believe(&mark), "it knows that already");
    assert_eq!(
        after.verdict().evidence.to_bits(),
        before.verdict().evidence.to_bits()
    );
    // A wild one is not believed.
    let mut wild = mark.clone();
    wild.since = Second(0);
    wild.values[0] = f64::NAN;
    assert!(!after.believe(&wild));
    wild.values.pop();
    assert!(!after.believe(&wild));
    // Long after, what happened in between is not known, and what was known before still is.
    let mut late = Judge::new(objective);
    late.second(Second(BEGINS + 10_000), Counts::default(), 0);
    assert!(late.believe(&mark));
    let sum: f64 = mark.values.iter().sum();
    assert!(late.verdict().evidence > 0.0 && sum > 0.0);
}
