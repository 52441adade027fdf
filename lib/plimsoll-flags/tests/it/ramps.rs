//! Ramps: who is in stays in as the boundary rises, everybody gets exactly one of the two sides, and the slot is what a
//! split does.

use plimsoll_flags::{Bucketing, Context, FlagSet, moved, ramp, slot};
use proptest::prelude::*;
use serde_json::{Value, json};

const GENERATIONS: [Bucketing; 3] = [Bucketing::V1, Bucketing::V2, Bucketing::V3];

fn set(flag: &Value, bucketing: Bucketing) -> FlagSet {
    FlagSet::compile(&json!({ "flags": { "f": flag } }), bucketing)
        .unwrap_or_else(|told| panic!("{told:?} in {flag}"))
}

/// Definitions that are changed into each other: with other values, variants, defaults and rules.
fn definitions() -> Vec<Value> {
    let variants = json!({ "on": true, "off": false });
    let is_gold = json!({ "==": [{ "var": "tier" }, "gold"] });
    let split = json!({ "fractional": [["on", 30], ["off", 70]] });
    [
        json!({ "state": "ENABLED", "variants": variants, "defaultVariant": "on" }),
        json!({ "state": "ENABLED", "variants": variants, "defaultVariant": "off" }),
        json!({ "state": "ENABLED", "variants": { "on": false, "off": true }, "defaultVariant": "on" }),
        json!({ "state": "ENABLED", "variants": variants, "defaultVariant": "off", "targeting": { "if": [is_gold, "on"] } }),
        json!({ "state": "ENABLED", "variants": variants, "targeting": { "if": [is_gold, "on", split] } }),
        json!({ "state": "ENABLED", "variants": { "on": 1, "off": 2, "new": 3 }, "defaultVariant": "new", "targeting": split }),
        json!({ "state": "ENABLED", "variants": { "on": 5, "true": 6, "false": 7, "1": 8 }, "defaultVariant": "on",
                "targeting": is_gold }),
        json!({ "state": "ENABLED", "variants": { "on": 9, "true": 10, "false": 11, "1": 12 },
                "targeting": { "and": [is_gold, { "var": "pick" }] } }),
        json!({ "state": "ENABLED", "variants": { "on": "a", "off": "b" }, "defaultVariant": "on",
                "targeting": { "cat": ["o", { "var": ["end", "ff"] }] } }),
        json!({ "state": "ENABLED", "variants": { "on": true, "1": false }, "targeting": { "var": "pick" } }),
        json!({ "state": "ENABLED", "variants": variants, "defaultVariant": "on",
                "targeting": { "or": [{ "and": [is_gold, "off"] }, { "in": ["x", { "var": "tier" }] }] } }),
        json!({ "state": "DISABLED", "variants": variants, "defaultVariant": "on", "targeting": split }),
    ]
    .into()
}

