//! The gateway as its owner sees it: build it from a plan, start its cores, apply other plans, drain it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plimsoll_slo::Instant;
use tokio::sync::{mpsc, watch};

use crate::connection::{self, Counted};
use crate::env::{Accepted, Bound, Env, Listening};
use crate::event::{Event, Teller};
use crate::inherited::{Handed, Inherited, spread};
use crate::journeys::{JoinReading, Journeys};
use crate::ledger::Ledger;
use crate::memory::{self, Memory};
use crate::percore::{Core, World};
use crate::places::Places;
use crate::plan::Plan;
use crate::reconcile::names;
use crate::running::{ApplyError, Listener, Running};
use crate::versioned::Versioned;
use crate::wire::Order;

/// What all cores share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) running: Versioned<Running>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) journeys: Arc<Journeys>,
    /// Taken when there is nothing more to tell, so that whoever hears knows it.
    teller: Mutex<Option<Teller>>,
    events_dropped: Arc<AtomicU64>,
    memory: Memory,
    phase: watch::Sender<Phase>,
    cores: usize,
    /// When each core turned last, in nanoseconds on the monotonic clock.
    pub(crate) turned: Vec<AtomicU64>,
    mailboxes: Mutex<Vec<mpsc::Sender<Mail>>>,
    places: Mutex<Places>,
}

impl Shared {
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The sending end of the queue of events, for a core.
    pub(crate) fn teller(&self) -> Option<Teller> {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether the gateway takes traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does.
    Serving,
    /// It finishes what is under way; nothing new is accepted.
    Draining,
    /// It has stopped.
    Stopped,
}

/// What a core is told.
enum Mail {
    /// Accept on this socket too, for the listener of this name.
    Listen(Arc<str>, Bound),
    /// Stop accepting for the listener of this name, and drain its connections.
    Leave(Arc<str>),
    /// These listeners go by other names from now on: old and new.
    Rename(Arc<[Renamed]>),
}

/// The old and the new name of a listener that keeps its address, and so its sockets: whoever is in their queues would
/// be hung up on otherwise.
pub(crate) type Renamed = (Arc<str>, Arc<str>);

/// Letters that may wait for a core: a reload sends one per listener that changed.
const MAILBOX: usize = 256;

/// The data plane. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    env: Env,
    shared: Arc<Shared>,
}

/// A core that is to be run on a thread of its own, inside a single-threaded runtime: see [`CoreSeat::run`].
pub struct CoreSeat {
    env: Env,
    shared: Arc<Shared>,
    index: usize,
    mail: mpsc::Receiver<Mail>,
}

impl Gateway {
    /// Builds a gateway for `plan` with so many cores, and binds its addresses. Nothing is accepted until the seats
    /// are run.
    ///
    /// # Errors
    /// [`ApplyError`] when the plan cannot be brought to life; nothing is left bound then.
    pub async fn build(
        env: Env,
        plan: Plan,
        cores: usize,
    ) -> Result<(Self, Vec<CoreSeat>, mpsc::Receiver<Box<Event>>), ApplyError> {
        Self::build_on(env, plan, cores, &mut Inherited::default()).await
    }

    /// As [`Gateway::build`], on sockets that this process was given where they fit; they are taken out.
    ///
    /// # Errors
    /// [`ApplyError`] when the plan cannot be brought to life; nothing is left bound then.
    pub async fn build_on(
        env: Env,
        plan: Plan,
        cores: usize,
        inherited: &mut Inherited,
    ) -> Result<(Self, Vec<CoreSeat>, mpsc::Receiver<Box<Event>>), ApplyError> {
        let ledger = Arc::new(Ledger::new(cores));
        let running = Running::build(plan, &env, &ledger, cores, None)?;
        let (teller, events, events_dropped) = Teller::new();
        let mut mailboxes = Vec::new();
        let mut letters = Vec::new();
        for _ in 0..cores {
            let (sender, receiver) = mpsc::channel(MAILBOX);
            mailboxes.push(sender);
            letters.push(receiver);
        }
        let shared = Arc::new(Shared {
            journeys: Arc::default(),
            running: Versioned::new(running),
            ledger,
            teller: Mutex::new(Some(teller)),
            events_dropped,
            memory: Memory::default(),
            phase: watch::Sender::new(Phase::Serving),
            cores,
            turned: (0..cores).map(|_| AtomicU64::new(env.now().as_nanos())).collect(),
            mailboxes: Mutex::new(mailboxes),
            places: Mutex::default(),
        });
        let gateway = Self {
            env: env.clone(),
            shared: Arc::clone(&shared),
        };
        let running = gateway.running();
        let bound = gateway.bind_new(&running, &[], inherited).await?;
        running.take_over();
        names::resolve(&env, &running.upstreams).await;
        gateway.hand_out(bound).await;
        let seat = |(index, mail)| CoreSeat {
            env: env.clone(),
            shared: Arc::clone(&shared),
            index,
            mail,
        };
        let seats = letters.into_iter().enumerate().map(seat).collect();
        Ok((gateway, seats, events))
    }

