//! An admitting decision allocates nothing, so its cost does not hang on the allocator or on what else it serves.
//!
//! `allocation-counter` is this program's allocator; it counts by thread, so tests beside this one do no harm.

use allocation_counter::measure;

use crate::admitting::decisions;

#[test]
fn what_admits_does_not_allocate() {
    for mut decision in decisions() {
        // Enough for the breaker's window and the keyed limiter's table to go round.
        let counted = measure(|| decision.repeat(100_000));
        assert_eq!(counted.count_total, 0, "{} allocates", decision.name);
    }
}

#[test]
fn what_allocates_is_counted() {
    let counted = measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1);
}
