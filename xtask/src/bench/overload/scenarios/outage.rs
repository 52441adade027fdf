//! The service is gone for 30 seconds, and its callers are naive: each tries three more times at once, whatever the
//! answer was.
//!
//! While it is gone they make four times the load, and more than the service can do. If what comes back then only
//! answers callers who have given up, it never recovers: a metastable failure. The service is gone in one of two
//! ways: it has crashed, and refuses connections; or it hangs, and finds all of the outage in its queue afterwards.

use std::time::Duration;

use super::{PATIENCE, SERVICE, SHAPE, load};
use crate::bench::overload::arrivals::{Phase, stream};
use crate::bench::overload::generator::Load;
use crate::bench::overload::peers::Peer;
use crate::bench::overload::service::State;
use crate::bench::overload::settled;
use crate::bench::overload::world::{Ground, Run, World};

const TIMES: f64 = 0.7;
const BEFORE: Duration = Duration::from_secs(5);
pub(crate) const OUTAGE: Duration = Duration::from_secs(30);
const AFTER: Duration = Duration::from_secs(13);
/// What naive callers do.
const RETRIES: u8 = 3;
const WINDOW: Duration = Duration::from_secs(1);
/// Good enough, as a share of requests.
const GOOD: f64 = 0.99;

/// The ways of being gone, each with its name.
pub(crate) const WAYS: &[(&str, State)] = &[("crash", State::Down), ("hang", State::Hanging)];

#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) run: Run,
}

/// When it ends.
pub(crate) const fn end() -> Duration {
    BEFORE.saturating_add(OUTAGE)
}

const fn whole() -> Duration {
    end().saturating_add(AFTER)
}

impl Outage {
    /// How long after its end nearly all requests are good again, for good; `None` if not in the time that was
    /// watched.
    pub(crate) fn recovered(&self) -> Option<Duration> {
        settled::after(&self.run.samples, (end(), whole()), WINDOW, |window| {
            window.good_share() >= GOOD
        })
    }

    /// Requests that the service saw for each that its callers wanted, in all.
    pub(crate) fn amplification(&self) -> f64 {
        self.run.arrived as f64 / self.run.samples.all.len() as f64
    }

    /// For each second, the share of requests that ended well.
    pub(crate) fn seconds(&self) -> Vec<(f64, f64)> {
        (0..whole().as_secs())
            .map(|second| {
                let from = Duration::from_secs(second);
                let window = self.run.samples.between(from, from + Duration::from_secs(1));
                (second as f64 + 0.5, window.good_share() * 100.0)
            })
            .collect()
    }
}

/// Runs it.
///
/// # Errors
/// If it cannot be run.
pub(crate) fn run(ground: &Ground, peer: &Peer, way: State) -> anyhow::Result<Outage> {
    let phases = [Phase::new(SERVICE.capacity() * TIMES, whole())];
    let arrivals = stream(SERVICE.seed + 2, &phases, 0.0);
    let world = World::start(ground, peer, SHAPE)?;
    let service = &world.services[0];
    let run = world.load(Load {
        retries: RETRIES,
        patience: PATIENCE,
        acts: vec![
            (BEFORE, Box::new(|| service.set(way))),
            (end(), Box::new(|| service.set(State::Well))),
        ],
        ..load(&arrivals, world.front)
    })?;
    Ok(Outage { run })
}
