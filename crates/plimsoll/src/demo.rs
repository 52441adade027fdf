//! `plimsoll demo`: a service, its customers and its failing dependency, in one process.
//!
//! The order desk stands behind a gateway that is configured by `examples/order-desk/plimsoll.yaml`; every order goes
//! through an egress listener to a pretended broker, which turns slow after 20 s and recovers after 40 s. The
//! terminal tells, every two seconds, what the customers feel and which policy acted; between the lines one can look
//! with curl or a browser.
//!
//! After a minute a new version of the desk is rolled out, at which gold customers cannot place orders, and is rolled back;
//! and then one that is well, which is promoted by evidence.

mod rollouts;
mod told;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use gateway::Phase;
use gateway::plan::{EndpointPlan, ListenAddress};
use order_desk::broker_sim::{self, Behaviour, BrokerSim};
use order_desk::load::{Load, RunningLoad};
use order_desk::{Database, Desk, DeskConfig};

use self::rollouts::Rollouts;
use crate::cli::DemoArgs;
use crate::config::Config;
use crate::instance::{Beginning, Instance};

/// The configuration, as one would write it for the same service by hand.
const CONFIG: &str = include_str!("../../../examples/order-desk/plimsoll.yaml");

/// How slow the broker becomes: far beyond the 300 ms that a try may take.
const SLOW: Duration = Duration::from_secs(3);

/// Requests that the customers send each second.
const RATE: u32 = 120;

/// When what happens.
struct Script {
    slow_at: Duration,
    well_at: Duration,
    line_every: Duration,
    rollouts_at: Duration,
}

impl Script {
    const fn of(fast: bool) -> Self {
        if fast {
            Self {
                slow_at: Duration::from_secs(4),
                well_at: Duration::from_secs(9),
                line_every: Duration::from_secs(1),
                rollouts_at: Duration::from_secs(13),
            }
        } else {
            Self {
                slow_at: Duration::from_secs(20),
                well_at: Duration::from_secs(40),
                line_every: Duration::from_secs(2),
                rollouts_at: Duration::from_mins(1),
            }
        }
    }
}

/// Where the order book is, which all versions of the desk share: gone with the demo.
struct Book(PathBuf);

impl Book {
    fn new() -> std::io::Result<Self> {
        let place = std::env::temp_dir().join(format!("plimsoll-demo-{}", std::process::id()));
        std::fs::create_dir_all(&place)?;
        Ok(Self(place))
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        // What is left is in a place that the system clears by itself.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Everything that the demo runs besides the gateway.
struct Stage {
    broker: BrokerSim,
    desk: Desk,
    /// Versions that are to replace it: one with a fault, and one that is well.
    versions: [Desk; 2],
    load: RunningLoad,
}

/// Runs the demo to its end: Ctrl-C, or the time that was asked for.
///
/// # Errors
/// An address is taken, or the terminal is gone.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let broker = runtime
        .block_on(broker_sim::start(nobody))
        .context("starting the broker")?;
    // The desk needs the address of the egress listener, and the ingress listener that of the desk: so the gateway
    // starts with the egress alone, and takes the rest by a reload, as it would from an operator.
    let whole = config(args, broker.address(), None)?;
    let mut egress = whole.clone();
    egress
        .plan
        .listeners
        .retain(|listener| &*listener.name == "broker");
    // They count on the routes of the other.
    egress.plan.objectives.clear();
    egress.plan.kpis.clear();
    let instance = Instance::start(egress, None, std::io::sink(), Beginning::default())?;
    let egress = address(&instance, "broker").context("the egress listener has no address")?;
    let book = Book::new().context("making a place for the order book")?;
    let start = |fault_tier: Option<&str>| {
        let database = Database::SqliteFile(book.0.join("orders.db"));
        let mut desk = DeskConfig::new(nobody, format!("http://{egress}"), database);
        desk.fault_tier = fault_tier.map(str::to_owned);
        let started = runtime.block_on(order_desk::start(desk));
        started.context("starting the order desk")
    };
    let desk = start(None)?;
    let versions = [start(Some("gold"))?, start(None)?];
    let whole = config(args, broker.address(), Some(desk.address()))?;
    instance
        .block_on(instance.parts.reloader.run_instead(whole))
        .context("starting the ingress listener")?;
    let ingress = address(&instance, "desk").context("the ingress listener has no address")?;
    let load = Load {
        target: format!("http://{ingress}"),
        rate_per_second: RATE,
        tiers: Load::TIERS,
    };
    let load = runtime
        .block_on(async { load.start() })
        .context("starting the customers")?;
    let stage = Stage {
        broker,
        desk,
        versions,
        load,
    };
    say(&told::opening(
        ingress,
        &instance.admin_address(),
        &stage,
        &Script::of(args.fast),
    ))?;
    let ended = instance.block_on(play(&instance, &stage, args));
    instance.parts.drain();
    runtime.block_on(async {
        stage.load.stop().await;
        for desk in stage.versions.into_iter().chain([stage.desk]) {
            desk.stop().await;
        }
        stage.broker.stop().await;
    });
    instance.wait()?;
    ended
}

/// The example's configuration with the addresses of this run.
fn config(args: &DemoArgs, broker: SocketAddr, desk: Option<SocketAddr>) -> anyhow::Result<Config> {
    let mut config = Config::read("examples/order-desk/plimsoll.yaml", CONFIG.as_bytes())?;
    config.admin.listen = args.admin;
    for upstream in &mut config.plan.upstreams {
        let at = if &*upstream.name == "broker" {
            Some(broker)
        } else {
            desk
        };
        if let Some(at) = at {
            upstream.endpoints = vec![EndpointPlan::Host(at.ip().to_string(), at.port())];
        }
    }
    for listener in &mut config.plan.listeners {
        let at = if &*listener.name == "broker" {
            ([127, 0, 0, 1], 0).into()
        } else {
            args.listen
        };
        listener.address = ListenAddress::Tcp(at);
    }
    Ok(config)
}

fn address(instance: &Instance, listener: &str) -> Option<SocketAddr> {
    let addresses = instance.parts.gateway.addresses();
    addresses
        .into_iter()
        .find(|(name, _)| **name == *listener)
        .and_then(|(_, address)| address)
}

/// Plays the script until somebody has seen enough.
async fn play(instance: &Instance, stage: &Stage, args: &DemoArgs) -> anyhow::Result<()> {
    let env = instance.parts.gateway.env().clone();
    let script = Script::of(args.fast);
    let began = env.now();
    let mut phase = instance.parts.gateway.phase();
    let mut teller = told::Teller::default();
    let (mut slow, mut well) = (false, false);
    let mut rollouts = Rollouts::of(stage);
    while *phase.borrow_and_update() == Phase::Serving {
        let elapsed = env.now() - began;
        if args.duration.is_some_and(|end| elapsed >= end) {
            break;
        }
        if elapsed >= script.slow_at && !std::mem::replace(&mut slow, true) {
            stage.broker.set(Behaviour::Slow { delay: SLOW });
            say(told::SLOW)?;
        }
        if elapsed >= script.well_at && !std::mem::replace(&mut well, true) {
            stage.broker.set(Behaviour::Normal);
            say(told::WELL)?;
        }
        if elapsed >= script.rollouts_at {
            say(rollouts.go_on(instance))?;
        }
        say(&teller.turned(instance))?;
        say(&teller.changed(instance))?;
        say(&teller.line(elapsed, instance, &stage.load.snapshot()))?;
        tokio::select! {
            biased;
            _ = phase.changed() => {}
            () = env.sleep(script.line_every) => {}
        }
    }
    say(told::END)
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("writing to the terminal")
}
