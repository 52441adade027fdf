//! Keys, in slots: where requests with the same key keep to one version, what happens to them is not by chance any more.
//!
//! What was left to chance is which version a key got, so a key counts once for each thing that may happen to it. Keys
//! are too many to be remembered; they are hashed into [`SLOTS`] slots, and a slot keeps to one version as a whole, those
//! below a boundary to the candidate. So what is remembered is a set of slots for each thing, and several who have seen
//! requests of the same keys put theirs together by union.
//!
//! **When the share grows**, only keys that were the stable version's until then are left to chance, and of them the share
//! `(new − old) / (all − old)` becomes the candidate's; those that were the candidate's before stay it, and tell nothing
//! new. A boundary that is not above all before it leaves nothing to chance.
//!
//! Counting each request instead convicts every sixth to fourth candidate that is as good as the stable version: a user of
//! the candidate who fails all the time is as many failures as he has patience.

use super::{Epoch, Seen};

/// How many slots there are; a share is a multiple of one of so many.
pub const SLOTS: u16 = 32_768;

const WORDS: usize = SLOTS as usize / 64;

/// A set of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSet(Box<[u64; WORDS]>);

impl Default for SlotSet {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl SlotSet {
    /// A set by its bits, 64 of them in a word, the first in the lowest; `None` if these are not [`SLOTS`].
    pub fn of_words(words: impl IntoIterator<Item = u64>) -> Option<Self> {
        let words: Vec<u64> = words.into_iter().collect();
        Some(Self(words.into_boxed_slice().try_into().ok()?))
    }

    /// Its bits: see [`Self::of_words`].
    pub fn words(&self) -> &[u64] {
        &*self.0
    }

    /// Adds a slot, which is less than [`SLOTS`]; whether it was not in it.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn insert(&mut self, slot: u16) -> bool {
        let (word, bit) = (&mut self.0[usize::from(slot / 64)], 1 << (slot % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Adds all that another has.
    pub fn unite(&mut self, other: &Self) {
        for (word, more) in self.0.iter_mut().zip(&*other.0) {
            *word |= more;
        }
    }

    /// How many it has that are at least `from`, and less than `to`.
    pub fn count(&self, from: u16, to: u16) -> u64 {
        let below = |end: u16| -> u64 {
            let whole = usize::from(end / 64);
            let all: u32 = self.0[..whole].iter().map(|word| word.count_ones()).sum();
            let rest = self.0.get(whole).map_or(0, |word| word & ((1 << (end % 64)) - 1));
            u64::from(all + rest.count_ones())
        };
        below(to).saturating_sub(below(from))
    }
}

/// What happened to the keys of an epoch, by their slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySlots {
    /// Those that a request came of.
    pub seen: SlotSet,
    /// Those of which one failed.
    pub failed: SlotSet,
    /// Those of which the first was slow, for each quantile of [`SLOW`](crate::SLOW).
    pub slow: [SlotSet; 3],
}

impl KeySlots {
    /// Adds what another has seen of the same epoch.
    pub fn unite(&mut self, other: &Self) {
        self.seen.unite(&other.seen);
        self.failed.unite(&other.failed);
        for (slow, more) in self.slow.iter_mut().zip(&other.slow) {
            slow.unite(more);
        }
    }

    /// The epoch for a comparison. Slots below `boundary` were the candidate's, and in epochs before it those below
    /// `before`, at most.
    ///
    /// ```
    /// use plimsoll_slo::{KeySlots, SLOTS};
    ///
    /// let mut keys = KeySlots::default();
    /// [10, 20, 30_000].map(|slot| keys.failed.insert(slot));
    /// let epoch = keys.epoch(SLOTS / 100, 0);
    /// assert_eq!((epoch.candidate.failed, epoch.stable.failed), (2, 1));
    /// // In the next step they are the candidate's still, and what happens to them is known.
    /// let epoch = keys.epoch(SLOTS / 20, SLOTS / 100);
    /// assert_eq!((epoch.candidate.failed, epoch.stable.failed), (0, 1));
    /// assert!((epoch.share - 0.04 / 0.99).abs() < 1e-4);
    /// ```
    pub fn epoch(&self, boundary: u16, before: u16) -> Epoch {
        let (before, boundary) = (before.min(SLOTS), boundary.clamp(before.min(SLOTS), SLOTS));
        let within = |from, to| Seen {
            events: self.seen.count(from, to),
            failed: self.failed.count(from, to),
            slow: [0, 1, 2].map(|place: usize| self.slow[place].count(from, to)),
        };
        let left = f64::from(SLOTS - before);
        Epoch {
            share: f64::from(boundary - before) / left.max(1.0),
            candidate: within(before, boundary),
            stable: within(boundary, SLOTS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_at_all_edges() {
        let mut set = SlotSet::default();
        for slot in [0, 63, 64, 127, 4_095, SLOTS - 1] {
            assert!(set.insert(slot));
            assert!(!set.insert(slot), "it is in it");
        }
        assert_eq!(set.count(0, SLOTS), 6);
        assert_eq!(set.count(0, 63), 1);
        assert_eq!(set.count(63, 65), 2);
        assert_eq!(set.count(65, 64), 0, "nothing is between them");
        assert_eq!(set.count(SLOTS - 1, SLOTS), 1);
        let mut other = SlotSet::of_words(set.words().iter().copied()).unwrap();
        other.insert(1);
        set.unite(&other);
        assert_eq!((set.count(0, SLOTS), &set), (7, &other));
        assert_eq!(SlotSet::of_words([1, 2]), None);
    }

    #[test]
    fn a_share_that_does_not_grow_leaves_nothing_to_chance() {
        let mut keys = KeySlots::default();
        (0..SLOTS).for_each(|slot| _ = keys.failed.insert(slot));
        for (boundary, before) in [(100, 100), (50, 100), (SLOTS, SLOTS), (0, 0)] {
            let epoch = keys.epoch(boundary, before);
            assert_eq!(epoch.candidate.failed, 0, "{boundary} after {before}");
            assert!(epoch.share.abs() < 1e-12, "{boundary} after {before}");
        }
        assert!((keys.epoch(SLOTS, 0).share - 1.0).abs() < 1e-12);
    }
}
