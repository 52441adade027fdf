//! Incidents: what was seen and done, how long it took, and a draft of what is to be learnt.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Ask, Reply, good, missing};
use crate::civil;
use crate::record::incidents::{Clocks, Incident, Mark};
use crate::record::{Said, State, who};

pub(super) fn list(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let limit = ask.limit()?;
    Ok(ask.backend.record().read(|state| {
        let all: Vec<Value> = state.incidents.all().take(limit).map(shown).collect();
        let clocks: Vec<Clocks> = state.incidents.all().map(Incident::clocks).collect();
        let of = |clock: fn(&Clocks) -> Option<u64>| spread(clocks.iter().filter_map(clock).collect());
        good(json!({
            "incidents": all,
            "clocks": {
                "to_detect": of(|clocks| clocks.to_detect),
                "to_acknowledge": of(|clocks| clocks.to_acknowledge),
                "to_mitigate": of(|clocks| clocks.to_mitigate),
                "to_resolve": of(|clocks| clocks.to_resolve),
            },
        }))
    }))
}

pub(super) fn one(ask: &Ask<'_>) -> Result<Reply, Reply> {
    with(ask, |incident, _| good(shown(incident)))
}

pub(super) fn postmortem(ask: &Ask<'_>) -> Result<Reply, Reply> {
    with(ask, |incident, state| Reply::Markdown(draft(incident, state)))
}

pub(super) fn acknowledge(ask: &Ask<'_>) -> Result<Reply, Reply> {
    say(ask, Said::IncidentAcknowledged)
}

pub(super) fn note(ask: &Ask<'_>) -> Result<Reply, Reply> {
    let text = ask.text("text")?.to_owned();
    say(ask, Said::IncidentNoted { text })
}

pub(super) fn mitigate(ask: &Ask<'_>) -> Result<Reply, Reply> {
    say(ask, Said::IncidentMitigated)
}

pub(super) fn resolve(ask: &Ask<'_>) -> Result<Reply, Reply> {
    say(ask, Said::IncidentResolved)
}

fn with(ask: &Ask<'_>, show: impl FnOnce(&Incident, &State) -> Reply) -> Result<Reply, Reply> {
    ask.backend
        .record()
        .read(|state| Some(show(state.incidents.get(ask.name)?, state)))
        .ok_or_else(|| missing("incident", ask.name))
}

/// Says something of an incident that there is, and shows it as it is then.
fn say(ask: &Ask<'_>, said: Said) -> Result<Reply, Reply> {
    with(ask, |_, _| good(Value::Null))?;
    ask.backend
        .record()
        .say_for(&ask.author(), ask.backend.wall(), Some(ask.name), said);
    one(ask)
}

fn shown(incident: &Incident) -> Value {
    let mark = |mark: &Option<Mark>| {
        mark.as_ref()
            .map(|(at, by)| json!({ "at": civil::moment(*at), "by": who(by) }))
    };
    let clocks = incident.clocks();
    let lines = incident.timeline.iter();
    json!({
        "id": &*incident.id,
        "phase": incident.phase(),
        "objectives": incident.objectives,
        "alerts": incident.alerts.iter().map(|id| &**id).collect::<Vec<_>>(),
        "began_at": civil::moment(incident.began),
        "detected_at": civil::moment(incident.detected),
        "acknowledged": mark(&incident.acknowledged),
        "mitigated": mark(&incident.mitigated),
        "resolved": mark(&incident.resolved),
        "to_detect_ms": clocks.to_detect,
        "to_acknowledge_ms": clocks.to_acknowledge,
        "to_mitigate_ms": clocks.to_mitigate,
        "to_resolve_ms": clocks.to_resolve,
        "timeline": lines.map(|line| json!({ "at": civil::moment(line.at), "author": who(&line.author), "text": line.text })).collect::<Vec<_>>(),
        "lines_left_out": incident.lines_left_out,
    })
}

/// How many there were, the median and the 90th percentile, each as one that was seen (nearest rank).
fn spread(mut all: Vec<u64>) -> Value {
    all.sort_unstable();
    let rank = |share: f64| {
        let rank = (share * all.len() as f64).ceil() as usize;
        all.get(rank.saturating_sub(1)).copied()
    };
    json!({ "count": all.len(), "median_ms": rank(0.5), "p90_ms": rank(0.9) })
}

/// What is known, and nothing that is not: causes and lessons are for people to write.
fn draft(incident: &Incident, state: &State) -> String {
    let mut text = format!("# Incident {}\n\n", incident.id);
    let mut put = |line: String| _ = writeln!(text, "{line}");
    let clocks = incident.clocks();
    put(format!(
        "Objectives: {}. It is {}.\n",
        incident.objectives.join(", "),
        incident.phase()
    ));
    put("| clock | took, from its beginning |\n|---|---|".to_owned());
    for (name, span) in [
        ("detected", clocks.to_detect),
        ("acknowledged", clocks.to_acknowledge),
        ("mitigated", clocks.to_mitigate),
        ("resolved", clocks.to_resolve),
    ] {
        put(format!("| {name} | {} |", civil::span(span)));
    }
    put("\n## What was seen\n".to_owned());
    for alert in incident.alerts.iter().filter_map(|id| state.alerts.get(id)) {
        put(format!(
            "- {} at {}: {}",
            alert.id,
            civil::clock(alert.opened_at),
            alert.opened.sentence
        ));
        for out in &alert.opened.stands_out {
            put(format!("  - stands out: {}", crate::alerting::stands_out(out)));
        }
        for change in &alert.opened.changes {
            put(format!("  - changed before: {change}"));
        }
        for example in &alert.opened.examples {
            put(format!("  - failed: {}", crate::alerting::example_line(example)));
        }
    }
    put("\n## Timeline\n\n| UTC | who | what |\n|---|---|---|".to_owned());
    for line in &incident.timeline {
        let what = line.text.replace('|', "\\|").replace('\n', " ");
        put(format!(
            "| {} | {} | {what} |",
            civil::moment(line.at),
            who(&line.author)
        ));
    }
    put("\n## Causes\n\n(to be written)\n\n## What is to be done\n\n(to be written)".to_owned());
    text
}
