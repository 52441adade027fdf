//! What bodies are, as JSON Schema: the same that the rooms beside this one write and read.

pub(super) mod flags;

use serde_json::{Map, Value, json};

/// A value and what it means; every field of an object is always there.
type Fields<'a> = &'a [(&'a str, Value)];

fn object(fields: Fields<'_>) -> Value {
    let mut schema = some(fields);
    let names = fields.iter().map(|(name, _)| *name);
    schema["required"] = names.collect::<Vec<_>>().into();
    schema
}

/// One whose fields may be missing.
fn some(fields: Fields<'_>) -> Value {
    let properties: Map<_, _> = fields
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({ "type": "object", "properties": properties })
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// A text that somebody writes.
fn words(about: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": super::TEXT_MAX, "description": about })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn truth() -> Value {
    json!({ "type": "boolean" })
}

/// What may not be known, or not be at all.
fn or_null(schema: &Value) -> Value {
    json!({ "oneOf": [schema, { "type": "null" }] })
}

pub(super) fn anything() -> Value {
    json!({})
}

/// A body that need not be there, and may say for whom.
pub(super) fn nothing() -> Value {
    let mut schema = some(&[("author", or_null(&text()))]);
    schema["type"] = json!(["object", "null"]);
    schema
}

pub(super) fn index() -> Value {
    let route = object(&[
        ("method", text()),
        ("path", text()),
        ("about", text()),
        ("role", text()),
    ]);
    object(&[("routes", list(&route))])
}

pub(super) fn doubts() -> Value {
    let doubt = object(&[("objective", text()), ("doubt", text()), ("says", text())]);
    object(&[("doubts", list(&doubt))])
}

pub(super) fn kpis() -> Value {
    let figure = || or_null(&number());
    let kpi = object(&[
        ("name", text()),
        ("measure", one_of(&["rate", "share"])),
        ("vantage", text()),
        ("present", figure()),
        ("usual", figure()),
        ("least", figure()),
        ("known_from", or_null(&time())),
        ("evidence", number()),
        ("has_fallen", truth()),
        ("began", or_null(&time())),
        ("says", text()),
    ]);
    object(&[("kpis", list(&kpi))])
}

pub(super) fn objectives() -> Value {
    object(&[("objectives", list(&objective()))])
}

pub(super) fn objective() -> Value {
    let budget = object(&[
        ("left", or_null(&number())),
        ("allowed", number()),
        ("bad", number()),
    ]);
    let sum = object(&[("good", count()), ("bad", count()), ("coverage", number())]);
    let burn = object(&[
        ("severity", one_of(&["page", "ticket"])),
        ("long_s", count()),
        ("short_s", count()),
        ("factor", number()),
        ("long", or_null(&number())),
        ("short", or_null(&number())),
        ("phase", text()),
    ]);
    object(&[
        ("name", text()),
        (
            "target",
            or_null(&json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 })),
        ),
        ("allowed", or_null(&count())),
        ("window", text()),
        ("window_s", count()),
        ("budgeting", text()),
        ("as_of", time()),
        ("state", text()),
        ("calls", or_null(&one_of(&["page", "ticket"]))),
        ("sentence", text()),
        ("policy", text()),
        ("budget", budget.clone()),
        ("budget_forecast", or_null(&budget)),
        ("budget_as_counted", or_null(&budget)),
        ("budget_left", or_null(&number())),
        ("time_left_s", or_null(&count())),
        ("evidence", number()),
        ("burns", list(&burn)),
        ("period", or_null(&object(&[("from", time()), ("to", time())]))),
        ("in_window", sum.clone()),
        ("in_hour", sum),
        ("callers_failing", count()),
        ("runbook", or_null(&text())),
        ("vantage", text()),
        ("sampling", number()),
        (
            "members",
            list(&object(&[("objective", text()), ("weight", number())])),
        ),
    ])
}

pub(super) fn history() -> Value {
    let shares = list(&or_null(&number()));
    object(&[
        ("from", time()),
        ("step_s", count()),
        ("allowed", number()),
        ("at_s", list(&count())),
        ("budget_left", shares.clone()),
        ("budget_left_as_counted", or_null(&shares)),
        ("changes", happened()),
    ])
}

pub(super) fn what_if() -> Value {
    object(&[
        ("target", number()),
        ("from", or_null(&time())),
        ("minutes", count()),
        ("budget_left", or_null(&number())),
        ("allowed", number()),
        ("bad", number()),
        ("pages_at_most", count()),
        ("tickets_at_most", count()),
    ])
}

/// What changed, for the axis of time.
fn happened() -> Value {
    list(&object(&[("at_s", count()), ("what", text())]))
}

pub(super) fn latency() -> Value {
    object(&[
        ("at_s", list(&count())),
        ("bounds_ms", list(&number())),
        ("counts", list(&list(&count()))),
        ("limit_ms", or_null(&count())),
        ("examples", list(&json!({ "type": "object" }))),
        ("changes", happened()),
    ])
}

pub(super) fn alerts() -> Value {
    object(&[("alerts", list(&alert()))])
}

pub(super) fn alert() -> Value {
    object(&[
        ("id", text()),
        ("opened_at", time()),
        ("closed_at", or_null(&time())),
        ("closed_because", or_null(&text())),
        ("began_at", or_null(&time())),
        ("incident", or_null(&text())),
        ("silenced_by", or_null(&text())),
        ("told", json!({ "type": "object" })),
        ("alert", json!({ "type": "object" })),
    ])
}

pub(super) fn incidents() -> Value {
    let took = object(&[
        ("count", count()),
        ("median_ms", or_null(&count())),
        ("p90_ms", or_null(&count())),
    ]);
    let clocks = object(&[
        ("to_detect", took.clone()),
        ("to_acknowledge", took.clone()),
        ("to_mitigate", took.clone()),
        ("to_resolve", took),
    ]);
    object(&[("incidents", list(&incident())), ("clocks", clocks)])
}

pub(super) fn incident() -> Value {
    let mark = or_null(&object(&[("at", time()), ("by", text())]));
    let line = object(&[("at", time()), ("author", text()), ("text", text())]);
    object(&[
        ("id", text()),
        (
            "phase",
            one_of(&["open", "acknowledged", "mitigated", "resolved"]),
        ),
        ("objectives", list(&text())),
        ("alerts", list(&text())),
        ("began_at", time()),
        ("detected_at", time()),
        ("acknowledged", mark.clone()),
        ("mitigated", mark.clone()),
        ("resolved", mark),
        ("to_detect_ms", or_null(&count())),
        ("to_acknowledge_ms", or_null(&count())),
        ("to_mitigate_ms", or_null(&count())),
        ("to_resolve_ms", or_null(&count())),
        ("timeline", list(&line)),
        ("lines_left_out", count()),
    ])
}

/// An object some of whose fields have to be there; who says so may be.
fn told(needed: Fields<'_>, more: Fields<'_>) -> Value {
    let author = [("author", or_null(&text()))];
    let mut schema = some(&[needed, more, &author].concat());
    let names = needed.iter().map(|(name, _)| *name);
    schema["required"] = names.collect::<Vec<_>>().into();
    schema
}

pub(super) fn note() -> Value {
    told(&[("text", words("what was seen or done"))], &[])
}

pub(super) fn silences() -> Value {
    object(&[("silences", list(&silence()))])
}

pub(super) fn silence() -> Value {
    object(&[
        ("id", text()),
        ("objective", text()),
        ("author", text()),
        ("reason", text()),
        ("from", time()),
        ("until", time()),
        ("holds", truth()),
    ])
}

pub(super) fn new_silence() -> Value {
    let minutes = json!({ "type": "integer", "minimum": 1, "maximum": super::silences::MINUTES_MAX });
    told(
        &[
            (
                "objective",
                words("its name; one that ends with `*` means all that begin so"),
            ),
            ("minutes", minutes),
            ("reason", words("why nobody is to be told")),
        ],
        &[],
    )
}

pub(super) fn corrections() -> Value {
    object(&[("corrections", list(&correction()))])
}

fn events() -> Value {
    json!({ "type": "integer", "minimum": -1_000_000_000, "maximum": 1_000_000_000 })
}

pub(super) fn correction() -> Value {
    object(&[
        ("id", text()),
        ("objective", text()),
        ("from", time()),
        ("to", time()),
        ("excludes", truth()),
        ("good", or_null(&events())),
        ("bad", or_null(&events())),
        ("author", text()),
        ("reason", text()),
        ("at", time()),
    ])
}

pub(super) fn new_correction() -> Value {
    told(
        &[
            ("objective", words("its name")),
            ("from", time()),
            ("to", time()),
            ("reason", words("why it was not as it was counted")),
        ],
        &[("good", or_null(&events())), ("bad", or_null(&events()))],
    )
}

pub(super) fn withdrawal() -> Value {
    told(&[("reason", words("why it does not hold"))], &[])
}

/// What an outcome has to be is said in words: one that is not right is told of in the answer, and refuses nothing else.
pub(super) fn outcomes() -> Value {
    let outcome = json!({
        "description": "`id` (of whoever reports it; one that was heard counts once), `objective` or `kpi`, and \
                        `good` or, for one that says nothing about the service, why it is `excluded`, have to be there; of an \
                        objective about freshness `committed_at`, `visible_at` or both instead of `good`; `count` is of how many alike it is told; `latency_ms`, `caller` and `at` may be",
        "examples": [{
            "id": "invoice-4711", "objective": "invoices-on-time", "good": true, "latency_ms": 41_000, "caller": "acme",
        }],
    });
    let all = json!({ "type": "array", "items": outcome, "minItems": 1, "maxItems": super::outcomes::OUTCOMES_MAX });
    object(&[("outcomes", all)])
}

pub(super) fn reported() -> Value {
    let refused = object(&[("index", count()), ("id", or_null(&text())), ("why", text())]);
    object(&[
        ("counted", count()),
        ("excluded", count()),
        ("waiting", count()),
        ("repeated", count()),
        ("refused", list(&refused)),
    ])
}

pub(super) fn changes() -> Value {
    object(&[("changes", list(&change()))])
}

pub(super) fn change() -> Value {
    let arm = object(&[("events", count()), ("failed", count()), ("slow", list(&count()))]);
    let sign = object(&[
        ("sign", text()),
        ("ratio", or_null(&number())),
        ("worse", number()),
        ("as_good", or_null(&number())),
    ]);
    let verdict = object(&[
        ("finding", one_of(&["bad", "good", "undecided"])),
        ("worse", number()),
        ("more", or_null(&number())),
        ("candidate", arm.clone()),
        ("stable", arm),
        ("signs", list(&sign)),
    ]);
    let line = object(&[
        ("at", time()),
        ("author", text()),
        ("says", text()),
        ("said", json!({ "type": "object" })),
    ]);
    object(&[
        ("id", text()),
        ("kind", text()),
        ("target", text()),
        ("to", text()),
        ("phase", text()),
        ("step", or_null(&count())),
        ("steps", list(&number())),
        ("exposed", number()),
        ("proposed_at", time()),
        ("since", time()),
        ("says", text()),
        ("waits", or_null(&text())),
        ("paused", or_null(&text())),
        ("verdict", or_null(&verdict)),
        ("told", list(&line)),
    ])
}

pub(super) fn new_change() -> Value {
    let endpoints = json!({
        "type": "array", "items": text(), "minItems": 1, "maxItems": super::changes::ENDPOINTS_MAX,
        "description": "where the candidate is, such as `http://10.0.0.7:3000`; without it, the driver of the upstream says where, and starts it",
    });
    let key = words("`cookie:sid` or `header:x-user`, if users keep to a version");
    told(
        &[
            ("upstream", words("the upstream whose version it is to be")),
            ("version", words("what the candidate is called")),
        ],
        &[
            vec![("candidate", or_null(&endpoints)), ("key", or_null(&key))],
            how(),
        ]
        .concat(),
    )
}

/// How a change goes on, for whoever asks for one.
fn how() -> Vec<(&'static str, Value)> {
    let shares = json!({
        "type": "array", "items": text(), "maxItems": super::changes::STEPS_MAX,
        "description": "shares of traffic such as `5%`, growing; after the last, everybody has it",
    });
    vec![
        ("steps", or_null(&shares)),
        (
            "at_once",
            json!({ "type": ["boolean", "null"], "description": "in one switch, blue/green" }),
        ),
        (
            "hold_max",
            or_null(&words("how long a step is held while nobody can tell")),
        ),
        ("undecided", json!({ "enum": ["revert", "ask", null] })),
        (
            "probation",
            or_null(&words("how long the version before is kept warm")),
        ),
        ("needs", or_null(&list(&text()))),
        ("offers", or_null(&list(&text()))),
    ]
}

pub(super) fn why_revert() -> Value {
    told(&[("reason", words("why it is taken back"))], &[])
}

pub(super) fn why_promote() -> Value {
    let all = json!({ "type": ["boolean", "null"], "description": "all steps that are left, and not only the next" });
    told(&[("reason", words("why it may go on"))], &[("all", all)])
}

pub(super) fn why_pause() -> Value {
    told(&[("reason", words("why it waits"))], &[])
}

pub(super) fn freezes() -> Value {
    object(&[("freezes", list(&freeze()))])
}

pub(super) fn freeze() -> Value {
    object(&[
        ("id", text()),
        ("author", text()),
        ("reason", text()),
        ("from", time()),
        ("until", time()),
        ("holds", truth()),
    ])
}

pub(super) fn new_freeze() -> Value {
    let minutes = json!({ "type": "integer", "minimum": 1, "maximum": super::freezes::FREEZE_MINUTES_MAX });
    told(
        &[
            ("minutes", minutes),
            ("reason", words("why nothing is to be risked")),
        ],
        &[],
    )
}

pub(super) fn glasses() -> Value {
    object(&[("glass", list(&glass()))])
}

pub(super) fn glass() -> Value {
    object(&[
        ("id", text()),
        ("author", text()),
        ("reason", text()),
        ("minutes", count()),
        ("asked_at", time()),
        ("confirmed_at", or_null(&time())),
        ("confirmed_by", or_null(&text())),
        ("broken", truth()),
    ])
}

pub(super) fn new_glass() -> Value {
    let minutes = json!({ "type": "integer", "minimum": 1, "maximum": super::freezes::GLASS_MINUTES_MAX });
    told(
        &[("minutes", minutes), ("reason", words("what the emergency is"))],
        &[],
    )
}

pub(super) fn audit() -> Value {
    let deed = object(&[
        ("id", text()),
        ("at", time()),
        ("author", text()),
        ("about", text()),
        ("did", text()),
    ]);
    object(&[("audit", list(&deed))])
}

pub(super) fn problem() -> Value {
    let mut schema = object(&[("title", text()), ("status", count())]);
    schema["properties"]["detail"] = text();
    schema["properties"]["problems"] = list(&text());
    schema
}
