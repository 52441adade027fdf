//! Admission: a request takes a slot of its upstream before it is sent, or waits for one, or is shed.
//!
//! The decisions are those of `plimsoll-policy`: [`Adaptive`] finds the limit, [`Slots`] count, [`ShedQueue`] says who
//! is next. Here are the lock around them, the waiting and the waking. While nobody waits, a slot is one atomic
//! operation. Whoever waits does so on its own core; whoever frees a slot wakes it from any.
//!
//! A slot is held until the head of the answer is there. What follows it, a download or a stream of events, is work of
//! the network more than of the service, and bounded by the bulkhead. It is parked while the caller's body is waited
//! for, and while the service waits for a dependency that it calls through us.
//!
//! While the limit is at its maximum the bulkhead stands in its place, and refuses at once: there is nothing to wait
//! for that would be worth it.
//!
//! **Counting.** How many wait is part of the slots' atomic word, and changes under the lock of the queue only, so the
//! two always agree when the lock is free. Answers to those that wait are sent after the lock is released: a waker may
//! do what it likes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_policy::{
    Adaptive, AdaptiveConfig, Dice, Excess, Place, Pressure, Priority, Pushed, Sample, SeededDice, ShedQueue,
    ShedWhy, Slots, Usual, Waiter, Waits, shed_retry_after,
};
use plimsoll_slo::{Instant, Reason};
use tokio::sync::oneshot;

use crate::env::Env;
use crate::plan::UpstreamPlan;
use crate::respond::Refused;

pub(crate) use slot::{SharedSlot, Slot};

mod slot;

/// The slots of one upstream. Outlives plans.
pub struct Admission {
    env: Env,
    slots: Slots,
    desk: Mutex<Desk>,
    /// What requests of this upstream usually take, whatever their route: how long waiting is worth it.
    usual: Usual,
    /// By priority, then by why.
    shed: [[AtomicU64; 3]; 3],
}

/// What is decided under the lock.
struct Desk {
    on: bool,
    /// That of the bulkhead, at which the limit is out of the way.
    in_flight_max: u32,
    wait: Duration,
    adaptive: Adaptive,
    queue: ShedQueue<Caller>,
    excess: Excess,
    dice: SeededDice,
    salt: u64,
    salted: Instant,
}

/// What one that waits is told.
type Told = Result<Grant, Shed>;

/// One that waits, as the queue holds it.
struct Caller {
    priority: Priority,
    sender: oneshot::Sender<Told>,
}

/// One that is not sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shed {
    why: ShedWhy,
    limit: u32,
    retry_after: Duration,
}

/// What admission wants to know of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub(crate) priority: Priority,
    pub(crate) deadline: Instant,
    /// What its route usually takes.
    pub(crate) usual: Duration,
}

/// How long tenants share a cohort.
const SALT_TIME: Duration = Duration::from_mins(1);

/// Readings of an upstream's admission, for status and metrics.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionReading {
    /// How many may be at work; `None` while the limit is out of the way.
    pub limit: Option<u32>,
    /// How many are.
    pub busy: u32,
    /// How many wait for a slot.
    pub waiting: u32,
    /// Whether the limit holds requests off.
    pub pressure: Pressure,
    /// How many of those at work wait inside the upstream, estimated.
    pub inside: f64,
    /// What requests usually take without dependencies and slow callers.
    pub usual: Option<Duration>,
    /// Requests shed so far: by [`Priority`], then by [`ShedWhy`] (full, waited, doomed).
    pub shed: [[u64; 3]; 3],
}

impl Admission {
    pub(crate) fn new(env: &Env, plan: &UpstreamPlan) -> Self {
        let (now, mut dice) = (env.now(), env.dice());
        let mut desk = Desk {
            on: false,
            in_flight_max: 0,
            wait: Duration::ZERO,
            adaptive: Adaptive::new(AdaptiveConfig::default(), now),
            queue: ShedQueue::default(),
            excess: Excess::new(now),
            salt: dice.roll(),
            salted: now,
            dice,
        };
        if let Some(config) = desk.configure(plan) {
            desk.adaptive = Adaptive::new(config, now);
        }
        Self {
            env: env.clone(),
            slots: Slots::new(desk.effective()),
            desk: Mutex::new(desk),
            usual: Usual::default(),
            shed: Default::default(),
        }
    }

