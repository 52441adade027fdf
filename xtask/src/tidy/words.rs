//! Nothing unfinished goes in.
//!
//! What is not done is absent, or is a sentence in the changelog; it is not a macro that panics, a mark in a
//! comment or a test that does not run. The words are put together below, so that this file may hold them.

use super::{Finding, Tree, rust};

/// Words of Rust, and what would be right.
const IN_RUST: &[(&str, &str)] = &[
    (concat!("to", "do!"), "write it, or leave out what needs it"),
    (
        concat!("un", "implemented!"),
        "write it, or leave out what needs it",
    ),
    (concat!("d", "bg!"), "take it out"),
    (
        concat!("#[", "ignore"),
        "make it pass, or delete it: what does not run proves nothing",
    ),
];

/// Marks that stand as whole words in any text.
const MARKS: &[&str] = &[concat!("FIX", "ME"), concat!("X", "XX")];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_ending("") {
        let is_rust = rust::is_rust(path);
        for (number, line) in text.lines().enumerate() {
            let words = IN_RUST
                .iter()
                .filter(|(word, _)| is_rust && rust::find_word(line, word).is_some());
            for (word, right) in words {
                findings.push(Finding::new(
                    path,
                    number + 1,
                    format!("`{word}` is unfinished"),
                    *right,
                ));
            }
            for mark in MARKS.iter().filter(|mark| is_whole_word(line, mark)) {
                let right = "mend it now, or say in a sentence what holds and why";
                findings.push(Finding::new(
                    path,
                    number + 1,
                    format!("`{mark}` is unfinished"),
                    right,
                ));
            }
        }
    }
    findings
}

fn is_whole_word(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        !line[..at].ends_with(rust::is_name) && !line[at + mark.len()..].starts_with(rust::is_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)]))
            .into_iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn every_word_is_found() {
        for word in IN_RUST.iter().map(|(word, _)| *word).chain(MARKS.iter().copied()) {
            assert_eq!(lines("a.rs", &format!("fine\n  {word} (later)\n")), [2], "{word}");
        }
    }

    #[test]
    fn a_mark_is_a_whole_word() {
        let marks = MARKS.concat();
        assert_eq!(lines("a.sh", &format!("mktemp /tmp/a.{marks}\n")), [0; 0]);
        assert_eq!(lines("a.md", &format!("{}: later\n", MARKS[0])), [1]);
    }

    #[test]
    fn words_of_rust_are_only_looked_for_in_rust() {
        assert_eq!(lines("a.md", &format!("{} is a macro\n", IN_RUST[0].0)), [0; 0]);
    }
}
