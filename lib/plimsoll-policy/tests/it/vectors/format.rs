//! Vectors: what is asked of a policy, when, and what it must decide. One text, read by three: the policies themselves,
//! the tower layers and the gateway, which include this file. So whoever decides otherwise is found out.
//!
//! A `case` line has the configuration; the lines below it are requests, each with the answer behind `=>`. Numbers
//! without a unit are milliseconds on the clock of the case; all three worlds have clocks that tick in whole
//! milliseconds, as tokio's timers do. What stands behind `~` hangs on the dice, and is in nanoseconds where it has the
//! unit. A case with `dice=any` decides the same, but for that, however the dice fall; the gateway, whose dice serve
//! more than one policy, plays only those.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use plimsoll_policy::{
    Backoff, BreakerConfig, BudgetConfig, DeadlineConfig, FaultAction, FaultConfig, FaultRule, Quota,
    RetryConfig,
};

pub(crate) const RATE: &str = include_str!("../../../testdata/vectors/rate.txt");
pub(crate) const BULKHEAD: &str = include_str!("../../../testdata/vectors/bulkhead.txt");
pub(crate) const BREAKER: &str = include_str!("../../../testdata/vectors/breaker.txt");
pub(crate) const DEADLINE: &str = include_str!("../../../testdata/vectors/deadline.txt");
pub(crate) const SHED: &str = include_str!("../../../testdata/vectors/shed.txt");
pub(crate) const TRY: &str = include_str!("../../../testdata/vectors/try.txt");
pub(crate) const RETRY: &str = include_str!("../../../testdata/vectors/retry.txt");
pub(crate) const FAULT: &str = include_str!("../../../testdata/vectors/fault.txt");

/// A configuration and the requests that meet it.
pub(crate) struct Case<'a> {
    line: usize,
    words: &'a str,
    /// The requests, in the order of their time.
    pub(crate) steps: Vec<Step<'a>>,
}

/// One request.
pub(crate) struct Step<'a> {
    line: usize,
    words: &'a str,
    expected: &'a str,
}

impl<'a> Step<'a> {
    /// The word at this place.
    pub(crate) fn word(&self, at: usize) -> &'a str {
        self.words.split(' ').nth(at).expect("a step has all its words")
    }

    /// The number at this place.
    pub(crate) fn number(&self, at: usize) -> u64 {
        self.word(at).parse().expect("a number")
    }

    /// The time at this place.
    pub(crate) fn ms(&self, at: usize) -> Duration {
        Duration::from_millis(self.number(at))
    }
}

impl Case<'_> {
    /// The value of a key, if the case has it.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let pairs = self.words.split(' ').filter_map(|word| word.split_once('='));
        pairs
            .into_iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// The number of a key that the case must have.
    pub(crate) fn number<T: FromStr>(&self, key: &str) -> T {
        let value = self.get(key).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("line {}: no number `{key}`", self.line))
    }

    /// The time of a key.
    pub(crate) fn ms(&self, key: &str) -> Duration {
        Duration::from_millis(self.number(key))
    }

    /// Whether it decides the same however the dice fall.
    #[allow(dead_code)] // the gateway asks
    pub(crate) fn any_dice(&self) -> bool {
        self.get("dice") == Some("any")
    }

    pub(crate) fn quota(&self) -> Quota {
        Quota::new(self.number("count"), self.ms("per"), self.number("burst")).expect("a quota")
    }

    pub(crate) fn breaker(&self) -> BreakerConfig {
        BreakerConfig {
            failure_rate: self.number::<f64>("percent") / 100.0,
            requests_min: self.number("requests-min"),
            consecutive: self.number("consecutive"),
            open_base: self.ms("open"),
            open_max: self.ms("open-max"),
            probes_max: self.number("probes"),
            ramp_step: self.ms("ramp"),
            probe_timeout: self.ms("probe-timeout"),
        }
    }

    pub(crate) fn deadline(&self) -> DeadlineConfig {
        DeadlineConfig {
            total: self.ms("total"),
            total_max: self.ms("total-max"),
            per_try: self.get("per-try").map(|_| self.ms("per-try")),
            margin: self.ms("margin"),
        }
    }

    pub(crate) fn retry(&self) -> RetryConfig {
        RetryConfig {
            retries_max: self.number("retries"),
            backoff: Backoff {
                base: self.ms("base"),
                cap: self.ms("cap"),
            },
            on_timeout: self.get("on-timeout") == Some("yes"),
            retry_after_max: self.ms("retry-after-max"),
            body_max: self.number("body-max"),
            idempotent: self.get("idempotent") == Some("yes"),
            ..RetryConfig::default()
        }
    }

    pub(crate) fn budget(&self) -> BudgetConfig {
        BudgetConfig {
            share: self.number::<f64>("percent") / 100.0,
            burst: self.number("burst"),
        }
    }

    /// `rules=20:delay=40,100/slow:throttle=9000`: percent, a name if it wants one, and the fault.
    pub(crate) fn faults(&self) -> FaultConfig {
        let rule = |text: &str| {
            let (head, action) = text.split_once(':').expect("percent and fault");
            let (percent, name) = head
                .split_once('/')
                .map_or((head, None), |(p, name)| (p, Some(name)));
            FaultRule {
                share: percent.parse::<f64>().expect("percent") / 100.0,
                by_header: name.map(str::to_owned),
                action: action_of(action),
            }
        };
        let rules = self.get("rules").unwrap_or("");
        FaultConfig {
            rules: rules
                .split(',')
                .filter(|rule| !rule.is_empty())
                .map(rule)
                .collect(),
        }
    }
}

