//! One flag: who has which variant, what it is, and what may be done.

use std::collections::BTreeMap;

use plimsoll_flags::{Context, Flag};
use serde_json::Value;

use super::super::{Field, Form, Mood, Page, View};
use super::{changes, flags, table};
use crate::rollout::words;

/// Users that are drawn to see who has what.
const USERS: u32 = 10_000;

pub(in super::super) fn page(view: &View<'_>, key: &str) -> Option<Page> {
    let known = view.flags.as_ref()?;
    let flag = known.served.set.flag(key)?;
    let by_default = flags::by_default(known, flag);
    let mut facts = vec![format!(
        "By default it is {by_default}, and its rule reads {}.",
        flags::reads(flag)
    )];
    let under_way = flags::under_way(view, key);
    facts.extend(under_way.map(|standing| {
        let id = &standing.change.id;
        format!(
            "{id} changes it for {} of the users; it {}.",
            words::share(standing.exposed_at(view.now)),
            changes::last(view, standing)
        )
    }));
    let of: Vec<Vec<String>> = view
        .state
        .changes
        .all()
        .into_iter()
        .filter(|standing| standing.change.target == crate::api::flags::target(key))
        .map(|standing| {
            vec![
                standing.change.id.clone(),
                words::state(standing),
                changes::last(view, standing),
            ]
        })
        .collect();
    // What is edited is what it is for good, and not a ramp that is under way.
    let settled = known.settled["flags"].get(key).unwrap_or(flag.definition());
    let definition = serde_json::to_string_pretty(settled).unwrap_or_default();
    let tables = vec![
        table(
            "Who has what, of 10,000 users that are drawn and have no attributes",
            &["variant", "value", "users"],
            held(known, flag, view.now / 1_000),
            "nobody",
        ),
        table(
            "Its changes",
            &["change", "state", "what was said last"],
            of,
            "none",
        ),
    ];
    let mood = if under_way.is_some() {
        Mood::Leaving
    } else {
        Mood::Fine
    };
    Some(Page {
        facts,
        forms: forms(key, &definition),
        tables,
        ..Page::new(format!("The flag {key} is {}", flags::state(flag)), mood)
    })
}

/// How many of some users have each variant.
fn held(known: &crate::api::flags::Known, flag: &Flag, now_s: u64) -> Vec<Vec<String>> {
    let mut held: BTreeMap<(String, String), u32> = BTreeMap::new();
    for user in 0..USERS {
        let context = Context::new(format!("user-{user}"));
        let found = known.served.set.evaluate(flag.key(), &context, now_s);
        let variant = found
            .variant
            .map_or_else(|| "-".to_owned(), |name| name.to_string());
        let value = found
            .value
            .map_or_else(|| "the code's default".to_owned(), Value::to_string);
        *held.entry((variant, value)).or_default() += 1;
    }
    held.into_iter()
        .map(|((variant, value), users)| vec![variant, value, users.to_string()])
        .collect()
}

fn forms(key: &str, definition: &str) -> Vec<Form> {
    let of = |verb: &str, button, fields| Form {
        action: format!("/flags/{key}/{verb}"),
        button,
        fields,
    };
    vec![
        of(
            "kill",
            "Turn it off at once",
            vec![Field::Line("reason", "why it is turned off")],
        ),
        of(
            "ramp",
            "Ramp it",
            vec![
                Field::Text("definition", "what it is to be", definition.to_owned()),
                Field::Otherwise("See whom it would move", format!("/flags/{key}/preview")),
            ],
        ),
    ]
}
