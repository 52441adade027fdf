//! Fault injection: failing on purpose, to learn what happens before it happens.
//!
//! Rules give a share of requests a fault; an operator can also ask for one, for a single request, with a
//! header. The decision is pure and total: an item of the header that is not understood injects nothing.
//! Whether the caller may ask at all (`fault-forbidden`), and taking the header off before the request goes
//! on, is the shell's work.
//!
//! A request may get several faults. They add up to the worst of each kind: the longest delay, the first
//! abort (one that was asked for comes before those of the rules), the slowest throttle. The shell plays them
//! in this order: delay, then disconnect or abort, else throttle the answer.
//!
//! Each kind of fault is a variant of [`FaultAction`], and one line in [`Faults::add`] and in `header.rs`.

use core::time::Duration;

use crate::Dice;

mod header;
mod throttle;

pub use header::{FaultHeaderError, parse_fault_header};
pub use throttle::{Throttle, ThrottleDecision};

/// The longest delay that is injected: what is held longer teaches nothing, and holds memory.
const DELAY_MAX: Duration = Duration::from_mins(5);

/// What is done to a request.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::FaultAction;
/// let slow = FaultAction::Delay(Duration::from_millis(250));
/// assert_ne!(slow, FaultAction::Disconnect);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// Hold the request before it is sent on; five minutes at most.
    Delay(Duration),
    /// Answer it here, without the upstream.
    Abort {
        /// HTTP status, in 400..=599.
        status: u16,
        /// gRPC status code for a gRPC call, in 1..=16.
        grpc: u8,
    },
    /// Break the connection (HTTP/1) or reset the stream (HTTP/2) without an answer.
    Disconnect,
    /// Send the answer's body at this rate.
    Throttle {
        /// Bytes per second; 0 counts as 1.
        bytes_per_second: u64,
    },
}

/// A fault for a share of requests.
///
/// ```
/// use plimsoll_policy::{FaultAction, FaultRule};
/// let one_in_a_hundred = FaultRule { share: 0.01, by_header: None, action: FaultAction::Disconnect };
/// assert!(one_in_a_hundred.by_header.is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct FaultRule {
    /// The share of requests that get it, in `0.0..=1.0`. What is above counts as 1, what is below, or no
    /// number, as 0.
    pub share: f64,
    /// A name for the rule: it then applies only to requests whose fault header says this name.
    pub by_header: Option<String>,
    /// What is done to them.
    pub action: FaultAction,
}

/// The fault rules of one route, in order.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{FaultAction, FaultConfig, FaultRule, SeededDice};
///
/// let slow = FaultAction::Delay(Duration::from_secs(2));
/// let config = FaultConfig {
///     rules: vec![FaultRule { share: 1.0, by_header: Some("slow-db".to_owned()), action: slow }],
/// };
/// let mut dice = SeededDice::new(1);
/// assert!(config.decide(None, &mut dice).is_none());
/// assert_eq!(config.decide(Some("slow-db"), &mut dice).delay, Some(Duration::from_secs(2)));
/// assert_eq!(config.decide(Some("abort=503"), &mut dice).abort.map(|abort| abort.status), Some(503));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FaultConfig {
    /// All rules are tried; none is no fault, unless one is asked for.
    pub rules: Vec<FaultRule>,
}

/// What is done to one request.
///
/// ```
/// use plimsoll_policy::Faults;
/// assert!(Faults::default().is_none());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Hold it for so long first.
    pub delay: Option<Duration>,
    /// Then answer it with this.
    pub abort: Option<Abort>,
    /// Then break the connection. Goes before an abort.
    pub disconnect: bool,
    /// Send the answer's body at so many bytes per second, at least 1.
    pub throttle: Option<u64>,
}

/// An answer that is made up for a drill.
///
/// ```
/// use plimsoll_policy::Abort;
/// assert_eq!(Abort::of_status(503), Abort { status: 503, grpc: 14 });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    /// HTTP status.
    pub status: u16,
    /// gRPC status code.
    pub grpc: u8,
}

impl Abort {
    /// An HTTP status with the gRPC code that clients read from it.
    /// Source: "HTTP to gRPC Status Code Mapping" of the gRPC documentation.
    pub const fn of_status(status: u16) -> Self {
        let grpc = match status {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502..=504 => 14,
            _ => 2,
        };
        Self { status, grpc }
    }
}

