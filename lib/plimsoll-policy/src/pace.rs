//! Upload pace: telling a slow sender from one that holds a connection open on purpose.
//!
//! A client that sends a body one byte at a time costs a connection, a buffer and a place in the bulkhead for
//! as long as it likes (Slowloris, R.U.D.Y.). So a sender has to keep a least rate over every `grace`, a
//! window that slides: an average since the start would let one who sent much and then stalls off for hours.
//!
//! A sender is *on pace* until the first window is full and whenever the last one has enough bytes; else it
//! is *too slow*, and the shell answers `slow-request`. What passes while we do not read, because the
//! upstream is slow or a buffer full, is not the sender's fault: the shell reports that time with
//! [`UploadPace::excuse`], and the window's clock stands still for it.
//!
//! Nothing is allocated: the window is nine sums, each for an eighth of it, and the running one. Bytes are
//! booked at the next verdict, so the window is as exact as verdicts are frequent: to be asked at least four
//! times per grace, from a timer, since a stalled sender gives no other occasion. It is lenient by that time
//! and an eighth of the grace, and never strict beyond the rule.

use core::time::Duration;

use plimsoll_slo::Instant;

/// The window is this many whole slots, and the one being filled.
const SLOTS: u64 = 8;

/// The least pace of an upload.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::PaceConfig;
/// assert_eq!(PaceConfig::default().grace, Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaceConfig {
    /// The window over which the rate must hold, and the time a sender has at first. Default 10 s.
    pub grace: Duration,
    /// Bytes per second, averaged over the window. Default 500, the `MinRate` of Apache's mod_reqtimeout. 0:
    /// no sender is too slow.
    pub bytes_per_second_min: u64,
}

impl Default for PaceConfig {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(10),
            bytes_per_second_min: 500,
        }
    }
}

/// What [`UploadPace::verdict`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceVerdict {
    /// Go on reading.
    OnPace,
    /// Stop: answer `slow-request` and close.
    TooSlow,
}

/// The pace of one request's body.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{PaceConfig, PaceVerdict, UploadPace};
/// use plimsoll_slo::Instant;
///
/// let start = Instant::from_nanos(1);
/// let mut pace = UploadPace::new(start, &PaceConfig::default());
/// pace.progress(1_000_000);
/// assert_eq!(pace.verdict(start + Duration::from_secs(5)), PaceVerdict::OnPace);
/// assert_eq!(pace.verdict(start + Duration::from_secs(60)), PaceVerdict::TooSlow);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct UploadPace {
    started: Instant,
    /// Time in which we did not read.
    excused: Duration,
    slot: Duration,
    /// Bytes that a full window must have.
    needed: u64,
    /// Bytes that came since the last verdict.
    unbooked: u64,
    /// Bytes by slot, as a ring.
    booked: [u64; SLOTS as usize + 1],
    /// The number of the slot being filled, counted from the start.
    current: u64,
}

impl UploadPace {
    /// Begins when the body does. A grace of less than 8 ns counts as 8 ns.
    pub fn new(started: Instant, config: &PaceConfig) -> Self {
        let needed = u128::from(config.bytes_per_second_min) * config.grace.as_nanos() / 1_000_000_000;
        Self {
            started,
            excused: Duration::ZERO,
            slot: (config.grace / SLOTS as u32).max(Duration::from_nanos(1)),
            needed: u64::try_from(needed).unwrap_or(u64::MAX),
            unbooked: 0,
            booked: [0; SLOTS as usize + 1],
            current: 0,
        }
    }

    /// So many bytes of the body came.
    pub const fn progress(&mut self, bytes: usize) {
        self.unbooked = self.unbooked.saturating_add(bytes as u64);
    }

    /// For so long we did not read; the sender could not have sent.
    pub const fn excuse(&mut self, unread: Duration) {
        self.excused = self.excused.saturating_add(unread);
    }

    /// Whether the sender keeps the pace. To be asked at least four times per grace.
    pub fn verdict(&mut self, now: Instant) -> PaceVerdict {
        let elapsed = now.since(self.started).saturating_sub(self.excused);
        self.advance((elapsed.as_nanos() / self.slot.as_nanos()) as u64);
        let at = (self.current % (SLOTS + 1)) as usize;
        self.booked[at] = self.booked[at].saturating_add(core::mem::take(&mut self.unbooked));
        let window_is_full = self.current >= SLOTS;
        let bytes = self
            .booked
            .iter()
            .fold(0, |sum: u64, slot| sum.saturating_add(*slot));
        if window_is_full && bytes < self.needed {
            PaceVerdict::TooSlow
        } else {
            PaceVerdict::OnPace
        }
    }

