//! One running Plimsoll: the gateway on its cores, and on the control side everything that keeps it true and tells
//! of it.
//!
//! The control side has a runtime of its own, so that a slow resolver, scrape or collector never holds a request.
//! This file is the supervisor: it alone starts threads and tasks, and it alone decides how often they run.

mod opening;

pub(crate) use self::opening::FLAGS;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use anyhow::Context;
use gateway::env::Env;
use gateway::{Acceptor, CoreSeat, Gateway, Phase, Plan};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use self::opening::{
    collector, control_runtime, meter, named, open_flags, open_journal, open_ports, record, start_cores,
    start_meter,
};
use crate::admin::Admin;
use crate::alerting::{Desk, Office};
use crate::allocator;
use crate::api::history::Latencies;
use crate::api::outcomes::Heard;
use crate::api::stream::Judged;
use crate::config::Config;
use crate::drivers::{Drivers, DriversSeen};
use crate::flags::{Flags, port};
use crate::history::History;
use crate::inheritance::Inheritance;
use crate::journal::{Journal, Value, Writer};
use crate::judging::Judging;
use crate::keeping::Keeper;
use crate::memory;
use crate::operators::Operators;
use crate::otlp::{Meter, MeterEnd};
use crate::processors::Processors;
use crate::record::{Record, Said};
use crate::reload::{Reloaded, Reloader};
use crate::rollout::versions::{self, FileRead};
use crate::rollout::{self, LOOKS_EVERY, Rollouts};
use crate::signals;
use crate::spread::{Part, counts_for};
use crate::supervisor::Supervisor;
use crate::telemetry::{Finished, Telemetry};
use crate::upgrade::Upgrader;
use crate::upgrade::channel::Predecessor;
use crate::upgrade::program::Program;
use crate::watching::{Watching, examples};

/// How long telling the rest may hold up the end: a collector that is down must not.
const TELLING_MAX: Duration = Duration::from_secs(3);

/// How often it is judged: what happened is known within a second, and a process that is killed loses no more.
const JUDGE_EVERY: Duration = Duration::from_millis(500);

/// How long a start waits for what the state knows of versions, and how often it looks.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
const HEARD_EVERY: Duration = Duration::from_millis(5);

/// A core that has not turned for so long is stuck. It does once a second.
const STUCK: Duration = Duration::from_secs(3);

/// A running Plimsoll. [`Instance::wait`] sees it to its end.
pub(crate) struct Instance {
    control: Runtime,
    cores: Vec<JoinHandle<()>>,
    writer: Writer,
    told: Finished,
    meter: Option<MeterEnd>,
    /// `None` when nothing is kept.
    keeper: Option<Keeper>,
    drivers: Drivers,
    admin_address: SocketAddr,
    admin_ended: oneshot::Receiver<()>,
    pub(crate) parts: Arc<Parts>,
}

/// What the control side works with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) gateway: Gateway,
    pub(crate) journal: Journal,
    pub(crate) telemetry: Telemetry,
    pub(crate) reloader: Reloader,
    pub(crate) upgrader: Upgrader,
    pub(crate) supervisor: Supervisor,
    pub(crate) history: Mutex<History>,
    pub(crate) judging: Mutex<Judging>,
    pub(crate) record: Arc<Record>,
    pub(crate) desk: Arc<Desk>,
    watching: Mutex<Watching>,
    pub(crate) rollouts: Mutex<Rollouts>,
    pub(crate) drivers: Mutex<DriversSeen>,
    pub(crate) flags: Flags,
    /// The reports from elsewhere that were heard lately.
    pub(crate) heard: Mutex<Heard>,
    /// What is judged cannot be written down.
    pub(crate) state_failing: AtomicBool,
    /// Who writes down what was judged, if anybody does.
    pub(crate) keeper: OnceLock<Thread>,
    /// The socket of the port for operators, for a process that takes over.
    pub(crate) admin: OwnedFd,
    /// What that port shows, if it speaks TLS.
    admin_tls: Option<Arc<Acceptor>>,
    /// Set to close that port.
    admin_closed: watch::Sender<bool>,
    /// What the judge says, for those who listen.
    pub(crate) judged: watch::Sender<Arc<Judged>>,
    pub(crate) memory: memory::Watch,
}

