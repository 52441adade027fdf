//! Recording and alerting rules for Prometheus, over the counters that Plimsoll exposes.
//!
//! The rules are those of the judge, with the same windows and factors. The share of bad events is that of all events in
//! the window, and not a mean of means: a quiet hour does not weigh as much as a busy one.
//!
//! What cannot be carried over is said in the rules: evidence, which keeps chance from paging, and callers.

use std::fmt::Write as _;
use std::time::Duration;

use plimsoll_slo::{Budgeting, BurnRule, Window};

use crate::config::ObjectiveConfig;
use crate::metrics::window_label;

const HEAD: &str = "\
# Rules of Plimsoll's objectives for Prometheus: the same windows and factors, over plimsoll_objective_outcomes_total.
# Not carried over: the evidence that keeps chance from paging and counts callers instead of failures, and the fast
# lane. Below some 1,000 events an hour expect pages without cause.
groups:
";

/// A rule file. Objectives that it cannot say are named in comments.
pub(crate) fn rules(objectives: &[ObjectiveConfig]) -> String {
    let mut out = HEAD.to_owned();
    for objective in objectives {
        group(&mut out, objective);
    }
    if objectives.is_empty() {
        out.push_str("  []\n");
    }
    out
}

fn group(out: &mut String, objective: &ObjectiveConfig) {
    let name = &objective.name;
    if objective.objective.budgeting != Budgeting::Occurrences {
        let word = objective.objective.budgeting.word();
        // Writing to a String cannot fail, here and below.
        _ = writeln!(
            out,
            "  # {name}: its budget is spent by {word}, which rates cannot say"
        );
        return;
    }
    let rules = objective.objective.rules();
    _ = writeln!(out, "  - name: plimsoll-{name}\n    rules:");
    let mut windows: Vec<Duration> = rules.iter().flat_map(|rule| [rule.long, rule.short]).collect();
    windows.sort_unstable();
    windows.dedup();
    for window in windows {
        recording(out, name, window);
    }
    for rule in &rules {
        alerting(out, objective, rule);
    }
    if let Window::Rolling(period) = objective.objective.window {
        budget(out, objective, period);
    }
}

fn recording(out: &mut String, name: &str, window: Duration) {
    let window = window_label(window);
    let rate = |class: &str| {
        format!("sum(rate(plimsoll_objective_outcomes_total{{objective=\"{name}\"{class}}}[{window}]))")
    };
    _ = writeln!(
        out,
        "      - record: objective:bad_ratio:rate{window}\n        expr: >-\n          {}\n          / {}\n        labels: {{ objective: \"{name}\" }}",
        rate(",class=\"bad\""),
        rate("")
    );
}

fn alerting(out: &mut String, objective: &ObjectiveConfig, rule: &BurnRule) {
    let (name, target) = (&objective.name, objective.objective.target);
    let (long, short) = (window_label(rule.long), window_label(rule.short));
    let threshold = rule.factor * target.allowance();
    let above =
        |window: &str| format!("objective:bad_ratio:rate{window}{{objective=\"{name}\"}} >= {threshold:.12}");
    _ = writeln!(
        out,
        "      - alert: ObjectiveBurns\n        expr: >-\n          {}\n          and {}",
        above(&long),
        above(&short)
    );
    _ = writeln!(
        out,
        "        labels: {{ severity: {}, long_window: {long}, short_window: {short} }}\n        annotations:",
        rule.severity.word()
    );
    _ = writeln!(
        out,
        "          summary: \"{name} spends its budget {:.1} times too fast, {:.0} % of it in {long}\"",
        rule.factor,
        100.0 * rule.share
    );
    if let Some(runbook) = &objective.runbook {
        _ = writeln!(out, "          runbook_url: \"{}\"", runbook.replace('"', "%22"));
    }
}

fn budget(out: &mut String, objective: &ObjectiveConfig, period: Duration) {
    let (name, window) = (&objective.name, window_label(period));
    let allowance = objective.objective.target.allowance();
    let increase = |class: &str| {
        format!("sum(increase(plimsoll_objective_outcomes_total{{objective=\"{name}\"{class}}}[{window}]))")
    };
    _ = writeln!(
        out,
        "      - record: objective:budget_left:ratio\n        expr: >-\n          1 - {}\n          / ({allowance:.12} * {})\n        labels: {{ objective: \"{name}\" }}",
        increase(",class=\"bad\""),
        increase("")
    );
}
