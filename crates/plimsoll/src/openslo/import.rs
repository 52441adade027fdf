//! From OpenSLO to objectives in our own words.
//!
//! Plimsoll judges what it sees, so an indicator has to say which of its requests are meant:
//!
//! ```yaml
//! ratioMetric:
//!   counter: true
//!   good: { metricSource: { type: Plimsoll, spec: { routes: [pay], tier: gold, latency: 300ms } } }
//!   total: { metricSource: { type: Plimsoll, spec: { routes: [pay], tier: gold } } }
//! ```
//!
//! with `journey: { key: 'cookie:sid', within: 30m }` beside them if a journey over these routes is one event; or, for a
//! latency alone, a `thresholdMetric` with `op: lte` and a `value` in seconds. An objective whose indicator asks somebody
//! else is written as a comment, in which only its routes are to be filled in. Alert policies become what
//! Plimsoll does anyway: rules with windows and factors that fit the target.

use std::fmt::Write as _;

use jiff::civil::DateTime;

use super::check::civil;
use super::{Document, Documents, Shorthand, name_of, number, text};
use crate::config::tree::Node;

/// The longest window that rolls, and the longest slice, in minutes.
const ROLLING_MAX: u64 = 92 * 1_440;
const SLICE_MAX: u64 = 1_440;

/// The largest weight of a composite's member.
const WEIGHT_MAX: u32 = 1_000;

/// Keys of an objective in our own words, in their order.
type Keys = Vec<(&'static str, String)>;

/// An objective that the documents ask for.
struct Asked {
    keys: Keys,
    /// What keeps it from being judged, if something does.
    missing: Option<String>,
}

impl Asked {
    fn name(&self) -> &str {
        self.keys.first().map_or("", |(_, name)| name)
    }

    /// Whether the two count the same and want as much of it to be good, in whatever window.
    fn is_as(&self, other: &Self) -> bool {
        let says = |asked: &Self| {
            let keys = asked.keys.iter().filter(|(key, _)| {
                !matches!(
                    *key,
                    "name" | "runbook" | "window" | "window_count" | "window_begins" | "zone"
                )
            });
            let mut says: Vec<(&str, String)> = keys.cloned().collect();
            says.sort();
            says
        };
        self.missing.is_none() && other.missing.is_none() && says(self) == says(other)
    }

    fn put(&self, out: &mut String) {
        let sign = if let Some(missing) = &self.missing {
            _ = writeln!(out, "  # {missing}");
            "# "
        } else {
            ""
        };
        for (place, (key, value)) in self.keys.iter().enumerate() {
            let dash = if place == 0 { "- " } else { "  " };
            _ = writeln!(out, "  {sign}{dash}{key}: {value}");
        }
    }
}

/// What of a configuration the documents say, with comments about what it does not.
pub(crate) fn import(documents: &Documents) -> String {
    let mut out = "# Objectives, from OpenSLO.\nobjectives:\n".to_owned();
    let of_kind = |kind: &'static str| {
        let all = documents.all.iter();
        all.filter(move |document| text(&document.node, "kind") == Some(kind))
    };
    let (composites, simple): (Vec<_>, Vec<_>) =
        of_kind("SLO").partition(|document| is_composite(&document.node));
    let mut asked: Vec<Asked> = simple
        .into_iter()
        .flat_map(|document| objectives(document, documents))
        .collect();
    for document in composites {
        composite(document, documents, &mut asked);
    }
    for objective in &asked {
        objective.put(&mut out);
    }
    if asked.iter().all(|objective| objective.missing.is_some()) {
        // A list of comments is nothing at all, which is no list.
        out = out.replacen("objectives:\n", "objectives: []\n", 1);
    }
    let has_policies = |document: &Document| {
        let spec = document.node.get("spec");
        spec.and_then(|spec| spec.get("alertPolicies")).is_some()
    };
    if of_kind("SLO").any(has_policies) || of_kind("AlertPolicy").next().is_some() {
        out.push_str(
            "# Alert policies: Plimsoll makes rules of each target, with windows and factors that fit it.\n\
             # Whom to tell is said under `alerts.targets`.\n",
        );
    }
    out
}

fn has_own_indicator(objective: &Node) -> bool {
    objective.get("indicator").is_some() || objective.get("indicatorRef").is_some()
}

