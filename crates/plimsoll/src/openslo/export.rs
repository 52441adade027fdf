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
        let mut plans = config.plan.objectives.iter();
        if !objective.members.is_empty() {
            let names: Vec<&str> = objective.members.iter().map(|(name, _)| &**name).collect();
            _ = writeln!(
                out,
                "---\n# {} is a composite of {}.",
                objective.name,
                names.join(", ")
            );
        } else if objective.objective.allowed().is_some() {
            let name = &objective.name;
            _ = writeln!(
                out,
                "---\n# {name} has a budget that is absolute, which OpenSLO has no word for."
            );
        } else if let Some(plan) = plans.find(|plan| plan.name == objective.name) {
            slo(&mut out, config, objective, plan, service);
        }
    }
    out
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

fn slo(out: &mut String, config: &Config, objective: &ObjectiveConfig, plan: &ObjectivePlan, service: &str) {
    let asked = &objective.objective;
    begin(out, "SLO", &label(&objective.name));
    if let Some(runbook) = &objective.runbook {
        _ = writeln!(out, "  annotations:\n    plimsoll.dev/runbook: '{runbook}'");
    }
    _ = writeln!(
        out,
        "spec:\n  service: {service}\n  indicator:\n    metadata:\n      name: {}",
        label(&objective.name)
    );
    out.push_str("    spec:\n      ratioMetric:\n        counter: true\n");
    for (part, limit) in [("good", true), ("total", false)] {
        _ = writeln!(
            out,
            "        {part}:\n          metricSource:\n            type: Plimsoll\n            spec:"
        );
        counted(out, objective, plan);
        if let Some(latency) = plan.latency_max().filter(|_| limit) {
            _ = writeln!(out, "              latency: {}ms", latency.as_millis());
        }
    }
    out.push_str("  timeWindow:\n");
    match (&objective.calendar, asked.window) {
        (Some(calendar), _) => period(out, calendar),
        (None, window) => {
            _ = writeln!(
                out,
                "    - duration: {}\n      isRolling: true",
                shorthand(window.length())
            );
        }
    }
    let (method, slice) = match asked.budgeting {
        Budgeting::Occurrences | Budgeting::Absolute { .. } | Budgeting::Composite => ("Occurrences", None),
        Budgeting::Timeslices { slice, target } => ("Timeslices", Some((slice, Some(target)))),
        Budgeting::RatioTimeslices { slice } => ("RatioTimeslices", Some((slice, None))),
    };
    _ = writeln!(
        out,
        "  budgetingMethod: {method}\n  objectives:\n    - target: {}",
        share(asked.target.share())
    );
    if let Some((slice, target)) = slice {
        _ = writeln!(out, "      timeSliceWindow: {}", shorthand(slice.length()));
        if let Some(target) = target {
            _ = writeln!(out, "      timeSliceTarget: {}", share(target.share()));
        }
    }
    out.push_str("  alertPolicies:\n");
    for rule in asked.rules() {
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
        _ = writeln!(out, "              vantage: {}", objective.vantage);
        if objective.sampling < 1.0 {
            _ = writeln!(out, "              sampling: {}", objective.sampling);
        }
        if let Good::Seen { within } = plan.good {
            _ = writeln!(out, "              freshness: {}ms", within.as_millis());
        }
        return;
    }
    let routes: BTreeSet<&str> = plan.routes.iter().map(|(_, route)| &**route).collect();
    let mut routes: Vec<&str> = routes.into_iter().collect();
    if let Some(walk) = &plan.walk {
        // The one that ends a journey comes last.
        routes.sort_by_key(|route| walk.ends.iter().any(|(_, end)| **end == **route));
    }
    _ = writeln!(out, "              routes: [{}]", routes.join(", "));
    if let Some(walk) = &plan.walk {
        let (key, within) = (Scalar::render(&walk.key), walk.within.as_secs());
        _ = writeln!(
            out,
            "              journey: {{ key: '{key}', within: {within}s }}"
        );
    }
    if let Some(tier) = &plan.tier {
        _ = writeln!(out, "              tier: {tier}");
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
