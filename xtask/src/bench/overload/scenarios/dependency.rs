//! Half of the requests need a dependency, and it gets 5 and then 10 times slower; then the service itself is asked
//! for too much.
//!
//! While the dependency is slow the service is as quick as before: a request that waits for the dependency holds no
//! worker. So nobody who does not need the dependency should notice, and a limit that is learned from how long the
//! service takes should stay where it is, although half of all requests take several times as long. The overload that
//! comes last is there to see that the two are told apart.

use std::time::Duration;

use super::{SERVICE, SHAPE, WARM, load};
use crate::bench::overload::arrivals::{Phase, stream};
use crate::bench::overload::generator::Load;
use crate::bench::overload::peers::{OURS, Peer};
use crate::bench::overload::samples::Summary;
use crate::bench::overload::service::Sort;
use crate::bench::overload::watch::{Glance, Watch};
use crate::bench::overload::world::{Ground, Run, Shape, World};

const DEPENDENCY: Sort = Sort {
    workers: 128,
    mean: Duration::from_millis(20),
    variation: 0.5,
    seed: 5,
};
const JOINED_SHARE: f64 = 0.5;

/// What goes on for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// How many times slower the dependency is than it was.
    pub(crate) slower: f64,
    /// The load, in times of the service's capacity.
    pub(crate) times: f64,
}

/// In their order; the first is how things should be, the last is the overload.
pub(crate) const STRETCHES: &[Stretch] = &[
    Stretch {
        slower: 1.0,
        times: 0.5,
    },
    Stretch {
        slower: 5.0,
        times: 0.5,
    },
    Stretch {
        slower: 10.0,
        times: 0.5,
    },
    Stretch {
        slower: 1.0,
        times: 2.0,
    },
];
/// Those in which the dependency is slow.
pub(crate) const SLOW: std::ops::Range<usize> = 1..3;
pub(crate) const OVERLOADED: usize = 3;

#[derive(Debug)]
pub(crate) struct Dependency {
    pub(crate) run: Run,
    stretch: Duration,
    /// What the operators' port said, ours alone.
    pub(crate) glances: Vec<Glance>,
}

impl Dependency {
    fn stretch(&self, at: usize) -> (Duration, Duration) {
        let from = WARM + self.stretch * at as u32;
        (from, from + self.stretch)
    }

    /// Of the requests that need the dependency, or of those that do not.
    pub(crate) fn summary(&self, at: usize, joined: bool) -> Summary {
        let (from, to) = self.stretch(at);
        self.run.samples.of(from, to, |sample| sample.joined == joined)
    }

    /// What was seen in the second half of a stretch, when whatever learns has had its time.
    pub(crate) fn seen(&self, at: usize) -> impl Iterator<Item = &Glance> {
        let (from, to) = self.stretch(at);
        let middle = from + self.stretch / 2;
        self.glances
            .iter()
            .filter(move |glance| (middle..to).contains(&glance.at))
    }
}

/// Runs it.
///
/// # Errors
/// If it cannot be run.
pub(crate) fn run(ground: &Ground, peer: &Peer, seconds: u64) -> anyhow::Result<Dependency> {
    let stretch = Duration::from_secs(seconds);
    let capacity = SERVICE.capacity();
    let mut phases = vec![Phase::new(capacity * STRETCHES[0].times, WARM)];
    phases.extend(
        STRETCHES
            .iter()
            .map(|now| Phase::new(capacity * now.times, stretch)),
    );
    let arrivals = stream(SERVICE.seed + 6, &phases, JOINED_SHARE);
    let shape = Shape {
        dependency: Some(DEPENDENCY),
        ..SHAPE
    };
    let world = World::start(ground, peer, shape)?;
    let watch = (peer.name == OURS)
        .then(|| Watch::start(world.admin))
        .transpose()?;
    let slower = world.dependency.as_ref();
    let run = world.load(Load {
        acts: STRETCHES
            .iter()
            .enumerate()
            .map(|(at, now)| -> (Duration, Box<dyn Fn()>) {
                let act = move || {
                    if let Some(service) = slower {
                        service.slow_down(now.slower);
                    }
                };
                (WARM + stretch * at as u32, Box::new(act))
            })
            .collect(),
        ..load(&arrivals, world.front)
    })?;
    let glances = watch.map(Watch::end).unwrap_or_default();
    Ok(Dependency {
        run,
        stretch,
        glances,
    })
}
