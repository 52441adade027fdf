//! From when on something holds, and goes on to hold.

use std::time::Duration;

use super::samples::{Samples, Summary};

/// Windows overlap: the next one begins this much later.
const STEP: Duration = Duration::from_millis(250);

/// How long after `from` the first window begins from which on, until `to`, this is true of every window. `None` if it
/// is not true of the last one either.
pub(crate) fn after(
    samples: &Samples,
    (from, to): (Duration, Duration),
    window: Duration,
    holds: impl Fn(&Summary) -> bool,
) -> Option<Duration> {
    let mut settled = None;
    let mut begin = from;
    while begin + window <= to {
        if holds(&samples.between(begin, begin + window)) {
            settled = settled.or(Some(begin.saturating_sub(from)));
        } else {
            settled = None;
        }
        begin += STEP;
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::overload::samples::{Outcome, sample};

    /// One request every 10 ms, bad in the given stretches.
    fn samples(bad: &[(u64, u64)]) -> Samples {
        let all = (0..1000)
            .map(|n| {
                let at = n * 10;
                let is_bad = bad.iter().any(|stretch| (stretch.0..stretch.1).contains(&at));
                sample(at, if is_bad { Outcome::Refused } else { Outcome::Good }, 5)
            })
            .collect();
        Samples {
            all,
            lags: Vec::new(),
        }
    }

    fn settled(bad: &[(u64, u64)]) -> Option<u128> {
        let whole = (Duration::from_secs(1), Duration::from_secs(10));
        let all_good = |summary: &Summary| summary.bad() == 0;
        after(&samples(bad), whole, Duration::from_secs(1), all_good).map(|time| time.as_millis())
    }

    #[test]
    fn it_is_settled_when_the_last_trouble_is_over() {
        assert_eq!(settled(&[]), Some(0));
        assert_eq!(settled(&[(0, 1500)]), Some(500));
        assert_eq!(settled(&[(0, 1500), (4000, 4100)]), Some(3250), "it came back");
        assert_eq!(settled(&[(9900, 9990)]), None, "it goes on to the end");
    }
}
