//! What is to be said of a change next, by how it stands and what is seen.

use plimsoll_slo::{Comparison, Finding, Rung, Sign};

use crate::change::{Gate, Reversibility, Then};
use crate::standing::{Phase, Standing};
use crate::transition::{Cause, Transition};

/// Milliseconds for which nothing of a candidate answers before it is lost, and for which it may take to be ready.
const LOST_AFTER: u64 = 3_000;
const READY_WITHIN: u64 = 120_000;
/// How often a process of a candidate may end by itself, all together: once may be anything.
const ENDED_MAX: u64 = 3;
/// Milliseconds after which what should have been taken back is a person's.
const UNDO_WITHIN: u64 = 600_000;

/// What is seen of a candidate by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Ready,
    /// It does not, for so many milliseconds.
    Away(u64),
    /// It is gone for good, and nothing of it runs.
    Gone,
}

/// What is seen of a change now.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// Milliseconds since the Unix epoch.
    pub now: u64,
    /// Whether this process leads, and the store knows.
    pub leads: bool,
    /// Of the candidate.
    pub health: Health,
    /// How often a process of the candidate has ended by itself, and how the last time.
    pub ended: Option<(u64, &'a str)>,
    /// What its comparison says, if there is something to compare.
    pub comparison: Option<&'a Comparison>,
    /// Whether what the gate of a step without a comparison asks for is shown: nothing that it touches got worse.
    pub guarded: bool,
    /// Whether nothing is under way any more at what it replaces, to which nothing new goes after the probation.
    pub replaced_idle: bool,
    /// An objective that it touches and that has been failing since more was exposed.
    pub burning: Option<&'a str>,
    /// What may be risked.
    pub rung: Rung,
    /// Somebody has broken the glass: the rung does not hold it.
    pub glass_broken: bool,
    /// Why no change may go on at this time, if none may: the hour, or a freeze.
    pub closed: Option<&'a str>,
    /// A change that needs this one is not taken back yet.
    pub needed_by: Option<&'a str>,
    /// A change that this one needs was taken back.
    pub need_gone: Option<&'a str>,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// This is to be said, without evidence: the shell adds it.
    Say(Transition),
    /// Nothing, for this reason.
    Wait(Wait),
}

/// Why nothing is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is over.
    Over,
    /// The candidate is not ready.
    Ready,
    /// More evidence.
    Evidence,
    /// For a person to go on.
    Paused,
    /// For a person to let it enter this step.
    Approval(usize),
    /// For the leader.
    Leader,
    /// The budget: this rung.
    Budget(Rung),
    /// For the time in which changes may go on, since for now this holds them up.
    Closed(String),
    /// For its probation to end: so many milliseconds.
    Probation(u64),
    /// For what it replaces to end what is under way there.
    Idle,
    /// For what it did to be undone.
    Undoing,
    /// For another change to be taken back first.
    Needed(String),
}

impl Standing {
    /// What is to be said next. What is dangerous comes first, and asks nobody; what exposes more comes last, and asks
    /// all.
    pub fn decide(&self, seen: &Seen<'_>) -> Next {
        let phase = self.phase();
        if phase.is_over() {
            return Next::Wait(Wait::Over);
        }
        if phase == Phase::Reverting {
            return self.undo(seen);
        }
        if let Some(cause) = self.danger(seen) {
            return Next::Say(Transition::Cut {
                cause,
                evidence: None,
            });
        }
        if self.paused().is_some() {
            return Next::Wait(Wait::Paused);
        }
        if !seen.leads {
            return Next::Wait(Wait::Leader);
        }
        self.go_on(phase, seen)
    }

    fn undo(&self, seen: &Seen<'_>) -> Next {
        if self.is_past_return() {
            let why = "a step that cannot be taken back was entered: it has to be mended forwards";
            return Next::Say(Transition::Parked { why: why.to_owned() });
        }
        if let Some(other) = seen.needed_by {
            return Next::Wait(Wait::Needed(other.to_owned()));
        }
        if seen.health == Health::Gone {
            return Next::Say(Transition::Undone);
        }
        if seen.now.saturating_sub(self.since()) > UNDO_WITHIN {
            let why = "what it did could not be undone in ten minutes";
            return Next::Say(Transition::Parked { why: why.to_owned() });
        }
        Next::Wait(Wait::Undoing)
    }