/// How an instance comes to be.
#[derive(Debug, Default)]
pub(crate) struct Beginning {
    /// What it was given at its start.
    pub(crate) inheritance: Inheritance,
    /// How it is started once more, for an upgrade.
    pub(crate) program: Option<Program>,
    pub(crate) supervisor: Supervisor,
    /// Where the supervisor wants state to be kept.
    pub(crate) state_directory: Option<PathBuf>,
}

impl Instance {
    /// Starts everything that `config` says. When this returns, every address is listened on and carries traffic, and
    /// a predecessor has left. `file` is what a reload reads again, `out` where the log goes.
    ///
    /// # Errors
    /// An address, certificate or token cannot be used, or the system has no thread to give; nothing runs then.
    pub(crate) fn start(
        config: Config,
        file: Option<PathBuf>,
        out: impl std::io::Write + Send + 'static,
        beginning: Beginning,
    ) -> anyhow::Result<Self> {
        let Beginning {
            mut inheritance,
            program,
            supervisor,
            state_directory,
        } = beginning;
        let control = control_runtime()?;
        let env = Env::real();
        let (journal, writer) = open_journal(&env, &config, out)?;
        let asked = control.block_on(open_flags(&config, &mut inheritance))?;
        let (admin, (gateway, seats, events)) =
            control.block_on(open_ports(env, &config, &mut inheritance))?;
        gateway.give_back_by(allocator::give_back);
        let _inside = control.enter();
        let collector = collector(&config, &gateway)?;
        let meter = meter(collector.as_ref(), &gateway, &journal);
        let points = meter.as_ref().map(Meter::counts);
        let state = config.state_place(file.as_deref(), state_directory.as_deref());
        let name = named(&gateway);
        let flags = Flags::opened(&asked, config.flags.as_ref())?;
        let (telemetry, told) =
            Telemetry::start(gateway.env(), journal.clone(), events, collector.as_ref(), points);
        let parts = Arc::new(Parts {
            telemetry,
            reloader: Reloader::new(file, config, gateway.clone(), journal.clone(), supervisor.clone()),
            upgrader: Upgrader::new(program),
            supervisor,
            history: Mutex::default(),
            judging: Mutex::new(Judging::new(state.as_ref().map(|_| name.clone()))),
            record: record(&name, state.is_some()),
            desk: Arc::default(),
            watching: Mutex::default(),
            rollouts: Mutex::default(),
            drivers: Mutex::default(),
            flags,
            heard: Mutex::default(),
            state_failing: AtomicBool::new(false),
            keeper: OnceLock::new(),
            admin: admin
                .descriptor()
                .context("keeping the admin port for a later upgrade")?,
            admin_tls: admin.tls(),
            admin_closed: watch::Sender::new(false),
            judged: watch::Sender::default(),
            memory: memory::Watch::default(),
            gateway,
            journal,
        });
        let keeper = state.map(|place| Keeper::start(place, &parts)).transpose()?;
        control.block_on(parts.hear_versions());
        parts.serve_flags(asked);
        let (cores, drivers) = parts.begin(seats, inheritance.predecessor.take())?;
        let admin_address = admin.address();
        parts.tell_addresses(&inheritance, admin_address);
        let meter = meter.map(|meter| start_meter(meter, &parts));
        let admin_ended = parts.serve_operators(admin);
        parts.supervisor.ready("serving");
        parts.watch_cores();
        Ok(Self {
            control,
            cores,
            writer,
            told,
            meter,
            keeper,
            drivers,
            admin_address,
            admin_ended,
            parts,
        })
    }

