//! What providers in process get: definitions that all of their evaluators read.
//!
//! They are stricter than flagd. The one for Python takes no field in a flag that it does not know, and no null in
//! metadata; the one for JavaScript drops everything if one flag is wrong. So each flag has five fields and no more,
//! and what was compiled before is what they get.

use std::collections::BTreeMap;

use plimsoll_flags::{Flag, FlagSet};
use serde_json::{Map, Value, json};

use super::evaluation::metadata;

/// Parts of one rule, with those of its references. The compiler takes no larger ones: what is refused there and yet
/// served, as flagd does, keeps its references, and fails for each evaluator alike.
const PARTS_MAX: usize = 20_000;

/// Levels of one rule, as above.
const DEPTH_MAX: usize = 128;

/// flagd JSON of a set, with the rules of its `$evaluators` in the places that refer to them.
pub(crate) fn json(set: &FlagSet, evaluators: Option<&Value>) -> String {
    let flags: BTreeMap<&str, Value> = set
        .flags()
        .map(|flag| (flag.key(), definition(flag, evaluators)))
        .collect();
    json!({ "flags": flags }).to_string()
}

fn definition(flag: &Flag, evaluators: Option<&Value>) -> Value {
    let variants: Map<String, Value> = flag
        .variants()
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect();
    let mut fields = json!({
        "state": flag.state().to_string(),
        "variants": variants,
        // All of them take an empty name for none; some do not take null.
        "defaultVariant": flag.default_variant().unwrap_or_default(),
        "metadata": metadata(flag.metadata()),
    });
    let targeting = &flag.definition()["targeting"];
    if !targeting.is_null() {
        let mut parts_left = PARTS_MAX;
        let inlined = inlined(targeting, evaluators, DEPTH_MAX, &mut parts_left);
        fields["targeting"] = inlined.unwrap_or_else(|| targeting.clone());
    }
    fields
}

/// A rule without references; `None` if it is too large for that.
fn inlined(
    rule: &Value,
    evaluators: Option<&Value>,
    depth_left: usize,
    parts_left: &mut usize,
) -> Option<Value> {
    *parts_left = parts_left.checked_sub(1)?;
    let depth_left = depth_left.checked_sub(1)?;
    let mut inline = |part: &Value| inlined(part, evaluators, depth_left, parts_left);
    Some(match rule {
        Value::Array(items) => items.iter().map(inline).collect::<Option<Vec<_>>>()?.into(),
        Value::Object(members) => {
            let named = members
                .get("$ref")
                .filter(|_| members.len() == 1)
                .and_then(Value::as_str);
            if let Some(found) = named.and_then(|name| evaluators?.get(name)) {
                return inline(found);
            }
            let members = members
                .iter()
                .map(|(name, part)| Some((name.clone(), inline(part)?)));
            members.collect::<Option<Map<_, _>>>()?.into()
        }
        _ => rule.clone(),
    })
}

#[cfg(test)]
mod tests {
    use plimsoll_flags::Bucketing;

    use super::*;

    fn compiled(definitions: &Value) -> Value {
        let set = FlagSet::compile_as_flagd(definitions, Bucketing::V2).unwrap();
        serde_json::from_str(&json(&set, definitions.get("$evaluators"))).unwrap()
    }

    #[test]
    fn five_fields_without_nulls_and_references() {
        let synced = compiled(&json!({
            "metadata": { "team": "a", "gone": null },
            "$evaluators": { "staff": { "==": [{ "var": "x" }, { "$ref": "one" }] }, "one": 1 },
            "flags": { "a": {
                "state": "ENABLED", "variants": { "on": true }, "defaultVariant": null, "priority": 3,
                "targeting": { "if": [{ "$ref": "staff" }, "on"] }, "metadata": { "owner": "b", "none": null },
            } },
        }));
        let wanted = json!({ "flags": { "a": {
            "state": "ENABLED", "variants": { "on": true }, "defaultVariant": "",
            "targeting": { "if": [{ "==": [{ "var": "x" }, 1] }, "on"] },
            "metadata": { "team": "a", "owner": "b" },
        } } });
        assert_eq!(synced, wanted);
    }

    #[test]
    fn a_circle_has_an_end() {
        let targeting = json!({ "if": [{ "$ref": "a" }, "on"] });
        let synced = compiled(&json!({
            "$evaluators": { "a": { "!": [{ "$ref": "a" }, { "$ref": "a" }] } },
            "flags": { "a": { "state": "ENABLED", "variants": { "on": true }, "targeting": targeting } },
        }));
        assert_eq!(synced["flags"]["a"]["targeting"], targeting);
    }
}
