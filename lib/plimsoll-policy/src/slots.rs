//! Slots: how many requests may be at work in an upstream at the same time, by a limit that moves.
//!
//! A slot is taken by a request that the upstream works on, and by no other. One that waits for its caller's next
//! bytes, or for a dependency that the service has called, [parks](Slots::park): it costs the service a socket and
//! some memory, which the bulkhead bounds, but none of the capacity that this limit guards.
//!
//! Admission never exceeds the limit under any interleaving. Two things may: a limit that was lowered under those
//! that are out, and one that [comes back](Slots::unpark) from parking, since what is half done is worth more than
//! what has not begun. Both only mean that nobody is admitted until enough have left.
//!
//! The limit, the busy and the waiting share one atomic word. So whoever leaves knows whether somebody waits, and
//! whoever begins to wait has been seen by everybody who leaves later: no slot is free while somebody waits for it.
//! The ways of that handshake: a waiter is counted by [`Slots::begin_waiting`] *before* it looks once more for a free
//! slot, and a leaver frees its slot *before* it looks for waiters; of two that cross, at least one sees the other.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Slots of one upstream, shared by all cores. 8 bytes.
///
/// ```
/// use plimsoll_policy::Slots;
///
/// let slots = Slots::new(1);
/// assert!(slots.enter());
/// assert!(!slots.enter(), "one is busy and one is the limit");
/// slots.park(); // its caller is slow
/// assert!(slots.enter());
/// slots.unpark(); // and has sent the rest
/// assert_eq!(slots.busy(), 2);
/// ```
#[derive(Debug)]
pub struct Slots {
    /// The waiting in the upper 16 bits, the limit in the next 24, the busy in the lower 24.
    word: AtomicU64,
}

const FIELD: u64 = (1 << 24) - 1;
const LIMIT_SHIFT: u32 = 24;
const WAITING_SHIFT: u32 = 48;
const ONE_WAITING: u64 = 1 << WAITING_SHIFT;

#[derive(Clone, Copy)]
struct Word {
    waiting: u64,
    limit: u64,
    busy: u64,
}

impl Word {
    const fn of(word: u64) -> Self {
        Self {
            waiting: word >> WAITING_SHIFT,
            limit: word >> LIMIT_SHIFT & FIELD,
            busy: word & FIELD,
        }
    }

    const fn has_room(self) -> bool {
        self.busy < self.limit
    }
}

impl Slots {
    /// The largest limit: 16,777,215.
    pub const LIMIT_MAX: u32 = FIELD as u32;

    /// The most that may wait: 65,535. Whoever holds the queue keeps it shorter.
    pub const WAITING_MAX: u32 = u16::MAX as u32;

    /// Free slots, `limit` of them; more than [`Self::LIMIT_MAX`] counts as that.
    pub const fn new(limit: u32) -> Self {
        let limit = if limit > Self::LIMIT_MAX {
            Self::LIMIT_MAX
        } else {
            limit
        };
        Self {
            word: AtomicU64::new((limit as u64) << LIMIT_SHIFT),
        }
    }

    /// Takes a slot, if one is free and nobody waits for it. Whoever gets `true` owes a [`Self::leave`].
    #[must_use]
    pub fn enter(&self) -> bool {
        self.change(|word| (word.has_room() && word.waiting == 0).then_some(1))
    }

    /// Takes a slot for somebody who waits, and counts it as waiting no longer. Whoever gets `true` owes a
    /// [`Self::leave`].
    #[must_use]
    pub fn enter_waiting(&self) -> bool {
        self.change(|word| (word.has_room() && word.waiting > 0).then(|| 1u64.wrapping_sub(ONE_WAITING)))
    }

    /// Counts one more that waits.
    pub fn begin_waiting(&self) {
        self.word.fetch_add(ONE_WAITING, Ordering::AcqRel);
    }

    /// One that waited has gone without a slot.
    pub fn stop_waiting(&self) {
        self.word.fetch_sub(ONE_WAITING, Ordering::AcqRel);
    }

