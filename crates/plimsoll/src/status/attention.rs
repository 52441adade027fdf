//! What is not as it should be, in sentences. What is bad for users the judge of objectives says; the rest is what an
//! operator would want to look at, by fixed bounds, which stand here with their reasons.

use super::{Objective, Status, Upstream};

/// A share of good requests that is worth a look while there is no objective to say so.
const GOOD_SHARE_MIN: f64 = 0.99;

/// Requests in the window before that share means anything: one failure of five is no trend.
const REQUESTS_MIN: u64 = 20;

/// A bound of which this share is used will soon refuse something.
const NEARLY_FULL: f64 = 0.9;

/// Share of time in which some work stalls: a fifth is beyond what short bursts make.
const PRESSURE_MAX: f64 = 0.2;

/// The sentences, the worst first.
pub(super) fn sentences(status: &Status) -> Vec<String> {
    let mut said = Vec::new();
    match status.state.as_str() {
        "serving" => {}
        "draining" => said.push("It is draining: no new requests are taken.".to_owned()),
        state => said.push(format!("It is {state}.")),
    }
    said.extend(status.incidents.iter().map(|incident| {
        let (id, phase, began) = (&incident.id, &incident.phase, &incident.began);
        format!(
            "Incident {id} ({phase}), which began at {began}: {}.",
            incident.objectives.join(", ")
        )
    }));
    objectives(status, &mut said);
    targets(status, &mut said);
    traffic(status, &mut said);
    client_errors(status, &mut said);
    kpis(status, &mut said);
    for upstream in &status.upstreams {
        protections(upstream, status, &mut said);
    }
    limits(status, &mut said);
    for (what, problems) in [
        ("Broken since the start, and not judged", &status.config.broken),
        (
            "The last reload was refused, and what ran before runs on",
            &status.config.problems,
        ),
    ] {
        match &**problems {
            [] => {}
            [problem] => said.push(format!("{what}: {problem}")),
            [problem, more @ ..] => said.push(format!("{what}: {problem} (and {} more)", more.len())),
        }
    }
    if !status.config.at_next_start.is_empty() {
        said.push(format!(
            "What a reload has changed takes effect at the next start: {}.",
            status.config.at_next_start.join(", ")
        ));
    }
    if status.state_failing {
        said.push("The state cannot be written: a restart would forget what objectives have counted; the log says why.".to_owned());
    }
    if status.facts_lost > 0 {
        said.push(format!(
            "{} facts about alerts and incidents could not be kept.",
            status.facts_lost
        ));
    }
    let told = &status.telemetry;
    for (what, failing) in [("spans", told.spans_failing), ("metrics", told.points_failing)] {
        if failing {
            said.push(format!(
                "The collector does not take {what}, which are dropped; the log says why."
            ));
        }
    }
    said
}

/// Pages first, then tickets, then what is missed and calls nobody any more.
fn objectives(status: &Status, said: &mut Vec<String>) {
    let rank = |objective: &&Objective| match (objective.calls.as_deref(), objective.state.as_str()) {
        (Some("page"), _) => Some(0),
        (Some(_), _) => Some(1),
        (None, "missed") => Some(2),
        (None, _) => None,
    };
    let mut worth: Vec<_> = status.objectives.iter().filter(|o| rank(o).is_some()).collect();
    worth.sort_by_key(rank);
    said.extend(worth.into_iter().map(of_objective));
}

/// What is said of an objective that calls somebody, or is missed.
pub(crate) fn of_objective(objective: &Objective) -> String {
    let calls = objective.calls.as_deref().unwrap_or("missed");
    format!("Objective {} ({calls}): {}.", objective.name, objective.verdict)
}

/// Whoever is not reached matters most while there is something to tell.
fn targets(status: &Status, said: &mut Vec<String>) {
    for target in status.targets.iter().filter(|target| !target.failing.is_empty()) {
        let (name, cause) = (&target.name, &target.failing);
        said.push(match target.waiting {
            0 => format!("The last message to {name} was not taken: {cause}."),
            1 => format!("{name} does not know of an alert: {cause}."),
            many => format!("{name} does not know of {many} alerts: {cause}."),
        });
    }
}

fn traffic(status: &Status, said: &mut Vec<String>) {
    for row in &status.traffic {
        let Some(share) = row.good_share.filter(|share| *share < GOOD_SHARE_MIN) else {
            continue;
        };
        if row.requests >= REQUESTS_MIN {
            let (route, tier, bad) = (&row.route, &row.tier, super::tables::percent(1.0 - share));
            let reason = row.not_good.first().map_or("", |count| &count.reason);
            said.push(format!(
                "Route {route}, tier {tier}: {bad} of requests are bad, mostly {reason}."
            ));
        }
    }
}

