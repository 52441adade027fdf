//! Rate limits for many callers in a fixed amount of memory.
//!
//! A table of sets of eight entries, each a key and its TAT. A key belongs to one set, and a full set gives
//! up the entry with the smallest TAT. A TAT that has passed is as good as none, so to drop it is exact; to
//! drop one that has not passed forgives that caller what it has used. It is the one that used least, so a
//! flood of invented keys frees the callers that are nearly unused and not those that are being refused. Each
//! such loss is counted: when [`KeyedLimiter::evicted_live`] grows, the table is too small.
//!
//! All of the table is asked for at the beginning, and none of it is written: sets lie in the order in which their
//! first callers came, and a number per set says where. What is never written takes no memory on systems that give it
//! when it is touched, so a limit for 100,000 callers that a hundred use takes what a hundred take. To count on
//! zeroed memory instead was tried: allocators zero what they use again by writing to it.
//!
//! governor and its like keep a map that grows with every caller ever seen, which is a way to run out of
//! memory that callers control.

use plimsoll_slo::Instant;

use super::{Quota, RateDecision, gcra};

/// Entries per set: a set of eight is two cache lines. With random keys and half as many callers as the
/// capacity, about one set in fifty has more callers than places.
const WAYS: usize = 8;

/// The most entries a table can have: 2²⁶, one gigabyte.
const CAPACITY_MAX: usize = 1 << 26;

/// Rate limits by key, in memory that does not grow.
///
/// The shell hashes what identifies a caller with [`hash_key`](super::hash_key), and may spread keys over
/// several limiters by the upper bits of the hash: the set is chosen by the lower ones.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{KeyedLimiter, Quota, RateDecision, hash_key};
/// use plimsoll_slo::Instant;
///
/// let mut limiter = KeyedLimiter::new(10_000);
/// let quota = Quota::new(10, Duration::from_secs(1), 1).unwrap();
/// let (ann, bob) = (hash_key(42, &[b"ann"]), hash_key(42, &[b"bob"]));
/// let now = Instant::from_nanos(1);
/// assert!(matches!(limiter.decide(now, ann, &quota, 1), RateDecision::Admit { .. }));
/// assert!(matches!(limiter.decide(now, ann, &quota, 1), RateDecision::Refuse { .. }));
/// assert!(matches!(limiter.decide(now, bob, &quota, 1), RateDecision::Admit { .. }));
/// ```
#[derive(Debug)]
pub struct KeyedLimiter {
    /// By the lower bits of the key, a power of two of them: one more than where its set lies, and 0 as long as it
    /// has none.
    places: Box<[u32]>,
    /// Those that were ever used. Its capacity is that of all, so that it is never moved.
    sets: Vec<Set>,
    evicted_live: u64,
}

/// Aligned, so that a set never straddles a third cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(128))]
struct Set([Entry; WAYS]);

/// Needs no mark for "empty": the key 0 with the TAT 0 is what a caller with that key has who was never seen.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    key: u64,
    tat: u64,
}

impl KeyedLimiter {
    /// A table for `capacity` callers or more: sets of 8, a power of two of them, at most 17 bytes a caller. It is
    /// allocated here and nowhere else. At most 2²⁶ callers.
    pub fn new(capacity: usize) -> Self {
        let sets = capacity.clamp(1, CAPACITY_MAX).div_ceil(WAYS).next_power_of_two();
        Self {
            places: vec![0; sets].into_boxed_slice(),
            sets: Vec::with_capacity(sets),
            evicted_live: 0,
        }
    }

    /// Decides on one request of the caller with this key. See [`gcra`].
    pub fn decide(&mut self, now: Instant, key: u64, quota: &Quota, cost: u32) -> RateDecision {
        let at = key as usize & (self.places.len() - 1);
        let place = &mut self.places[at];
        if *place == 0 {
            // A caller that nobody knows is always admitted, so a set is begun only for one that is put into it.
            self.sets.push(Set::default());
            *place = self.sets.len() as u32;
        }
        let Set(entries) = &mut self.sets[*place as usize - 1];
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) {
            let decision = gcra(entry.tat, now, quota, cost);
            if let RateDecision::Admit { tat, .. } = decision {
                entry.tat = tat;
            }
            return decision;
        }
        let decision = gcra(0, now, quota, cost);
        if let RateDecision::Admit { tat, .. } = decision {
            let least = entries
                .iter_mut()
                .min_by_key(|entry| entry.tat)
                .expect("a set has eight entries");
            self.evicted_live += u64::from(least.tat > now.as_nanos());
            *least = Entry { key, tat };
        }
        decision
    }

    /// Callers that there is room for.
    pub const fn capacity(&self) -> usize {
        self.places.len() * WAYS
    }

    /// Callers that were forgotten although they had used some of their quota, since the beginning: each may
    /// have passed up to one burst more than it should. Grows when the table is too small.
    pub const fn evicted_live(&self) -> u64 {
        self.evicted_live
    }
}
