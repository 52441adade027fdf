//! Pages of the book that are made by the binary are what it makes today.

use std::path::{Path, PathBuf};

use crate::{blessing, expect, plimsoll};

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/src")
        .join(name)
}

#[test]
fn reasons_are_fresh() {
    expect(
        &page("reasons.md"),
        &plimsoll(&["explain", "--markdown"], b"").out,
    );
}

#[test]
fn reference_is_fresh() {
    const MARK: &str = "<!-- From here on: `plimsoll schema --markdown`. -->\n\n";
    let page = page("configuration.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (introduction, _) = text.split_once(MARK).expect("the page has the mark");
    expect(
        &page,
        &format!(
            "{introduction}{MARK}{}",
            plimsoll(&["schema", "--markdown"], b"").out
        ),
    );
}

/// Every example in the introduction is a whole file, and right.
#[test]
fn examples_are_right() {
    let text = std::fs::read_to_string(page("configuration.md")).unwrap();
    let examples: Vec<_> = text
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(!examples.is_empty() || blessing());
    for example in examples {
        let ran = plimsoll(&["check", "-"], example.as_bytes());
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{example}");
    }
}
