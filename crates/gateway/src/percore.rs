//! One core: what its thread owns, and what it shares with the others.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use plimsoll_policy::{MemoryLevel, SeededDice, pick};
use plimsoll_slo::Instant;

use crate::env::Env;
use crate::event::Teller;
use crate::gateway::Shared;
use crate::http1::Scratch;
use crate::ledger::Shard;
use crate::memory;
use crate::pool::CoreEndpoint;
use crate::running::{Listener, Running};
use crate::upstream::Upstream;
use crate::wire::{Order, Wire};

/// What one core's thread owns. Everything in it is single-threaded.
pub(crate) struct Core {
    pub(crate) env: Env,
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: Arc<Shard>,
    teller: Option<Teller>,
    pub(crate) dice: RefCell<SeededDice>,
    pub(crate) scratch: Rc<Scratch>,
    /// The time for `Date`, as of the last sweep.
    date: Cell<[u8; 29]>,
    view: RefCell<Rc<View>>,
    seen: Cell<u64>,
    /// In the order of their numbers: a drain tells them one after the other.
    connections: RefCell<BTreeMap<u64, Tracked>>,
    next_connection: Cell<u64>,
    pub(crate) draining: AtomicBool,
    /// What is still under way is cut off.
    pub(crate) cutting: Cell<bool>,
    /// Connections that are being turned away.
    pub(crate) turning_away: Cell<u32>,
}

/// What runs, as this core sees it: the shared world with this core's pools beside it.
pub(crate) struct View {
    pub(crate) running: Arc<Running>,
    /// In the order of the plan's upstreams.
    pub(crate) upstreams: Vec<Rc<CoreUpstream>>,
}

/// The world that a request lives in: what ran when its head came, and its listener there.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) view: Rc<View>,
    /// Index into the listeners of the view.
    pub(crate) listener: usize,
}

impl World {
    pub(crate) fn listener(&self) -> &Arc<Listener> {
        &self.view.running.listeners[self.listener]
    }
}

/// This core's side of an upstream.
pub(crate) struct CoreUpstream {
    pub(crate) shared: Arc<Upstream>,
    endpoints: RefCell<(u64, Rc<[Rc<CoreEndpoint>]>)>,
    core: usize,
}

/// A connection as the sweep sees it.
struct Tracked {
    wire: Rc<Wire>,
    /// The name of the listener that accepted it.
    listener: Arc<str>,
    heads: u32,
    /// Since when nothing has been under way and nothing new has come.
    quiet_since: Instant,
    /// Since when a head has been coming in.
    head_since: Option<Instant>,
    head_time: std::time::Duration,
    idle_time: std::time::Duration,
    /// The stall that the last sweep saw, and since when.
    stall: Option<(u32, Instant)>,
    /// When it is no longer waited for, if it is to go.
    retires: Option<Instant>,
    stream_idle: std::time::Duration,
}

impl Core {
    pub(crate) fn new(env: Env, index: usize, shared: Arc<Shared>) -> Rc<Self> {
        let (version, running) = shared.running.load();
        let view = View::build(running, index, None);
        Rc::new(Self {
            shard: shared.ledger.shard(index),
            teller: shared.teller(),
            dice: RefCell::new(env.dice()),
            scratch: Rc::default(),
            date: Cell::new(date(&env)),
            view: RefCell::new(Rc::new(view)),
            seen: Cell::new(version),
            connections: RefCell::default(),
            next_connection: Cell::new(0),
            draining: AtomicBool::new(false),
            cutting: Cell::new(false),
            turning_away: Cell::new(0),
            env,
            index,
            shared,
        })
    }

    /// What runs now.
    pub(crate) fn view(&self) -> Rc<View> {
        if self.shared.running.version() != self.seen.get() {
            let (version, running) = self.shared.running.load();
            self.seen.set(version);
            let old = Rc::clone(&self.view.borrow());
            *self.view.borrow_mut() = Rc::new(View::build(running, self.index, Some(&old)));
        }
        Rc::clone(&self.view.borrow())
    }

    /// The time as `Date` has it (RFC 9110 §5.6.7), right to a second or two.
    pub(crate) fn date(&self) -> [u8; 29] {
        self.date.get()
    }

