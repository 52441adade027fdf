//! The slot of one request: given back when it is dropped, and parked meanwhile by whoever lets the upstream wait.

use std::cell::OnceCell;
use std::sync::Arc;

use plimsoll_policy::Hold;

use super::Admission;

/// The slot of a request. It goes back when it is dropped.
pub(crate) struct Slot<'a> {
    admission: &'a Arc<Admission>,
    shared: OnceCell<Arc<SharedSlot>>,
}

/// A slot that others may park, from any core.
#[derive(Debug)]
pub(crate) struct SharedSlot {
    admission: Arc<Admission>,
    hold: Hold,
}

impl<'a> Slot<'a> {
    pub(super) fn of(admission: &'a Arc<Admission>) -> Self {
        Self {
            admission,
            shared: OnceCell::new(),
        }
    }

    /// For those that may park it.
    pub(crate) fn share(&self) -> Arc<SharedSlot> {
        let shared = self.shared.get_or_init(|| {
            Arc::new(SharedSlot {
                admission: Arc::clone(self.admission),
                hold: Hold::default(),
            })
        });
        Arc::clone(shared)
    }

    /// One more of the upstream's slots, whether one is free or not, until the guard is dropped: for a second attempt
    /// beside the first.
    pub(crate) fn another(&self) -> Another {
        self.admission.slots.unpark();
        Another(Arc::clone(self.admission))
    }

    /// Parks it until the guard is dropped.
    pub(crate) fn park(&self) -> Parked {
        let shared = self.share();
        shared.park();
        Parked(shared)
    }
}

/// A slot that a second attempt holds.
pub(crate) struct Another(Arc<Admission>);

impl Drop for Another {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// A slot that is parked as long as this is held.
pub(crate) struct Parked(Arc<SharedSlot>);

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        match self.shared.get() {
            None => self.admission.leave(),
            Some(shared) => shared.wake(shared.hold.end(&self.admission.slots)),
        }
    }
}

impl SharedSlot {
    /// The upstream has nothing to do for the request until [`Self::unpark`].
    pub(crate) fn park(&self) {
        self.wake(self.hold.park(&self.admission.slots));
    }

    /// It has again.
    pub(crate) fn unpark(&self) {
        self.wake(self.hold.unpark(&self.admission.slots));
    }

    fn wake(&self, waited_for: bool) {
        if waited_for {
            self.admission.dispatch();
        }
    }
}
