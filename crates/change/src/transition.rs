//! What is said of a change, by whom it concerns: it is kept for ever, and what there is follows from it.

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::evidence::Evidence;

/// What can be said. The words are those of the ledger, and are never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "said", content = "of", rename_all = "kebab-case")]
pub enum Transition {
    /// Somebody asks for it.
    Proposed(Box<Change>),
    /// What is needed for it is there, and well: nobody is exposed yet.
    Armed,
    /// From now on it is at this step, the first being 0.
    Entered {
        /// The step.
        step: usize,
        /// By what the step before was left; none for the first, or if a person said so.
        evidence: Option<Box<Evidence>>,
    },
    /// Everybody has it, but for what is held back.
    Promoted {
        /// By what the last step was left; none if a person said so.
        evidence: Option<Box<Evidence>>,
    },
    /// What it has replaced is gone.
    Finished {
        /// What was seen in its probation.
        evidence: Option<Box<Evidence>>,
    },
    /// Nobody has it from now on.
    Cut {
        /// Why.
        cause: Cause,
        /// By what it was found.
        evidence: Option<Box<Evidence>>,
    },
    /// It is as if it had not been.
    Undone,
    /// It cannot be taken back by a machine, or was not; this is what a person has to know.
    Parked {
        /// Why.
        why: String,
    },
    /// It stays where it is until it goes on.
    Paused {
        /// Why.
        why: String,
    },
    /// It goes on.
    Resumed,
    /// A person has looked at what a machine may not decide, and lets it enter this step.
    Approved {
        /// The step.
        step: usize,
        /// Why.
        why: String,
    },
    /// A person is asked whether this step may be left, since nothing was found out.
    Asked {
        /// The step.
        step: usize,
    },
    /// What is configured at this place says something else than it did when the change was asked for: its author knows
    /// of the change, or wants another thing. Either way it is the configuration's word there from now on.
    Yielded {
        /// Which configuration, as the shell names it.
        place: String,
    },
}

/// Why a change is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", content = "of", rename_all = "kebab-case")]
pub enum Cause {
    /// It is worse than what it was to replace, by this sign.
    Bad(String),
    /// An objective that it touches has been failing since it is there.
    Burning(String),
    /// It was lost: nothing of it answers.
    Lost,
    /// Its process ends by itself, again and again; at last in this way.
    Ending(String),
    /// It never was ready.
    NeverReady,
    /// Nothing was found out in the time that there was.
    Undecided,
    /// A person said so, and why.
    Asked(String),
    /// What it needs was taken back: this change.
    Needed(String),
}

impl Cause {
    /// In words that follow `because`.
    pub fn sentence(&self) -> String {
        match self {
            Self::Bad(sign) => format!("it is worse than what it was to replace ({sign})"),
            Self::Burning(objective) => {
                format!("the objective {objective} has been failing since it is there")
            }
            Self::Lost => "nothing of it answers any more".to_owned(),
            Self::Ending(how) => format!("its process ends by itself again and again, at last with {how}"),
            Self::NeverReady => "it was never ready".to_owned(),
            Self::Undecided => "nobody could tell whether it is good in the time that there was".to_owned(),
            Self::Asked(why) => format!("somebody said so: {why}"),
            Self::Needed(change) => format!("{change}, which it needs, is taken back"),
        }
    }
}

impl Transition {
    /// The word for it in the ledger.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Proposed(_) => "proposed",
            Self::Armed => "armed",
            Self::Entered { .. } => "entered",
            Self::Promoted { .. } => "promoted",
            Self::Finished { .. } => "finished",
            Self::Cut { .. } => "cut",
            Self::Undone => "undone",
            Self::Parked { .. } => "parked",
            Self::Paused { .. } => "paused",
            Self::Resumed => "resumed",
            Self::Approved { .. } => "approved",
            Self::Asked { .. } => "asked",
            Self::Yielded { .. } => "yielded",
        }
    }

    /// Whether more is exposed after it, so that only the leader may say it.
    pub const fn exposes(&self) -> bool {
        matches!(
            self,
            Self::Armed | Self::Entered { .. } | Self::Promoted { .. } | Self::Finished { .. }
        )
    }

    /// The evidence that is kept with it.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Entered { evidence, .. }
            | Self::Promoted { evidence }
            | Self::Finished { evidence }
            | Self::Cut { evidence, .. } => evidence.as_deref(),
            _ => None,
        }
    }
}
