use super::*;
use crate::script::{duration, pairs, show};
use crate::{SeededDice, transcript};
use proptest::prelude::*;
use std::collections::HashMap;

/// Dice that a script sets: the highest (the default) keeps the whole open time and lets only probes pass.
struct Fixed(u64);

impl Dice for Fixed {
    fn roll(&mut self) -> u64 {
        self.0
    }
}

struct Table {
    breaker: Breaker,
    config: BreakerConfig,
    dice: Fixed,
    out: HashMap<String, Pass>,
}

impl Table {
    fn new() -> Self {
        let config = BreakerConfig::default();
        Self {
            breaker: Breaker::new(config),
            config,
            dice: Fixed(u64::MAX),
            out: HashMap::new(),
        }
    }

    /// `config key=value…`, `dice high|low`, `trips`, or a time and what happens then:
    /// `ask NAME`, `success|failure|neutral|cancel NAME` for one that was asked for,
    /// `success|failure|neutral xN` for N requests one after another, `state`.
    fn play(&mut self, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["config", ..] => self.configure(&command["config".len()..]),
            ["dice", "high"] => self.dice = Fixed(u64::MAX),
            ["dice", "low"] => self.dice = Fixed(0),
            ["trips"] => return self.breaker.trips().to_string(),
            [at, "ask", name] => return self.ask(Instant::ORIGIN + duration(at), name),
            [at, verb, who] => return self.happen(Instant::ORIGIN + duration(at), verb, who),
            [at, "state"] => {
                return self
                    .breaker
                    .state(Instant::ORIGIN + duration(at))
                    .word()
                    .to_owned();
            }
            _ => panic!("unknown command {command}"),
        }
        String::new()
    }

    fn ask(&mut self, now: Instant, name: &str) -> String {
        match self.breaker.admit(now, &mut self.dice) {
            BreakerDecision::Admit(pass) => {
                self.out.insert(name.to_owned(), pass);
                if pass.is_probe() {
                    "probe".to_owned()
                } else {
                    "pass".to_owned()
                }
            }
            BreakerDecision::Refuse { retry_after } => format!("refuse, retry after {}", show(retry_after)),
        }
    }

    fn happen(&mut self, now: Instant, verb: &str, who: &str) -> String {
        let mut refused = 0;
        if let Some(number) = who.strip_prefix('x').and_then(|n| n.parse::<u32>().ok()) {
            for _ in 0..number {
                match self.breaker.admit(now, &mut self.dice) {
                    BreakerDecision::Admit(pass) => self.give_back(now, pass, verb),
                    BreakerDecision::Refuse { .. } => refused += 1,
                }
            }
        } else {
            let pass = *self.out.get(who).expect("one that was asked for");
            self.give_back(now, pass, verb);
        }
        let state = self.breaker.state(now).word();
        if refused == 0 {
            state.to_owned()
        } else {
            format!("{state}, {refused} refused")
        }
    }

    fn give_back(&mut self, now: Instant, pass: Pass, verb: &str) {
        match verb {
            "success" => self.breaker.report(now, pass, Report::Success),
            "failure" => self.breaker.report(now, pass, Report::Failure),
            "neutral" => self.breaker.report(now, pass, Report::Neutral),
            "cancel" => self.breaker.cancel(now, pass),
            _ => panic!("unknown result {verb}"),
        }
    }

    fn configure(&mut self, words: &str) {
        for (key, value) in pairs(words) {
            match key {
                "failure-rate" => self.config.failure_rate = value.parse().unwrap(),
                "requests-min" => self.config.requests_min = value.parse().unwrap(),
                "consecutive" => self.config.consecutive = value.parse().unwrap(),
                "open-base" => self.config.open_base = duration(value),
                "open-max" => self.config.open_max = duration(value),
                "probes-max" => self.config.probes_max = value.parse().unwrap(),
                "ramp-step" => self.config.ramp_step = duration(value),
                "probe-timeout" => self.config.probe_timeout = duration(value),
                _ => panic!("unknown key {key}"),
            }
        }
        self.breaker.set_config(self.config);
    }
}

#[test]
fn scripts() {
    transcript::check("breaker", || {
        let mut table = Table::new();
        move |command: &str| table.play(command)
    });
}

