//! Bulkheads: requests that come and stay. `at stays => admit | refuse`.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_policy::{Bulkhead, BulkheadDecision, SeededDice};

use super::format::{BULKHEAD, Case};
use super::{Draw as _, Vectors};

pub(super) const VECTORS: Vectors = Vectors {
    name: "bulkhead",
    text: BULKHEAD,
    about: "Bulkheads: at stays => admit | refuse",
    cases: 40,
    draw,
    play,
};

fn draw(dice: &mut SeededDice) -> (String, Vec<String>) {
    let max = dice.within(0, 5);
    let mut at = 0;
    let steps = (0..16).map(|_| {
        at += 2 * dice.within(1, 20);
        // They come at even times and leave at odd ones, so that nothing happens at once.
        format!("{at} {}", 2 * dice.within(0, 60) + 1)
    });
    let steps = steps.collect();
    (format!("max={max}"), steps)
}

fn play(case: &Case<'_>, _: &mut dyn FnMut() -> u64) -> Vec<String> {
    let bulkhead = Arc::new(Bulkhead::new(case.number("max")));
    let mut inside = BTreeMap::<u64, Vec<_>>::new();
    let decide = |step: &super::format::Step<'_>| {
        let at = step.number(0);
        inside = inside.split_off(&at);
        match bulkhead.enter() {
            BulkheadDecision::Admit(permit) => {
                inside.entry(at + step.number(1)).or_default().push(permit);
                "admit".to_owned()
            }
            BulkheadDecision::Refuse => "refuse".to_owned(),
        }
    };
    case.steps.iter().map(decide).collect()
}
