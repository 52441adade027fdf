//! Memory level: how much new work may come in, given how much memory is held.
//!
//! A process that takes more memory than it may have is killed by the kernel, and with it every request that it
//! carries. So new work is refused before that, the dearest first: a connection costs buffers for as long as it is
//! open, a request for as long as it takes.
//!
//! ```text
//! Ample ──80 %──► Tight ──87 %──► Scarce ──94 %──► Full
//!       ◄──75 %──       ◄──82 %──        ◄──89 %──
//! ```
//!
//! A level rises as soon as its line is reached, by as many steps as it takes. It falls one step at a time, and only
//! when the memory held has stayed five points below the line for a second: an allocator gives back late and in
//! lumps, and whoever was turned away comes again. The last six points are for what grows between two readings.
//! Should readings stop, the last level stands, which is safe but may refuse for nothing; whoever reads must go on.

use core::time::Duration;

use plimsoll_slo::Instant;

/// Shares of the limit at which each level begins, in percent.
const TIGHT: u64 = 80;
const SCARCE: u64 = 87;
const FULL: u64 = 94;

/// How far below its line the memory held must be for a level to end, in percent of the limit.
const MARGIN: u64 = 5;

/// For how long it must be there.
const CALM: Duration = Duration::from_secs(1);

/// What may come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemoryLevel {
    /// Anything.
    #[default]
    Ample,
    /// Requests on the connections that are there, but no new connections. Idle ones are closed.
    Tight,
    /// The same, but no request that may be shed.
    Scarce,
    /// Nothing. What is under way is finished.
    Full,
}

impl MemoryLevel {
    /// Every level, the lowest first.
    pub const ALL: [Self; 4] = [Self::Ample, Self::Tight, Self::Scarce, Self::Full];

    /// The word for it in logs and metrics.
    ///
    /// ```
    /// use plimsoll_policy::MemoryLevel;
    /// assert_eq!(MemoryLevel::Scarce.word(), "scarce");
    /// ```
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ample => "ample",
            Self::Tight => "tight",
            Self::Scarce => "scarce",
            Self::Full => "full",
        }
    }

    /// The level of a reading without a past.
    fn of(held: u128, limit: u64) -> Self {
        let reaches = |percent: u64| held * 100 >= u128::from(limit) * u128::from(percent);
        if reaches(FULL) {
            Self::Full
        } else if reaches(SCARCE) {
            Self::Scarce
        } else if reaches(TIGHT) {
            Self::Tight
        } else {
            Self::Ample
        }
    }

    const fn below(self) -> Self {
        match self {
            Self::Ample | Self::Tight => Self::Ample,
            Self::Scarce => Self::Tight,
            Self::Full => Self::Scarce,
        }
    }
}

/// The level as it goes up and down.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{MemoryGauge, MemoryLevel};
/// use plimsoll_slo::Instant;
///
/// let (mut gauge, start) = (MemoryGauge::default(), Instant::from_nanos(1));
/// assert_eq!(gauge.step(start, 50, 100), MemoryLevel::Ample);
/// assert_eq!(gauge.step(start, 95, 100), MemoryLevel::Full);
/// assert_eq!(gauge.step(start, 50, 100), MemoryLevel::Full); // for a second at least
/// assert_eq!(gauge.step(start + Duration::from_secs(1), 50, 100), MemoryLevel::Scarce);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryGauge {
    level: MemoryLevel,
    /// Since when readings have been low enough for the level below.
    calm_since: Option<Instant>,
}

impl MemoryGauge {
    /// Takes a reading of the bytes held and of the limit, which may change from one to the next, and says what may
    /// come in from now on. A limit of 0 bytes is always reached.
    pub fn step(&mut self, now: Instant, held: u64, limit: u64) -> MemoryLevel {
        let reached = MemoryLevel::of(u128::from(held), limit);
        let lasting = MemoryLevel::of(
            u128::from(held) + u128::from(limit) * u128::from(MARGIN) / 100,
            limit,
        );
        if reached >= self.level {
            self.level = reached;
            self.calm_since = None;
        } else if lasting >= self.level {
            self.calm_since = None;
        } else if now - *self.calm_since.get_or_insert(now) >= CALM {
            self.level = self.level.below();
            self.calm_since = (lasting < self.level).then_some(now);
        }
        self.level
    }

    /// The level as of the last reading.
    pub const fn level(&self) -> MemoryLevel {
        self.level
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::script::duration;
    use crate::transcript::check;

    /// `50 of 100`: a reading. `wait 1s`: time passes.
    fn player() -> impl FnMut(&str) -> String {
        let mut gauge = MemoryGauge::default();
        let mut now = Instant::from_nanos(1);
        move |line| {
            if let Some(time) = line.strip_prefix("wait ") {
                now = now + duration(time);
                return String::new();
            }
            let (held, limit) = line.split_once(" of ").expect("a reading is `held of limit`");
            gauge
                .step(now, held.parse().unwrap(), limit.parse().unwrap())
                .word()
                .to_owned()
        }
    }

    #[test]
    fn scripts() {
        check("memory", player);
    }

    proptest! {
        /// Whatever was read before, nothing comes in when the limit is as good as reached, and nobody is refused
        /// for longer than three steps when it is far away.
        #[test]
        fn it_always_shuts_and_always_opens_again(
            readings in prop::collection::vec((0u64..2_000, 0u64..3_000), 0..100),
        ) {
            let mut gauge = MemoryGauge::default();
            let mut now = Instant::from_nanos(1);
            let mut before = MemoryLevel::Ample;
            for (held, millis) in readings {
                now = now + Duration::from_millis(millis);
                let level = gauge.step(now, held, 1_000);
                if held >= 940 {
                    prop_assert_eq!(level, MemoryLevel::Full);
                }
                if level < before {
                    prop_assert_eq!(level, before.below());
                }
                before = level;
            }
            for _ in 0..4 {
                gauge.step(now, 700, 1_000);
                now = now + CALM;
            }
            prop_assert_eq!(gauge.level(), MemoryLevel::Ample);
        }

        #[test]
        fn no_size_is_too_large(held: u64, limit: u64, nanos in 1u64..1 << 62) {
            let mut gauge = MemoryGauge::default();
            let level = gauge.step(Instant::from_nanos(nanos), held, limit);
            prop_assert_eq!(level == MemoryLevel::Full, u128::from(held) * 100 >= u128::from(limit) * 94);
        }
    }
}
