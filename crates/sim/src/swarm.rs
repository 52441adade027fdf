//! What a seed chooses: which faults exist at all, how the gateway is set up, and how much is asked of it.
//!
//! Every fault is on in some seeds and off in others (swarm testing: Groce and others, 2012). With all of them on at
//! once each run would look like the next, and a fault that hides another would always hide it.

use std::time::Duration;

use plimsoll_policy::{Dice, HedgeConfig, Priority, SeededDice};

/// The most endpoints that a run has.
pub(crate) const ENDPOINTS: [&str; 4] = ["endpoint-0", "endpoint-1", "endpoint-2", "endpoint-3"];
/// The hosts that requests come from.
pub(crate) const CLIENTS: [&str; 2] = ["client-0", "client-1"];
/// The host that the gateway runs on.
pub(crate) const GATEWAY: &str = "gateway";

/// Network latency while all is well, at most. Small enough that a good answer takes less than 50 ms, which is the
/// shortest time of a try that the gateway derives from what it has measured.
pub(crate) const LATENCY_CALM: Duration = Duration::from_millis(4);

/// One seed's choices.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// The seed that chose.
    pub seed: u64,
    /// How many endpoints there are.
    pub endpoints: usize,
    /// Clients speak HTTP/2.
    pub http2_front: bool,
    /// Endpoints speak HTTP/2.
    pub http2_back: bool,
    /// Requests per second, over all clients.
    pub rate: f64,
    /// What the network, the endpoints and the clients do wrong.
    pub faults: Faults,
    /// How the gateway is set up.
    pub setup: Setup,
    /// How long faults last.
    pub storm: Duration,
    /// How long the gateway may take to recover once they are over.
    pub settle: Duration,
    /// How long all must be well after that.
    pub calm: Duration,
    /// How long nothing is asked in the end, so that all that is held can be let go.
    pub quiet: Duration,
}

/// What goes wrong: a share of requests, or whether it happens at all.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Share of messages whose loss breaks a link for some messages.
    pub loss: f64,
    /// Links between gateway and endpoints break in both directions.
    pub partitions: bool,
    /// They break in one.
    pub one_way: bool,
    /// They hold messages back, then deliver all at once.
    pub holds: bool,
    /// The client's links break or hold, too.
    pub front: bool,
    /// The network gets slow for a while.
    pub slow_network: bool,
    /// Endpoints crash, and come back.
    pub crashes: bool,
    /// Endpoints stop reading for a while, with all connections open.
    pub freezes: bool,
    /// Endpoints get slow for a while.
    pub slow_endpoints: bool,
    /// Share of answers that are 5xx.
    pub errors: f64,
    /// Share of requests that endpoints never answer.
    pub hangs: f64,
    /// Share of requests on which endpoints break the connection without an answer.
    pub breaks: f64,
    /// Share of answers that break off.
    pub truncations: f64,
    /// Share of clients that leave early.
    pub leaving: f64,
    /// Share of clients that stop reading.
    pub stalling: f64,
    /// Share of clients that stop sending.
    pub choking: f64,
    /// Share of requests with bodies and answers of many pieces.
    pub large: f64,
    /// The gateway's plan is replaced now and then.
    pub reloads: bool,
    /// Share of requests that the gateway is to delay by a fault rule, beyond their deadline.
    pub delays: f64,
    /// Connections to endpoints lead nowhere from one moment on, and nobody is told.
    pub forgets: bool,
    /// The gateway's wall clock jumps, in both directions.
    pub clock: bool,
}

/// How the gateway is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Requests in flight at once.
    pub in_flight_max: u32,
    /// Connections at once.
    pub connections_max: u32,
    /// Retries per request.
    pub retries_max: u32,
    /// Retries per request in the long run.
    pub share: f64,
    /// Retries that may be saved up.
    pub burst: u32,
    /// Deadline of a request.
    pub total: Duration,
    /// Deadline of a try.
    pub per_try: Option<Duration>,
    /// Circuit breaker.
    pub breaker: bool,
    /// Outlier ejection.
    pub outlier: bool,
    /// Active health checks.
    pub health: bool,
    /// The most that the upstream may work on, by its adaptive limit; without it that is out of the way.
    pub slots: Option<u32>,
    /// Hedging.
    pub hedge: Option<HedgeConfig>,
}

/// How idle connections age, on both sides of the gateway.
pub(crate) const IDLE_TIME: Duration = Duration::from_secs(2);
/// How long the gateway bears an upload that is too slow.
pub(crate) const PACE_GRACE: Duration = Duration::from_secs(2);
/// Silence of a stream that the gateway bears.
pub(crate) const STREAM_IDLE: Duration = Duration::from_secs(2);
/// How long a head may take.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(2);
/// How often the gateway looks at its connections.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);
/// The longest that a breaker is open, and that an endpoint is ejected.
pub(crate) const OPEN_MAX: Duration = Duration::from_secs(2);
/// How long each step of the breaker's ramp takes.
pub(crate) const RAMP_STEP: Duration = Duration::from_millis(500);
/// Time to make a connection.
pub(crate) const CONNECT_MAX: Duration = Duration::from_millis(500);

/// Where in a run a moment lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Faults happen; only safety is promised.
    Storm,
    /// No more faults; the gateway recovers.
    Settle,
    /// All must be well.
    Calm,
    /// Nothing is asked.
    Quiet,
}

