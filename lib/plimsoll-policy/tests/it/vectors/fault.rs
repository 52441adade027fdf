//! Faults: rules for a share of requests, and what an operator asks for. `after asks => nothing | what is done`.
//!
//! A request comes `after` so long a pause, and asks for nothing (`-`) or for faults and rules by name, with `+` between.
//! `took` is how long a body of 30,000 bytes takes that is there at once.

use std::time::Duration;

use plimsoll_policy::{SeededDice, Throttle, ThrottleDecision};
use plimsoll_slo::Instant;

use super::format::{Case, FAULT};
use super::{Dice as _, Draw as _, Rolled, Vectors};

pub(super) const VECTORS: Vectors = Vectors {
    name: "fault",
    text: FAULT,
    about: "Faults: after asks => nothing | what is done",
    cases: 40,
    draw,
    play,
};

const ASKS: &[&str] = &[
    "-",
    "-",
    "-",
    "drill",
    "slow",
    "delay=30ms",
    "abort=503",
    "abort=429/8",
    "disconnect",
    "throttle=40000",
    "delay=30ms+abort=500",
    "drill+throttle=90000",
    "delay=5",
    "nonsense",
    "abort=200",
];

fn draw(dice: &mut SeededDice) -> (String, Vec<String>) {
    let always = dice.below(2) == 0;
    let mut rules = Vec::new();
    for name in ["", "", "/drill", "/slow"] {
        let percent = if always {
            dice.one(&[&0, &100])
        } else {
            dice.one(&[&5, &30, &60])
        };
        let action = match dice.below(5) {
            0 | 1 => format!("delay={}", dice.within(1, 80)),
            2 => format!("abort={}", dice.one(&[&500, &503, &429])),
            3 => "disconnect".to_owned(),
            _ => format!("throttle={}", 10_000 * dice.within(1, 20)),
        };
        // What hits everybody is not interesting unless it is mild.
        let mild = action.starts_with("delay") || !name.is_empty() || !always;
        rules.push(format!("{}{name}:{action}", if mild { percent } else { &0 }));
    }
    let steps = (0..12).map(|_| format!("{} {}", dice.within(1, 50), dice.one(ASKS)));
    let steps = steps.collect();
    (format!("rules={}", rules.join(",")), steps)
}

fn play(case: &Case<'_>, dice: &mut dyn FnMut() -> u64) -> Vec<String> {
    let (config, mut dice) = (case.faults(), Rolled(dice));
    let mut now = Instant::ORIGIN;
    let mut answers = Vec::new();
    for step in &case.steps {
        now = now + step.ms(0);
        let asks = Some(step.word(1).replace('+', ",")).filter(|asks| asks != "-");
        if asks
            .as_deref()
            .is_some_and(|asks| config.check_header(asks).is_err())
        {
            answers.push("forbidden".to_owned());
            continue;
        }
        let faults = config.decide(asks.as_deref(), &mut dice);
        let mut said = Vec::new();
        if let Some(delay) = faults.delay {
            now = now + delay;
            said.push(format!("delay={}", delay.as_millis()));
        }
        if faults.disconnect {
            said.push("disconnect".to_owned());
        } else if let Some(abort) = faults.abort {
            said.push(format!("abort={}/{}", abort.status, abort.grpc));
        } else if let Some(rate) = faults.throttle {
            let ended = body(now, rate);
            said.push(format!("took={}", (ended - now).as_millis()));
            now = ended;
        }
        answers.push(if said.is_empty() {
            "nothing".to_owned()
        } else {
            said.join(" ")
        });
    }
    answers
}

/// When a body of 30,000 bytes has gone.
fn body(mut now: Instant, rate: u64) -> Instant {
    let (mut throttle, mut left) = (Throttle::new(rate), 30_000);
    while left > 0 {
        match throttle.allow(now, left) {
            ThrottleDecision::Send(bytes) => left -= bytes,
            ThrottleDecision::Wait(wait) => {
                let woken = (now + wait).as_nanos().div_ceil(1_000_000);
                now = Instant::ORIGIN + Duration::from_millis(woken);
            }
        }
    }
    now
}
