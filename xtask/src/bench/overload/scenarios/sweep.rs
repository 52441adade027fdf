//! From a load that any service bears to ten times what this one can do.
//!
//! The first level is a calm minute, in which whoever learns can learn what is usual. Every other one begins with a few
//! seconds at half the capacity, and then steps up: so each is also a test of how fast a proxy adapts. The proxy runs on
//! from level to level, as proxies do, and the service drops what the last one left in its queue, which it would need
//! minutes to work off. The step to twice the capacity is made once more with a proxy that has just been started.

use std::time::Duration;

use super::{SERVICE, SHAPE, WARM, load};
use crate::bench::overload::arrivals::{CRITICAL_SHARE, Class, Phase, stream};
use crate::bench::overload::peers::Peer;
use crate::bench::overload::samples::{Samples, Summary};
use crate::bench::overload::service::Service;
use crate::bench::overload::settled;
use crate::bench::overload::twice;
use crate::bench::overload::world::{Ground, Run, World};

/// Times the capacity. The first is the measure of an unloaded service.
pub(crate) const LEVELS: &[f64] = &[0.3, 0.5, 0.7, 0.9, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0];
/// What a proxy is given to adapt before a level counts; the aim says so.
pub(crate) const SETTLE: Duration = Duration::from_secs(3);
/// What comes before each step.
const BEFORE: f64 = 0.5;
/// How long the first level lasts. Ours remembers peaks for a minute, and Envoy measures anew every minute.
const CALM: Duration = Duration::from_secs(70);
/// The step that is made with a proxy that has just been started.
pub(crate) const FRESH: f64 = 2.0;
const WINDOW: Duration = Duration::from_secs(2);
/// Goodput that is this share of the final one has settled.
const NEAR: f64 = 0.95;
/// Latency that is at most this many times the unloaded one is as it should be.
pub(crate) const P99_TIMES: f64 = 2.0;

#[derive(Clone, Debug)]
pub(crate) struct Level {
    pub(crate) times: f64,
    pub(crate) run: Run,
    /// From the step to the end.
    pub(crate) stepped: (Duration, Duration),
}

/// All levels of one peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sweep(pub(crate) Vec<Level>);

impl Level {
    /// After the time to adapt.
    pub(crate) fn summary(&self) -> Summary {
        let (from, to) = self.counted();
        self.run.samples.between(from, to)
    }

    pub(crate) fn of_class(&self, class: Class) -> Summary {
        let (from, to) = self.counted();
        self.run.samples.of(from, to, |sample| sample.class == class)
    }

    /// Of the whole load, without the time before the step.
    pub(crate) fn since_step(&self) -> Summary {
        self.run.samples.between(self.stepped.0, self.stepped.1)
    }

    /// Whether the critical requests alone could all be served.
    pub(crate) fn critical_fits(&self) -> bool {
        self.times * CRITICAL_SHARE < 1.0
    }

    fn counted(&self) -> (Duration, Duration) {
        (self.stepped.0 + SETTLE, self.stepped.1)
    }

    /// How long after the step the goodput stays near its final value, and the latency near the unloaded one. `None`
    /// for what does not stay so until the end, and for a goodput of nothing.
    pub(crate) fn settled(&self, unloaded_p99: f64) -> [Option<Duration>; 2] {
        let samples: &Samples = &self.run.samples;
        let enough = self.summary().goodput() * NEAR;
        [
            settled::after(samples, self.stepped, WINDOW, |window| {
                window.good > 0 && window.goodput() >= enough
            }),
            settled::after(samples, self.stepped, WINDOW, |window| {
                window.p99 <= unloaded_p99 * P99_TIMES
            }),
        ]
    }
}

impl Sweep {
    /// The 99th percentile of the lightest load, in milliseconds. It has no step that would have to be adapted to, so
    /// all of it counts.
    pub(crate) fn unloaded_p99(&self) -> f64 {
        let whole = |level: &Level| level.run.samples.between(Duration::ZERO, level.stepped.1);
        self.0.first().map_or(f64::NAN, |level| whole(level).p99)
    }

    pub(crate) fn at(&self, times: f64) -> Option<&Level> {
        self.0.iter().find(|level| (level.times - times).abs() < 1e-9)
    }

    /// The most good answers per second that this peer gave at any level.
    pub(crate) fn peak(&self) -> f64 {
        self.0
            .iter()
            .map(|level| level.summary().goodput())
            .fold(0.0, f64::max)
    }
}

/// Starts a proxy and runs all levels with it.
///
/// # Errors
/// If one cannot be run.
pub(crate) fn all(
    ground: &Ground,
    peer: &Peer,
    seconds: u64,
    tell: impl Fn(&Level),
) -> anyhow::Result<Sweep> {
    let world = World::start(ground, peer, SHAPE)?;
    let mut sweep = Sweep::default();
    for times in LEVELS {
        let calm = sweep.0.is_empty() && peer.launch.is_some();
        let length = if calm {
            CALM
        } else {
            SETTLE + Duration::from_secs(seconds)
        };
        let level = twice(|| level(&world, *times, length), |level| &level.run)?;
        tell(&level);
        sweep.0.push(level);
    }
    Ok(sweep)
}

/// The one step of a proxy that has just been started.
///
/// # Errors
/// If it cannot be run.
pub(crate) fn fresh(ground: &Ground, peer: &Peer, seconds: u64) -> anyhow::Result<Level> {
    let world = World::start(ground, peer, SHAPE)?;
    level(&world, FRESH, SETTLE + Duration::from_secs(seconds))
}

fn level(world: &World, times: f64, length: Duration) -> anyhow::Result<Level> {
    world.services.iter().for_each(Service::forget);
    let capacity = SERVICE.capacity();
    let phases = [
        Phase::new(capacity * times.min(BEFORE), WARM),
        Phase::new(capacity * times, length),
    ];
    let arrivals = stream(SERVICE.seed, &phases, 0.0);
    let run = world.load(load(&arrivals, world.front))?;
    Ok(Level {
        times,
        run,
        stepped: (WARM, WARM + length),
    })
}
