//! The peak of what was at work lately, which the limit stays out of the way of.

use core::time::Duration;

use plimsoll_slo::Instant;

/// The peak of what was at work in the last minute.
#[derive(Debug)]
pub(super) struct Peaks {
    most: [u32; SPANS],
    at: usize,
    began: Instant,
}

const SPANS: usize = 6;
const SPAN: Duration = Duration::from_secs(10);

impl Peaks {
    pub(super) fn new(first: u32, now: Instant) -> Self {
        Self {
            most: [first; SPANS],
            at: 0,
            began: now,
        }
    }

    pub(super) fn see(&mut self, now: Instant, busy: u32) {
        self.turn(now);
        self.most[self.at] = self.most[self.at].max(busy);
    }

    fn turn(&mut self, now: Instant) {
        for _ in 0..SPANS {
            if now.since(self.began) < SPAN {
                return;
            }
            self.at = (self.at + 1) % SPANS;
            self.most[self.at] = 0;
            self.began = self.began + SPAN;
        }
        self.began = now;
    }

    pub(super) fn most(&mut self, now: Instant) -> u32 {
        self.turn(now);
        self.most.iter().copied().max().unwrap_or(0)
    }
}
