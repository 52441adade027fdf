//! What was counted, by the minute.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_slo::{Counts, EvidenceMark, MinuteLog};

/// What was counted: the name of an objective and, in a word that changes with it, what counts for it. Counts of
/// another route or at another threshold are none of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The objective's name.
    pub objective: Arc<str>,
    /// What counts for it.
    pub counted: Arc<str>,
}

/// A minute and what happened in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minute {
    /// Counted from the Unix epoch.
    pub minute: u64,
    /// The events. SQL knows no more than 2⁶³ − 1 of each.
    pub counts: Counts,
    /// Seconds of it that were measured: 0 to 60.
    pub measured: u8,
}

impl Minute {
    /// Of which nothing is known.
    pub(crate) fn empty(minute: u64) -> Self {
        Self {
            minute,
            counts: Counts::default(),
            measured: 0,
        }
    }

    /// What somebody else has counted in it: events add up, and it was measured for as long as one of them did at most.
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.good += other.counts.good;
        self.counts.bad += other.counts.bad;
        self.measured = self.measured.max(other.measured);
    }
}

/// What one instance has counted in one minute so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who counted: nobody else writes rows of this name. It begins with the name of the process that it is of. Nothing if
    /// it is what all have counted: see [`Store::add_up`](crate::Store::add_up); `hour` if it is that of an hour: see
    /// [`Store::thin_out`](crate::Store::thin_out).
    pub instance: Arc<str>,
    /// Of what.
    pub key: Key,
    /// When, and how much.
    pub minute: Minute,
    /// The same by the second, for those who judge it together; `None` once that is too long ago.
    pub log: Option<MinuteLog>,
}

/// The instance of rows that are of a whole hour, at its first minute; what is measured of it is of its minutes on average.
pub(crate) const HOUR: &str = "hour";
const MINUTES: u64 = 60;

/// What is read of minutes, and of hours, from this minute on: an hour is minutes of equal parts, whose sum is it.
pub(crate) fn by_minute(rows: impl IntoIterator<Item = (Minute, bool)>, from: u64) -> Vec<Minute> {
    let mut minutes: BTreeMap<u64, Minute> = BTreeMap::new();
    let mut add = |minute: Minute| {
        let known = minutes.entry(minute.minute);
        known.or_insert(Minute::empty(minute.minute)).add(&minute);
    };
    for (row, is_hour) in rows {
        if !is_hour {
            add(row);
            continue;
        }
        let part = |of: u64, place: u64| {
            let up_to = |place: u64| (u128::from(of) * u128::from(place) / u128::from(MINUTES)) as u64;
            up_to(place + 1) - up_to(place)
        };
        for place in 0..MINUTES {
            add(Minute {
                minute: row.minute + place,
                counts: Counts {
                    good: part(row.counts.good, place),
                    bad: part(row.counts.bad, place),
                },
                ..row
            });
        }
    }
    minutes.split_off(&from).into_values().collect()
}

impl Row {
    /// Whether it says no less than another one of the same minute: what is counted only grows.
    pub(crate) const fn is_newer(&self, than: &Minute) -> bool {
        let Minute { counts, measured, .. } = self.minute;
        counts.good >= than.counts.good && counts.bad >= than.counts.bad && measured >= than.measured
    }
}

/// What evidence had come to, against an objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Remembered {
    /// What it is found from.
    pub key: Key,
    /// What is asked of that, in a word that changes with it.
    pub asked: Arc<str>,
    /// When, and what was found.
    pub mark: EvidenceMark,
}

/// Seconds after which whoever has looked for longer is taken to look no more.
const ABANDONED: u64 = 300;

impl Remembered {
    /// Whether it takes the place of another one: nobody who knows less does of one that goes on.
    pub(crate) const fn replaces(&self, other: &EvidenceMark) -> bool {
        let (mine, theirs) = (self.mark.at.0, other.at.0);
        mine >= theirs && self.mark.since.0 <= other.since.0 || mine > theirs + ABANDONED
    }
}
