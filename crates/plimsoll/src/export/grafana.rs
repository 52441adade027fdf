//! A dashboard for Grafana, over our rules for Prometheus: for each objective what is left, how fast it is spent, and what
//! comes.
//!
//! It asks for a data source when it is taken in (`DS_PROMETHEUS`), as Grafana's own exports do.

use plimsoll_slo::{Budgeting, Window};
use serde_json::{Value, json};

use crate::config::ObjectiveConfig;
use crate::metrics::window_label;

/// Rows and columns of Grafana's grid that a panel takes.
const HEIGHT: usize = 8;
const WIDTH: usize = 8;

/// The whole of it. Objectives that rates cannot say have no panels.
pub(crate) fn dashboard(objectives: &[ObjectiveConfig]) -> String {
    let told = objectives
        .iter()
        .filter(|one| one.objective.budgeting == Budgeting::Occurrences);
    let panels: Vec<Value> = told
        .enumerate()
        .flat_map(|(row, objective)| panels(row, objective))
        .collect();
    let whole = json!({
        "__inputs": [{
            "name": "DS_PROMETHEUS",
            "label": "Prometheus",
            "type": "datasource",
            "pluginId": "prometheus",
            "pluginName": "Prometheus",
        }],
        "title": "Objectives",
        "uid": "plimsoll-objectives",
        "tags": ["plimsoll", "slo"],
        "schemaVersion": 36,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-24h", "to": "now" },
        "timezone": "utc",
        "panels": panels,
    });
    format!("{whole:#}\n")
}

fn panels(row: usize, objective: &ObjectiveConfig) -> Vec<Value> {
    let name = &objective.name;
    let of = format!("{{objective=\"{name}\"}}");
    let rules = objective.objective.rules();
    let mut panels = Vec::new();
    if let Window::Rolling(_) = objective.objective.window {
        let left = [(format!("objective:budget_left:ratio{of}"), "left".to_owned())];
        panels.push(panel(
            "stat",
            &format!("{name}: budget left of {}", objective.window),
            "percentunit",
            &left,
        ));
    }
    let allowance = objective.objective.target.allowance();
    let burns: Vec<_> = rules
        .iter()
        .flat_map(|rule| {
            [rule.long, rule.short].map(|window| {
                let window = window_label(window);
                // What calls is at 1, whatever the factor of the rule.
                let share = rule.factor * allowance;
                (
                    format!("objective:bad_ratio:rate{window}{of} / {share:.12}"),
                    format!("{} {window}", rule.severity.word()),
                )
            })
        })
        .collect();
    panels.push(panel(
        "timeseries",
        &format!("{name}: burn, of what calls"),
        "none",
        &burns,
    ));
    let outcomes = [(
        format!("sum by (class) (rate(plimsoll_objective_outcomes_total{of}[5m]))"),
        "{{class}}".to_owned(),
    )];
    panels.push(panel(
        "timeseries",
        &format!("{name}: events"),
        "reqps",
        &outcomes,
    ));
    for (column, panel) in panels.iter_mut().enumerate() {
        panel["id"] = (3 * row + column + 1).into();
        panel["gridPos"] = json!({ "x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT });
    }
    panels
}

fn panel(kind: &str, title: &str, unit: &str, queries: &[(String, String)]) -> Value {
    let source = json!({ "type": "prometheus", "uid": "${DS_PROMETHEUS}" });
    let targets = (b'A'..).zip(queries).map(|(id, (query, legend))| {
        json!({
            "refId": char::from(id).to_string(),
            "expr": query,
            "legendFormat": legend,
            "datasource": source,
        })
    });
    json!({
        "type": kind,
        "title": title,
        "datasource": source,
        "fieldConfig": { "defaults": { "unit": unit }, "overrides": [] },
        "targets": targets.collect::<Vec<_>>(),
    })
}
