//! Single tries: how long one may take, and what the next hop is told.
//! `at left takes protocol => answered told | timeout told at | exceeded told at`.

use plimsoll_policy::{SeededDice, write_grpc_timeout};
use plimsoll_slo::Instant;

use super::format::{Case, Step, TRY};
use super::{Dice as _, Draw as _, Vectors};

pub(super) const VECTORS: Vectors = Vectors {
    name: "try",
    text: TRY,
    about: "Tries: at left takes protocol => answered told | timeout told at | exceeded told at",
    cases: 40,
    draw,
    play,
};

fn draw(dice: &mut SeededDice) -> (String, Vec<String>) {
    let total = 10 * dice.within(10, 100);
    let per_try = match dice.below(3) {
        0 => String::new(),
        _ => format!(" per-try={}", dice.within(1, total)),
    };
    let margin = dice.within(0, 20);
    let mut at = 0;
    let steps = (0..12).map(|_| {
        at += 2 * dice.within(1, 100);
        let left = dice.within(1, total);
        let takes = 2 * dice.within(0, total / 2) + 1;
        // A service that answers exactly when it is given up would have both decided by chance.
        let takes = if takes == left || per_try.ends_with(&format!("={takes}")) {
            takes + 1
        } else {
            takes
        };
        format!("{at} {left} {takes} {}", dice.one(&["http", "grpc"]))
    });
    let steps = steps.collect();
    (
        format!("total={total} total-max={total} margin={margin}{per_try}"),
        steps,
    )
}

fn play(case: &Case<'_>, _: &mut dyn FnMut() -> u64) -> Vec<String> {
    let config = case.deadline();
    let decide = |step: &Step<'_>| {
        let now = Instant::ORIGIN + step.ms(0);
        let (deadline, answer) = (now + step.ms(1), now + step.ms(2));
        let end = config.try_until(now, deadline, None).expect("there is time left");
        let left = config.on_wire(now, deadline);
        let told = match step.word(3) {
            "grpc" => format!("{}/{}", left.as_millis(), write_grpc_timeout(left)),
            _ => left.as_millis().to_string(),
        };
        let ended = end.as_nanos() / 1_000_000;
        if answer < end {
            format!("answered {told}")
        } else if end < deadline {
            format!("timeout {told} {ended}")
        } else {
            format!("exceeded {told} {ended}")
        }
    };
    case.steps.iter().map(decide).collect()
}