    /// Goes by another plan from now on. What was learned stays.
    pub(crate) fn configure(self: &Arc<Self>, plan: &UpstreamPlan) {
        let limit = {
            let desk = &mut self.lock();
            let learned = desk.on;
            match desk.configure(plan) {
                Some(config) if learned => desk.adaptive.set_config(config),
                Some(config) => desk.adaptive = Adaptive::new(config, self.env.now()),
                None => {}
            }
            desk.effective()
        };
        self.move_limit(limit);
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot, or waits for one. `cohort` makes a number of the tenant with a salt; it is asked for only if the
    /// request has to wait.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        asking: Asking,
        cohort: impl FnOnce(u64) -> u64,
    ) -> Result<Slot<'_>, Shed> {
        if self.slots.enter() {
            return Ok(Slot::of(self));
        }
        // Boxed: it is rare, and would make every request's future larger.
        Box::pin(self.wait(asking, cohort)).await
    }

    async fn wait(
        self: &Arc<Self>,
        asking: Asking,
        cohort: impl FnOnce(u64) -> u64,
    ) -> Result<Slot<'_>, Shed> {
        let now = self.env.now();
        let (sender, receiver) = oneshot::channel();
        let (place, until) = self.queue_up(now, asking, cohort, sender)?;
        let mut waiting = Waiting {
            admission: self,
            priority: asking.priority,
            place,
            receiver,
        };
        // A slot may have become free while nobody was waiting for it.
        self.dispatch();
        let told = tokio::select! {
            biased;
            told = &mut waiting.receiver => told.ok(),
            () = self.env.sleep_until(until.min(asking.deadline)) => waiting.give_up(),
        };
        // A sender is dropped with the queue only, and the queue lives as long as the upstream.
        told.unwrap_or_else(|| Err(self.shed(asking.priority, ShedWhy::Waited)))
            .map(Grant::arrived)
            .map(|()| Slot::of(self))
    }

    /// Joins the queue. Whoever makes way for that is told.
    fn queue_up(
        self: &Arc<Self>,
        now: Instant,
        asking: Asking,
        cohort: impl FnOnce(u64) -> u64,
        sender: oneshot::Sender<Told>,
    ) -> Result<(Place, Instant), Shed> {
        let mut desk = self.lock();
        desk.adaptive.note_full();
        let waits = desk.waits(&self.usual);
        let until = now + desk.queue.wait_max(now, asking.priority, waits);
        let waiter = Waiter {
            priority: asking.priority,
            cohort: cohort(desk.salt),
            deadline: asking.deadline,
            usual: asking.usual,
            token: Caller {
                priority: asking.priority,
                sender,
            },
        };
        let places = waits.places(desk.adaptive.limit());
        let (place, displaced) = match desk.queue.push(now, waiter, places) {
            Pushed::Waits(place) => {
                self.slots.begin_waiting();
                (place, None)
            }
            Pushed::Displaced(place, caller) => (place, Some(caller)),
            Pushed::Refused(_) => {
                drop(desk);
                return Err(self.shed(asking.priority, ShedWhy::Full));
            }
        };
        drop(desk);
        if let Some(caller) = displaced {
            self.send_away(caller, ShedWhy::Full);
        }
        Ok((place, until))
    }

    /// Gives free slots to those whose turn it is.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let mut shed = Vec::new();
            let next = {
                let mut desk = self.lock();
                if !self.slots.enter_waiting() {
                    return;
                }
                let now = self.env.now();
                let waits = desk.waits(&self.usual);
                let next = desk.queue.pop(now, waits, |caller, why| shed.push((caller, why)));
                // One of them was counted out when the slot was taken.
                let gone = shed.len() + usize::from(next.is_some());
                (1..gone).for_each(|_| self.slots.stop_waiting());
                next
            };
            for (caller, why) in shed {
                self.send_away(caller, why);
            }
            let grant = Grant(Some(Arc::clone(self)));
            if let Some(caller) = next {
                // One that left in this very moment gives its slot back by dropping what it was sent.
                drop(caller.sender.send(Ok(grant)));
            }
        }
    }

    fn send_away(&self, caller: Caller, why: ShedWhy) {
        drop(caller.sender.send(Err(self.shed(caller.priority, why))));
    }

    /// A slot is free.
    fn leave(self: &Arc<Self>) {
        if self.slots.leave() {
            self.dispatch();
        }
    }

    fn shed(&self, priority: Priority, why: ShedWhy) -> Shed {
        self.shed[priority as usize][why as usize].fetch_add(1, Relaxed);
        let now = self.env.now();
        let desk = &mut *self.lock();
        desk.excess.shed(now);
        Shed {
            why,
            limit: desk.adaptive.limit(),
            retry_after: shed_retry_after(desk.excess.times(), &mut desk.dice),
        }
    }

    /// How many are at work, one more included: what an attempt that is sent now will find.
    pub(crate) fn found(&self) -> u32 {
        self.slots.busy().max(1)
    }

    /// Requests at work as a share of the limit; next to nothing while it is out of the way.
    pub(crate) fn load(&self) -> f64 {
        f64::from(self.slots.busy()) / f64::from(self.slots.limit().max(1))
    }

    /// An attempt was answered well.
    pub(crate) fn record(self: &Arc<Self>, now: Instant, took: Duration, found: u32, usual: &Usual) {
        let sample = Sample {
            took,
            ratio: usual.ratio(took),
            busy: found,
        };
        let (moved, learning) = {
            let desk = &mut *self.lock();
            if !desk.on {
                return;
            }
            desk.excess.answered(now);
            let moved = desk.adaptive.record(now, sample).map(|_| desk.effective());
            (moved, desk.adaptive.is_learning())
        };
        if learning {
            usual.learn(now, took);
            self.usual.learn(now, took);
        }
        if let Some(limit) = moved {
            self.move_limit(limit);
        }
    }

    /// The bulkhead was in the way, which stands for the limit while that is at its maximum.
    pub(crate) fn note_full(&self) {
        self.lock().adaptive.note_full();
    }

    /// Time passes: to be called a few times a second. `blind` says whether our own processors are full.
    pub(crate) fn tick(self: &Arc<Self>, blind: bool) {
        let now = self.env.now();
        let moved = {
            let desk = &mut *self.lock();
            if now.since(desk.salted) >= SALT_TIME {
                desk.salted = now;
                desk.salt = desk.dice.roll();
            }
            if !desk.on {
                return;
            }
            let moved = desk.adaptive.set_blind(blind).or(desk.adaptive.tick(now));
            moved.map(|_| desk.effective())
        };
        if let Some(limit) = moved {
            self.move_limit(limit);
        }
    }

    fn move_limit(self: &Arc<Self>, limit: u32) {
        if self.slots.set_limit(limit) {
            self.dispatch();
        }
    }

    /// A reading for people and metrics.
    pub fn reading(&self) -> AdmissionReading {
        let desk = self.lock();
        AdmissionReading {
            limit: (desk.effective() < Slots::LIMIT_MAX).then(|| desk.adaptive.limit()),
            busy: self.slots.busy(),
            waiting: self.slots.waiting(),
            pressure: desk.adaptive.pressure(),
            inside: desk.adaptive.waiting_inside(),
            usual: self.usual.get(),
            shed: std::array::from_fn(|priority| {
                std::array::from_fn(|why| self.shed[priority][why].load(Relaxed))
            }),
        }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.reading().fmt(f)
    }
}

