//! What all cores share of a route's hedging: how late is late, how much it may still cost, and what came of it.
//!
//! Late is what only one in twenty of the route's first attempts is: from sending it to the head of its answer, over
//! the last few seconds in which there were enough to say. Nothing else of a request is in it, neither the time that a
//! body takes nor that of retries, because a second attempt could not make those shorter. An attempt that a hedge has
//! beaten counts with the time at which it was cancelled. That is longer than the percentile already, so it moves
//! nothing, and hedging does not eat the evidence it goes by.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plimsoll_policy::{HedgeConfig, NoHedge, RetryBudget};
use plimsoll_slo::{Histogram, HistogramSnapshot};

use crate::gateway::Gateway;
use crate::running::Listener;

/// Attempts that must have been answered before their percentile means anything: five of them were later than it.
const SAMPLES_MIN: u64 = 100;

/// See the module's header. It outlives plans.
#[derive(Debug)]
pub(crate) struct Hedging {
    pub(crate) allowance: RetryBudget,
    answered: Histogram,
    /// What of it went into the percentile that is known, or into those before.
    learned: Mutex<HistogramSnapshot>,
    /// Nanoseconds; 0 is unknown.
    p95: AtomicU64,
    ended: [AtomicU64; End::ALL.len()],
    refused: [AtomicU64; NoHedge::LATE.len()],
}

/// What came of a hedge that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its answer was passed on, and the first attempt was cancelled or had failed.
    Won,
    /// The first attempt's answer was passed on.
    Lost,
    /// Neither brought an answer to pass on.
    Failed,
    /// The caller left while both were out.
    Abandoned,
}

impl End {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Won, Self::Lost, Self::Failed, Self::Abandoned];

    /// The stable word for it in metrics and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// A reading of a route's hedging, for status and metrics.
#[derive(Clone, Debug)]
pub struct HedgeReading {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The route's name.
    pub route: Arc<str>,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// How long a first attempt is waited for; `None` while that is not known.
    pub after: Option<Duration>,
    /// Hedges that were sent, by what came of them, in the order of [`End::ALL`].
    pub ended: [u64; End::ALL.len()],
    /// Late requests that were not hedged, by why, in the order of [`NoHedge::LATE`].
    pub refused: [u64; NoHedge::LATE.len()],
}

impl Hedging {
    pub(crate) fn new(config: &HedgeConfig) -> Self {
        Self {
            allowance: config.allowance(),
            answered: Histogram::default(),
            learned: Mutex::default(),
            p95: AtomicU64::new(0),
            ended: Default::default(),
            refused: Default::default(),
        }
    }

    /// What 95 % of first attempts are answered within, if it is known.
    pub(crate) fn p95(&self) -> Option<Duration> {
        Some(self.p95.load(Relaxed))
            .filter(|nanos| *nanos > 0)
            .map(Duration::from_nanos)
    }

    /// A first attempt was answered, or cancelled, after this time.
    pub(crate) fn took(&self, time: Duration) {
        self.answered.record(time);
    }

    pub(crate) fn refused(&self, why: NoHedge) {
        if let Some(index) = NoHedge::LATE.iter().position(|late| *late == why) {
            self.refused[index].fetch_add(1, Relaxed);
        }
    }

    /// A hedge is sent. What comes of it is counted when what is returned is dropped.
    pub(crate) fn sent(&self) -> Out<'_> {
        Out {
            hedging: self,
            end: End::Abandoned,
        }
    }

    /// Takes what was answered since the last time as what is usual, if it was enough.
    pub(crate) fn learn(&self) {
        let seen = self.answered.snapshot();
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = seen.minus(&learned);
        if recent.count() < SAMPLES_MIN {
            return;
        }
        if let Some(p95) = recent.quantile(0.95) {
            let nanos = u64::try_from(p95.as_nanos()).unwrap_or(u64::MAX);
            self.p95.store(nanos, Relaxed);
        }
        *learned = seen;
    }
}

/// A hedge that is out.
pub(crate) struct Out<'a> {
    hedging: &'a Hedging,
    end: End,
}

impl Out<'_> {
    pub(crate) fn ended(mut self, end: End) {
        self.end = end;
    }
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        let index = End::ALL.iter().position(|end| *end == self.end).unwrap_or(0);
        self.hedging.ended[index].fetch_add(1, Relaxed);
    }
}

impl Gateway {
    /// What hedging does, for each route that has it.
    pub fn hedges(&self) -> Vec<HedgeReading> {
        let running = self.running();
        running
            .listeners
            .iter()
            .flat_map(|listener| readings(listener))
            .collect()
    }
}

fn readings(listener: &Listener) -> impl Iterator<Item = HedgeReading> + '_ {
    listener.routes.iter().filter_map(|route| {
        let (hedging, config) = (route.hedging.as_ref()?, route.plan.hedge.as_ref()?);
        Some(HedgeReading {
            listener: Arc::clone(&listener.plan.name),
            route: Arc::clone(&route.plan.name),
            upstream: Arc::clone(&route.plan.upstream),
            after: config.after.or_else(|| hedging.p95()),
            ended: std::array::from_fn(|index| hedging.ended[index].load(Relaxed)),
            refused: std::array::from_fn(|index| hedging.refused[index].load(Relaxed)),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hedging() -> Hedging {
        Hedging::new(&HedgeConfig::default())
    }

    fn answer(hedging: &Hedging, times: u32, millis: u64) {
        (0..times).for_each(|_| hedging.took(Duration::from_millis(millis)));
    }

    /// Within the error of a histogram.
    fn millis(time: Option<Duration>) -> Option<u128> {
        time.map(|time| (time + Duration::from_micros(500)).as_millis())
    }

    #[test]
    fn it_knows_what_late_is_from_a_hundred_answers_on() {
        let hedging = hedging();
        answer(&hedging, 94, 10);
        answer(&hedging, 5, 40);
        hedging.learn();
        assert_eq!(hedging.p95(), None);
        answer(&hedging, 1, 10);
        hedging.learn();
        assert_eq!(millis(hedging.p95()), Some(10), "95 of them took 10 ms");
    }

    #[test]
    fn it_goes_by_what_was_answered_of_late() {
        let hedging = hedging();
        answer(&hedging, 10_000, 10);
        hedging.learn();
        answer(&hedging, 99, 30);
        hedging.learn();
        assert_eq!(millis(hedging.p95()), Some(10), "too few to tell");
        answer(&hedging, 1, 30);
        hedging.learn();
        assert_eq!(millis(hedging.p95()), Some(30), "and none of them is lost");
        hedging.learn();
        assert_eq!(
            millis(hedging.p95()),
            Some(30),
            "nothing new is no reason to forget"
        );
    }

    /// Hedged or not, what is later than the percentile stays later than it.
    #[test]
    fn what_hedges_cut_short_moves_nothing() {
        for cut in [10_000, 11] {
            let hedging = hedging();
            answer(&hedging, 960, 10);
            answer(&hedging, 40, cut);
            hedging.learn();
            assert_eq!(millis(hedging.p95()), Some(10), "cut to {cut} ms");
        }
    }
}
