//! A load that the service bears with ease, for long: whoever refuses anything then is wrong.

use std::time::Duration;

use super::{SERVICE, SHAPE, WARM, load};
use crate::bench::overload::arrivals::{Phase, stream};
use crate::bench::overload::peers::Peer;
use crate::bench::overload::samples::Summary;
use crate::bench::overload::world::{Ground, Run, World};

/// Times the capacity.
pub(crate) const TIMES: f64 = 0.7;

#[derive(Clone, Debug)]
pub(crate) struct Steady {
    pub(crate) run: Run,
    length: Duration,
}

impl Steady {
    /// From the very first request on: a proxy that has just been started may not refuse either.
    pub(crate) fn summary(&self) -> Summary {
        self.run.samples.between(Duration::ZERO, self.length)
    }
}

/// Runs it.
///
/// # Errors
/// If it cannot be run.
pub(crate) fn run(ground: &Ground, peer: &Peer, seconds: u64) -> anyhow::Result<Steady> {
    let length = WARM + Duration::from_secs(seconds);
    let phases = [Phase::new(SERVICE.capacity() * TIMES, length)];
    let arrivals = stream(SERVICE.seed + 1, &phases, 0.0);
    let world = World::start(ground, peer, SHAPE)?;
    let run = world.load(load(&arrivals, world.front))?;
    Ok(Steady { run, length })
}
