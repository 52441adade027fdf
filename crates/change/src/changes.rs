//! All changes, and what they have to do with each other.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::Change;
use crate::standing::{Phase, Standing};
use crate::transition::Transition;

/// Changes that are remembered; of those that are over, the latest, and whatever is in force.
const REMEMBERED_MAX: usize = 500;

/// Why a change is not taken on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be, whatever else there is.
    #[error("{0}")]
    Malformed(String),
    /// There is one that is called so.
    #[error("there is a change {0} already")]
    Known(String),
    /// Its target is being changed.
    #[error(
        "{other} is changing {target}, and is {phase}; right would be to wait until it is over, or to revert it"
    )]
    UnderWay {
        /// The other change.
        other: String,
        /// What both are about.
        target: String,
        /// How that one stands.
        phase: &'static str,
    },
    /// Nothing offers what it needs.
    #[error("it needs `{0}`, which nothing offers; right would be a change that offers it, and is there")]
    Missing(String),
}

/// See the module's header.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    all: BTreeMap<String, Standing>,
    /// What was said of changes of which nobody has heard that they were asked for: it may come later.
    early: BTreeMap<String, Vec<(u64, Transition)>>,
}

/// Changes of which something was heard early, and how much of each, at most.
const EARLY_MAX: usize = 100;

impl Changes {
    /// Hears what was said of a change: see [`Standing::hear`].
    pub fn hear(&mut self, id: &str, at: u64, said: &Transition) {
        if let Some(standing) = self.all.get_mut(id) {
            standing.hear(at, said);
            return;
        }
        let Transition::Proposed(change) = said else {
            let early = self.early.entry(id.to_owned()).or_default();
            if early.len() < EARLY_MAX {
                early.push((at, said.clone()));
            }
            if self.early.len() > EARLY_MAX {
                self.early.pop_first();
            }
            return;
        };
        if change.id != id {
            return;
        }
        let mut standing = Standing::new((**change).clone(), at);
        for (at, said) in self.early.remove(id).unwrap_or_default() {
            standing.hear(at, &said);
        }
        self.all.insert(id.to_owned(), standing);
        self.forget_old();
    }

    fn forget_old(&mut self) {
        if self.all.len() <= REMEMBERED_MAX {
            return;
        }
        let in_force: BTreeSet<&str> = self.in_force().map(|standing| &*standing.change.id).collect();
        let over = self
            .all
            .values()
            .filter(|standing| standing.phase().is_over() && !in_force.contains(&*standing.change.id));
        let oldest = over.min_by_key(|standing| standing.proposed_at);
        if let Some(id) = oldest.map(|standing| standing.change.id.clone()) {
            self.all.remove(&id);
        }
    }

    /// One of them.
    pub fn get(&self, id: &str) -> Option<&Standing> {
        self.all.get(id)
    }

    /// All of them, in the order of their names.
    pub fn all(&self) -> impl Iterator<Item = &Standing> {
        self.all.values()
    }

    /// The last of each target that is there for good. They are never forgotten, however old they are.
    pub fn in_force(&self) -> impl Iterator<Item = &Standing> {
        let mut last: BTreeMap<&str, &Standing> = BTreeMap::new();
        let at = |standing: &Standing| (standing.finished_at(), standing.change.id.clone());
        let all = self.all.values();
        for standing in all.filter(|standing| standing.phase() == Phase::Final) {
            let before = last.entry(&standing.change.target).or_insert(standing);
            if at(before) < at(standing) {
                *before = standing;
            }
        }
        last.into_values()
    }

    /// The one that is under way at this target.
    pub fn under_way(&self, target: &str) -> Option<&Standing> {
        let mut all = self.all.values();
        all.find(|standing| standing.change.target == target && !standing.phase().is_over())
    }

    /// Whether a change can be taken on. `there` is what there is without any change.
    ///
    /// # Errors
    /// [`Refusal`] with the first reason.
    pub fn accept(&self, change: &Change, there: &BTreeSet<String>) -> Result<(), Refusal> {
        if let Some(problem) = change.problem() {
            return Err(Refusal::Malformed(problem));
        }
        if self.all.contains_key(&change.id) {
            return Err(Refusal::Known(change.id.clone()));
        }
        if let Some(other) = self.under_way(&change.target) {
            return Err(Refusal::UnderWay {
                other: other.change.id.clone(),
                target: change.target.clone(),
                phase: other.phase().word(),
            });
        }
        let offered = |need: &String| {
            let offers = |standing: &Standing| standing.change.offers.contains(need);
            there.contains(need) || self.offering().any(offers)
        };
        match change.needs.iter().find(|need| !offered(need)) {
            Some(need) => Err(Refusal::Missing(need.clone())),
            None => Ok(()),
        }
    }

    /// Those that are there, for everybody.
    fn offering(&self) -> impl Iterator<Item = &Standing> {
        let all = self.all.values();
        all.filter(|standing| matches!(standing.phase(), Phase::Promoted | Phase::Final))
    }

    /// A change that needs what this one offers, and is not taken back. Since a change needs only what is there when it is
    /// taken on, nothing needs itself by way of others.
    pub fn needed_by(&self, id: &str) -> Option<&str> {
        let mut dependents = self.dependents(self.all.get(id)?);
        dependents.next().map(|dependent| &*dependent.change.id)
    }

    /// What is to be taken back, in this order, to take this one back: first what needs what it offers, and itself last.
    pub fn revert_order(&self, id: &str) -> Vec<&str> {
        let mut order = Vec::new();
        self.before(id, &mut order);
        order
    }

    fn before<'a>(&'a self, id: &str, order: &mut Vec<&'a str>) {
        let Some((id, standing)) = self.all.get_key_value(id) else {
            return;
        };
        if order.contains(&id.as_str()) {
            return;
        }
        for dependent in self.dependents(standing) {
            self.before(&dependent.change.id, order);
        }
        order.push(id);
    }

    /// Those that need what this one offers, and are not taken back.
    fn dependents(&self, standing: &Standing) -> impl Iterator<Item = &Standing> {
        let offers = standing.change.offers.clone();
        self.all.values().filter(move |other| {
            !matches!(other.phase(), Phase::Reverted | Phase::Parked)
                && other.change.needs.iter().any(|need| offers.contains(need))
        })
    }

    /// The change whose taking back leaves this one without what it needs. `there` is what there is without any change.
    pub fn need_gone(&self, id: &str, there: &BTreeSet<String>) -> Option<&str> {
        let needs = &self.all.get(id)?.change.needs;
        let gone = self.all.values().find(|standing| {
            let offers = &standing.change.offers;
            matches!(standing.phase(), Phase::Reverting | Phase::Reverted)
                && needs
                    .iter()
                    .any(|need| offers.contains(need) && !there.contains(need) && !self.is_offered(need))
        })?;
        Some(&gone.change.id)
    }

    fn is_offered(&self, need: &String) -> bool {
        self.offering()
            .any(|standing| standing.change.offers.contains(need))
    }
}
