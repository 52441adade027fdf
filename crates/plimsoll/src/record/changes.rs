//! Changes, as the record has them: how each stands, and what was said of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use change::{Changes as Machine, Standing, Transition};

use super::entry::{Entry, Said};

/// Lines of one change, and changes that have some, at most.
const LINES_MAX: usize = 200;
const TOLD_MAX: usize = 500;

/// What was said of a change.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Milliseconds since the Unix epoch.
    pub(crate) at: u64,
    pub(crate) author: Arc<str>,
    pub(crate) said: Transition,
}

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) machine: Machine,
    /// In the order of time.
    told: BTreeMap<String, Vec<Line>>,
    /// The highest number that one of each target has had: others may be forgotten.
    numbers: BTreeMap<String, u64>,
}

impl Changes {
    /// What the next change of a target is called. Every process that shares the record calls it the same.
    pub(crate) fn next_id(&self, target: &str) -> String {
        format!("{target}-{}", self.numbers.get(target).unwrap_or(&0) + 1)
    }

    /// What was said of a change, in the order of time.
    pub(crate) fn told(&self, id: &str) -> &[Line] {
        self.told.get(id).map_or(&[], |lines| lines)
    }

    /// All changes, those that were asked for last first.
    pub(crate) fn all(&self) -> Vec<&Standing> {
        let mut all: Vec<&Standing> = self.machine.all().collect();
        all.sort_by_key(|standing| std::cmp::Reverse(standing.proposed_at));
        all
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        let Said::ChangeWent(said) = &entry.said else {
            return;
        };
        if let Transition::Proposed(change) = &**said {
            let number = entry
                .about
                .strip_prefix(&*change.target)
                .and_then(|rest| rest.strip_prefix('-'));
            let highest = self.numbers.entry(change.target.clone()).or_default();
            *highest = number
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
                .max(*highest);
        }
        self.machine.hear(&entry.about, entry.at, said);
        let lines = self.told.entry(entry.about.to_string()).or_default();
        if lines.len() < LINES_MAX {
            let place = lines.partition_point(|line| line.at <= entry.at);
            lines.insert(
                place,
                Line {
                    at: entry.at,
                    author: Arc::clone(&entry.author),
                    said: (**said).clone(),
                },
            );
        }
        if self.told.len() > TOLD_MAX {
            let oldest = self
                .told
                .iter()
                .min_by_key(|(_, lines)| lines.first().map(|line| line.at));
            if let Some(id) = oldest.map(|(id, _)| id.clone()) {
                self.told.remove(&id);
            }
        }
    }
}
