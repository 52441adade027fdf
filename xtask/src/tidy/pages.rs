//! A policy has a page in the book.
//!
//! The table below is the list of policies. A new module of `plimsoll-policy` is in it, or is named as one that
//! is not a policy; what nobody documents, nobody can switch on.

use super::{Finding, Tree};

const SOURCE: &str = "lib/plimsoll-policy/src/";
const PAGES: &str = "docs/src/policies/";

/// Modules of `plimsoll-policy` and their pages.
const POLICIES: &[(&str, &str)] = &[
    ("adaptive", "adaptive-concurrency"),
    ("balance", "load-balancing"),
    ("breaker", "circuit-breaker"),
    ("budget", "retry-budget"),
    ("bulkhead", "bulkhead"),
    ("deadline", "deadlines"),
    ("fault", "fault-injection"),
    ("health", "health-checks"),
    ("hedge", "hedging"),
    ("memory", "memory"),
    ("outlier", "outlier-ejection"),
    ("pace", "request-limits"),
    ("rate", "rate-limits"),
    ("retry", "retries"),
    ("shed", "priorities-and-shedding"),
];

/// Modules of `plimsoll-policy` that decide nothing by themselves.
const NOT_POLICIES: &[(&str, &str)] = &[
    ("lib", "the list of the crate's modules"),
    ("backoff", "arithmetic of retries, told on their page"),
    (
        "bucketing",
        "how users are drawn for a flag, told where flags are",
    ),
    ("dice", "randomness as an argument"),
    ("grpc_timeout", "how a deadline is written on the wire"),
    ("judged", "which answers are failures, for all policies alike"),
    ("pushback", "how an upstream asks for a pause on the wire"),
    ("slots", "what the adaptive limit counts, told on its page"),
    ("script", "words of the test scripts"),
    ("transcript", "reads the test scripts"),
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in tree.files.keys() {
        let Some(module) = path
            .strip_prefix(SOURCE)
            .and_then(|name| name.strip_suffix(".rs"))
        else {
            continue;
        };
        if module.contains('/') || NOT_POLICIES.iter().any(|(name, _)| *name == module) {
            continue;
        }
        let Some((_, page)) = POLICIES.iter().find(|(name, _)| *name == module) else {
            let wrong = format!("policy `{module}` is not in the list of policies");
            findings.push(Finding::new(
                path,
                1,
                wrong,
                "add it to POLICIES in xtask/src/tidy/pages.rs",
            ));
            continue;
        };
        let page = format!("{PAGES}{page}.md");
        if !tree.files.contains_key(&page) {
            findings.push(Finding::new(
                path,
                1,
                format!("policy `{module}` has no page"),
                format!("write {page}"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrongs(paths: &[&str]) -> Vec<String> {
        let files: Vec<_> = paths.iter().map(|path| (*path, "")).collect();
        check(&Tree::of(&files))
            .into_iter()
            .map(|finding| finding.wrong)
            .collect()
    }

    #[test]
    fn a_policy_with_a_page_is_fine_and_its_inner_modules_need_none() {
        let paths = [
            "docs/src/policies/circuit-breaker.md",
            "lib/plimsoll-policy/src/breaker.rs",
            "lib/plimsoll-policy/src/breaker/window.rs",
            "lib/plimsoll-policy/src/dice.rs",
        ];
        assert_eq!(wrongs(&paths), [""; 0]);
    }

    #[test]
    fn a_policy_without_a_page_or_a_row_is_found() {
        assert_eq!(
            wrongs(&["lib/plimsoll-policy/src/breaker.rs"]),
            ["policy `breaker` has no page"]
        );
        let wrong = ["policy `teleport` is not in the list of policies"];
        assert_eq!(wrongs(&["lib/plimsoll-policy/src/teleport.rs"]), wrong);
    }
}