fn client_errors(status: &Status, said: &mut Vec<String>) {
    for risen in status.client_errors.iter().filter(|row| row.has_risen) {
        let percent = |share: Option<f64>| format!("{:.1} %", 100.0 * share.unwrap_or_default());
        said.push(format!(
            "Of what route {} answers {} tells a caller that it is at fault, where {} is usual: has a change broken it?",
            risen.route,
            percent(risen.share),
            percent(risen.usual)
        ));
    }
}

fn kpis(status: &Status, said: &mut Vec<String>) {
    for fallen in status.kpis.iter().filter(|row| row.has_fallen) {
        said.push(format!("A figure of the business has fallen: {}.", fallen.says));
    }
}

fn protections(upstream: &Upstream, status: &Status, said: &mut Vec<String>) {
    let name = &upstream.name;
    match upstream.breaker.as_deref() {
        Some("tripped") => said.push(format!(
            "The breaker of {name} is tripped: its requests are refused."
        )),
        Some("probing") => said.push(format!(
            "The breaker of {name} is probing: some of its requests are refused."
        )),
        _ => {}
    }
    let (all, up) = (
        upstream.endpoints.len(),
        upstream.endpoints.iter().filter(|e| e.state == "up").count(),
    );
    if all == 0 {
        said.push(format!("{name} has no endpoint."));
    } else if up < all {
        said.push(format!(
            "{name} has {up} of {all} endpoints; the others are down or ejected."
        ));
    }
    if !upstream.resolve_error.is_empty() {
        said.push(format!(
            "The names of {name} cannot be looked up: {}.",
            upstream.resolve_error
        ));
    }
    if upstream.pressure == "bound" {
        let limit = upstream.limit.unwrap_or(upstream.in_flight_max);
        said.push(format!(
            "{name} is asked for more than it can do: {limit} requests at a time, and the rest waits or is shed."
        ));
    }
    if nearly(upstream.in_flight, upstream.in_flight_max) {
        let (now, max) = (upstream.in_flight, upstream.in_flight_max);
        said.push(format!(
            "The bulkhead of {name} is nearly full: {now} of {max} requests are in flight."
        ));
    }
    let retries = status.acted.iter().any(|acted| acted.what == super::RETRIED);
    if retries && upstream.retry_tokens < 1.0 {
        said.push(format!(
            "The retry budget of {name} is used up: failures are passed on."
        ));
    }
}

fn limits(status: &Status, said: &mut Vec<String>) {
    for listener in &status.listeners {
        let (now, max) = (listener.connections, listener.connections_max);
        if nearly(now, max) {
            said.push(format!(
                "Listener {} is nearly full: {now} of {max} connections.",
                listener.name
            ));
        }
    }
    let full = &status.saturation;
    if let (Some(now), Some(max)) = (full.open_fds, full.max_fds)
        && nearly(now, max)
    {
        said.push(format!("File descriptors are nearly used up: {now} of {max}."));
    }
    if let (Some(now), Some(max)) = (full.memory_bytes, full.memory_limit_bytes)
        && nearly(now, max)
    {
        let (now, max) = (super::tables::bytes(now), super::tables::bytes(max));
        said.push(format!("Memory is nearly used up: {now} of {max}."));
    }
    if let Some(max) = full.memory_held_max_bytes
        && let Some(refused) = refused_at(&full.memory_level)
    {
        let (now, max) = (
            super::tables::bytes(full.memory_held_bytes),
            super::tables::bytes(max),
        );
        said.push(format!(
            "Memory is {}: {now} are held of the {max} that `limits.memory` allows, and {refused}.",
            full.memory_level
        ));
    }
    for pressure in full
        .pressure
        .iter()
        .filter(|pressure| pressure.some >= PRESSURE_MAX)
    {
        let (resource, share) = (&pressure.resource, super::tables::percent(pressure.some));
        said.push(format!(
            "Work on this machine waits for {resource} {share} of the time."
        ));
    }
}

/// What a level of memory keeps out.
fn refused_at(level: &str) -> Option<&'static str> {
    match level {
        "tight" => Some("new connections are turned away"),
        "scarce" => Some("new connections and what may be shed are refused"),
        "full" => Some("all new work is refused"),
        _ => None,
    }
}

fn nearly(now: u64, max: u64) -> bool {
    max > 0 && now as f64 >= max as f64 * NEARLY_FULL
}
