//! OpenSLO v1: objectives in the language that tools share.
//!
//! Documents are read with the same care as our own configuration: all that is wrong is found at once, with line and
//! column, what is wrong and what would be right ([`check`]). What Plimsoll can judge becomes objectives of its own
//! ([`import`]): those whose indicator names routes (`metricSource.type: Plimsoll`). What it cannot is said, and never
//! left out in silence. And back ([`export`]), so that leaving is easy.
//!
//! ```text
//! text ─> documents (trees with places) ─> check: the form of each kind, then what fields say together ─> findings
//!                                    └──> import: objectives in our own words, and what was not carried over
//! ```
//!
//! Source: the OpenSLO specification, v1, as its repository has it in 2025-09.

mod check;
pub(crate) mod export;
pub(crate) mod import;
mod schema;
#[cfg(test)]
mod tests;

use crate::config::problem::{Mark, Place, Problem};
use crate::config::tree::{self, Bounds, Node};

/// What this release reads.
const VERSION: &str = "openslo/v1";

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Weight {
    /// It is not what the specification allows.
    Wrong,
    /// It is allowed, and hardly meant.
    Doubtful,
}

/// Something that was found, and in which file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) file: String,
    pub(crate) weight: Weight,
    pub(crate) problem: Problem,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem { place, wrong, right } = &self.problem;
        let word = match self.weight {
            Weight::Wrong => "",
            Weight::Doubtful => "doubtful: ",
        };
        {
            let path = if place.path.is_empty() {
                String::new()
            } else {
                format!("{}: ", place.path)
            };
            write!(
                f,
                "{}:{}: {path}{word}{wrong}; right would be {right}",
                self.file, place.mark
            )
        }
    }
}

/// One object, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    file: String,
    node: Node,
}

/// What is known of all files together, since documents refer to others.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    all: Vec<Document>,
    pub(crate) findings: Vec<Finding>,
}

impl Documents {
    /// Adds what stands in a file: one document, several with `---` between them, or a list of them.
    pub(crate) fn add(&mut self, file: &str, text: &str) {
        let mut before = 0;
        for (at, part) in parts(text) {
            debug_assert!(at >= before, "parts come in order");
            before = at;
            let mut problems = Vec::new();
            let node = tree::parse(part, Bounds::CONFIG, &mut problems);
            self.findings.extend(problems.into_iter().map(|mut problem| {
                problem.place.mark.line += at;
                Finding {
                    file: file.to_owned(),
                    weight: Weight::Wrong,
                    problem,
                }
            }));
            let Some(mut node) = node else { continue };
            node.shift(at);
            let is_list = !node.items().is_empty();
            let all = if is_list {
                node.items().to_vec()
            } else {
                vec![node]
            };
            // What is between two lines of `---` and only a comment is no document.
            let all = all
                .into_iter()
                .filter(|node| !node.entries().is_empty() || !is_empty(node));
            self.all.extend(all.map(|node| Document {
                file: file.to_owned(),
                node,
            }));
        }
    }

    /// Finds all that is wrong or doubtful; in the order of the files.
    pub(crate) fn check(&mut self) {
        let found = check::all(&self.all);
        self.findings.extend(found);
        self.findings
            .sort_by(|a, b| (&a.file, a.problem.place.mark).cmp(&(&b.file, b.problem.place.mark)));
        self.findings.dedup();
    }

    pub(crate) fn is_right(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.weight != Weight::Wrong)
    }

    /// The object of a kind and name.
    fn find(&self, kind: &str, name: &str) -> Option<&Node> {
        let mut all = self.all.iter().map(|document| &document.node);
        all.find(|node| text(node, "kind") == Some(kind) && name_of(node) == Some(name))
    }
}

fn is_empty(node: &Node) -> bool {
    node.is_null() || node.entries().is_empty() && node.items().is_empty() && node.text().is_none()
}

/// The documents of a text, each with the number of lines before it. A line of `---` at its beginning parts two, since
/// nothing in YAML that goes on may begin so.
fn parts(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut begin, mut lines_before, mut offset) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") || bare == "..." {
            parts.push((lines_before, &text[begin..offset]));
            begin = offset + line.len();
            lines_before = number + 1;
        }
        offset += line.len();
    }
    parts.push((lines_before, &text[begin..]));
    parts.retain(|(_, part)| {
        !part
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    });
    parts
}

/// A field that is a text.
fn text<'n>(node: &'n Node, field: &str) -> Option<&'n str> {
    node.get(field)?.text()
}

/// A field that is a number.
fn number(node: &Node, field: &str) -> Option<f64> {
    text(node, field)?
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

fn name_of(node: &Node) -> Option<&str> {
    text(node.get("metadata")?, "name")
}

/// A duration in OpenSLO's shorthand: a number and one of `m`, `h`, `d`, `w`, `M`, `Q`, `Y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shorthand {
    count: u32,
    unit: char,
}

impl Shorthand {
    fn parse(text: &str) -> Option<Self> {
        let unit = text
            .chars()
            .next_back()
            .filter(|unit| "mhdwMQY".contains(*unit))?;
        let digits = &text[..text.len() - 1];
        let is_plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let count = digits.parse().ok().filter(|count| is_plain && *count > 0)?;
        Some(Self { count, unit })
    }

    /// Minutes, if it is always the same number of them.
    fn minutes(self) -> Option<u64> {
        let of_unit = match self.unit {
            'm' => 1,
            'h' => 60,
            'd' => 1_440,
            'w' => 10_080,
            _ => return None,
        };
        u64::from(self.count).checked_mul(of_unit)
    }
}

/// A finding about a place in a document.
fn finding(
    document: &Document,
    weight: Weight,
    at: (Mark, String),
    wrong: impl Into<String>,
    right: impl Into<String>,
) -> Finding {
    let (mark, path) = at;
    Finding {
        file: document.file.clone(),
        weight,
        problem: Problem {
            place: Place { mark, path },
            wrong: wrong.into(),
            right: right.into(),
        },
    }
}
