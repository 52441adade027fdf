//! What is wrong with documents: first the form of each, then what their fields say together, then whom they refer to.

mod form;

use std::collections::{BTreeMap, HashSet};

pub(super) use self::form::civil;
use self::form::{is_label, right_of};
use super::schema::{Field, Form, KINDS, OBJECT};
use super::{Document, Finding, Shorthand, Weight, finding, name_of, number, text};
use crate::config::near::nearest;
use crate::config::problem::Mark;
use crate::config::tree::{Kind, Node};

/// Everything that is wrong or doubtful with them.
pub(super) fn all(documents: &[Document]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut named: HashSet<(String, String)> = HashSet::new();
    let known: HashSet<(&str, &str)> = documents
        .iter()
        .filter_map(|one| Some((text(&one.node, "kind")?, name_of(&one.node)?)))
        .collect();
    for document in documents {
        let mut checking = Checking {
            document,
            known: &known,
            path: Vec::new(),
            found: &mut found,
        };
        checking.object();
        let name = text(&document.node, "kind").zip(name_of(&document.node));
        if let Some((kind, name)) = name
            && !named.insert((kind.to_owned(), name.to_owned()))
        {
            let wrong = format!("there is another {kind} that is called `{name}`");
            let metadata = document.node.get("metadata");
            let mark = metadata
                .and_then(|metadata| metadata.get("name"))
                .map_or(document.node.mark, |name| name.mark);
            checking.inside(".metadata.name".to_owned(), |checking| {
                checking.wrong(mark, wrong, "a name of its own");
            });
        }
    }
    found
}

struct Checking<'c> {
    document: &'c Document,
    /// The kind and name of every object.
    known: &'c HashSet<(&'c str, &'c str)>,
    path: Vec<String>,
    found: &'c mut Vec<Finding>,
}

