//! What people are told of an alert, in the same words everywhere.

use std::fmt::Write as _;

use crate::civil;
use crate::record::alerts::Alert;
use crate::record::entry::{Example, StandsOut, Told};

/// Requests that a message shows.
const EXAMPLES_SHOWN: usize = 3;

/// An alert, and what is to be told of it.
#[derive(Clone, Debug)]
pub(crate) struct Telling {
    pub(crate) alert: Alert,
    pub(crate) told: Told,
    /// The incident that it belongs to.
    pub(crate) incident: Option<String>,
    /// Where people find the dashboard; without a slash at the end.
    pub(crate) address: Option<String>,
}

impl Telling {
    /// `[page] checkout`, `[resolved] checkout`.
    pub(crate) fn title(&self) -> String {
        let word = match self.told {
            Told::Firing => self.alert.opened.severity.word(),
            Told::Resolved => "resolved",
        };
        format!("[{word}] {}", self.alert.opened.objective)
    }

    /// Where to look.
    pub(crate) fn link(&self) -> Option<String> {
        let address = self.address.as_ref()?;
        Some(match &self.incident {
            Some(incident) => format!("{address}/incidents/{incident}"),
            // What is watched beside objectives has no page of its own, and a name that none of them can have.
            None if self.alert.opened.objective.contains(':') => format!("{address}/traffic"),
            None => format!("{address}/objectives/{}", self.alert.opened.objective),
        })
    }

    /// The sentence, or what became of it.
    pub(crate) fn sentence(&self) -> String {
        match (&self.alert.closed, self.told) {
            (Some((at, why)), Told::Resolved) => {
                let minutes = at.saturating_sub(self.alert.opened_at) / 60_000;
                format!(
                    "{why}, after {minutes} min; it was: {}",
                    self.alert.opened.sentence
                )
            }
            _ => self.alert.opened.sentence.clone(),
        }
    }

    /// Everything else, a line each.
    pub(crate) fn lines(&self) -> Vec<String> {
        let opened = &self.alert.opened;
        let mut lines = Vec::new();
        if let Some(began) = opened.began {
            lines.push(format!("began at {}", civil::clock(1_000 * began)));
        }
        if self.told == Told::Resolved {
            return lines;
        }
        lines.extend(
            opened
                .stands_out
                .iter()
                .map(|out| format!("stands out: {}", stands_out(out))),
        );
        lines.extend(
            opened
                .changes
                .iter()
                .map(|change| format!("changed before: {change}")),
        );
        let examples = opened.examples.iter().take(EXAMPLES_SHOWN);
        lines.extend(examples.map(|example| format!("failed: {}", example_line(example))));
        lines.extend(opened.runbook.iter().map(|runbook| format!("runbook: {runbook}")));
        lines.extend(self.link().map(|link| format!("look at: {link}")));
        lines
    }

    /// All of it, as text.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n", self.sentence());
        for line in self.lines() {
            // Writing to a String cannot fail.
            _ = writeln!(text, "- {line}");
        }
        text
    }
}

/// `route pay, 97 % of failures, 3.1 times its share of the traffic`.
pub(crate) fn stands_out(out: &StandsOut) -> String {
    let StandsOut {
        dimension,
        value,
        share,
        lift,
        ..
    } = out;
    format!(
        "{dimension} {value}, {:.0} % of failures, {lift:.1} times its share of the traffic",
        100.0 * share
    )
}

/// `trace 4bf9…, pay, gold, upstream-timeout, 1,200 ms`.
pub(crate) fn example_line(example: &Example) -> String {
    let Example {
        trace_id,
        route,
        tier,
        reason,
        latency_ms,
        ..
    } = example;
    format!("trace {trace_id}, {route}, {tier}, {reason}, {latency_ms} ms")
}
