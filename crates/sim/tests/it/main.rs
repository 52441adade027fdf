//! Seeds through the whole gateway: that the properties hold, and that a seed decides everything.

use std::process::Command;

use sim::trace::{self, Entry};
use sim::{properties, run};

/// Seeds that every run of the tests goes through: as many as two cores can in a minute and a half. More of them, at
/// release speed: `cargo xtask sim --seeds 1000`.
const SEEDS: std::ops::Range<u64> = 1..241;

/// Seeds that are run twice. Among them HTTP/1 and HTTP/2 on either side, and every kind of fault.
const TWICE: [u64; 4] = [5, 9, 14, 28];

#[test]
fn properties_hold_for_every_seed() {
    let judged = sim::each(SEEDS, |run| {
        let (seed, breaches) = (run.swarm.seed, properties::breaches(&run));
        let first = breaches.first()?;
        let more = breaches.len() - 1;
        Some(format!(
            "seed {seed}: {first} (and {more} more); repeat it: cargo xtask sim --seed {seed} --trace"
        ))
    });
    let failed: Vec<_> = judged.into_iter().flatten().collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn the_same_seed_gives_the_same_trace_twice() {
    for seed in TWICE {
        let (one, two) = (run(seed).trace, run(seed).trace);
        if let Some((one, two)) = difference(&one, &two) {
            panic!("seed {seed}: the runs part at\n  {one}\n  {two}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_in_every_process() {
    let hashes: Vec<String> = (0..2).map(|_| hashes_of_a_process()).collect();
    let here = format!("9 {:016x}\n", trace::hash(&run(9).trace));
    assert_eq!(hashes, [here.clone(), here]);
}

#[test]
fn another_seed_gives_another_trace() {
    assert_ne!(trace::hash(&run(1).trace), trace::hash(&run(2).trace));
}

/// What a new process says of seed 9. Its environment, its addresses and its hashers are its own.
fn hashes_of_a_process() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["--seed", "9", "--hash"])
        .output()
        .expect("the simulator starts");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// The first two lines in which two traces differ.
fn difference(one: &[Entry], two: &[Entry]) -> Option<(String, String)> {
    let lines = |trace: &[Entry]| trace.iter().map(Entry::to_string).collect::<Vec<_>>();
    let (one, two) = (lines(one), lines(two));
    let end = || "the end".to_owned();
    let pair = |at: usize| {
        (
            one.get(at).cloned().unwrap_or_else(end),
            two.get(at).cloned().unwrap_or_else(end),
        )
    };
    (0..one.len().max(two.len()))
        .map(pair)
        .find(|(one, two)| one != two)
}
