//! Ramps: one definition that serves the new one to some, and the old one to the others.
//!
//! A ramp is itself a plain flagd definition, so whoever evaluates flags on their own, with any official evaluator,
//! serves it too, and everybody with a targeting key gets the same from all of them. Its rule asks first whether the key
//! falls below the boundary, by [`slot`](crate::slot), and then goes on with the rule of that side. Whoever has no
//! targeting key is on the old side: a split would put all of them on one side together.
//!
//! The two sides may have other variants, defaults and rules. A variant of one name and two values becomes two. Where
//! the new side's rule writes its variants out, their names are changed in it; where it computes them, its result is
//! compared with each name that changed. A rule that fails alone, since it computes the name of no variant, may find one
//! of the other side. Where the sides have other defaults, each side's rule names its own, so the
//! reason is then `TARGETING_MATCH` for everybody.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::context::TARGETING_KEY;
use crate::flag::{self, Shape, State};
use crate::problem::{Place, Problem, Problems};

/// Slots of a ramp at most; more would not move in steps that anybody sees.
const SLOTS_MAX: u32 = 65_536;

/// A definition that serves `after` to the keys whose [`slot`](crate::slot) under `salt` is below `boundary` of `slots`
/// (1 to 65,536), and `before` to the others. Without `before`, the flag is new, and the others get the code's own
/// default.
///
/// The definition is the same for every generation of bucketing; which keys it serves is not. So
/// it has to be evaluated in the generation in which its boundary was chosen. Both definitions are to be of sets with the
/// same `$evaluators`.
///
/// ```
/// use plimsoll_flags::{Bucketing, Context, FlagSet, ramp, slot};
/// let before = serde_json::json!({ "state": "ENABLED", "variants": { "rate": 19 }, "defaultVariant": "rate" });
/// let after = serde_json::json!({ "state": "ENABLED", "variants": { "rate": 21 }, "defaultVariant": "rate" });
/// let ramped = ramp(Some(&before), &after, "change-7", "next", 100, 1_000).unwrap();
/// let set = FlagSet::compile(&serde_json::json!({ "flags": { "tax": ramped } }), Bucketing::V2).unwrap();
/// for user in ["ada", "bob", "cyd"] {
///     let context = Context::new(user);
///     let evaluation = set.evaluate("tax", &context, 0);
///     if slot(Bucketing::V2, "change-7", user, 1_000) < 100 {
///         assert_eq!(evaluation.variant.as_deref(), Some("rate@next"));
///     } else {
///         assert_eq!(evaluation.variant.as_deref(), Some("rate"));
///     }
/// }
/// ```
///
/// # Errors
/// One of the definitions is none, or the boundary is beyond the slots. Rules are not looked into; compile the sets
/// before.
pub fn ramp(
    before: Option<&Value>,
    after: &Value,
    salt: &str,
    label: &str,
    boundary: u32,
    slots: u32,
) -> Result<Value, Vec<Problem>> {
    let (mut wrong, mut doubts) = (Problems::default(), Problems::default());
    let place = Place::default();
    if !(1..=SLOTS_MAX).contains(&slots) || boundary > slots {
        let instead =
            format!("a ramp has 1 to {SLOTS_MAX} slots, and its boundary is one of them or behind the last");
        wrong.add(&place, format!("{boundary} of {slots} slots"), &instead);
    }
    let new = flag::shape(after, &place, &mut wrong, &mut doubts);
    let old = before.map(|before| flag::shape(before, &place, &mut wrong, &mut doubts));
    let (Some(new), true) = (new, wrong.is_empty()) else {
        return Err(wrong.into_vec());
    };
    if boundary == slots {
        return Ok(after.clone());
    }
    match (boundary, before) {
        (0, Some(before)) => Ok(before.clone()),
        _ => Ok(join(
            &Side::new(before, old.flatten()),
            &Side::new(Some(after), Some(new)),
            &Split {
                salt,
                label,
                boundary,
                slots,
            },
        )),
    }
}

struct Split<'a> {
    salt: &'a str,
    label: &'a str,
    boundary: u32,
    slots: u32,
}