    /// What runs now.
    pub fn running(&self) -> Arc<Running> {
        self.shared.running.load().1
    }

    /// The counters.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.shared.ledger
    }

    /// How calls of services found the requests that they are made for.
    pub fn joins(&self) -> JoinReading {
        self.shared.journeys.reading()
    }

    /// The world it runs in.
    pub fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn memory(&self) -> &Memory {
        self.shared.memory()
    }

    /// Events that were not told because the queue was full.
    pub fn events_dropped(&self) -> u64 {
        self.shared.events_dropped.load(Relaxed)
    }

    /// Lets the queue of events end once every core has ended. Called when their seats have returned.
    pub fn stop_telling(&self) {
        *self.shared.teller.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Cores that carry traffic.
    pub fn cores(&self) -> usize {
        self.shared.cores
    }

    /// Whether every core has gone round its loop within this time. They do once a second, however little there is to
    /// do; one that is stuck does not, nor one that has ended.
    pub fn turns_within(&self, time: Duration) -> bool {
        let since = self.env.now().as_nanos().saturating_sub(time.as_nanos() as u64);
        self.shared
            .turned
            .iter()
            .all(|turned| turned.load(Relaxed) >= since)
    }

    /// Whether it takes traffic; the receiver hears of changes.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.shared.phase.subscribe()
    }

    /// Listeners and the addresses they are bound to; `None` for Unix sockets.
    pub fn addresses(&self) -> Vec<(Arc<str>, Option<std::net::SocketAddr>)> {
        self.places().addresses()
    }

    /// Descriptors of all sockets that it listens on, for a process that is to take over. A listener has none once a
    /// core has ended.
    ///
    /// # Errors
    /// The system has no descriptor to give.
    pub fn sockets(&self) -> std::io::Result<Vec<Handed>> {
        self.places().handed()
    }

    /// Replaces the plan: all of it or nothing. State is kept for whatever goes on; a listener whose address changed
    /// is bound anew before the old one is left.
    ///
    /// # Errors
    /// [`ApplyError`]; what ran before runs on then.
    pub async fn apply(&self, plan: Plan) -> Result<Arc<Running>, ApplyError> {
        let old = self.running();
        let new = Running::build(
            plan,
            &self.env,
            &self.shared.ledger,
            self.shared.cores,
            Some(&old),
        )?;
        let renamed = self.places().renamed(&new.listeners);
        let bound = self.bind_new(&new, &renamed, &mut Inherited::default()).await?;
        names::resolve(&self.env, &new.upstreams).await;
        new.take_over();
        let new = Arc::new(new);
        self.shared.running.store(Arc::clone(&new));
        self.rename(&renamed).await;
        self.hand_out(bound).await;
        self.leave_old(&new).await;
        Ok(new)
    }

    async fn rename(&self, renamed: &Arc<[Renamed]>) {
        if renamed.is_empty() {
            return;
        }
        self.places().rename(renamed);
        for mailbox in self.mailboxes() {
            drop(mailbox.send(Mail::Rename(Arc::clone(renamed))).await);
        }
    }

    /// Binds every listener of `running` that is not bound yet, or takes what was inherited for it.
    async fn bind_new(
        &self,
        running: &Running,
        renamed: &[Renamed],
        inherited: &mut Inherited,
    ) -> Result<Vec<(Arc<Listener>, Vec<Bound>)>, ApplyError> {
        let is_new = |listener: &&Arc<Listener>| {
            let plan = &listener.plan;
            !self.places().has(&plan.name, &plan.address) && !renamed.iter().any(|(_, new)| *new == plan.name)
        };
        let new: Vec<_> = running.listeners.iter().filter(is_new).collect();
        let asked: Vec<_> = new
            .iter()
            .map(|listener| (&*listener.plan.name, &listener.plan.address))
            .collect();
        let mut fresh = Vec::new();
        for (listener, given) in new.iter().zip(inherited.take(&asked)) {
            let plan = &listener.plan;
            let cores = self.shared.cores;
            let sockets = if given.is_empty() {
                let ours = self.places().has_address(&plan.address);
                self.env.bind(&plan.address, cores, ours).await
            } else {
                spread(given, cores)
            };
            let sockets = sockets.map_err(|source| ApplyError::Bind {
                address: plan.address.to_string(),
                source,
            })?;
            fresh.push((Arc::clone(listener), sockets));
        }
        Ok(fresh)
    }

    /// Gives the cores the sockets of every fresh listener, in turn.
    async fn hand_out(&self, fresh: Vec<(Arc<Listener>, Vec<Bound>)>) {
        for (listener, sockets) in fresh {
            let plan = &listener.plan;
            if self.places().forget(&plan.name) {
                self.leave(&plan.name).await;
            }
            self.places().add(plan, &sockets);
            let mailboxes = self.mailboxes();
            for (mailbox, socket) in mailboxes.iter().cycle().zip(sockets) {
                // A core that is gone has no use for letters.
                drop(mailbox.send(Mail::Listen(Arc::clone(&plan.name), socket)).await);
            }
        }
    }

    async fn leave_old(&self, running: &Running) {
        let is_gone = |name: &Arc<str>| !running.listeners.iter().any(|l| l.plan.name == *name);
        let gone: Vec<_> = self.places().names().into_iter().filter(is_gone).collect();
        for name in gone {
            self.places().forget(&name);
            self.leave(&name).await;
        }
    }

    /// Has every core leave a listener.
    async fn leave(&self, name: &Arc<str>) {
        for mailbox in self.mailboxes() {
            drop(mailbox.send(Mail::Leave(Arc::clone(name))).await);
        }
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.shared.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mailboxes(&self) -> Vec<mpsc::Sender<Mail>> {
        self.shared
            .mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stops accepting and lets what is under way finish, for as long as the plan allows. The cores' seats return
    /// when they are done.
    pub fn drain(&self) {
        self.places().drop_spares();
        self.shared.phase.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::Draining;
            }
            serving
        });
    }

    /// Stops at once: what is under way is cut off.
    pub fn stop(&self) {
        self.places().drop_spares();
        self.shared.phase.send_replace(Phase::Stopped);
    }

    /// Open connections and the most there may be, by listener.
    pub fn connections(&self) -> Vec<(Arc<str>, u32, u32, u64)> {
        let running = self.running();
        let reading = |listener: &Arc<Listener>| {
            let counts = &listener.counts;
            let max = listener.plan.limits.connections;
            (
                Arc::clone(&listener.plan.name),
                counts.open.load(Relaxed),
                max,
                counts.refused.load(Relaxed),
            )
        };
        running.listeners.iter().map(reading).collect()
    }
}