    /// Frees a slot. `true` when somebody waits who could have it.
    #[must_use = "somebody may wait for the slot"]
    pub fn leave(&self) -> bool {
        let before = Word::of(self.word.fetch_sub(1, Ordering::AcqRel));
        before.waiting > 0 && before.busy <= before.limit
    }

    /// Lends a slot out while its request costs the upstream nothing. `true` when somebody waits who could have it.
    #[must_use = "somebody may wait for the slot"]
    pub fn park(&self) -> bool {
        self.leave()
    }

    /// Takes the slot back, whether one is free or not.
    pub fn unpark(&self) {
        self.word.fetch_add(1, Ordering::AcqRel);
    }

    /// Moves the limit. `true` when somebody waits who could have a slot now.
    #[must_use = "somebody may wait for a slot"]
    pub fn set_limit(&self, limit: u32) -> bool {
        let limit = u64::from(limit.min(Self::LIMIT_MAX)) << LIMIT_SHIFT;
        let moved = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                Some(word & !(FIELD << LIMIT_SHIFT) | limit)
            });
        let word = moved.map_or(0, |before| before & !(FIELD << LIMIT_SHIFT) | limit);
        Word::of(word).waiting > 0 && Word::of(word).has_room()
    }

    /// Requests at work now.
    pub fn busy(&self) -> u32 {
        Word::of(self.word.load(Ordering::Relaxed)).busy as u32
    }

    /// How many may be.
    pub fn limit(&self) -> u32 {
        Word::of(self.word.load(Ordering::Relaxed)).limit as u32
    }

    /// Those that wait for a slot.
    pub fn waiting(&self) -> u32 {
        Word::of(self.word.load(Ordering::Relaxed)).waiting as u32
    }

    fn change(&self, by: impl Fn(Word) -> Option<u64>) -> bool {
        self.word
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |word| {
                Some(word.wrapping_add(by(Word::of(word))?))
            })
            .is_ok()
    }
}

/// A slot of one request that several may park, from any thread: its caller's slow body, the dependencies that the
/// service calls for it. It counts as busy while nobody has parked it and it has not ended.
///
/// ```
/// use plimsoll_policy::{Hold, Slots};
///
/// let slots = Slots::new(1);
/// let hold = Hold::default();
/// assert!(slots.enter());
/// let _ = hold.park(&slots); // one dependency
/// let _ = hold.park(&slots); // and another
/// assert_eq!(slots.busy(), 0);
/// let _ = hold.unpark(&slots);
/// assert_eq!(slots.busy(), 0, "the other is still out");
/// let _ = hold.end(&slots); // answered without waiting for it
/// let _ = hold.unpark(&slots);
/// assert_eq!(slots.busy(), 0);
/// ```
#[derive(Debug, Default)]
pub struct Hold {
    /// How many park it, and [`Self::ENDED`].
    state: AtomicU32,
}

impl Hold {
    const ENDED: u32 = 1 << 31;

    /// One more parks the slot. `true` when somebody waits who could have it.
    #[must_use = "somebody may wait for the slot"]
    pub fn park(&self, slots: &Slots) -> bool {
        self.state.fetch_add(1, Ordering::AcqRel) == 0 && slots.park()
    }

    /// One less does. `true` when somebody waits who could have it, because it is over after all.
    #[must_use = "somebody may wait for the slot"]
    pub fn unpark(&self, slots: &Slots) -> bool {
        // Taken back first, and returned if it was not the last: whoever ends it meanwhile finds it busy, so that the
        // count of the busy never falls below nought.
        slots.unpark();
        self.state.fetch_sub(1, Ordering::AcqRel) != 1 && slots.leave()
    }