#[test]
fn it_is_as_small_as_its_documentation_says() {
    assert_eq!(size_of::<Breaker>(), 280);
    assert_eq!(size_of::<Pass>(), 16);
}

#[test]
fn the_ramp_lets_its_share_pass_and_one_at_a_time_besides() {
    let (mut breaker, mut dice) = (Breaker::new(BreakerConfig::default()), SeededDice::new(5));
    for (step, share) in RAMP.into_iter().enumerate() {
        breaker.phase = Phase::Probing {
            step,
            since: Instant::ORIGIN,
            successes: 0,
        };
        let passed = (0..100_000)
            .filter(|_| matches!(breaker.admit(Instant::ORIGIN, &mut dice), BreakerDecision::Admit(p) if !p.is_probe()))
            .count();
        assert!(
            (passed as f64 - share * 1e5).abs() < 500.0,
            "step {step}: {passed}"
        );
        assert_eq!(breaker.probes_in_flight(), 1);
    }
}

proptest! {
    /// Of all probes that are out and not yet old enough to be given up, there are never more than `probes_max`,
    /// whatever is reported, cancelled, forgotten or late; and when all came back, none is counted.
    #[test]
    fn probes_are_bounded_and_return_to_zero(
        probes_max in 1u32..4, seed: u64,
        steps in prop::collection::vec((0u8..8, 0u64..3_000, any::<prop::sample::Index>()), 1..400),
    ) {
        let config = BreakerConfig { probes_max, requests_min: 2, ..BreakerConfig::default() };
        let (mut breaker, mut dice) = (Breaker::new(config), SeededDice::new(seed));
        let (mut now, mut out) = (Instant::ORIGIN, Vec::<(Instant, Pass)>::new());
        for (what, millis, which) in steps {
            now = now + Duration::from_millis(millis);
            if what < 4 || out.is_empty() {
                let first_step = matches!(breaker.phase, Phase::Probing { step: 0, successes: 0, .. });
                if let BreakerDecision::Admit(pass) = breaker.admit(now, &mut dice) {
                    prop_assert!(!first_step || pass.is_probe());
                    out.push((now, pass));
                }
            } else {
                let (_, pass) = out.swap_remove(which.index(out.len()));
                match what {
                    4 => breaker.report(now, pass, Report::Success),
                    5 => breaker.report(now, pass, Report::Neutral),
                    6 => breaker.cancel(now, pass),
                    _ => breaker.report(now, pass, Report::Failure),
                }
            }
            let live = |(at, pass): &&(Instant, Pass)| pass.is_probe() && now - *at < config.probe_timeout;
            prop_assert!(out.iter().filter(live).count() <= probes_max as usize);
            prop_assert!(breaker.probes_in_flight() <= probes_max);
        }
        for (_, pass) in out {
            breaker.cancel(now, pass);
        }
        prop_assert_eq!(breaker.probes_in_flight(), 0);
    }

    /// While passing it trips on the first failure with which the naive rule holds, and not before.
    #[test]
    fn it_trips_when_a_list_of_all_results_would(
        results in prop::collection::vec((0u64..1_500, prop::bool::weighted(0.4)), 1..200), percent in 1u32..=100,
    ) {
        let config = BreakerConfig { failure_rate: f64::from(percent) / 100.0, ..BreakerConfig::default() };
        let (mut breaker, mut dice) = (Breaker::new(config), SeededDice::new(1));
        let (mut now, mut seconds) = (Instant::ORIGIN, Vec::new());
        for (millis, failed) in results {
            now = now + Duration::from_millis(millis);
            let BreakerDecision::Admit(pass) = breaker.admit(now, &mut dice) else { unreachable!("it is passing") };
            breaker.report(now, pass, if failed { Report::Failure } else { Report::Success });
            let second = now.as_nanos() / 1_000_000_000;
            seconds.push((second, failed));
            seconds.retain(|(at, _)| at + 10 > second);
            let failures = seconds.iter().filter(|(_, failed)| *failed).count();
            let expected = failed && failures * 100 >= percent as usize * seconds.len().max(20);
            prop_assert_eq!(breaker.state(now) == BreakerState::Tripped, expected);
            if expected {
                break;
            }
        }
    }
}
