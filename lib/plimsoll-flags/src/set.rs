//! A set of flags: compiled once, evaluated often, never changed.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::context::Context;
use crate::evaluation::{ErrorCode, Evaluation, Reason};
use crate::flag::{self, Flag, State};
use crate::problem::{Place, Problem, Problems};
use crate::rule::{Evaluators, Outcome, Rule, SET_NODES_MAX};
use plimsoll_policy::Bucketing;

/// Flags of a set at most. It bounds the work of whoever lists or evaluates all of them; the largest sets that are
/// told of have some thousands.
const FLAGS_MAX: usize = 10_000;

/// How large definitions may be, in bytes of their texts and in values, together. A set is held twice during a change,
/// as JSON and compiled.
const SIZE_MAX: usize = 16 << 20;

/// How deep definitions may be nested: what serde_json reads. Deeper ones can only have been built by a program.
const DEPTH_MAX: usize = 128;

/// A set of flags: immutable, compiled, and shared behind an `Arc`.
///
/// ```
/// use plimsoll_flags::{Bucketing, Context, FlagSet, Reason};
///
/// let definitions = serde_json::json!({
///     "flags": { "new-tax": {
///         "state": "ENABLED",
///         "variants": { "on": true, "off": false },
///         "defaultVariant": "off",
///         "targeting": { "if": [{ "==": [{ "var": "tier" }, "gold"] }, "on"] },
///     } },
/// });
/// let set = FlagSet::compile(&definitions, Bucketing::V2).unwrap();
///
/// let context = Context::new("ada").with("tier", "gold");
/// let evaluation = set.evaluate("new-tax", &context, 1_700_000_000);
/// assert_eq!(evaluation.value, Some(&true.into()));
/// assert_eq!(evaluation.variant.as_deref(), Some("on"));
/// assert_eq!(evaluation.reason, Reason::TargetingMatch);
///
/// let evaluation = set.evaluate("new-tax", &Context::default(), 1_700_000_000);
/// assert_eq!((evaluation.variant.as_deref(), evaluation.reason), (Some("off"), Reason::Default));
/// ```
#[derive(Debug)]
pub struct FlagSet {
    bucketing: Bucketing,
    /// In the order of their keys.
    flags: Vec<Flag>,
    places: HashMap<String, usize>,
    metadata: Map<String, Value>,
    doubts: Vec<Problem>,
}

impl FlagSet {
    /// Compiles definitions. Keys and values that flagd does not know are passed over, as flagd does.
    ///
    /// # Errors
    /// All problems, not the first.
    pub fn compile(definitions: &Value, bucketing: Bucketing) -> Result<Self, Vec<Problem>> {
        let Compiled { set, wrong, in_rules } = compile(definitions, bucketing);
        let mut wrong = wrong;
        wrong.append(in_rules);
        if wrong.is_empty() {
            Ok(set)
        } else {
            Err(wrong.into_vec())
        }
    }

    /// Compiles definitions as flagd would load them: a rule that does not hold together is a doubt, and only its own
    /// flag fails, when it is evaluated, with [`ErrorCode::ParseError`]. It is for taking over what already runs
    /// elsewhere; what people write is better served by [`compile`](Self::compile).
    ///
    /// ```
    /// use plimsoll_flags::{Bucketing, Context, ErrorCode, FlagSet};
    /// let definitions = serde_json::json!({ "flags": { "new-tax": {
    ///     "state": "ENABLED", "variants": { "on": true }, "targeting": { "if": [{ "$ref": "gone" }, "on"] },
    /// } } });
    /// assert!(FlagSet::compile(&definitions, Bucketing::V2).is_err());
    /// let set = FlagSet::compile_as_flagd(&definitions, Bucketing::V2).unwrap();
    /// let (code, _) = set.evaluate("new-tax", &Context::default(), 0).error.unwrap();
    /// assert_eq!(code, ErrorCode::ParseError);
    /// ```
    ///
    /// # Errors
    /// All problems that flagd would not load the set with either, and states and variants that are none.
    pub fn compile_as_flagd(definitions: &Value, bucketing: Bucketing) -> Result<Self, Vec<Problem>> {
        let Compiled {
            mut set,
            wrong,
            in_rules,
        } = compile(definitions, bucketing);
        if !wrong.is_empty() {
            return Err(wrong.into_vec());
        }
        set.doubts.extend(in_rules.into_vec());
        Ok(set)
    }

