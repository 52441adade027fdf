//! Wrong configurations, and what is said about them.

use std::path::Path;

use crate::{blessing, plimsoll, testdata};

/// Every script below `testdata/config`: cases between `====` lines, each a configuration and, below `----`, what
/// `plimsoll check -` says.
#[test]
fn scripts_say_what_is_wrong() {
    let mut scripts: Vec<_> = std::fs::read_dir(testdata("config"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    for script in scripts {
        check(&script);
    }
}

fn check(script: &Path) {
    let text = std::fs::read_to_string(script).unwrap();
    let mut blessed = Vec::new();
    for case in text.split("====\n") {
        let (config, expected) = case.split_once("----\n").unwrap_or((case, ""));
        let ran = plimsoll(&["check", "-"], config.as_bytes());
        let said = format!("{}{}", ran.out, ran.err);
        let code = if ran.err.is_empty() { 0 } else { 2 };
        assert_eq!(ran.code, Some(code), "{}: {config}{said}", script.display());
        if !blessing() {
            assert!(
                said == expected,
                "{}\n{config}---- expected\n{expected}---- said\n{said}",
                script.display()
            );
        }
        blessed.push(format!("{config}----\n{said}"));
    }
    if blessing() {
        std::fs::write(script, blessed.join("====\n")).unwrap();
    }
}
