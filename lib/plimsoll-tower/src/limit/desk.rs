//! What all services of one limit share: the slots, the queue in front of them, and what was learned.
//!
//! While nobody waits, a slot is one atomic operation. Whoever waits is told by whoever frees a slot. How many wait is
//! part of the slots' word, and changes under the lock of the queue only, so the two agree whenever the lock is free.
//! Those that wait are told after the lock is released: a waker may do what it likes.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_policy::{
    Adaptive, AdaptiveConfig, Dice, Excess, Place, Priority, Pushed, Sample, ShedQueue, ShedWhy, Slots,
    Usual, Waiter, Waits, shed_retry_after,
};
use plimsoll_slo::{Instant, Reason};
use tokio::sync::oneshot;

use crate::env::lock;
use crate::{Env, Refused};

/// How long tenants share a cohort.
const SALT_TIME: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) env: Env,
    pub(super) slots: Slots,
    usual: Usual,
    inner: Mutex<Inner>,
}

/// What is decided under the lock.
#[derive(Debug)]
struct Inner {
    adaptive: Adaptive,
    queue: ShedQueue<Caller>,
    calm: Duration,
    excess: Excess,
    salt: (u64, Instant),
}

/// What admission wants to know of a request.
pub(super) struct Asking {
    pub(super) priority: Priority,
    pub(super) deadline: Instant,
}

/// What one that waits is told: a slot, or why it gets none.
type Told = Result<Slot, ShedWhy>;

/// One that waits, as the queue holds it.
#[derive(Debug)]
struct Caller(oneshot::Sender<Told>);

impl Desk {
    pub(super) fn new(config: AdaptiveConfig, calm: Duration, env: Env) -> Self {
        let now = env.now();
        let adaptive = Adaptive::new(config, now);
        let salt = (env.dice().roll(), now);
        let inner = Inner {
            queue: ShedQueue::default(),
            calm,
            excess: Excess::new(now),
            salt,
            adaptive,
        };
        Self {
            env,
            slots: Slots::new(inner.adaptive.limit()),
            usual: Usual::default(),
            inner: Mutex::new(inner),
        }
    }

    /// Takes a slot, if one is free and nobody waits for it.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Slot> {
        self.slots.enter().then(|| Slot::of(Arc::clone(self)))
    }

    /// Joins the queue; `cohort` makes a number of the tenant with a salt.
    pub(super) fn wait(
        self: &Arc<Self>,
        asking: &Asking,
        cohort: impl FnOnce(u64) -> u64,
    ) -> Result<Waiting, Refused> {
        let now = self.env.now();
        let (sender, receiver) = oneshot::channel();
        let usual = self.usual.get();
        let mut inner = lock(&self.inner);
        inner.adaptive.note_full();
        let moved = inner.adaptive.tick(now);
        let waits = Waits::of(inner.calm, usual);
        let until = now + inner.queue.wait_max(now, asking.priority, waits);
        let waiter = Waiter {
            priority: asking.priority,
            cohort: cohort(inner.salt(now, &self.env)),
            deadline: asking.deadline,
            usual: usual.unwrap_or_default(),
            token: Caller(sender),
        };
        let places = waits.places(inner.adaptive.limit());
        let (place, displaced) = match inner.queue.push(now, waiter, places) {
            Pushed::Waits(place) => {
                self.slots.begin_waiting();
                (place, None)
            }
            Pushed::Displaced(place, caller) => (place, Some(caller)),
            Pushed::Refused(_) => {
                drop(inner);
                return Err(self.shed(ShedWhy::Full));
            }
        };
        drop(inner);
        if let Some(Caller(sender)) = displaced {
            drop(sender.send(Err(ShedWhy::Full)));
        }
        self.move_limit(moved);
        // A slot may have become free while nobody was waiting for it.
        self.dispatch();
        Ok(Waiting {
            desk: Arc::clone(self),
            place,
            receiver,
            until: until.min(asking.deadline),
        })
    }

    /// Gives free slots to those whose turn it is.
    fn dispatch(self: &Arc<Self>) {
        loop {
            let mut shed = Vec::new();
            let next = {
                let mut inner = lock(&self.inner);
                if !self.slots.enter_waiting() {
                    return;
                }
                let waits = Waits::of(inner.calm, self.usual.get());
                let next = inner
                    .queue
                    .pop(self.env.now(), waits, |caller, why| shed.push((caller, why)));
                // One of them was counted out when the slot was taken.
                let gone = shed.len() + usize::from(next.is_some());
                (1..gone).for_each(|_| self.slots.stop_waiting());
                next
            };
            let slot = Slot::of(Arc::clone(self));
            for (Caller(sender), why) in shed {
                drop(sender.send(Err(why)));
            }
            // One that left in this very moment gives the slot back by dropping it, as does having nobody to give it to.
            if let Some(Caller(sender)) = next {
                drop(sender.send(Ok(slot)));
            }
        }
    }

    /// An answer speaks well of the service: what it took tells how much there is to do in there.
    fn record(self: &Arc<Self>, now: Instant, took: Duration, found: u32) {
        let sample = Sample {
            took,
            ratio: self.usual.ratio(took),
            busy: found,
        };
        let (moved, learning) = {
            let mut inner = lock(&self.inner);
            inner.excess.answered(now);
            (inner.adaptive.record(now, sample), inner.adaptive.is_learning())
        };
        if learning {
            self.usual.learn(now, took);
        }
        self.move_limit(moved);
    }

    fn move_limit(self: &Arc<Self>, moved: Option<u32>) {
        if moved.is_some_and(|limit| self.slots.set_limit(limit)) {
            self.dispatch();
        }
    }

    fn shed(&self, why: ShedWhy) -> Refused {
        let now = self.env.now();
        let (times, limit) = {
            let mut inner = lock(&self.inner);
            inner.excess.shed(now);
            (inner.excess.times(), inner.adaptive.limit())
        };
        let why = match why {
            ShedWhy::Full => "those that wait for a turn matter more or were here before",
            ShedWhy::Waited => "this one has waited for a turn as long as that is worth",
            ShedWhy::Doomed => "too little of the deadline is left after waiting for a turn",
        };
        let cause = format!("the service can do at most {limit} at a time; {why}");
        let wait = shed_retry_after(times, &mut *self.env.dice());
        Refused::new(Reason::Shed).cause(cause).retry_after(wait)
    }
}

