//! Deadlines: what callers ask for, and how long the service takes.
//! `at asks takes => unmeetable | answered left | exceeded at`.
//!
//! A caller asks for nothing (`-`), in gRPC's field (`grpc:100m`), in ours (`ms:250`), or for what is no number.

use std::time::Duration;

use plimsoll_policy::{DeadlineDecision, SeededDice, parse_grpc_timeout};
use plimsoll_slo::Instant;

use super::format::{Case, DEADLINE, Step};
use super::{Dice as _, Draw as _, Vectors};

pub(super) const VECTORS: Vectors = Vectors {
    name: "deadline",
    text: DEADLINE,
    about: "Deadlines: at asks takes => unmeetable | answered left | exceeded at",
    cases: 40,
    draw,
    play,
};

fn draw(dice: &mut SeededDice) -> (String, Vec<String>) {
    let total = 10 * dice.within(1, 100);
    let (total_max, trusting) = (total * dice.within(1, 4), dice.one(&["yes", "no"]));
    let mut at = 0;
    let steps = (0..12).map(|_| {
        at += 2 * dice.within(1, 100);
        let asks = match dice.below(8) {
            0 | 1 => "-".to_owned(),
            2 | 3 => format!("ms:{}", dice.within(0, 2 * total)),
            4 => format!("grpc:{}m", dice.within(0, 2 * total)),
            5 => format!("grpc:{}S", dice.within(0, 2)),
            6 => dice
                .one(&["grpc:123456789m", "grpc:5x", "grpc:", "ms:-1", "ms:1.5"])
                .to_owned(),
            _ => dice
                .one(&["grpc:99999999H", "ms:18446744073709551615", "ms:0", "grpc:0n"])
                .to_owned(),
        };
        // The odd millisecond keeps an answer from coming at the deadline.
        format!("{at} {asks} {}", 2 * dice.within(0, total) + 1)
    });
    let steps = steps.collect();
    (
        format!("total={total} total-max={total_max} margin=0 trusting={trusting}"),
        steps,
    )
}

fn play(case: &Case<'_>, _: &mut dyn FnMut() -> u64) -> Vec<String> {
    let config = case.deadline();
    let trusting = case.get("trusting") == Some("yes");
    let decide = |step: &Step<'_>| {
        let (now, takes) = (Instant::ORIGIN + step.ms(0), step.ms(2));
        let asked = match step.word(1).split_once(':') {
            Some(("grpc", value)) => parse_grpc_timeout(value.as_bytes()),
            Some((_, value)) => value.parse().ok().map(Duration::from_millis),
            None => None,
        };
        let asked = asked.map(|asked| if trusting { asked } else { asked.min(config.total) });
        match config.admit(now, asked, None) {
            DeadlineDecision::Refuse(_) => "unmeetable".to_owned(),
            DeadlineDecision::Admit(at) if now + takes < at => format!("answered {}", (at - now).as_millis()),
            DeadlineDecision::Admit(at) => format!("exceeded {}", at.as_nanos() / 1_000_000),
        }
    };
    case.steps.iter().map(decide).collect()
}
