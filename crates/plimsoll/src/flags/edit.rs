//! What has to be known to change a flag, and the flags with what changes have made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use change::{Change, Kind, Standing};
use gateway::plan::{Between, Plan, SplitPlan};
use plimsoll_flags::{Bucketing, Problem, ramp};
use plimsoll_slo::SLOTS;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::changes::Changes;
use crate::rollout::judged::Judged;
use crate::rollout::versions::FileRead;

/// Bytes of a definition, at most: it stands in the ledger for ever.
pub(crate) const DEFINITION_MAX: usize = 64 << 10;

/// What has to be known to change a flag, in the words of the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    pub(crate) flag: String,
    /// Its definition from then on.
    pub(crate) after: Value,
    /// The one that it replaces; `None` if there was none.
    pub(crate) before: Option<Value>,
    /// What the file said then: the same, but for what was changed before and is not in the file yet.
    pub(crate) in_file: Option<Value>,
    /// How users are drawn: `v1`, `v2` or `v3`.
    pub(crate) bucketing: String,
    /// The upstreams whose requests tell what becomes of it.
    pub(crate) upstreams: Vec<String>,
    pub(crate) judged: Judged,
}

impl Edit {
    /// `None` if the change is another kind, or of a release that says it otherwise.
    pub(crate) fn of(change: &Change) -> Option<Self> {
        (change.kind == Kind::Flag).then_some(())?;
        serde_json::from_str(&change.how).ok()
    }

    /// The flag, when users below this boundary of [`SLOTS`] have it.
    ///
    /// # Errors
    /// What is wrong with either definition.
    pub(crate) fn at(
        &self,
        change: &Change,
        before: Option<&Value>,
        boundary: u16,
    ) -> Result<Value, Vec<Problem>> {
        ramp(
            before,
            &self.after,
            &change.id,
            &change.to,
            boundary.into(),
            SLOTS.into(),
        )
    }

    /// Who is counted for which setting, while it is ramped.
    pub(crate) fn split(&self, change: &Change, plan: &Plan) -> SplitPlan {
        // Those that are there still.
        let upstreams = plan.upstreams.iter().map(|upstream| &upstream.name);
        let told_apart = |name: &&Arc<str>| self.upstreams.iter().any(|one| **one == ***name);
        SplitPlan {
            change: change.id.as_str().into(),
            between: Between::Flag {
                upstreams: upstreams.filter(told_apart).cloned().collect(),
                bucketing: self.bucketing(),
            },
            key: self.judged.key(),
            slow: self.judged.slow(),
        }
    }

    fn bucketing(&self) -> Bucketing {
        self.bucketing.parse().unwrap_or_default()
    }
}

/// The definitions, with what changes have made of them: those that are final stand in the place of what the file said
/// then, for as long as it has never said anything else; those that are under way are for some users, by the boundaries
/// of their splits.
pub(crate) fn compose(
    written: &Value,
    changes: &Changes,
    file: FileRead<'_>,
    boundaries: &BTreeMap<String, u16>,
) -> Value {
    let mut composed = written.clone();
    let Some(flags) = composed.get_mut("flags").and_then(Value::as_object_mut) else {
        return composed;
    };
    for standing in changes.machine.in_force() {
        let Some(edit) = Edit::of(&standing.change).filter(|_| !file.has_its_word(standing)) else {
            continue;
        };
        if written["flags"].get(&edit.flag) == edit.in_file.as_ref() {
            flags.insert(edit.flag, edit.after);
        }
    }
    for standing in under_way(changes) {
        let Some(edit) = Edit::of(&standing.change) else {
            continue;
        };
        let boundary = boundaries.get(&standing.change.id).copied().unwrap_or(0);
        // It was tried when it was asked for, but the file may say something else now.
        if let Ok(ramped) = edit.at(&standing.change, flags.get(&edit.flag), boundary)
            && boundary > 0
        {
            flags.insert(edit.flag, ramped);
        }
    }
    composed
}

