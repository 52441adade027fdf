//! Waiting is on a signal, and choosing between signals is in a fixed order.
//!
//! A test that sleeps is slow on a fast machine and wrong on a slow one. A `select!` that throws dice gives the
//! simulator two traces for one seed, so the order is written down: `biased;` comes first.

use super::{Finding, Tree, rust};

/// Test files that may sleep, and why.
const MAY_SLEEP: &[(&str, &str)] = &[
    (
        "crates/gateway/src/abreast.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "crates/plimsoll/src/flags/port/tests/ofrep.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "crates/plimsoll/src/flags/port/tests/streams.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "crates/gateway/tests/it/failures.rs",
        "origins that are slow by so many milliseconds",
    ),
    (
        "crates/gateway/tests/it/overload.rs",
        "that waiting for as long as `Retry-After` says is enough",
    ),
    (
        "crates/gateway/tests/it/still.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "crates/gateway/tests/it/reconcile.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "crates/gateway/tests/it/retries.rs",
        "an origin that stalls for so many milliseconds",
    ),
    (
        "crates/gateway/tests/it/slow.rs",
        "slowness is what is tested: callers that trickle, readers that stall",
    ),
    (
        "crates/gateway/tests/it/vectors.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "crates/gateway/tests/it/world.rs",
        "a condition of another thread is looked at again and again, within a bound",
    ),
    (
        "crates/plimsoll/tests/it/attacks.rs",
        "attackers that are slow on purpose, or come one after the other",
    ),
    (
        "crates/plimsoll/tests/it/attacks/victim.rs",
        "a neighbour that asks now and then, and a look at memory as often",
    ),
    (
        "lib/plimsoll-tower/tests/it/dropping.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "lib/plimsoll-tower/tests/it/hedge.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "lib/plimsoll-tower/tests/it/hops.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "lib/plimsoll-tower/tests/it/limit.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "lib/plimsoll-tower/tests/it/service.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "lib/plimsoll-tower/tests/it/vectors.rs",
        "the clock is paused, and sleeping turns it",
    ),
    (
        "xtask/src/tidy/waiting.rs",
        "the examples of this rule name what it looks for",
    ),
];

/// Where time is simulated, sleeping costs nothing and is exact.
const SIMULATED: &str = "crates/sim/";

/// Where code runs under the simulator.
const ORDERED: &[&str] = &["crates/", "examples/", "lib/"];

const RIGHT_INSTEAD_OF_SLEEP: &str =
    "wait on a signal, or pause time; else give the file a row with its reason in MAY_SLEEP";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = check_sleeps(tree, MAY_SLEEP);
    for (path, text) in tree
        .rust()
        .filter(|(path, _)| ORDERED.iter().any(|place| path.starts_with(place)))
    {
        findings.extend(unordered_selects(text).into_iter().map(|line| {
            Finding::new(
                path,
                line,
                "a `select!` in random order",
                "begin it with `biased;`, most urgent first",
            )
        }));
    }
    findings
}

fn check_sleeps(tree: &Tree, may_sleep: &[(&str, &str)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust().filter(|(path, _)| !path.starts_with(SIMULATED)) {
        if may_sleep.iter().any(|(excepted, _)| *excepted == path) {
            continue;
        }
        findings.extend(
            sleeps(path, text)
                .into_iter()
                .map(|line| Finding::new(path, line, "a test that sleeps", RIGHT_INSTEAD_OF_SLEEP)),
        );
    }
    for (path, _) in may_sleep {
        if tree
            .files
            .get(*path)
            .is_none_or(|text| sleeps(path, text).is_empty())
        {
            let wrong = "MAY_SLEEP names a file that does not sleep";
            findings.push(Finding::new(path, 1, wrong, "take its row out"));
        }
    }
    findings
}

/// The lines, counted from 1, of tests that sleep.
fn sleeps(path: &str, text: &str) -> Vec<usize> {
    let tests = if rust::is_test_file(path) {
        0..usize::MAX
    } else {
        rust::test_module(text).unwrap_or(0..0)
    };
    let is_call = |line: &str| {
        !rust::is_comment(line)
            && ["sleep(", "sleep_until("].iter().any(|word| {
                // A test double may define a method of this name.
                rust::find_word(line, word).is_some_and(|at| !line[..at].ends_with("fn "))
            })
    };
    let numbered = text
        .lines()
        .enumerate()
        .filter(|(number, _)| tests.contains(number));
    numbered
        .filter(|(_, line)| is_call(line))
        .map(|(number, _)| number + 1)
        .collect()
}

/// The lines, counted from 1, where a `select!` begins that is not biased.
fn unordered_selects(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines
        .iter()
        .enumerate()
        .filter(|(_, line)| !rust::is_comment(line))
    {
        let Some(at) = rust::find_word(line, "select!") else {
            continue;
        };
        let Some(inside) = line[at + "select!".len()..].trim_start().strip_prefix(['{', '(']) else {
            continue;
        };
        let rest = std::iter::once(inside).chain(lines[number + 1..].iter().copied());
        let first = rest
            .map(str::trim)
            .find(|line| !line.is_empty() && !rust::is_comment(line));
        if !first.is_some_and(|line| line.starts_with("biased;")) {
            found.push(number + 1);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_test_is_found_in_a_test_file_and_in_a_test_module() {
        let call = "    thread::sleep(second);\n";
        let module = format!("fn a() {{\n{call}}}\n#[cfg(test)]\nmod tests {{\n{call}}}\n");
        let files = [
            ("crates/a/tests/it/b.rs", call),
            ("crates/a/src/c.rs", module.as_str()),
        ];
        let places: Vec<_> = check_sleeps(&Tree::of(&files), &[])
            .into_iter()
            .map(|finding| (finding.path, finding.line))
            .collect();
        assert_eq!(
            places,
            [
                ("crates/a/src/c.rs".to_owned(), 6),
                ("crates/a/tests/it/b.rs".to_owned(), 1)
            ]
        );
    }

    #[test]
    fn simulated_time_definitions_and_comments_may_say_sleep() {
        let tree = Tree::of(&[("crates/sim/tests/it/a.rs", "sleep(second)\n")]);
        assert!(check_sleeps(&tree, &[]).is_empty());
        let text = "async fn sleep(&self) {}\n// sleep(second) would be wrong\n";
        assert!(check_sleeps(&Tree::of(&[("crates/a/tests/it/b.rs", text)]), &[]).is_empty());
    }

    #[test]
    fn the_allow_list_holds_only_files_that_sleep() {
        let tree = Tree::of(&[("tests/a.rs", "sleep(second)\n"), ("tests/b.rs", "")]);
        assert!(check_sleeps(&tree, &[("tests/a.rs", "measures the wall clock")]).is_empty());
        let findings = check_sleeps(&tree, &[("tests/a.rs", "as above"), ("tests/b.rs", "no longer")]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "tests/b.rs");
    }

    #[test]
    fn select_is_biased() {
        assert_eq!(unordered_selects("tokio::select! {\n    biased;\n"), [0; 0]);
        assert_eq!(
            unordered_selects("select! {\n    // The signal first.\n    biased;\n"),
            [0; 0]
        );
        assert_eq!(unordered_selects("select! { biased; a = b => c }\n"), [0; 0]);
        assert_eq!(unordered_selects("\ntokio::select! {\n    a = b => c,\n"), [2]);
        assert_eq!(
            unordered_selects("// select! { a }\nselect_biased! {\n    a\n"),
            [0; 0]
        );
    }
}
