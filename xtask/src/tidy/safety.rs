//! Unsafe code is where this list says.
//!
//! The compiler denies it everywhere; whoever allows it again, allows it here too, with the reason.

use super::{Finding, Tree, rust};

/// Files that may allow it, and why nothing safe would do.
const EXCEPTIONS: &[(&str, &str)] = &[(
    "crates/plimsoll/src/allocator.rs",
    "the allocator is in C, and no crate offers a safe way to have it give memory back",
)];

/// What allows it.
const LINT: &str = concat!("unsafe", "_code");

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.with_ending(".rs") {
        if EXCEPTIONS.iter().any(|(file, _)| file == &path) {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if rust::find_word(line, LINT).is_some() {
                findings.push(Finding::new(
                    path,
                    number + 1,
                    "unsafe code is allowed",
                    "do without, or add the file to EXCEPTIONS in xtask/src/tidy/safety.rs, with the reason",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_outside_of_the_list_only() {
        let allow = format!("fn a() {{}}\n#[allow({LINT}, reason = \"speed\")]\n");
        let tree = Tree::of(&[("crates/a/src/b.rs", &allow), (EXCEPTIONS[0].0, &allow)]);
        let found = check(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("crates/a/src/b.rs", 2));
    }
}
