//! The three generations of bucketing: how a key becomes a place between 0 and 1.
//!
//! flagd has changed its hash twice, and its evaluators are on different generations at the same time; two of them
//! agree on half of the users of an even split. So a flag set names its generation, and a ramp never changes it.
//!
//! - `v1` (flagd before core 0.15): the absolute value of the signed hash of the key's text, over 2³¹ − 1, as a
//!   percentage in floating point. Percentages are added up as they are walked, so a key may fall behind the last
//!   one; it then gets the variant named `""`, which is none.
//! - `v2` (flagd core 0.15 and 0.16; the JavaScript evaluator 4): the hash times the sum of weights, over 2³².
//! - `v3` (accepted for flagd 1.0; the Python evaluator 2): as `v2`, but of the key's deterministic CBOR, so that
//!   numbers, booleans and objects are keys too.
//!
//! The hash is MurmurHash3, x86, 32 bits, seed 0 in all of them.

use core::fmt;
use core::str::FromStr;

/// A generation of bucketing.
///
/// ```
/// use plimsoll_policy::Bucketing;
/// assert_eq!("v3".parse(), Ok(Bucketing::V3));
/// assert_eq!(Bucketing::default().to_string(), "v2");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bucketing {
    /// flagd before core 0.15.
    V1,
    /// flagd core 0.15 and 0.16.
    #[default]
    V2,
    /// What flagd has accepted for its 1.0.
    V3,
}

impl fmt::Display for Bucketing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
        })
    }
}

/// A generation that is not known. Its `Display` names those that are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBucketing;

impl fmt::Display for UnknownBucketing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the generations of bucketing are v1, v2 and v3")
    }
}

impl core::error::Error for UnknownBucketing {}

impl FromStr for Bucketing {
    type Err = UnknownBucketing;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            "v3" => Ok(Self::V3),
            _ => Err(UnknownBucketing),
        }
    }
}

impl Bucketing {
    /// The hash of a text as a bucketing key.
    ///
    /// ```
    /// use plimsoll_policy::Bucketing;
    /// assert_eq!(Bucketing::V2.hash_text("ceQdGm"), 0xffff_ffff);
    /// ```
    pub fn hash_text(self, text: &str) -> u32 {
        match self {
            Self::V1 | Self::V2 => murmur3(text.as_bytes()),
            Self::V3 => murmur3(&cbor_text(text)),
        }
    }

    /// Which of these weights a hash falls to; `None` if to none.
    ///
    /// Weights are not negative, except in `v1`, which takes them as they are; `total` is their sum, and not 0.
    ///
    /// ```
    /// use plimsoll_policy::Bucketing;
    /// assert_eq!(Bucketing::V2.walk(1 << 31, 100, [50, 50]), Some(1));
    /// ```
    pub fn walk(self, hash: u32, total: i64, weights: impl IntoIterator<Item = i64>) -> Option<usize> {
        let mut weights = weights.into_iter();
        if self == Self::V1 {
            let percent = percent(hash);
            let mut end = 0.0;
            return weights.position(|weight| {
                end += 100.0 * weight as f64 / total as f64;
                percent < end
            });
        }
        let bucket = ((u128::from(hash) * u128::from(total.unsigned_abs())) >> 32) as i64;
        let mut end = 0;
        weights.position(|weight| {
            end += weight;
            bucket < end
        })
    }
}

/// Where a hash lies in `v1`, from 0 to a hair over 100.
fn percent(hash: u32) -> f64 {
    f64::from(hash.cast_signed()).abs() / f64::from(i32::MAX) * 100.0
}

/// Which of `slots` (1 to 65,536) a key falls in under a salt, from 0.
///
/// It is what `{"fractional": [{"cat": [salt, {"var": "targetingKey"}]}, ["candidate", boundary], ["stable",
/// slots − boundary]]}` does in that generation: the key is a candidate if its slot is below the boundary. So a ramp
/// can be judged by whoever has only the key. In `v1` two hashes of 2³² fall behind the last slot, and flagd serves
/// them neither variant; they count as the last slot, which is where a ramp of `plimsoll-flags` has them.
///
/// ```
/// use plimsoll_policy::{Bucketing, slot};
/// let users = 0..10_000;
/// let inside = users.filter(|user| slot(Bucketing::V2, "new-tax", &format!("user-{user}"), 100) < 10);
/// assert!((900..1_100).contains(&inside.count()));
/// ```
pub fn slot(bucketing: Bucketing, salt: &str, key: &str, slots: u32) -> u32 {
    // `cat` trims what it has joined; see the header of this crate.
    let joined = [salt, key].concat();
    let hash = bucketing.hash_text(joined.trim());
    if bucketing != Bucketing::V1 {
        return ((u64::from(hash) * u64::from(slots)) >> 32) as u32;
    }
    // The percentage is rounded, so the slot that division finds may be one off. The boundaries that the walk
    // compares with decide.
    let percent = percent(hash);
    let below = |boundary: u32| percent < 100.0 * f64::from(boundary) / f64::from(slots);
    let mut slot = (percent / 100.0 * f64::from(slots)) as u32;
    while slot > 0 && below(slot) {
        slot -= 1;
    }
    while slot < slots && !below(slot + 1) {
        slot += 1;
    }
    slot.min(slots.saturating_sub(1))
}

/// A text in deterministic CBOR (RFC 8949, section 4.2.1): its head is as short as it can be.
fn cbor_text(text: &str) -> Vec<u8> {
    const TEXT: u8 = 3 << 5;
    let mut bytes = Vec::with_capacity(text.len() + 9);
    match text.len() {
        short @ 0..=23 => bytes.push(TEXT | short as u8),
        long @ 24..=0xff => bytes.extend([TEXT | 0x18, long as u8]),
        long @ 0x100..=0xffff => {
            bytes.push(TEXT | 0x19);
            bytes.extend((long as u16).to_be_bytes());
        }
        long => {
            // Nobody has a key of 4 GiB.
            bytes.push(TEXT | 0x1a);
            bytes.extend((long as u32).to_be_bytes());
        }
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// The hash of some bytes: MurmurHash3 for x86 in its 32-bit form, with seed 0 (Austin Appleby, public domain).
///
/// ```
/// assert_eq!(plimsoll_policy::murmur3(b"abc"), 0xb3dd_93fa);
/// ```
pub fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |block: u32| {
        block
            .wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = 0_u32;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let mut last = [0; 4];
    last[..tail.len()].copy_from_slice(tail);
    hash ^= scramble(u32::from_le_bytes(last));
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        for (text, hash) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("abc", 0xb3dd_93fa),
            ("abcd", 0x43ed_676a),
            ("Hello, world!", 0xc036_3e43),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(murmur3(text.as_bytes()), hash, "{text:?}");
        }
    }

    /// Keys that fall exactly on the edges that signs and widths of integers go wrong at.
    #[test]
    fn keys_on_the_edges() {
        for (key, hash) in [
            ("ejOoVL", 0),
            ("bY9fO-", 1),
            ("SI7p-", 0x7fff_ffff),
            ("6LvT0", 0x8000_0000),
            ("ceQdGm", 0xffff_ffff),
        ] {
            assert_eq!(murmur3(key.as_bytes()), hash, "{key:?}");
        }
    }
}
