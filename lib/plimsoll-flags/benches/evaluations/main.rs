//! How long an evaluation takes: `cargo bench -p plimsoll-flags`.
//!
//! One line per kind of flag: its name, a tab, and nanoseconds per evaluation: the least, the median and the greatest
//! of the batches. A batch is long against the clock's resolution and short against the scheduler's slice, so the
//! median is a batch that nobody interrupted.

#![allow(clippy::print_stdout, reason = "a benchmark talks to whoever ran it")]

mod flags;

use std::time::Instant;

/// Evaluations per batch: some hundred microseconds, against a clock that reads to some ten nanoseconds.
const BATCH: u32 = 1_000;
/// Batches, of which the first tenth only warms up.
const BATCHES: usize = 1_000;

fn main() {
    for case in flags::cases() {
        let mut batches: Vec<f64> = (0..BATCHES).map(|_| batch(&case)).collect();
        batches.drain(..BATCHES / 10);
        batches.sort_by(f64::total_cmp);
        let (least, greatest) = (batches[0], batches[batches.len() - 1]);
        let median = batches[batches.len() / 2];
        println!("{}\t{least:.1}\t{median:.1}\t{greatest:.1}", case.name);
    }
}

/// Nanoseconds per evaluation in one batch.
#[expect(
    clippy::disallowed_methods,
    reason = "it times real work; nothing here is ever simulated"
)]
fn batch(case: &flags::Case) -> f64 {
    let begin = Instant::now();
    case.repeat(BATCH);
    begin.elapsed().as_nanos() as f64 / f64::from(BATCH)
}
