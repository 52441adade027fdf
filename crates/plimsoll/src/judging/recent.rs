//! The latest minutes by the second: as this process saw them, and as the others did.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_slo::{CallerSet, Counts, MinuteLog, Second};
use store::Minute;

/// Minutes that are kept: so many that all their seconds can be judged anew.
pub(super) const KEPT: u64 = 15;

/// See the module's header. Of one objective.
#[derive(Debug, Default)]
pub(super) struct Recent {
    own: BTreeMap<u64, MinuteLog>,
    /// Of each minute what each of the others has said last.
    others: BTreeMap<u64, Vec<(Arc<str>, MinuteLog)>>,
}

/// The first minute that is kept when it is this second.
pub(super) const fn oldest(now: Second) -> u64 {
    (now.minute() + 1).saturating_sub(KEPT)
}

impl Recent {
    /// This happened here in a second, and callers of these places failed. Returns how many of them had not failed here
    /// in this minute before.
    pub(super) fn count(&mut self, at: Second, counts: Counts, failed: impl Iterator<Item = u16>) -> u64 {
        let oldest = oldest(at);
        self.own.retain(|minute, _| *minute >= oldest);
        self.others.retain(|minute, _| *minute >= oldest);
        let log = self.own.entry(at.minute()).or_default();
        let second = (at.0 % 60) as u8;
        let before = log.second(second).callers;
        log.count(second, counts, failed);
        log.second(second).callers - before
    }

    /// How many of these callers have not failed here in this minute before.
    pub(super) fn new_here(&self, at: Second, failed: &CallerSet) -> u64 {
        let log = self.own.get(&at.minute());
        let is_new = |place: &u16| log.is_none_or(|log| !log.has_failed(*place));
        failed.places().filter(is_new).count() as u64
    }

    /// What one of the others has seen of a minute by now. Whether that is new.
    pub(super) fn hear(&mut self, minute: u64, instance: &Arc<str>, log: MinuteLog) -> bool {
        let heard = self.others.entry(minute).or_default();
        match heard.iter_mut().find(|(of, _)| of == instance) {
            Some((_, known)) if *known == log => false,
            Some((_, known)) => {
                *known = log;
                true
            }
            None => {
                heard.push((Arc::clone(instance), log));
                true
            }
        }
    }

    /// What this process has seen of a minute.
    pub(super) fn own(&self, minute: u64) -> Option<&MinuteLog> {
        self.own.get(&minute)
    }

    /// What the others have seen of a minute, if anybody has said anything.
    pub(super) fn of_others(&self, minute: u64) -> Option<Minute> {
        let heard = self.others.get(&minute)?;
        let sum = merged(heard.iter().map(|(_, log)| log));
        Some(Minute {
            minute,
            counts: sum.counts(),
            measured: sum.measured(),
        })
    }

    /// What all have seen of a minute.
    pub(super) fn of_all(&self, minute: u64) -> MinuteLog {
        let others = self.others.get(&minute).into_iter().flatten();
        merged(
            self.own
                .get(&minute)
                .into_iter()
                .chain(others.map(|(_, log)| log)),
        )
    }

    /// Every minute of which anything is known.
    pub(super) fn minutes(&self) -> Vec<u64> {
        let mut minutes: Vec<u64> = self.own.keys().chain(self.others.keys()).copied().collect();
        minutes.sort_unstable();
        minutes.dedup();
        minutes
    }
}

fn merged<'a>(logs: impl Iterator<Item = &'a MinuteLog>) -> MinuteLog {
    logs.fold(MinuteLog::default(), |mut sum, log| {
        sum.merge(log);
        sum
    })
}