fn any_context() -> impl Strategy<Value = Context> {
    let tier = prop::option::of(prop::sample::select(vec!["gold", "silver"]));
    let pick = prop::option::of(prop::sample::select(vec![
        json!("on"),
        json!(1),
        json!(true),
        json!("1"),
        json!(null),
    ]));
    (prop::option::of("[a-z]{1,9}"), tier, pick, any::<bool>()).prop_map(|(key, tier, pick, end)| {
        let mut context = key.map_or_else(Context::default, Context::new);
        if let Some(tier) = tier {
            context = context.with("tier", tier);
        }
        if let Some(pick) = pick {
            context = context.with("pick", pick);
        }
        if end { context.with("end", "n") } else { context }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_slot_is_what_a_split_does(salt in "[ a-z]{0,8}", key in "\\PC{1,12}", slots in 1_u32..=65_536, part in 0_u32..=1_000) {
        for bucketing in GENERATIONS {
            let ours = slot(bucketing, &salt, &key, slots);
            prop_assert!(ours < slots);
            // The key's own slot and its neighbours are where rounding would show.
            for boundary in [slots * part / 1_000, ours, ours + 1, ours.saturating_sub(1)] {
                let split = json!({ "fractional": [
                    { "cat": [salt, { "var": "targetingKey" }] },
                    ["candidate", boundary], ["stable", slots - boundary],
                ] });
                let flag = json!({
                    "state": "ENABLED", "variants": { "candidate": 1, "stable": 2 }, "targeting": split,
                });
                let context = Context::new(key.as_str());
                let set = set(&flag, bucketing);
                let variant = set.evaluate("f", &context, 0).variant;
                prop_assert_eq!(variant.as_deref(), Some(if ours < boundary { "candidate" } else { "stable" }));
            }
        }
    }

    #[test]
    fn whoever_is_in_stays_in(key in "\\PC{0,12}", one in 0_u32..=1_000, other in 0_u32..=1_000) {
        let (low, high) = (one.min(other), one.max(other));
        for bucketing in GENERATIONS {
            let is_in = |boundary| {
                let [before, after] = ["off", "on"].map(|default| json!({
                    "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": default,
                }));
                let ramped = ramp(Some(&before), &after, "salt", "next", boundary, 1_000).unwrap();
                let context = Context::new(key.as_str());
                set(&ramped, bucketing).evaluate("f", &context, 0).variant.as_deref() == Some("on")
            };
            prop_assert!(!is_in(low) || is_in(high));
            prop_assert!(key.is_empty() || is_in(low) == (slot(bucketing, "salt", &key, 1_000) < low));
        }
    }

    #[test]
    fn everybody_gets_one_of_the_two_sides(context in any_context(), boundary in 0_u32..=64, from in 0_usize..13, to in 0_usize..12) {
        let definitions = definitions();
        let (before, after) = (definitions.get(from), &definitions[to]);
        let ramped = ramp(before, after, "salt", "next", boundary, 64).unwrap();
        for bucketing in GENERATIONS {
            let joined = set(&ramped, bucketing);
            let inside = boundary == 64
                || context.targeting_key().is_some_and(|key| slot(bucketing, "salt", key, 64) < boundary);
            let side = if inside { Some(after) } else { before };
            let ours = joined.evaluate("f", &context, 0);
            let Some(side) = side else {
                prop_assert_eq!((ours.value, ours.error), (None, None));
                continue;
            };
            let alone = set(side, bucketing);
            let theirs = alone.evaluate("f", &context, 0);
            // A rule that names no variant of its own side may name one of the other's.
            if theirs.error.is_some() {
                continue;
            }
            prop_assert_eq!(ours.value, theirs.value, "{} of {}", inside, &ramped);
            prop_assert_eq!(ours.error, None);
        }
    }
}

/// The keys whose hashes are 0, 1, 2³¹ − 1, 2³¹ and 2³² − 1.
#[test]
fn slots_of_keys_on_the_edges() {
    for (key, v1, v2) in [
        ("ejOoVL", 0, 0),
        ("bY9fO-", 0, 0),
        ("SI7p-", 99, 49),
        ("6LvT0", 99, 50),
        ("ceQdGm", 0, 99),
    ] {
        assert_eq!(slot(Bucketing::V1, "", key, 100), v1, "{key}");
        assert_eq!(slot(Bucketing::V2, "", key, 100), v2, "{key}");
    }
}

#[test]
fn bad_ramps_are_refused() {
    let flag = json!({ "state": "ENABLED", "variants": { "on": true } });
    for (before, after, boundary, slots) in [
        (None, &flag, 5, 4),
        (None, &flag, 0, 0),
        (None, &flag, 0, 65_537),
        (None, &json!({}), 1, 2),
        (Some(&json!(5)), &flag, 1, 2),
    ] {
        assert!(ramp(before, after, "", "next", boundary, slots).is_err());
    }
}

#[test]
fn what_an_edit_moves_is_counted() {
    let contexts: Vec<Context> = (0..1_000)
        .map(|user| Context::new(format!("user-{user}")))
        .collect();
    let flag = |weight| {
        let split = json!({ "fractional": [["on", weight], ["off", 100 - weight]] });
        json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "targeting": split })
    };
    let (before, after) = (set(&flag(10), Bucketing::V2), set(&flag(30), Bucketing::V2));
    let edit = moved(&before, &after, "f", &contexts, 0);
    assert_eq!((edit.of, edit.failed, edit.from_to.len()), (1_000, 0, 1));
    assert!((150..250).contains(&edit.moved), "{edit:?}");
    let none = moved(&before, &after, "gone", &contexts, 0);
    assert_eq!((none.moved, none.failed), (0, 0));
}
