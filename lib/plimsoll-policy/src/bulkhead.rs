//! Bulkhead: a hard bound on the requests in flight to one upstream.
//!
//! A ship's bulkheads keep the water of one hold out of the others. Here the holds are upstreams: when one of
//! them slows down, requests to it pile up (Little's law: in flight = rate × latency), and without a bound
//! they take the memory, sockets and patience that the healthy upstreams need.
//!
//! There is no state but a number between 0 and the maximum. At the maximum a request is refused at once,
//! with `bulkhead-full`; it does not queue here, because a queue in front of a slow upstream only adds its
//! own wait.
//!
//! The bound is strict under any interleaving. The count and the maximum share one atomic word, so that each
//! admission is one compare-and-swap against the maximum that holds at that very moment; add-then-check would
//! let threads see each other's overshoot, check-then-add would overshoot by the number of threads.
//!
//! A permit is released when it is dropped, also by a cancelled request or a panic. After
//! [`Bulkhead::set_max`] permits that are out stay valid; if they are more than the new maximum, nobody is
//! admitted until enough came back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bound on concurrent requests, shared by all cores.
///
/// ```
/// use std::sync::Arc;
/// use plimsoll_policy::{Bulkhead, BulkheadDecision};
///
/// let bulkhead = Arc::new(Bulkhead::new(1));
/// let BulkheadDecision::Admit(permit) = bulkhead.enter() else { panic!("it is empty") };
/// assert!(matches!(bulkhead.enter(), BulkheadDecision::Refuse));
/// drop(permit);
/// assert!(matches!(bulkhead.enter(), BulkheadDecision::Admit(_)));
/// assert_eq!(bulkhead.refused(), 1);
/// ```
#[derive(Debug)]
pub struct Bulkhead {
    /// The maximum in the upper 32 bits, the requests in flight in the lower 32.
    word: AtomicU64,
    refused: AtomicU64,
}

/// What [`Bulkhead::enter`] says.
#[derive(Debug)]
#[must_use = "dropping an admission gives the place back at once"]
pub enum BulkheadDecision {
    /// Go ahead, and keep the permit until the answer's body has ended.
    Admit(Permit),
    /// Full: answer `bulkhead-full`.
    Refuse,
}

/// One place in a bulkhead, held until it is dropped.
///
/// ```
/// use std::sync::Arc;
/// use plimsoll_policy::{Bulkhead, BulkheadDecision};
///
/// let bulkhead = Arc::new(Bulkhead::default());
/// let held = bulkhead.enter();
/// assert_eq!(bulkhead.in_flight(), 1);
/// drop(held);
/// assert_eq!(bulkhead.in_flight(), 0);
/// ```
#[derive(Debug)]
#[must_use = "the place is given back when the permit is dropped"]
pub struct Permit {
    bulkhead: Arc<Bulkhead>,
}

impl Bulkhead {
    /// The default maximum, the same as Envoy's: far above what one service instance does at once when it is
    /// well, far below what exhausts sockets or memory when it is not.
    pub const DEFAULT_MAX: u32 = 1024;

    /// An empty bulkhead that admits `max` requests at a time; none when `max` is 0.
    pub const fn new(max: u32) -> Self {
        Self {
            word: AtomicU64::new(pack(max, 0)),
            refused: AtomicU64::new(0),
        }
    }

    /// Asks for a place. Lock-free, and without heap allocation.
    pub fn enter(self: &Arc<Self>) -> BulkheadDecision {
        let entered = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                let (max, in_flight) = unpack(word);
                (in_flight < max).then(|| pack(max, in_flight + 1))
            });
        if entered.is_ok() {
            BulkheadDecision::Admit(Permit {
                bulkhead: Arc::clone(self),
            })
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            BulkheadDecision::Refuse
        }
    }

    /// Permits that are out now.
    pub fn in_flight(&self) -> u32 {
        unpack(self.word.load(Ordering::Relaxed)).1
    }

    /// How many may be out at a time.
    pub fn max(&self) -> u32 {
        unpack(self.word.load(Ordering::Relaxed)).0
    }

    /// Changes the maximum; permits that are out stay valid.
    pub fn set_max(&self, max: u32) {
        let _old: Result<u64, u64> = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                Some(pack(max, unpack(word).1))
            });
    }

    /// Refusals since the beginning.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Default for Bulkhead {
    fn default() -> Self {
        Self::new(Self::DEFAULT_MAX)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // The lower half is at least 1 as long as this permit exists, so nothing is borrowed from the upper
        // half.
        self.bulkhead.word.fetch_sub(1, Ordering::AcqRel);
    }
}

const fn pack(max: u32, in_flight: u32) -> u64 {
    (max as u64) << 32 | in_flight as u64
}

const fn unpack(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn admit(bulkhead: &Arc<Bulkhead>) -> Option<Permit> {
        match bulkhead.enter() {
            BulkheadDecision::Admit(permit) => Some(permit),
            BulkheadDecision::Refuse => None,
        }
    }

    #[test]
    fn eight_threads_never_exceed_the_maximum_and_reach_it() {
        const MAX: u32 = 3;
        let bulkhead = Arc::new(Bulkhead::new(MAX));
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let start = std::sync::Barrier::new(8);
        let admitted: u64 = std::thread::scope(|scope| {
            let worker = || {
                start.wait();
                let mut admitted = 0;
                for _ in 0..20_000 {
                    if let Some(permit) = admit(&bulkhead) {
                        // Counted while the permit is held, so that it says what the permits really let
                        // through.
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                        admitted += 1;
                    }
                }
                admitted
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(worker)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(most.into_inner(), MAX);
        assert_eq!(bulkhead.in_flight(), 0);
        assert_eq!(admitted + bulkhead.refused(), 160_000);
    }

    #[test]
    fn a_lower_maximum_lets_permits_run_out() {
        let bulkhead = Arc::new(Bulkhead::new(3));
        let mut held: Vec<_> = (0..3).filter_map(|_| admit(&bulkhead)).collect();
        bulkhead.set_max(1);
        assert_eq!((bulkhead.max(), bulkhead.in_flight()), (1, 3));
        held.truncate(1);
        assert!(admit(&bulkhead).is_none(), "one is out and one is the maximum");
        held.clear();
        assert!(admit(&bulkhead).is_some());
    }

    #[test]
    fn zero_admits_nobody_and_the_largest_maximum_does_not_overflow() {
        assert!(admit(&Arc::new(Bulkhead::new(0))).is_none());
        let bulkhead = Arc::new(Bulkhead::new(u32::MAX));
        let held = admit(&bulkhead);
        assert_eq!((bulkhead.max(), bulkhead.in_flight()), (u32::MAX, 1));
        drop(held);
        assert_eq!((bulkhead.max(), bulkhead.in_flight()), (u32::MAX, 0));
    }

    #[test]
    fn a_panic_gives_its_place_back() {
        let bulkhead = Arc::new(Bulkhead::new(1));
        let inside = Arc::clone(&bulkhead);
        let caught = std::panic::catch_unwind(move || {
            let _permit = admit(&inside).unwrap();
            panic!("a request panics");
        });
        assert!(caught.is_err());
        assert_eq!(bulkhead.in_flight(), 0);
    }
}
