//! Runs seeds and says which properties they break: `cargo xtask sim`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool talks to whoever called it"
)]

use std::process::ExitCode;
use std::time::Duration;

use sim::trace::{self, What};
use sim::{Run, properties};

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
    let judged = sim::each(wish.from..wish.from.saturating_add(wish.seeds), |run| {
        judge(&wish, &run)
    });
    for judged in &judged {
        print!("{}", judged.said);
    }
    let failed = judged.iter().filter(|judged| judged.failed).count();
    if !wish.hash {
        let requests: usize = judged.iter().map(|judged| judged.requests).sum();
        let simulated: Duration = judged.iter().map(|judged| judged.simulated).sum();
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

/// What is to be said of a run.
struct Judged {
    failed: bool,
    requests: usize,
    simulated: Duration,
    /// What was asked for of it, in order, after the other seeds are through as well.
    said: String,
}

fn judge(wish: &Wish, run: &Run) -> Judged {
    let seed = run.swarm.seed;
    let mut said = String::new();
    if wish.trace {
        let lines = run.trace.iter().map(|entry| format!("{entry}\n"));
        said.extend(lines);
    }
    if wish.hash {
        said.extend([format!("{seed} {:016x}\n", trace::hash(&run.trace))]);
    }
    let breaches = properties::breaches(run);
    if !breaches.is_empty() {
        let report = report(run, &breaches);
        // At once: whoever runs thousands need not wait for the last. The trace, if there is one, ends with it.
        if wish.trace {
            said += &report;
        } else {
            print!("{report}");
        }
    }
    Judged {
        failed: !breaches.is_empty(),
        requests: asked(run),
        simulated: run.trace.last().map_or(Duration::ZERO, |entry| entry.at),
        said,
    }
}

/// Breaches of one seed that are printed; the rest is usually more of the same.
const BREACHES_MAX: usize = 10;

fn report(run: &Run, breaches: &[String]) -> String {
    let (swarm, seed) = (&run.swarm, run.swarm.seed);
    let mut lines = vec![format!(
        "seed {seed}: {} breaches. Repeat it: cargo xtask sim --seed {seed} --trace",
        breaches.len()
    )];
    let most = breaches.iter().take(BREACHES_MAX);
    lines.extend(most.map(|breach| format!("  {breach}")));
    let (front, back) = (swarm.http2_front, swarm.http2_back);
    lines.push(format!(
        "  http2 front={front} back={back} endpoints={}",
        swarm.endpoints
    ));
    lines.push(format!("  {:?}\n  {:?}\n", swarm.faults, swarm.setup));
    lines.join("\n")
}

fn asked(run: &Run) -> usize {
    run.trace
        .iter()
        .filter(|entry| matches!(entry.what, What::Asked(_)))
        .count()
}
