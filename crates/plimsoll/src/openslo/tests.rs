//! What is right passes, each thing that is wrong is found where it is, and nothing is lost on the way there and back.

use super::*;
use crate::config::Config;

mod composites;

/// Every kind, each field of the specification at least once, and every way to say a thing.
const RIGHT: &str = include_str!("../../tests/it/testdata/openslo/right.yaml");

fn findings(text: &str) -> Vec<Finding> {
    let mut documents = Documents::default();
    documents.add("a.yaml", text);
    documents.check();
    documents.findings
}

fn said(text: &str) -> Vec<String> {
    findings(text).iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_right_passes_without_a_word() {
    assert_eq!(said(RIGHT), [""; 0]);
    // As a list, and as JSON, which is YAML.
    let listed = RIGHT
        .split("---\n")
        .filter(|part| part.contains("kind:"))
        .map(|part| {
            let lines: Vec<String> = part.lines().map(|line| format!("  {line}")).collect();
            format!("-{}\n", &lines.join("\n")[1..])
        });
    assert_eq!(said(&listed.collect::<String>()), [""; 0]);
    let json =
        r#"[{ "apiVersion": "openslo/v1", "kind": "Service", "metadata": { "name": "a" }, "spec": {} }]"#;
    assert_eq!(said(json), [""; 0]);
    assert_eq!(said("# nothing\n---\n\n---\n# here\n"), [""; 0]);
}

/// A change to what is right, and all that is then to be said: each by its place and a part of its words.
type Mutation = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const MUTATIONS: &[Mutation] = &[
    // Every object.
    (
        "apiVersion: openslo/v1\nkind: Service",
        "apiVersion: openslo/v2alpha\nkind: Service",
        &[("apiVersion", "is not read here; right would be `openslo/v1`")],
    ),
    (
        "kind: Service",
        "kind: Sevice",
        &[("kind", "there is no kind `Sevice`; right would be `Service`")],
    ),
    ("kind: Service\n", "", &[("1:", "`kind` is missing")]),
    (
        "  name: checkout\n  displayName: Checkout",
        "  displayName: Checkout",
        &[("metadata", "`name` is missing")],
    ),
    (
        "  name: checkout\n  displayName",
        "  name: Check_out\n  displayName",
        &[("metadata.name", "is not a DNS label")],
    ),
    (
        "  displayName: Checkout",
        "  displayname: Checkout",
        &[(
            "metadata.displayname",
            "the field `displayname` is not known here; right would be `displayName`",
        )],
    ),
    (
        "team: [payments, risk]",
        "-team: [payments, risk]",
        &[("metadata.labels.-team", "is no key")],
    ),
    (
        "team: [payments, risk]",
        "team: { of: risk }",
        &[(
            "metadata.labels.team",
            "a map is not a text; right would be a text, or a list of texts",
        )],
    ),
    (
        "plimsoll.dev/runbook: https",
        "plimsoll.dev/run book: https",
        &[("annotations.plimsoll.dev/run book", "is no key")],
    ),
    (
        "kind: DataSource\nmetadata:\n  name: plimsoll",
        "kind: Service\nmetadata:\n  name: plimsoll",
        &[
            ("spec.type", "not known here"),
            ("spec.connectionDetails", "not known here"),
            (
                "metricSourceRef",
                "there is no DataSource that is called `plimsoll`",
            ),
        ],
    ),
    (
        "  name: paid-in-time\n",
        "  name: paid\n",
        &[("metadata.name", "there is another SLO that is called `paid`")],
    ),
    // Indicators.
    (
        "  ratioMetric:\n    counter: true\n    good:",
        "  ratiometric:\n    counter: true\n    good:",
        &[
            ("spec.ratiometric", "right would be `ratioMetric`"),
            (
                "spec",
                "what is to be there is missing; right would be one of `ratioMetric` and `thresholdMetric`",
            ),
        ],
    ),
    (
        "    total:\n      metricSource: { metricSourceRef: plimsoll }",
        "",
        &[("spec.ratioMetric", "`total` is missing")],
    ),
    (
        "    counter: true\n    good:",
        "    good:",
        &[(
            "spec.ratioMetric",
            "doubtful: nothing says whether the metrics only ever rise",
        )],
    ),
    (
        "    counter: true\n    good:",
        "    counter: yes\n    good:",
        &[("spec.ratioMetric.counter", "`yes` is not a truth value")],
    ),
    (
        "    counter: true\n    good:",
        "    counter: true\n    rawType: success\n    good:",
        &[("spec.ratioMetric", "doubtful: `rawType` says something of `raw`")],
    ),
    (
        "    rawType: failure\n",
        "",
        &[("spec.ratioMetric", "nothing says of what `raw` is the share")],
    ),
    (
        "    rawType: failure",
        "    rawType: failures",
        &[("spec.ratioMetric.rawType", "right would be `failure`")],
    ),
    (
        "    raw:\n      metricSource: { type: Prometheus",
        "    total:\n      metricSource: { type: Plimsoll }\n    raw:\n      metricSource: { type: Prometheus",
        &[("spec.ratioMetric", "`raw` is the ratio itself")],
    ),
    (
        "metricSource: { metricSourceRef: plimsoll }",
        "metricSource: { spec: {} }",
        &[("total.metricSource", "nothing says where the metric is")],
    ),
    (
        "metricSource: { metricSourceRef: plimsoll }",
        "metricSource: { metricSourceRef: plimsol }",
        &[("total.metricSource.metricSourceRef", "right would be `plimsoll`")],
    ),
    (
        "metricSource: { metricSourceRef: plimsoll }",
        "metricSource: { metricSourceRef: other, type: Plimsoll }",
        &[(
            "total.metricSource.metricSourceRef",
            "doubtful: there is no DataSource",
        )],
    ),
    // Objectives.
    (
        "  service: checkout\n  indicatorRef: paid",
        "  indicatorRef: paid",
        &[("spec", "`service` is missing")],
    ),
    (
        "  indicatorRef: paid\n",
        "",
        &[("spec", "right would be one of `indicator` and `indicatorRef`")],
    ),
    (
        "  indicatorRef: paid\n",
        "  indicatorRef: payd\n",
        &[(
            "spec.indicatorRef",
            "there is no SLI that is called `payd`; right would be `paid`",
        )],
    ),
    (
        "  budgetingMethod: Occurrences\n  objectives:\n    - targetPercent: 99.9",
        "  budgetingMethod: Occurences\n  objectives:\n    - targetPercent: 99.9",
        &[("spec.budgetingMethod", "right would be `Occurrences`")],
    ),
    (
        "targetPercent: 99.9\n",
        "targetPercent: 99.9\n      target: 0.999\n",
        &[("spec.objectives[0]", "exclude each other")],
    ),
    (
        "targetPercent: 99.9\n",
        "target: 99.9\n",
        &[(
            "spec.objectives[0].target",
            "99.9 is a percentage; right would be `targetPercent: 99.9`, or `target: 0.999`",
        )],
    ),
    (
        "targetPercent: 99.9\n",
        "targetPercent: 100\n",
        &[(
            "spec.objectives[0].targetPercent",
            "100 is no share of events that can be missed",
        )],
    ),
    (
        "targetPercent: 99.9\n",
        "targetPercent: 0.999\n",
        &[(
            "spec.objectives[0].targetPercent",
            "doubtful: with 0.999 more may fail than succeed",
        )],
    ),
    (
        "targetPercent: 99.9\n",
        "targetPercent: many\n",
        &[("spec.objectives[0].targetPercent", "`many` is not a number")],
    ),
    (
        "      timeSliceTarget: 0.95\n",
        "",
        &[("spec.objectives[0]", "`Timeslices` need a `timeSliceTarget`")],
    ),
    (
        "      timeSliceTarget: 0.95\n",
        "      timeSliceTarget: 1.5\n",
        &[("spec.objectives[0].timeSliceTarget", "1.5 is no share of events")],
    ),
    (
        "      timeSliceWindow: 5m\n",
        "      timeSliceWindow: 5 minutes\n",
        &[(
            "spec.objectives[0].timeSliceWindow",
            "is not a duration, or a number of minutes",
        )],
    ),
    (
        "budgetingMethod: RatioTimeslices",
        "budgetingMethod: Occurrences",
        &[(
            "spec.objectives[0].timeSliceWindow",
            "doubtful: `Occurrences` have no use for it",
        )],
    ),
    (
        "    - op: lte\n      value: 0.3\n",
        "    - value: 0.3\n",
        &[("spec.objectives[0]", "`op` is missing")],
    ),
    (
        "    - op: lte\n",
        "    - op: le\n",
        &[("spec.objectives[0].op", "right would be `lte`")],
    ),
    (
        "    - targetPercent: 99.9\n",
        "    - targetPercent: 99.9\n      compositeWeight: 2\n",
        &[(
            "spec.objectives[0].compositeWeight",
            "doubtful: only objectives with indicators of their own are weighed",
        )],
    ),
    (
        "compositeWeight: 0.5",
        "compositeWeight: 0",
        &[("spec.objectives[1].compositeWeight", "weighs nothing")],
    ),
    (
        "    - targetPercent: 99\n      indicatorRef: paid\n",
        "    - targetPercent: 99\n",
        &[(
            "spec.objectives[0]",
            "right would be one of `indicator` and `indicatorRef`",
        )],
    ),
    (
        "  objectives:\n    - targetPercent: 99\n",
        "  indicatorRef: paid\n  objectives:\n    - targetPercent: 99\n",
        &[("spec", "there are indicators beside the objectives and in them")],
    ),
    // Windows.
    (
        "    - duration: 28d\n      isRolling: true",
        "    - duration: 28d",
        &[("spec.timeWindow[0]", "nothing says when the window begins")],
    ),
    (
        "    - duration: 28d\n      isRolling: true",
        "    - duration: 28 days\n      isRolling: true",
        &[("spec.timeWindow[0].duration", "`28 days` is not a duration")],
    ),
    (
        "    - duration: 28d\n      isRolling: true",
        "    - duration: 1m\n      isRolling: true",
        &[(
            "spec.timeWindow[0].duration",
            "doubtful: `1m` counts minutes, in which hardly anything can be judged; right would be `1M` if months are meant",
        )],
    ),
    (
        "    - duration: 28d\n      isRolling: true\n",
        "    - duration: 28d\n      isRolling: true\n    - duration: 7d\n      isRolling: true\n",
        &[(
            "spec.timeWindow",
            "there are 2 windows; right would be exactly one",
        )],
    ),
    (
        "        timeZone: Europe/London",
        "        timeZone: London",
        &[(
            "spec.timeWindow[0].calendar.timeZone",
            "`London` is not a time zone",
        )],
    ),
    (
        "        startTime: 2026-01-01 00:00:00",
        "        startTime: 2026-01-01T00:00:00Z",
        &[(
            "spec.timeWindow[0].calendar.startTime",
            "is not a date and time without a zone",
        )],
    ),
    (
        "      isRolling: false\n      calendar:\n        startTime: 2026-01-01",
        "      isRolling: true\n      calendar:\n        startTime: 2026-01-01",
        &[(
            "spec.timeWindow[0].calendar",
            "a window that rolls has no calendar",
        )],
    ),
    // Alerts.
    (
        "    - alertPolicyRef: burns-fast\n",
        "    - alertPolicyRef: burn-fast\n",
        &[(
            "spec.alertPolicies[0].alertPolicyRef",
            "right would be `burns-fast`",
        )],
    ),
    (
        "    - alertPolicyRef: burns-fast\n",
        "    - {}\n",
        &[("spec.alertPolicies[0]", "what is to be there is missing")],
    ),
    (
        "    - conditionRef: fast\n",
        "    - conditionRef: fast\n    - conditionRef: fast\n",
        &[(
            "spec.conditions",
            "there are 2 conditions; right would be exactly one",
        )],
    ),
    (
        "    op: gte\n    threshold: 14.4",
        "    op: lte\n    threshold: 14.4",
        &[(
            "spec.condition.op",
            "doubtful: `lte` calls for as long as the budget burns slowly",
        )],
    ),
    (
        "    op: gte\n    threshold: 14.4",
        "    op: gte",
        &[("spec.condition", "`threshold` is missing")],
    ),
    (
        "    threshold: 14.4",
        "    threshold: 0",
        &[("spec.condition.threshold", "doubtful: a burn of 0 or less")],
    ),
    (
        "  alertWhenBreaching: true\n  alertWhenResolved: true",
        "  alertWhenResolved: false",
        &[("spec", "doubtful: nobody is ever told")],
    ),
    (
        "  target: slack",
        "  description: nobody",
        &[("spec", "`target` is missing")],
    ),
    // The text itself.
    (
        "kind: Service\nmetadata:",
        "kind: Service\nmetadata: [",
        &[("", "")],
    ),
    ("kind: Service", "kind: &a Service", &[("", "")]),
];

#[test]
fn each_thing_that_is_wrong_is_found_where_it_is() {
    let mut amiss = Vec::new();
    for (from, to, expected) in MUTATIONS {
        assert!(RIGHT.contains(from), "{from:?} is not in what is right");
        let found = said(&RIGHT.replacen(from, to, 1));
        let is_there = |(place, words): &(&str, &str)| {
            found
                .iter()
                .any(|finding| finding.contains(place) && finding.contains(words))
        };
        // What is there and what follows from it, but nothing that has nothing to do with it.
        let is_bounded = found.len() <= expected.len() + 4;
        if found.is_empty() || !expected.iter().all(is_there) || !is_bounded {
            amiss.push(format!("{to:?}: {found:#?}"));
        }
    }
    assert!(amiss.is_empty(), "{}", amiss.join("\n"));
    assert!(MUTATIONS.len() >= 50);
}

#[test]
fn a_document_says_where_it_stands_in_its_file() {
    let two = "apiVersion: openslo/v1\nkind: Service\nmetadata:\n  name: a\nspec: {}\n---\n# another\napiVersion: openslo/v1\nkind: Service\nmetadata:\n  nam: b\n";
    let found = said(two);
    assert!(
        found
            .iter()
            .any(|finding| finding.starts_with("a.yaml:11:3: metadata.nam: ")),
        "{found:#?}"
    );
}

/// Configurations with an objective of each sort.
const OURS: [&str; 10] = [
    "{ name: a, target: 99.9% }",
    "{ name: a, target: 99.95%, routes: [pay], tier: gold, latency: 300ms, window: 7d, runbook: 'https://wiki.example/a' }",
    "{ name: a, target: 99%, window: month, zone: Europe/London, budget: timeslices, slice: 5m, slice_target: 95% }",
    "{ name: a, target: 98.5%, window: 12h, budget: ratio-timeslices, slice: 1m, routes: [pay, read] }",
    "{ name: a, target: 99.5%, window: week, window_count: 2, window_begins: '2026-01-05 12:00:00' }",
    "{ name: a, target: 99%, window: quarter }",
    "{ name: a, target: 99%, journey: { routes: [read, pay], key: 'cookie:SID', within: 90s }, latency: 2s }",
    "{ name: a, target: 99%, journey: { routes: [pay, read] }, tier: gold }",
    "{ name: a, target: 99%, vantage: job, latency: 2s, sampling: 10% }",
    "{ name: a, target: 99%, vantage: database, freshness: 90s }",
];

fn ours(objectives: &str) -> Config {
    let text = format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: pay, path: /pay }}, {{ name: read, path: /read }}] }}]
