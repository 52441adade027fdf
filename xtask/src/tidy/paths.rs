//! Nothing that is committed carries an absolute path of somebody's machine.
//!
//! Such a path tells strangers about a machine, and works on no other.

use super::{Finding, Tree};

/// First directories of absolute paths that people's files lie in. They stand here without their slashes, so that
/// this file may hold them.
const FIRST: &[&str] = &["work", "farm", "root", "home", "Users"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in &tree.files {
        for (number, line) in text.lines().enumerate() {
            if let Some(first) = FIRST.iter().find(|first| begins_path(line, first)) {
                let wrong = format!("a path of one machine, under {first}");
                let right = "make it relative to the repository, or ask the environment";
                findings.push(Finding::new(path, number + 1, wrong, right));
            }
        }
    }
    findings
}

/// Whether `/first/` stands in the line with no letter before it: after a letter it is the middle of a path.
fn begins_path(line: &str, first: &str) -> bool {
    line.match_indices(&format!("/{first}/"))
        .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(line: &str) -> usize {
        check(&Tree::of(&[("a.toml", line)])).len()
    }

    #[test]
    fn an_absolute_path_is_found_at_the_start_and_inside_a_line() {
        for first in FIRST {
            assert_eq!(count(&format!("/{first}/someone")), 1);
            assert_eq!(count(&format!("path = \"/{first}/someone\"")), 1);
        }
    }

    #[test]
    fn the_middle_of_a_path_is_fine() {
        assert_eq!(count("https://example.com/home/page and a/root/b"), 0);
        assert_eq!(count("/homes/ /usr/lib/"), 0);
    }
}
