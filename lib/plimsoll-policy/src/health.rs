//! Active health checks: whether an endpoint may be used, by asking it.
//!
//! The shell sends the check and reports what came of it; this decides what it means. An endpoint is *up* or
//! *down*. `fall` failed checks in a row take an endpoint down, `rise` good ones bring it up; a single
//! contrary result changes nothing, since one lost packet is not an outage. While the results contradict the
//! state it is *undecided* and is checked faster, so that a whole verdict takes about one interval and not
//! `fall` of them.
//!
//! Ejection of outliers is a guess from traffic and has a floor. A failed health check is a statement of the
//! service about itself and has none: all endpoints may be down. What is sent where then is for the shell to say.
//!
//! HAProxy's `rise`, `fall` and `fastinter` in one.

use core::ops::RangeInclusive;
use core::time::Duration;

use crate::Dice;

/// The longest interval: a check a day still is one, and jitter on it does not overflow.
const INTERVAL_MAX: Duration = Duration::from_hours(24);

/// How an endpoint is checked.
///
/// ```
/// use plimsoll_policy::HealthConfig;
/// let config = HealthConfig { path: "/healthz".to_owned(), ..HealthConfig::default() };
/// assert!(config.expects(204));
/// assert!(!config.expects(503));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// Time between two checks of an endpoint whose state is decided; a day at most. Default 5 s.
    pub interval: Duration,
    /// How long the check may take, connecting included; kept by the shell. Default 1 s.
    pub timeout: Duration,
    /// Good checks in a row that bring an endpoint up; 0 counts as 1. Default 2.
    pub rise: u32,
    /// Failed checks in a row that take an endpoint down; 0 counts as 1. Default 3.
    pub fall: u32,
    /// What to `GET`. Default `/`.
    pub path: String,
    /// The statuses that are good. Default 200 to 399.
    pub expect: RangeInclusive<u16>,
    /// Ask by the gRPC health checking protocol instead, for the service of this name; empty is the server as a whole.
    /// Good is `SERVING` and nothing else. Default `None`.
    pub grpc: Option<String>,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            path: "/".to_owned(),
            expect: 200..=399,
            grpc: None,
        }
    }
}

impl HealthConfig {
    /// Whether an answer with this status is a good check.
    pub fn expects(&self, status: u16) -> bool {
        self.expect.contains(&status)
    }
}

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// Nothing.
    None,
    /// The endpoint may be used from now on.
    Up,
    /// The endpoint may not be used from now on.
    Down,
}

/// The health of one endpoint.
///
/// ```
/// use plimsoll_policy::{Health, HealthChange, HealthConfig};
/// let config = HealthConfig { fall: 2, ..HealthConfig::default() };
/// let mut health = Health::new(true);
/// assert_eq!(health.report(false, &config), HealthChange::None);
/// assert_eq!(health.report(false, &config), HealthChange::Down);
/// assert!(!health.is_up());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Health {
    up: bool,
    /// Results in a row that contradict `up`.
    contrary: u32,
    checked: bool,
}

impl Health {
    /// An endpoint that was not checked yet. An operator who would rather refuse than try starts it down.
    pub const fn new(initially_up: bool) -> Self {
        Self {
            up: initially_up,
            contrary: 0,
            checked: false,
        }
    }

    /// Whether the endpoint may be used.
    pub const fn is_up(&self) -> bool {
        self.up
    }

    /// Takes in the result of one check: `ok` if it answered in time with a status that was expected.
    pub fn report(&mut self, ok: bool, config: &HealthConfig) -> HealthChange {
        self.checked = true;
        if ok == self.up {
            self.contrary = 0;
            return HealthChange::None;
        }
        self.contrary = self.contrary.saturating_add(1);
        if self.contrary < self.needed(config) {
            return HealthChange::None;
        }
        self.up = ok;
        self.contrary = 0;
        if ok { HealthChange::Up } else { HealthChange::Down }
    }