    /// Moves the window on to `slot`, and forgets what falls out of it. Stays where it is if the clock stood
    /// still.
    fn advance(&mut self, slot: u64) {
        // More than a whole round clears no more than everything.
        for _ in 0..slot.saturating_sub(self.current).min(SLOTS + 1) {
            self.current += 1;
            self.booked[(self.current % (SLOTS + 1)) as usize] = 0;
        }
        self.current = self.current.max(slot);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: PaceConfig = PaceConfig {
        grace: Duration::from_secs(8),
        bytes_per_second_min: 100,
    };
    const START: Instant = Instant::from_nanos(1_000_000_000);

    fn after(secs: f64) -> Instant {
        START + Duration::from_secs_f64(secs)
    }

    /// Asks every second from 1 to `last`, after as many bytes as `rate` says for that second, and returns
    /// the first second in which the sender is too slow.
    fn first_too_slow(last: u64, rate: impl Fn(u64) -> usize) -> Option<u64> {
        let mut pace = UploadPace::new(START, &CONFIG);
        (1..=last).find(|&second| {
            pace.progress(rate(second));
            pace.verdict(after(second as f64)) == PaceVerdict::TooSlow
        })
    }

    #[test]
    fn a_steady_sender_at_the_least_rate_is_on_pace_and_one_below_is_not() {
        assert_eq!(first_too_slow(1000, |_| 100), None);
        assert_eq!(
            first_too_slow(1000, |_| 88),
            Some(8),
            "nine slots of 88 are less than 800"
        );
    }

    #[test]
    fn one_who_sends_much_and_then_stalls_is_caught() {
        let caught = first_too_slow(1000, |second| if second <= 10 { 1_000_000 } else { 0 });
        assert_eq!(caught, Some(19), "the bytes of second 10 have left the window");
    }

    #[test]
    fn a_late_verdict_still_sees_a_stall() {
        let mut pace = UploadPace::new(START, &CONFIG);
        pace.progress(1_000_000);
        assert_eq!(pace.verdict(after(1.0)), PaceVerdict::OnPace);
        assert_eq!(pace.verdict(after(1e9)), PaceVerdict::TooSlow);
    }

    #[test]
    fn time_in_which_we_do_not_read_is_excused() {
        let mut pace = UploadPace::new(START, &CONFIG);
        pace.excuse(Duration::from_mins(1));
        assert_eq!(
            pace.verdict(after(67.0)),
            PaceVerdict::OnPace,
            "seven seconds of its own"
        );
        assert_eq!(pace.verdict(after(68.0)), PaceVerdict::TooSlow);
    }

    #[test]
    fn a_rate_of_zero_and_a_grace_of_zero_are_survived() {
        let lenient = PaceConfig {
            bytes_per_second_min: 0,
            ..CONFIG
        };
        assert_eq!(
            UploadPace::new(START, &lenient).verdict(after(1e6)),
            PaceVerdict::OnPace
        );
        let no_grace = PaceConfig {
            grace: Duration::ZERO,
            ..CONFIG
        };
        assert_eq!(
            UploadPace::new(START, &no_grace).verdict(after(1e6)),
            PaceVerdict::OnPace,
            "0 bytes are needed"
        );
    }

    proptest! {
        /// Never strict beyond the rule: whoever is too slow sent less than it takes in the last grace; never
        /// blind: whoever sent less in the last grace and a quarter (a slot, and the second between verdicts)
        /// is.
        #[test]
        fn the_window_slides(rates in prop::collection::vec(0usize..300, 1..80)) {
            let mut pace = UploadPace::new(START, &CONFIG);
            for second in 1..=rates.len() {
                pace.progress(rates[second - 1]);
                let verdict = pace.verdict(after(second as f64));
                let sent_in_last =
                    |seconds: usize| rates[second.saturating_sub(seconds)..second].iter().sum::<usize>();
                if verdict == PaceVerdict::TooSlow {
                    prop_assert!(second >= 8 && sent_in_last(8) < 800);
                } else if second >= 10 {
                    prop_assert!(sent_in_last(10) >= 800);
                }
            }
        }
    }
}
