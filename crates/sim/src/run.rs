//! One run: a seed's world is built, its storm passes over it, and what happened is written down.

use std::cell::Cell;
use std::num::NonZero;
use std::ops::Range;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::frost::Frost;
use crate::panics;
use crate::proxy::{Proxy, Readings};
use crate::swarm::{CLIENTS, ENDPOINTS, GATEWAY, LATENCY_CALM, Swarm};
use crate::trace::{Entry, Recorder, What};
use crate::weather::{self, Change};
use crate::world::Simulated;

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the seed chose.
    pub swarm: Swarm,
    /// What happened.
    pub trace: Vec<Entry>,
    /// What the gateway said of itself.
    pub readings: Readings,
    /// Panics, in the gateway or in the simulation.
    pub panics: Vec<String>,
}

/// Runs a seed from beginning to end.
pub fn run(seed: u64) -> Run {
    let swarm = Rc::new(Swarm::new(seed));
    let recorder = Recorder::default();
    let proxy = Proxy {
        swarm: Rc::clone(&swarm),
        recorder: recorder.clone(),
        readings: Rc::default(),
        world: Simulated::default(),
    };
    let readings = Rc::clone(&proxy.readings);
    let panics = panics::watch(|| {
        if let Err(error) = simulate(&swarm, &recorder, proxy) {
            panics::note(format!("the simulation stopped: {error}"));
        }
    });
    Run {
        trace: recorder.take(),
        readings: readings.take(),
        swarm: (*swarm).clone(),
        panics,
    }
}

/// Runs seeds side by side, on a thread for each core, and says what `judge` says of each run, in the order of the
/// seeds. A run is one thread's business from beginning to end, so its neighbours change nothing in it.
///
/// # Panics
/// `judge` does.
pub fn each<T: Send>(seeds: Range<u64>, judge: impl Fn(Run) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut judged = Vec::new();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return judged;
            }
            judged.push((seed, judge(run(seed))));
        }
    };
    let mut judged: Vec<(u64, T)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let ends = threads
            .into_iter()
            .map(|thread| thread.join().expect("`judge` does not panic"));
        ends.flatten().collect()
    });
    judged.sort_by_key(|(seed, _)| *seed);
    judged.into_iter().map(|(_, said)| said).collect()
}

fn simulate(swarm: &Rc<Swarm>, recorder: &Recorder, proxy: Proxy) -> turmoil::Result {
    let mut sim = turmoil::Builder::new()
        .rng_seed(swarm.seed)
        .simulation_duration(swarm.end() * 2)
        .tick_duration(TICK)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(LATENCY_CALM)
        .repair_rate(0.2)
        .tcp_capacity(SEGMENTS)
        .build();
    let endpoints: Vec<Endpoint> = ENDPOINTS[..swarm.endpoints]
        .iter()
        .map(|name| Endpoint {
            name,
            swarm: Rc::clone(swarm),
            recorder: recorder.clone(),
            frost: Frost::default(),
            slowness: Rc::default(),
            served: Rc::default(),
        })
        .collect();
    for endpoint in &endpoints {
        let software = endpoint.clone();
        sim.host(endpoint.name, move || software.clone().run());
    }
    let world = proxy.world.clone();
    sim.host(GATEWAY, move || proxy.clone().run());
    let next = Rc::new(Cell::new(1));
    for name in CLIENTS {
        let client = Client {
            name,
            swarm: Rc::clone(swarm),
            recorder: recorder.clone(),
            next: Rc::clone(&next),
            pool: Rc::default(),
        };
        sim.client(name, client.run());
    }
    let mut changes = weather::timetable(swarm).into_iter().peekable();
    while sim.elapsed() < swarm.end() {
        while let Some((_, change)) = changes.next_if(|(at, _)| *at <= sim.elapsed()) {
            recorder.record_at(sim.elapsed(), "weather", What::Weather(format!("{change:?}")));
            match change {
                Change::Freeze(index, until) => endpoints[index].frost.until(until),
                Change::Slow(index, slowness) => endpoints[index].slowness.set(slowness),
                Change::Forget => world.nat.forget(),
                Change::Clock(seconds) => world.set_clock(seconds),
                change => weather::apply(&mut sim, &change),
            }
        }
        sim.step()?;
    }
    Ok(())
}

/// Segments that a connection may have under way: fewer than a large body has, so that who does not read stops who
/// writes. It is also turmoil's bound on connections that wait to be accepted, at which it panics: more than may be
/// asked for while a link is held.
const SEGMENTS: usize = 256;

/// The grain of simulated time. Messages and timers are no finer.
pub(crate) const TICK: Duration = Duration::from_millis(1);