    /// Tells of a request.
    pub(crate) fn tell(&self, event: crate::event::Event) {
        if let Some(teller) = &self.teller {
            teller.tell(Box::new(event));
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Says that this core goes round.
    pub(crate) fn turn(&self) {
        self.shared.turned[self.index].store(self.env.now().as_nanos(), Relaxed);
    }

    /// What may come in, by the memory that is held.
    pub(crate) fn memory_level(&self) -> MemoryLevel {
        self.shared.memory().level()
    }

    /// Watches a connection until the returned guard is dropped. One that `leaves` was let in while its listener went.
    pub(crate) fn track(
        self: &Rc<Self>,
        wire: &Rc<Wire>,
        plan: &crate::plan::ListenerPlan,
        leaves: bool,
    ) -> Tracking {
        let id = self.next_connection.get();
        self.next_connection.set(id + 1);
        let mut tracked = Tracked {
            wire: Rc::clone(wire),
            listener: Arc::clone(&plan.name),
            heads: 0,
            quiet_since: self.env.now(),
            head_since: None,
            head_time: plan.limits.head_time,
            idle_time: plan.limits.idle_time,
            stall: None,
            retires: None,
            stream_idle: plan.limits.stream_idle,
        };
        if leaves {
            tracked.retire(self.retirement());
        }
        self.connections.borrow_mut().insert(id, tracked);
        Tracking {
            core: Rc::clone(self),
            id,
        }
    }

    /// Connections this core holds.
    pub(crate) fn connections(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Tells every connection to drain, or to close.
    pub(crate) fn order_all(&self, order: Order) {
        self.connections
            .borrow()
            .values()
            .for_each(|tracked| tracked.wire.give_order(order));
    }

    /// Tells the connections of one listener that the next request is the last, and the sweep to drain them later.
    pub(crate) fn retire_listener(&self, name: &str) {
        let when = self.retirement();
        let mut connections = self.connections.borrow_mut();
        let of_listener = connections
            .values_mut()
            .filter(|tracked| *tracked.listener == *name);
        of_listener.for_each(|tracked| tracked.retire(when));
    }

    /// When a connection that is to go now is no longer waited for.
    fn retirement(&self) -> Instant {
        self.env.now() + self.view().running.plan.drain_idle
    }

    /// Tells connections what their listener is called now.
    pub(crate) fn rename_listeners(&self, rename: impl Fn(&mut Arc<str>)) {
        let mut connections = self.connections.borrow_mut();
        connections
            .values_mut()
            .for_each(|tracked| rename(&mut tracked.listener));
    }

    /// Refuses heads that are too slow, closes what is idle, and drops idle upstream connections that are too old.
    /// Called every second, so every limit holds to a second.
    pub(crate) fn sweep(&self) {
        let now = self.env.now();
        self.turn();
        self.date.set(date(&self.env));
        let idle_max = if memory::admits_connections(self) {
            std::time::Duration::MAX
        } else {
            memory::IDLE_MAX
        };
        for tracked in self.connections.borrow_mut().values_mut() {
            tracked.sweep(now, idle_max);
        }
        for upstream in &self.view().upstreams {
            for endpoint in upstream.endpoints().iter() {
                endpoint.sweep(now, upstream.shared.plan.idle_time.min(idle_max));
            }
        }
        if !memory::admits_connections(self) {
            self.shared.memory().give_back();
        }
    }
}

/// The time in the fixed length that `Date` has.
fn date(env: &Env) -> [u8; 29] {
    let text = httpdate::fmt_http_date(std::time::UNIX_EPOCH + env.wall());
    text.as_bytes().try_into().unwrap_or([b' '; 29])
}

/// How long an idle connection may take to drain. HTTP/2 waits for its peer to confirm, and a peer that is gone never
/// does.
const DRAIN_GRACE: std::time::Duration = std::time::Duration::from_secs(5);

impl Tracked {
    fn retire(&mut self, when: Instant) {
        self.retires = Some(when);
        self.wire.give_order(Order::Retire);
    }

    /// `idle_max` is for all connections, whatever their listener bears.
    fn sweep(&mut self, now: Instant, idle_max: std::time::Duration) {
        let idle_time = self.idle_time.min(idle_max);
        // A body that nobody reads is not asked for more, so it cannot see for itself that its time is over; and it
        // holds a permit and a connection of the upstream.
        self.stall = self.wire.stall().map(|stall| {
            let known = self.stall.filter(|(known, _)| *known == stall);
            known.unwrap_or((stall, now))
        });
        if self
            .stall
            .is_some_and(|(_, since)| now - since >= self.stream_idle)
        {
            self.wire.give_order(Order::Close);
        }
        if self.retires.is_some_and(|when| now >= when) {
            self.wire.give_order(Order::Drain);
        }
        self.wire.forgive_chatter();
        let heads = self.wire.heads();
        if self.wire.is_in_head() && heads == self.heads {
            let since = *self.head_since.get_or_insert(now);
            if now - since >= self.head_time {
                self.wire.give_up_head();
            }
        } else {
            self.head_since = None;
        }
        if self.wire.is_at_work() || heads != self.heads || self.wire.is_in_head() {
            self.heads = heads;
            self.quiet_since = now;
        } else if now - self.quiet_since >= idle_time + idle_time.min(DRAIN_GRACE) {
            self.wire.give_order(Order::Close);
        } else if now - self.quiet_since >= idle_time {
            self.wire.give_order(Order::Drain);
        }
    }
}

/// Ends the watch over a connection when it is dropped.
pub(crate) struct Tracking {
    core: Rc<Core>,
    id: u64,
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.core.connections.borrow_mut().remove(&self.id);
    }
}

impl View {
    fn build(running: Arc<Running>, core: usize, old: Option<&Self>) -> Self {
        let upstreams = running.upstreams.iter().map(|upstream| {
            // Pools go on, unless they were made by other rules.
            let kept = old.and_then(|old| old.upstreams.iter().find(|u| u.continues_as(upstream)));
            let endpoints = kept.map_or_else(
                || (0, Rc::from(Vec::new())),
                |kept| kept.endpoints.borrow().clone(),
            );
            Rc::new(CoreUpstream {
                shared: Arc::clone(upstream),
                endpoints: RefCell::new(endpoints),
                core,
            })
        });
        Self {
            upstreams: upstreams.collect(),
            running,
        }
    }
}

impl CoreUpstream {
    fn continues_as(&self, new: &Upstream) -> bool {
        let old = &self.shared.plan;
        Arc::ptr_eq(&self.shared.state, &new.state)
            && old.tls == new.plan.tls
            && old.protocol == new.plan.protocol
    }

    /// The endpoints as they are known now, with this core's pools.
    pub(crate) fn endpoints(&self) -> Rc<[Rc<CoreEndpoint>]> {
        let versioned = self.shared.state.endpoints_versioned();
        if versioned.version() != self.endpoints.borrow().0 {
            let (version, shared) = versioned.load();
            let old = Rc::clone(&self.endpoints.borrow().1);
            let rtt = self.shared.plan.balance.default_rtt;
            let fresh = shared.iter().map(|endpoint| {
                let kept = old.iter().find(|e| e.shared.id == endpoint.id);
                kept.map_or_else(
                    || Rc::new(CoreEndpoint::new(Arc::clone(endpoint), self.core, rtt)),
                    Rc::clone,
                )
            });
            let fresh: Rc<[_]> = fresh.collect();
            *self.endpoints.borrow_mut() = (version, fresh);
        }
        Rc::clone(&self.endpoints.borrow().1)
    }

    /// Chooses an endpoint: two by chance, the one that would answer sooner. Those in `tried` come last, and so do
    /// the ejected and unhealthy: when only they are left one of them is tried all the same, since every check
    /// failing is more often the check's fault, and a refusal would help nobody.
    pub(crate) fn choose(
        &self,
        now: Instant,
        dice: &mut SeededDice,
        tried: &[u64],
    ) -> Option<Rc<CoreEndpoint>> {
        let endpoints = self.endpoints();
        let load = |endpoint: &CoreEndpoint| self.load_of(endpoint, now);
        let usable = |endpoint: &CoreEndpoint| endpoint.shared.is_usable(now);
        let fresh = |endpoint: &CoreEndpoint| !tried.contains(&endpoint.shared.id);
        let index = pick(endpoints.len(), dice, |i| {
            let endpoint = &endpoints[i];
            (usable(endpoint) && fresh(endpoint)).then(|| load(endpoint))
        });
        let index = index.or_else(|| {
            pick(endpoints.len(), dice, |i| {
                usable(&endpoints[i]).then(|| load(&endpoints[i]))
            })
        });
        let index = index.or_else(|| pick(endpoints.len(), dice, |i| Some(load(&endpoints[i]))));
        index.map(|index| Rc::clone(&endpoints[index]))
    }

    /// Chooses an endpoint that is well and at another address than `first`, if there is one.
    pub(crate) fn choose_other(
        &self,
        now: Instant,
        dice: &mut SeededDice,
        first: &CoreEndpoint,
    ) -> Option<Rc<CoreEndpoint>> {
        let endpoints = self.endpoints();
        let index = pick(endpoints.len(), dice, |i| {
            let endpoint = &endpoints[i];
            let other = endpoint.shared.address != first.shared.address;
            (other && endpoint.shared.is_usable(now)).then(|| self.load_of(endpoint, now))
        });
        index.map(|index| Rc::clone(&endpoints[index]))
    }

    /// What one more request would wait at an endpoint.
    fn load_of(&self, endpoint: &CoreEndpoint, now: Instant) -> f64 {
        let pending = endpoint.counts().pending.load(Relaxed);
        let age = now - endpoint.shared.since;
        endpoint.ewma.get().load(now, pending) * self.shared.plan.balance.slow_start.factor(age)
    }
}