fn is_composite(node: &Node) -> bool {
    let objectives = node.get("spec").and_then(|spec| spec.get("objectives"));
    objectives.is_some_and(|all| all.items().iter().any(has_own_indicator))
}

/// The objectives that stand in an SLO.
fn objectives(document: &Document, documents: &Documents) -> Vec<Asked> {
    let node = &document.node;
    let (Some(name), Some(spec)) = (name_of(node), node.get("spec")) else {
        return Vec::new();
    };
    let is_composite = is_composite(node);
    let all = spec.get("objectives").map_or(&[][..], Node::items);
    let objectives = all.iter().enumerate().map(|(index, objective)| {
        let name = match index {
            0 if !is_composite => name.to_owned(),
            more => format!("{name}-{}", more + 1),
        };
        let mut keys: Keys = vec![("name", name.clone()), ("target", target(objective))];
        let mut missing = None;
        let mut say = |what: String| missing = missing.take().or(Some(format!("{name}: {what}")));
        let own = has_own_indicator(objective);
        match counted(if own { objective } else { spec }, objective, documents) {
            Ok(more) => keys.extend(more),
            Err(what) => {
                keys.push(("routes", "[]".to_owned()));
                say(what);
            }
        }
        for more in [window(spec), budgeting(spec, objective)] {
            match more {
                Ok(more) => keys.extend(more),
                Err(what) => say(what),
            }
        }
        if let Some(runbook) = annotated(node, "plimsoll.dev/runbook") {
            keys.push(("runbook", quoted(runbook)));
        }
        if let Some(tier) =
            annotated(node, "plimsoll.dev/tier").filter(|_| keys.iter().all(|(key, _)| *key != "tier"))
        {
            keys.push(("tier", quoted(tier)));
        }
        Asked { keys, missing }
    });
    objectives.collect()
}

fn annotated<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    text(node.get("metadata")?.get("annotations")?, key)
}

/// Adds a composite, and those of its members that are no objective of another document, which may say the same under a
/// name and in a window of its own.
fn composite(document: &Document, documents: &Documents, asked: &mut Vec<Asked>) {
    let node = &document.node;
    let (Some(name), Some(spec)) = (name_of(node), node.get("spec")) else {
        return;
    };
    let all = spec.get("objectives").map_or(&[][..], Node::items);
    let weights = whole(
        all.iter()
            .map(|one| number(one, "compositeWeight").unwrap_or(1.0)),
    );
    let mut missing = None;
    let mut named = Vec::new();
    for (member, weight) in objectives(document, documents).into_iter().zip(weights) {
        if member.missing.is_some() {
            missing = Some(format!("{name}: not all of its members can be judged."));
        }
        let found = asked.iter().position(|one| one.is_as(&member));
        let place = found.unwrap_or_else(|| {
            asked.push(member);
            asked.len() - 1
        });
        let member = asked[place].name();
        named.push(format!("{{ objective: {member}, weight: {weight} }}"));
    }
    let mut keys: Keys = vec![
        ("name", name.to_owned()),
        ("composite", format!("[{}]", named.join(", "))),
    ];
    match window(spec) {
        Ok(more) if more.len() == 1 => keys.extend(more),
        Ok(_) => missing = missing.or(Some(format!("{name}: a composite has a window that rolls."))),
        Err(what) => missing = missing.or(Some(format!("{name}: {what}"))),
    }
    if let Some(runbook) = annotated(node, "plimsoll.dev/runbook") {
        keys.push(("runbook", quoted(runbook)));
    }
    asked.push(Asked { keys, missing });
}

/// Weights of the same proportions in whole numbers, as ours are, up to [`WEIGHT_MAX`]; as near to them as that allows.
pub(super) fn whole(weights: impl Iterator<Item = f64>) -> Vec<u32> {
    let weights: Vec<f64> = weights.collect();
    let most = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let is_whole = |times: f64| {
        let is_near = |weight: &f64| {
            let nearest = (weight * times).round().max(1.0);
            (weight * times - nearest).abs() < 1e-6
        };
        weights.iter().all(is_near)
    };
    let mut times = (1..=WEIGHT_MAX)
        .map(f64::from)
        .take_while(|times| most * times <= f64::from(WEIGHT_MAX));
    let times = times.find(|times| is_whole(*times));
    let times = times.unwrap_or(f64::from(WEIGHT_MAX) / most);
    let weighed = weights
        .iter()
        .map(|weight| (weight * times).round().max(1.0) as u32);
    weighed.collect()
}

