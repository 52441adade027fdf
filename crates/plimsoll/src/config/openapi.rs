//! From a description of an API to a first configuration: one route for each operation.
//!
//! Only what OpenAPI states is taken over: methods, path templates, names, and that an operation takes an
//! `Idempotency-Key`. Time limits and rates it does not state, and they are not made up.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::problem::{Mark, Place, Problem};
use super::tree::{Bounds, Key, Node, quote};
use super::value::Scalar;
use super::value::word::{Name, PathTemplate};
use super::{ConfigError, Problems, parse, read_bytes, shown};

/// The methods that a path item may have, as OpenAPI 3.0 and 3.1 write them.
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// One operation, as a route.
struct Operation {
    name: String,
    mark: Mark,
    method: String,
    path: String,
    /// It has a header parameter `Idempotency-Key`.
    keyed: bool,
}

/// Reads a description and writes a configuration.
///
/// # Errors
/// [`ConfigError`] if the file cannot be read, or with everything that keeps it from being turned into routes.
pub(crate) fn import(path: &Path) -> Result<String, ConfigError> {
    let bytes = read_bytes(path, Bounds::OPENAPI).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(convert(&shown(path), &bytes)?)
}

pub(super) fn convert(file: &str, bytes: &[u8]) -> Result<String, Problems> {
    let mut problems = Vec::new();
    let operations =
        parse(bytes, Bounds::OPENAPI, &mut problems).map(|root| operations(&root, &mut problems));
    match operations {
        Some(operations) if problems.is_empty() => Ok(write(file, &operations)),
        _ => Err(Problems::new(file, problems)),
    }
}

fn operations(root: &Node, problems: &mut Vec<Problem>) -> Vec<Operation> {
    let mut problem = |mark, path: &str, wrong: String, right: &str| {
        let place = Place {
            mark,
            path: path.to_owned(),
        };
        problems.push(Problem::new(&place, wrong, right));
    };
    match root.get("openapi") {
        Some(version) if version.text().is_some_and(|text| text.starts_with("3.")) => {}
        Some(version) => {
            problem(
                version.mark,
                "openapi",
                format!("{} is not read", version.describe()),
                "`3.0.x` or `3.1.x`",
            );
        }
        None => problem(
            root.mark,
            "",
            "this does not describe an API".to_owned(),
            "an `openapi: 3.1.0` key",
        ),
    }
    let prefix = base_path(root);
    let mut operations: Vec<Operation> = Vec::new();
    let mut seen: BTreeMap<String, Mark> = BTreeMap::new();
    for (key, item) in root.get("paths").map(Node::entries).unwrap_or_default() {
        let Some(path) = template(&format!("{prefix}{}", key.text)) else {
            let wrong = format!("{} has a parameter that is not a whole segment", quote(&key.text));
            problem(
                key.mark,
                "paths",
                wrong,
                "`/orders/{id}`; write this route by hand",
            );
            continue;
        };
        for (method, node) in item
            .entries()
            .iter()
            .filter(|(key, _)| METHODS.contains(&key.text.as_str()))
        {
            let operation = operation(root, item, method, node, path.clone());
            if let Some(first) = seen.get(&operation.name) {
                let wrong = format!("the operation at {first} is called `{}` too", operation.name);
                problem(
                    operation.mark,
                    "paths",
                    wrong,
                    "an `operationId` of its own for each",
                );
            }
            seen.insert(operation.name.clone(), operation.mark);
            operations.push(operation);
        }
    }
    if operations.is_empty() && problems.is_empty() {
        let place = Place {
            mark: root.mark,
            path: "paths".to_owned(),
        };
        problems.push(Problem::new(&place, "there are no operations", "at least one"));
    }
    clashes(&operations, problems);
    operations
}

/// Two templates that differ in the names of their parameters only would take the same requests.
fn clashes(operations: &[Operation], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<String, &Operation> = BTreeMap::new();
    for operation in operations {
        let first = seen
            .entry(PathTemplate(operation.path.clone()).skeleton())
            .or_insert(operation);
        if first.path != operation.path {
            let place = Place {
                mark: operation.mark,
                path: "paths".to_owned(),
            };
            let wrong = format!(
                "`{}` and `{}` at {} are the same path",
                operation.path, first.path, first.mark
            );
            problems.push(Problem::new(
                &place,
                wrong,
                "the same names for the same parameters",
            ));
        }
    }
}

