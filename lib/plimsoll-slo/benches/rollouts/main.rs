//! How soon a bad candidate is found, and how seldom a good one is taken for one: simulated rollouts, with seeds.
//!
//! `cargo bench -p plimsoll-slo --bench rollouts`, or `cargo xtask bench rollouts`, which keeps what it says. Beside the
//! comparison run the rules that are usual, as their documentation describes them: a Flagger-like one (fewer than 99 % good in a minute
//! is a strike, five strikes roll back), a test of two proportions that is looked at every ten seconds, and the same
//! looked at once, at the end.

#![allow(clippy::print_stdout, reason = "a benchmark talks to whoever ran it")]

#[path = "../../tests/it/dice.rs"]
#[expect(dead_code, reason = "the tests roll them in more ways")]
mod dice;
mod rules;
mod worlds;

use plimsoll_slo::Terms;

use crate::rules::{Comparing, Flagger, Once, Peeking, Rule};
use crate::worlds::{Candidate, World};

/// Rollouts of a class in which nothing is wrong; there are four classes.
const ROLLOUTS: u64 = 25_000;
/// And of each rule that is usual, of which thousands are enough to see.
const USUAL: u64 = 2_000;
/// Rollouts of a candidate that is bad.
const BAD: u64 = 2_000;

fn main() {
    found_out();
    innocents();
}

/// How soon each rule finds a candidate bad that is, at a share of 5 %.
fn found_out() {
    println!(
        "| requests a second | candidate against stable | rule | found | seconds, mean | p99 | failed requests, mean | p99 |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for rate in [20.0, 100.0, 1_000.0] {
        for (name, candidate, stable) in [
            ("100 % against 0.1 %", 1.0, 0.001),
            ("5 % against 1 %", 0.05, 0.01),
            ("1 % against 0.1 %", 0.01, 0.001),
        ] {
            let world = World {
                rate,
                stable,
                candidate: Candidate::Fails(candidate),
                shares: &[0.05],
                seconds: 600.0,
                ..World::QUIET
            };
            delay(&world, rate, name, "ours", || Comparing::new(Terms::default()));
            delay(&world, rate, name, "Flagger-like", Flagger::default);
            delay(&world, rate, name, "z-test, each 10 s", Peeking::default);
            delay(&world, rate, name, "z-test, once", || Once::after(600.0));
        }
    }
}

fn delay<R: Rule>(world: &World, rate: f64, name: &str, rule: &str, new: impl Fn() -> R) {
    let mut found: Vec<(f64, u64)> = (0..BAD).filter_map(|seed| world.play(seed, &mut new())).collect();
    let count = found.len();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let p99 = |of: fn(&(f64, u64)) -> f64| {
        let mut all: Vec<f64> = found.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all.get((0.99 * count as f64) as usize).copied()
    };
    let mean = |of: fn(&(f64, u64)) -> f64| found.iter().map(of).sum::<f64>() / count.max(1) as f64;
    let text = |figure: Option<f64>, digits: usize| {
        figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
    };
    let some = |figure: f64| (count > 0).then_some(figure);
    println!(
        "| {rate} | {name} | {rule} | {:.1} % | {} | {} | {} | {} |",
        100.0 * count as f64 / BAD as f64,
        text(some(mean(|(seconds, _)| *seconds)), 1),
        text(p99(|(seconds, _)| *seconds), 1),
        text(some(mean(|(_, failed)| *failed as f64)), 1),
        text(p99(|(_, failed)| *failed as f64), 0),
    );
}

/// How often each rule rolls back a candidate that is as good.
fn innocents() {
    println!();
    println!(
        "| a candidate that is as good | rule | rollouts | rolled back | share | not more than, with 95 % |"
    );
    println!("|---|---|---|---|---|---|");
    let ramp = World {
        rate: 200.0,
        stable: 0.002,
        shares: &[0.01, 0.05, 0.25, 0.5, 0.95],
        seconds: 200.0,
        ..World::QUIET
    };
    let classes = [
        ("ramp", ramp),
        (
            "an incident of both in the middle",
            World {
                incident: Some(25.0),
                ..ramp
            },
        ),
        ("users who keep to a version", World { keyed: true, ..ramp }),
        ("callers who try again and again", World { repeats: 5, ..ramp }),
    ];
    let mut all = 0;
    for (name, world) in classes {
        let wrong = over(ROLLOUTS, |seed| {
            world.play(seed, &mut Comparing::new(Terms::default())).is_some()
        });
        all += wrong;
        share(name, "ours", ROLLOUTS, wrong);
        let wrong = |new: &(dyn Fn() -> Box<dyn Rule> + Sync)| {
            over(USUAL, |seed| world.play(seed, &mut *new()).is_some())
        };
        share(name, "Flagger-like", USUAL, wrong(&|| Box::<Flagger>::default()));
        share(
            name,
            "z-test, each 10 s",
            USUAL,
            wrong(&|| Box::<Peeking>::default()),
        );
        share(
            name,
            "z-test, once",
            USUAL,
            wrong(&|| Box::new(Once::after(1_000.0))),
        );
    }
    share("all of these", "ours", 4 * ROLLOUTS, all);
}

/// How many of so many seeds do, on all processors.
fn over(seeds: u64, does: impl Fn(u64) -> bool + Sync) -> u64 {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    std::thread::scope(|scope| {
        let of = |thread| {
            let does = &does;
            scope.spawn(move || {
                (thread..seeds)
                    .step_by(threads as usize)
                    .filter(|seed| does(*seed))
                    .count() as u64
            })
        };
        let running: Vec<_> = (0..threads).map(of).collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("no rollout panics"))
            .sum()
    })
}

fn share(name: &str, rule: &str, rollouts: u64, wrong: u64) {
    let percent = |share: f64| format!("{:.3} %", 100.0 * share);
    println!(
        "| {name} | {rule} | {rollouts} | {wrong} | {} | {} |",
        percent(wrong as f64 / rollouts as f64),
        percent(bound(wrong, rollouts)),
    );
}

/// The exact upper bound of a share (Clopper and Pearson, 1934), one-sided, with 95 %.
fn bound(seen: u64, of: u64) -> f64 {
    let at_most = |share: f64| {
        // The probability of so few or fewer, from the largest term on.
        let mut term = (1.0 - share).ln() * of as f64;
        let mut sum = term.exp();
        for k in 0..seen {
            term += ((of - k) as f64 / (k + 1) as f64).ln() + (share / (1.0 - share)).ln();
            sum += term.exp();
        }
        sum
    };
    let (mut low, mut high) = (seen as f64 / of as f64, 1.0 - 1e-12);
    for _ in 0..200 {
        let middle = low.midpoint(high);
        if at_most(middle) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
