//! What is read most often allocates nothing, so its cost does not hang on the allocator or on what else it serves.

use allocation_counter::measure;

use crate::flags::cases;

#[test]
fn flags_without_a_rule_and_with_a_comparison_do_not_allocate() {
    for case in cases().iter().take(4) {
        let counted = measure(|| case.repeat(1_000));
        assert_eq!(counted.count_total, 0, "{} allocates", case.name);
    }
}

#[test]
fn what_allocates_is_counted() {
    let counted = measure(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(counted.count_total, 1);
}
