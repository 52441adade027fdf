//! From our objectives to OpenSLO: an SLO for each, with what counts and what would call, and those who are told.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use gateway::plan::{Good, ObjectivePlan};
use plimsoll_slo::{Budgeting, BurnRule, Severity};

use crate::calendar::{Calendar, Unit};
use crate::config::{Config, ObjectiveConfig, Scalar};
use crate::record::entry::Calls;

/// All objectives of a configuration, as documents of one file.
pub(crate) fn export(config: &Config, service: &str) -> String {
    let mut out = String::new();
    begin(&mut out, "Service", service);
    out.push_str("spec: {}\n");
    for target in &config.alerts.targets {
        begin(&mut out, "AlertNotificationTarget", &label(&target.name));
        _ = writeln!(out, "spec:\n  target: {}", target.way.word());
    }
    for objective in &*config.objectives {
        match (objective.members.is_empty(), indicator(config, objective)) {
            (true, Some(indicator)) => slo(&mut out, config, objective, &indicator, service),
            (false, _) => composite(&mut out, config, objective, service),
            (true, None) if objective.objective.allowed().is_some() => no_word(&mut out, &objective.name),
            (true, None) => {}
        }
    }
    out
}

/// What OpenSLO cannot say is a comment, so that nobody takes the file for all there is.
fn no_word(out: &mut String, name: &str) {
    _ = writeln!(
        out,
        "---\n# {name} has a budget that is absolute, which OpenSLO has no word for."
    );
}

fn begin(out: &mut String, kind: &str, name: &str) {
    // Writing to a String cannot fail, here and below.
    _ = write!(
        out,
        "---\napiVersion: openslo/v1\nkind: {kind}\nmetadata:\n  name: {name}\n"
    );
}

/// A name in the alphabet of the specification, which is smaller than ours.
fn label(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter.to_ascii_lowercase() {
        letter if letter.is_ascii_alphanumeric() => letter,
        _ => '-',
    });
    letters.collect::<String>().trim_matches('-').to_owned()
}

fn slo(out: &mut String, config: &Config, objective: &ObjectiveConfig, indicator: &str, service: &str) {
    let asked = &objective.objective;
    head(out, objective, service);
    indent(out, "  ", indicator);
    window(out, objective);
    _ = writeln!(
        out,
        "  budgetingMethod: {}\n  objectives:\n    - target: {}",
        method(asked.budgeting),
        share(asked.target.share())
    );
    slices(out, asked.budgeting);
    policies(out, config, objective);
}

/// A composite says again what each of its members counts; whoever reads it with them can tell by that that they are the
/// same. Its one method is that of its members, if they have one.
fn composite(out: &mut String, config: &Config, objective: &ObjectiveConfig, service: &str) {
    let mut members = Vec::new();
    for (name, weight) in &*objective.members {
        let all = &mut config.objectives.iter();
        let Some(member) = all.find(|one| one.name == *name) else {
            continue;
        };
        let Some(indicator) = indicator(config, member) else {
            no_word(out, name);
            _ = writeln!(
                out,
                "# So {}, a composite of it, is not here either.",
                objective.name
            );
            return;
        };
        members.push((member, *weight, indicator));
    }
    let of = |member: &ObjectiveConfig| method(member.objective.budgeting);
    let first = members.first().map_or("Occurrences", |(member, ..)| of(member));
    let is_common = members.iter().all(|(member, ..)| of(member) == first);
    head(out, objective, service);
    window(out, objective);
    let method = if is_common { first } else { "Occurrences" };
    _ = writeln!(out, "  budgetingMethod: {method}\n  objectives:");
    for (member, weight, indicator) in &members {
        let target = share(member.objective.target.share());
        _ = writeln!(
            out,
            "    - displayName: {}\n      target: {target}\n      compositeWeight: {weight}",
            label(&member.name)
        );
        if is_common {
            slices(out, member.objective.budgeting);
        }
        indent(out, "      ", indicator);
    }
    policies(out, config, objective);
}

fn head(out: &mut String, objective: &ObjectiveConfig, service: &str) {
    begin(out, "SLO", &label(&objective.name));
    if let Some(runbook) = &objective.runbook {
        _ = writeln!(out, "  annotations:\n    plimsoll.dev/runbook: '{runbook}'");
    }
    _ = writeln!(out, "spec:\n  service: {service}");
}

fn indent(out: &mut String, by: &str, lines: &str) {
    for line in lines.lines() {
        _ = writeln!(out, "{by}{line}");
    }
}

/// What of an objective counts and what of that is good; `None` if there is no word for it.
fn indicator(config: &Config, objective: &ObjectiveConfig) -> Option<String> {
    if objective.objective.allowed().is_some() {
        return None;
    }
    let mut plans = config.plan.objectives.iter();
    let plan = plans.find(|plan| plan.name == objective.name)?;
    let mut out = format!(
        "indicator:
  metadata:
    name: {}
  spec:
    ratioMetric:
      counter: true
",
        label(&objective.name)
    );
    for (part, limit) in [("good", true), ("total", false)] {
        _ = writeln!(
            out,
            "      {part}:\n        metricSource:\n          type: Plimsoll\n          spec:"
        );
        let mut spec = String::new();
        counted(&mut spec, objective, plan);
        if let Some(latency) = plan.latency_max().filter(|_| limit) {
            _ = writeln!(spec, "latency: {}ms", latency.as_millis());
        }
        indent(&mut out, "            ", &spec);
    }
    Some(out)
}

