//! Pacing a body to a number of bytes per second.

use core::time::Duration;

use plimsoll_slo::Instant;

/// How much may be sent in one go: what the rate allows in this time. Shorter would cost a timer per packet,
/// longer would look like stalls.
const CHUNK: Duration = Duration::from_millis(100);

/// What [`Throttle::allow`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThrottleDecision {
    /// Send so many bytes now; they are booked as sent.
    Send(usize),
    /// Ask again after this time.
    Wait(Duration),
}

/// Paces one body.
///
/// A tenth of a second's bytes go out at once and are paid for in time afterwards. A sender that comes late
/// may make up for a tenth of a second, so that coarse timers do not lower the rate: over any time t it sends
/// at most rate × (t + 0.2 s) bytes, and two bytes for rounding.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{Throttle, ThrottleDecision};
/// use plimsoll_slo::Instant;
///
/// let mut throttle = Throttle::new(1000);
/// let now = Instant::from_nanos(1_000_000_000);
/// assert_eq!(throttle.allow(now, 5000), ThrottleDecision::Send(100));
/// assert_eq!(throttle.allow(now, 4900), ThrottleDecision::Wait(Duration::from_millis(100)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    bytes_per_second: u64,
    /// When what was sent so far is paid for; `None` before the first byte.
    paid: Option<Instant>,
}

impl Throttle {
    /// A rate in bytes per second; 0 counts as 1.
    pub const fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: if bytes_per_second == 0 {
                1
            } else {
                bytes_per_second
            },
            paid: None,
        }
    }

    /// Whether some of `want` bytes may be sent, and how many.
    pub fn allow(&mut self, now: Instant, want: usize) -> ThrottleDecision {
        let paid = self.paid.unwrap_or(now);
        if paid > now {
            return ThrottleDecision::Wait(paid.since(now));
        }
        let chunk = u128::from(self.bytes_per_second) * CHUNK.as_nanos() / NANOS_PER_SECOND;
        let bytes = chunk.clamp(1, usize::MAX as u128).min(want as u128);
        let price = (bytes * NANOS_PER_SECOND).div_ceil(u128::from(self.bytes_per_second));
        let price = Duration::from_nanos(u64::try_from(price).unwrap_or(u64::MAX));
        self.paid = Some(paid.max(now.before(CHUNK)) + price);
        ThrottleDecision::Send(bytes as usize)
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A sender that does as it is told, and wakes up late by up to half a chunk, keeps the rate to 2 %.
        #[test]
        fn the_rate_is_kept(
            rate in 1_000u64..1_000_000_000,
            late_us in prop::collection::vec(0u64..50_000, 1..20),
        ) {
            let mut throttle = Throttle::new(rate);
            let start = Instant::from_nanos(7_000_000_000);
            let end = start + Duration::from_secs(30);
            let (mut now, mut sent, mut late) = (start, 0u64, late_us.iter().cycle());
            while now < end {
                match throttle.allow(now, usize::MAX) {
                    ThrottleDecision::Send(bytes) => sent += bytes as u64,
                    ThrottleDecision::Wait(wait) => {
                        now = now + wait + Duration::from_micros(*late.next().unwrap());
                    }
                }
                let elapsed = now.since(start).as_secs_f64();
                prop_assert!(sent as f64 <= rate as f64 * (elapsed + 0.2) + 2.0);
            }
            prop_assert!(sent as f64 >= rate as f64 * 30.0 * 0.98, "{sent} of {}", rate * 30);
        }

        #[test]
        fn it_always_goes_on(rate: u64, want in 1usize.., at: u64) {
            let mut throttle = Throttle::new(rate);
            let now = Instant::from_nanos(at);
            let ThrottleDecision::Send(sent) = throttle.allow(now, want) else { panic!("the first may go") };
            prop_assert!((1..=want).contains(&sent));
        }
    }

    #[test]
    fn nothing_wanted_costs_nothing() {
        let mut throttle = Throttle::new(10);
        let now = Instant::from_nanos(5);
        assert_eq!(throttle.allow(now, 0), ThrottleDecision::Send(0));
        assert_eq!(throttle.allow(now, 9), ThrottleDecision::Send(1));
        assert_eq!(
            throttle.allow(now, 9),
            ThrottleDecision::Wait(Duration::from_millis(100))
        );
    }
}
