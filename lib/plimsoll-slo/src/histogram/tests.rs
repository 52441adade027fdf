use super::*;
use proptest::prelude::*;

fn recorded(nanos: &[u64]) -> HistogramSnapshot {
    let histogram = Histogram::default();
    for &n in nanos {
        histogram.record(Duration::from_nanos(n));
    }
    histogram.snapshot()
}

/// Durations of every magnitude in the range, and some beyond it at the lower end.
fn durations() -> impl Strategy<Value = Vec<u64>> {
    let one =
        (0u32..42, any::<u64>()).prop_map(|(bits, low)| (low & ((1 << bits) - 1)).min(VALUE_MAX * 1_000));
    prop::collection::vec(one, 1..400)
}

proptest! {
    #[test]
    fn quantiles_are_within_the_bound_of_a_sorted_list(nanos in durations()) {
        let seen = recorded(&nanos);
        let mut sorted = nanos;
        sorted.sort_unstable();
        for q in [0.0, 0.5, 0.95, 0.99, 0.999, 1.0] {
            let rank = ((q * sorted.len() as f64).ceil() as usize).max(1);
            let exact = sorted[rank - 1] as f64;
            let told = seen.quantile(q).unwrap().as_nanos() as f64;
            // 501: half a microsecond, and the rounding of a middle to whole nanoseconds.
            prop_assert!((told - exact).abs() <= (exact / 128.0).max(501.0), "q {q}: {told} for {exact}");
        }
    }

    #[test]
    fn merging_is_recording_everything_in_one(a in durations(), b in durations(), c in durations()) {
        let [mut ab, mut ba] = [recorded(&a), recorded(&b)];
        ab.merge(&recorded(&b));
        ba.merge(&recorded(&a));
        prop_assert_eq!(&ab, &ba);

        let (mut left, mut bc) = (ab, recorded(&b));
        left.merge(&recorded(&c));
        bc.merge(&recorded(&c));
        let mut right = recorded(&a);
        right.merge(&bc);
        prop_assert_eq!(&left, &right);
        prop_assert_eq!(left, recorded(&[a, b, c].concat()));
    }

    #[test]
    fn the_difference_of_two_snapshots_is_what_came_between(before in durations(), after in durations()) {
        let earlier = recorded(&before);
        let later = recorded(&[before, after.clone()].concat());
        let (window, alone) = (later.minus(&earlier), recorded(&after));
        prop_assert_eq!(&window.octaves, &alone.octaves);
        prop_assert_eq!(window.sum(), alone.sum());
        let (told, exact) = (window.max().unwrap().as_nanos() as f64, alone.max().unwrap().as_nanos() as f64);
        prop_assert!((told - exact).abs() <= (exact / 128.0).max(501.0), "{told} for {exact}");
        prop_assert_eq!(later.minus(&later), HistogramSnapshot::default());
    }

    #[test]
    fn a_bound_counts_nothing_longer_and_little_less(nanos in durations(), bits in 10u32..42) {
        let (seen, bound) = (recorded(&nanos), (1u64 << bits) - 1);
        let told = seen.count_at_most(Duration::from_nanos(bound));
        let at_most = |limit: u64| nanos.iter().filter(|&&n| n <= limit).count() as u64;
        prop_assert!(told <= at_most(bound));
        prop_assert!(told >= at_most((bound - bound / 64).saturating_sub(1_000)));
        let exact = Duration::from_micros(1 << (bits - 10));
        prop_assert_eq!(seen.count_at_most(exact), at_most(exact.as_nanos() as u64));
    }

    #[test]
    fn every_value_lies_in_its_bucket(micros in 1u64..=VALUE_MAX) {
        let (octave, bucket) = place(micros);
        let upper = upper_end(octave, bucket);
        let lower = upper - (1 << octave.saturating_sub(1));
        prop_assert!(lower < micros && micros <= upper);
        prop_assert!(octave == 0 || lower >= 64 * (upper - lower));
    }
}

#[test]
fn both_ends_saturate_and_keep_sum_and_maximum() {
    let day = Duration::from_hours(24);
    let histogram = Histogram::default();
    histogram.record(Duration::ZERO);
    histogram.record(Duration::from_nanos(1));
    histogram.record(day);
    let seen = histogram.snapshot();
    assert_eq!(seen.count_at_most(Duration::from_micros(1)), 2);
    assert_eq!(seen.count_at_most(Duration::from_hours(1)), 2);
    assert_eq!(seen.count_at_most(Duration::MAX), 3);
    assert_eq!((seen.max(), seen.quantile(1.0)), (Some(day), Some(day)));
    assert_eq!(seen.sum(), day + Duration::from_nanos(1));
    assert_eq!(place(u64::MAX), place(VALUE_MAX));
}

#[test]
fn an_empty_histogram_is_small_and_says_nothing() {
    assert!(size_of::<Histogram>() < 1_024, "{}", size_of::<Histogram>());
    let empty = Histogram::default().snapshot();
    assert_eq!((empty.count(), empty.sum()), (0, Duration::ZERO));
    assert_eq!((empty.max(), empty.quantile(0.5)), (None, None));
    assert_eq!(empty, HistogramSnapshot::default());
}

#[test]
fn four_threads_lose_nothing() {
    let (shared, each) = (Histogram::default(), 50_000);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let shared = &shared;
            scope.spawn(move || {
                for i in 0..each {
                    shared.record(Duration::from_nanos(i * 977 + thread));
                }
            });
        }
    });
    let all: Vec<u64> = (0..4)
        .flat_map(|thread| (0..each).map(move |i| i * 977 + thread))
        .collect();
    assert_eq!(shared.snapshot(), recorded(&all));
}
