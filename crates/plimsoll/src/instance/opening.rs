//! What an instance needs from the system before it runs: addresses, the log, a thread for each core.

use std::thread::JoinHandle;

use anyhow::Context;
use gateway::env::Env;
use gateway::event::Event;
use gateway::{CoreSeat, Gateway};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

use crate::admin::{self, Admin};
use crate::config::{Config, LogFormat, LogLevel};
use crate::inheritance::Inheritance;
use crate::journal::{Journal, Level, Style, Writer};
use crate::operators;

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
