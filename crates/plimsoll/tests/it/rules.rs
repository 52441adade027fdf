//! The rules that we export, judged by Prometheus's own engine: for every minute of many random stories they fire where our
//! own rules do, and nowhere else.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use plimsoll_slo::{BurnRule, Counts, Phase, Second, Target, Track};

use crate::plimsoll;
use crate::world::{busy, tool};

const STORIES: u64 = 24;
/// Longer than the longest window of a page, and long enough for all of them to fill in part.
const MINUTES: u64 = 400;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % limit
    }
}

/// What happens in each minute: spells of some traffic and some failures, quiet ones among them.
fn story(seed: u64) -> Vec<Counts> {
    let mut dice = Dice(seed);
    let mut minutes = Vec::new();
    while minutes.len() < MINUTES as usize {
        let (length, traffic) = (1 + dice.below(60), [0, 3, 50, 400][dice.below(4) as usize]);
        let bad_per_mille = [0, 0, 1, 5, 20, 120, 600, 1_000][dice.below(8) as usize];
        for _ in 0..length {
            let total = if traffic == 0 { 0 } else { dice.below(2 * traffic) };
            let bad = (0..total).filter(|_| dice.below(1_000) < bad_per_mille).count() as u64;
            minutes.push(Counts {
                good: total - bad,
                bad,
            });
        }
    }
    minutes.truncate(MINUTES as usize);
    minutes
}

fn target(story: u64) -> &'static str {
    ["99%", "99.9%", "95%"][(story % 3) as usize]
}

fn rules(story: u64) -> (Target, Vec<BurnRule>) {
    let share = [0.99, 0.999, 0.95][(story % 3) as usize];
    let target = Target::new(share).unwrap();
    (target, BurnRule::solve(target, Duration::from_hours(30 * 24)))
}

/// By the minute after which we look, the stories and the long windows, in hours, of the rules that fire.
fn ours() -> Vec<BTreeSet<(u64, u64)>> {
    let mut firing = vec![BTreeSet::new(); MINUTES as usize + 1];
    for number in 0..STORIES {
        let (target, rules) = rules(number);
        let windows: Vec<_> = rules.iter().flat_map(|rule| [rule.long, rule.short]).collect();
        let mut track = Track::new(&windows);
        // In the middle of each minute, so that whole minutes leave windows of seconds, too.
        let base = 60 * 1_000_000;
        for (minute, counts) in (0..).zip(story(number)) {
            track.count(Second(base + 60 * minute + 30), counts);
            track.pass(Second(base + 60 * (minute + 1)));
            for (place, rule) in rules.iter().enumerate() {
                let burning = rule.judge(target, &track.sum(2 * place), &track.sum(2 * place + 1));
                if burning.phase == Phase::Critical {
                    firing[minute as usize + 1].insert((number, rule.long.as_secs() / 3_600));
                }
            }
        }
    }
    firing
}

fn configuration() -> String {
    let objectives: String = (0..STORIES).fold(String::new(), |mut text, story| {
        _ = writeln!(text, "  - {{ name: s{story}, target: {} }}", target(story));
        text
    });
    format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0' }}]
upstreams: [{{ name: app, endpoints: ['http://127.0.0.1:1'] }}]
objectives:
{objectives}"
    )
}

