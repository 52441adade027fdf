use super::*;
use crate::script::{duration, pairs, show};
use crate::transcript;
use crate::{parse_grpc_timeout, write_grpc_timeout};
use proptest::prelude::*;

/// Plays `admit`, `try` and `wire` at 100 s after the origin, and `parse` and `write` of `grpc-timeout`.
fn play(config: &mut DeadlineConfig, command: &str) -> String {
    let now = Instant::ORIGIN + Duration::from_secs(100);
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let find = |key| {
        pairs(rest)
            .find(|(k, _)| *k == key)
            .map(|(_, value)| duration(value))
    };
    let deadline = now + find("left").unwrap_or_default();
    match verb {
        "config" => {
            config.total = find("total").unwrap_or(config.total);
            config.total_max = find("total-max").unwrap_or(config.total_max);
            config.per_try = find("per-try");
            config.margin = find("margin").unwrap_or(config.margin);
            String::new()
        }
        "admit" => match config.admit(now, find("asked"), find("typical")) {
            DeadlineDecision::Admit(until) => format!("until {}", show(until - now)),
            DeadlineDecision::Refuse(reason) => format!("refuse {reason}"),
        },
        "try" => match config.try_until(now, deadline, find("p999")) {
            Some(until) => format!("until {}", show(until - now)),
            None => "no time left".to_owned(),
        },
        "wire" => show(config.on_wire(now, deadline)),
        "parse" => parse_grpc_timeout(rest.as_bytes()).map_or("junk".to_owned(), show),
        "write" => write_grpc_timeout(duration(rest)).to_string(),
        _ => panic!("unknown command {command}"),
    }
}

#[test]
fn scripts() {
    transcript::check("deadline", || {
        let mut config = DeadlineConfig::default();
        move |command: &str| play(&mut config, command)
    });
}

proptest! {
    #[test]
    fn nothing_outlives_the_deadline(now: u64, left: u64, per_try: Option<u64>, p999: Option<u64>, margin: u64) {
        let config = DeadlineConfig {
            per_try: per_try.map(Duration::from_nanos),
            margin: Duration::from_nanos(margin),
            ..DeadlineConfig::default()
        };
        let now = Instant::from_nanos(now);
        let deadline = now + Duration::from_nanos(left);
        match config.try_until(now, deadline, p999.map(Duration::from_nanos)) {
            Some(until) => prop_assert!(until <= deadline),
            None => prop_assert!(now >= deadline),
        }
        let told = config.on_wire(now, deadline);
        prop_assert!(told <= deadline - now && told >= (deadline - now) / 2);
        prop_assert_eq!(told.is_zero(), now == deadline);
    }
}
