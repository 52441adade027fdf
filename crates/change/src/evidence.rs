//! What a decision was made by, so that anybody can make it again.

use plimsoll_slo::{Comparison, Epoch, Finding, Seen, Sign, Terms, failures_left};
use serde::{Deserialize, Serialize};

/// The counts and terms of a comparison, and what was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    epochs: Vec<Row>,
    /// The first epoch of the step that was judged.
    step: usize,
    terms: Asked,
    /// `good`, `undecided`, or `bad` with the sign: `bad:failures`.
    found: String,
    /// The evidence that the candidate is worse, over what suffices.
    worse: f64,
}

/// An epoch: the share, and of the candidate and the stable version what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    share: f64,
    candidate: Arm,
    stable: Arm,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm {
    events: u64,
    failed: u64,
    slow: [u64; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    alpha: f64,
    beta: f64,
    tolerated: f64,
    tolerated_slow: f64,
    times_known: bool,
    allowed: Option<f64>,
    next: f64,
    harm: f64,
}

impl Evidence {
    /// Compares, and keeps what it was compared by.
    pub fn of(epochs: &[Epoch], step: usize, terms: &Terms) -> (Comparison, Self) {
        let found = Comparison::of(epochs, step, terms);
        let arm = |seen: Seen| Arm {
            events: seen.events,
            failed: seen.failed,
            slow: seen.slow,
        };
        let rows = epochs.iter().map(|epoch| Row {
            share: epoch.share,
            candidate: arm(epoch.candidate),
            stable: arm(epoch.stable),
        });
        let Terms {
            alpha,
            beta,
            tolerated,
            tolerated_slow,
            times_known,
            allowed,
            next,
            harm,
        } = *terms;
        let evidence = Self {
            epochs: rows.collect(),
            step,
            terms: Asked {
                alpha,
                beta,
                tolerated,
                tolerated_slow,
                times_known,
                allowed,
                next,
                harm,
            },
            found: word(found.finding),
            worse: found.worse,
        };
        (found, evidence)
    }

    /// What was compared.
    pub fn epochs(&self) -> Vec<Epoch> {
        let seen = |arm: Arm| Seen {
            events: arm.events,
            failed: arm.failed,
            slow: arm.slow,
        };
        let epochs = self.epochs.iter().map(|row| Epoch {
            share: row.share,
            candidate: seen(row.candidate),
            stable: seen(row.stable),
        });
        epochs.collect()
    }

    /// How many more failures of the candidate's would make it bad: see [`failures_left`].
    pub fn failures_left(&self, most: u64) -> Option<u64> {
        failures_left(&self.epochs(), self.step, &self.terms(), most)
    }

    /// Makes the comparison again: what is found now, and whether that is what is written down.
    pub fn replay(&self) -> (Comparison, bool) {
        let found = Comparison::of(&self.epochs(), self.step, &self.terms());
        // Sums of thousands of logarithms, written down with 17 digits.
        let is_near = (found.worse - self.worse).abs() <= 1e-6 * self.worse.abs().max(1.0);
        (found, is_near && word(found.finding) == self.found)
    }

    fn terms(&self) -> Terms {
        let Asked {
            alpha,
            beta,
            tolerated,
            tolerated_slow,
            times_known,
            allowed,
            next,
            harm,
        } = self.terms;
        Terms {
            alpha,
            beta,
            tolerated,
            tolerated_slow,
            times_known,
            allowed,
            next,
            harm,
        }
    }

    /// What was seen of the candidate and of the stable version in the step that was judged.
    pub fn of_step(&self) -> (Seen, Seen) {
        let epochs = self.epochs();
        let of_step = epochs.get(self.step..).unwrap_or_default();
        of_step
            .iter()
            .fold(Default::default(), |(candidate, stable): (Seen, Seen), epoch| {
                (candidate.and(epoch.candidate), stable.and(epoch.stable))
            })
    }

    /// What was found, in a word.
    pub fn found(&self) -> &str {
        &self.found
    }

    /// Whether it was found good.
    pub fn is_good(&self) -> bool {
        self.found == word(Finding::Good)
    }
}

fn word(finding: Finding) -> String {
    match finding {
        Finding::Good => "good".to_owned(),
        Finding::Undecided => "undecided".to_owned(),
        Finding::Bad(sign) => format!("bad:{}", Sign::word(sign)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_can_be_made_again_and_what_was_forged_is_found() {
        let seen = |events, failed| Seen {
            events,
            failed,
            slow: [events / 2, events / 10, events / 100],
        };
        let epochs = [
            Epoch {
                share: 0.01,
                candidate: seen(997, 11),
                stable: seen(98_811, 1_003),
            },
            Epoch {
                share: 1.0 / 3.0,
                candidate: seen(3_331, 34),
                stable: seen(6_667, 67),
            },
        ];
        let terms = Terms {
            allowed: Some(0.0123),
            next: 0.7,
            ..Terms::default()
        };
        let (found, evidence) = Evidence::of(&epochs, 1, &terms);
        let text = serde_json::to_string(&evidence).unwrap();
        let read: Evidence = serde_json::from_str(&text).unwrap();
        let (again, is_same) = read.replay();
        assert!(is_same, "{found:?} {again:?}");
        assert_eq!(again.finding, found.finding);
        let forged = text.replace("\"failed\":34", "\"failed\":340");
        let forged: Evidence = serde_json::from_str(&forged).unwrap();
        assert!(!forged.replay().1);
    }
}