impl Inner {
    /// The salt of the cohorts, a new one now and then.
    fn salt(&mut self, now: Instant, env: &Env) -> u64 {
        if now.since(self.salt.1) >= SALT_TIME {
            self.salt = (env.dice().roll(), now);
        }
        self.salt.0
    }
}

/// A slot of the service, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    desk: Arc<Desk>,
    /// When the request was sent, and how many were at work then, itself among them.
    sent: Option<(Instant, u32)>,
}

impl Slot {
    const fn of(desk: Arc<Desk>) -> Self {
        Self { desk, sent: None }
    }

    /// Its request is sent now.
    pub(super) fn send(mut self) -> Self {
        self.sent = Some((self.desk.env.now(), self.desk.slots.busy().max(1)));
        self
    }

    /// Its request was answered, and the answer speaks well of the service.
    pub(super) fn well(&self) {
        if let Some((sent, found)) = self.sent {
            let now = self.desk.env.now();
            self.desk.record(now, now - sent, found);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.desk.slots.leave() {
            self.desk.dispatch();
        }
    }
}

/// One that waits. It leaves the queue when it is dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    desk: Arc<Desk>,
    place: Place,
    receiver: oneshot::Receiver<Told>,
    /// Until when it waits.
    pub(super) until: Instant,
}

impl Waiting {
    /// A slot, or why there is none. `over` when it has waited long enough.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, over: bool) -> Poll<Result<Slot, Refused>> {
        if over && self.leave() {
            return Poll::Ready(Err(self.desk.shed(ShedWhy::Waited)));
        }
        // It may have been told in the moment in which its time was over, and then that counts.
        Pin::new(&mut self.receiver).poll(cx).map(|told| match told {
            Ok(told) => told.map_err(|why| self.desk.shed(why)),
            // Whoever takes a sender out of the queue tells it something, so this is never heard.
            Err(_) => Err(self.desk.shed(ShedWhy::Full)),
        })
    }

    /// Leaves the queue. `false` if it is out already.
    fn leave(&self) -> bool {
        let gone = lock(&self.desk.inner).queue.remove(self.place).is_some();
        if gone {
            self.desk.slots.stop_waiting();
        }
        gone
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.leave();
    }
}
