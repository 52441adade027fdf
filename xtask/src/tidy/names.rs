//! A module is named after what it holds.
//!
//! A drawer called "various" takes everything, and soon everybody leans on it. `foo.rs` beside `foo/` is the one
//! layout, so that a tab in an editor says which module it is.

use super::{Finding, Tree};

const BANNED: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "types", "misc", "manager", "managers", "core",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in tree.rust() {
        let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
        let inside = parts
            .iter()
            .position(|part| *part == "src")
            .map_or(&[][..], |at| &parts[at + 1..]);
        if let Some(name) = inside.iter().find(|name| BANNED.contains(name)) {
            let right = "name it after the noun it holds, or move its parts to where they are used";
            findings.push(Finding::new(
                path,
                1,
                format!("`{name}` says nothing as a module name"),
                right,
            ));
        }
        if parts.last() == Some(&"mod") {
            let right = "name it after its directory and put it beside it";
            findings.push(Finding::new(path, 1, "a module file called mod.rs", right));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(paths: &[&str]) -> Vec<String> {
        let files: Vec<_> = paths.iter().map(|path| (*path, "")).collect();
        check(&Tree::of(&files))
            .into_iter()
            .map(|finding| finding.path)
            .collect()
    }

    #[test]
    fn a_drawer_is_refused_as_a_file_and_as_a_directory() {
        let paths = ["crates/a/src/b/utils.rs", "crates/a/src/common/c.rs"];
        assert_eq!(places(&paths), paths);
    }

    #[test]
    fn the_name_is_compared_whole_and_only_under_src() {
        assert_eq!(
            places(&["crates/a/src/core_affinity.rs", "crates/common/src/lib.rs"]),
            [""; 0]
        );
    }

    #[test]
    fn mod_rs_is_refused_everywhere() {
        let paths = ["crates/a/src/b/mod.rs", "crates/a/tests/it/mod.rs"];
        assert_eq!(places(&paths), paths);
    }
}