    /// Waits until the gateway has drained, by a signal or by [`Gateway::drain`], and what was told is written.
    ///
    /// # Errors
    /// A core ended by a panic.
    pub(crate) fn wait(self) -> anyhow::Result<()> {
        let ended: Vec<_> = self.cores.into_iter().map(JoinHandle::join).collect();
        // Nothing is under way at what it has started.
        drop(self.drivers);
        // What the cores told last is still on its way to the log and the collector.
        self.parts.gateway.stop_telling();
        // What was counted last is judged, and written down.
        self.parts.judge();
        drop(self.keeper);
        let (told, meter) = (self.told, self.meter);
        self.parts.admin_closed.send_replace(true);
        let telling = async {
            // Side by side: a collector that takes no spans may well take metrics.
            tokio::join!(
                told.wait(),
                async {
                    if let Some(meter) = meter {
                        meter.finish().await;
                    }
                },
                // Whoever asked for the end is to have an answer.
                async { _ = self.admin_ended.await },
            );
        };
        let told = self
            .control
            .block_on(async { tokio::time::timeout(TELLING_MAX, telling).await });
        if told.is_err() {
            self.parts.journal.warn("not everything could be told", &[]);
        }
        self.parts.journal.info("stopped", &[]);
        self.control.shutdown_timeout(Duration::from_secs(1));
        drop(self.parts);
        self.writer.finish();
        anyhow::ensure!(ended.iter().all(Result::is_ok), "a core ended by a panic");
        Ok(())
    }

    /// Where operators look.
    pub(crate) fn admin_address(&self) -> String {
        self.admin_address.to_string()
    }

    /// Runs a future on the control runtime to its end.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.control.block_on(future)
    }
}

impl Parts {
    /// Starts everything that runs, and then carries traffic: at once, or when a predecessor leaves it to this process.
    ///
    /// # Errors
    /// The system has no thread to give.
    fn begin(
        self: &Arc<Self>,
        seats: Vec<CoreSeat>,
        predecessor: Option<Predecessor>,
    ) -> anyhow::Result<(Vec<JoinHandle<()>>, Drivers)> {
        let _starting = self.upgrader.starting();
        self.start_tasks();
        let cores = start_cores(seats)?;
        if let Some(predecessor) = predecessor {
            predecessor.take_over();
        }
        cores.go.send_replace(true);
        Ok((cores.threads, Drivers::start(self)?))
    }

    /// Waits until it is known which versions there are, so that the first request goes where all others go; and no longer
    /// than for a disk. Without that, everything begins as the file says.
    async fn hear_versions(&self) {
        let env = self.gateway.env();
        let begun = env.now();
        while self.record.read(|state| !state.is_whole) && env.now().since(begun) < HEARD_WITHIN {
            if let Some(keeper) = self.keeper.get() {
                keeper.unpark();
            }
            env.sleep(HEARD_EVERY).await;
        }
        rollout::run_once(self).await;
    }

    /// Everything that runs beside the traffic, and how often.
    fn start_tasks(self: &Arc<Self>) {
        let env = self.gateway.env().clone();
        self.every(Duration::from_millis(250), |parts| parts.gateway.sweep_outliers());
        self.every(Duration::from_secs(1), Self::remember);
        self.every(JUDGE_EVERY, Self::judge);
        self.every(Duration::from_secs(1), Self::tell_people);
        self.every(Duration::from_secs(5), |parts| parts.gateway.learn_times());
        self.every(Duration::from_secs(5), Self::renew_certificates);
        let parts = Arc::clone(self);
        env.spawn(async move {
            let Parts { gateway, .. } = &*parts;
            let mut processors = Processors::new(gateway.cores(), gateway.env().now());
            loop {
                // Often enough to know of full cores before a limit is moved for it.
                gateway.env().sleep(Duration::from_millis(100)).await;
                gateway.tick_admission(processors.in_use(gateway.env().now()));
            }
        });
        let parts = Arc::clone(self);
        env.spawn(async move {
            loop {
                let pause = parts.memory.run_once(&parts.gateway, &parts.journal);
                parts.gateway.env().sleep(pause).await;
            }
        });
        let parts = Arc::clone(self);
        env.spawn(async move {
            loop {
                rollout::run_once(&parts).await;
                parts.gateway.env().sleep(LOOKS_EVERY).await;
            }
        });
        let gateway = self.gateway.clone();
        env.spawn(async move { gateway.check_health().await });
        let gateway = self.gateway.clone();
        env.spawn(async move { gateway.watch_names().await });
        let Some(signals) = signals::listen() else {
            let message = "signals cannot be heard: end this process by the admin port, or with SIGKILL";
            return self.journal.error(message, &[]);
        };
        let parts = Arc::clone(self);
        env.spawn(async move { signals.obey(&parts).await });
    }

