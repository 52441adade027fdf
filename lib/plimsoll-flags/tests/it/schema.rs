//! What flagd's published schema takes and refuses. We refuse or doubt what it refuses, and take without a doubt what it
//! takes.

use plimsoll_flags::{Bucketing, FlagSet};
use serde_json::{Value, json};

fn is_clean(definitions: &Value) -> bool {
    match FlagSet::compile(definitions, Bucketing::V2) {
        Ok(set) => set.doubts().is_empty(),
        Err(_) => false,
    }
}

fn with_rule(targeting: &Value) -> Value {
    json!({ "flags": { "f": { "state": "ENABLED", "variants": { "on": true, "off": false }, "targeting": targeting } } })
}

#[test]
fn flags_that_the_schema_takes() {
    for flag in [
        json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" }),
        json!({ "state": "DISABLED", "variants": { "a": "red", "b": "blue" }, "defaultVariant": "a" }),
        json!({ "state": "ENABLED", "variants": { "one": 1, "two": 2.5 }, "defaultVariant": "one" }),
        json!({ "state": "ENABLED", "variants": { "a": { "x": 1 }, "b": {} }, "defaultVariant": "a" }),
        json!({ "state": "ENABLED", "variants": { "on": true } }),
        json!({ "state": "ENABLED", "variants": { "on": true }, "defaultVariant": null }),
        json!({ "state": "ENABLED", "variants": { "on": true }, "metadata": { "version": "1", "owner": 5, "old": false } }),
        json!({ "state": "ENABLED", "variants": { "on": true }, "targeting": {} }),
    ] {
        assert!(
            is_clean(&json!({ "$schema": "x", "metadata": { "flagSetId": "a" }, "flags": { "f": flag } })),
            "{flag}"
        );
    }
}

#[test]
fn flags_that_the_schema_refuses() {
    for definitions in [
        json!({ "flags": { "f": { "state": "ENABLED", "variants": {} } } }),
        json!({ "flags": { "f": { "state": "ENABLED" } } }),
        json!({ "flags": { "f": {} } }),
        json!({ "flags": { "f": { "state": "ENABLED", "variants": { "on": true, "off": "false" } } } }),
        json!({ "flags": { "f": { "state": "on", "variants": { "on": true } } } }),
        json!({ "flags": [{ "key": "f", "state": "ENABLED", "variants": { "on": true } }] }),
        json!({ "flags": { "f": { "state": "ENABLED", "variants": { "on": true }, "metadata": { "a": {} } } } }),
        json!({ "metadata": { "a": [1] }, "flags": {} }),
        json!({ "flags": { "": { "state": "ENABLED", "variants": { "on": true } } } }),
        with_rule(&json!({ "not_a_rule": [1, 2] })),
        json!({}),
    ] {
        assert!(!is_clean(&definitions), "{definitions}");
    }
}

#[test]
fn a_list_of_flags_is_taken_as_flagd_takes_it() {
    let definitions = json!({ "flags": [{ "key": "f", "state": "ENABLED", "variants": { "on": true } }] });
    let set = FlagSet::compile(&definitions, Bucketing::V2).unwrap();
    assert_eq!(set.flag("f").unwrap().variant("on"), Some(&json!(true)));
}

#[test]
fn rules_that_the_schema_takes() {
    let var = json!({ "var": "x" });
    for rule in [
        json!({ "if": [{ "==": [var, 1] }, "on", { ">": [var, 5] }, "off", null] }),
        json!({ "if": [{ "<=": [1, var, 3] }, "on"] }),
        json!({ "and": [{ "!": var }, { "!!": [var] }, { "or": [var, true] }] }),
        json!({ "if": [{ "in": [var, ["a", "b"]] }, { "cat": ["o", "n"] }, { "substr": ["offer", 0, 3] }] }),
        json!({ "if": [{ "missing": ["a"] }, "on", { "missing_some": [1, ["a", "b"]] }, "off"] }),
        json!({ "if": [{ "reduce": [var, { "+": [{ "var": "accumulator" }, { "var": "current" }] }, 0] }, "on"] }),
        json!({ "if": [{ "max": [1, var] }, "on", { "%": [var, 2] }, "off", { "-": [var] }, "on"] }),
        json!({ "if": [{ "some": [var, { "==": [{ "var": "" }, 1] }] }, "on", { "merge": [[1], var] }, "off"] }),
        json!({ "fractional": [{ "cat": [var, "salt"] }, ["on", 50], ["off", 50]] }),
        json!({ "fractional": [["on"], ["off", 3]] }),
        json!({ "fractional": [["on", 1]] }),
        json!({ "fractional": [["on", { "-": [{ "var": "$flagd.timestamp" }, 1_700_000_000] }], ["off", 10]] }),
        json!({ "fractional": [{ "var": "id" }, [true, 1], [{ "if": [var, "on", null] }, 1]] }),
        json!({ "if": [{ "sem_ver": [var, "^", "1.2.3"] }, "on", { "sem_ver": [var, "~", "v1.2"] }, "off"] }),
        json!({ "if": [{ "starts_with": [var, "a"] }, "on", { "ends_with": [{ "cat": ["a", var] }, "b"] }, "off"] }),
        json!({ "var": ["x", "off"] }),
    ] {
        let definitions = with_rule(&rule);
        let told = FlagSet::compile(&definitions, Bucketing::V2).map(|set| format!("{:?}", set.doubts()));
        assert!(is_clean(&definitions), "{rule}: {told:?}");
    }
}

#[test]
fn rules_that_the_schema_refuses() {
    for rule in [
        json!({ "fractional": [["on", 0.5], ["off", 0.5]] }),
        json!({ "fractional": ["on", "off"] }),
        json!({ "fractional": [{ "var": "x" }, ["on", "50"], ["off", "50"]] }),
        json!({ "fractional": [["on", -50], ["off", 50]] }),
        json!({ "ends_with": [{ "var": "x" }, 5] }),
        json!({ "starts_with": [{ "var": "x" }, null] }),
        json!({ "if": [{ "var": "$flagd.nothing" }, "on"] }),
        json!({ "sem_ver": [{ "var": "x" }, "**", "1.0.0"] }),
        json!({ "sem_ver": [{ "var": "x" }, ">", "one"] }),
        json!("on"),
        json!(["on"]),
        json!({ "if": [true, "on"], "or": [true] }),
    ] {
        assert!(!is_clean(&with_rule(&rule)), "{rule}");
    }
}
