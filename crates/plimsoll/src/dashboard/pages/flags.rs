//! All flags that are served.

use plimsoll_flags::{Flag, State};

use super::super::{Mood, Page, View};
use super::table;
use crate::api::flags::{Known, target};

/// Flags that a page lists, at most.
const FLAGS_MAX: usize = 500;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let Some(known) = &view.flags else {
        return Page {
            facts: vec![
                "The configuration names no file with definitions of flags (`flags.file`).".to_owned(),
            ],
            ..Page::new("There are no flags", Mood::Leaving)
        };
    };
    let all: Vec<&Flag> = known.served.set.flags().collect();
    let changing = all
        .iter()
        .filter(|flag| under_way(view, flag.key()).is_some())
        .count();
    let headline = match (all.len(), changing) {
        (1, 0) => "One flag is served".to_owned(),
        (flags, 0) => format!("{flags} flags are served"),
        (flags, 1) => format!("{flags} flags are served, and one is being changed"),
        (flags, many) => format!("{flags} flags are served, and {many} are being changed"),
    };
    let row = |flag: &&Flag| {
        vec![
            flag.key().to_owned(),
            state(flag).to_owned(),
            by_default(known, flag).to_owned(),
            reads(flag),
            stands(view, known, flag.key()),
        ]
    };
    let head = ["flag", "state", "by default", "its rule reads", "stands"];
    let rows = all.iter().take(FLAGS_MAX).map(row).collect();
    let doubts = known.served.set.doubts().iter();
    Page {
        facts: vec![format!(
            "Users are drawn as flagd draws them in its generation {}.",
            known.served.set.bucketing()
        )],
        warnings: doubts.map(ToString::to_string).collect(),
        tables: vec![table("Flags", &head, rows, "none")],
        ..Page::new(headline, if changing > 0 { Mood::Leaving } else { Mood::Fine })
    }
}

pub(super) fn state(flag: &Flag) -> &'static str {
    match flag.state() {
        State::Enabled => "enabled",
        State::Disabled => "disabled",
    }
}

/// What it is by default, but for a ramp that is under way: that has no default, and is a rule for everybody.
pub(super) fn by_default<'a>(known: &'a Known, flag: &'a Flag) -> &'a str {
    let settled = known.settled["flags"].get(flag.key());
    let name = match settled {
        Some(settled) => settled["defaultVariant"].as_str(),
        None => flag.default_variant(),
    };
    name.unwrap_or("the code's default")
}

pub(super) fn reads(flag: &Flag) -> String {
    let all: Vec<&str> = flag.variables().collect();
    if all.is_empty() {
        "nothing".to_owned()
    } else {
        all.join(", ")
    }
}

/// The change that a flag is in.
pub(super) fn under_way<'a>(view: &View<'a>, flag: &str) -> Option<&'a change::Standing> {
    view.state.changes.machine.under_way(&target(flag))
}

/// Where a flag stands, in words.
fn stands(view: &View<'_>, known: &Known, flag: &str) -> String {
    if let Some(standing) = under_way(view, flag) {
        return format!("changed by {}", standing.change.id);
    }
    if known.written["flags"].get(flag) == known.settled["flags"].get(flag) {
        return "as the file says".to_owned();
    }
    let mut in_force = view.state.changes.machine.in_force();
    let made = in_force.find(|standing| standing.change.target == target(flag));
    let by = made.map_or("a change", |standing| &standing.change.id);
    format!("as {by} has made it, which is not in the file yet")
}
