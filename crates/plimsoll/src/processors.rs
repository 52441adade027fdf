//! How much of the processors that the cores may use this process has used.

use std::time::Duration;

use plimsoll_slo::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Readings of the process's clock, from one to the next.
#[derive(Debug)]
pub(crate) struct Processors {
    cores: usize,
    at: Instant,
    used: Duration,
}

impl Processors {
    /// Of a process that runs traffic on so many cores.
    pub(crate) fn new(cores: usize, now: Instant) -> Self {
        Self {
            cores: cores.max(1),
            at: now,
            used: used(),
        }
    }

    /// The share of the cores in use since the last call: 0 to 1, or above it when the control side works as well.
    pub(crate) fn in_use(&mut self, now: Instant) -> f64 {
        let used = used();
        let passed = now.since(self.at).max(Duration::from_millis(1));
        let share = used.saturating_sub(self.used).div_duration_f64(passed) / self.cores as f64;
        (self.at, self.used) = (now, used);
        share
    }
}

fn used() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(time.tv_sec.unsigned_abs(), nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_a_share_of_all_cores_since_the_last_time() {
        let at = |millis| Instant::ORIGIN + Duration::from_millis(millis);
        let mut processors = Processors::new(2, at(0));
        let until = used() + Duration::from_millis(20);
        while used() < until {
            std::hint::spin_loop();
        }
        assert!(processors.in_use(at(10)) >= 1.0);
        assert!(processors.in_use(at(1_000_000)) < 0.5);
    }
}
