//! Corrections of what was counted, each with who made it and why. What was counted stays as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_slo::Correction;

use super::entry::{Entry, Said};

/// Corrections that may hold at once. Every minute of a judge's window is held against each of them.
pub(crate) const CORRECTIONS_MAX: usize = 500;

/// One that holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Made {
    pub(crate) objective: String,
    pub(crate) correction: Correction,
    pub(crate) author: Arc<str>,
    pub(crate) reason: String,
    /// Milliseconds since the Unix epoch.
    pub(crate) at: u64,
}

/// Those that hold, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Corrections {
    all: BTreeMap<Arc<str>, Made>,
}

impl Corrections {
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &Made)> {
        self.all.iter()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Made> {
        self.all.get(id)
    }

    pub(crate) fn of(&self, objective: &str) -> Vec<Correction> {
        let of = self.all.values().filter(|made| made.objective == objective);
        of.map(|made| made.correction).collect()
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        match (&entry.said, entry.said.correction()) {
            (
                Said::CorrectionMade {
                    objective, reason, ..
                },
                Some(correction),
            ) => {
                let made = Made {
                    objective: objective.clone(),
                    correction,
                    author: Arc::clone(&entry.author),
                    reason: reason.clone(),
                    at: entry.at,
                };
                self.all.insert(Arc::clone(&entry.about), made);
                // The one that reaches back least is over for every judge first.
                let first = self.all.iter().min_by_key(|(_, made)| made.correction.to);
                let first = first.map(|(id, _)| Arc::clone(id));
                if let Some(first) = first.filter(|_| self.all.len() > CORRECTIONS_MAX) {
                    self.all.remove(&first);
                }
            }
            (Said::CorrectionWithdrawn { .. }, _) => _ = self.all.remove(&entry.about),
            _ => {}
        }
    }
}