fn operation(root: &Node, item: &Node, method: &Key, node: &Node, path: String) -> Operation {
    let id = node.get("operationId").and_then(Node::text).unwrap_or_default();
    let mut name = kebab(id);
    if name.is_empty() {
        name = kebab(&format!("{} {path}", method.text));
    }
    let parameters = [item, node]
        .into_iter()
        .filter_map(|owner| owner.get("parameters"))
        .flat_map(Node::items);
    let keyed = parameters
        .map(|parameter| follow(root, parameter))
        .any(|parameter| {
            let text = |key| parameter.get(key).and_then(Node::text).unwrap_or_default();
            text("in") == "header" && text("name").eq_ignore_ascii_case("idempotency-key")
        });
    Operation {
        name,
        mark: method.mark,
        method: method.text.to_ascii_uppercase(),
        path,
        keyed,
    }
}

/// The component that a `$ref` into this file stands for, one step far.
fn follow<'n>(root: &'n Node, node: &'n Node) -> &'n Node {
    let pointer = node
        .get("$ref")
        .and_then(Node::text)
        .and_then(|pointer| pointer.strip_prefix("#/"));
    let target = pointer.and_then(|pointer| pointer.split('/').try_fold(root, |node, key| node.get(key)));
    target.unwrap_or(node)
}

/// The path of the first server: every path of the description stands below it.
fn base_path(root: &Node) -> String {
    let url = root
        .get("servers")
        .and_then(|servers| servers.items().first()?.get("url")?.text());
    let url = url.unwrap_or_default();
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => url,
    };
    path.trim_end_matches('/').to_owned()
}

/// The path in our words: parameters may be called anything in OpenAPI.
fn template(path: &str) -> Option<String> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let segment = |segment: &str| match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
        Some(name) => format!("{{{}}}", name.chars().map(plain).collect::<String>()),
        None => segment.to_owned(),
    };
    let path = path.split('/').map(segment).collect::<Vec<_>>().join("/");
    PathTemplate::parse(&path).map(|path| path.0)
}

/// `placeOrder`, `PlaceOrder`, `place_order` and `place order` as `place-order`.
fn kebab(text: &str) -> String {
    let mut words = String::new();
    let mut after_small = false;
    for letter in text.chars() {
        let word = letter.is_ascii_alphanumeric();
        if (!word || (letter.is_ascii_uppercase() && after_small))
            && !words.is_empty()
            && !words.ends_with('-')
        {
            words.push('-');
        }
        if word {
            words.push(letter.to_ascii_lowercase());
        }
        after_small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
    }
    words.truncate(63);
    let words = words.trim_end_matches('-');
    Name::parse(words).map(|name| name.0).unwrap_or_default()
}

fn write(file: &str, operations: &[Operation]) -> String {
    let mut text = format!(
        "# One route for each operation of {}.\n",
        file.replace(char::is_control, " ")
    );
    text.push_str("# Every other key has its default; `plimsoll init --full` shows them all.\n\n");
    text.push_str("listeners:\n  - name: ingress\n    listen: 127.0.0.1:8080\n    routes:\n");
    for operation in operations {
        let Operation {
            name,
            mark: _,
            method,
            path,
            keyed,
        } = operation;
        _ = write!(
            text,
            "      - name: {name}\n        methods: [{method}]\n        path: {path}\n"
        );
        // The other methods may be repeated anyway.
        if *keyed && matches!(method.as_str(), "POST" | "PATCH") {
            text.push_str("        retry:\n          # The operation takes an Idempotency-Key.\n");
            text.push_str("          idempotent: true\n");
        }
    }
    text.push_str("\nupstreams:\n  - name: app\n    # Where the service listens.\n");
    text.push_str("    endpoints: [http://127.0.0.1:3000]\n");
    text
}