    /// Why it has to be cut, if it has to be. Whoever sees it says so, the store or no store.
    fn danger(&self, seen: &Seen<'_>) -> Option<Cause> {
        if let Some(need) = seen.need_gone {
            return Some(Cause::Needed(need.to_owned()));
        }
        if self.change.relief {
            return None;
        }
        let is_exposed = self.exposed() > 0.0;
        if let Some(Comparison {
            finding: Finding::Bad(sign),
            ..
        }) = seen.comparison.filter(|_| is_exposed)
        {
            return Some(Cause::Bad(Sign::word(*sign).to_owned()));
        }
        if let Some(objective) = seen.burning.filter(|_| is_exposed) {
            return Some(Cause::Burning(objective.to_owned()));
        }
        if let Some((_, how)) = seen.ended.filter(|(times, _)| *times >= ENDED_MAX) {
            return Some(Cause::Ending(how.to_owned()));
        }
        let away = match seen.health {
            Health::Ready => return None,
            Health::Away(millis) => millis,
            Health::Gone if is_exposed => u64::MAX,
            Health::Gone => seen.now.saturating_sub(self.since()),
        };
        if is_exposed {
            (away >= LOST_AFTER).then_some(Cause::Lost)
        } else {
            (away >= READY_WITHIN).then_some(Cause::NeverReady)
        }
    }

    fn go_on(&self, phase: Phase, seen: &Seen<'_>) -> Next {
        match phase {
            Phase::Proposed => match seen.health {
                Health::Ready => Next::Say(Transition::Armed),
                Health::Away(_) | Health::Gone => Next::Wait(Wait::Ready),
            },
            Phase::Armed => self.enter(0, seen),
            Phase::Step(step) => {
                if !self.change.relief && !self.is_shown(step, seen) {
                    return self.undecided(step, seen);
                }
                if step + 1 < self.change.steps.len() {
                    return self.enter(step + 1, seen);
                }
                Next::Say(Transition::Promoted { evidence: None })
            }
            Phase::Promoted => {
                let left = self.change.probation_ms;
                let left = left.saturating_sub(seen.now.saturating_sub(self.since()));
                if left > 0 {
                    return Next::Wait(Wait::Probation(left));
                }
                if !seen.replaced_idle {
                    return Next::Wait(Wait::Idle);
                }
                Next::Say(Transition::Finished { evidence: None })
            }
            Phase::Final | Phase::Reverting | Phase::Reverted | Phase::Parked => Next::Wait(Wait::Over),
        }
    }

    /// Whether what the gate of this step asks for is shown.
    fn is_shown(&self, step: usize, seen: &Seen<'_>) -> bool {
        let Some(step) = self.change.steps.get(step) else {
            return false;
        };
        match step.gate() {
            Gate::Compare => seen
                .comparison
                .is_some_and(|comparison| comparison.finding == Finding::Good),
            Gate::Guard => seen.guarded,
        }
    }

    fn undecided(&self, step: usize, seen: &Seen<'_>) -> Next {
        // A person may let it go on, but no clock.
        if self.approved.contains(&(step + 1)) {
            return match self.change.steps.get(step + 1) {
                Some(_) => self.enter(step + 1, seen),
                None => Next::Say(Transition::Promoted { evidence: None }),
            };
        }
        if seen.now.saturating_sub(self.since()) < self.change.undecided.hold_ms {
            return Next::Wait(Wait::Evidence);
        }
        match self.change.undecided.then {
            Then::Revert => Next::Say(Transition::Cut {
                cause: Cause::Undecided,
                evidence: None,
            }),
            Then::Ask if self.asked.contains(&step) => Next::Wait(Wait::Approval(step + 1)),
            Then::Ask => Next::Say(Transition::Asked { step }),
        }
    }

    /// Enters a step, if it may.
    fn enter(&self, step: usize, seen: &Seen<'_>) -> Next {
        let is_approved = self.approved.contains(&step);
        let cannot_be_undone = self.change.steps[step].reversibility == Reversibility::None;
        if cannot_be_undone && !is_approved {
            return Next::Wait(Wait::Approval(step));
        }
        if self.change.relief {
            return Next::Say(Transition::Entered { step, evidence: None });
        }
        if let Some(why) = seen.closed.filter(|_| !seen.glass_broken) {
            return Next::Wait(Wait::Closed(why.to_owned()));
        }
        match seen.rung {
            Rung::Frozen if !seen.glass_broken => return Next::Wait(Wait::Budget(Rung::Frozen)),
            Rung::Restricted if !is_approved && !seen.glass_broken => {
                return Next::Wait(Wait::Approval(step));
            }
            _ => {}
        }
        Next::Say(Transition::Entered { step, evidence: None })
    }
}
