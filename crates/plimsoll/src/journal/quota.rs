//! How many lines about requests may be written in a second.
//!
//! An outage makes thousands of requests fail in the same way. The first of them tell what happens, the count tells
//! how often; the rest would only fill the disk. So of requests with the same reason on the same route only
//! [`ALIKE_MAX`] are written in a second, and of all requests [`ALL_MAX`]; what is left out is counted by reason.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_slo::{Instant, Reason};

/// Lines alike per second: enough to see that clients and paths differ.
const ALIKE_MAX: u32 = 50;

/// Lines per second: about 500 kB/s, or 40 GB a day, which is when people turn a log off.
const ALL_MAX: u32 = 1000;

/// Pairs of reason and route told apart in a second. [`ALL_MAX`] holds beyond.
const PAIRS_MAX: usize = 1024;

/// Whether a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Write,
    Suppress,
}

/// What was written in the current second, and what was not.
#[derive(Debug, Default)]
pub(super) struct Quota {
    began: Instant,
    written: HashMap<(Option<Reason>, Arc<str>), u32>,
    written_all: u32,
    suppressed: HashMap<Option<Reason>, u64>,
}

impl Quota {
    /// Decides about one line.
    pub(super) fn admit(&mut self, now: Instant, reason: Option<Reason>, route: &Arc<str>) -> Admission {
        self.begin_second(now);
        let key = (reason, Arc::clone(route));
        let known = self.written.len() < PAIRS_MAX || self.written.contains_key(&key);
        let alike = known.then(|| self.written.entry(key).or_default());
        let full = self.written_all >= ALL_MAX || alike.as_ref().is_some_and(|alike| **alike >= ALIKE_MAX);
        if full {
            *self.suppressed.entry(reason).or_default() += 1;
            return Admission::Suppress;
        }
        self.written_all += 1;
        if let Some(alike) = alike {
            *alike += 1;
        }
        Admission::Write
    }

    /// What was left out since this was last asked, by reason in the order of the table.
    pub(super) fn roll(&mut self, now: Instant) -> Vec<(Option<Reason>, u64)> {
        self.begin_second(now);
        let mut suppressed: Vec<_> = self.suppressed.drain().collect();
        suppressed.sort_unstable();
        suppressed
    }

    fn begin_second(&mut self, now: Instant) {
        if now.since(self.began) >= Duration::from_secs(1) {
            self.began = now;
            self.written.clear();
            self.written_all = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    fn written(quota: &mut Quota, millis: u64, reason: Reason, route: &str, lines: u32) -> usize {
        let route = route.into();
        let admitted = (0..lines).map(|_| quota.admit(at(millis), Some(reason), &route));
        admitted
            .filter(|admission| *admission == Admission::Write)
            .count()
    }

    #[test]
    fn of_lines_alike_the_first_are_written_and_the_rest_counted() {
        let mut quota = Quota::default();
        assert_eq!(written(&mut quota, 0, Reason::UpstreamReset, "pay", 70), 50);
        assert_eq!(
            written(&mut quota, 1, Reason::UpstreamReset, "other", 10),
            10,
            "another route"
        );
        assert_eq!(
            written(&mut quota, 2, Reason::NoEndpoint, "pay", 51),
            50,
            "another reason"
        );
        assert_eq!(written(&mut quota, 999, Reason::UpstreamReset, "pay", 1), 0);
        let left_out = [(Some(Reason::UpstreamReset), 21), (Some(Reason::NoEndpoint), 1)];
        assert_eq!(quota.roll(at(1000)), left_out);
        assert_eq!(quota.roll(at(1000)), []);
        assert_eq!(
            written(&mut quota, 1001, Reason::UpstreamReset, "pay", 1),
            1,
            "another second"
        );
    }

    #[test]
    fn all_lines_together_are_bounded_too() {
        let mut quota = Quota::default();
        let routes = 0..3000;
        let written: usize = routes
            .map(|n| written(&mut quota, 0, Reason::UpstreamReset, &n.to_string(), 1))
            .sum();
        assert_eq!(written, ALL_MAX as usize);
        assert!(quota.written.len() <= PAIRS_MAX);
    }
}
