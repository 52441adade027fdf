//! What is refused, what is doubted, and that all of it is told at once.

use plimsoll_flags::{Bucketing, Context, ErrorCode, FlagSet, Problem};
use serde_json::{Value, json};

fn flag(targeting: &Value) -> Value {
    json!({ "flags": { "f": {
        "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off", "targeting": targeting,
    } } })
}

fn refused(definitions: &Value) -> Vec<String> {
    let problems = FlagSet::compile(definitions, Bucketing::V2).expect_err("it is refused");
    problems.iter().map(ToString::to_string).collect()
}

fn doubts(targeting: &Value) -> Vec<String> {
    let set = FlagSet::compile(&flag(targeting), Bucketing::V2).expect("it is taken");
    set.doubts().iter().map(ToString::to_string).collect()
}

#[test]
fn all_problems_are_told_with_their_places() {
    let definitions = json!({
        "metadata": [],
        "flags": {
            "a": { "state": "on", "variants": {}, "defaultVariant": "x" },
            "b/c": 5,
            "d": { "state": "ENABLED", "variants": { "on": 1 }, "targeting": { "if": [{ "iff": [] }, { "$ref": "y" }] } },
            "e": { "variants": [], "defaultVariant": 4 },
        },
    });
    let pointers: Vec<String> = FlagSet::compile(&definitions, Bucketing::V2)
        .unwrap_err()
        .into_iter()
        .map(|Problem { pointer, .. }| pointer)
        .collect();
    assert_eq!(
        pointers,
        [
            "/metadata",
            "/flags/a/state",
            "/flags/a/variants",
            "/flags/a/defaultVariant",
            "/flags/b~1c",
            "/flags/e",
            "/flags/e/variants",
            "/flags/e/defaultVariant",
            "/flags/d/targeting/if/0/iff",
            "/flags/d/targeting/if/1/$ref",
        ]
    );
}

#[test]
fn references_that_go_in_a_circle_are_refused() {
    let mut definitions = flag(&json!({ "$ref": "a" }));
    definitions["$evaluators"] = json!({ "a": { "!": { "$ref": "b" } }, "b": { "!": { "$ref": "a" } } });
    let told = refused(&definitions);
    assert!(told[0].contains("in a circle: a -> b -> a"), "{told:?}");
}

#[test]
fn references_that_double_are_refused_before_they_fill_the_memory() {
    let evaluators: serde_json::Map<String, Value> = (0..60)
        .map(|at| {
            let next = json!({ "$ref": format!("e{}", at + 1) });
            (format!("e{at}"), json!({ "and": [next, next] }))
        })
        .chain([("e60".to_owned(), json!({ "==": [1, 1] }))])
        .collect();
    let mut definitions = flag(&json!({ "$ref": "e0" }));
    definitions["$evaluators"] = evaluators.into();
    let told = refused(&definitions);
    assert!(
        told.iter()
            .any(|told| told.contains("too large") || told.contains("too deep")),
        "{told:?}"
    );
}

#[test]
fn copies_of_shared_rules_do_not_fill_the_memory() {
    let flag = json!({ "state": "ENABLED", "variants": { "on": true }, "targeting": { "$ref": "large" } });
    let flags: serde_json::Map<String, Value> =
        (0..10_000).map(|at| (format!("f{at}"), flag.clone())).collect();
    for large in [
        json!({ "in": ["x", vec!["y"; 15_000]] }),
        json!({ "in": ["x", "y".repeat(1_000_000)] }),
        json!({ "map": [vec![json!({ "a": 1 }); 6_000], 1] }),
    ] {
        let told = refused(&json!({ "flags": flags, "$evaluators": { "large": large } }));
        assert!(told[0].contains("too large together"), "{}", told[0]);
    }
}

#[test]
fn nesting_is_bounded_however_it_was_made() {
    let mut definitions = flag(&json!({}));
    // By hand: the macro would copy what it nests, level by level.
    let mut rule = json!("on");
    for _ in 0..10_000 {
        rule = Value::Object([("!".to_owned(), Value::Array(vec![rule]))].into_iter().collect());
    }
    definitions["flags"]["f"]["targeting"] = rule;
    let told = refused(&definitions);
    assert!(told[0].contains("nested too deep"), "{told:?}");
    // The default way to drop it would recurse as deep as it is.
    let mut left = definitions["flags"]["f"]["targeting"].take();
    while let Some(inner) = left.get_mut("!").and_then(|rule| rule.get_mut(0)) {
        left = inner.take();
    }
}

