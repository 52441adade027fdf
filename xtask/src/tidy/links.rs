//! A link inside the repository leads somewhere.
//!
//! Looked at are all Markdown files: the file or directory that a link names, and the heading after `#`. Links to
//! other sites are not followed, since a check must not need a network. A page of the book may only link inside
//! the book, because what lies beside it is not published with it.

use super::{Finding, Tree, book, rust};

const BOOK: &str = "docs/src/";

/// A link as it is written.
pub(crate) struct Link {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) target: String,
}

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    // The entries of the table of contents are judged by `book`.
    for (path, text) in tree.with_ending(".md").filter(|(path, _)| *path != book::SUMMARY) {
        for link in links(text).into_iter().filter(|link| !is_elsewhere(&link.target)) {
            if let Some((wrong, right)) = judge(tree, path, &link.target) {
                findings.push(Finding::new(path, link.line, wrong, right));
            }
        }
    }
    findings
}

/// What is wrong with the link `target` in the file `path`, and what would be right.
fn judge(tree: &Tree, path: &str, target: &str) -> Option<(String, &'static str)> {
    let (file, heading) = target
        .split_once('#')
        .map_or((target, None), |(file, heading)| (file, Some(heading)));
    let place = if file.is_empty() {
        path.to_owned()
    } else {
        resolve(path, file)
    };
    if file.starts_with('/') || !tree.holds(&place) {
        return Some((
            format!("the link `{target}` leads nowhere"),
            "name a file, relative to this one",
        ));
    }
    if path.starts_with(BOOK) && !place.starts_with(BOOK) {
        let wrong = format!("the link `{target}` leads out of the book");
        return Some((
            wrong,
            "link to the repository's address, or to a page of the book",
        ));
    }
    let heading = heading?;
    let (_, text) = tree.with_ending(".md").find(|(path, _)| *path == place)?;
    (!anchors(text).iter().any(|anchor| anchor == heading)).then(|| {
        (
            format!("{place} has no heading `#{heading}`"),
            "name a heading that is there",
        )
    })
}

/// Whether the link names another site, or a mailbox.
fn is_elsewhere(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '+')
    })
}

/// All links of a Markdown text outside code: `[text](target)` and `[label]: target`.
pub(crate) fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code_spans(line);
        let mut add = |target: &str| {
            let target = target.trim_start_matches('<');
            let target = target.split([' ', '>']).next().unwrap_or(target);
            links.push(Link {
                line: number,
                target: target.to_owned(),
            });
        };
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            add(&rest[..rest.find(')').unwrap_or(rest.len())]);
        }
        if line.trim_start().starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            add(target.trim());
        }
    }
    links
}

/// The lines outside fenced code, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence = None;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let begin = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| begin.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((number + 1, line)),
            _ => {}
        }
        None
    })
}

/// The line with everything between backticks taken out.
fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// The path from the root that `target` means in the file `from`, with `.` and `..` worked out.
pub(crate) fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    // Out of the repository: a name that no file has.
                    return "..".to_owned();
                }
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors that GitHub and mdBook make of the headings: a repeated one is numbered.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let title = line.trim_start_matches('#');
        if title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let base: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter(|letter| rust::is_name(*letter) || matches!(letter, ' ' | '-'))
            .map(|letter| if letter == ' ' { '-' } else { letter })
            .collect();
        let mut anchor = base.clone();
        let mut count = 0;
        while anchors.contains(&anchor) {
            count += 1;
            anchor = format!("{base}-{count}");
        }
        anchors.push(anchor);
    }
    anchors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrongs(path: &str, text: &str) -> Vec<String> {
        let around = [
            ("README.md", "# The `line`\n\n## Run, now\n\n## Run, now\n"),
            ("docs/src/b/c.md", ""),
        ];
        let mut files = around.to_vec();
        files.push((path, text));
        check(&Tree::of(&files))
            .into_iter()
            .map(|finding| finding.wrong)
            .collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let text = "[a](README.md) [b](docs/src/) ![c](./docs/src/b/c.md \"title\")\n\n[d]: <README.md>\n";
        assert_eq!(wrongs("A.md", text), [""; 0]);
        assert_eq!(
            wrongs("docs/src/a.md", "[c](b/c.md) [up](../src/b/c.md)\n"),
            [""; 0]
        );
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        for target in ["gone.md", "../README.md", "/README.md", "docs/src/b/c.md/d"] {
            let wrong = [format!("the link `{target}` leads nowhere")];
            assert_eq!(
                wrongs("A.md", &format!("see [it]({target})\n")),
                wrong,
                "{target}"
            );
            assert_eq!(wrongs("A.md", &format!("[it]: {target}\n")), wrong, "{target}");
        }
    }

    #[test]
    fn other_sites_and_code_are_not_looked_at() {
        let text =
            "[a](https://example.com/x) `[b](gone.md)`\n\n```\n[c](gone.md)\n```\n<https://example.com>\n";
        assert_eq!(wrongs("A.md", text), [""; 0]);
    }

    #[test]
    fn a_heading_is_looked_for() {
        assert_eq!(
            wrongs("A.md", "[a](README.md#the-line) [b](README.md#run-now-1)\n"),
            [""; 0]
        );
        assert_eq!(
            wrongs("A.md", "[a](README.md#gone)\n"),
            ["README.md has no heading `#gone`"]
        );
        assert_eq!(
            wrongs("A.md", "# Title\n[a](#title) [b](#other)\n"),
            ["A.md has no heading `#other`"]
        );
    }

    #[test]
    fn a_page_stays_in_the_book() {
        let wrong = ["the link `../../README.md` leads out of the book"];
        assert_eq!(wrongs("docs/src/a.md", "[a](../../README.md)\n"), wrong);
    }
}
