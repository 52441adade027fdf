//! What the parts of one connection tell each other: the task that owns it, the requests on it, and the sweep that
//! looks for idle and slow ones.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// What the owner of the connection is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Nothing.
    #[default]
    Carry,
    /// Take what comes next as the last, and say so. Whoever has nothing to ask is left alone.
    Retire,
    /// Finish what is under way, take nothing new.
    Drain,
    /// End in their own words what would not end by itself: WebSockets, and calls of gRPC.
    Part,
    /// Close now.
    Close,
}

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    heads: Cell<u32>,
    answered: Cell<u32>,
    in_head: Cell<bool>,
    /// The head under way has taken too long.
    late: Cell<bool>,
    /// Bytes followed an Upgrade request before its answer.
    early: Cell<bool>,
    /// How often writing was blocked, and went on again: odd while it is blocked.
    stalls: Cell<u32>,
    /// Frames in a row that asked for nothing, and whether they are forgiven.
    chatter: Cell<u32>,
    forgiven: Cell<bool>,
    /// It has switched protocols.
    tunnel: Cell<bool>,
    order: Cell<Order>,
    owner: RefCell<Option<Waker>>,
}

impl Wire {
    /// The first bytes of a head have come.
    pub(crate) fn head_begun(&self) {
        self.in_head.set(true);
    }

    /// Whether a head has begun and is not whole yet.
    pub(crate) fn is_in_head(&self) -> bool {
        self.in_head.get()
    }

    /// A whole head is there.
    pub(crate) fn head_passed(&self) {
        self.in_head.set(false);
        self.heads.set(self.heads.get().wrapping_add(1));
    }

    /// An answer, body and all, went back.
    pub(crate) fn answer_finished(&self) {
        self.answered.set(self.answered.get().wrapping_add(1));
    }

    /// Heads that have come, to tell whether anything happened since one looked last.
    pub(crate) fn heads(&self) -> u32 {
        self.heads.get()
    }

    /// The connection has become a tunnel, which looks after its own silence.
    pub(crate) fn became_tunnel(&self) {
        self.tunnel.set(true);
    }

    /// Whether a request is still to be answered, or there are none any more.
    pub(crate) fn is_at_work(&self) -> bool {
        self.tunnel.get() || self.heads.get() != self.answered.get()
    }

    /// The head under way is not waited for any longer.
    pub(crate) fn give_up_head(&self) {
        self.late.set(true);
        self.wake();
    }

    /// Whether the head under way was given up.
    pub(crate) fn is_late(&self) -> bool {
        self.late.get()
    }

    /// Bytes followed an Upgrade request before its answer.
    pub(crate) fn came_early(&self) {
        self.early.set(true);
    }

    pub(crate) fn is_early(&self) -> bool {
        self.early.get()
    }

    /// Writing went on, or is blocked by a peer that does not read.
    pub(crate) fn wrote(&self, blocked: bool) {
        let stalls = self.stalls.get();
        if (stalls % 2 == 1) != blocked {
            self.stalls.set(stalls.wrapping_add(1));
        }
    }

    /// The number of the stall that goes on now, if one does.
    pub(crate) fn stall(&self) -> Option<u32> {
        Some(self.stalls.get()).filter(|stalls| stalls % 2 == 1)
    }

    /// So many frames in a row have asked for nothing.
    pub(crate) fn chattered(&self, frames: u32) {
        self.chatter.set(frames);
    }

    /// Frames in a row that asked for nothing.
    pub(crate) fn chatter(&self) -> u32 {
        self.chatter.get()
    }

    /// Such frames are forgiven when they are spread over time: called once a second.
    pub(crate) fn forgive_chatter(&self) {
        self.forgiven.set(true);
    }

    /// Whether they were forgiven since this was asked last.
    pub(crate) fn take_forgiven(&self) -> bool {
        self.forgiven.take()
    }

    /// Asks the owner of the connection to drain or close it. Orders only ever become stricter.
    pub(crate) fn give_order(&self, order: Order) {
        if self.order.get() < order {
            self.order.set(order);
            self.wake();
        }
    }

    /// What the owner is asked to do.
    pub(crate) fn order(&self) -> Order {
        self.order.get()
    }

    fn wake(&self) {
        if let Some(owner) = self.owner.borrow_mut().take() {
            owner.wake();
        }
    }

    /// Has the owner woken when there is something new for it.
    pub(crate) fn watch(&self, cx: &Context<'_>) {
        let mut owner = self.owner.borrow_mut();
        match &mut *owner {
            Some(owner) => owner.clone_from(cx.waker()),
            None => *owner = Some(cx.waker().clone()),
        }
    }

    /// Completes when the order is stricter than `known`.
    pub(crate) async fn stricter_than(&self, known: Order) -> Order {
        poll_fn(|cx| {
            let order = self.order();
            if order > known {
                return Poll::Ready(order);
            }
            self.watch(cx);
            Poll::Pending
        })
        .await
    }
}
