//! A chunked body, followed byte by byte (RFC 9112 §7.1).
//!
//! ```text
//! Size => Extension => SizeLf => Data => DataCr => DataLf => Size …
//! (size 0) SizeLf => Trailer => (empty line) => End
//! ```

use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;
use plimsoll_slo::Reason;

use super::{Refusal, TOKEN, VALUE, all, trim};
use crate::fields::Known;

/// Bytes that a chunk's extensions may have: nobody uses them, attackers do.
const EXTENSION_MAX: u16 = 256;
/// Bytes of all trailers together.
const TRAILERS_MAX: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
    },
    /// White space behind a size, which some servers write.
    Padding,
    Extension {
        bytes: u16,
    },
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    End,
    /// A rule was broken. What comes after that means nothing.
    Broken,
}

/// Follows one chunked body.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    left: u64,
    padded: bool,
    /// The trailer line under way, which may come in pieces.
    line: Vec<u8>,
    trailer_bytes: usize,
    trailers: HeaderMap,
}

impl Chunks {
    /// A caller's body.
    pub(crate) fn of_request() -> Self {
        Self {
            state: State::Size { digits: 0 },
            left: 0,
            padded: false,
            line: Vec::new(),
            trailer_bytes: 0,
            trailers: HeaderMap::new(),
        }
    }

    /// An upstream's body, whose sizes may be padded.
    pub(crate) fn of_answer() -> Self {
        Self {
            padded: true,
            ..Self::of_request()
        }
    }

    /// Takes the next bytes, and adds what they carry to `data`; returns how many of them belong to this body. Fewer
    /// than all of them means that the body ended there.
    ///
    /// # Errors
    /// [`Refusal`] with the first rule that is broken.
    pub(crate) fn take(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<usize, Refusal> {
        let taken = self.follow(bytes, data);
        if taken.is_err() {
            self.state = State::Broken;
        }
        taken
    }

    fn follow(&mut self, bytes: &[u8], data: &mut Vec<u8>) -> Result<usize, Refusal> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::End {
            at += match self.state {
                State::Data => {
                    let taken = self.data(&bytes[at..]);
                    data.extend_from_slice(&bytes[at..at + taken]);
                    taken
                }
                State::Trailer => self.trailer(&bytes[at..])?,
                _ => {
                    self.step(bytes[at])?;
                    1
                }
            };
        }
        Ok(at)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state == State::End
    }

    /// The trailers of a body that has ended; `None` when it had none.
    pub(crate) fn into_trailers(self) -> Option<HeaderMap> {
        Some(self.trailers).filter(|trailers| !trailers.is_empty())
    }

    fn data(&mut self, bytes: &[u8]) -> usize {
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= taken as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        taken
    }

    fn step(&mut self, byte: u8) -> Result<(), Refusal> {
        self.state = match (self.state, byte) {
            (State::Broken, _) => return Err(Refusal::ambiguous("the chunks before were broken")),
            (State::Size { digits }, _) if byte.is_ascii_hexdigit() => {
                // 15 digits stay below 2^60.
                if digits == 15 {
                    return Err(Refusal::ambiguous("a chunk size has too many digits"));
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                self.left = self.left << 4 | u64::from(digit);
                State::Size { digits: digits + 1 }
            }
            (State::Size { digits: 1.. } | State::Padding | State::Extension { .. }, b'\r') => State::SizeLf,
            (State::Size { digits: 1.. } | State::Padding, b' ' | b'\t') if self.padded => State::Padding,
            (State::Size { digits: 1.. }, b';') => State::Extension { bytes: 0 },
            (State::Size { .. } | State::Padding, _) => {
                return Err(Refusal::ambiguous(
                    "a chunk size is not a plain hexadecimal number",
                ));
            }
            (State::Extension { bytes }, _) if VALUE[usize::from(byte)] && bytes < EXTENSION_MAX => {
                State::Extension { bytes: bytes + 1 }
            }
            (State::Extension { .. }, _) => {
                return Err(Refusal::ambiguous("a chunk extension is too long or not text"));
            }
            (State::SizeLf, b'\n') if self.left == 0 => State::Trailer,
            (State::SizeLf, b'\n') => State::Data,
            (State::SizeLf, _) => return Err(Refusal::ambiguous("a chunk size line does not end in CRLF")),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0 },
            (State::DataCr | State::DataLf, _) => {
                return Err(Refusal::ambiguous(
                    "a chunk is longer than it said, or does not end in CRLF",
                ));
            }
            (state @ (State::Data | State::Trailer | State::End), _) => state,
        };
        Ok(())
    }

    fn trailer(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let found = memchr(b'\n', bytes);
        let taken = found.map_or(bytes.len(), |lf| lf + 1);
        self.trailer_bytes += taken;
        if self.trailer_bytes > TRAILERS_MAX {
            return Err(Refusal::new(
                Reason::HeadTooLarge,
                "the trailers are larger than the limit",
            ));
        }
        self.line.extend_from_slice(&bytes[..taken]);
        if found.is_some() {
            let line = std::mem::take(&mut self.line);
            self.trailer_line(&line)?;
        }
        Ok(taken)
    }

    fn trailer_line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(Refusal::ambiguous("a trailer line ends in a bare LF"));
        };
        if line.is_empty() {
            self.state = State::End;
            return Ok(());
        }
        let Some(colon) = memchr(b':', line) else {
            return Err(Refusal::ambiguous("a trailer line has no colon"));
        };
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if name.is_empty() || !all(&TOKEN, name) || !all(&VALUE, value) {
            return Err(Refusal::ambiguous("a trailer line is not `name: value`"));
        }
        if matches!(
            Known::of(name),
            Some(Known::ContentLength | Known::TransferEncoding | Known::Host)
        ) {
            return Err(Refusal::ambiguous("a trailer names a framing header"));
        }
        // Both have just been checked by tables that are no wider.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(trim(value))) {
            self.trailers.append(name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_follows_a_broken_rule_is_taken() {
        for broken in ["z", "5\r\nhelloo", "0\r\nx\r\n"] {
            let mut chunks = Chunks::of_request();
            let mut data = Vec::new();
            assert!(chunks.take(broken.as_bytes(), &mut data).is_err(), "{broken:?}");
            assert!(chunks.take(b"0\r\n\r\n", &mut data).is_err(), "{broken:?}");
            assert!(!chunks.is_ended(), "{broken:?}");
        }
    }
}
