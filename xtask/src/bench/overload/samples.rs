//! What became of every request, and what can be said of any part of them.
//!
//! Every sample is kept: their number is known before the load begins, and quantiles are then exact. Latency runs
//! from the moment at which a request was meant to be sent, not from the one at which it was: a server that stalls
//! is charged for those who had to wait to be heard (coordinated omission).

use std::time::Duration;

use super::arrivals::Class;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 2xx within its caller's patience.
    Good,
    /// 429 or 503: somebody said no.
    Refused,
    /// Any other answer.
    Failed,
    /// No answer within the caller's patience: what is known of its latency is that it is longer.
    TimedOut,
    /// The connection could not be made, or broke.
    Broken,
}

impl Outcome {
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Good,
            429 | 503 => Self::Refused,
            _ => Self::Failed,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// When it was meant to be sent, since the start.
    pub(crate) at: Duration,
    pub(crate) class: Class,
    pub(crate) joined: bool,
    pub(crate) outcome: Outcome,
    /// From then to the end of the last try.
    pub(crate) latency: Duration,
    /// How often it was sent.
    pub(crate) tries: u8,
}

/// What became of a load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// In the order in which they were meant to be sent.
    pub(crate) all: Vec<Sample>,
    /// How late each first try was sent.
    pub(crate) lags: Vec<Duration>,
}

/// Of a part of the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Summary {
    pub(crate) seconds: f64,
    pub(crate) offered: usize,
    pub(crate) good: usize,
    pub(crate) refused: usize,
    pub(crate) failed: usize,
    pub(crate) timed_out: usize,
    pub(crate) broken: usize,
    /// Of the good answers, in milliseconds; not a number if there was none.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) tries: usize,
}

impl Summary {
    /// Good answers per second.
    pub(crate) fn goodput(&self) -> f64 {
        self.good as f64 / self.seconds
    }

    /// The share of good ones; 1 of nothing.
    pub(crate) fn good_share(&self) -> f64 {
        if self.offered == 0 {
            return 1.0;
        }
        self.good as f64 / self.offered as f64
    }

    pub(crate) const fn bad(&self) -> usize {
        self.offered - self.good
    }
}

impl Samples {
    /// Of those that were meant to be sent from `from` on and before `to`.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> Summary {
        self.of(from, to, |_| true)
    }

    pub(crate) fn of(&self, from: Duration, to: Duration, which: impl Fn(&Sample) -> bool) -> Summary {
        let begin = self.all.partition_point(|sample| sample.at < from);
        let end = self.all.partition_point(|sample| sample.at < to);
        let mut summary = Summary {
            seconds: to.saturating_sub(from).as_secs_f64(),
            ..Summary::default()
        };
        let mut good = Vec::new();
        for sample in self.all[begin..end].iter().filter(|sample| which(sample)) {
            summary.offered += 1;
            summary.tries += usize::from(sample.tries);
            match sample.outcome {
                Outcome::Good => good.push(sample.latency),
                Outcome::Refused => summary.refused += 1,
                Outcome::Failed => summary.failed += 1,
                Outcome::TimedOut => summary.timed_out += 1,
                Outcome::Broken => summary.broken += 1,
            }
        }
        good.sort_unstable();
        summary.good = good.len();
        summary.p50 = quantile(&good, 0.50);
        summary.p99 = quantile(&good, 0.99);
        summary
    }

    /// The 99th percentile of how late requests were sent.
    pub(crate) fn lag_p99(&self) -> Duration {
        let mut lags = self.lags.clone();
        lags.sort_unstable();
        let millis = quantile(&lags, 0.99);
        if millis.is_nan() {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(millis / 1e3)
    }
}

/// The least number that is not less than this share of them, in milliseconds. Not a number of nothing.
fn quantile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
}

#[cfg(test)]
pub(crate) fn sample(at: u64, outcome: Outcome, latency: u64) -> Sample {
    Sample {
        at: Duration::from_millis(at),
        class: Class::Normal,
        joined: false,
        outcome,
        latency: Duration::from_millis(latency),
        tries: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numbers_that_were_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let of = |share| quantile(&sorted, share).round() as u64;
        assert_eq!((of(0.5), of(0.99), of(1.0)), (100, 198, 200));
        assert_eq!(quantile(&sorted[..1], 0.99).round() as u64, 1);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_summary_is_of_a_stretch_and_counts_only_good_latencies() {
        let all = vec![
            sample(0, Outcome::Good, 10),
            sample(500, Outcome::Refused, 1),
            sample(999, Outcome::TimedOut, 1000),
            sample(1000, Outcome::Good, 20),
            sample(1500, Outcome::Broken, 3),
        ];
        let samples = Samples {
            all,
            lags: Vec::new(),
        };
        let first = samples.between(Duration::ZERO, Duration::from_secs(1));
        assert_eq!(
            (first.offered, first.good, first.refused, first.timed_out),
            (3, 1, 1, 1)
        );
        assert!((first.p99 - 10.0).abs() < 1e-9 && (first.goodput() - 1.0).abs() < 1e-9);
        let rest = samples.between(Duration::from_secs(1), Duration::from_secs(3));
        assert_eq!((rest.offered, rest.broken, rest.bad()), (2, 1, 1));
        assert!((rest.goodput() - 0.5).abs() < 1e-9);
        assert_eq!(samples.lag_p99(), Duration::ZERO);
    }
}