upstreams: [{{ name: app, endpoints: ['http://127.0.0.1:9'] }}]
callers: {{ tiers: [gold], tier_header: x-tier }}
alerts: {{ targets: [{{ name: am, kind: alertmanager, url: 'http://127.0.0.1:9' }}] }}
{objectives}"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Config::load(file.path()).unwrap_or_else(|error| panic!("{objectives}: {error:#}"))
}

#[test]
fn what_goes_out_comes_back_as_it_was() {
    for objective in OURS {
        let before = ours(&format!("objectives: [{objective}]"));
        let out = export::export(&before, "shop");
        let mut documents = Documents::default();
        documents.add("out.yaml", &out);
        documents.check();
        let said: Vec<String> = documents.findings.iter().map(ToString::to_string).collect();
        assert_eq!(said, [""; 0], "{out}");
        let back = import::import(&documents);
        let after = ours(&back);
        let (before_, after_) = (&before.objectives[0], &after.objectives[0]);
        assert_eq!(
            (before_.objective, &before_.calendar, &before_.runbook),
            (after_.objective, &after_.calendar, &after_.runbook),
            "{out}{back}"
        );
        let plan = |config: &Config| {
            let plan = &config.plan.objectives[0];
            let counts = (plan.routes.clone(), plan.tier.clone(), plan.good);
            let one = &config.objectives[0];
            (counts, plan.walk.clone(), one.vantage, one.sampling)
        };
        assert_eq!(plan(&before), plan(&after), "{out}{back}");
    }
}
