//! The book's table of contents and its pages agree.
//!
//! mdBook silently leaves out a page that is not in SUMMARY.md, and silently makes an empty one for an entry
//! that has no page.

use std::collections::BTreeMap;

use super::{Finding, Tree, links};

const BOOK: &str = "docs/src/";
pub(super) const SUMMARY: &str = "docs/src/SUMMARY.md";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut entries: BTreeMap<String, usize> = BTreeMap::new();
    let summary = tree.files.get(SUMMARY).map_or("", String::as_str);
    for link in links::links(summary) {
        let page = links::resolve(SUMMARY, &link.target);
        if !tree.files.contains_key(&page) {
            let wrong = format!("the entry has no page {page}");
            findings.push(Finding::new(
                SUMMARY,
                link.line,
                wrong,
                "write the page, or take the entry out",
            ));
        }
        if let Some(before) = entries.insert(page, link.line) {
            let wrong = format!("the page stands here and on line {before}");
            findings.push(Finding::new(
                SUMMARY,
                link.line,
                wrong,
                "a page has one place in the book",
            ));
        }
    }
    let pages = tree
        .with_ending(".md")
        .filter(|(path, _)| path.starts_with(BOOK) && *path != SUMMARY);
    for (path, _) in pages.filter(|(path, _)| !entries.contains_key(*path)) {
        findings.push(Finding::new(
            path,
            1,
            "the page is not in SUMMARY.md",
            "give it its place in the book",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files))
            .into_iter()
            .map(|finding| format!("{}: {}", finding.path, finding.wrong))
            .collect()
    }

    #[test]
    fn entries_and_pages_that_agree_are_fine() {
        let summary = "# Summary\n\n- [A](a.md)\n  - [B](b/c.md)\n";
        let files = [
            ("docs/src/SUMMARY.md", summary),
            ("docs/src/a.md", ""),
            ("docs/src/b/c.md", ""),
        ];
        assert_eq!(found(&files), [""; 0]);
    }

    #[test]
    fn an_entry_without_a_page_and_a_page_without_an_entry_are_found() {
        let files = [("docs/src/SUMMARY.md", "- [A](a.md)\n"), ("docs/src/b.md", "")];
        let expected = [
            "docs/src/SUMMARY.md: the entry has no page docs/src/a.md",
            "docs/src/b.md: the page is not in SUMMARY.md",
        ];
        assert_eq!(found(&files), expected);
    }

    #[test]
    fn a_page_has_one_place() {
        let files = [
            ("docs/src/SUMMARY.md", "- [A](a.md)\n- [B](a.md)\n"),
            ("docs/src/a.md", ""),
        ];
        assert_eq!(
            found(&files),
            ["docs/src/SUMMARY.md: the page stands here and on line 1"]
        );
    }
}
