//! What is to be changed, as somebody asked for it. It is never changed itself: another one takes its place.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Steps of a change, at most: each is judged, and its evidence is kept.
pub(crate) const STEPS_MAX: usize = 20;
/// What a change may need and offer.
pub(crate) const NEEDS_MAX: usize = 20;

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A version of a service.
    Deploy,
    /// A flag, for some or all users.
    Flag,
    /// The configuration of Plimsoll.
    Config,
    /// The schema of a database.
    Schema,
    /// Nothing: whether a change could be taken back.
    Drill,
}

impl Kind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Flag => "flag",
            Self::Config => "config",
            Self::Schema => "schema",
            Self::Drill => "drill",
        }
    }
}

/// How it is decided who is exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assignment {
    /// Each request by chance.
    PerRequest,
    /// Each key by chance: all its requests alike.
    PerKey,
    /// Some processes.
    PerInstance,
    /// All at once.
    Global,
}

/// How a step is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversibility {
    /// At once: the old is there still.
    Instant,
    /// By work that takes its time, and may fail.
    Slow,
    /// Not at all: what is dropped is gone. Never taken without a person.
    None,
}

/// One step of a change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The share of traffic that is exposed in it: more than 0, at most 1.
    pub share: f64,
    /// Who is.
    pub assignment: Assignment,
    /// How it is taken back.
    pub reversibility: Reversibility,
}

/// What has to be shown before a step is left for the next. It follows from what the step is, not from its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// That the candidate is as good as what it is to replace, by comparison.
    Compare,
    /// That nothing that it touches got worse: everybody is exposed, so there is nothing to compare with.
    Guard,
}

impl Step {
    /// See [`Gate`].
    pub fn gate(&self) -> Gate {
        match self.assignment {
            Assignment::PerRequest | Assignment::PerKey if self.share < 1.0 => Gate::Compare,
            _ => Gate::Guard,
        }
    }
}

/// What becomes of a change about which nothing is found out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undecided {
    /// Milliseconds that a step is held at most.
    pub hold_ms: u64,
    /// And then.
    pub then: Then,
}

/// See [`Undecided`]. There is no third: nothing is promoted because time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// It is taken back.
    Revert,
    /// It stays where it is, and a person is asked.
    Ask,
}

impl Default for Undecided {
    fn default() -> Self {
        Self {
            hold_ms: 3_600_000,
            then: Then::Revert,
        }
    }
}

/// A change, as it was proposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its own.
    pub id: String,
    /// What kind of thing is changed.
    pub kind: Kind,
    /// Which one: of two changes of one target, only one can be under way.
    pub target: String,
    /// What it is changed to, in a word: a version.
    pub to: String,
    /// In their order; shares do not go down. After the last of them, everybody has it.
    pub steps: Vec<Step>,
    /// What has to be there, by other changes or by itself.
    pub needs: Vec<String>,
    /// What is there by it.
    pub offers: Vec<String>,
    /// What becomes of it if nothing is found out.
    pub undecided: Undecided,
    /// Milliseconds for which what it has replaced is kept warm after it was promoted.
    pub probation_ms: u64,
    /// The share that stays with what it replaces in that time, to be compared with: 0 to 0.5.
    pub hold_back: f64,
    /// It takes risk away, as a kill switch does: a person has said so, and no comparison, budget, freeze or objective that
    /// fails meanwhile holds it up or takes it back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub relief: bool,
    /// What the shell needs to do it, in its own words.
    pub how: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(is: &bool) -> bool {
    !is
}

impl Change {
    /// The shares of a usual canary, before everybody has it.
    pub const CANARY: [f64; 4] = [0.01, 0.05, 0.25, 0.5];

    /// The steps of a canary with these shares.
    pub fn canary(shares: &[f64], assignment: Assignment) -> Vec<Step> {
        let step = |share: &f64| Step {
            share: *share,
            assignment,
            reversibility: Reversibility::Instant,
        };
        shares.iter().map(step).collect()
    }

    /// For how long what it has replaced is kept warm.
    pub const fn probation(&self) -> Duration {
        Duration::from_millis(self.probation_ms)
    }

    /// What cannot be about it, whatever else there is: what is wrong, and what would be right.
    pub(crate) fn problem(&self) -> Option<String> {
        let is_name = |name: &str| !name.is_empty() && name.len() <= 200 && !name.contains(char::is_control);
        if !is_name(&self.id) || !is_name(&self.target) || !is_name(&self.to) {
            return Some("id, target and version are words of up to 200 bytes".to_owned());
        }
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            return Some(format!(
                "there are {} steps; right would be 1 to {STEPS_MAX}",
                self.steps.len()
            ));
        }
        if let Some(step) = self
            .steps
            .iter()
            .find(|step| !(step.share > 0.0 && step.share <= 1.0))
        {
            let share = step.share;
            return Some(format!(
                "a step has a share of {share}; right would be more than 0, and 1 at most"
            ));
        }
        if let Some([before, after]) = self
            .steps
            .array_windows()
            .find(|[before, after]| after.share < before.share)
        {
            return Some(format!(
                "a step from {} to {} goes down; right would be shares that grow",
                before.share, after.share
            ));
        }
        if !(0.0..=0.5).contains(&self.hold_back) {
            return Some(format!(
                "{} is held back; right would be 0 to 0.5",
                self.hold_back
            ));
        }
        if self.needs.len() > NEEDS_MAX || self.offers.len() > NEEDS_MAX {
            return Some(format!("it needs or offers more than {NEEDS_MAX} things"));
        }
        let own = self.needs.iter().find(|need| self.offers.contains(need));
        own.map(|need| format!("it needs `{need}`, which it offers itself"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_follows_from_what_a_step_is() {
        let gate = |share, assignment| {
            let reversibility = Reversibility::Instant;
            Step {
                share,
                assignment,
                reversibility,
            }
            .gate()
        };
        assert_eq!(gate(0.05, Assignment::PerRequest), Gate::Compare);
        assert_eq!(gate(0.5, Assignment::PerKey), Gate::Compare);
        assert_eq!(gate(1.0, Assignment::PerRequest), Gate::Guard);
        assert_eq!(gate(0.5, Assignment::PerInstance), Gate::Guard);
        assert_eq!(gate(0.5, Assignment::Global), Gate::Guard);
    }
}