    /// The request needs no slot any more. To be called once. `true` when somebody waits who could have it.
    #[must_use = "somebody may wait for the slot"]
    pub fn end(&self, slots: &Slots) -> bool {
        self.state.fetch_or(Self::ENDED, Ordering::AcqRel) == 0 && slots.leave()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_threads_never_exceed_the_limit_and_reach_it() {
        const LIMIT: u32 = 3;
        let slots = Slots::new(LIMIT);
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    for _ in 0..20_000 {
                        if slots.enter() {
                            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_sub(1, Ordering::SeqCst);
                            assert!(!slots.leave(), "nobody waits");
                        }
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), slots.busy()), (LIMIT, 0));
    }

    #[test]
    fn nobody_passes_those_who_wait() {
        let slots = Slots::new(1);
        assert!(slots.enter());
        slots.begin_waiting();
        assert!(!slots.enter_waiting(), "it is busy still");
        assert!(slots.leave(), "somebody waits for it");
        assert!(!slots.enter(), "it is another's turn");
        assert!(slots.enter_waiting());
        assert!(!slots.enter_waiting(), "nobody waits");
        assert_eq!((slots.busy(), slots.waiting()), (1, 0));
    }

    #[test]
    fn a_slot_is_free_or_its_waiter_knows() {
        // Whichever way a leaver and one that begins to wait cross, the slot is taken in the end.
        for _ in 0..2_000 {
            let slots = Slots::new(1);
            assert!(slots.enter());
            let taken = AtomicU32::new(0);
            let take = || {
                if slots.enter_waiting() {
                    taken.fetch_add(1, Ordering::SeqCst);
                }
            };
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    if slots.leave() {
                        take();
                    }
                });
                scope.spawn(|| {
                    slots.begin_waiting();
                    take();
                });
            });
            assert_eq!((taken.into_inner(), slots.busy(), slots.waiting()), (1, 1, 0));
        }
    }

    #[test]
    fn a_lower_limit_lets_the_busy_run_out_and_a_higher_one_lets_the_waiting_in() {
        let slots = Slots::new(2);
        assert!(slots.enter() && slots.enter());
        assert!(!slots.set_limit(1));
        slots.begin_waiting();
        assert!(!slots.leave(), "one is out and one is the limit");
        assert!(slots.set_limit(2));
        assert!(slots.enter_waiting());
        assert_eq!((slots.busy(), slots.limit(), slots.waiting()), (2, 2, 0));
    }

    #[test]
    fn what_is_parked_comes_back_over_the_limit() {
        let slots = Slots::new(1);
        assert!(slots.enter());
        assert!(!slots.park());
        assert!(slots.enter());
        slots.unpark();
        assert_eq!(slots.busy(), 2);
        slots.begin_waiting();
        assert!(!slots.leave(), "the other is at work");
        assert!(slots.leave());
    }

    #[test]
    fn the_largest_numbers_stay_in_their_fields() {
        let slots = Slots::new(u32::MAX);
        assert_eq!(slots.limit(), Slots::LIMIT_MAX);
        for _ in 0..Slots::WAITING_MAX {
            slots.begin_waiting();
        }
        assert_eq!((slots.waiting(), slots.busy()), (Slots::WAITING_MAX, 0));
        assert!(slots.enter_waiting());
        assert!(slots.set_limit(2));
        assert_eq!(
            (slots.waiting(), slots.busy(), slots.limit()),
            (Slots::WAITING_MAX - 1, 1, 2)
        );
    }

    #[test]
    fn whoever_parks_and_ends_it_from_wherever_a_slot_is_counted_once() {
        for _ in 0..2_000 {
            let (slots, hold) = (Slots::new(5), Hold::default());
            assert!(slots.enter());
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        for _ in 0..3 {
                            let _ = hold.park(&slots);
                            assert!(
                                slots.busy() <= 3,
                                "one for each that is just coming back, and its own"
                            );
                            let _ = hold.unpark(&slots);
                        }
                    });
                }
                scope.spawn(|| {
                    let _ = hold.end(&slots);
                });
            });
            assert_eq!((slots.busy(), slots.limit()), (0, 5));
        }
    }
}
