//! What changes from one configuration to another, in lines for people.
//!
//! Effective values are compared, defaults included: writing a default down changes nothing, and what a new
//! release changes in a default would show. Items of a list are matched by name, so that their order says nothing.

use std::collections::BTreeMap;

use serde_json::Value;

use super::tree::{Kind, Node};

/// Top-level keys that are read once, at the start, since what they are about cannot change under traffic: the port
/// that operators hold on to, the threads, the log and the collector. All others are the gateway's plan, and a reload
/// applies them.
pub(super) const AT_START: [&str; 4] = ["state", "admin", "telemetry", "cores"];

/// The same of flags: where they are served.
const SERVED: [&str; 3] = ["flags.listen", "flags.token_file", "flags.token_env"];

/// What of those is asked anew for each request: `token_file`, `token_env` and `tokens`.
const TOKENS: &str = "admin.token";

/// One value that is another one now.
#[derive(Debug)]
pub(super) struct Change {
    /// Where it stands, such as `admin.listen`.
    pub(super) path: String,
    /// `~ path: old -> new`, `+ path: new` or `- path: old`.
    pub(super) line: String,
}

impl Change {
    /// Whether it has no effect before the next start.
    pub(super) fn waits(&self) -> bool {
        let first = self.path.split('.').next().unwrap_or_default();
        let is_served = SERVED.iter().any(|key| self.path.starts_with(key));
        is_served || AT_START.contains(&first) && !self.path.starts_with(TOKENS)
    }
}

/// Every change, in the order of the file.
pub(super) fn changes(old: &Node, new: &Node) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", old, new, &mut changes);
    changes
}

fn compare(path: &str, old: &Node, new: &Node, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    let (Some(before), Some(after)) = (children(old), children(new)) else {
        changes.push(Change {
            line: format!("~ {path}: {} -> {}", flow(old), flow(new)),
            path: path.to_owned(),
        });
        return;
    };
    let (old_by_name, new_by_name): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (before.iter().copied().collect(), after.iter().copied().collect());
    for (name, value) in &before {
        let path = join(path, name);
        match new_by_name.get(name) {
            Some(other) => compare(&path, value, other, changes),
            None => changes.push(Change {
                line: format!("- {}", said(&path, value)),
                path,
            }),
        }
    }
    for (name, value) in after.iter().filter(|(name, _)| !old_by_name.contains_key(name)) {
        let path = join(path, name);
        changes.push(Change {
            line: format!("+ {}", said(&path, value)),
            path,
        });
    }
}

/// What is compared one by one: the keys of a map, the items of a list that all have names.
fn children(node: &Node) -> Option<Vec<(&str, &Node)>> {
    match &node.kind {
        Kind::Map(entries) => Some(
            entries
                .iter()
                .map(|(key, value)| (key.text.as_str(), value))
                .collect(),
        ),
        Kind::List(items) => items
            .iter()
            .map(|item| Some((item.get("name")?.text()?, item)))
            .collect(),
        Kind::Null | Kind::Scalar { .. } => None,
    }
}

/// A stanza that comes or goes is named; a value is shown.
fn said(path: &str, node: &Node) -> String {
    match node.kind {
        Kind::Map(_) => path.to_owned(),
        Kind::Null | Kind::Scalar { .. } | Kind::List(_) => format!("{path}: {}", flow(node)),
    }
}

/// The value on one line.
fn flow(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "nothing".to_owned(),
        Kind::Scalar { text, .. } => text.clone(),
        Kind::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Kind::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", key.text, flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// What differs between the definitions of flags, in lines for people.
pub(super) fn flags(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
    let of = |written: Option<&Value>| -> BTreeMap<String, Value> {
        let flags = written.and_then(|written| written["flags"].as_object());
        let flags = flags.into_iter().flatten();
        flags.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let (before, after) = (of(before), of(after));
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let gone = gone.map(|key| format!("- the flag {key}"));
    let others = after.iter().filter_map(|(key, value)| match before.get(key) {
        None => Some(format!("+ the flag {key}")),
        Some(old) if old != value => Some(format!("~ the flag {key}")),
        Some(_) => None,
    });
    gone.chain(others).collect()
}
