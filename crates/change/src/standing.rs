//! How a change stands, by what was said of it.
//!
//! [`Standing::hear`] may be called with what was said in any order and however often, and comes to the same: of steps
//! the highest counts, of pauses the latest, and a cut beats all but the end. So a gateway that was away, or hears of a step after it
//! has heard of the cut, exposes nobody; and once what was replaced is gone, nothing leads back to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::{Change, Reversibility, Step};
use crate::transition::{Cause, Transition};

/// Where a change is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It was asked for.
    Proposed,
    /// What it needs is there.
    Armed,
    /// At this step, the first being 0.
    Step(usize),
    /// It is there for all but for what is held back, and what it replaced is kept warm.
    Promoted,
    /// It is there, and what it replaced is gone.
    Final,
    /// Nobody is exposed, and what it did is being undone.
    Reverting,
    /// It is as if it had not been.
    Reverted,
    /// It waits for a person who sees to it.
    Parked,
}

impl Phase {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Armed => "armed",
            Self::Step(_) => "step",
            Self::Promoted => "promoted",
            Self::Final => "final",
            Self::Reverting => "reverting",
            Self::Reverted => "reverted",
            Self::Parked => "parked",
        }
    }

    /// Whether nothing follows by itself.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Final | Self::Reverted | Self::Parked)
    }
}

/// How a change stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What was asked for.
    pub change: Change,
    /// When, in milliseconds since the Unix epoch.
    pub proposed_at: u64,
    armed_at: Option<u64>,
    /// The steps that were entered, and when first.
    entered: BTreeMap<usize, u64>,
    promoted_at: Option<u64>,
    finished_at: Option<u64>,
    cut: Option<(u64, Cause)>,
    undone_at: Option<u64>,
    parked: Option<(u64, String)>,
    /// The latest that was said of it, and whether it is paused by that.
    paused: Option<(u64, bool, String)>,
    pub(crate) approved: BTreeSet<usize>,
    pub(crate) asked: BTreeSet<usize>,
    yielded: BTreeMap<String, u64>,
}

/// Configurations to which a change has yielded, at most: one for each gateway that has a file of its own.
const YIELDED_MAX: usize = 1_000;

impl Standing {
    /// Nothing was said but that it is asked for.
    pub fn new(change: Change, proposed_at: u64) -> Self {
        Self {
            change,
            proposed_at,
            armed_at: None,
            entered: BTreeMap::new(),
            promoted_at: None,
            finished_at: None,
            cut: None,
            undone_at: None,
            parked: None,
            paused: None,
            approved: BTreeSet::new(),
            asked: BTreeSet::new(),
            yielded: BTreeMap::new(),
        }
    }

    /// Hears what was said at a time, in milliseconds since the Unix epoch.
    pub fn hear(&mut self, at: u64, said: &Transition) {
        let first = |known: &mut Option<u64>| *known = Some(known.map_or(at, |before| before.min(at)));
        match said {
            Transition::Armed => first(&mut self.armed_at),
            Transition::Entered { step, .. } if *step < self.change.steps.len() => {
                let known = self.entered.entry(*step).or_insert(at);
                *known = at.min(*known);
            }
            // It is itself; and a step that there is not is of a release that knows more.
            Transition::Proposed(_) | Transition::Entered { .. } => {}
            Transition::Promoted { .. } => first(&mut self.promoted_at),
            Transition::Finished { .. } => first(&mut self.finished_at),
            Transition::Cut { cause, .. } => {
                if self.cut.as_ref().is_none_or(|(before, _)| at < *before) {
                    self.cut = Some((at, cause.clone()));
                }
            }
            Transition::Undone => first(&mut self.undone_at),
            Transition::Parked { why } => {
                if self.parked.as_ref().is_none_or(|(before, _)| at < *before) {
                    self.parked = Some((at, why.clone()));
                }
            }
            Transition::Paused { why } => self.pause(at, true, why),
            Transition::Resumed => self.pause(at, false, ""),
            Transition::Approved { step, .. } => _ = self.approved.insert(*step),
            Transition::Asked { step } => _ = self.asked.insert(*step),
            Transition::Yielded { place } => {
                if self.yielded.len() < YIELDED_MAX || self.yielded.contains_key(place) {
                    let known = self.yielded.entry(place.clone()).or_insert(at);
                    *known = at.min(*known);
                }
            }
        }
    }