fn window(out: &mut String, objective: &ObjectiveConfig) {
    out.push_str("  timeWindow:\n");
    match (&objective.calendar, objective.objective.window) {
        (Some(calendar), _) => period(out, calendar),
        (None, window) => {
            _ = writeln!(
                out,
                "    - duration: {}\n      isRolling: true",
                shorthand(window.length())
            );
        }
    }
}

fn method(budgeting: Budgeting) -> &'static str {
    match budgeting {
        Budgeting::Occurrences | Budgeting::Absolute { .. } | Budgeting::Composite => "Occurrences",
        Budgeting::Timeslices { .. } => "Timeslices",
        Budgeting::RatioTimeslices { .. } => "RatioTimeslices",
    }
}

fn slices(out: &mut String, budgeting: Budgeting) {
    let (slice, target) = match budgeting {
        Budgeting::Occurrences | Budgeting::Absolute { .. } | Budgeting::Composite => return,
        Budgeting::Timeslices { slice, target } => (slice, Some(target)),
        Budgeting::RatioTimeslices { slice } => (slice, None),
    };
    _ = writeln!(out, "      timeSliceWindow: {}", shorthand(slice.length()));
    if let Some(target) = target {
        _ = writeln!(out, "      timeSliceTarget: {}", share(target.share()));
    }
}

fn policies(out: &mut String, config: &Config, objective: &ObjectiveConfig) {
    out.push_str("  alertPolicies:\n");
    for rule in objective.objective.rules() {
        policy(out, config, objective, &rule);
    }
}

/// Without the error that a division makes.
fn share(share: f64) -> f64 {
    (share * 1e10).round() / 1e10
}

/// Which events count: in the words of our own objectives.
fn counted(out: &mut String, objective: &ObjectiveConfig, plan: &ObjectivePlan) {
    if plan.routes.is_empty() {
        _ = writeln!(out, "vantage: {}", objective.vantage);
        if objective.sampling < 1.0 {
            _ = writeln!(out, "sampling: {}", objective.sampling);
        }
        if let Good::Seen { within } = plan.good {
            _ = writeln!(out, "freshness: {}ms", within.as_millis());
        }
        return;
    }
    let routes: BTreeSet<&str> = plan.routes.iter().map(|(_, route)| &**route).collect();
    let mut routes: Vec<&str> = routes.into_iter().collect();
    if let Some(walk) = &plan.walk {
        // The one that ends a journey comes last.
        routes.sort_by_key(|route| walk.ends.iter().any(|(_, end)| **end == **route));
    }
    _ = writeln!(out, "routes: [{}]", routes.join(", "));
    if let Some(walk) = &plan.walk {
        let (key, within) = (Scalar::render(&walk.key), walk.within.as_secs());
        _ = writeln!(out, "journey: {{ key: '{key}', within: {within}s }}");
    }
    if let Some(tier) = &plan.tier {
        _ = writeln!(out, "tier: {tier}");
    }
}

fn period(out: &mut String, calendar: &Calendar) {
    let unit = match calendar.unit {
        Unit::Day => 'd',
        Unit::Week => 'w',
        Unit::Month => 'M',
        Unit::Quarter => 'Q',
        Unit::Year => 'Y',
    };
    let begins = calendar.anchor.strftime("%Y-%m-%d %H:%M:%S");
    let zone = calendar.zone.iana_name().unwrap_or("UTC");
    _ = writeln!(
        out,
        "    - duration: {}{unit}\n      isRolling: false\n      calendar:\n        startTime: '{begins}'\n        timeZone: {zone}",
        calendar.count
    );
}

fn shorthand(length: Duration) -> String {
    match length.as_secs() / 60 {
        minutes if minutes % 1_440 == 0 => format!("{}d", minutes / 1_440),
        minutes if minutes % 60 == 0 => format!("{}h", minutes / 60),
        minutes => format!("{minutes}m"),
    }
}

/// A policy has one condition, and a condition one window: the short one stands in an annotation.
fn policy(out: &mut String, config: &Config, objective: &ObjectiveConfig, rule: &BurnRule) {
    let (long, short) = (shorthand(rule.long), shorthand(rule.short));
    let severity = rule.severity.word();
    let name = label(&format!("{}-{severity}-{long}", objective.name));
    let calls = match rule.severity {
        Severity::Page => Calls::Page,
        Severity::Ticket => Calls::Ticket,
    };
    _ = writeln!(
        out,
        "    - kind: AlertPolicy
      metadata:
        name: {name}
        annotations:
          plimsoll.dev/windows: {long},{short}
      spec:
        alertWhenBreaching: true
        alertWhenResolved: true
        alertWhenNoData: false
        conditions:
          - kind: AlertCondition
            metadata:
              name: {name}
            spec:
              severity: {severity}
              condition:
                kind: burnrate
                op: gte
                threshold: {}
                lookbackWindow: {long}",
        share(rule.factor)
    );
    let told = config
        .alerts
        .targets
        .iter()
        .filter(|target| target.calls.contains(&calls));
    let told: Vec<String> = told
        .map(|target| format!("{{ targetRef: {} }}", label(&target.name)))
        .collect();
    _ = writeln!(out, "        notificationTargets: [{}]", told.join(", "));
}
