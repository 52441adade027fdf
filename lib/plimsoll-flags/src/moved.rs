//! What an edit moves, before it is made.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::evaluation::Evaluation;
use crate::set::FlagSet;

/// What an edit of a flag does to some contexts. See [`moved`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Contexts that were looked at.
    pub of: u64,
    /// Those whose variant or value differs between the two sets.
    pub moved: u64,
    /// How many went from which variant to which; `None` is the code's own default. Those that stayed are not here.
    pub from_to: BTreeMap<(Option<String>, Option<String>), u64>,
    /// Those whose evaluation failed before, after, or both; they are among `moved` if that differs.
    pub failed: u64,
}

/// What changing one set for another moves for one flag: evaluates it for each context in both.
///
/// A flag that is not in a set, or is disabled there, gives the code's own default.
///
/// ```
/// use plimsoll_flags::{Bucketing, Context, FlagSet, moved};
/// let definitions = |default| serde_json::json!({ "flags": { "new-tax": {
///     "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": default,
/// } } });
/// let set = |default| FlagSet::compile(&definitions(default), Bucketing::V2).unwrap();
/// let contexts = [Context::new("ada"), Context::new("bob")];
/// let moved = moved(&set("off"), &set("on"), "new-tax", &contexts, 0);
/// assert_eq!((moved.of, moved.moved), (2, 2));
/// assert_eq!(moved.from_to[&(Some("off".to_owned()), Some("on".to_owned()))], 2);
/// ```
pub fn moved<'a>(
    before: &FlagSet,
    after: &FlagSet,
    flag: &str,
    contexts: impl IntoIterator<Item = &'a Context>,
    now_s: u64,
) -> Moved {
    let mut moved = Moved::default();
    for context in contexts {
        let one = before.evaluate(flag, context, now_s);
        let other = after.evaluate(flag, context, now_s);
        moved.of += 1;
        moved.failed += u64::from(fails(before, flag, &one) || fails(after, flag, &other));
        if one.value != other.value || one.variant != other.variant {
            moved.moved += 1;
            let name = |evaluation: &Evaluation<'_>| evaluation.variant.as_deref().map(str::to_owned);
            *moved.from_to.entry((name(&one), name(&other))).or_default() += 1;
        }
    }
    moved
}

/// Whether an evaluation failed. That a flag is not there yet, or no longer, is no failure of anybody's.
fn fails(set: &FlagSet, flag: &str, evaluation: &Evaluation<'_>) -> bool {
    evaluation.error.is_some() && set.flag(flag).is_some()
}