    fn pause(&mut self, at: u64, is_paused: bool, why: &str) {
        let newer = |(before, was, _): &(u64, bool, String)| (at, is_paused) > (*before, *was);
        if self.paused.as_ref().is_none_or(newer) {
            self.paused = Some((at, is_paused, why.to_owned()));
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        // There is nothing left to go back to, whoever has said what in the meantime.
        if self.finished_at.is_some() {
            return Phase::Final;
        }
        if self.parked.is_some() {
            return Phase::Parked;
        }
        if self.cut.is_some() {
            return match self.undone_at {
                Some(_) => Phase::Reverted,
                None => Phase::Reverting,
            };
        }
        if self.promoted_at.is_some() {
            return Phase::Promoted;
        }
        match (self.step(), self.armed_at) {
            (Some(step), _) => Phase::Step(step),
            (None, Some(_)) => Phase::Armed,
            (None, None) => Phase::Proposed,
        }
    }

    /// The highest step that was entered.
    pub fn step(&self) -> Option<usize> {
        self.entered.last_key_value().map(|(step, _)| *step)
    }

    /// The share that is exposed: 0 to 1.
    pub fn exposed(&self) -> f64 {
        let of_step = || {
            let step = self.step().and_then(|step| self.change.steps.get(step));
            step.map_or(0.0, |step| step.share)
        };
        let reached = match self.promoted_at {
            Some(_) => 1.0 - self.change.hold_back,
            None => of_step(),
        };
        match self.phase() {
            Phase::Final => 1.0,
            // What cannot be taken back is there, cut or not.
            _ if self.cut.is_some() && !self.is_past_return() => 0.0,
            Phase::Proposed | Phase::Armed | Phase::Reverted => 0.0,
            Phase::Step(_) | Phase::Promoted | Phase::Reverting | Phase::Parked => reached,
        }
    }

    /// Whether a step was entered that cannot be taken back: what follows from then on is mended forwards.
    pub fn is_past_return(&self) -> bool {
        let entered = self
            .entered
            .keys()
            .filter_map(|step| self.change.steps.get(*step));
        let mut entered = entered.map(|step: &Step| step.reversibility);
        entered.any(|reversibility| reversibility == Reversibility::None)
    }

    /// The same at a time, in milliseconds since the Unix epoch: after its probation nothing is held back any more.
    pub fn exposed_at(&self, now: u64) -> f64 {
        let ends = self
            .promoted_at
            .map(|at| at.saturating_add(self.change.probation_ms));
        if self.phase() == Phase::Promoted && ends.is_some_and(|ends| now >= ends) {
            return 1.0;
        }
        self.exposed()
    }

    /// Why it was cut, and when.
    pub fn cut(&self) -> Option<(u64, &Cause)> {
        self.cut.as_ref().map(|(at, cause)| (*at, cause))
    }

    /// Why it is parked.
    pub fn parked(&self) -> Option<&str> {
        self.parked.as_ref().map(|(_, why)| &**why)
    }

    /// Why it is paused.
    pub fn paused(&self) -> Option<&str> {
        let (_, is_paused, why) = self.paused.as_ref()?;
        is_paused.then_some(&**why)
    }

    /// When what it is in began: milliseconds since the Unix epoch.
    pub fn since(&self) -> u64 {
        let of_step = || self.step().and_then(|step| self.entered.get(&step).copied());
        let since = match self.phase() {
            Phase::Proposed => None,
            Phase::Armed => self.armed_at,
            Phase::Step(_) => of_step(),
            Phase::Promoted => self.promoted_at,
            Phase::Final => self.finished_at,
            Phase::Reverting => self.cut.as_ref().map(|(at, _)| *at),
            Phase::Reverted => self.undone_at,
            Phase::Parked => self.parked.as_ref().map(|(at, _)| *at),
        };
        since.unwrap_or(self.proposed_at)
    }

    /// When somebody was exposed to it first: milliseconds since the Unix epoch.
    pub fn exposed_since(&self) -> Option<u64> {
        self.entered.values().copied().chain(self.promoted_at).min()
    }

    /// When it came to be all there is; `None` if it is not.
    pub fn finished_at(&self) -> Option<u64> {
        self.finished_at
    }

    /// When everybody had it first.
    pub fn promoted_at(&self) -> Option<u64> {
        self.promoted_at
    }

    /// Since when the configuration at this place has its own word again, in milliseconds since the Unix epoch: it said
    /// something else then than when the change was asked for. Who has read it before that has not seen it.
    pub fn yielded_at(&self, place: &str) -> Option<u64> {
        self.yielded.get(place).copied()
    }

    /// The share that comes after the one that it has, for what a comparison has to exclude.
    pub fn next_share(&self) -> f64 {
        let next = self.step().map_or(0, |step| step + 1);
        self.change.steps.get(next).map_or(1.0, |step| step.share)
    }
}