#[test]
fn rules_that_are_taken_but_make_no_sense_are_doubted() {
    for (targeting, told) in [
        (
            json!({ "fractional": [["on", 0.5], ["off", 1]] }),
            "/flags/f/targeting/fractional/0/1: a weight that is not whole",
        ),
        (
            json!({ "fractional": [["on", 0], ["off", 0]] }),
            "/flags/f/targeting/fractional: all weights are 0",
        ),
        (
            json!({ "fractional": [["on", -1], ["off", 5]] }),
            "a weight below 0 counts as 0",
        ),
        (
            json!({ "fractional": [["on", 2_147_483_647], ["off"]] }),
            "the weights add up to 2147483648",
        ),
        (
            json!({ "fractional": [{ "var": "x" }, "on"] }),
            "/flags/f/targeting/fractional/1: this is no part",
        ),
        (json!({ "fractional": [] }), "a split without parts"),
        (json!({ "fractional": "on" }), "fractional takes a list"),
        (
            json!({ "sem_ver": [{ "var": "v" }, "=>", "1.0.0"] }),
            "\"=>\" compares no versions",
        ),
        (
            json!({ "sem_ver": [{ "var": "v" }, ">", "1.x"] }),
            "\"1.x\" is no version",
        ),
        (json!({ "starts_with": [{ "var": "x" }, 5] }), "5 is no text"),
        (json!({ "ends_with": ["x"] }), "ends_with takes two texts"),
        (json!({ "==": [{ "var": "x" }] }), "== compares two operands"),
        (json!({ "var": "$flagd.time" }), "flagd does not set $flagd.time"),
        (json!({ "log": "on" }), "flagd knows no log"),
        (
            json!({ "if": [{ "a": 1, "b": 2 }, "on"] }),
            "an object with several members is data",
        ),
    ] {
        let doubts = doubts(&targeting);
        assert!(
            doubts.iter().any(|doubt| doubt.contains(told)),
            "{targeting}: {doubts:?}"
        );
    }
    assert_eq!(
        doubts(&json!({ "if": [{ "in": ["a", { "var": "x" }] }, "on", "off"] })),
        [""; 0]
    );
}

#[test]
fn rules_that_cannot_work_are_refused_and_fail_where_flagd_loads_them() {
    for targeting in [
        json!({ "unheard_of": [1] }),
        json!({ "if": "on" }),
        json!({ "$ref": "nothing" }),
        json!({ "some": [{ "merge": [1] }, true] }),
    ] {
        refused(&flag(&targeting));
        let set = FlagSet::compile_as_flagd(&flag(&targeting), Bucketing::V2).expect("flagd takes it");
        let context = Context::default();
        let (code, _) = set.evaluate("f", &context, 0).error.expect("it fails");
        assert_eq!(code, ErrorCode::ParseError, "{targeting}");
        assert!(!set.doubts().is_empty());
    }
}

#[test]
fn sets_are_bounded() {
    let flag = json!({ "state": "ENABLED", "variants": { "on": true } });
    let flags: serde_json::Map<String, Value> =
        (0..10_001).map(|at| (format!("f{at}"), flag.clone())).collect();
    let told = refused(&json!({ "flags": flags }));
    assert_eq!(
        told,
        ["/flags: these are 10001 flags; split the set; it may have 10000"]
    );
    let large = json!({ "flags": {}, "metadata": { "text": "x".repeat(17 << 20) } });
    assert!(refused(&large)[0].contains("too large"));
}

#[test]
fn work_is_bounded() {
    let double = json!({ "cat": [{ "var": "accumulator" }, { "var": "accumulator" }] });
    let within = json!({ "map": [{ "var": "xs" }, { "map": [{ "var": "" }, 1] }] });
    let xs: Vec<Value> = (0..1_000).map(|_| json!(vec![0; 2_000])).collect();
    let context = Context::new("ada").with("xs", xs);
    for rule in [json!({ "reduce": [{ "var": "xs" }, double, "x"] }), within] {
        let set = FlagSet::compile(&flag(&rule), Bucketing::V2).unwrap();
        let (code, why) = set.evaluate("f", &context, 0).error.expect("it ends");
        assert_eq!(
            (code, why.contains("more steps")),
            (ErrorCode::General, true),
            "{why}"
        );
    }
}

#[test]
fn what_a_flag_reads_is_known() {
    let targeting = json!({ "if": [
        { "some": [{ "var": "items" }, { "==": [{ "var": "colour" }, "red"] }] }, "on",
        { "all": [{ "var": ["list", []] }, { "var": "inner" }] }, "on",
        { "missing": ["mail", "user.name"] }, "off",
        { "fractional": [["on"], ["off"]] },
    ] });
    let set = FlagSet::compile(&flag(&targeting), Bucketing::V2).unwrap();
    let read: Vec<&str> = set.flag("f").unwrap().variables().collect();
    assert_eq!(read, ["colour", "items", "list", "mail", "targetingKey", "user"]);
}