/// One side of a ramp.
struct Side<'a> {
    definition: Option<&'a Value>,
    variants: Vec<(String, Value)>,
    default: Option<String>,
    /// `None` if there is none, or if nobody is served by it.
    targeting: Option<&'a Value>,
}

impl<'a> Side<'a> {
    fn new(definition: Option<&'a Value>, shape: Option<Shape>) -> Self {
        let Some(shape) = shape else {
            return Self {
                definition,
                variants: Vec::new(),
                default: None,
                targeting: None,
            };
        };
        let serves = shape.state == State::Enabled;
        let targeting = definition.and_then(|definition| definition.get("targeting"));
        let targeting = targeting.filter(|targeting| !targeting.as_object().is_some_and(Map::is_empty));
        let default = shape.default.map(|at| shape.variants[at].0.clone());
        Self {
            definition,
            variants: shape.variants,
            default: default.filter(|_| serves),
            targeting: targeting.filter(|targeting| serves && !targeting.is_null()),
        }
    }
}

fn join(old: &Side<'_>, new: &Side<'_>, split: &Split<'_>) -> Value {
    let mut variants: Map<String, Value> = old.variants.iter().cloned().collect();
    let mut renamed = BTreeMap::new();
    for (name, value) in &new.variants {
        let mut as_new = name.clone();
        while variants.get(&as_new).is_some_and(|other| other != value) {
            as_new = format!("{as_new}@{}", split.label);
        }
        if as_new != *name {
            renamed.insert(name.clone(), as_new.clone());
        }
        variants.insert(as_new, value.clone());
    }
    let new_default = new
        .default
        .as_ref()
        .map(|name| renamed.get(name).unwrap_or(name).clone());
    let new_rule = new.targeting.map(|rule| under_new_names(rule, &renamed));
    let shared = (old.default == new_default)
        .then(|| new_default.clone())
        .flatten();
    let side =
        |rule: Option<Value>, default: Option<&String>| match (rule, default.filter(|_| shared.is_none())) {
            (None, None) => Value::Null,
            (None, Some(default)) => default.as_str().into(),
            (Some(rule), None) => rule,
            (Some(rule), Some(default)) => json!({ "if": [{ "===": [rule, null] }, default, rule] }),
        };
    let key = json!({ "cat": [split.salt, { "var": TARGETING_KEY }] });
    let parts = [
        ("candidate", split.boundary),
        ("stable", split.slots - split.boundary),
    ];
    let inside = json!({ "===": [{ "fractional": [key, parts[0], parts[1]] }, "candidate"] });
    let mut joined = new
        .definition
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let targeting = json!({ "if": [
        { "and": [{ "var": TARGETING_KEY }, inside] },
        side(new_rule, new_default.as_ref()),
        side(old.targeting.cloned(), old.default.as_ref()),
    ] });
    joined.insert("state".to_owned(), State::Enabled.to_string().into());
    joined.insert("variants".to_owned(), variants.into());
    joined.insert("defaultVariant".to_owned(), shared.into());
    joined.insert("targeting".to_owned(), targeting);
    joined.into()
}

/// A rule that gives the new names for variants.
fn under_new_names(rule: &Value, renamed: &BTreeMap<String, String>) -> Value {
    if renamed.is_empty() {
        return rule.clone();
    }
    if let Some(rule) = written_out(rule, renamed) {
        return rule;
    }
    let mut clauses = Vec::new();
    // Truths first, since to Python's evaluator true is 1 and false is 0.
    let truths = [("true", "1"), ("false", "0")]
        .into_iter()
        .filter_map(|(name, number)| {
            let as_new = renamed.get(name).map(String::as_str);
            Some((
                name,
                as_new.or_else(|| renamed.contains_key(number).then_some(name))?,
            ))
        });
    let others = renamed
        .iter()
        .map(|(name, as_new)| (name.as_str(), as_new.as_str()));
    for (name, as_new) in truths.chain(others.filter(|(name, _)| !matches!(*name, "true" | "false"))) {
        let mut same = vec![json!({ "===": [rule, name] })];
        // Booleans and numbers name variants too.
        match serde_json::from_str::<Value>(name) {
            Ok(value) if value.is_boolean() || value.is_number() => {
                same.push(json!({ "===": [rule, value] }));
            }
            _ => {}
        }
        clauses.push(json!({ "or": same }));
        clauses.push(as_new.into());
    }
    clauses.push(rule.clone());
    json!({ "if": clauses })
}

