//! What changes from one configuration to another, in lines for people.
//!
//! Effective values are compared, defaults included: writing a default down changes nothing, and what a new
//! release changes in a default would show. Items of a list are matched by name, so that their order says nothing.

use std::collections::BTreeMap;

use super::tree::{Kind, Node};

/// One line for each change: `~ path: old -> new`, `+ path: new`, `- path: old`.
pub(crate) fn changes(old: &Node, new: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", old, new, &mut lines);
    lines
}

fn compare(path: &str, old: &Node, new: &Node, lines: &mut Vec<String>) {
    if old == new {
        return;
    }
    let (Some(before), Some(after)) = (children(old), children(new)) else {
        lines.push(format!("~ {path}: {} -> {}", flow(old), flow(new)));
        return;
    };
    let (old_by_name, new_by_name): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (before.iter().copied().collect(), after.iter().copied().collect());
    for (name, value) in &before {
        let path = join(path, name);
        match new_by_name.get(name) {
            Some(other) => compare(&path, value, other, lines),
            None => lines.push(format!("- {}", said(&path, value))),
        }
    }
    for (name, value) in after.iter().filter(|(name, _)| !old_by_name.contains_key(name)) {
        lines.push(format!("+ {}", said(&join(path, name), value)));
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
