//! Several objectives as one, there and back.

use super::*;

#[test]
fn a_composite_comes_in_with_its_members() {
    let member = |route: &str, weight: &str| {
        format!(
            "    - target: 0.99
      compositeWeight: {weight}
      indicator:
        metadata: {{ name: {route} }}
        spec:
          ratioMetric:
            counter: true
            good: {{ metricSource: {{ type: Plimsoll, spec: {{ routes: [{route}] }} }} }}
            total: {{ metricSource: {{ type: Plimsoll, spec: {{ routes: [{route}] }} }} }}
"
        )
    };
    let text = format!(
        "apiVersion: openslo/v1
kind: SLO
metadata: {{ name: shop }}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{{ duration: 7d, isRolling: true }}]
  objectives:
{}{}",
        member("pay", "0.5"),
        member("read", "1")
    );
    let mut documents = Documents::default();
    documents.add(
        "shop.yaml",
        &format!(
            "{text}---\napiVersion: openslo/v1\nkind: Service\nmetadata: {{ name: shop }}\nspec: {{}}\n"
        ),
    );
    documents.check();
    let said: Vec<String> = documents.findings.iter().map(ToString::to_string).collect();
    assert_eq!(said, [""; 0], "{text}");
    let config = ours(&import::import(&documents));
    let names: Vec<&str> = config.objectives.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["shop-1", "shop-2", "shop"]);
    let members: Vec<(&str, f64)> = config.objectives[2]
        .members
        .iter()
        .map(|(name, weight)| (&**name, *weight))
        .collect();
    assert_eq!(members, [("shop-1", 1.0), ("shop-2", 2.0)]);
}

#[test]
fn weights_become_whole_numbers_of_the_same_proportions() {
    let whole = |weights: &[f64]| import::whole(weights.iter().copied());
    assert_eq!(whole(&[7.0, 1_000.0]), [7, 1_000]);
    assert_eq!(whole(&[0.5, 1.0]), [1, 2]);
    assert_eq!(whole(&[1.0 / 3.0, 2.0 / 3.0, 1.0]), [1, 2, 3]);
    assert_eq!(whole(&[0.25, 0.7]), [5, 14]);
    // Too large, too small for a whole number beside the others, and without a proportion of whole numbers.
    assert_eq!(whole(&[2_000.0, 1_000.0]), [1_000, 500]);
    assert_eq!(whole(&[1e-9, 1.0]), [1, 1_000]);
    assert_eq!(whole(&[std::f64::consts::FRAC_1_SQRT_2, 1.0]), [707, 1_000]);
}

/// A composite of three, in other windows than its own; two of them say the same but for their targets.
const COMPOSITE: &str = "objectives:
  - { name: Fast, target: 99%, routes: [pay], latency: 300ms }
  - { name: served, target: 99.9%, routes: [pay], window: week }
  - { name: stricter, target: 99.95%, routes: [pay], window: 7d }
  - { name: all, window: 14d, runbook: 'https://wiki.example/all', composite: [{ objective: served, weight: 3 }, { objective: stricter }, { objective: Fast, weight: 2 }] }
";

#[test]
fn a_composite_goes_out_and_finds_its_members_when_it_comes_back() {
    let before = ours(COMPOSITE);
    let out = export::export(&before, "shop");
    let mut documents = Documents::default();
    documents.add("out.yaml", &out);
    documents.check();
    let said: Vec<String> = documents.findings.iter().map(ToString::to_string).collect();
    assert_eq!(said, [""; 0], "{out}");
    let back = import::import(&documents);
    let after = ours(&back);
    let what = |config: &Config| {
        let all = config.objectives.iter();
        let said = all.map(|one| {
            let members: Vec<_> = one
                .members
                .iter()
                .map(|(name, weight)| (name.to_lowercase(), *weight))
                .collect();
            (
                one.name.to_lowercase(),
                one.objective,
                one.calendar.clone(),
                one.runbook.clone(),
                members,
            )
        });
        said.collect::<Vec<_>>()
    };
    assert_eq!(what(&before), what(&after), "{out}{back}");
}

#[test]
fn what_a_composite_cannot_say_is_said() {
    let absolute = "objectives: [{ name: right, vantage: job, budget: absolute, allowed: 3 }, { name: up, target: 99% }, { name: both, composite: [{ objective: up }, { objective: right }] }]";
    let out = export::export(&ours(absolute), "shop");
    assert!(out.contains("# right has a budget that is absolute"), "{out}");
    assert!(
        out.contains("# So both, a composite of it, is not here either."),
        "{out}"
    );
    assert_eq!(out.matches("kind: SLO").count(), 1, "{out}");
}