impl Swarm {
    /// The choices of a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = stream(seed, "swarm");
        let dice = &mut dice;
        Self {
            seed,
            endpoints: 2 + dice.below(3) as usize,
            http2_front: chance(dice, 0.25),
            http2_back: chance(dice, 0.3),
            rate: 20.0 + 40.0 * dice.unit(),
            faults: Faults {
                forgets: chance(&mut stream(seed, "forgets"), 0.25),
                clock: chance(&mut stream(seed, "clock"), 0.25),
                ..Faults::choose(dice)
            },
            setup: Setup {
                slots: slots(seed),
                ..Setup::choose(dice)
            },
            storm: Duration::from_secs(10),
            settle: Duration::from_secs(8),
            calm: Duration::from_secs(3),
            quiet: Duration::from_secs(6),
        }
    }

    /// The phase that `at` lies in.
    pub fn phase(&self, at: Duration) -> Phase {
        let settle = self.storm;
        let calm = settle + self.settle;
        let quiet = calm + self.calm;
        match at {
            at if at < settle => Phase::Storm,
            at if at < calm => Phase::Settle,
            at if at < quiet => Phase::Calm,
            _ => Phase::Quiet,
        }
    }

    /// When nothing is asked any more.
    pub(crate) fn asking_ends(&self) -> Duration {
        self.storm + self.settle + self.calm
    }

    /// When the run ends.
    pub(crate) fn end(&self) -> Duration {
        self.asking_ends() + self.quiet
    }
}

impl Faults {
    fn choose(dice: &mut SeededDice) -> Self {
        let one_way = chance(dice, 0.25);
        Self {
            loss: rare(dice, 0.35, 0.003),
            partitions: chance(dice, 0.35),
            one_way,
            // turmoil does not support both on one link.
            holds: !one_way && chance(dice, 0.4),
            front: chance(dice, 0.3),
            slow_network: chance(dice, 0.3),
            crashes: chance(dice, 0.4),
            freezes: chance(dice, 0.35),
            slow_endpoints: chance(dice, 0.3),
            errors: rare(dice, 0.4, 0.5),
            hangs: rare(dice, 0.35, 0.1),
            breaks: rare(dice, 0.35, 0.2),
            truncations: rare(dice, 0.3, 0.2),
            leaving: rare(dice, 0.35, 0.3),
            stalling: rare(dice, 0.3, 0.1),
            choking: rare(dice, 0.3, 0.1),
            large: rare(dice, 0.5, 0.2),
            reloads: chance(dice, 0.3),
            delays: rare(dice, 0.15, 0.1),
            ..Self::default()
        }
    }
}

impl Setup {
    fn choose(dice: &mut SeededDice) -> Self {
        let total = Duration::from_millis(500 + dice.below(2000));
        Self {
            in_flight_max: 24 + dice.below(40) as u32,
            connections_max: 64 + dice.below(200) as u32,
            retries_max: dice.below(4) as u32,
            share: 0.05 + 0.5 * dice.unit(),
            burst: 1 + dice.below(15) as u32,
            total,
            per_try: chance(dice, 0.5).then(|| total.mul_f64(0.2 + 0.6 * dice.unit())),
            breaker: chance(dice, 0.7),
            outlier: chance(dice, 0.6),
            health: chance(dice, 0.3),
            slots: None,
            hedge: chance(dice, 0.5).then(|| hedge(dice)),
        }
    }
}

/// Few enough that requests wait in the storm, and enough for all of them in the calm.
fn slots(seed: u64) -> Option<u32> {
    let mut dice = stream(seed, "slots");
    chance(&mut dice, 0.4).then(|| 6 + dice.below(7) as u32)
}

/// How much a request matters.
pub(crate) fn priority(seed: u64, id: u32) -> Priority {
    match stream(seed ^ u64::from(id) << 32, "priority").below(10) {
        0..2 => Priority::Critical,
        2..5 => Priority::Sheddable,
        _ => Priority::Normal,
    }
}

/// Some wait for as long as the gateway has learned, some for a time at which a good answer may still be under way.
fn hedge(dice: &mut SeededDice) -> HedgeConfig {
    HedgeConfig {
        after: chance(dice, 0.7).then(|| Duration::from_millis(5 + dice.below(60))),
        share: 0.02 + 0.5 * dice.unit(),
        load_max: 0.3 + 0.7 * dice.unit(),
        idempotent: chance(dice, 0.3),
    }
}

/// Dice of their own for one purpose, so that a new use of dice in one place does not change all others.
pub(crate) fn stream(seed: u64, purpose: &str) -> SeededDice {
    let mixed = purpose.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    SeededDice::new(mixed)
}

/// Whether something with this chance happens.
pub(crate) fn chance(dice: &mut SeededDice, chance: f64) -> bool {
    dice.unit() < chance
}

/// A share up to `most`, in so many of all seeds; 0 in the others.
fn rare(dice: &mut SeededDice, seeds: f64, most: f64) -> f64 {
    if chance(dice, seeds) {
        most * dice.unit()
    } else {
        0.0
    }
}

/// The time to the next event of a Poisson process with so many events a second.
pub(crate) fn gap(dice: &mut SeededDice, rate: f64) -> Duration {
    Duration::from_secs_f64(-(1.0 - dice.unit()).ln() / rate)
}
