//! Reading Rust text well enough for the rules, line by line and without a parser.
//!
//! Every file has been through rustfmt when the rules look at it, so an item at the top level begins and ends in
//! the first column. That is all the grammar there is here.

use std::ops::Range;
use std::path::Path;

/// The lines, counted from 0, of the first top-level `#[cfg(test)] mod … { … }` or `#[cfg(test)] mod …;`.
pub(crate) fn test_module(text: &str) -> Option<Range<usize>> {
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines
        .windows(2)
        .position(|pair| pair[0].trim_end() == "#[cfg(test)]" && pair[1].starts_with("mod "))?;
    let head = lines[begin + 1].trim_end();
    if !head.ends_with('{') {
        return Some(begin..begin + 2);
    }
    let length = lines[begin..].iter().position(|line| line.trim_end() == "}")?;
    Some(begin..begin + length + 1)
}

/// Whether the file is Rust, by its name.
pub(crate) fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|ending| ending == "rs")
}

/// Whether the whole file is tests, by where it lies.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests")
}

/// Whether the line is nothing but a comment.
pub(crate) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Where `word` stands in `line` with no letter, digit or underscore before it.
///
/// The word itself says how it ends: `sleep(` or `select!`.
pub(crate) fn find_word(line: &str, word: &str) -> Option<usize> {
    line.match_indices(word)
        .map(|(at, _)| at)
        .find(|at| !line[..*at].ends_with(is_name))
}

/// Whether `letter` may be part of a name.
pub(crate) fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_module_is_found_with_its_end() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}\n";
        assert_eq!(test_module(text), Some(2..7));
        assert_eq!(test_module("#[cfg(test)]\nmod tests;\nfn a() {}\n"), Some(0..2));
        assert_eq!(test_module("#[cfg(test)]\nfn only_for_tests() {}\n"), None);
    }

    #[test]
    fn a_word_is_not_part_of_a_longer_one() {
        assert_eq!(find_word("clock::wait(d)", "wait("), Some(7));
        assert_eq!(find_word("do_wait(1); wait(2)", "wait("), Some(12));
        assert_eq!(find_word("do_wait(1)", "wait("), None);
    }

    #[test]
    fn test_files_are_known_by_their_place() {
        assert!(is_test_file("crates/a/tests/it/main.rs") && is_test_file("lib/a/src/b/tests.rs"));
        assert!(!is_test_file("crates/a/src/contests.rs"));
    }
}
