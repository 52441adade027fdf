//! The tables of the status: what stands in them, and in which order, whether they are read as text or as a page.

use plimsoll_slo::{Budgeting, Objective};

use super::{Status, Traffic, Upstream};

/// A table's cells, row by row; the first row is its head.
pub(crate) type Rows = Vec<Vec<String>>;

/// One table.
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) rows: Rows,
    /// What is said when there are no rows but the head.
    pub(crate) nothing: &'static str,
    /// Below it: the latest bad request of a row, if it had one.
    pub(crate) latest: Vec<(String, String)>,
}

fn of(title: impl Into<String>, rows: Rows, nothing: &'static str) -> Table {
    Table {
        title: title.into(),
        rows,
        nothing,
        latest: Vec::new(),
    }
}

/// All of them, in the order in which somebody at 02:14 asks.
pub(crate) fn tables(status: &Status) -> Vec<Table> {
    let mut tables = vec![
        of_objectives(status),
        by_route(status),
        protections(status),
        of_upstreams(status),
        of_endpoints(status),
    ];
    if !status.client_errors.is_empty() {
        tables.push(of_client_errors(status));
    }
    if !status.journeys.is_empty() {
        tables.push(of_journeys(status));
    }
    if !status.freshness.is_empty() {
        tables.push(of_freshness(status));
    }
    if !status.kpis.is_empty() {
        tables.push(of_kpis(status));
    }
    if !status.hedging.is_empty() {
        tables.push(of_hedging(status));
    }
    tables.extend([
        of_listeners(status),
        of_config(status),
        of_process(status),
        of_telemetry(status),
    ]);
    tables
}

pub(crate) fn of_objectives(status: &Status) -> Table {
    of("Objectives", objectives(status), "none is declared")
}

pub(crate) fn by_route(status: &Status) -> Table {
    Table {
        latest: status.traffic.iter().filter_map(latest).collect(),
        ..of(
            format!("Traffic, {}", window(status)),
            traffic(status),
            "no request",
        )
    }
}

pub(crate) fn protections(status: &Status) -> Table {
    of(
        format!("Protections that acted, {}", window(status)),
        acted(status),
        "none",
    )
}

pub(crate) fn of_upstreams(status: &Status) -> Table {
    of("Upstreams", upstreams(status), "none")
}

pub(crate) fn of_endpoints(status: &Status) -> Table {
    of("Endpoints, since the start", endpoints(status), "none")
}

pub(crate) fn of_hedging(status: &Status) -> Table {
    of("Hedging, since the start", hedging(status), "none")
}

pub(crate) fn of_client_errors(status: &Status) -> Table {
    let caption = "Client errors, last ten minutes";
    of(caption, client_errors(status), "none that is known of yet")
}

pub(crate) fn of_journeys(status: &Status) -> Table {
    of(
        "Journeys, since the start",
        journeys(status),
        "no objective counts them",
    )
}

pub(crate) fn of_freshness(status: &Status) -> Table {
    of("Freshness, by now", freshness(status), "no objective is about it")
}

pub(crate) fn of_kpis(status: &Status) -> Table {
    of(
        "Figures of the business, last ten minutes",
        kpis(status),
        "none is declared",
    )
}

pub(crate) fn of_listeners(status: &Status) -> Table {
    of("Listeners", listeners(status), "none")
}

pub(crate) fn of_config(status: &Status) -> Table {
    of("Configuration", config(status), "")
}

pub(crate) fn of_process(status: &Status) -> Table {
    of("Saturation", saturation(status), "unknown")
}

pub(crate) fn of_telemetry(status: &Status) -> Table {
    of("Telemetry, since the start", telemetry(status), "")
}

/// How far back the figures reach.
fn window(status: &Status) -> String {
    if status.window_seconds > 0.0 {
        format!("last {:.0} s", status.window_seconds)
    } else {
        "not known yet".into()
    }
}

