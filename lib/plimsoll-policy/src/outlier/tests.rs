use proptest::prelude::*;

use super::*;
use crate::SeededDice;
use crate::transcript::check;

/// Dice that always show the same, so that a script can say when an ejection ends.
struct Stuck(u64);

impl Dice for Stuck {
    fn roll(&mut self) -> u64 {
        self.0
    }
}

/// Plays `config key=value…`, `dice high|low` and `sweep <seconds> <host>=<succeeded>/<failed>/<in a row>…`.
fn player() -> impl FnMut(&str) -> String {
    let mut config = OutlierConfig::default();
    let mut outliers = Outliers::new(config);
    let mut dice = Stuck(0);
    move |command| {
        let mut words = command.split_whitespace();
        match words.next().unwrap() {
            "config" => {
                words.for_each(|word| set(&mut config, word));
                outliers.set_config(config);
                String::new()
            }
            "dice" => {
                dice = Stuck(if words.next() == Some("high") { u64::MAX } else { 0 });
                String::new()
            }
            "sweep" => {
                let now = Instant::ORIGIN + Duration::from_secs(words.next().unwrap().parse().unwrap());
                let samples: Vec<_> = words.map(sample).collect();
                outliers
                    .sweep(now, &samples, &mut dice)
                    .iter()
                    .map(say)
                    .collect::<Vec<_>>()
                    .join("\n")
            }
            other => panic!("no such command: {other}"),
        }
    }
}

fn set(config: &mut OutlierConfig, assignment: &str) {
    let (key, value) = assignment.split_once('=').unwrap();
    match key {
        "consecutive" => config.consecutive = value.parse().unwrap(),
        "eject_base_s" => config.eject_base = Duration::from_secs(value.parse().unwrap()),
        "eject_max_s" => config.eject_max = Duration::from_secs(value.parse().unwrap()),
        _ => panic!("no such key: {key}"),
    }
}

/// `a=10/2/1`: the host's id is its letter.
fn sample(word: &str) -> HostSample {
    let (name, counts) = word.split_once('=').unwrap();
    let counts: Vec<u64> = counts.split('/').map(|n| n.parse().unwrap()).collect();
    HostSample {
        host: u64::from(name.as_bytes()[0]),
        succeeded: counts[0],
        failed: counts[1],
        consecutive_failures: counts[2] as u32,
    }
}

fn say(change: &OutlierChange) -> String {
    let host = char::from(change.host as u8);
    match change.action {
        OutlierAction::Restore => format!("restore {host}"),
        OutlierAction::Eject { until, why } => {
            format!(
                "eject {host} until {:.0} s: {}",
                until.since(Instant::ORIGIN).as_secs_f64(),
                why.word()
            )
        }
    }
}

#[test]
fn scripts() {
    check("outlier", player);
}

fn any_sample(host: u64) -> impl Strategy<Value = HostSample> {
    (0u64..300, 0u64..300, 0u32..10).prop_map(move |(succeeded, failed, consecutive_failures)| HostSample {
        host,
        succeeded,
        failed,
        consecutive_failures,
    })
}

/// A sweep's list: any subset of eight hosts.
fn any_list() -> impl Strategy<Value = Vec<HostSample>> {
    (0u64..8)
        .map(|host| prop::option::of(any_sample(host)))
        .collect::<Vec<_>>()
        .prop_map(|list| list.into_iter().flatten().collect())
}

proptest! {
    /// Whatever happens at least half stay in service, changes are what they say, and no ejection is endless.
    #[test]
    fn the_floor_holds(sweeps in prop::collection::vec((0u64..60, any_list()), 1..30), seed: u64) {
        let config = OutlierConfig::default();
        let mut outliers = Outliers::new(config);
        let mut dice = SeededDice::new(seed);
        let mut now = Instant::ORIGIN;
        for (wait, list) in sweeps {
            now = now + Duration::from_secs(wait);
            let before: Vec<u64> = outliers.ejected().map(|(id, _)| id).collect();
            for change in outliers.sweep(now, &list, &mut dice) {
                prop_assert!(list.iter().any(|sample| sample.host == change.host));
                match change.action {
                    OutlierAction::Restore => prop_assert!(before.contains(&change.host)),
                    OutlierAction::Eject { until, .. } => {
                        prop_assert!(!outliers.in_service(change.host));
                        prop_assert!(until.since(now) >= config.eject_base);
                        prop_assert!(until.since(now) <= config.eject_max + config.eject_max / 10);
                    }
                }
            }
            let serving = list.iter().filter(|sample| outliers.in_service(sample.host)).count();
            prop_assert!(serving >= list.len().div_ceil(2), "{serving} of {}", list.len());
            prop_assert!(outliers.ejected().all(|(_, until)| until > now));
        }
    }

    /// Who did better is never out while who did worse, judged in the same sweep, is in.
    #[test]
    fn the_worst_go_first(list in any_list(), seed: u64) {
        let mut outliers = Outliers::new(OutlierConfig::default());
        let rate = |id: u64| list.iter().find(|sample| sample.host == id).unwrap().success_rate();
        let changes = outliers.sweep(Instant::ORIGIN, &list, &mut SeededDice::new(seed));
        prop_assert!(changes.is_sorted_by(|a, b| rate(a.host) <= rate(b.host)));
    }
}
