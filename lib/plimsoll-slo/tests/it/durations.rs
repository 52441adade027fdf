//! A histogram of any durations, cut and put together in any way.

use core::time::Duration;

use plimsoll_slo::{Histogram, HistogramSnapshot};

/// Takes every eight bytes for a duration in nanoseconds, and the first byte for where to cut.
pub(crate) fn check(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else {
        return;
    };
    let durations: Vec<Duration> = bytes
        .chunks_exact(8)
        .map(|eight| Duration::from_nanos(u64::from_le_bytes(eight.try_into().expect("eight are eight"))))
        .collect();
    let cut = usize::from(*cut).min(durations.len());
    let (first, second, both) = (Histogram::default(), Histogram::default(), Histogram::default());
    for (index, duration) in durations.iter().enumerate() {
        if index < cut { &first } else { &second }.record(*duration);
        both.record(*duration);
    }
    let (first, second, both) = (first.snapshot(), second.snapshot(), both.snapshot());
    let mut merged = first.clone();
    merged.merge(&second);
    assert_eq!(merged, both, "the parts are the whole");
    assert_eq!(both.count(), durations.len() as u64);
    assert_eq!(both.max(), durations.iter().max().copied());
    let rest = both.minus(&first);
    assert_eq!(
        (rest.count(), rest.sum()),
        (second.count(), second.sum()),
        "what was taken away is gone"
    );
    quantiles(&both);
}

/// Quantiles rise, and lie within what was recorded; so do the cumulative counts.
fn quantiles(snapshot: &HistogramSnapshot) {
    let mut before = Duration::ZERO;
    for q in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
        let Some(value) = snapshot.quantile(q) else {
            assert_eq!(snapshot.count(), 0);
            return;
        };
        assert!(value >= before && Some(value) <= snapshot.max(), "{q}: {value:?}");
        before = value;
    }
    let mut before = 0;
    for micros in [0, 1, 63, 64, 65, 1_000, 1 << 20, 1 << 32, u64::MAX / 1_000] {
        let count = snapshot.count_at_most(Duration::from_micros(micros));
        assert!((before..=snapshot.count()).contains(&count));
        before = count;
    }
    assert_eq!(snapshot.count_at_most(Duration::MAX), snapshot.count());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::check;

    proptest! {
        #[test]
        fn any_durations(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            check(&bytes);
        }

        /// Those that real latencies are near, and the ends of buckets.
        #[test]
        fn usual_durations(cut: u8, micros in prop::collection::vec(0u64..5_000_000, 0..100)) {
            let nanos = micros.iter().flat_map(|micros| (micros * 1_000).to_le_bytes());
            check(&std::iter::once(cut).chain(nanos).collect::<Vec<_>>());
        }
    }
}
