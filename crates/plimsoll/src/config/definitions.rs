//! The file with the definitions of flags: read, compiled, and its problems placed.

use std::path::Path;

use plimsoll_flags::{Bucketing, FlagSet};
use serde_json::{Map, Number, Value};

use super::problem::{Mark, Problem};
use super::tree::{Bounds, Kind, Node};
use super::{read_bytes, shown};

/// Ten thousand flags with rules fit into it.
const BOUNDS: Bounds = Bounds {
    bytes_max: 16 << 20,
    depth_max: 128,
};

/// Reads and compiles the definitions; what is wrong with them is said with the place in that file.
///
/// # Errors
/// Every problem, in a line for people and what would be right.
pub(super) fn read(path: &Path, bucketing: Bucketing) -> Result<Value, Vec<(String, String)>> {
    let file = shown(path);
    let bytes = read_bytes(path, BOUNDS).map_err(|error| {
        let wrong = format!("`{file}` cannot be read ({})", super::resolve::reason(&error));
        vec![(wrong, "a file that is there and readable".to_owned())]
    })?;
    let mut problems: Vec<Problem> = Vec::new();
    let node = super::parse(&bytes, BOUNDS, &mut problems);
    let Some(node) = node.filter(|_| problems.is_empty()) else {
        let said = |problem: Problem| {
            (
                format!("{file}:{}: {}", problem.place.mark, problem.wrong),
                problem.right,
            )
        };
        return Err(problems.into_iter().map(said).collect());
    };
    // JSON keeps the spelling of its numbers; what is YAML is read as YAML has it.
    let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| value_of(&node));
    let compiled = FlagSet::compile(&value, bucketing).map_err(|problems| {
        let said = |problem: plimsoll_flags::Problem| {
            let mark = mark_of(&node, &problem.pointer);
            let wrong = format!("{file}:{mark}: {}: {}", problem.pointer, problem.problem);
            (
                wrong,
                problem
                    .instead
                    .map_or_else(|| "something else".to_owned(), |instead| format!("to {instead}")),
            )
        };
        problems.into_iter().map(said).collect::<Vec<_>>()
    });
    compiled.map(|_| value)
}

/// A tree of YAML as the JSON that it stands for (YAML 1.2, section 10.3).
fn value_of(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Scalar { text, quoted: true } => Value::String(text.clone()),
        Kind::Scalar { text, quoted: false } => match text.as_str() {
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            text => text
                .parse::<Number>()
                .map_or_else(|_| Value::String(text.to_owned()), Value::Number),
        },
        Kind::List(items) => Value::Array(items.iter().map(value_of).collect()),
        Kind::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, node)| (key.text.clone(), value_of(node)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// Where the value of a JSON pointer (RFC 6901) stands, or the last on the way to it that is there.
fn mark_of(root: &Node, pointer: &str) -> Mark {
    let mut node = root;
    let mut mark = root.mark;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let entry = node.entries().iter().find(|(key, _)| key.text == step);
        let item = step.parse().ok().and_then(|index: usize| node.items().get(index));
        let (next, at) = match (entry, item) {
            (Some((key, value)), _) => (value, key.mark),
            (None, Some(item)) => (item, item.mark),
            (None, None) => break,
        };
        (node, mark) = (next, at);
    }
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Result<Value, Vec<(String, String)>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, Bucketing::V2)
    }

    #[test]
    fn yaml_and_json_are_the_same() {
        let yaml = "flags:\n  new-tax:\n    state: ENABLED\n    variants: { on: true, off: false }\n    defaultVariant: 'off'\n";
        let json = r#"{"flags": {"new-tax": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}}}"#;
        let [yaml, json] =
            [("flags.yaml", yaml), ("flags.json", json)].map(|(name, text)| read_text(name, text).unwrap());
        assert_eq!(yaml, json);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let text = "flags:\n  new-tax:\n    state: ENABLED\n    variants: { on: true, off: false }\n    defaultVariant: of\n  other:\n    state: ON\n    variants: { a: 1 }\n";
        let problems = read_text("flags.yaml", text).unwrap_err();
        let lines: Vec<String> = problems.into_iter().map(|(wrong, _)| wrong).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains("flags.yaml:5:5: /flags/new-tax/defaultVariant: "),
            "{lines:?}"
        );
        assert!(
            lines[1].contains("flags.yaml:7:5: /flags/other/state: "),
            "{lines:?}"
        );
        let problems = read_text("flags.json", "{\"flags\": [").unwrap_err();
        assert!(problems[0].0.contains("flags.json:"), "{problems:?}");
    }
}
