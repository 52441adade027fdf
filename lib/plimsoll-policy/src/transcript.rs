//! Test scripts: what is said to a policy, and what it must answer.
//!
//! A script in `testdata/<policy>/*.txt` is a conversation. A line that starts at the margin is a command;
//! the indented lines below it are the answer expected, word for word; `#` starts a comment. Every file
//! starts with a fresh policy.

use std::fmt::Write as _;
use std::path::Path;

/// Plays every script in `testdata/<policy>`, each to a fresh `policy()` that maps a command to its answer,
/// one line each for several. All differences in one file are reported together.
pub(crate) fn check<P: FnMut(&str) -> String>(policy: &str, fresh: impl Fn() -> P) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(policy);
    let mut scripts: Vec<_> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scripts in {}", directory.display());
    for script in scripts {
        let text = std::fs::read_to_string(&script).unwrap();
        let differences = differences(&text, fresh());
        assert!(differences.is_empty(), "{}\n{differences}", script.display());
    }
}

fn differences(text: &str, mut policy: impl FnMut(&str) -> String) -> String {
    let mut report = String::new();
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.split('#').next().unwrap().trim_end()))
        .filter(|(_, line)| !line.is_empty())
        .peekable();
    while let Some((at, command)) = lines.next() {
        assert!(
            !command.starts_with(' '),
            "line {at}: an answer before any command"
        );
        let mut expected = Vec::new();
        while let Some((_, answer)) = lines.next_if(|(_, line)| line.starts_with(' ')) {
            expected.push(answer.trim());
        }
        let answered = policy(command);
        let answered: Vec<_> = answered.lines().map(str::trim).collect();
        if answered != expected {
            writeln!(
                report,
                "line {at}: {command}\n  expected {expected:?}\n  answered {answered:?}"
            )
            .unwrap();
        }
    }
    report
}

#[test]
fn a_wrong_answer_is_reported_with_its_line() {
    let said = differences("# title\n\nask a\n  a\n\nask b\n  c\n", |command| {
        command[4..].to_owned()
    });
    assert_eq!(said, "line 6: ask b\n  expected [\"c\"]\n  answered [\"b\"]\n");
}
