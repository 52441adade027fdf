//! A configuration of which objectives or figures are wrong, read without them.
//!
//! What is said about traffic must not keep it from being carried: a process that is started anew in an outage, with an
//! objective that names a route which is gone, starts, judges all others, and says of this one that it is broken.
//! Whatever else is wrong is refused as always; and so is a reload or an upgrade with such an objective, since there
//! what ran before runs on, and judges it.

use std::collections::BTreeSet;

use super::problem::{Mark, Problem, Problems};
use super::tree::{Bounds, Kind, Node};
use super::{Config, parse};

/// The lists of what is judged, and carries nothing.
const JUDGED: [&str; 2] = ["objectives", "kpis"];

/// What services ask for, and do without.
const FLAGS: &str = "flags";

/// See [`Config::load_to_start`].
///
/// # Errors
/// [`Problems`] with everything that is wrong, if anything but objectives, figures and flags is.
pub(super) fn read(file: &str, bytes: &[u8]) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let mut node = parse(bytes, Bounds::CONFIG, &mut problems);
    let mut found: Vec<Problem> = Vec::new();
    // What refers to one that is left out is left out in the next round; each takes at least one away.
    loop {
        let wrong = match Config::of(node.as_ref(), problems.clone()) {
            Ok(mut config) => {
                config.broken = lines(file, found);
                return Ok(config);
            }
            Err(wrong) => wrong,
        };
        let rest = node.as_ref().and_then(|node| without(node, &wrong));
        found.extend(wrong);
        match rest {
            Some(rest) => node = Some(rest),
            None => return Err(Problems::new(file, found)),
        }
    }
}

fn lines(file: &str, found: Vec<Problem>) -> Vec<String> {
    if found.is_empty() {
        return Vec::new();
    }
    let lines = Problems::new(file, found).to_string();
    lines.lines().map(str::to_owned).collect()
}

/// The same tree without what these are about; `None` if one is not about something that is judged.
fn without(root: &Node, wrong: &[Problem]) -> Option<Node> {
    let mut rest = root.clone();
    let Kind::Map(entries) = &mut rest.kind else {
        return None;
    };
    // Flags that nobody can read are not served, and whoever has some goes on with them.
    let mut about = wrong
        .iter()
        .filter(|problem| is_within(&problem.place.path, FLAGS))
        .count();
    if about > 0 {
        entries.retain(|(key, _)| key.text != FLAGS);
    }
    for (key, list) in entries {
        let list_name = &*key.text;
        let Kind::List(items) = &mut list.kind else {
            continue;
        };
        if !JUDGED.contains(&list_name) {
            continue;
        }
        let marks: Vec<Mark> = items.iter().map(|item| item.mark).collect();
        let mut broken = BTreeSet::new();
        for problem in wrong
            .iter()
            .filter(|problem| is_within(&problem.place.path, list_name))
        {
            // The last that begins at or before it is the one that it is in.
            let before = marks.partition_point(|mark| *mark <= problem.place.mark);
            broken.insert(before.checked_sub(1)?);
            about += 1;
        }
        let mut index = 0..;
        items.retain(|_| index.next().is_some_and(|index| !broken.contains(&index)));
    }
    (about == wrong.len() && about > 0).then_some(rest)
}

/// `objectives.checkout.target` and `objectives[3]` are within `objectives`, which itself is not.
fn is_within(path: &str, list: &str) -> bool {
    path.strip_prefix(list)
        .is_some_and(|rest| rest.starts_with(['.', '[']))
}