    /// Tells the supervisor that the cores turn, for as long as they do. One that is stuck is for it to end.
    fn watch_cores(self: &Arc<Self>) {
        let Some(limit) = self.supervisor.watchdog() else {
            return;
        };
        let parts = Arc::clone(self);
        self.gateway.env().spawn(async move {
            loop {
                if parts.gateway.turns_within((limit / 2).max(STUCK)) {
                    parts.supervisor.alive();
                }
                parts.gateway.env().sleep(limit / 2).await;
            }
        });
    }

    /// Answers those who ask for flags, until the ports are closed.
    fn serve_flags(self: &Arc<Self>, listeners: Vec<(SocketAddr, TcpListener)>) {
        self.flags.refresh(self);
        let config = Arc::new(self.flags.port(self.gateway.env()));
        for (_, listener) in listeners {
            let address = listener
                .local_addr()
                .map_or_else(|_| "?".to_owned(), |at| at.to_string());
            self.journal
                .info("services may ask for flags", &[("address", address.into())]);
            let serve = port::serve(listener, Arc::clone(&config), self.admin_closed.subscribe());
            self.gateway.env().spawn(serve);
        }
    }

    /// Answers operators, until the port is closed; then the receiver hears of it.
    fn serve_operators(self: &Arc<Self>, admin: Admin) -> oneshot::Receiver<()> {
        let env = self.gateway.env();
        let operators = Operators(Arc::clone(self));
        let serve = admin.serve(env.clone(), operators, self.admin_closed.subscribe());
        let (tell, ended) = oneshot::channel();
        env.spawn(async move {
            serve.await;
            // The instance may be on its way out already.
            _ = tell.send(());
        });
        ended
    }

    /// Runs `work` again and again. It must not block: it has a thread that others need.
    fn every(self: &Arc<Self>, pause: Duration, work: fn(&Self)) {
        let parts = Arc::clone(self);
        self.gateway.env().spawn(async move {
            loop {
                work(&parts);
                parts.gateway.env().sleep(pause).await;
            }
        });
    }

    fn remember(&self) {
        let now = self.gateway.env().now();
        let series = self.gateway.ledger().snapshot();
        let minute = self.gateway.env().wall().as_secs() / 60;
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        watching.spread.note(minute, &series);
        watching.heat.note(minute, &series);
        drop(watching);
        self.history
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remember(now, series);
    }

    /// Judges what was counted since the last time, and does what follows from it.
    fn judge(&self) {
        let (asked, running) = (self.reloader.asked(), self.gateway.running());
        let wall = self.gateway.env().wall();
        let judging = || self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let (readings, watched) = {
            let mut judging = judging();
            let objectives = (&*asked.objectives, &*running.objectives);
            let watched = (&*asked.watched, &*running.watched);
            judging.run_once(&[objectives, watched], wall);
            self.record.read(|state| judging.correct(&state.corrections));
            (judging.reading(&asked.ladder), judging.watched())
        };
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
        if self.judged.receiver_count() > 0 {
            self.judged.send_replace(Arc::new(Judged::of(&readings)));
        }
        let mut watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        watching.run_once(self, (&readings, &watched), |name| judging().began(name));
    }

