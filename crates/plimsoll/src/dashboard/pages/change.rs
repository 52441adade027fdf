//! One change: its verdict, what was said of it and by what, and what may be done.

use change::{Phase, Standing};
use plimsoll_slo::{Finding, Seen};

use super::super::{Card, Field, Form, Mood, Page, View};
use super::{changes, table};
use crate::civil;
use crate::record::who;
use crate::rollout::{Looked, words};

pub(in super::super) fn page(view: &View<'_>, id: &str) -> Option<Page> {
    let standing = view.state.changes.machine.get(id)?;
    let looked = view.looked.get(id);
    let told = view.state.changes.told(id).iter().rev().map(|line| {
        vec![
            civil::moment(line.at),
            who(&line.author).to_owned(),
            words::sentence(standing, &line.said),
        ]
    });
    let mut facts = vec![format!(
        "{} It {}.",
        steps(standing),
        changes::last(view, standing)
    )];
    facts.extend(
        looked
            .and_then(|looked| words::waits(&looked.next))
            .map(|waits| format!("It waits {waits}.")),
    );
    let mood = match standing.phase() {
        Phase::Final | Phase::Promoted => Mood::Fine,
        Phase::Reverting | Phase::Reverted | Phase::Parked => Mood::Attention,
        Phase::Proposed | Phase::Armed | Phase::Step(_) => Mood::Leaving,
    };
    let headline = format!(
        "{id}: {}, {}, for {} of the traffic",
        words::what(standing),
        words::state(standing),
        words::share(standing.exposed_at(view.now))
    );
    let mut tables = vec![table(
        "What was said",
        &["at", "who", "what"],
        told.collect(),
        "nothing",
    )];
    tables.extend(looked.and_then(signs));
    Some(Page {
        facts,
        cards: looked.and_then(verdict).into_iter().collect(),
        forms: forms(standing),
        tables,
        ..Page::new(headline, mood)
    })
}

fn steps(standing: &Standing) -> String {
    let shares = standing.change.steps.iter().map(|step| words::share(step.share));
    let shares: Vec<String> = shares.collect();
    format!("Its steps are {}, and then everybody.", shares.join(", "))
}

/// What the comparison says now.
fn verdict(looked: &Looked) -> Option<Card> {
    let found = looked.comparison?;
    let (candidate, stable) = looked.evidence.as_ref()?.of_step();
    let (title, mood) = match found.finding {
        Finding::Bad(sign) => (format!("It is worse, by {}", sign.word()), Mood::Attention),
        Finding::Good => ("It is good enough for the next step".to_owned(), Mood::Fine),
        Finding::Undecided => ("It is not known whether it is good".to_owned(), Mood::Leaving),
    };
    let arm = |seen: Seen| format!("{} of {} failed", seen.failed, seen.events);
    let mut lines = vec![
        ("candidate", arm(candidate)),
        ("stable", arm(stable)),
        (
            "worse",
            format!("{:.3} of the evidence that suffices", found.worse.min(1e6)),
        ),
    ];
    if let Some(more) = found.more.filter(|_| found.finding == Finding::Undecided) {
        lines.push((
            "it takes",
            format!("about {more:.1} times as much as was seen in this step so far"),
        ));
    }
    Some(Card {
        title,
        mood,
        lines,
        forms: Vec::new(),
    })
}

/// Sign by sign.
fn signs(looked: &Looked) -> Option<crate::status::tables::Table> {
    let found = looked.comparison?;
    let rows = found.signs.iter().map(|weighed| {
        let as_good = weighed
            .as_good
            .map_or_else(|| "-".to_owned(), |found| format!("{:.3}", found.min(1e6)));
        vec![
            weighed.sign.word().to_owned(),
            weighed
                .ratio
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            format!("{:.3}", weighed.worse.min(1e6)),
            as_good,
        ]
    });
    let head = [
        "sign",
        "times as often as before",
        "worse, of what suffices",
        "as good, of what suffices",
    ];
    Some(table("The evidence", &head, rows.collect(), "none"))
}

/// What may be done about it.
fn forms(standing: &Standing) -> Vec<Form> {
    if standing.phase().is_over() || standing.phase() == Phase::Reverting {
        return Vec::new();
    }
    let of = |verb: &str, button, fields| Form {
        action: format!("/changes/{}/{verb}", standing.change.id),
        button,
        fields,
    };
    let hold = match standing.paused() {
        Some(_) => of("resume", "Resume", Vec::new()),
        None => of("pause", "Pause", vec![Field::Line("reason", "why it waits")]),
    };
    let mut forms = vec![
        of(
            "revert",
            "Take it back",
            vec![Field::Line("reason", "why it is taken back")],
        ),
        hold,
    ];
    if standing.phase() != Phase::Promoted {
        forms.push(of(
            "promote",
            "Let it go on",
            vec![Field::Line("reason", "why it may go on")],
        ));
    }
    forms
}
