//! A service that fails, behind proxies that each may try again.
//!
//! Layers that retry multiply: four of them with three attempts each make 81 requests of one. A budget bounds each
//! layer; over several layers it only helps if those further out leave off where those further in have tried. What is
//! counted is what the service sees for each request at the edge.

use std::time::Duration;

use super::{SHAPE, load};
use crate::bench::overload::arrivals::{Phase, stream};
use crate::bench::overload::peers::{Peer, Retrying};
use crate::bench::overload::service::Sort;
use crate::bench::overload::world::{Ground, Run, Shape, World};

/// Quick enough to bear every retry: what is asked is how many there are.
const SERVICE: Sort = Sort {
    workers: 64,
    mean: Duration::from_millis(5),
    variation: 0.5,
    seed: 4,
};
const PER_SECOND: f64 = 400.0;
const LENGTH: Duration = Duration::from_secs(5);
/// Retries that a budget grants at once, without being told otherwise.
pub(crate) const BURST: f64 = 10.0;

/// How a chain is set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Link {
    pub(crate) hops: usize,
    pub(crate) failing_percent: u64,
    pub(crate) retrying: Retrying,
}

const fn alone(hops: usize, failing_percent: u64, budget: u32) -> Link {
    Link {
        hops,
        failing_percent,
        retrying: Retrying::Alone(budget),
    }
}

/// What is tried, in the order of the report.
pub(crate) const LINKS: &[Link] = &[
    alone(1, 100, 1),
    alone(1, 100, 5),
    alone(1, 100, 10),
    alone(1, 50, 20),
    alone(1, 100, 20),
    alone(1, 100, 50),
    alone(1, 100, 100),
    alone(4, 50, 10),
    alone(4, 100, 10),
    alone(4, 100, 20),
    alone(4, 100, 50),
    Link {
        hops: 4,
        failing_percent: 100,
        retrying: Retrying::AsShipped,
    },
];

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) link: Link,
    pub(crate) run: Run,
}

impl Chain {
    pub(crate) fn requests(&self) -> usize {
        self.run.samples.all.len()
    }

    pub(crate) fn amplification(&self) -> f64 {
        self.run.arrived as f64 / self.requests() as f64
    }

    /// What one layer's budget allows: its share, and once its burst.
    pub(crate) fn allowed(&self) -> Option<f64> {
        match self.link.retrying {
            Retrying::Alone(percent) => {
                Some(1.0 + f64::from(percent) / 100.0 + BURST / self.requests() as f64)
            }
            Retrying::AsShipped => None,
        }
    }
}

/// Runs one.
///
/// # Errors
/// If it cannot be run.
pub(crate) fn run(ground: &Ground, peer: &Peer, link: Link) -> anyhow::Result<Chain> {
    let arrivals = stream(SERVICE.seed, &[Phase::new(PER_SECOND, LENGTH)], 0.0);
    let shape = Shape {
        service: SERVICE,
        hops: link.hops,
        retrying: link.retrying,
        ..SHAPE
    };
    let world = World::start(ground, peer, shape)?;
    world.services[0].fail(link.failing_percent);
    let run = world.load(load(&arrivals, world.front))?;
    Ok(Chain { link, run })
}
