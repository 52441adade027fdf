//! Rate limits: one to three callers who come by ones and in bursts. `at caller => admit left reset-s | refuse wait`.

use plimsoll_policy::{KeyedLimiter, RateDecision, SeededDice, hash_key};
use plimsoll_slo::Instant;

use super::format::{Case, RATE};
use super::{Draw as _, Vectors};

pub(super) const VECTORS: Vectors = Vectors {
    name: "rate",
    text: RATE,
    about: "Rate limits: at caller => admit left reset-s | refuse wait",
    cases: 60,
    draw,
    play,
};

fn draw(dice: &mut SeededDice) -> (String, Vec<String>) {
    let (count, burst) = (dice.within(1, 20), dice.within(1, 6));
    let per = dice.within(1, 12) * *dice.one(&[&100, &250, &1000]);
    let callers = dice.within(1, 3);
    let mut at = 2 * dice.within(1, 50);
    let steps = (0..16).map(|_| {
        // By its nature a limit is interesting around its interval.
        at += 2 * dice.within(0, per / count);
        format!("{at} k{}", dice.within(1, callers))
    });
    let steps = steps.collect();
    (format!("count={count} per={per} burst={burst}"), steps)
}

fn play(case: &Case<'_>, _: &mut dyn FnMut() -> u64) -> Vec<String> {
    let (quota, mut limiter) = (case.quota(), KeyedLimiter::new(64));
    let decide = |step: &super::format::Step<'_>| {
        let key = hash_key(1, &[step.word(1).as_bytes()]);
        let decision = limiter.decide(Instant::ORIGIN + step.ms(0), key, &quota, 1);
        let (left, reset) = decision.advertised();
        match decision {
            RateDecision::Admit { .. } => {
                format!("admit {left} {}", reset.as_nanos().div_ceil(1_000_000_000))
            }
            RateDecision::Refuse { retry_after, .. } => format!("refuse {}ns", retry_after.as_nanos()),
        }
    };
    case.steps.iter().map(decide).collect()
}