/// A text that may stand for itself in YAML, or else between quotes.
fn quoted(text: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
    if !text.is_empty() && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// As a percentage, without the error that a division makes.
fn percent(share: f64) -> String {
    format!("{}%", (share * 1e10).round() / 1e8)
}

fn target(objective: &Node) -> String {
    let of_percent = number(objective, "targetPercent").map(|percent| percent / 100.0);
    percent(number(objective, "target").or(of_percent).unwrap_or_default())
}

/// Which requests count, and which of them are good.
fn counted(of: &Node, objective: &Node, documents: &Documents) -> Result<Keys, String> {
    let inline = of.get("indicator").and_then(|indicator| indicator.get("spec"));
    let referred = || documents.find("SLI", text(of, "indicatorRef")?)?.get("spec");
    let spec = inline
        .or_else(referred)
        .ok_or("its indicator is not among the documents.")?;
    if let Some(metric) = spec.get("thresholdMetric") {
        let mut keys = source(metric, documents)?;
        keys.retain(|(key, _)| *key != "latency");
        if !matches!(text(objective, "op"), Some("lte" | "lt")) {
            return Err("what Plimsoll measures of a request is how long it took, which is good when it is less (`op: lte`).".to_owned());
        }
        let millis = number(objective, "value").map_or(0.0, |seconds| (1_000.0 * seconds).round());
        if !(1.0..=3_600_000.0).contains(&millis) {
            return Err("`value` are seconds, from 0.001 to 3600.".to_owned());
        }
        keys.push(("latency", format!("{millis}ms")));
        return Ok(keys);
    }
    let ratio = spec.get("ratioMetric").ok_or("its indicator has no metric.")?;
    if ratio.get("raw").is_some() {
        return Err("its indicator is a ratio of somebody else's; Plimsoll counts requests.".to_owned());
    }
    let total = ratio.get("total").ok_or("its indicator has no `total`.")?;
    let part = ratio
        .get("good")
        .or_else(|| ratio.get("bad"))
        .ok_or("its indicator has no `good`.")?;
    let (total, part) = (source(total, documents)?, source(part, documents)?);
    let (limit, of_part): (Keys, Keys) = part.into_iter().partition(|(key, _)| *key == "latency");
    let (_, of_total): (Keys, Keys) = total.into_iter().partition(|(key, _)| *key == "latency");
    let mut keys = match (of_total.is_empty(), of_part.is_empty()) {
        (false, false) if of_total != of_part => {
            return Err("`total` and the other metric are about other requests; an objective is about some, of which a share is good.".to_owned());
        }
        (true, _) => of_part,
        (false, _) => of_total,
    };
    keys.extend(limit);
    Ok(keys)
}

/// What a metric says of Plimsoll's requests.
fn source(metric: &Node, documents: &Documents) -> Result<Keys, String> {
    let source = metric.get("metricSource").ok_or("its indicator has no source.")?;
    let referred = || {
        text(
            documents
                .find("DataSource", text(source, "metricSourceRef")?)?
                .get("spec")?,
            "type",
        )
    };
    let kind = text(source, "type").or_else(referred).unwrap_or("somebody else");
    if !kind.eq_ignore_ascii_case("plimsoll") {
        return Err(format!(
            "its indicator asks {kind}; fill in the routes that it means, and take the signs away."
        ));
    }
    let mut keys = Keys::new();
    let Some(spec) = source.get("spec") else {
        return Ok(keys);
    };
    if let Some(routes) = spec.get("routes") {
        let names: Vec<String> = routes.items().iter().filter_map(Node::text).map(quoted).collect();
        let routes = format!("[{}]", names.join(", "));
        keys.push(match spec.get("journey") {
            None => ("routes", routes),
            Some(journey) => {
                let mut inner = format!("{{ routes: {routes}");
                for key in ["key", "within"] {
                    if let Some(value) = text(journey, key) {
                        _ = write!(inner, ", {key}: {}", quoted(value));
                    }
                }
                ("journey", inner + " }")
            }
        });
    }
    for key in [
        "vantage",
        "sampling",
        "freshness",
        "upstream",
        "version",
        "tier",
        "latency",
    ] {
        if let Some(value) = text(spec, key) {
            keys.push((key, quoted(value)));
        }
    }
    Ok(keys)
}

fn window(spec: &Node) -> Result<Keys, String> {
    let Some(window) = spec.get("timeWindow").and_then(|list| list.items().first()) else {
        return Ok(vec![("window", "30d".to_owned())]);
    };
    let duration = text(window, "duration").and_then(Shorthand::parse);
    let Shorthand { count, unit } = duration.ok_or("its window is no duration.")?;
    let Some(calendar) = window.get("calendar") else {
        // A month that rolls has no length of its own; tools take these.
        let minutes = match unit {
            'M' => Some(u64::from(count) * 30 * 1_440),
            'Q' => Some(u64::from(count) * 90 * 1_440),
            _ => Shorthand { count, unit }.minutes(),
        };
        let minutes = minutes.filter(|minutes| (60..=ROLLING_MAX).contains(minutes));
        let minutes = minutes.ok_or("a window that rolls is from an hour to 92 days.")?;
        return Ok(vec![("window", spelled(minutes))]);
    };
    let (word, days) = match unit {
        'd' => ("day", 1),
        'w' => ("week", 7),
        'M' => ("month", 30),
        'Q' => ("quarter", 91),
        'Y' => ("year", 365),
        _ => return Err("a period of the calendar is of days, weeks, months, quarters or years.".to_owned()),
    };
    if u64::from(count) * days > 366 {
        return Err("a period of the calendar is a year at most.".to_owned());
    }
    let mut keys: Keys = vec![("window", word.to_owned())];
    if count > 1 {
        keys.push(("window_count", count.to_string()));
    }
    let begins = text(calendar, "startTime")
        .and_then(civil)
        .ok_or("its calendar begins at no time.")?;
    if count > 1 || !is_usual(word, begins) {
        keys.push(("window_begins", format!("'{begins}'")));
    }
    if let Some(zone) = text(calendar, "timeZone").filter(|zone| *zone != "UTC") {
        keys.push(("zone", quoted(zone)));
    }
    Ok(keys)
}

/// Whether periods that begin then are those that people are used to.
fn is_usual(word: &str, begins: DateTime) -> bool {
    let date = begins.date();
    begins.time() == jiff::civil::Time::midnight()
        && match word {
            "day" => true,
            "week" => date.weekday() == jiff::civil::Weekday::Monday,
            "month" => date.day() == 1,
            "quarter" => date.day() == 1 && (date.month() - 1) % 3 == 0,
            _ => date.day() == 1 && date.month() == 1,
        }
}

/// Minutes in the largest unit that they are whole in.
fn spelled(minutes: u64) -> String {
    match minutes {
        whole if whole % 1_440 == 0 => format!("{}d", whole / 1_440),
        whole if whole % 60 == 0 => format!("{}h", whole / 60),
        minutes => format!("{minutes}m"),
    }
}

fn budgeting(spec: &Node, objective: &Node) -> Result<Keys, String> {
    let word = match text(spec, "budgetingMethod") {
        Some("Timeslices") => "timeslices",
        Some("RatioTimeslices") => "ratio-timeslices",
        _ => return Ok(Keys::new()),
    };
    let window = text(objective, "timeSliceWindow").unwrap_or_default();
    let minutes = Shorthand::parse(window)
        .and_then(Shorthand::minutes)
        .or_else(|| window.parse().ok());
    let minutes = minutes.filter(|minutes| (1..=SLICE_MAX).contains(minutes));
    let minutes = minutes.ok_or("a slice is from a minute to a day.")?;
    let mut keys: Keys = vec![("budget", word.to_owned()), ("slice", spelled(minutes))];
    if word == "timeslices" {
        let target = number(objective, "timeSliceTarget").unwrap_or_default();
        if target >= 1.0 {
            return Err(
                "a slice in which nothing at all may fail is not judged; 99.99 % is as good.".to_owned(),
            );
        }
        keys.push(("slice_target", percent(target)));
    }
    Ok(keys)
}
