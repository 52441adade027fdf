//! The schemas of flags.

use serde_json::{Value, json};

use super::{count, how, list, object, or_null, text, told, words};
use crate::api::flags;

pub(in crate::api) fn flag() -> Value {
    object(&[
        ("key", text()),
        ("state", json!({ "enum": ["ENABLED", "DISABLED"] })),
        (
            "kind",
            words("what its variants are: `bool`, `string`, `number`, `object` or `mixed`"),
        ),
        ("variants", json!({ "type": "object" })),
        ("default_variant", or_null(&text())),
        (
            "reads",
            list(&words("an attribute of the context that its rule reads")),
        ),
        ("definition", json!({ "type": "object" })),
        ("is_in_file", json!({ "type": "boolean" })),
        ("under_way", or_null(&words("the change that it is in"))),
        (
            "in_force",
            or_null(&words(
                "the change that has made of it what the file does not say yet",
            )),
        ),
    ])
}

pub(in crate::api) fn flags() -> Value {
    object(&[
        ("bucketing", json!({ "enum": ["v1", "v2", "v3"] })),
        ("digest", words("the same wherever the same is served")),
        ("version", count()),
        ("doubts", list(&text())),
        ("flags", list(&flag())),
    ])
}

pub(in crate::api) fn evaluate() -> Value {
    told(
        &[],
        &[(
            "context",
            json!({ "type": ["object", "null"], "description": "who asks: `targetingKey` and attributes" }),
        )],
    )
}

pub(in crate::api) fn evaluated() -> Value {
    object(&[
        ("key", text()),
        (
            "value",
            json!({ "description": "absent or null for the code's default" }),
        ),
        ("variant", or_null(&text())),
        ("reason", text()),
        ("error", or_null(&object(&[("code", text()), ("says", text())]))),
    ])
}

fn wanted() -> Vec<(&'static str, Value)> {
    vec![
        (
            "definition",
            json!({ "type": ["object", "null"], "description": "the flag, as in the file" }),
        ),
        (
            "variant",
            or_null(&words(
                "instead of a definition: what is everybody's but for whom the rule says otherwise",
            )),
        ),
    ]
}

pub(in crate::api) fn preview() -> Value {
    let contexts = json!({
        "type": ["array", "null"], "items": { "type": "object" }, "maxItems": flags::CONTEXTS_MAX,
        "description": "users; without them some are drawn, who have no attributes",
    });
    told(&[], &[wanted(), vec![("contexts", contexts)]].concat())
}

pub(in crate::api) fn moved() -> Value {
    let pair = object(&[("from", text()), ("to", text()), ("users", count())]);
    object(&[
        ("of", count()),
        ("moved", count()),
        ("share", json!({ "type": "number" })),
        ("failed", count()),
        ("from_to", list(&pair)),
        ("reads", list(&text())),
        ("drawn", json!({ "type": "boolean" })),
    ])
}

pub(in crate::api) fn ramp() -> Value {
    let upstreams = words("an upstream whose requests tell what becomes of it; without any, all do");
    let more = vec![("upstreams", or_null(&list(&upstreams)))];
    told(&[], &[wanted(), how(), more].concat())
}

pub(in crate::api) fn kill() -> Value {
    told(
        &[("reason", words("why it is killed"))],
        &[(
            "variant",
            or_null(&words("what everybody gets; without it, the code's default")),
        )],
    )
}
