//! Runs seeds and says which properties they break: `cargo xtask sim`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool talks to whoever called it"
)]

use std::process::ExitCode;
use std::time::Duration;

use sim::trace::{self, What};
use sim::{Run, properties, run};

const USAGE: &str = "usage: sim [--seeds N] [--from S] [--seed X] [--trace] [--hash]

  --seeds N   run N seeds (50)
  --from S    beginning with this one (1)
  --seed X    run this one
  --trace     print everything that happened
  --hash      print one line for each seed: its number and the hash of its trace
";

struct Wish {
    from: u64,
    seeds: u64,
    trace: bool,
    hash: bool,
}

fn main() -> ExitCode {
    let Some(wish) = parse(std::env::args().skip(1)) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let (mut failed, mut requests, mut simulated) = (0, 0, Duration::ZERO);
    for seed in wish.from..wish.from.saturating_add(wish.seeds) {
        let run = run(seed);
        if wish.trace {
            run.trace.iter().for_each(|entry| println!("{entry}"));
        }
        if wish.hash {
            println!("{seed} {:016x}", trace::hash(&run.trace));
        }
        requests += asked(&run);
        simulated += run.trace.last().map_or(Duration::ZERO, |entry| entry.at);
        let breaches = properties::breaches(&run);
        if !breaches.is_empty() {
            failed += 1;
            report(seed, &run, &breaches);
        }
    }
    if !wish.hash {
        println!(
            "{} seeds, {failed} failed; {requests} requests in {simulated:.0?} of simulated time",
            wish.seeds
        );
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Wish> {
    let mut wish = Wish {
        from: 1,
        seeds: 50,
        trace: false,
        hash: false,
    };
    while let Some(word) = words.next() {
        let mut number = || words.next()?.parse().ok();
        match word.as_str() {
            "--seeds" => wish.seeds = number()?,
            "--from" => wish.from = number()?,
            "--seed" => (wish.from, wish.seeds) = (number()?, 1),
            "--trace" => wish.trace = true,
            "--hash" => wish.hash = true,
            _ => return None,
        }
    }
    Some(wish)
}

/// Breaches of one seed that are printed; the rest is usually more of the same.
const BREACHES_MAX: usize = 10;

fn report(seed: u64, run: &Run, breaches: &[String]) {
    println!(
        "seed {seed}: {} breaches. Repeat it: cargo xtask sim --seed {seed} --trace",
        breaches.len()
    );
    breaches
        .iter()
        .take(BREACHES_MAX)
        .for_each(|breach| println!("  {breach}"));
    let swarm = &run.swarm;
    let (front, back) = (swarm.http2_front, swarm.http2_back);
    println!(
        "  http2 front={front} back={back} endpoints={}\n  {:?}\n  {:?}",
        swarm.endpoints, swarm.faults, swarm.setup
    );
}

fn asked(run: &Run) -> usize {
    run.trace
        .iter()
        .filter(|entry| matches!(entry.what, What::Asked(_)))
        .count()
}
