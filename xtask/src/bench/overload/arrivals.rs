//! Who comes when: the whole stream is made before the first request is sent.
//!
//! Arrivals are a Poisson process, so they come in bunches as independent callers do, and the moment of each is fixed
//! beforehand. Nothing that a server does later can move it: this is what makes the load open.

use std::time::Duration;

use super::dice::Dice;

/// How much a request matters, as its header `x-priority` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Critical,
    Normal,
    Sheddable,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Critical, Self::Normal, Self::Sheddable];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Normal => "normal",
            Self::Sheddable => "sheddable",
        }
    }
}

/// One request in twenty is critical, so that at ten times the capacity they alone are half of it and all can be
/// served.
pub(crate) const CRITICAL_SHARE: f64 = 0.05;
const NORMAL_SHARE: f64 = 0.65;
/// Callers that the header `x-tenant` tells apart.
const TENANTS: f64 = 10.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// Since the start of the load.
    pub(crate) at: Duration,
    pub(crate) class: Class,
    pub(crate) tenant: u8,
    /// Whether the service has to ask its dependency for it.
    pub(crate) joined: bool,
}

/// A stretch of time with one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Phase {
    pub(crate) per_second: f64,
    pub(crate) length: Duration,
}

impl Phase {
    pub(crate) const fn new(per_second: f64, length: Duration) -> Self {
        Self { per_second, length }
    }
}

/// All arrivals of these phases, one after the other. `joined` is the share that needs the dependency.
pub(crate) fn stream(seed: u64, phases: &[Phase], joined: f64) -> Vec<Arrival> {
    let mut dice = Dice::new(seed);
    let (mut arrivals, mut begin) = (Vec::new(), 0.0);
    for phase in phases {
        let end = begin + phase.length.as_secs_f64();
        let mut at = begin;
        loop {
            at += dice.exponential() / phase.per_second;
            if at >= end {
                break;
            }
            arrivals.push(Arrival {
                at: Duration::from_secs_f64(at),
                class: class(dice.unit()),
                tenant: (dice.unit() * TENANTS) as u8,
                joined: dice.unit() < joined,
            });
        }
        begin = end;
    }
    arrivals
}

fn class(drawn: f64) -> Class {
    if drawn < CRITICAL_SHARE {
        Class::Critical
    } else if drawn < CRITICAL_SHARE + NORMAL_SHARE {
        Class::Normal
    } else {
        Class::Sheddable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_the_rates_of_its_phases_and_their_order() {
        let phases = [
            Phase::new(100.0, Duration::from_secs(100)),
            Phase::new(1000.0, Duration::from_secs(10)),
        ];
        let arrivals = stream(1, &phases, 0.5);
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        let first = arrivals.iter().filter(|a| a.at < phases[0].length).count();
        // Three standard deviations of a Poisson number around 10,000.
        assert!(first.abs_diff(10_000) < 300, "{first}");
        assert!(
            (arrivals.len() - first).abs_diff(10_000) < 300,
            "{}",
            arrivals.len()
        );
        let joined = arrivals.iter().filter(|a| a.joined).count();
        assert!(joined.abs_diff(10_000) < 300, "{joined}");
        let critical = arrivals.iter().filter(|a| a.class == Class::Critical).count();
        assert!(critical.abs_diff(1_000) < 100, "{critical}");
        assert!(arrivals.iter().all(|a| a.tenant < 10));
    }

    #[test]
    fn gaps_are_those_of_independent_callers() {
        let arrivals = stream(3, &[Phase::new(1000.0, Duration::from_secs(20))], 0.0);
        let gaps: Vec<f64> = arrivals
            .windows(2)
            .map(|pair| pair[1].at.saturating_sub(pair[0].at).as_secs_f64() * 1000.0)
            .collect();
        let longer = gaps.iter().filter(|gap| **gap > 1.0).count() as f64 / gaps.len() as f64;
        let expected = (-1.0_f64).exp();
        assert!(
            (longer - expected).abs() < 0.02,
            "{longer} of the gaps are longer than the mean"
        );
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let phases = [Phase::new(500.0, Duration::from_secs(1))];
        assert_eq!(stream(5, &phases, 0.5), stream(5, &phases, 0.5));
        assert_ne!(stream(5, &phases, 0.5), stream(6, &phases, 0.5));
    }
}