fn under_way(changes: &Changes) -> impl Iterator<Item = &Standing> {
    changes
        .machine
        .all()
        .filter(|standing| !standing.phase().is_over())
}

/// The changes of flags that are in force against what the file said, and it says something else now: see
/// [`versions::outdated`](crate::rollout::versions::outdated).
pub(crate) fn outdated<'a>(
    written: &'a Value,
    changes: &'a Changes,
    place: &'a str,
) -> impl Iterator<Item = &'a Standing> {
    changes.machine.in_force().filter(move |standing| {
        standing.yielded_at(place).is_none()
            && Edit::of(&standing.change)
                .is_some_and(|edit| written["flags"].get(&edit.flag) != edit.in_file.as_ref())
    })
}

#[cfg(test)]
mod tests {
    use change::Transition;
    use plimsoll_flags::{Context, FlagSet};
    use serde_json::json;

    use super::*;

    fn flag(default: &str) -> Value {
        json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": default })
    }

    fn all(default: &str) -> Value {
        json!({ "flags": { "new-tax": flag(default) } })
    }

    fn asked(number: u64, from: &str, to: &str, in_file: &str) -> Change {
        let edit = Edit {
            flag: "new-tax".to_owned(),
            after: flag(to),
            before: Some(flag(from)),
            in_file: Some(flag(in_file)),
            bucketing: "v2".to_owned(),
            upstreams: vec!["orders".to_owned()],
            judged: Judged::default(),
        };
        Change {
            kind: Kind::Flag,
            target: "flag:new-tax".to_owned(),
            how: serde_json::to_string(&edit).unwrap(),
            ..crate::rollout::versions::Deploy::fake("http://127.0.0.1:1")
                .fake_change(&format!("flag:new-tax-{number}"), "on")
        }
    }

    const FILE: FileRead<'_> = FileRead {
        place: "here",
        at: 100,
    };

    fn share(composed: &Value) -> f64 {
        let set = FlagSet::compile(composed, Bucketing::V2).unwrap();
        let has = |user: &u32| {
            let context = Context::new(format!("user-{user}"));
            set.evaluate("new-tax", &context, 0).value == Some(&json!(true))
        };
        f64::from((0..4_000).filter(has).count() as u32) / 4_000.0
    }

    #[test]
    fn a_flag_is_what_was_made_of_it_until_the_file_says_otherwise() {
        let mut changes = Changes::default();
        let change = asked(1, "off", "on", "off");
        let id = change.id.clone();
        changes
            .machine
            .hear(&id, 1, &Transition::Proposed(Box::new(change)));
        let compose = |written: &Value, changes: &Changes, boundary: u16| {
            let boundaries = BTreeMap::from([(id.clone(), boundary)]);
            compose(written, changes, FILE, &boundaries)
        };
        assert_eq!(compose(&all("off"), &changes, 0), all("off"));
        let quarter = share(&compose(&all("off"), &changes, SLOTS / 4));
        assert!((0.22..0.28).contains(&quarter), "{quarter}");
        changes
            .machine
            .hear(&id, 2, &Transition::Finished { evidence: None });
        assert_eq!(compose(&all("off"), &changes, 0), all("on"));
        assert_eq!(compose(&all("on"), &changes, 0), all("on"));
        let other = json!({ "flags": { "new-tax": { "state": "DISABLED", "variants": { "on": true } } } });
        assert_eq!(
            compose(&other, &changes, 0),
            other,
            "the file says something else"
        );
        let outdated = |written: &Value, changes: &Changes| outdated(written, changes, "here").count();
        assert_eq!(
            (outdated(&all("off"), &changes), outdated(&all("on"), &changes)),
            (0, 1)
        );
        let place = "here".to_owned();
        changes.machine.hear(&id, 50, &Transition::Yielded { place });
        assert_eq!(
            compose(&all("off"), &changes, 0),
            all("off"),
            "who puts it back means it"
        );
    }
}