impl Checking<'_> {
    fn say(&mut self, weight: Weight, mark: Mark, wrong: impl Into<String>, right: impl Into<String>) {
        let path = self.path.concat();
        let path = path.strip_prefix('.').unwrap_or(&path).to_owned();
        self.found
            .push(finding(self.document, weight, (mark, path), wrong, right));
    }

    fn wrong(&mut self, mark: Mark, wrong: impl Into<String>, right: impl Into<String>) {
        self.say(Weight::Wrong, mark, wrong, right);
    }

    fn doubtful(&mut self, mark: Mark, wrong: impl Into<String>, right: impl Into<String>) {
        self.say(Weight::Doubtful, mark, wrong, right);
    }

    fn inside<T>(&mut self, step: String, look: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let looked = look(self);
        self.path.pop();
        looked
    }

    /// Looks at a field, if it is there.
    fn field(&mut self, node: &Node, name: &str, look: impl FnOnce(&mut Self, &Node)) {
        if let Some(value) = node.get(name) {
            self.inside(format!(".{name}"), |checking| look(checking, value));
        }
    }

    /// Looks at each item of a list, if it is there.
    fn each(&mut self, node: &Node, name: &str, look: impl Fn(&mut Self, &Node)) {
        self.field(node, name, |checking, list| {
            for (index, item) in list.items().iter().enumerate() {
                checking.inside(format!("[{index}]"), |checking| look(checking, item));
            }
        });
    }

    /// A whole object.
    fn object(&mut self) {
        let node = &self.document.node;
        if node.entries().is_empty() {
            return self.wrong(
                node.mark,
                format!("{} is no object", node.describe()),
                "`apiVersion`, `kind`, `metadata` and `spec`",
            );
        }
        if let Some(version) = node
            .get("apiVersion")
            .filter(|version| version.text() != Some(super::VERSION))
        {
            let wrong = format!("the version {} is not read here", version.describe());
            return self.inside(".apiVersion".to_owned(), |checking| {
                checking.wrong(version.mark, wrong, format!("`{}`", super::VERSION));
            });
        }
        let kind = text(node, "kind");
        let known = KINDS.iter().find(|(known, _)| Some(*known) == kind);
        if let Some(value) = node.get("kind").filter(|_| known.is_none()) {
            let words = KINDS.map(|(kind, _)| kind);
            let right = right_of(kind.unwrap_or_default(), &words);
            let wrong = format!("there is no kind {}", value.describe());
            return self.inside(".kind".to_owned(), |checking| {
                checking.wrong(value.mark, wrong, right);
            });
        }
        let spec = known.map_or(Form::Anything, |(_, form)| *form);
        let mut fields: Vec<Field> = Vec::new();
        for (name, form) in OBJECT {
            fields.push(Field {
                name,
                form,
                is_needed: true,
            });
        }
        // A service may have nothing to say but that it is there.
        fields.push(Field {
            name: "spec",
            form: spec,
            is_needed: kind != Some("Service"),
        });
        self.map(node, &fields);
        let Some((kind, _)) = known else { return };
        self.field(node, "spec", |checking, spec| match *kind {
            "SLI" => checking.sli(spec),
            "SLO" => checking.slo(spec),
            "AlertPolicy" => checking.policy(spec),
            "AlertCondition" => checking.condition(spec),
            _ => {}
        });
    }

    /// Exactly one of these fields.
    fn one_of(&mut self, node: &Node, fields: &[&str]) {
        let there: Vec<&str> = fields
            .iter()
            .copied()
            .filter(|field| node.get(field).is_some())
            .collect();
        let right = format!("one of `{}`", fields.join("` and `"));
        match there.len() {
            0 => self.wrong(node.mark, "what is to be there is missing", right),
            1 => {}
            _ => self.wrong(
                node.mark,
                format!("`{}` exclude each other", there.join("` and `")),
                right,
            ),
        }
    }

    /// Somebody is meant who has to be among the documents.
    fn refers(&mut self, node: &Node, field: &str, kind: &str) {
        self.refers_so(Weight::Wrong, node, field, kind);
    }

    fn refers_so(&mut self, weight: Weight, node: &Node, field: &str, kind: &str) {
        self.field(node, field, |checking, value| {
            let Some(name) = value.text().filter(|name| is_label(name)) else {
                return;
            };
            if !checking.known.contains(&(kind, name)) {
                let names = checking
                    .known
                    .iter()
                    .filter(|(known, _)| *known == kind)
                    .map(|(_, name)| *name);
                let near = nearest(name, names);
                let right = near.map_or_else(
                    || format!("the file with that {kind} beside this one"),
                    |near| format!("`{near}`"),
                );
                checking.say(
                    weight,
                    value.mark,
                    format!("there is no {kind} that is called `{name}`"),
                    right,
                );
            }
        });
    }

    fn sli(&mut self, spec: &Node) {
        self.one_of(spec, &["ratioMetric", "thresholdMetric"]);
        self.field(spec, "thresholdMetric", Self::metric);
        self.field(spec, "ratioMetric", |checking, ratio| {
            let has = |field: &str| ratio.get(field).is_some();
            if has("raw") {
                if has("good") || has("bad") || has("total") {
                    checking.wrong(
                        ratio.mark,
                        "`raw` is the ratio itself, and excludes `good`, `bad` and `total`",
                        "one of both ways",
                    );
                }
                if !has("rawType") {
                    checking.wrong(
                        ratio.mark,
                        "nothing says of what `raw` is the share",
                        "`rawType: success` or `rawType: failure`",
                    );
                }
            } else {
                checking.one_of(ratio, &["good", "bad"]);
                if !has("total") {
                    checking.wrong(
                        ratio.mark,
                        "`total` is missing",
                        "a `total` here, or a `raw` instead",
                    );
                }
                if has("rawType") {
                    checking.doubtful(
                        ratio.mark,
                        "`rawType` says something of `raw`, which is not there",
                        "none of it",
                    );
                }
                if !has("counter") {
                    checking.doubtful(
                        ratio.mark,
                        "nothing says whether the metrics only ever rise",
                        "`counter: true` or `counter: false`",
                    );
                }
            }
            for field in ["good", "bad", "total", "raw"] {
                checking.field(ratio, field, Self::metric);
            }
        });
    }

    fn metric(&mut self, metric: &Node) {
        self.field(metric, "metricSource", |checking, source| {
            // Sources are often kept elsewhere; what kind one is of is needed here.
            let weight = if source.get("type").is_some() {
                Weight::Doubtful
            } else {
                Weight::Wrong
            };
            checking.refers_so(weight, source, "metricSourceRef", "DataSource");
            if source.get("metricSourceRef").is_none() && source.get("type").is_none() {
                checking.wrong(
                    source.mark,
                    "nothing says where the metric is",
                    "a `type`, or a `metricSourceRef`",
                );
            }
        });
    }

    fn indicator(&mut self, of: &Node) {
        self.one_of(of, &["indicator", "indicatorRef"]);
        self.refers(of, "indicatorRef", "SLI");
        self.field(of, "indicator", |checking, indicator| {
            checking.field(indicator, "spec", Self::sli);
        });
    }

    fn slo(&mut self, spec: &Node) {
        let objectives = spec.get("objectives").map_or(&[][..], Node::items);
        let is_own = |node: &Node| node.get("indicator").is_some() || node.get("indicatorRef").is_some();
        let is_composite = objectives.iter().any(is_own);
        if is_composite && is_own(spec) {
            let right = "indicators in each of `objectives`, or one beside them";
            self.wrong(
                spec.mark,
                "there are indicators beside the objectives and in them",
                right,
            );
        } else if !is_composite {
            self.indicator(spec);
        }
        if let Some(service) = text(spec, "service")
            && self.known.iter().any(|(kind, _)| *kind == "Service")
            && !self.known.contains(&("Service", service))
        {
            self.field(spec, "service", |checking, value| {
                checking.doubtful(
                    value.mark,
                    "no Service is called so, and there are others",
                    "the name of one of them",
                );
            });
        }
        self.window(spec);
        if objectives.is_empty()
            && spec
                .get("objectives")
                .is_some_and(|list| matches!(list.kind, Kind::List(_)))
        {
            self.field(spec, "objectives", |checking, list| {
                checking.wrong(list.mark, "there is no objective", "one at least");
            });
        }
        // Of an indicator that stands elsewhere the form is not looked up here.
        let inline = spec.get("indicator").and_then(|indicator| indicator.get("spec"));
        let is_threshold = inline.map(|spec| spec.get("thresholdMetric").is_some());
        if is_threshold == Some(true) && objectives.len() > 1 {
            self.field(spec, "objectives", |checking, list| {
                checking.wrong(
                    list.mark,
                    "a `thresholdMetric` has one threshold",
                    "one objective, and others in SLOs of their own",
                );
            });
        }
        let method = text(spec, "budgetingMethod").unwrap_or_default().to_owned();
        self.each(spec, "objectives", |checking, objective| {
            checking.objective(objective, &method, is_composite, is_threshold);
        });
        self.each(spec, "alertPolicies", |checking, policy| {
            checking.inline(policy, "alertPolicyRef", "AlertPolicy", Self::policy);
        });
    }

    fn window(&mut self, spec: &Node) {
        self.field(spec, "timeWindow", |checking, list| {
            if matches!(list.kind, Kind::List(_)) && list.items().len() != 1 {
                checking.wrong(
                    list.mark,
                    format!("there are {} windows", list.items().len()),
                    "exactly one",
                );
            }
        });
        self.each(spec, "timeWindow", |checking, window| {
            let (rolls, calendar) = (text(window, "isRolling"), window.get("calendar"));
            match (rolls, calendar) {
                (Some("true"), Some(calendar)) => checking.inside(".calendar".to_owned(), |checking| {
                    let right = "`isRolling: true`, or a `calendar`";
                    checking.wrong(calendar.mark, "a window that rolls has no calendar", right);
                }),
                (None | Some("false"), None) => {
                    let right = "`isRolling: true`, or a `calendar` with `startTime` and `timeZone`";
                    checking.wrong(window.mark, "nothing says when the window begins", right);
                }
                _ => {}
            }
            checking.field(window, "duration", |checking, duration| {
                let Some(Shorthand { count, unit: 'm' }) = duration.text().and_then(Shorthand::parse) else {
                    return;
                };
                if count < 60 {
                    let wrong = format!("`{count}m` counts minutes, in which hardly anything can be judged");
                    checking.doubtful(duration.mark, wrong, format!("`{count}M` if months are meant"));
                }
            });
        });
    }

    fn objective(&mut self, objective: &Node, method: &str, is_composite: bool, is_threshold: Option<bool>) {
        self.one_of(objective, &["target", "targetPercent"]);
        for (field, top) in [("target", 1.0), ("targetPercent", 100.0)] {
            let Some(target) = number(objective, field) else {
                continue;
            };
            self.field(objective, field, |checking, value| {
                if field == "target" && (1.0..100.0).contains(&target) {
                    checking.wrong(
                        value.mark,
                        format!("{target} is a percentage"),
                        format!(
                            "`targetPercent: {target}`, or `target: {}`",
                            (target * 1e8).round() / 1e10
                        ),
                    );
                } else if !(0.0..top).contains(&target) {
                    checking.wrong(
                        value.mark,
                        format!("{target} is no share of events that can be missed"),
                        format!("0 or more, and less than {top}"),
                    );
                } else if target / top < 0.5 {
                    checking.doubtful(
                        value.mark,
                        format!("with {target} more may fail than succeed"),
                        format!("`{field}` close to {top}"),
                    );
                }
            });
        }
        if is_composite {
            self.indicator(objective);
        }
        if let Some(weight) = number(objective, "compositeWeight") {
            self.field(objective, "compositeWeight", |checking, value| {
                if weight <= 0.0 {
                    checking.wrong(value.mark, "a weight of 0 or less weighs nothing", "more than 0");
                } else if !is_composite {
                    checking.doubtful(
                        value.mark,
                        "only objectives with indicators of their own are weighed",
                        "none of it",
                    );
                }
            });
        }
        self.slices(objective, method);
        self.comparison(objective, is_threshold);
    }

    /// What a metric is compared with.
    fn comparison(&mut self, objective: &Node, is_threshold: Option<bool>) {
        for field in ["op", "value"] {
            match (is_threshold, objective.get(field)) {
                (Some(true), None) => {
                    self.wrong(
                        objective.mark,
                        format!(
                            "a `thresholdMetric` is compared by `op` with `value`, and `{field}` is missing"
                        ),
                        format!("a `{field}` here"),
                    );
                }
                (Some(false), Some(value)) => {
                    let mark = value.mark;
                    self.inside(format!(".{field}"), |checking| {
                        checking.doubtful(
                            mark,
                            "a ratio is compared with nothing but the target",
                            "none of it",
                        );
                    });
                }
                _ => {}
            }
        }
    }

    fn slices(&mut self, objective: &Node, method: &str) {
        let needs: &[&str] = match method {
            "Timeslices" => &["timeSliceTarget", "timeSliceWindow"],
            "RatioTimeslices" => &["timeSliceWindow"],
            _ => &[],
        };
        for field in ["timeSliceTarget", "timeSliceWindow"] {
            match (needs.contains(&field), objective.get(field)) {
                (true, None) => self.wrong(
                    objective.mark,
                    format!("`{method}` need a `{field}`"),
                    format!("a `{field}` here"),
                ),
                (false, Some(value)) if matches!(method, "Occurrences" | "RatioTimeslices") => {
                    let mark = value.mark;
                    self.inside(format!(".{field}"), |checking| {
                        checking.doubtful(
                            mark,
                            format!("`{method}` have no use for it"),
                            "none of it, or another `budgetingMethod`",
                        );
                    });
                }
                _ => {}
            }
        }
        if let Some(target) = number(objective, "timeSliceTarget")
            && !(target > 0.0 && target <= 1.0)
        {
            self.field(objective, "timeSliceTarget", |checking, value| {
                checking.wrong(
                    value.mark,
                    format!("{target} is no share of events"),
                    "more than 0, and 1 at most",
                );
            });
        }
    }

    /// An object that stands inline, or a reference to one.
    fn inline(&mut self, node: &Node, reference: &str, kind: &str, look: fn(&mut Self, &Node)) {
        let mut words = BTreeMap::from([(reference, node.get(reference).is_some())]);
        words.insert("spec", node.get("spec").is_some());
        self.one_of(node, &[reference, "spec"]);
        self.refers(node, reference, kind);
        if words["spec"] && !words[reference] {
            for field in ["kind", "metadata"] {
                if node.get(field).is_none() {
                    self.wrong(
                        node.mark,
                        format!("`{field}` is missing"),
                        format!("a `{field}` beside `spec`"),
                    );
                }
            }
        }
        self.field(node, "spec", look);
    }

    fn policy(&mut self, spec: &Node) {
        self.field(spec, "conditions", |checking, list| {
            if matches!(list.kind, Kind::List(_)) && list.items().len() != 1 {
                checking.wrong(
                    list.mark,
                    format!("there are {} conditions", list.items().len()),
                    "exactly one",
                );
            }
        });
        self.each(spec, "conditions", |checking, condition| {
            checking.inline(condition, "conditionRef", "AlertCondition", Self::condition);
        });
        self.each(spec, "notificationTargets", |checking, target| {
            checking.inline(target, "targetRef", "AlertNotificationTarget", |_, _| {});
        });
        let never = ["alertWhenNoData", "alertWhenResolved", "alertWhenBreaching"];
        if never.iter().all(|field| text(spec, field) != Some("true")) {
            self.doubtful(
                spec.mark,
                "nobody is ever told: none of the three `alertWhen…` is true",
                "`alertWhenBreaching: true`",
            );
        }
    }

    fn condition(&mut self, spec: &Node) {
        self.field(spec, "condition", |checking, condition| {
            checking.field(condition, "op", |checking, op| {
                if let Some(word @ ("lte" | "lt")) = op.text() {
                    let wrong = format!("`{word}` calls for as long as the budget burns slowly");
                    checking.doubtful(op.mark, wrong, "`gte` or `gt`");
                }
            });
            if number(condition, "threshold").is_some_and(|threshold| threshold <= 0.0) {
                checking.field(condition, "threshold", |checking, value| {
                    checking.doubtful(
                        value.mark,
                        "a burn of 0 or less is that of a service that never fails",
                        "1 or more",
                    );
                });
            }
        });
    }
}
