//! Breakers: a service that is well, fails, and recovers. `at takes what-becomes => admit | refuse ~wait`.
//!
//! What becomes of a request is a status; `reset`, a connection that broke; `caller`, a request whose own body broke off;
//! or `gone`, a caller who went away.

use std::collections::BTreeMap;

use plimsoll_policy::{Breaker, BreakerDecision, Judged, Pass, Pushback, Report, SeededDice};
use plimsoll_slo::Instant;

use super::format::{BREAKER, Case};
use super::{Dice as _, Draw as _, Rolled, Vectors};

pub(super) const VECTORS: Vectors = Vectors {
    name: "breaker",
    text: BREAKER,
    about: "Breakers: at takes what-becomes => admit | refuse ~wait",
    cases: 60,
    draw,
    play,
};

const GOOD: &[&str] = &["200", "200", "200", "200", "404", "429", "501"];
const BAD: &[&str] = &["500", "503", "503", "504", "200"];
/// What the gateway cannot be made to see of its upstream by a status.
const OTHER: &[&str] = &["reset", "reset", "caller", "gone", "200"];

fn draw(dice: &mut SeededDice) -> (String, Vec<String>) {
    let config = format!(
        "percent={} requests-min={} consecutive={} open={} open-max={} probes={} ramp={} probe-timeout={}",
        dice.one(&[&20, &50, &100]),
        dice.within(2, 6),
        dice.one(&[&0, &0, &2, &3]),
        10 * dice.within(5, 100),
        10 * dice.within(100, 300),
        dice.within(1, 3),
        10 * dice.within(1, 60),
        10 * dice.within(20, 200),
    );
    let statuses_only = dice.below(2) == 0;
    let (mut at, mut ends) = (0, Vec::new());
    let mut well = true;
    let steps = (0..26).map(|_| {
        if dice.below(8) == 0 {
            well = !well;
        }
        let pause = if dice.below(6) == 0 { 600 } else { 40 };
        at += 2 * dice.within(1, pause);
        // They come at even times and end at odd ones, no two at once.
        let mut takes = 2 * dice.within(0, 80) + 1;
        while ends.contains(&(at + takes)) {
            takes += 2;
        }
        ends.push(at + takes);
        let what = match (well, statuses_only) {
            (true, _) => dice.one(GOOD),
            (false, true) => dice.one(BAD),
            (false, false) => dice.one(OTHER),
        };
        format!("{at} {takes} {what}")
    });
    let steps = steps.collect();
    (config, steps)
}

fn play(case: &Case<'_>, dice: &mut dyn FnMut() -> u64) -> Vec<String> {
    let (mut breaker, mut dice) = (Breaker::new(case.breaker()), Rolled(dice));
    let mut under_way = BTreeMap::<u64, (Pass, &str)>::new();
    let mut answers = Vec::new();
    for step in &case.steps {
        let (at, now) = (step.number(0), Instant::ORIGIN + step.ms(0));
        while let Some(first) = under_way.first_entry().filter(|first| *first.key() < at) {
            let (ended, (pass, what)) = first.remove_entry();
            end(&mut breaker, Instant::from_nanos(ended * 1_000_000), pass, what);
        }
        answers.push(match breaker.admit(now, &mut dice) {
            BreakerDecision::Admit(pass) => {
                under_way.insert(at + step.number(1), (pass, step.word(2)));
                "admit".to_owned()
            }
            BreakerDecision::Refuse { retry_after } => format!("refuse ~{}ns", retry_after.as_nanos()),
        });
    }
    answers
}

fn end(breaker: &mut Breaker, now: Instant, pass: Pass, what: &str) {
    match what {
        "reset" => breaker.report(now, pass, Report::Failure),
        "caller" | "gone" => breaker.cancel(now, pass),
        status => {
            let judged = Judged::http(status.parse().expect("a status"), Pushback::None);
            breaker.report(now, pass, judged.report);
        }
    }
}
