//! What people know better than the counters.

use crate::Counts;

/// A correction of what was counted, by the minute. What was counted stays, and is shown beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// The first minute that it is about, counted from the Unix epoch.
    pub from: u64,
    /// The minute after the last.
    pub to: u64,
    /// What is to be done with it.
    pub what: Corrected,
}

/// What a correction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrected {
    /// What happened then does not count: maintenance that was announced, or a fault of measuring.
    Excluded,
    /// So many events more, or fewer, were good and bad; never fewer than none. They count in the first minute.
    Added {
        /// Good events.
        good: i64,
        /// Bad events.
        bad: i64,
    },
}

impl Correction {
    /// What counts of a minute, after all of these.
    pub(crate) fn apply(all: &[Self], minute: u64, mut counts: Counts) -> Counts {
        for correction in all {
            if let Corrected::Added { good, bad } = correction.what
                && correction.from == minute
            {
                counts.good = counts.good.saturating_add_signed(good);
                counts.bad = counts.bad.saturating_add_signed(bad);
            }
        }
        let excluded = all.iter().any(|correction| correction.excludes(minute));
        if excluded { Counts::default() } else { counts }
    }

    pub(crate) fn excludes(&self, minute: u64) -> bool {
        self.what == Corrected::Excluded && (self.from..self.to).contains(&minute)
    }
}