/// Whether a column holds figures, which stand to the right.
pub(crate) fn is_figures(rows: &Rows, column: usize) -> bool {
    let begins = |cell: &String| {
        cell == "-"
            || cell
                .trim_start_matches('-')
                .starts_with(|first: char| first.is_ascii_digit())
    };
    // Addresses begin with a digit as well, and sentences may.
    let is_other = |cell: &String| cell.contains(':') || cell.split(' ').count() > 2;
    rows[1..]
        .iter()
        .all(|row| begins(&row[column]) && !is_other(&row[column]))
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn objectives(status: &Status) -> Rows {
    let mut rows = vec![head(&[
        "objective",
        "target",
        "state",
        "calls",
        "budget left",
        "burn 1 h",
        "policy",
        "covered",
        "verdict",
    ])];
    rows.extend(status.objectives.iter().map(|objective| {
        vec![
            objective.name.clone(),
            format!("{} / {}", objective.asked, objective.window),
            objective.state.clone(),
            objective.calls.clone().unwrap_or_else(|| "-".to_owned()),
            objective.budget_left.map_or_else(|| "-".to_owned(), percent),
            objective
                .burns
                .first()
                .and_then(|burn| burn.long)
                .map_or_else(|| "-".to_owned(), |burn| format!("{burn:.1}")),
            objective.policy.clone(),
            percent(objective.coverage),
            objective.verdict.clone(),
        ]
    }));
    rows
}

/// The share that is to be good, if that is asked.
pub(crate) fn share_asked(objective: &Objective) -> Option<f64> {
    let share = objective.allowed().is_none() && objective.budgeting != Budgeting::Composite;
    share.then(|| objective.target.share())
}

/// What is asked, in words.
pub(crate) fn asked(objective: &Objective) -> String {
    match objective.allowed() {
        None if objective.budgeting == Budgeting::Composite => "what its members are".to_owned(),
        None => exact_percent(objective.target.share()),
        Some(allowed) => format!("at most {allowed} bad"),
    }
}

/// A target as it was written: 99.95 % must not become 100.
pub(crate) fn exact_percent(share: f64) -> String {
    let percent = (share * 1e8).round() / 1e6;
    format!("{percent} %")
}

fn traffic(status: &Status) -> Rows {
    let mut rows = vec![head(&[
        "listener", "route", "tier", "req/s", "good", "p50", "p95", "p99", "not good",
    ])];
    rows.extend(status.traffic.iter().map(|row| {
        let not_good = row
            .not_good
            .iter()
            .take(3)
            .map(|count| format!("{} {}", count.reason, count.count));
        vec![
            row.listener.clone(),
            row.route.clone(),
            row.tier.clone(),
            format!("{:.1}", row.per_second),
            row.good_share.map_or_else(|| "-".to_owned(), percent),
            millis(row.p50_ms),
            millis(row.p95_ms),
            millis(row.p99_ms),
            not_good.collect::<Vec<_>>().join(", "),
        ]
    }));
    rows
}

/// The latest bad request of a row, if it had one.
fn latest(row: &Traffic) -> Option<(String, String)> {
    let latest = row.latest_bad.as_ref()?;
    let (reason, at, id, trace) = (&latest.reason, &latest.at, &latest.request_id, &latest.trace_id);
    Some((
        format!("{}, {}", row.route, row.tier),
        format!("{reason} at {at}, request {id}, trace {trace}"),
    ))
}

fn acted(status: &Status) -> Rows {
    let mut rows = vec![head(&["requests", "count"])];
    rows.extend(
        status
            .acted
            .iter()
            .map(|acted| vec![acted.what.clone(), acted.count.to_string()]),
    );
    rows
}

fn upstreams(status: &Status) -> Rows {
    let mut rows = vec![head(&[
        "upstream",
        "version",
        "breaker",
        "trips",
        "in flight",
        "at most",
        "limit",
        "waiting",
        "retry budget",
        "endpoints up",
    ])];
    let up = |upstream: &Upstream| upstream.endpoints.iter().filter(|e| e.state == "up").count();
    rows.extend(status.upstreams.iter().map(|upstream| {
        vec![
            upstream.name.clone(),
            upstream.version.clone(),
            upstream.breaker.clone().unwrap_or_else(|| "off".to_owned()),
            upstream.breaker_trips.to_string(),
            upstream.in_flight.to_string(),
            upstream.in_flight_max.to_string(),
            upstream
                .limit
                .map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
            upstream.waiting.to_string(),
            format!("{:.1}", upstream.retry_tokens),
            format!("{} of {}", up(upstream), upstream.endpoints.len()),
        ]
    }));
    rows
}

fn endpoints(status: &Status) -> Rows {
    let mut rows = vec![head(&[
        "upstream",
        "endpoint",
        "state",
        "pending",
        "connections",
        "attempts",
        "failures",
    ])];
    for upstream in &status.upstreams {
        rows.extend(upstream.endpoints.iter().map(|endpoint| {
            vec![
                upstream.name.clone(),
                endpoint.address.clone(),
                endpoint.state.clone(),
                endpoint.pending.to_string(),
                endpoint.connections.to_string(),
                endpoint.attempts.to_string(),
                endpoint.failures.to_string(),
            ]
        }));
    }
    rows
}

fn hedging(status: &Status) -> Rows {
    let mut rows = vec![head(&[
        "listener",
        "route",
        "after",
        "won",
        "lost",
        "failed",
        "abandoned",
        "not hedged",
    ])];
    rows.extend(status.hedging.iter().map(|row| {
        let refused = row
            .refused
            .iter()
            .map(|count| format!("{} {}", count.reason, count.count));
        vec![
            row.listener.clone(),
            row.route.clone(),
            millis(row.after_ms),
            row.won.to_string(),
            row.lost.to_string(),
            row.failed.to_string(),
            row.abandoned.to_string(),
            refused.collect::<Vec<_>>().join(", "),
        ]
    }));
    rows
}

fn client_errors(status: &Status) -> Rows {
    let mut rows = vec![head(&[
        "listener",
        "route",
        "callers",
        "share",
        "usual",
        "has risen",
    ])];
    let percent =
        |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share));
    rows.extend(status.client_errors.iter().map(|row| {
        vec![
            row.listener.clone(),
            row.route.clone(),
            row.callers.to_string(),
            percent(row.share),
            percent(row.usual),
            match (&row.began, row.has_risen, row.usual) {
                (Some(began), true, _) => format!("since {began}"),
                (None, true, _) => "yes".to_owned(),
                (_, false, Some(_)) => "no".to_owned(),
                (_, false, None) => "not known yet".to_owned(),
            },
        ]
    }));
    rows
}

