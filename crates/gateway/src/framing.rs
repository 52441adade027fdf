//! Strict HTTP/1 request framing, in front of a lenient codec.
//!
//! Where one request ends and the next begins must be the same to us and to every server behind us, or one caller
//! can smuggle a request into another's connection. hyper repairs some ambiguous messages (it drops Content-Length
//! when there is a Transfer-Encoding, joins folded headers, takes a bare LF for CRLF). We refuse them instead: the
//! guard reads every byte before hyper does, and lets a head through only when all of it is plain.
//!
//! The scanners are pure and incremental: [`head`] looks at a whole head, [`chunk`] follows a chunked body byte by
//! byte. [`guard`](crate::guard) holds the connection's state around them. Whatever they let through, hyper frames
//! the same way; a fuzz target and the table in `testdata/framing.txt` hold them to it.

pub(crate) mod chunk;
pub(crate) mod head;

use plimsoll_slo::Reason;

/// Why bytes were refused: the reason, and which rule they broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    /// The rule, in words for whoever has to mend the client.
    pub(crate) cause: &'static str,
}

impl Refusal {
    pub(crate) const fn new(reason: Reason, cause: &'static str) -> Self {
        Self { reason, cause }
    }

    const fn malformed(cause: &'static str) -> Self {
        Self::new(Reason::MalformedRequest, cause)
    }

    const fn ambiguous(cause: &'static str) -> Self {
        Self::new(Reason::AmbiguousFraming, cause)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.cause)
    }
}

impl std::error::Error for Refusal {}

/// Bytes that may stand in a header value or a reason phrase: visible ASCII, space, tab, and obs-text (RFC 9110 §5.5).
const VALUE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 256 {
        table[byte] = byte != 0x7f;
        byte += 1;
    }
    table[b'\t' as usize] = true;
    table
};

/// Bytes of a token: method and header names (RFC 9110 §5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'!' | b'#' | b'$' | b'%' | b'&'
            | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

fn all(table: &[bool; 256], bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| table[usize::from(*byte)])
}

fn trim(value: &[u8]) -> &[u8] {
    let start = value
        .iter()
        .position(|b| !matches!(b, b' ' | b'\t'))
        .unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|b| !matches!(b, b' ' | b'\t'))
        .map_or(start, |last| last + 1);
    &value[start..end]
}
