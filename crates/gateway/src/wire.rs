//! What the parts of one connection tell each other: the guard that reads, hyper's service that answers, the task
//! that owns the connection, and the sweep that looks for idle and slow ones.
//!
//! It is `Arc` and atomics only because hyper hands an upgraded connection on as `Send`; all parties run on one
//! core, so nothing here is ever contended.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::Notify;

use crate::framing::Refusal;

/// How an Upgrade request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum UpgradeAnswer {
    Pending = 0,
    Accepted = 1,
    Declined = 2,
}

/// What the owner of the connection is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    /// Nothing.
    Carry = 0,
    /// Finish what is under way, take nothing new.
    Drain = 1,
    /// Close now.
    Close = 2,
}

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    heads: AtomicU32,
    answered: AtomicU32,
    in_head: AtomicU8,
    upgrade: AtomicU8,
    order: AtomicU8,
    poisoned: AtomicU8,
    /// How often writing was blocked, and went on again: odd while it is blocked.
    stalls: AtomicU32,
    poison: Mutex<Poison>,
    ordered: Notify,
}

#[derive(Debug, Default)]
struct Poison {
    refusal: Option<Refusal>,
    reader: Option<Waker>,
    spoken: bool,
    answered: bool,
}

impl Wire {
    fn poison_lock(&self) -> MutexGuard<'_, Poison> {
        self.poison.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first bytes of a head have come.
    pub(crate) fn head_begun(&self) {
        self.in_head.store(1, Relaxed);
    }

    /// Whether a head has begun and is not whole yet.
    pub(crate) fn is_in_head(&self) -> bool {
        self.in_head.load(Relaxed) == 1
    }

    /// A whole head went to the codec.
    pub(crate) fn head_passed(&self) {
        self.in_head.store(0, Relaxed);
        self.heads.fetch_add(1, Relaxed);
    }

    /// An answer, body and all, went back.
    pub(crate) fn answer_finished(&self) {
        self.answered.fetch_add(1, Relaxed);
        if self.poisoned.load(Relaxed) == 1
            && let Some(reader) = self.poison_lock().reader.take()
        {
            reader.wake();
        }
    }

    /// Heads that have come, to tell whether anything happened since one looked last.
    pub(crate) fn heads(&self) -> u32 {
        self.heads.load(Relaxed)
    }

    /// Writing went on, or is blocked by a peer that does not read.
    pub(crate) fn wrote(&self, blocked: bool) {
        let stalls = self.stalls.load(Relaxed);
        if (stalls % 2 == 1) != blocked {
            self.stalls.store(stalls.wrapping_add(1), Relaxed);
        }
    }

    /// The number of the stall that goes on now, if one does.
    pub(crate) fn stall(&self) -> Option<u32> {
        Some(self.stalls.load(Relaxed)).filter(|stalls| stalls % 2 == 1)
    }

    /// Whether a request is still to be answered.
    pub(crate) fn owes_answer(&self) -> bool {
        self.heads.load(Relaxed) != self.answered.load(Relaxed)
    }

    /// Tells the guard how an Upgrade request was answered.
    pub(crate) fn answer_upgrade(&self, answer: UpgradeAnswer) {
        self.upgrade.store(answer as u8, Relaxed);
    }

    pub(crate) fn take_upgrade_answer(&self) -> UpgradeAnswer {
        match self.upgrade.swap(0, Relaxed) {
            1 => UpgradeAnswer::Accepted,
            2 => UpgradeAnswer::Declined,
            _ => UpgradeAnswer::Pending,
        }
    }

    /// Ends the connection's reading with a refusal. The first one stands.
    pub(crate) fn poison(&self, refusal: Refusal) {
        let mut poison = self.poison_lock();
        poison.refusal.get_or_insert(refusal);
        self.poisoned.store(1, Relaxed);
        if let Some(reader) = poison.reader.take() {
            reader.wake();
        }
    }

    /// The refusal, if the connection is poisoned.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        if self.poisoned.load(Relaxed) == 0 {
            None
        } else {
            self.poison_lock().refusal
        }
    }

    /// The refusal, once: for whoever writes the last words.
    pub(crate) fn take_last_words(&self) -> Option<Refusal> {
        if self.poisoned.load(Relaxed) == 0 {
            return None;
        }
        let mut poison = self.poison_lock();
        if poison.spoken {
            None
        } else {
            poison.refusal.inspect(|_| poison.spoken = true)
        }
    }

    /// The service answered a refusal itself: if it was the connection's, there are no last words to write.
    pub(crate) fn answered_refusal(&self) {
        if self.poisoned.load(Relaxed) == 1 {
            let mut poison = self.poison_lock();
            (poison.spoken, poison.answered) = (true, true);
        }
    }

    /// A refusal that ended the connection and belonged to no request that the codec saw.
    pub(crate) fn unanswered_refusal(&self) -> Option<Refusal> {
        let poison = self.poison_lock();
        if poison.answered { None } else { poison.refusal }
    }

    /// Wakes the reader when the connection is poisoned from outside.
    pub(crate) fn wake_on_poison(&self, waker: &Waker) {
        if self.is_in_head() {
            self.poison_lock().reader = Some(waker.clone());
        }
    }

    /// If an answer is owed: wakes the reader when it is given, and says so.
    pub(crate) fn wait_until_answered(&self, waker: &Waker) -> bool {
        let owed = self.owes_answer();
        if owed {
            self.poison_lock().reader = Some(waker.clone());
        }
        owed
    }

    /// Asks the owner of the connection to drain or close it. Orders only ever become stricter.
    pub(crate) fn give_order(&self, order: Order) {
        if self.order.fetch_max(order as u8, Relaxed) < order as u8 {
            self.ordered.notify_one();
        }
    }

    /// What the owner is asked to do.
    pub(crate) fn order(&self) -> Order {
        match self.order.load(Relaxed) {
            0 => Order::Carry,
            1 => Order::Drain,
            _ => Order::Close,
        }
    }

    /// Completes when a new order was given.
    pub(crate) async fn ordered(&self) {
        self.ordered.notified().await;
    }
}