fn journeys(status: &Status) -> Rows {
    let mut rows = vec![head(&[
        "objective",
        "under way",
        "left on the way",
        "requests without a key",
        "requests without room",
    ])];
    rows.extend(status.journeys.iter().map(|row| {
        let counts = [row.under_way, row.left, row.no_key, row.no_room];
        let counts = counts.iter().map(u64::to_string);
        [row.objective.clone()].into_iter().chain(counts).collect()
    }));
    rows
}

fn freshness(status: &Status) -> Rows {
    let mut rows = vec![head(&["objective", "not seen yet", "oldest", "not waited for"])];
    rows.extend(status.freshness.iter().map(|row| {
        vec![
            row.objective.clone(),
            row.waiting.to_string(),
            row.oldest_seconds
                .map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0} s")),
            row.turned_away.to_string(),
        ]
    }));
    rows
}

fn kpis(status: &Status) -> Rows {
    let mut rows = vec![head(&[
        "figure",
        "is",
        "usual at this time",
        "the least that is no fall",
        "seen by",
        "has fallen",
    ])];
    rows.extend(status.kpis.iter().map(|row| {
        let figure = |value: Option<f64>| match (value, &*row.measure) {
            (None, _) => "-".to_owned(),
            (Some(share), "share") => format!("{:.1} %", 100.0 * share),
            (Some(rate), _) => format!("{rate:.1} a minute"),
        };
        vec![
            row.name.clone(),
            figure(row.present),
            figure(row.usual),
            figure(row.least),
            row.vantage.clone(),
            match (&row.began, row.has_fallen, &row.known_from) {
                (Some(began), true, _) => format!("since {began}"),
                (None, true, _) => "yes".to_owned(),
                (_, false, Some(from)) => format!("known from {from} on"),
                (_, false, None) if row.usual.is_none() => "not known yet".to_owned(),
                (_, false, None) => "no".to_owned(),
            },
        ]
    }));
    rows
}