impl std::fmt::Debug for CoreSeat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreSeat")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl CoreSeat {
    /// Which core this is, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Carries traffic until the gateway has drained. Must run inside a runtime (or local set) that can spawn local
    /// tasks.
    pub async fn run(mut self) {
        let core = Core::new(self.env.clone(), self.index, Arc::clone(&self.shared));
        let _ends = Ends(Arc::clone(&self.shared));
        let mut phase = self.shared.phase.subscribe();
        let mut accepting: Vec<(Name, watch::Sender<()>)> = Vec::new();
        let mut tick = core.env.now() + SWEEP;
        while *phase.borrow_and_update() == Phase::Serving {
            tokio::select! {
                biased;
                _ = phase.changed() => {}
                mail = self.mail.recv() => match mail {
                    Some(Mail::Listen(name, bound)) => accepting.extend(accept(&core, name, bound)),
                    Some(Mail::Leave(name)) => {
                        accepting.retain(|(known, _)| *known.borrow() != name);
                        core.retire_listener(&name);
                    }
                    Some(Mail::Rename(renamed)) => {
                        for (name, _) in &accepting {
                            follow(&renamed, &mut name.borrow_mut());
                        }
                        core.rename_listeners(|name| follow(&renamed, name));
                    }
                    None => break,
                },
                () = core.env.sleep_until(tick) => {
                    core.sweep();
                    tick = core.env.now() + SWEEP;
                }
            }
        }
        drop(accepting);
        core.finish(&mut phase).await;
    }
}

/// A core that is gone, by a panic too, accepts no more. A spare descriptor would keep its sockets open, and whom the
/// kernel sends there waiting for nobody.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        let places = self.0.places.lock();
        places.unwrap_or_else(PoisonError::into_inner).drop_spares();
    }
}

/// How often a core looks for what is idle or slow.
const SWEEP: Duration = Duration::from_secs(1);

/// The name of a listener, as its core knows it now.
type Name = Rc<RefCell<Arc<str>>>;

/// Takes over the new name, if this is an old one.
pub(crate) fn follow(renamed: &[Renamed], name: &mut Arc<str>) {
    if let Some((_, new)) = renamed.iter().find(|(old, _)| *old == *name) {
        *name = Arc::clone(new);
    }
}

