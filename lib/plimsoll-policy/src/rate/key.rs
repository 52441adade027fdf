//! Keys of callers: a keyed 64-bit hash of whatever identifies one.
//!
//! SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, with the rounds that std's
//! maps use). Our own forty lines, because std's cannot be seeded and its algorithm is not promised: a
//! simulation must hash alike on every run. The seed is a secret of the process, so that nobody can choose
//! names that collide.

/// The compression of one SipHash with `C` rounds per word and `D` to finish.
struct Sip<const C: usize, const D: usize>([u64; 4]);

impl<const C: usize, const D: usize> Sip<C, D> {
    const fn new(k0: u64, k1: u64) -> Self {
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    fn word(&mut self, word: u64) {
        self.0[3] ^= word;
        (0..C).for_each(|_| self.round());
        self.0[0] ^= word;
    }

    /// `last` has the bytes of an incomplete last word, and the length of the message modulo 256 as its top
    /// byte.
    fn finish(mut self, last: u64) -> u64 {
        self.word(last);
        self.0[2] ^= 0xff;
        (0..D).for_each(|_| self.round());
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }

    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *b = b.rotate_left(13) ^ *a;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*d);
        *d = d.rotate_left(16) ^ *c;
        *a = a.wrapping_add(*d);
        *d = d.rotate_left(21) ^ *a;
        *c = c.wrapping_add(*b);
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }
}

/// Hashes the parts of a key, under a secret seed.
///
/// It is SipHash-1-3 of all parts, each behind its length and padded with zeros to a multiple of eight bytes:
/// so `["ab", "c"]` and `["a", "bc"]` are two messages. The result is equally good in all bits.
///
/// ```
/// use plimsoll_policy::hash_key;
/// assert_eq!(hash_key(1, &[b"tenant", b"7"]), hash_key(1, &[b"tenant", b"7"]));
/// assert_ne!(hash_key(1, &[b"tenant", b"7"]), hash_key(1, &[b"tenant7", b""]));
/// assert_ne!(hash_key(1, &[b"tenant", b"7"]), hash_key(2, &[b"tenant", b"7"]));
/// ```
pub fn hash_key(seed: u64, parts: &[&[u8]]) -> u64 {
    // SipHash wants 128 bits of key; the second half is made of the first, which leaves 64 bits to guess.
    let mut sip = Sip::<1, 3>::new(seed, seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15);
    let mut words = 0u64;
    for part in parts {
        sip.word(part.len() as u64);
        part.chunks(8).for_each(|chunk| sip.word(little_endian(chunk)));
        words = words.wrapping_add(1 + part.len().div_ceil(8) as u64);
    }
    sip.finish(words.wrapping_mul(8) << 56)
}

/// Up to eight bytes as a number, the first one lowest.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher as _;

    use proptest::prelude::*;

    use super::*;

    fn siphash<const C: usize, const D: usize>(k0: u64, k1: u64, message: &[u8]) -> u64 {
        let mut sip = Sip::<C, D>::new(k0, k1);
        let (words, rest) = message.as_chunks::<8>();
        for word in words {
            sip.word(u64::from_le_bytes(*word));
        }
        sip.finish(little_endian(rest) | (message.len() as u64) << 56)
    }

    /// The first sixteen vectors of the reference implementation, for SipHash-2-4 with the key 00 01 … 0f.
    #[test]
    fn the_rounds_are_those_of_the_reference() {
        const VECTORS: [u64; 16] = [
            0x726f_db47_dd0e_0e31,
            0x74f8_39c5_93dc_67fd,
            0x0d6c_8009_d9a9_4f5a,
            0x8567_6696_d7fb_7e2d,
            0xcf27_94e0_2771_87b7,
            0x1876_5564_cd99_a68d,
            0xcbc9_466e_58fe_e3ce,
            0xab02_00f5_8b01_d137,
            0x93f5_f579_9a93_2462,
            0x9e00_82df_0ba9_e4b0,
            0x7a5d_bbc5_94dd_b9f3,
            0xf4b3_2f46_226b_ada7,
            0x751e_8fbc_860e_e5fb,
            0x14ea_5627_c084_3d90,
            0xf723_ca90_8e7a_f2ee,
            0xa129_ca61_49be_45e5,
        ];
        let message: Vec<u8> = (0..16).collect();
        for (length, expected) in VECTORS.into_iter().enumerate() {
            let hash = siphash::<2, 4>(0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908, &message[..length]);
            assert_eq!(hash, expected, "{length} bytes");
        }
    }

    /// The published SipHash-1-3 of nothing under the key 0.
    #[test]
    fn one_and_three_rounds() {
        assert_eq!(siphash::<1, 3>(0, 0, b""), 0xd1fb_a762_150c_532c);
    }

    #[test]
    fn a_key_is_the_hash_of_its_parts_with_lengths_and_padding() {
        let message = [3, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', b'c', 0, 0, 0, 0, 0];
        let (k0, k1) = (5, 5u64.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15);
        assert_eq!(hash_key(5, &[b"abc"]), siphash::<1, 3>(k0, k1, &message));
    }

    proptest! {
        /// std's default hasher is SipHash-1-3 with the key 0 today: if this fails, look whether that has
        /// changed.
        #[test]
        fn std_agrees(message in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut std = std::hash::DefaultHasher::new();
            std.write(&message);
            prop_assert_eq!(siphash::<1, 3>(0, 0, &message), std.finish());
        }
    }
}
