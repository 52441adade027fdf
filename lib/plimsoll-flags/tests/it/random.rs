//! Whatever is handed in, the answer is an answer: no panic, no endless work, and the same twice.

use plimsoll_flags::{Bucketing, Context, FlagSet};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const OPERATORS: &[&str] = &[
    "var",
    "missing",
    "missing_some",
    "if",
    "?:",
    "==",
    "===",
    "!=",
    "!==",
    "!",
    "!!",
    "or",
    "and",
    ">",
    ">=",
    "<",
    "<=",
    "max",
    "min",
    "+",
    "-",
    "*",
    "/",
    "%",
    "map",
    "reduce",
    "filter",
    "all",
    "none",
    "some",
    "merge",
    "in",
    "cat",
    "substr",
    "fractional",
    "sem_ver",
    "starts_with",
    "ends_with",
    "log",
    "$ref",
    "unheard_of",
];

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-5_i32..40).prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        prop::sample::select(vec![
            "on",
            "a.b",
            "targetingKey",
            "$flagd.timestamp",
            "xs",
            "",
            ".",
            "1.2.3",
            "shared",
            ">="
        ])
        .prop_map(Value::from),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    any_scalar().prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(vec!["a", "b", "xs", "state"]), inner), 0..4)
                .prop_map(|members| {
                    members
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect::<Map<_, _>>()
                        .into()
                }),
        ]
    })
}

fn any_rule() -> impl Strategy<Value = Value> {
    any_scalar().prop_recursive(6, 60, 5, |inner| {
        let operator = prop::sample::select(OPERATORS);
        prop_oneof![
            3 => (operator.clone(), prop::collection::vec(inner.clone(), 0..5)).prop_map(|(operator, operands)| json!({ operator: operands })),
            1 => (operator, inner.clone()).prop_map(|(operator, operand)| json!({ operator: operand })),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

fn answers(definitions: &Value, context: &Context) {
    for bucketing in [Bucketing::V1, Bucketing::V2, Bucketing::V3] {
        for compiled in [
            FlagSet::compile(definitions, bucketing),
            FlagSet::compile_as_flagd(definitions, bucketing),
        ] {
            let Ok(set) = compiled else {
                continue;
            };
            for flag in set.flags() {
                let one = set.evaluate(flag.key(), context, 1_700_000_000);
                assert_eq!(one, set.evaluate(flag.key(), context, 1_700_000_000));
                assert_eq!(one.error.is_some(), one.reason.as_str() == "ERROR");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_rule_over_any_context_has_an_answer(rule in any_rule(), shared in any_rule(), attributes in any_json(), xs in any_json()) {
        let definitions = json!({
            "$evaluators": { "shared": shared },
            "flags": { "f": { "state": "ENABLED", "variants": { "on": 1, "off": "x", "true": null }, "targeting": rule } },
        });
        let context = Context::new("ada").with("a", attributes).with("xs", xs);
        answers(&definitions, &context);
    }

    #[test]
    fn any_definitions_are_taken_or_refused(definitions in any_json(), flags in any_json(), flag in any_json()) {
        let context = Context::default();
        answers(&definitions, &context);
        answers(&json!({ "flags": flags, "metadata": flag }), &context);
        answers(&json!({ "flags": { "f": flag } }), &context);
    }
}
