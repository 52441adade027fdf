//! How long each admitting decision takes: `cargo bench -p plimsoll-policy`, or `cargo xtask bench policy`, which
//! makes a table of it.
//!
//! One line per decision: its name, a tab, and nanoseconds per decision: the least, the median and the greatest
//! of the batches. A batch is long against the clock's resolution and short against the scheduler's slice, so the
//! median is a batch that nobody interrupted.

#![allow(clippy::print_stdout, reason = "a benchmark talks to whoever ran it")]

mod admitting;

use std::time::Instant;

/// Decisions per batch: some ten microseconds for most, against a clock that reads to some ten nanoseconds.
const BATCH: u32 = 1_000;
/// Batches, of which the first tenth only warms up.
const BATCHES: usize = 1_000;

fn main() {
    for mut decision in admitting::decisions() {
        let mut batches: Vec<f64> = (0..BATCHES).map(|_| batch(&mut decision)).collect();
        batches.drain(..BATCHES / 10);
        batches.sort_by(f64::total_cmp);
        let (least, greatest) = (batches[0], batches[batches.len() - 1]);
        let median = batches[batches.len() / 2];
        println!("{}\t{least:.1}\t{median:.1}\t{greatest:.1}", decision.name);
    }
}

/// Nanoseconds per decision in one batch.
#[expect(
    clippy::disallowed_methods,
    reason = "it times real work; nothing here is ever simulated"
)]
fn batch(decision: &mut admitting::Decision) -> f64 {
    let begin = Instant::now();
    decision.repeat(BATCH);
    begin.elapsed().as_nanos() as f64 / f64::from(BATCH)
}