impl FaultConfig {
    /// What is done to a request. `asked` is the value of the operator's fault header, from a caller who may.
    ///
    /// Every rule without a name costs one throw of the dice, and one with a name if it was asked for. No
    /// allocation.
    pub fn decide(&self, asked: Option<&str>, dice: &mut impl Dice) -> Faults {
        let mut faults = asked.map_or(Faults::default(), header::understood);
        for rule in &self.rules {
            let applies = match &rule.by_header {
                None => true,
                Some(name) => asked.is_some_and(|asked| header::items(asked).any(|item| item == name)),
            };
            if applies && dice.unit() < rule.share {
                faults.add(rule.action);
            }
        }
        faults
    }

    /// Whether every item of a fault header is a fault or the name of a rule, so that the shell can tell its
    /// operator about a typing error instead of running a drill without a fault.
    ///
    /// # Errors
    ///
    /// The first item that is neither.
    pub fn check_header(&self, asked: &str) -> Result<(), FaultHeaderError> {
        for item in header::items(asked) {
            let named = self
                .rules
                .iter()
                .any(|rule| rule.by_header.as_deref() == Some(item));
            if !named {
                parse_fault_header(item)?;
            }
        }
        Ok(())
    }
}

impl Faults {
    /// Whether nothing is done.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Adds a fault of a rule to those there are: the worst of each kind remains.
    fn add(&mut self, action: FaultAction) {
        match action {
            FaultAction::Delay(delay) => self.delay = self.delay.max(Some(delay.min(DELAY_MAX))),
            FaultAction::Abort { status, grpc } => self.abort = self.abort.or(Some(Abort { status, grpc })),
            FaultAction::Disconnect => self.disconnect = true,
            FaultAction::Throttle { bytes_per_second } => {
                let rate = bytes_per_second.max(1);
                self.throttle = Some(self.throttle.map_or(rate, |slower| slower.min(rate)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::SeededDice;
    use crate::transcript::check;

    fn say(faults: &Faults) -> String {
        let mut said = Vec::new();
        said.extend(
            faults
                .delay
                .map(|delay| format!("delay {} ms", delay.as_millis())),
        );
        said.extend(faults.disconnect.then(|| "disconnect".to_owned()));
        said.extend(
            faults
                .abort
                .map(|abort| format!("abort {} grpc {}", abort.status, abort.grpc)),
        );
        said.extend(faults.throttle.map(|rate| format!("throttle {rate} B/s")));
        if said.is_empty() {
            "nothing".to_owned()
        } else {
            said.join("\n")
        }
    }

    /// Plays `rule <share> [as <name>] <fault>`, `request [<header>]` and `parse <header>`.
    fn player() -> impl FnMut(&str) -> String {
        let (mut config, mut dice) = (FaultConfig::default(), SeededDice::new(1));
        move |command| {
            let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
            match verb {
                "rule" => {
                    let words: Vec<_> = rest.split_whitespace().collect();
                    let by_header = (words[1] == "as").then(|| words[2].to_owned());
                    let action = header::action(words[words.len() - 1]).unwrap();
                    config.rules.push(FaultRule {
                        share: words[0].parse().unwrap(),
                        by_header,
                        action,
                    });
                    String::new()
                }
                "request" => say(&config.decide((!rest.is_empty()).then_some(rest), &mut dice)),
                "parse" => match parse_fault_header(rest) {
                    Ok(faults) => say(&faults),
                    Err(error) => error.to_string(),
                },
                "check" => config
                    .check_header(rest)
                    .map_or_else(|error| error.to_string(), |()| "fine".to_owned()),
                other => panic!("no such command: {other}"),
            }
        }
    }

    #[test]
    fn scripts() {
        check("fault", player);
    }

    #[test]
    fn a_share_is_a_share() {
        let rule = |share| FaultRule {
            share,
            by_header: None,
            action: FaultAction::Disconnect,
        };
        let mut dice = SeededDice::new(5);
        let mut hits = |share| {
            let config = FaultConfig {
                rules: vec![rule(share)],
            };
            (0..10_000)
                .filter(|_| config.decide(None, &mut dice).disconnect)
                .count()
        };
        assert!((900..1100).contains(&hits(0.1)));
        assert_eq!(
            (hits(0.0), hits(-1.0), hits(f64::NAN), hits(1.0), hits(7.0)),
            (0, 0, 0, 10_000, 10_000)
        );
    }

    proptest! {
        /// No header makes it panic, and what is refused by the parser injects nothing by itself.
        #[test]
        fn any_header_is_survived(header in "[a-z=0-9,/ é-]{0,30}") {
            let config = FaultConfig::default();
            let faults = config.decide(Some(&header), &mut SeededDice::new(1));
            match parse_fault_header(&header) {
                Ok(parsed) => prop_assert_eq!(faults, parsed),
                Err(_) => prop_assert!(config.check_header(&header).is_err() || faults.is_none()),
            }
        }
    }
}
