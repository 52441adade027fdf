//! Times in which nothing is to be risked because somebody said so, and the glass that two may break in an emergency.
//!
//! Neither is ever in the way of taking something back.

use std::sync::Arc;

use super::entry::{Entry, Said};

/// Of each kind, those that are remembered.
const REMEMBERED_MAX: usize = 200;

/// A time in which no change goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Freeze {
    pub(crate) id: Arc<str>,
    pub(crate) author: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) reason: String,
}

/// A time in which nothing holds changes up: not the budget, no freeze, no hour. One asks, and another confirms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glass {
    pub(crate) id: Arc<str>,
    pub(crate) author: Arc<str>,
    /// Whoever confirmed it, and when: from then on it is broken, for so long.
    pub(crate) confirmed: Option<(u64, Arc<str>)>,
    pub(crate) minutes: u64,
    pub(crate) asked_at: u64,
    pub(crate) reason: String,
}

impl Glass {
    /// Whether it is broken.
    pub(crate) fn is_broken(&self, now: u64) -> bool {
        let broken = |at: u64| (at..at + 60_000 * self.minutes).contains(&now);
        self.confirmed.as_ref().is_some_and(|(at, _)| broken(*at))
    }
}

/// All that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Freezes {
    freezes: Vec<Freeze>,
    glasses: Vec<Glass>,
}

impl Freezes {
    /// The latest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Freeze> {
        self.freezes.iter().rev()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Freeze> {
        self.freezes.iter().find(|freeze| *freeze.id == *id)
    }

    /// The one that holds, and longest.
    pub(crate) fn holding(&self, now: u64) -> Option<&Freeze> {
        let holding = self
            .freezes
            .iter()
            .filter(|one| (one.from..one.until).contains(&now));
        holding.max_by_key(|freeze| freeze.until)
    }

    /// The latest first.
    pub(crate) fn glasses(&self) -> impl Iterator<Item = &Glass> {
        self.glasses.iter().rev()
    }

    pub(crate) fn glass(&self, id: &str) -> Option<&Glass> {
        self.glasses.iter().find(|glass| *glass.id == *id)
    }

    pub(crate) fn is_glass_broken(&self, now: u64) -> bool {
        self.glasses.iter().any(|glass| glass.is_broken(now))
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        match &entry.said {
            Said::FreezeSet { from, until, reason } => {
                self.freezes.push(Freeze {
                    id: Arc::clone(&entry.about),
                    author: Arc::clone(&entry.author),
                    from: *from,
                    until: *until,
                    reason: reason.clone(),
                });
                bound(&mut self.freezes);
            }
            Said::FreezeEnded => {
                let mut freezes = self.freezes.iter_mut();
                if let Some(freeze) = freezes.find(|freeze| freeze.id == entry.about) {
                    freeze.until = freeze.until.min(entry.at);
                }
            }
            Said::GlassAsked { minutes, reason } => {
                self.glasses.push(Glass {
                    id: Arc::clone(&entry.about),
                    author: Arc::clone(&entry.author),
                    confirmed: None,
                    minutes: *minutes,
                    asked_at: entry.at,
                    reason: reason.clone(),
                });
                bound(&mut self.glasses);
            }
            Said::GlassConfirmed => {
                let mut glasses = self.glasses.iter_mut();
                if let Some(glass) = glasses.find(|glass| glass.id == entry.about) {
                    let first = (entry.at, Arc::clone(&entry.author));
                    glass.confirmed.get_or_insert(first);
                }
            }
            _ => {}
        }
    }
}

fn bound<T>(all: &mut Vec<T>) {
    if all.len() > REMEMBERED_MAX {
        all.remove(0);
    }
}
