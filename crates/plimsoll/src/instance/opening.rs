//! What an instance needs before it runs: addresses, the log, a name, a collector, a thread for each core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use gateway::env::{Bound, Env};
use gateway::event::Event;
use gateway::plan::ListenAddress;
use gateway::{CoreSeat, Gateway};
use plimsoll_policy::Dice as _;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions, Runtime};
use tokio::sync::{mpsc, watch};

use crate::admin::{self, Admin, AdminBackend as _};
use crate::config::{Config, LogFormat, LogLevel};
use crate::inheritance::Inheritance;
use crate::instance::Parts;
use crate::journal::{Journal, Level, Style, Writer};
use crate::metrics;
use crate::operators::{self, Operators};
use crate::otlp::{Collector, Meter, MeterEnd};
use crate::record::{MACHINE, Record};

/// Threads of the control runtime: one may be busy with a scrape while the other listens for signals.
const CONTROL_THREADS: usize = 2;

fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What a gateway is built to: itself, its seats and its events.
pub(super) type Built = (Gateway, Vec<CoreSeat>, mpsc::Receiver<Box<Event>>);

/// Listens on every address, or takes what was given for it. The port for operators comes first, so that one that may
/// not be open costs no traffic.
pub(super) async fn open_ports(
    env: Env,
    config: &Config,
    inheritance: &mut Inheritance,
) -> anyhow::Result<(Admin, Built)> {
    let port = operators::port(&config.admin).context("preparing the admin port")?;
    let listeners = config.plan.listeners.iter();
    let named: Vec<_> = listeners.map(|listener| &*listener.name).collect();
    let inherited = inheritance.admin(port.listen, &named);
    let admin = admin::bind(port, inherited).await?;
    let cores = if config.cores == 0 {
        available_cores()
    } else {
        config.cores
    };
    let built = Gateway::build_on(env, config.plan.clone(), cores, &mut inheritance.listeners).await;
    Ok((admin, built.context("starting the gateway")?))
}

/// What a supervisor calls the sockets of the port for flags, and a predecessor too.
pub(crate) const FLAGS: &str = "flags";

/// Listens for those who ask for flags, or takes what was given for it: what each was asked for, and its socket.
pub(super) async fn open_flags(
    config: &Config,
    inheritance: &mut Inheritance,
) -> anyhow::Result<Vec<(SocketAddr, TcpListener)>> {
    let mut opened = Vec::new();
    for listen in config.flags.iter().flat_map(|flags| &flags.listen) {
        let named = config
            .plan
            .listeners
            .iter()
            .any(|listener| *listener.name == *FLAGS);
        let name = if named { "" } else { FLAGS };
        let given = inheritance
            .listeners
            .take(&[(name, &ListenAddress::Tcp(*listen))]);
        let given = given.into_iter().flatten().next().and_then(Bound::into_tcp);
        let listener = match given {
            Some(socket) => TcpListener::from_std(socket),
            None => TcpListener::bind(listen).await,
        };
        let listener =
            listener.with_context(|| format!("listening on {listen} for flags (`flags.listen`)"))?;
        opened.push((*listen, listener));
    }
    Ok(opened)
}

pub(super) fn open_journal(
    env: &Env,
    config: &Config,
    out: impl std::io::Write + Send + 'static,
) -> anyhow::Result<(Journal, Writer)> {
    let style = match config.telemetry.log_format {
        LogFormat::Json => Style::Json,
        LogFormat::Text => Style::Text,
    };
    let level = match config.telemetry.log_level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
    };
    Journal::start(env.clone(), style, level, out).context("starting the log's writer")
}

/// Tasks that a core may run before it asks the kernel what is new. Few, and a batch of events is cut in two, for
/// which every peer is woken twice; many, and timers fire late by as much as they take (1 or 2 ms).
const EVENT_INTERVAL: u32 = 256;

/// The threads of the cores, which wait to be let go.
pub(super) struct Cores {
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) go: watch::Sender<bool>,
}

/// Starts a thread for each core. All that may fail is done before a core accepts anybody.
pub(super) fn start_cores(seats: Vec<CoreSeat>) -> anyhow::Result<Cores> {
    let go = watch::Sender::new(false);
    let start = |seat: CoreSeat| {
        let mut told = go.subscribe();
        let thread = std::thread::Builder::new().name(format!("core-{}", seat.index()));
        let run = move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build_local(LocalOptions::default());
            // The control runtime came up a moment ago; what it took there is to be had here.
            runtime.expect("a thread can have a runtime").block_on(async {
                // An instance that is given up lets nobody go.
                if told.wait_for(|go| *go).await.is_ok() {
                    seat.run().await;
                }
            });
        };
        thread.spawn(run).context("starting a core's thread")
    };
    let threads = seats.into_iter().map(start).collect::<anyhow::Result<_>>()?;
    Ok(Cores { threads, go })
}

pub(super) fn control_runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .context("starting the control runtime")
}

pub(super) fn collector(config: &Config, gateway: &Gateway) -> anyhow::Result<Option<Collector>> {
    let otlp = config.telemetry.otlp.as_ref();
    otlp.map(|otlp| Collector::configured(otlp, gateway.env()))
        .transpose()
}

pub(super) fn meter(collector: Option<&Collector>, gateway: &Gateway, journal: &Journal) -> Option<Meter> {
    let metered = collector.filter(|collector| collector.metrics);
    metered.map(|collector| Meter::new(gateway.env().clone(), collector, journal.clone()))
}

pub(super) fn start_meter(meter: Meter, parts: &Arc<Parts>) -> MeterEnd {
    let scraped = Operators(Arc::clone(parts));
    meter.start(move |points| scraped.scrape(|scrape| metrics::write(scrape, points)))
}

pub(super) fn record(name: &str, is_kept: bool) -> Arc<Record> {
    let author = format!("{MACHINE}{name}");
    Arc::new(Record::new(author.into(), is_kept))
}

/// This process, by a name that no other has that shares a store with it, on whatever machine that may be.
pub(super) fn named(gateway: &Gateway) -> String {
    let env = gateway.env();
    let chance = env.dice().roll() as u32;
    format!("{}-{}-{chance:x}", env.wall().as_millis(), std::process::id())
}
