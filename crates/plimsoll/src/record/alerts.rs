//! Alerts, as the record has them: what is open, what was, and who was told of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Calls, Entry, Opened, Said, Told};

/// Closed alerts that are remembered.
const CLOSED_MAX: usize = 1_000;

/// An objective that calls somebody, from when it began to do so until it did no more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alert {
    pub(crate) id: Arc<str>,
    /// Milliseconds since the Unix epoch.
    pub(crate) opened_at: u64,
    pub(crate) opened: Box<Opened>,
    /// The process that opened it, and tells people of it.
    pub(crate) owner: Arc<str>,
    /// When it was closed, and why.
    pub(crate) closed: Option<(u64, String)>,
    /// By target, what it was told last.
    pub(crate) told: BTreeMap<String, Told>,
}

/// All that are open, and the latest of those that are closed.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    open: BTreeMap<Arc<str>, Alert>,
    /// The one that was closed last comes last.
    closed: VecDeque<Alert>,
    /// How many there have been, of each objective and severity.
    numbers: BTreeMap<(String, Calls), u64>,
}

impl Alerts {
    pub(crate) fn open(&self) -> impl Iterator<Item = &Alert> {
        self.open.values()
    }

    /// The open ones, and then those that were closed, the latest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Alert> {
        self.open.values().chain(self.closed.iter().rev())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Alert> {
        self.open
            .get(id)
            .or_else(|| self.closed.iter().rev().find(|alert| *alert.id == *id))
    }

    pub(crate) fn open_of(&self, objective: &str, calls: Calls) -> Option<&Alert> {
        let mut open = self.open.values();
        open.find(|alert| alert.opened.objective == objective && alert.opened.severity == calls)
    }

    /// What the next alert of an objective is called. Every process that shares the record calls it the same, so that
    /// they open one together.
    pub(crate) fn next_id(&self, objective: &str, calls: Calls) -> Arc<str> {
        let number = self.numbers.get(&(objective.to_owned(), calls));
        let number = number.copied().unwrap_or(0) + 1;
        format!("{objective}-{}-{number}", calls.word()).into()
    }

    /// The same where nobody knows how many there have been: the store is away.
    pub(crate) fn id_of_time(objective: &str, calls: Calls, wall: Duration) -> Arc<str> {
        format!("{objective}-{}-t{}", calls.word(), wall.as_secs()).into()
    }

    /// The alert that was opened by this fact is of whoever said it first.
    pub(super) fn owned(&mut self, fact: &str, owner: &Arc<str>) {
        let id = fact.strip_suffix("/opened").unwrap_or(fact);
        if let Some(alert) = self.open.get_mut(id) {
            alert.owner = Arc::clone(owner);
        }
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        match &entry.said {
            Said::AlertOpened(opened) => {
                let of = (opened.objective.clone(), opened.severity);
                *self.numbers.entry(of).or_default() += 1;
                let alert = Alert {
                    id: Arc::clone(&entry.about),
                    opened_at: entry.at,
                    opened: opened.clone(),
                    owner: Arc::clone(&entry.author),
                    closed: None,
                    told: BTreeMap::new(),
                };
                self.open.insert(Arc::clone(&entry.about), alert);
            }
            Said::AlertClosed { why } => {
                if let Some(alert) = self.open.remove(&entry.about) {
                    self.closed.push_back(Alert {
                        closed: Some((entry.at, why.clone())),
                        ..alert
                    });
                }
                if self.closed.len() > CLOSED_MAX {
                    self.closed.pop_front();
                }
            }
            Said::AlertTold { target, told } => {
                let open = self.open.get_mut(&entry.about);
                let alert =
                    open.or_else(|| self.closed.iter_mut().rev().find(|alert| alert.id == entry.about));
                if let Some(alert) = alert {
                    alert.told.insert(target.clone(), *told);
                }
            }
            _ => {}
        }
    }
}
