//! Who may ask the port for flags.

use std::fmt::{self, Write as _};

use ring::digest::{SHA256, digest};

/// The tokens that are let in, as their hashes.
pub(crate) struct TokenCheck {
    hashes: Vec<[u8; 32]>,
}

impl TokenCheck {
    pub(crate) fn of<'t>(tokens: impl IntoIterator<Item = &'t str>) -> Self {
        let hashes = tokens.into_iter().map(|token| hash(token.as_bytes())).collect();
        Self { hashes }
    }

    /// Whether this token is one of them, in a time that does not tell how much of it was right.
    pub(crate) fn admits(&self, token: &[u8]) -> bool {
        self.is_one_of(hash(token), |known| *known)
    }

    /// What a listener to changes shows in the address instead of a token, since a browser's `EventSource` sends no
    /// headers and addresses end up in logs. It is good for nothing else, and the same in every process that knows
    /// the token.
    pub(crate) fn ticket(&self) -> Option<String> {
        self.hashes.first().map(|known| hex(&ticket(known)))
    }

    pub(crate) fn admits_ticket(&self, shown: &str) -> bool {
        self.is_one_of(hash(shown.as_bytes()), |known| {
            hash(hex(&ticket(known)).as_bytes())
        })
    }

    fn is_one_of(&self, shown: [u8; 32], right: impl Fn(&[u8; 32]) -> [u8; 32]) -> bool {
        self.hashes.iter().fold(false, |found, known| {
            let pairs = right(known).into_iter().zip(shown);
            found | (pairs.fold(0, |differ, (a, b)| differ | (a ^ b)) == 0)
        })
    }
}

impl fmt::Debug for TokenCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenCheck(…)")
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes)
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

fn ticket(known: &[u8; 32]) -> [u8; 32] {
    hash(&[b"plimsoll flag events ", known.as_slice()].concat())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::new();
    for byte in bytes {
        _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_no_token_and_a_token_no_ticket() {
        let check = TokenCheck::of(["secret", "other"]);
        let ticket = check.ticket().unwrap();
        assert!(check.admits(b"secret") && check.admits(b"other") && check.admits_ticket(&ticket));
        assert!(!check.admits(ticket.as_bytes()) && !check.admits_ticket("secret") && !check.admits(b""));
    }
}
