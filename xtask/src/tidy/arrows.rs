//! Arrows between packages point down only, and the pure crates depend on nobody.
//!
//! The arrows are the architecture: `lib/` is promises that strangers import, so it leans on nothing of the
//! inside; the judge leans on nothing at all; only the binary sees everything. An arrow that is not in
//! [`ALLOWED`] is a decision, and is made by adding it there.

use super::{Finding, Package, Tree, rust};

/// Which of our own packages each of our packages may lean on, also in its tests.
const ALLOWED: &[(&str, &[&str])] = &[
    ("plimsoll-slo", &[]),
    ("plimsoll-flags", &["plimsoll-policy"]),
    ("plimsoll-policy", &["plimsoll-slo"]),
    ("plimsoll-tower", &["plimsoll-policy", "plimsoll-slo"]),
    ("gateway", &["plimsoll-policy", "plimsoll-slo"]),
    ("change", &["plimsoll-slo"]),
    ("private-postgres", &[]),
    ("store", &["plimsoll-slo", "private-postgres"]),
    ("order-desk", &["private-postgres"]),
    (
        "plimsoll",
        &[
            "change",
            "gateway",
            "order-desk",
            "plimsoll-flags",
            "plimsoll-policy",
            "plimsoll-slo",
            "private-postgres",
            "store",
        ],
    ),
    (
        "sim",
        &[
            "gateway",
            "order-desk",
            "plimsoll",
            "plimsoll-policy",
            "plimsoll-slo",
        ],
    ),
    ("xtask", &["plimsoll-flags"]),
];

/// Crates that decide and never act. Without a dependency they cannot reach a clock, a runtime or a log.
const PURE: &[&str] = &["plimsoll-policy", "plimsoll-slo"];

/// A package more has to say which of the others it could not join; see ARCHITECTURE.md.
const PACKAGES_MAX: usize = 15;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            findings.push(Finding::new(
                &package.manifest,
                1,
                format!("package `{}` has no arrows", package.name),
                "give it a row in ALLOWED in xtask/src/tidy/arrows.rs",
            ));
            continue;
        };
        check_package(tree, package, allowed, &mut findings);
    }
    if tree.packages.len() > PACKAGES_MAX {
        findings.push(Finding::new(
            "Cargo.toml",
            1,
            format!(
                "{} packages, and the budget is {PACKAGES_MAX}",
                tree.packages.len()
            ),
            "make the newest a module of the package that uses it",
        ));
    }
    findings
}

fn check_package(tree: &Tree, package: &Package, allowed: &[&str], findings: &mut Vec<Finding>) {
    for dependency in &package.dependencies {
        let name = dependency.name.as_str();
        let ours = tree.packages.iter().find(|other| other.name == name);
        let (wrong, right) = match ours {
            Some(other) if package.manifest.starts_with("lib/") && !other.manifest.starts_with("lib/") => (
                format!(
                    "`{}` is a promise and leans on the inside, `{name}`",
                    package.name
                ),
                "turn the arrow around: put a trait beside the policy and its adapter in the crate"
                    .to_owned(),
            ),
            Some(_) if !allowed.contains(&name) => (
                format!("`{}` must not depend on `{name}`", package.name),
                format!("it may depend on {}", list(allowed)),
            ),
            None if PURE.contains(&package.name.as_str()) && !dependency.for_tests => (
                format!("`{}` is pure and depends on `{name}`", package.name),
                "take what is needed as an argument, or make it a dev-dependency".to_owned(),
            ),
            _ => continue,
        };
        findings.push(Finding::new(
            &package.manifest,
            line_of(tree, &package.manifest, name),
            wrong,
            right,
        ));
    }
}

fn list(allowed: &[&str]) -> String {
    if allowed.is_empty() {
        "none of ours".to_owned()
    } else {
        allowed.join(", ")
    }
}

/// The line of the manifest that names the dependency.
fn line_of(tree: &Tree, manifest: &str, name: &str) -> usize {
    let text = tree.files.get(manifest).map_or("", String::as_str);
    let names = |line: &str| {
        line.strip_prefix(name)
            .is_some_and(|rest| !rest.starts_with(|c| rust::is_name(c) || c == '-'))
    };
    text.lines().position(names).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::super::tree::Dependency;
    use super::*;

    fn package(name: &str, place: &str, dependencies: &[(&str, bool)]) -> Package {
        let dependency = |(name, for_tests): &(&str, bool)| Dependency {
            name: (*name).to_owned(),
            for_tests: *for_tests,
        };
        Package {
            name: name.to_owned(),
            manifest: format!("{place}/{name}/Cargo.toml"),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    fn wrongs(packages: Vec<Package>) -> Vec<String> {
        let tree = Tree {
            packages,
            ..Tree::default()
        };
        check(&tree).into_iter().map(|finding| finding.wrong).collect()
    }

    #[test]
    fn arrows_that_point_down_are_fine() {
        let packages = vec![
            package("plimsoll-slo", "lib", &[("proptest", true)]),
            package("plimsoll-policy", "lib", &[("plimsoll-slo", false)]),
            package(
                "gateway",
                "crates",
                &[("plimsoll-policy", false), ("tokio", false)],
            ),
        ];
        assert_eq!(wrongs(packages), [""; 0]);
    }

    #[test]
    fn a_promise_does_not_lean_on_the_inside() {
        let packages = vec![
            package("plimsoll-policy", "lib", &[("gateway", true)]),
            package("gateway", "crates", &[]),
        ];
        assert_eq!(
            wrongs(packages),
            ["`plimsoll-policy` is a promise and leans on the inside, `gateway`"]
        );
    }

    #[test]
    fn an_arrow_that_is_not_in_the_table_is_refused() {
        let packages = vec![
            package("gateway", "crates", &[("sim", true)]),
            package("sim", "crates", &[]),
        ];
        assert_eq!(wrongs(packages), ["`gateway` must not depend on `sim`"]);
    }

    #[test]
    fn a_pure_crate_depends_on_nobody_but_in_its_tests() {
        let packages = vec![package(
            "plimsoll-slo",
            "lib",
            &[("tokio", false), ("proptest", true)],
        )];
        assert_eq!(
            wrongs(packages),
            ["`plimsoll-slo` is pure and depends on `tokio`"]
        );
    }

    #[test]
    fn a_new_package_needs_a_row_and_a_place_in_the_budget() {
        assert_eq!(
            wrongs(vec![package("shed", "crates", &[])]),
            ["package `shed` has no arrows"]
        );
        let many = (0..=PACKAGES_MAX).map(|_| package("xtask", ".", &[])).collect();
        assert_eq!(wrongs(many), ["16 packages, and the budget is 15"]);
    }

    #[test]
    fn the_finding_points_at_the_line_of_the_dependency() {
        let mut tree = Tree::of(&[(
            "lib/plimsoll-slo/Cargo.toml",
            "[dependencies]\nhttp-body = 1\nhttp = 1\n",
        )]);
        tree.packages = vec![package("plimsoll-slo", "lib", &[("http", false)])];
        assert_eq!(check(&tree)[0].line, 3);
    }
}