    /// How long to wait until the next check begins.
    ///
    /// The interval; while undecided, the interval divided by the results in a row that a change takes; ±10 %
    /// either way, so that checks from many proxies drift apart. The first check comes at any moment within
    /// an undecided wait: proxies that were started together do not check together.
    pub fn next_in(&self, config: &HealthConfig, dice: &mut impl Dice) -> Duration {
        let interval = config.interval.min(INTERVAL_MAX);
        let hurried = interval / self.needed(config);
        if !self.checked {
            return hurried.mul_f64(dice.unit());
        }
        let wait = if self.contrary > 0 {
            hurried
        } else {
            config.interval
        };
        wait.mul_f64(0.9 + 0.2 * dice.unit())
    }

    /// Contrary results in a row that change the state: at least 1.
    fn needed(self, config: &HealthConfig) -> u32 {
        if self.up {
            config.fall.max(1)
        } else {
            config.rise.max(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SeededDice;
    use crate::transcript::check;

    /// Dice that show the middle, so that a wait is said without its jitter.
    struct Middle;

    impl Dice for Middle {
        fn roll(&mut self) -> u64 {
            1 << 63
        }
    }

    /// Plays `start up|down`, `config rise=N fall=N`, `ok` and `fail`; a check is answered with what has
    /// changed and the wait for the next.
    fn player() -> impl FnMut(&str) -> String {
        let (mut health, mut config) = (Health::new(true), HealthConfig::default());
        move |command| {
            let mut words = command.split_whitespace();
            let change = match words.next().unwrap() {
                "start" => {
                    health = Health::new(words.next() == Some("up"));
                    HealthChange::None
                }
                "config" => {
                    for (key, value) in words.map(|word| word.split_once('=').unwrap()) {
                        match key {
                            "rise" => config.rise = value.parse().unwrap(),
                            "fall" => config.fall = value.parse().unwrap(),
                            _ => panic!("no such key: {key}"),
                        }
                    }
                    return String::new();
                }
                verdict @ ("ok" | "fail") => health.report(verdict == "ok", &config),
                other => panic!("no such command: {other}"),
            };
            let wait = health.next_in(&config, &mut Middle).as_millis();
            match change {
                HealthChange::None => format!("next in {wait} ms"),
                HealthChange::Up => format!("up, next in {wait} ms"),
                HealthChange::Down => format!("down, next in {wait} ms"),
            }
        }
    }

    #[test]
    fn scripts() {
        check("health", player);
    }

    proptest! {
        /// The state changes exactly when the last `rise` or `fall` results all contradict it.
        #[test]
        fn it_takes_as_many_in_a_row(
            results in prop::collection::vec(any::<bool>(), 0..200),
            rise in 0u32..5,
            fall in 0u32..5,
            up: bool,
        ) {
            let config = HealthConfig { rise, fall, ..HealthConfig::default() };
            let mut health = Health::new(up);
            let mut since_change = 0;
            for (i, &ok) in results.iter().enumerate() {
                let was_up = health.is_up();
                let needed = if was_up { fall } else { rise }.max(1) as usize;
                since_change += 1;
                let all_contrary =
                    since_change >= needed && results[i + 1 - needed..=i].iter().all(|&r| r != was_up);
                let changed = health.report(ok, &config) != HealthChange::None;
                prop_assert_eq!(changed, all_contrary);
                prop_assert_eq!(health.is_up(), was_up != changed);
                if changed {
                    since_change = 0;
                }
            }
        }

        #[test]
        fn waits_stay_within_ten_percent_of_the_interval(seed: u64, interval_ms in 1u64..100_000) {
            let interval = Duration::from_millis(interval_ms);
            let config = HealthConfig { interval, ..HealthConfig::default() };
            let mut dice = SeededDice::new(seed);
            let mut health = Health::new(true);
            prop_assert!(health.next_in(&config, &mut dice) <= config.interval / 3);
            health.report(true, &config);
            let wait = health.next_in(&config, &mut dice);
            prop_assert!(wait >= config.interval.mul_f64(0.9) && wait <= config.interval.mul_f64(1.1));
        }
    }
}