impl Desk {
    /// Takes a plan over; the bounds of the limit, if there is one.
    fn configure(&mut self, plan: &UpstreamPlan) -> Option<AdaptiveConfig> {
        self.on = plan.adaptive.is_some();
        self.in_flight_max = plan.in_flight_max;
        let adaptive = plan.adaptive.as_ref()?;
        self.wait = adaptive.wait;
        Some(AdaptiveConfig {
            min: adaptive.min,
            max: adaptive.max.unwrap_or(plan.in_flight_max).min(plan.in_flight_max),
        })
    }

    /// What the slots go by.
    fn effective(&self) -> u32 {
        let limit = self.adaptive.limit();
        if self.on && limit < self.in_flight_max {
            limit
        } else {
            Slots::LIMIT_MAX
        }
    }

    fn waits(&self, usual: &Usual) -> Waits {
        Waits::of(self.wait, usual.get())
    }
}

/// A slot on its way to one that waits for it. It goes back if it does not arrive.
struct Grant(Option<Arc<Admission>>);

impl Grant {
    /// It has arrived: from now on it is for the slot to give it back.
    fn arrived(mut self) {
        self.0 = None;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if let Some(admission) = &self.0 {
            admission.leave();
        }
    }
}

/// One that waits. It leaves the queue when it is dropped.
struct Waiting<'a> {
    admission: &'a Arc<Admission>,
    priority: Priority,
    place: Place,
    receiver: oneshot::Receiver<Told>,
}

impl Waiting<'_> {
    /// Its time is over. It may have been told in this very moment, and then that counts.
    fn give_up(&mut self) -> Option<Told> {
        if self.leave() {
            return Some(Err(self.admission.shed(self.priority, ShedWhy::Waited)));
        }
        self.receiver.try_recv().ok()
    }

    /// Leaves the queue. `false` if it is out already.
    fn leave(&self) -> bool {
        let mut desk = self.admission.lock();
        let gone = desk.queue.remove(self.place).is_some();
        if gone {
            self.admission.slots.stop_waiting();
        }
        gone
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl From<Shed> for Refused {
    fn from(shed: Shed) -> Self {
        let Shed {
            why,
            limit,
            retry_after,
        } = shed;
        let why = match why {
            ShedWhy::Full => "those that wait for a turn matter more or were here before",
            ShedWhy::Waited => "this one has waited for a turn as long as that is worth",
            ShedWhy::Doomed => "too little of the deadline is left after waiting for a turn",
        };
        let cause = format!("the upstream can do at most {limit} at a time; {why}");
        Self::new(Reason::Shed).cause(cause).retry_after(retry_after)
    }
}