/// A test for promtool: the counters by the minute, and what is to fire after each.
fn test(firing: &[BTreeSet<(u64, u64)>]) -> String {
    let mut out =
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n"
            .to_owned();
    for number in 0..STORIES {
        for class in ["good", "bad"] {
            let mut sum = 0;
            let mut values = "0".to_owned();
            for counts in story(number) {
                sum += if class == "good" { counts.good } else { counts.bad };
                _ = write!(values, " {sum}");
            }
            _ = writeln!(
                out,
                "      - {{ series: 'plimsoll_objective_outcomes_total{{objective=\"s{number}\",class=\"{class}\"}}', values: '{values}' }}"
            );
        }
    }
    out.push_str("    promql_expr_test:\n");
    for (minute, firing) in firing.iter().enumerate().skip(1) {
        _ = writeln!(
            out,
            "      - expr: count by (objective, long_window) (ALERTS{{alertstate=\"firing\"}})\n        eval_time: {minute}m\n        exp_samples: [{}]",
            firing
                .iter()
                .map(|(story, hours)| {
                    let window = if hours % 24 == 0 {
                        format!("{}d", hours / 24)
                    } else {
                        format!("{hours}h")
                    };
                    format!("{{ labels: '{{objective=\"s{story}\",long_window=\"{window}\"}}', value: 1 }}")
                })
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    out
}

#[test]
fn prometheus_fires_where_we_do_and_nowhere_else() {
    let _busy = busy();
    let exported = plimsoll(&["slo", "export", "-"], configuration().as_bytes());
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    let firing = ours();
    let fired: usize = firing.iter().map(BTreeSet::len).sum();
    let all = STORIES as usize * MINUTES as usize * 4;
    assert!(
        (all / 20..all * 19 / 20).contains(&fired),
        "stories in which something happens: {fired} of {all}"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("rules.yml"), &exported.out).unwrap();
    std::fs::write(path("test.yml"), test(&firing)).unwrap();
    // Both end with another code than 0 if anything is not as expected.
    for (verb, file) in [("check", "rules.yml"), ("test", "test.yml")] {
        tool("promtool", &[verb, "rules", &path(file)]);
    }
}

/// Everything that can be told, with targets of each kind.
const TOLD: &str = "listeners: [{ name: ingress, listen: 127.0.0.1:8080 }]
upstreams: [{ name: app, endpoints: ['http://127.0.0.1:3000'] }]
objectives: [{ name: checkout, target: 99.9%, runbook: https://wiki.example.com/a }, { name: monthly, target: 99%, window: month }, { name: slices, target: 99%, budget: ratio-timeslices }]
alerts:
  targets:
    - { name: am, kind: alertmanager, url: 'http://alertmanager:9093' }
    - { name: oncall, kind: pagerduty, secret_env: KEY, calls: [page] }
    - { name: team, kind: slack, secret_env: HOOK, calls: [ticket] }
    - { name: bot, kind: webhook, url: 'https://bot.example.com/hook', secret_env: SECRET }
    - { name: mail, kind: email, email: { server: 'smtp.example.com:587', from: a@example.com, to: [b@example.com], user: a }, secret_env: MAIL }
";

#[test]
fn alertmanager_takes_who_is_told() {
    let ran = plimsoll(
        &["slo", "export", "--format", "alertmanager", "-"],
        TOLD.as_bytes(),
    );
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    std::fs::write(file.path(), &ran.out).unwrap();
    let path = file.path().to_str().unwrap();
    let said = tool("amtool", &["check-config", path]);
    assert!(said.contains("5 receivers"), "{said}\n{}", ran.out);
    // Pages reach those who are called by pages, tickets the others; whoever is told of both gets both.
    for (severity, receivers) in [("page", "oncall,bot,mail"), ("ticket", "team,bot,mail")] {
        let label = format!("severity={severity}");
        let routed = tool(
            "amtool",
            &["config", "routes", "test", "--config.file", path, &label],
        );
        assert_eq!(routed.trim(), receivers);
    }
}

#[test]
fn every_question_of_the_dashboard_can_be_asked() {
    let ran = plimsoll(&["slo", "export", "--format", "grafana", "-"], TOLD.as_bytes());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let dashboard: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let of = |name: &str| {
        panels
            .iter()
            .filter(|panel| panel["title"].as_str().unwrap().starts_with(name))
            .count()
    };
    // What is left of a month no rate can say, and of slices nothing.
    assert_eq!((of("checkout"), of("monthly"), of("slices")), (3, 2, 0));
    // Prometheus parses each, and each rule that is asked for is recorded.
    let rules = plimsoll(&["slo", "export", "-"], TOLD.as_bytes()).out;
    let mut asked = "groups:\n  - name: asked\n    rules:\n".to_owned();
    for target in panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
    {
        let query = target["expr"].as_str().unwrap();
        writeln!(asked, "      - {{ record: 'asked:one', expr: '{query}' }}").unwrap();
        if let Some(recorded) = query
            .strip_prefix("objective:")
            .and_then(|rest| rest.split('{').next())
        {
            assert!(
                rules.contains(&format!("record: objective:{recorded}\n")),
                "{query}"
            );
        }
    }
    let file = tempfile::NamedTempFile::with_suffix(".yml").unwrap();
    std::fs::write(file.path(), asked).unwrap();
    tool("promtool", &["check", "rules", file.path().to_str().unwrap()]);
}