fn action_of(text: &str) -> FaultAction {
    let (name, value) = text.split_once('=').unwrap_or((text, "0"));
    let value: u64 = value.parse().expect("a fault's number");
    match name {
        "delay" => FaultAction::Delay(Duration::from_millis(value)),
        "abort" => FaultAction::Abort {
            status: value as u16,
            grpc: 14,
        },
        "disconnect" => FaultAction::Disconnect,
        "throttle" => FaultAction::Throttle {
            bytes_per_second: value,
        },
        _ => panic!("no such fault: {text}"),
    }
}

/// The cases of a text.
pub(crate) fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(words) = line.strip_prefix("case ") {
            let (line, steps) = (index + 1, Vec::new());
            cases.push(Case { line, words, steps });
        } else if let Some(step) = line.strip_prefix("  ") {
            let (words, expected) = step.split_once(" => ").unwrap_or((step, ""));
            let case = cases.last_mut().expect("a case before its steps");
            case.steps.push(Step {
                line: index + 1,
                words,
                expected,
            });
        }
    }
    cases
}

/// Plays the cases of a text that `chosen` takes, and says how many decisions they were. `said` is what counts of an
/// answer: all of it, or less.
///
/// # Panics
/// When an answer differs; the first twenty that do are told.
pub(crate) fn check(
    text: &str,
    chosen: impl Fn(&Case<'_>) -> bool,
    said: fn(&str) -> String,
    mut play: impl FnMut(&Case<'_>) -> Vec<String>,
) -> usize {
    let (mut differences, mut wrong, mut decided) = (String::new(), 0, 0);
    for case in cases(text).iter().filter(|case| chosen(case)) {
        let answers = play(case);
        assert_eq!(
            answers.len(),
            case.steps.len(),
            "line {}: an answer to each",
            case.line
        );
        for (step, answer) in case.steps.iter().zip(&answers) {
            decided += 1;
            if said(answer) != said(step.expected) {
                wrong += 1;
                if wrong <= 20 {
                    let Step {
                        line,
                        words,
                        expected,
                    } = step;
                    let case = case.line;
                    writeln!(
                        differences,
                        "line {line} (case {case}): {words}\n  expected {expected}\n  answered {answer}"
                    )
                    .expect("a string takes everything");
                }
            }
        }
    }
    assert!(wrong == 0, "{wrong} of {decided} decisions differ\n{differences}");
    decided
}

/// The part of an answer that does not hang on the dice.
#[allow(dead_code)] // as above
pub(crate) fn without_dice(answer: &str) -> String {
    let kept = answer.split('~').next().unwrap_or(answer);
    kept.trim_end().to_owned()
}