    /// The generation that it was compiled for.
    pub fn bucketing(&self) -> Bucketing {
        self.bucketing
    }

    /// Its flags, in the order of their keys.
    pub fn flags(&self) -> impl Iterator<Item = &Flag> {
        self.flags.iter()
    }

    /// The flag of that key.
    pub fn flag(&self, key: &str) -> Option<&Flag> {
        self.places.get(key).map(|at| &self.flags[*at])
    }

    /// The set's own metadata.
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    /// What is taken but looks wrong: values of mixed kinds, operands that an operator passes over, and the like.
    pub fn doubts(&self) -> &[Problem] {
        &self.doubts
    }

    /// Evaluates a flag for somebody, at `now_s` seconds since 1970.
    pub fn evaluate(&self, key: &str, context: &Context, now_s: u64) -> Evaluation<'_> {
        let Some(flag) = self.flag(key) else {
            let why = format!("there is no flag {key:?}");
            return Evaluation::failed(ErrorCode::FlagNotFound, why, &self.metadata);
        };
        if flag.state == State::Disabled {
            return Evaluation::without_value(Reason::Disabled, &flag.metadata);
        }
        let Some(rule) = &flag.rule else {
            return by_default(flag, Reason::Static);
        };
        match rule.outcome(self.bucketing, &flag.key, context, now_s) {
            Ok(Outcome::Nothing) => by_default(flag, Reason::Default),
            Ok(Outcome::Variant(name)) => {
                if let Some(found) = flag.find(&name) {
                    return Evaluation::chosen(found, Reason::TargetingMatch, &flag.metadata);
                }
                let why = format!("targeting chose {name:?}, which is not a variant");
                Evaluation::failed(ErrorCode::General, why, &flag.metadata)
            }
            Ok(Outcome::NoName) => {
                let why = "targeting chose a list or an object, which names no variant".to_owned();
                Evaluation::failed(ErrorCode::General, why, &flag.metadata)
            }
            Err(failure) => Evaluation::failed(failure.code(), failure.to_string(), &flag.metadata),
        }
    }
}

fn by_default(flag: &Flag, reason: Reason) -> Evaluation<'_> {
    match flag.default {
        Some(at) => {
            let (name, value) = &flag.variants[at];
            Evaluation::chosen((name, value), reason, &flag.metadata)
        }
        None => Evaluation::without_value(Reason::Default, &flag.metadata),
    }
}

struct Compiled {
    set: FlagSet,
    wrong: Problems,
    /// What is wrong in rules, which flagd only finds when it evaluates them.
    in_rules: Problems,
}

fn compile(definitions: &Value, bucketing: Bucketing) -> Compiled {
    let (mut wrong, mut doubts, mut in_rules) =
        (Problems::default(), Problems::default(), Problems::default());
    let root = Place::default();
    let mut set = FlagSet {
        bucketing,
        flags: Vec::new(),
        places: HashMap::new(),
        metadata: Map::new(),
        doubts: Vec::new(),
    };
    if !within_bounds(definitions, &root, &mut wrong) {
        return Compiled { set, wrong, in_rules };
    }
    set.metadata = flag::metadata(
        definitions.get("metadata"),
        &root.name("metadata"),
        &mut doubts,
        &mut wrong,
    );
    let evaluators = Evaluators::of(definitions.get("$evaluators"), &root, &mut wrong);
    evaluators.check(&mut in_rules, &mut doubts);
    let mut nodes_left = SET_NODES_MAX;
    for (key, place, definition) in listed(definitions, &root, &mut wrong, &mut doubts) {
        let Some(shape) = flag::shape(definition, &place, &mut wrong, &mut doubts) else {
            continue;
        };
        let mut variables = BTreeSet::new();
        let targeting = definition.get("targeting");
        let rule = targeting.and_then(|targeting| {
            let mut rules = evaluators.rules(&mut nodes_left, &mut in_rules, &mut doubts, &mut variables);
            Rule::compile(targeting, &place.name("targeting"), &mut rules)
        });
        let mut metadata = set.metadata.clone();
        // As flagd does it: null takes nothing back.
        metadata.extend(shape.metadata.into_iter().filter(|(_, value)| !value.is_null()));
        set.flags.push(Flag {
            key: key.to_owned(),
            definition: definition.clone(),
            state: shape.state,
            variants: shape.variants,
            default: shape.default,
            metadata,
            kind: shape.kind,
            rule,
            variables,
        });
    }
    set.flags.sort_by(|one, other| one.key.cmp(&other.key));
    let keys = set.flags.iter().enumerate();
    set.places = keys.map(|(at, flag)| (flag.key.clone(), at)).collect();
    set.doubts = doubts.into_vec();
    Compiled { set, wrong, in_rules }
}

