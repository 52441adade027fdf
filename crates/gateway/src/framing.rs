//! Strict HTTP/1 framing.
//!
//! Where one request ends and the next begins must be the same to us and to every server behind us, or one caller
//! can smuggle a request into another's connection. What is ambiguous (two lengths, folded headers, a bare LF, odd
//! chunk sizes) is refused and never repaired, and what goes on is written anew from what was understood.
//!
//! The scanners are pure: [`head`] looks at a request's whole head, [`answer`] at an answer's, [`chunk`] follows a
//! chunked body byte by byte. The connections around them are in [`http1`](crate::http1). The table in
//! `testdata/framing.txt` holds them to their word, and tests compare them with hyper.

pub(crate) mod answer;
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

/// Bytes of a request target (RFC 3986, and as loose as servers are): what is visible, but for `#`, which ends it, and
/// the brackets and the back-tick, which no URI has.
const TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] = !matches!(byte as u8, b'#' | b'<' | b'>' | b'`');
        byte += 1;
    }
    table
};

fn all(table: &[bool; 256], bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| table[usize::from(*byte)])
}

/// Parts a line at the colon behind a token: name and value. `None` if anything else is before the colon, or nothing, or
/// there is no colon.
fn part(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| !TOKEN[usize::from(*byte)])?;
    (end > 0 && line[end] == b':').then(|| (&line[..end], &line[end + 1..]))
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

/// Whether all bytes may stand in a value. Every byte is looked at, which the compiler does many at a time.
fn is_value(bytes: &[u8]) -> bool {
    let bad = bytes.iter().fold(0, |bad, byte| {
        let control = u8::from(*byte < 0x20) & u8::from(*byte != b'\t');
        bad | control | u8::from(*byte == 0x7f)
    });
    bad == 0
}

/// Where `part` lies, which is a part of `line`, which lies at `at`.
fn within(line: &[u8], part: &[u8], at: usize) -> std::ops::Range<usize> {
    let start = at + (part.as_ptr() as usize - line.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_judged_alike_one_by_one_and_together() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_value(&[b'a', byte, b'b']), VALUE[usize::from(byte)], "{byte}");
        }
    }
}
