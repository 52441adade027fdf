//! A file stays small enough to be read in one sitting.
//!
//! Files aim for 250 lines and stop at 600, a trailing test module not counted. A file that wants more is two
//! ideas. [`LONG`] names the exceptions and the lines they had; it may only shrink.

use super::{Finding, Tree, rust};

const LINES_MAX: usize = 600;

/// Files that may be longer, and how long they are. No row is added and no number raised; a row goes when its
/// file has been cut.
const LONG: &[(&str, usize)] = &[];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    check_against(tree, LONG)
}

fn check_against(tree: &Tree, long: &[(&str, usize)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let lines = lines_without_tests(text);
        let (allowed, excepted) = long
            .iter()
            .find(|(long, _)| *long == path)
            .map_or((LINES_MAX, false), |(_, lines)| (*lines, true));
        if lines > allowed {
            let wrong = format!("{lines} lines without tests, and {allowed} are allowed");
            findings.push(Finding::new(
                path,
                allowed + 1,
                wrong,
                "split it: it holds two ideas",
            ));
        } else if excepted && lines < allowed {
            let wrong = format!("the exception list allows {allowed} lines, and it has {lines}");
            findings.push(Finding::new(
                path,
                1,
                wrong,
                "lower its number in LONG, or take the row out",
            ));
        }
    }
    for (path, _) in long.iter().filter(|(path, _)| !tree.files.contains_key(*path)) {
        findings.push(Finding::new(
            path,
            1,
            "the exception list names a file that is gone",
            "take its row out",
        ));
    }
    findings
}

/// Lines of a file, without the test module at its end.
fn lines_without_tests(text: &str) -> usize {
    let lines = text.lines().count();
    match rust::test_module(text) {
        Some(tests) if tests.end == lines => tests.start,
        _ => lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrongs(text: &str, long: &[(&str, usize)]) -> Vec<String> {
        check_against(&Tree::of(&[("a.rs", text)]), long)
            .into_iter()
            .map(|finding| finding.wrong)
            .collect()
    }

    #[test]
    fn six_hundred_lines_and_tests_are_fine_and_one_more_is_not() {
        let tests = "#[cfg(test)]\nmod tests {\n    fn a() {}\n}\n";
        assert_eq!(wrongs(&("x\n".repeat(600) + tests), &[]), [""; 0]);
        let wrong = ["601 lines without tests, and 600 are allowed"];
        assert_eq!(wrongs(&("x\n".repeat(601) + tests), &[]), wrong);
    }

    #[test]
    fn only_a_trailing_test_module_is_free() {
        let text = "#[cfg(test)]\nmod tests {\n}\n".to_owned() + &"x\n".repeat(598);
        assert_eq!(
            wrongs(&text, &[]),
            ["601 lines without tests, and 600 are allowed"]
        );
    }

    #[test]
    fn an_exception_may_only_shrink() {
        let text = "x\n".repeat(700);
        assert_eq!(wrongs(&text, &[("a.rs", 700)]), [""; 0]);
        assert_eq!(
            wrongs(&text, &[("a.rs", 699)]),
            ["700 lines without tests, and 699 are allowed"]
        );
        assert_eq!(
            wrongs(&text, &[("a.rs", 800)]),
            ["the exception list allows 800 lines, and it has 700"]
        );
        assert_eq!(
            wrongs("", &[("b.rs", 700)]),
            ["the exception list names a file that is gone"],
            "an exception for no file"
        );
    }
}
