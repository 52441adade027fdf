//! `plimsoll demo`: a service, its customers and its failing dependency, in one process.
//!
//! The order desk stands behind a gateway that is configured by `examples/order-desk/plimsoll.yaml`; every order goes
//! through an egress listener to a pretended broker, which turns slow after 20 s and recovers after 40 s. The
//! terminal tells, every two seconds, what the customers feel and which policy acted; between the lines one can look
//! with curl or a browser.

mod told;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use gateway::Phase;
use gateway::plan::{EndpointPlan, ListenAddress};
use order_desk::broker_sim::{self, Behaviour, BrokerSim};
use order_desk::load::{Load, RunningLoad};
use order_desk::{Database, Desk, DeskConfig};

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
}

impl Script {
    const fn of(fast: bool) -> Self {
        if fast {
            Self {
                slow_at: Duration::from_secs(4),
                well_at: Duration::from_secs(9),
                line_every: Duration::from_secs(1),
            }
        } else {
            Self {
                slow_at: Duration::from_secs(20),
                well_at: Duration::from_secs(40),
                line_every: Duration::from_secs(2),
            }
        }
    }
}

/// Everything that the demo runs besides the gateway.
struct Stage {
    broker: BrokerSim,
    desk: Desk,
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
    let desk = DeskConfig::new(nobody, format!("http://{egress}"), Database::SqliteMemory);
    let desk = runtime
        .block_on(order_desk::start(desk))
        .context("starting the order desk")?;
    let whole = config(args, broker.address(), Some(desk.address()))?;
    instance
        .block_on(instance.parts.gateway.apply(whole.plan))
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
    let stage = Stage { broker, desk, load };
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
        stage.desk.stop().await;
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
        say(&teller.turned(instance))?;
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
