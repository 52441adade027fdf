//! Which callers failed lately: how many people a failure hurts, and how many failures are one caller's.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Words of a set: 1,024 places.
const WORDS: usize = 16;

/// Callers, each by a hash of whatever tells them apart. One is kept for each series and core, and noted in by that core
/// alone.
///
/// A caller has one of 1,024 places, and shares it with whoever has the same hash by chance. So the count is low rather
/// than high: of 100 callers 95 are counted, of 1,000 some 640. As evidence, and as a number of people, the low one is
/// the honest one.
#[derive(Debug, Default)]
pub struct Callers {
    words: [AtomicU64; WORDS],
}

/// A copy of [`Callers`], mergeable with those of other cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallerSet([u64; WORDS]);

impl Callers {
    /// Notes a caller, by any hash that is spread over all bits.
    pub fn note(&self, caller: u64) {
        let word = &self.words[(caller >> 6) as usize % WORDS];
        let place = 1 << (caller & 63);
        // Most who fail fail again: reading is cheaper than writing.
        if word.load(Relaxed) & place == 0 {
            word.fetch_or(place, Relaxed);
        }
    }

    /// Who was noted since the last [`Callers::clear`].
    pub fn snapshot(&self) -> CallerSet {
        CallerSet(core::array::from_fn(|index| self.words[index].load(Relaxed)))
    }

    /// Begins anew. Whoever is noted at this very moment may be forgotten.
    pub fn clear(&self) {
        self.words.iter().for_each(|word| word.store(0, Relaxed));
    }
}

impl CallerSet {
    /// Adds those of another set.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
    }

    /// Those that are not in another set.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|index| self.0[index] & !other.0[index]))
    }

    /// Their places, in order: 0 to 1,023.
    pub fn places(&self) -> impl Iterator<Item = u16> + '_ {
        let bits = |word: u64| (0..64).filter(move |bit| word >> bit & 1 == 1);
        let words = (0u16..).zip(self.0);
        words.flat_map(move |(index, word)| bits(word).map(move |bit| 64 * index + bit))
    }

    /// How many they are at least.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_counts_once_on_however_many_cores() {
        let cores = [Callers::default(), Callers::default()];
        for caller in [7, 7, 64, 1 << 40] {
            for core in &cores {
                core.note(caller);
            }
        }
        cores[1].note(1_000);
        let mut set = cores[0].snapshot();
        set.merge(&cores[1].snapshot());
        assert_eq!(set.count(), 4);
        assert_eq!(set.places().collect::<Vec<_>>(), [0, 7, 64, 1_000]);
        let only_one = set.without(&cores[0].snapshot());
        assert_eq!(only_one.places().collect::<Vec<_>>(), [1_000]);
        cores.iter().for_each(Callers::clear);
        assert_eq!(cores[0].snapshot(), CallerSet::default());
    }
}