/// Starts accepting on a socket, until the returned sender is dropped.
fn accept(core: &Rc<Core>, name: Arc<str>, bound: Bound) -> Option<(Name, watch::Sender<()>)> {
    let listening = bound.listen().ok()?;
    let (stop, stopped) = watch::channel(());
    let view = core.view();
    let world = view
        .running
        .listener(&name)
        .map(|listener| World { view, listener });
    let name = Rc::new(RefCell::new(name));
    core.env.spawn_local(accept_loop(
        Rc::clone(core),
        Rc::clone(&name),
        world,
        listening,
        stopped,
    ));
    Some((name, stop))
}

async fn accept_loop(
    core: Rc<Core>,
    name: Name,
    mut world: Option<World>,
    mut listening: Listening,
    mut stopped: watch::Receiver<()>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            accepted = listening.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => admit(&core, &name.borrow(), &mut world, accepted),
            // Out of file descriptors or memory, or the peer was gone at once. Accepting again at once would spin.
            Err(_) => core.env.sleep(ACCEPT_PAUSE).await,
        }
    }
    // Whoever was let in by the kernel before is not hung up on: closing the socket would reset them. The runtime
    // hears of them when it looks at its sockets, which it does before this task goes on.
    tokio::task::yield_now().await;
    loop {
        tokio::select! {
            biased;
            Ok(accepted) = listening.accept() => admit(&core, &name.borrow(), &mut world, accepted),
            () = std::future::ready(()) => return,
        }
    }
}

/// How long accepting rests after it failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Begins to serve a connection. `last` is the world of the one before: a listener that a reload has just removed, or
/// given another name, serves who comes before its socket is closed in the last world that it was in.
fn admit(core: &Rc<Core>, name: &str, last: &mut Option<World>, accepted: Accepted) {
    let view = core.view();
    if let Some(listener) = view.running.listener(name) {
        *last = Some(World { view, listener });
    }
    let Some(world) = last.clone() else {
        return;
    };
    let listener = Arc::clone(world.listener());
    let admitted = if memory::admits_connections(core) {
        Counted::one_more(&listener).ok_or(connection::TOO_MANY)
    } else {
        Err(memory::NO_CONNECTION)
    };
    match admitted {
        Ok(counted) => core
            .env
            .spawn_local(connection::serve(Rc::clone(core), world, accepted, counted)),
        Err(refusal) => {
            listener.counts.refused.fetch_add(1, Relaxed);
            connection::turn_away(core, world, accepted, refusal);
        }
    }
}

impl Core {
    /// Lets connections finish, then cuts off what is left.
    ///
    /// HTTP/2 says by itself what it still takes. HTTP/1 has only its answers to say so, so an idle connection is left
    /// open for one more for a while: closed at once, it would fail whoever is about to send.
    async fn finish(self: &Rc<Self>, phase: &mut watch::Receiver<Phase>) {
        self.draining.store(true, Relaxed);
        self.order_all(Order::Retire);
        let began = self.env.now();
        let (idle_end, end) = {
            let plan = &self.shared.running.load().1.plan;
            (began + plan.drain_idle, began + plan.drain_max)
        };
        let mut swept = began;
        while self.connections() > 0 && *phase.borrow_and_update() != Phase::Stopped && self.env.now() < end {
            if self.env.now() >= idle_end {
                self.order_all(Order::Drain);
            }
            if self.env.now() - swept >= SWEEP {
                swept = self.env.now();
                self.sweep();
            }
            tokio::select! {
                biased;
                _ = phase.changed() => {}
                () = self.env.sleep(DRAIN_LOOK) => {}
            }
        }
        self.part(phase).await;
        self.cutting.set(true);
        self.order_all(Order::Close);
        // One more turn of the loop, so that the connections' tasks hear of it.
        let grace: Instant = self.env.now() + DRAIN_LOOK;
        self.env.sleep_until(grace).await;
    }

    /// Tells what would not end by itself that it ends.
    async fn part(&self, phase: &mut watch::Receiver<Phase>) {
        self.order_all(Order::Part);
        let end = self.env.now() + PARTING;
        while self.connections() > 0 && *phase.borrow_and_update() != Phase::Stopped && self.env.now() < end {
            tokio::select! {
                biased;
                _ = phase.changed() => {}
                () = self.env.sleep(DRAIN_LOOK) => {}
            }
        }
    }
}

/// How long those who are told that it ends may take to answer. It comes on top of what a drain may take.
const PARTING: Duration = Duration::from_secs(1);

/// How often a draining core looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(20);
