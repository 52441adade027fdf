//! `cargo xtask tidy`: the house rules that a compiler does not check.
//!
//! A rule is one file under `tidy/` with a `check` over the [`Tree`], and one line in [`RULES`]. A rule finds
//! everything it can find; it never stops at the first. Each [`Finding`] says where, what is wrong and what would
//! be right, so that it can be mended without reading the rule. The whole also runs as a test, at the end of this
//! file, so that `cargo test` alone keeps the house.

mod arrows;
mod book;
mod links;
mod names;
mod pages;
mod paths;
mod rust;
mod safety;
mod size;
mod tree;
mod waiting;
mod words;

use std::process::ExitCode;

pub(crate) use tree::{Package, Tree};

type Check = fn(&Tree) -> Vec<Finding>;

/// Every rule: its name, which stands in each of its findings, and its check.
const RULES: &[(&str, Check)] = &[
    ("arrows", arrows::check),
    ("size", size::check),
    ("names", names::check),
    ("words", words::check),
    ("waiting", waiting::check),
    ("safety", safety::check),
    ("paths", paths::check),
    ("pages", pages::check),
    ("book", book::check),
    ("links", links::check),
];

/// One breach of a house rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1, as editors do.
    line: usize,
    wrong: String,
    right: String,
}

impl Finding {
    fn new(path: &str, line: usize, wrong: impl Into<String>, right: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            wrong: wrong.into(),
            right: right.into(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}; {}", self.path, self.line, self.wrong, self.right)
    }
}

pub(crate) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        words.is_empty(),
        "takes no arguments: all rules are checked, always"
    );
    let report = report()?;
    for line in &report {
        println!("{line}");
    }
    if report.is_empty() {
        println!("tidy: {} rules hold", RULES.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} to mend", report.len());
    Ok(ExitCode::FAILURE)
}

/// All findings of all rules, one line each, in the order of the rules.
pub(crate) fn report() -> anyhow::Result<Vec<String>> {
    let tree = Tree::read(crate::root())?;
    Ok(RULES
        .iter()
        .flat_map(|(name, check)| {
            check(&tree)
                .into_iter()
                .map(move |finding| format!("{finding} [{name}]"))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let report = report().unwrap();
        assert!(
            report.is_empty(),
            "{} to mend:\n{}",
            report.len(),
            report.join("\n")
        );
    }

    #[test]
    fn a_finding_says_where_what_is_wrong_and_what_would_be_right() {
        let finding = Finding::new("a/b.rs", 7, "this is wrong", "do that");
        assert_eq!(finding.to_string(), "a/b.rs:7: this is wrong; do that");
    }
}
