//! One endpoint of three dies: it refuses connections, as after a crash, or takes them and says nothing, as a host
//! that hangs does. The two others can carry the load.

use std::time::Duration;

use super::{SERVICE, SHAPE, WARM, load};
use crate::bench::overload::arrivals::{Phase, stream};
use crate::bench::overload::generator::Load;
use crate::bench::overload::peers::Peer;
use crate::bench::overload::samples::{Outcome, Summary};
use crate::bench::overload::service::{Sort, State};
use crate::bench::overload::world::{Ground, Run, Shape, World};

/// Half the workers of the one service, on each of three endpoints.
const ENDPOINT: Sort = Sort {
    workers: 8,
    ..SERVICE
};
const ENDPOINTS: usize = 3;
/// Of all three; three quarters of what two can do.
const TIMES: f64 = 0.5;
const AFTER: Duration = Duration::from_secs(12);

/// The ways of dying, each with its name.
pub(crate) const WAYS: &[(&str, State)] = &[("refuses", State::Down), ("hangs", State::Hanging)];

#[derive(Clone, Debug)]
pub(crate) struct Dying {
    pub(crate) run: Run,
}

impl Dying {
    /// Since one of them died.
    pub(crate) fn summary(&self) -> Summary {
        self.run.samples.between(WARM, WARM + AFTER)
    }

    /// From the death to the last request that ended badly.
    pub(crate) fn last_bad(&self) -> Duration {
        let bad = self
            .run
            .samples
            .all
            .iter()
            .rfind(|sample| sample.outcome != Outcome::Good);
        bad.map_or(Duration::ZERO, |sample| sample.at.saturating_sub(WARM))
    }
}

/// Runs it.
///
/// # Errors
/// If it cannot be run.
pub(crate) fn run(ground: &Ground, peer: &Peer, way: State) -> anyhow::Result<Dying> {
    let rate = ENDPOINT.capacity() * ENDPOINTS as f64 * TIMES;
    let arrivals = stream(SERVICE.seed + 3, &[Phase::new(rate, WARM + AFTER)], 0.0);
    let shape = Shape {
        service: ENDPOINT,
        endpoints: ENDPOINTS,
        ..SHAPE
    };
    let world = World::start(ground, peer, shape)?;
    let first = &world.services[0];
    let run = world.load(Load {
        acts: vec![(WARM, Box::new(|| first.set(way)))],
        ..load(&arrivals, world.front)
    })?;
    Ok(Dying { run })
}