fn listeners(status: &Status) -> Rows {
    let mut rows = vec![head(&[
        "listener",
        "address",
        "connections",
        "at most",
        "turned away",
    ])];
    rows.extend(status.listeners.iter().map(|listener| {
        vec![
            listener.name.clone(),
            if listener.address.is_empty() {
                "not listening".to_owned()
            } else {
                listener.address.clone()
            },
            listener.connections.to_string(),
            listener.connections_max.to_string(),
            listener.connections_refused.to_string(),
        ]
    }));
    rows
}

fn config(status: &Status) -> Rows {
    let config = &status.config;
    let mut rows = vec![head(&["what", "value"])];
    rows.push(vec!["generation".to_owned(), config.generation.to_string()]);
    rows.push(vec!["applied at".to_owned(), config.applied_at.clone()]);
    rows.push(vec![
        "reloads applied".to_owned(),
        config.reloads_applied.to_string(),
    ]);
    rows.push(vec![
        "reloads refused".to_owned(),
        config.reloads_refused.to_string(),
    ]);
    if !config.at_next_start.is_empty() {
        rows.push(vec![
            "takes effect at the next start".to_owned(),
            config.at_next_start.join(", "),
        ]);
    }
    rows.extend(
        config
            .problems
            .iter()
            .map(|problem| vec!["refused because".to_owned(), problem.clone()]),
    );
    rows.extend(
        config
            .broken
            .iter()
            .map(|problem| vec!["not judged because".to_owned(), problem.clone()]),
    );
    rows
}

fn saturation(status: &Status) -> Rows {
    let full = &status.saturation;
    let mut rows = vec![head(&["resource", "in use", "at most"])];
    let mut row = |name: &str, now: Option<String>, max: Option<String>| {
        if let Some(now) = now {
            rows.push(vec![name.to_owned(), now, max.unwrap_or_else(|| "-".to_owned())]);
        }
    };
    row(
        "memory",
        full.memory_bytes.map(bytes),
        full.memory_limit_bytes.map(bytes),
    );
    row(
        "memory held",
        Some(bytes(full.memory_held_bytes)),
        full.memory_held_max_bytes.map(bytes),
    );
    row(
        "file descriptors",
        full.open_fds.map(|n| n.to_string()),
        full.max_fds.map(|n| n.to_string()),
    );
    let cores = full.cpu_limit_cores.map(|cores| format!("{cores:.1} cores"));
    row(
        "CPU time since the start",
        full.cpu_seconds.map(|seconds| format!("{seconds:.1} s")),
        cores,
    );
    for pressure in &full.pressure {
        row(
            &format!("time waiting for {}", pressure.resource),
            Some(percent(pressure.some)),
            None,
        );
    }
    rows
}

fn telemetry(status: &Status) -> Rows {
    let told = &status.telemetry;
    let mut rows = vec![head(&["what", "count"])];
    for (name, count) in [
        ("events dropped", told.events_dropped),
        ("log lines dropped", told.lines_dropped),
        ("log lines left out, being alike", told.lines_suppressed),
        ("spans sent", told.spans_sent),
        ("spans dropped", told.spans_dropped),
        ("data points of metrics sent", told.points_sent),
        ("data points of metrics dropped", told.points_dropped),
    ] {
        rows.push(vec![name.to_owned(), count.to_string()]);
    }
    rows
}

/// A share with two decimals, rounded down: what is not all is never shown as 100 %.
pub(crate) fn percent(share: f64) -> String {
    // The small addition undoes the error of a share such as 0.29, which is a little less in binary.
    format!("{:.2} %", (share * 10_000.0 + 1e-6).floor() / 100.0)
}

fn millis(millis: Option<f64>) -> String {
    match millis {
        None => "-".to_owned(),
        Some(millis) if millis < 10.0 => format!("{millis:.1} ms"),
        Some(millis) if millis < 1000.0 => format!("{millis:.0} ms"),
        Some(millis) => format!("{:.2} s", millis / 1000.0),
    }
}

pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes / 1024),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes / 1_048_576),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