/// The flags with their keys and places, from either form: an object, or a list whose members have a `key`.
fn listed<'a>(
    definitions: &'a Value,
    root: &Place,
    wrong: &mut Problems,
    doubts: &mut Problems,
) -> Vec<(&'a str, Place, &'a Value)> {
    let place = root.name("flags");
    let mut found = Vec::new();
    match definitions.get("flags") {
        Some(Value::Object(flags)) => {
            found.extend(
                flags
                    .iter()
                    .map(|(key, flag)| (key.as_str(), place.name(key), flag)),
            );
        }
        Some(Value::Array(flags)) => {
            let instead = "write an object of flags by their keys";
            doubts.add(
                &place,
                "only flagd itself takes a list of flags, no provider does",
                instead,
            );
            let mut seen = BTreeSet::new();
            for (index, flag) in flags.iter().enumerate() {
                let place = place.index(index);
                match flag.get("key").and_then(Value::as_str) {
                    Some(key) if !seen.insert(key) => {
                        wrong.add(&place.name("key"), format!("{key:?} is there twice"), "");
                    }
                    Some(key) => found.push((key, place, flag)),
                    None => wrong.add(&place, "a flag in a list has a key", "add its key"),
                }
            }
        }
        Some(_) => wrong.add(
            &place,
            "flags are an object",
            "write an object of flags by their keys",
        ),
        None => wrong.add(root, "there are no flags", "write an object with flags in it"),
    }
    if found.len() > FLAGS_MAX {
        let instead = format!("split the set; it may have {FLAGS_MAX}");
        wrong.add(&place, format!("these are {} flags", found.len()), &instead);
        found.clear();
    }
    if let Some((_, place, _)) = found.iter().find(|(key, _, _)| key.is_empty()) {
        wrong.add(place, "a flag has no key", "give it one");
    }
    found
}

/// Whether definitions are small enough to go on with.
fn within_bounds(definitions: &Value, root: &Place, wrong: &mut Problems) -> bool {
    let mut left = SIZE_MAX;
    match measure(definitions, DEPTH_MAX, &mut left) {
        Ok(()) => return true,
        Err(Beyond::Depth) => {
            let instead = format!("{DEPTH_MAX} levels are the most");
            wrong.add(root, "the definitions are nested too deep", &instead);
        }
        Err(Beyond::Size) => {
            let instead = format!("{SIZE_MAX} bytes are the most");
            wrong.add(root, "the definitions are too large", &instead);
        }
    }
    false
}

enum Beyond {
    Depth,
    Size,
}

fn measure(value: &Value, depth_left: usize, left: &mut usize) -> Result<(), Beyond> {
    let mut take = |bytes: usize| -> Result<(), Beyond> {
        *left = left.checked_sub(bytes).ok_or(Beyond::Size)?;
        Ok(())
    };
    match value {
        Value::String(text) => take(text.len() + 2),
        Value::Array(items) => {
            take(2)?;
            let below = depth_left.checked_sub(1).ok_or(Beyond::Depth)?;
            items.iter().try_for_each(|item| measure(item, below, left))
        }
        Value::Object(members) => {
            take(members.keys().map(|key| key.len() + 4).sum::<usize>() + 2)?;
            let below = depth_left.checked_sub(1).ok_or(Beyond::Depth)?;
            members
                .values()
                .try_for_each(|member| measure(member, below, left))
        }
        _ => take(4),
    }
}
