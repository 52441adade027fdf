//! Silences: for a while nobody is told of an alert, because somebody said why.

use std::sync::Arc;

use super::entry::{Entry, Said};

/// Silences that are remembered.
const SILENCES_MAX: usize = 1_000;

/// Nobody is told of these objectives for a while. Alerts open and close as ever.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Silence {
    pub(crate) id: Arc<str>,
    pub(crate) author: Arc<str>,
    pub(crate) objective: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) reason: String,
}

impl Silence {
    pub(crate) fn holds(&self, objective: &str, now: u64) -> bool {
        let is_meant = match self.objective.strip_suffix('*') {
            Some(begins) => objective.starts_with(begins),
            None => objective == self.objective,
        };
        is_meant && (self.from..self.until).contains(&now)
    }
}

/// All that are or will be, and the latest of those that were.
#[derive(Debug, Default)]
pub(crate) struct Silences {
    /// In the order in which they were set.
    all: Vec<Silence>,
}

impl Silences {
    /// The latest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Silence> {
        self.all.iter().rev()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Silence> {
        self.all.iter().rev().find(|silence| *silence.id == *id)
    }

    /// The one that keeps quiet about an objective.
    pub(crate) fn of(&self, objective: &str, now: u64) -> Option<&Silence> {
        self.all.iter().find(|silence| silence.holds(objective, now))
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        match &entry.said {
            Said::SilenceSet {
                objective,
                from,
                until,
                reason,
            } => {
                self.all.push(Silence {
                    id: Arc::clone(&entry.about),
                    author: Arc::clone(&entry.author),
                    objective: objective.clone(),
                    from: *from,
                    until: *until,
                    reason: reason.clone(),
                });
                // The one that ends first is over, or will be.
                let first = (0..self.all.len()).min_by_key(|place| self.all[*place].until);
                if let Some(first) = first.filter(|_| self.all.len() > SILENCES_MAX) {
                    self.all.remove(first);
                }
            }
            Said::SilenceEnded => {
                if let Some(silence) = self.all.iter_mut().find(|silence| silence.id == entry.about) {
                    silence.until = silence.until.min(entry.at);
                }
            }
            _ => {}
        }
    }
}