/// The same, where all variants that change stand in the rule in so many words.
fn written_out(rule: &Value, renamed: &BTreeMap<String, String>) -> Option<Value> {
    let each = |operands: &[Value]| -> Option<Vec<Value>> {
        operands
            .iter()
            .map(|operand| written_out(operand, renamed))
            .collect()
    };
    let operation = match rule {
        Value::String(name) => return Some(renamed.get(name).unwrap_or(name).as_str().into()),
        Value::Null => return Some(Value::Null),
        // They may be the names of variants, and a list or an object names none.
        Value::Bool(_) | Value::Number(_) => {
            return (!renamed.contains_key(&rule.to_string())).then(|| rule.clone());
        }
        Value::Array(_) => return Some(rule.clone()),
        Value::Object(operation) => operation,
    };
    let (operator, operands) = operation.iter().next().filter(|_| operation.len() == 1)?;
    let operands = operands.as_array()?;
    let changed = match operator.as_str() {
        "if" | "?:" => {
            let last = operands.len().saturating_sub(1);
            let is_result = |at: usize| at % 2 == 1 || at == last;
            let operands = operands.iter().enumerate();
            operands
                .map(|(at, operand)| {
                    if is_result(at) {
                        written_out(operand, renamed)
                    } else {
                        Some(operand.clone())
                    }
                })
                .collect::<Option<_>>()?
        }
        // What does not end them is no result, but it is no name of a variant that changes either.
        "and" | "or" => {
            let truths = !["true", "false"].iter().any(|truth| renamed.contains_key(*truth));
            let (last, others) = operands.split_last()?;
            let mut changed = Vec::with_capacity(operands.len());
            for operand in others {
                changed.push(if truths && gives_a_truth(operand) {
                    operand.clone()
                } else {
                    written_out(operand, renamed)?
                });
            }
            changed.push(written_out(last, renamed)?);
            changed
        }
        "fractional" => {
            let parts = operands.iter().enumerate().map(|(at, part)| match part {
                Value::Array(part) => {
                    let (variant, weight) = part.split_first()?;
                    let variant = each(core::slice::from_ref(variant))?;
                    Some([&variant[..], weight].concat().into())
                }
                key if at == 0 && gives_no_part(key) => Some(key.clone()),
                _ => None,
            });
            parts.collect::<Option<_>>()?
        }
        _ if gives_a_truth(rule) && !renamed.contains_key("true") && !renamed.contains_key("false") => {
            return Some(rule.clone());
        }
        _ => return None,
    };
    Some(json!({ operator: Value::Array(changed) }))
}

/// Whether the key of a split surely is no list, which would be a part with a variant in it.
fn gives_no_part(key: &Value) -> bool {
    let operation = key.as_object().filter(|operation| operation.len() == 1);
    operation.is_none_or(|operation| {
        operation
            .keys()
            .all(|operator| matches!(operator.as_str(), "cat" | "substr" | "var"))
    })
}

/// Whether a rule gives a boolean, or null.
fn gives_a_truth(rule: &Value) -> bool {
    const TRUTHS: &[&str] = &[
        "==",
        "!=",
        "===",
        "!==",
        "<",
        "<=",
        ">",
        ">=",
        "!",
        "!!",
        "in",
        "all",
        "some",
        "none",
        "starts_with",
        "ends_with",
        "sem_ver",
    ];
    let operation = rule.as_object().filter(|operation| operation.len() == 1);
    operation.is_some_and(|operation| {
        operation
            .keys()
            .all(|operator| TRUTHS.contains(&operator.as_str()))
    })
}
