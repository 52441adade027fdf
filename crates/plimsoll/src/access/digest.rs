//! What is kept of a token.

use std::fmt;

use ring::digest::{SHA256, digest};

/// The SHA-256 of a token, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(token: &[u8]) -> Self {
        let hashed = digest(&SHA256, token);
        let bytes = hashed.as_ref().try_into();
        Self(bytes.expect("SHA-256 has 32 bytes"))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("sha256:")?.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (16 * digit(0)? + digit(1)?) as u8;
        }
        Some(Self(bytes))
    }

    /// Whether both are the same, in a time that does not tell how much of it was right.
    pub(super) fn matches(&self, shown: &Self) -> bool {
        let pairs = self.0.iter().zip(shown.0);
        pairs.fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_other_programs() {
        // printf abc | sha256sum
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), text);
        assert_eq!(Digest::parse(text), Some(Digest::of(b"abc")));
        for wrong in [
            "",
            "sha256:",
            &text[..70],
            &format!("{text}0"),
            &text[7..],
            &text.replace("ba", "bé"),
        ] {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
        assert!(!Digest::of(b"abc").matches(&Digest::of(b"abd")));
    }
}
