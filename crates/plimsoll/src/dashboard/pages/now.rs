//! What somebody sees first: is it real, who is hurt, what changed, what is done already, what to do.

use std::collections::HashSet;
use std::time::Duration;

use super::super::{Card, Mood, Page, View};
use super::{objectives, standing, steps, table};
use crate::alerting::{example_line, stands_out};
use crate::civil;
use crate::reading::ObjectiveReading;
use crate::record::alerts::Alert;
use crate::record::entry::Calls;
use crate::status::attention::of_objective;
use crate::status::tables;

/// Changes that are shown, and how far back.
const CHANGES_MAX: usize = 20;
const CHANGES_WITHIN: Duration = Duration::from_hours(1);
/// Alerts that are shown with all that is known of them, and failed requests of each.
const CARDS_MAX: usize = 5;
const EXAMPLES_MAX: usize = 3;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let mut open: Vec<&Alert> = view.state.alerts.open().collect();
    open.sort_by_key(|alert| {
        (
            std::cmp::Reverse(alert.opened.severity),
            std::cmp::Reverse(alert.opened_at),
        )
    });
    // One card for an objective: a page says all that its ticket does.
    let mut named = HashSet::new();
    open.retain(|alert| named.insert(&*alert.opened.objective));
    let pages = open
        .iter()
        .filter(|alert| alert.opened.severity == Calls::Page)
        .count();
    let unknown = view
        .objectives
        .iter()
        .filter(|reading| standing(reading).1 == Mood::Leaving)
        .count();
    let (headline, mood) = match (pages, open.len(), view.status.attention.len()) {
        (0, 0, 0) if view.objectives.is_empty() => ("No objective is declared".to_owned(), Mood::Leaving),
        (0, 0, 0) if unknown > 0 => (
            format!("Nothing is known to be wrong; of {unknown} nothing is known"),
            Mood::Leaving,
        ),
        (0, 0, 0) => ("All objectives are met".to_owned(), Mood::Fine),
        (0, 0, 1) => ("One thing needs attention".to_owned(), Mood::Attention),
        (0, 0, many) => (format!("{many} things need attention"), Mood::Attention),
        (0, tickets, _) => (format!("{tickets} for tomorrow"), Mood::Attention),
        (1, ..) => (format!("{} pages", open[0].opened.objective), Mood::Attention),
        (many, ..) => (format!("{many} objectives page"), Mood::Attention),
    };
    let changes = view.state.changes(view.now, CHANGES_WITHIN).take(CHANGES_MAX);
    let changes = changes.map(|(at, what)| vec![civil::moment(at), what.into_owned()]);
    let mut page = Page {
        warnings: warnings(&open, view),
        facts: vec![format!(
            "{}, plimsoll {}, at {}.",
            view.status.state, view.status.version, view.status.at
        )],
        cards: cards(&open, view),
        tables: vec![
            objectives::table_of(view.objectives),
            table(
                "Changes in the last hour",
                &["at", "what"],
                changes.collect(),
                "none that is known",
            ),
            tables::protections(view.status),
        ],
        ..Page::new(headline, mood)
    };
    if open.len() > CARDS_MAX {
        page.facts.push(format!(
            "{} more call; each has a page below.",
            open.len() - CARDS_MAX
        ));
    }
    page
}

/// What needs attention and has no card: a missed objective that calls nobody is among it.
fn warnings(open: &[&Alert], view: &View<'_>) -> Vec<String> {
    let carded: HashSet<&str> = open
        .iter()
        .take(CARDS_MAX)
        .map(|alert| &*alert.opened.objective)
        .collect();
    let of_carded = view
        .status
        .objectives
        .iter()
        .filter(|one| carded.contains(&*one.name));
    let on_cards: HashSet<String> = of_carded.map(of_objective).collect();
    let left = view
        .status
        .attention
        .iter()
        .filter(|said| !on_cards.contains(*said));
    left.cloned().collect()
}

/// The first card of each incident has what may be done about it.
fn cards(open: &[&Alert], view: &View<'_>) -> Vec<Card> {
    let mut acted = HashSet::new();
    let cards = open.iter().take(CARDS_MAX).map(|alert| {
        let incident = view.state.incidents.of_alert(&alert.id);
        let first = incident.filter(|incident| acted.insert(&*incident.id));
        Card {
            forms: first.map(steps).unwrap_or_default(),
            ..card(alert, view)
        }
    });
    cards.collect()
}

/// Everything that is known of an alert, and how it stands now.
fn card(alert: &Alert, view: &View<'_>) -> Card {
    let opened = &alert.opened;
    let reading = view
        .objectives
        .iter()
        .find(|reading| *reading.name == *opened.objective);
    let word = match opened.severity {
        Calls::Page => "pages",
        Calls::Ticket => "asks for a ticket",
    };
    let mut lines = reading.map(as_it_is).unwrap_or_default();
    lines.push((
        "since",
        match opened.began {
            Some(began) => format!(
                "{}; called at {}",
                civil::moment(1_000 * began),
                civil::moment(alert.opened_at)
            ),
            None => civil::moment(alert.opened_at),
        },
    ));
    lines.push(("then", opened.sentence.clone()));
    lines.extend(opened.stands_out.iter().map(|out| ("who", stands_out(out))));
    lines.extend(opened.changes.iter().map(|change| ("changed", change.clone())));
    lines.extend(
        opened
            .examples
            .iter()
            .take(EXAMPLES_MAX)
            .map(|one| ("failed", example_line(one))),
    );
    lines.extend(opened.runbook.iter().map(|runbook| ("runbook", runbook.clone())));
    let incident = view.state.incidents.of_alert(&alert.id);
    lines.extend(incident.map(|incident| ("incident", incident.id.to_string())));
    if let Some(silence) = view.state.silences.of(&opened.objective, view.now) {
        lines.push((
            "silenced",
            format!(
                "by {} until {}: {}",
                silence.author,
                civil::moment(silence.until),
                silence.reason
            ),
        ));
    }
    Card {
        title: format!("{} {word}", opened.objective),
        mood: Mood::Attention,
        lines,
        forms: Vec::new(),
    }
}

/// The verdict of this second.
fn as_it_is(reading: &ObjectiveReading) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let verdict = &reading.verdict;
    lines.push(("now", format!("{}.", verdict.sentence())));
    let burns = verdict.burns.iter().filter_map(|(rule, burning)| {
        let (long, short) = (burning.long?, burning.short?);
        let (of_long, of_short) = (rule.long.as_secs() / 60, rule.short.as_secs() / 60);
        Some(format!(
            "{long:.1} in {of_long} min and {short:.1} in {of_short} min, calls at {:.1}",
            rule.factor
        ))
    });
    lines.extend(burns.take(1).map(|burn| ("burn", burn)));
    lines.push((
        "evidence",
        match verdict.evidence {
            enough if enough >= 1.0 => format!(
                "enough for a page: by chance it comes less than once in {:.0} times 30 days",
                1.0 / verdict.objective.alpha
            ),
            share => format!("{} of what a page needs", tables::percent(share)),
        },
    ));
    lines
}
