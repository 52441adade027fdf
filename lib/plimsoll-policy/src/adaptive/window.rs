//! What was measured lately, in buckets of fixed size, so that recording allocates nothing.

use core::time::Duration;

use plimsoll_slo::Instant;

/// Samples that a decision wants, and how long they are gathered at least.
const SAMPLES: u32 = 50;
const SHORT: Duration = Duration::from_millis(100);
/// Samples that it makes do with, and after how long.
const SAMPLES_FEW: u32 = 10;
const LONG: Duration = Duration::from_secs(1);
/// How long it waits for those.
const LONGEST: Duration = Duration::from_secs(10);
/// How long the limit may be in the way while nothing at all is answered.
const SILENT: Duration = Duration::from_millis(250);

/// Logarithms of ratios from 1/64 to 1,024 times the usual, in steps of 4 %.
const LOWEST: f64 = -4.16;
const STEP: f64 = 0.04;
const BUCKETS: usize = 278;

#[derive(Debug)]
pub(super) struct Window {
    began: Instant,
    counts: [u32; BUCKETS],
    count: u32,
    busy: u64,
    took: Duration,
    /// The limit was in the way.
    pub(super) full: bool,
}

/// What a window measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    /// The logarithm of the median of the ratios. The wait in a queue is the same for all, so it shows best where
    /// most of them are; a high quantile is of the few that take long anyway, and of so many samples it is worth a
    /// fifth of what the median is.
    pub(super) ratio: f64,
    /// At work on average, as those that were answered found it when they were sent.
    pub(super) busy: f64,
    pub(super) full: bool,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            counts: [0; BUCKETS],
            count: 0,
            busy: 0,
            took: Duration::ZERO,
            full: false,
        }
    }

    pub(super) fn record(&mut self, took: Duration, ratio: f64, busy: u32) {
        let bucket = ((ratio - LOWEST) / STEP).clamp(0.0, (BUCKETS - 1) as f64);
        self.counts[bucket as usize] += 1;
        self.count += 1;
        self.busy += u64::from(busy);
        self.took = self.took.saturating_add(took);
    }

    /// What it measured, if that is enough to decide on; then it begins anew.
    pub(super) fn close(&mut self, now: Instant) -> Option<Closed> {
        let age = now.since(self.began);
        let took = self.took / self.count.max(1);
        let enough = (age >= SHORT.max(took) && self.count >= SAMPLES)
            || (age >= LONG.max(took) && self.count >= SAMPLES_FEW);
        if !enough {
            return None;
        }
        let closed = Closed {
            ratio: self.median(),
            busy: (self.busy as f64 / f64::from(self.count)).max(1.0),
            full: self.full,
        };
        *self = Self::new(now);
        Some(closed)
    }

    /// Whether the limit has been in the way for a while in which nothing was answered.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        let age = now.since(self.began);
        (self.full && age >= SILENT && self.count == 0) || age >= LONGEST
    }

    fn median(&self) -> f64 {
        let wanted = f64::from(self.count) / 2.0;
        let mut seen = 0.0;
        for (index, count) in self.counts.iter().enumerate() {
            let count = f64::from(*count);
            if count > 0.0 && seen + count >= wanted {
                return LOWEST + STEP * (index as f64 + ((wanted - seen) / count).clamp(0.0, 1.0));
            }
            seen += count;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    fn with(samples: u32, took: Duration) -> Window {
        let mut window = Window::new(at(0));
        (0..samples).for_each(|i| window.record(took, f64::from(i) / f64::from(samples), 10 + i % 3));
        window
    }

    #[test]
    fn it_closes_with_enough_samples_or_after_a_while_with_few() {
        let quick = Duration::from_millis(5);
        assert!(with(50, quick).close(at(99)).is_none());
        assert!(with(49, quick).close(at(100)).is_none());
        let closed = with(50, quick).close(at(100)).unwrap();
        assert!((closed.ratio - 0.5).abs() < 0.03, "{}", closed.ratio);
        assert!((closed.busy - 11.0).abs() < 0.1);
        assert!(with(9, quick).close(at(9_000)).is_none());
        assert!(with(10, quick).close(at(1_000)).is_some());
        assert!(
            with(50, Duration::from_secs(3)).close(at(2_999)).is_none(),
            "not before one of them could have come back"
        );
    }

    #[test]
    fn silence_is_a_limit_in_the_way_of_which_nothing_comes_back() {
        let mut window = Window::new(at(0));
        assert!(!window.is_silent(at(250)), "nobody asked");
        window.full = true;
        assert!(window.is_silent(at(250)));
        window.record(Duration::from_millis(1), 0.0, 1);
        assert!(!window.is_silent(at(250)));
        assert!(window.is_silent(at(10_000)));
    }

    #[test]
    fn ratios_beyond_the_buckets_count_at_their_ends() {
        let mut window = Window::new(at(0));
        for ratio in [f64::NEG_INFINITY, -100.0, 100.0, f64::INFINITY, f64::NAN] {
            (0..10).for_each(|_| window.record(Duration::ZERO, ratio, 1));
        }
        assert!(window.close(at(1_000)).is_some());
    }
}
