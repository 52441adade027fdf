//! What requests of one route usually take.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use plimsoll_slo::Instant;

/// A running geometric mean of the self times of one route, shared by all cores.
///
/// The first 255 samples count alike. After that one is taken every 100 ms and counts for as much, so that the mean
/// follows a service that has become slower within half a minute, and hardly moves in the moment before overload is
/// noticed, however many answers come late in it. Two cores that learn at the same time may lose one sample of two.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::Usual;
/// use plimsoll_slo::Instant;
///
/// let usual = Usual::default();
/// assert_eq!(usual.ratio(Duration::from_millis(7)), 0.0, "nothing is known yet");
/// usual.learn(Instant::ORIGIN, Duration::from_millis(10));
/// usual.learn(Instant::ORIGIN, Duration::from_millis(40));
/// let ratio = usual.ratio(Duration::from_millis(40)).exp(); // of 20 ms
/// assert!((ratio - 2.0).abs() < 1e-3);
/// ```
#[derive(Debug, Default)]
pub struct Usual {
    /// In the upper half the logarithm of the mean in nanoseconds, as an `f32`; then 8 bits that count the samples
    /// up to 255, and 24 bits of when the last one was taken, in sixtieths of a second.
    word: AtomicU64,
}

const COUNT_MAX: u32 = 255;
const TICKS_MASK: u64 = (1 << 24) - 1;
/// A tick is 2²⁴ ns, about 17 ms; 24 bits of them go round in three days.
const TICK_BITS: u32 = 24;
/// Ticks between two samples: 100 ms.
const PAUSE: u64 = 6;

impl Usual {
    /// The mean; `None` while nothing was learned.
    pub fn get(&self) -> Option<Duration> {
        let (ln, count, _) = unpack(self.word.load(Relaxed));
        (count > 0).then(|| Duration::from_nanos(f64::from(ln).exp() as u64))
    }

    /// The natural logarithm of how many times the usual `took` is; 0 while nothing was learned.
    pub fn ratio(&self, took: Duration) -> f64 {
        let (ln, count, _) = unpack(self.word.load(Relaxed));
        if count == 0 {
            0.0
        } else {
            ln_nanos(took) - f64::from(ln)
        }
    }

    /// Takes one more into the mean.
    pub fn learn(&self, now: Instant, took: Duration) {
        let (ln, count, last) = unpack(self.word.load(Relaxed));
        let tick = now.as_nanos() >> TICK_BITS & TICKS_MASK;
        if count == COUNT_MAX && tick.wrapping_sub(last) & TICKS_MASK < PAUSE {
            return;
        }
        let count = (count + 1).min(COUNT_MAX);
        let ln = f64::from(ln) + (ln_nanos(took) - f64::from(ln)) / f64::from(count);
        self.word.store(pack(ln as f32, count, tick), Relaxed);
    }
}

fn ln_nanos(took: Duration) -> f64 {
    (took.as_nanos().max(1) as f64).ln()
}

const fn pack(ln: f32, count: u32, tick: u64) -> u64 {
    (ln.to_bits() as u64) << 32 | (count as u64) << TICK_BITS | tick
}

const fn unpack(word: u64) -> (f32, u32, u64) {
    (
        f32::from_bits((word >> 32) as u32),
        (word >> TICK_BITS) as u32 & 0xff,
        word & TICKS_MASK,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    #[test]
    fn the_first_count_alike_and_later_ones_by_time() {
        let usual = Usual::default();
        for _ in 0..1_000 {
            usual.learn(at(0), Duration::from_millis(10));
        }
        // Ten thousand late answers within a tenth of a second hardly move it.
        for _ in 0..10_000 {
            usual.learn(at(50), Duration::from_secs(1));
        }
        assert!(usual.ratio(Duration::from_millis(10)).abs() < 0.1);
        for tenth in 1..=2_550 {
            usual.learn(at(100 * tenth), Duration::from_millis(20));
        }
        assert!(usual.ratio(Duration::from_millis(20)).abs() < 0.01);
    }

    #[test]
    fn any_time_can_be_told() {
        let usual = Usual::default();
        usual.learn(at(0), Duration::ZERO);
        assert_eq!(usual.get(), Some(Duration::from_nanos(1)));
        for tick in 0..10_000 {
            usual.learn(at(100 * tick), Duration::MAX);
        }
        assert!(usual.get() > Some(Duration::from_secs(1_000_000_000)));
    }
}
