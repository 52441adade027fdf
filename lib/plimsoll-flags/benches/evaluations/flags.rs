//! The flags whose evaluation is timed, and whose allocations are counted: one of each kind, in a set of a thousand.

use std::hint::black_box;

use plimsoll_flags::{Bucketing, Context, FlagSet};
use serde_json::{Value, json};

/// A flag and whom to evaluate it for.
pub(crate) struct Case {
    /// What kind of flag it is.
    pub(crate) name: &'static str,
    set: FlagSet,
    context: Context,
}

impl Case {
    /// Evaluates it that many times.
    pub(crate) fn repeat(&self, times: u32) {
        for _ in 0..times {
            let evaluation = self
                .set
                .evaluate(black_box("flag"), black_box(&self.context), 1_700_000_000);
            assert!(black_box(evaluation).error.is_none());
        }
    }
}

/// One of each kind. The first two promise not to allocate.
pub(crate) fn cases() -> Vec<Case> {
    let parts = json!([["on", 25], ["off", 75]]);
    let by_user =
        json!([{ "cat": [{ "var": "$flagd.flagKey" }, { "var": "user.id" }] }, ["on", 25], ["off", 75]]);
    [
        ("static", Bucketing::V2, json!({})),
        (
            "one attribute is compared",
            Bucketing::V2,
            json!({ "if": [{ "==": [{ "var": "tier" }, "gold"] }, "on", "off"] }),
        ),
        (
            "an attribute is in a list of twenty",
            Bucketing::V2,
            json!({ "if": [{ "in": [{ "var": "country" }, countries()] }, "on", "off"] }),
        ),
        ("a version is compared", Bucketing::V2, {
            json!({ "if": [{ "sem_ver": [{ "var": "version" }, ">=", "2.3.0"] }, "on", "off"] })
        }),
        (
            "a split by the targeting key, v1",
            Bucketing::V1,
            json!({ "fractional": parts }),
        ),
        (
            "a split by the targeting key, v2",
            Bucketing::V2,
            json!({ "fractional": parts }),
        ),
        (
            "a split by the targeting key, v3",
            Bucketing::V3,
            json!({ "fractional": parts }),
        ),
        (
            "a split by what is joined, v2",
            Bucketing::V2,
            json!({ "fractional": by_user }),
        ),
        (
            "a mail of the house, else a country, else a split",
            Bucketing::V2,
            json!({ "if": [
                { "ends_with": [{ "var": "mail" }, "@example.com"] }, "on",
                { "in": [{ "var": "country" }, countries()] }, "off",
                { "fractional": parts },
            ] }),
        ),
    ]
    .map(|(name, bucketing, targeting)| Case {
        name,
        set: set(bucketing, &targeting),
        context: Context::new("5c3d8535-f81a-4478-a6d3-afaa4d51199e")
            .with("tier", "gold")
            .with("country", "uk")
            .with("mail", "ada@example.org")
            .with("version", "2.14.1")
            .with("user", json!({ "id": "ada", "plan": "yearly" })),
    })
    .into()
}

fn countries() -> Value {
    let countries = "at be bg cy cz de dk ee es fi fr gr hr hu ie it lt lu lv mt";
    countries.split(' ').collect()
}

fn set(bucketing: Bucketing, targeting: &Value) -> FlagSet {
    let flag = json!({
        "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off", "targeting": targeting,
    });
    let mut flags: serde_json::Map<String, Value> =
        (0..999).map(|at| (format!("flag-{at}"), flag.clone())).collect();
    flags.insert("flag".to_owned(), flag);
    FlagSet::compile(&json!({ "flags": flags }), bucketing).expect("these flags are well formed")
}