    /// How long the requests of an objective took in the last hour.
    pub(crate) fn latencies(&self, objective: &str) -> Option<Latencies> {
        let running = self.gateway.running();
        let mut plans = running.plan.objectives.iter();
        let plan = plans.find(|plan| *plan.name == *objective)?;
        let series = self.gateway.ledger().snapshot();
        let watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Latencies {
            minutes: watching.heat.of(&series, |key| counts_for(plan, key)),
            limit_ms: plan.latency_max().map(|limit| limit.as_millis() as u64),
            examples: examples(self, plan),
        })
    }

    /// How what counts for an objective was made up in the last hour.
    pub(crate) fn breakdown(&self, objective: &str) -> Vec<Part> {
        let running = self.gateway.running();
        let mut plans = running.plan.objectives.iter();
        let Some(plan) = plans.find(|plan| *plan.name == *objective) else {
            return Vec::new();
        };
        let hour_ago = (self.gateway.env().wall().as_secs() / 60).saturating_sub(60);
        let watching = self.watching.lock().unwrap_or_else(PoisonError::into_inner);
        watching.spread.breakdown(plan, hour_ago)
    }

    /// Sends what people are to be told.
    fn tell_people(&self) {
        let alerts = self.reloader.asked().alerts;
        let office = Office {
            env: self.gateway.env().clone(),
            journal: self.journal.clone(),
            record: Arc::clone(&self.record),
            desk: Arc::clone(&self.desk),
        };
        office.run_once(&alerts);
        // Somebody else calls for help if this process judges no more, or its cores are stuck.
        if self.gateway.turns_within(STUCK) && self.judged_within(STUCK) {
            office.beat(&alerts);
        }
    }

    /// Whether the judge was at work in the last so long.
    fn judged_within(&self, limit: Duration) -> bool {
        let judging = self.judging.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = self.gateway.env().wall();
        judging
            .latest()
            .is_none_or(|at| wall.as_secs().saturating_sub(at.0) <= limit.as_secs())
    }

    fn renew_certificates(&self) {
        let ours = self.admin_tls.as_ref().and_then(|tls| match tls.reload() {
            Ok(false) => None,
            Ok(true) => Some(("port", "admin".into(), Ok(()))),
            Err(error) => Some(("port", "admin".into(), Err(error))),
        });
        let theirs = self.gateway.reload_certificates();
        let theirs = theirs
            .into_iter()
            .map(|renewal| (renewal.of, renewal.name, renewal.result));
        for (of, name, result) in theirs.chain(ours) {
            let whose = (of, Value::from(&*name));
            match result {
                Ok(()) => self.journal.info("certificate renewed", &[whose]),
                Err(error) => {
                    let error = format!("{:#}", anyhow::Error::new(error));
                    self.journal.error(
                        "certificate not renewed",
                        &[whose, ("error", Value::from(&*error))],
                    );
                }
            }
        }
    }

    /// What was given at the start and is of no use: whoever passed it meant something by it.
    fn tell_inheritance(&self, inheritance: &Inheritance) {
        for why in &inheritance.unfit {
            self.journal.warn(
                "a descriptor that was passed cannot be used",
                &[("cause", Value::from(&**why))],
            );
        }
        for (name, address) in inheritance.listeners.left_over() {
            let whose = [("name", Value::from(&*name)), ("address", Value::from(&*address))];
            self.journal
                .warn("a socket that was passed is no listener's, and is closed", &whose);
        }
    }

    fn tell_addresses(&self, inheritance: &Inheritance, admin: SocketAddr) {
        for (name, address) in self.gateway.addresses() {
            let address = address.map_or_else(|| "a Unix socket".to_owned(), |address| address.to_string());
            self.journal.info(
                "listening",
                &[
                    ("listener", Value::from(&*name)),
                    ("address", Value::from(&*address)),
                ],
            );
        }
        self.tell_inheritance(inheritance);
        let address = ("address", admin.to_string().into());
        self.journal.info("operators may ask", &[address]);
    }

    /// What is configured, with the versions that deploys have brought.
    pub(crate) fn composed(&self, plan: Plan, file: FileRead<'_>) -> Plan {
        self.record
            .read(|state| versions::compose(plan, &state.changes, file))
    }

    /// Reads the configuration again; what that changes is remembered, for whoever looks for a cause.
    pub(crate) async fn reload(&self) -> Reloaded {
        let reloaded = self.reloader.reload(|plan, file| self.composed(plan, file)).await;
        // Before it can be edited once more.
        rollout::yield_to_file(self);
        if let Some(what) = Reloader::changed(&reloaded) {
            self.record
                .say(self.gateway.env().wall(), None, Said::Changed { what });
        }
        reloaded
    }

    /// Takes no new work, finishes what there is.
    pub(crate) fn drain(&self) {
        if *self.gateway.phase().borrow() == Phase::Serving {
            self.journal.info("draining", &[]);
            self.supervisor.stopping();
            self.gateway.drain();
        }
    }

    /// Another process has all sockets: what is under way here is finished, and operators ask there.
    pub(crate) fn hand_over(&self, pid: u32) {
        self.upgrader.handed_over();
        let pid = pid.to_string();
        self.journal
            .info("handed over, draining", &[("pid", Value::from(&*pid))]);
        self.admin_closed.send_replace(true);
        self.gateway.drain();
    }
}
