//! A chunked body, followed byte by byte (RFC 9112 §7.1).
//!
//! ```text
//! Size => Extension => SizeLf => Data => DataCr => DataLf => Size …
//! (size 0) SizeLf => Trailer => (empty line) => End
//! ```

use memchr::memchr;
use plimsoll_slo::Reason;

use super::{Refusal, TOKEN, VALUE, all};

/// Bytes that a chunk's extensions may have: nobody uses them, attackers do.
const EXTENSION_MAX: u16 = 256;
/// Bytes of all trailers together.
const TRAILERS_MAX: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension { bytes: u16 },
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    End,
}

/// Follows one chunked body.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    left: u64,
    /// The trailer line under way, which may come in pieces.
    line: Vec<u8>,
    trailers: usize,
}

impl Chunks {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size { digits: 0 },
            left: 0,
            line: Vec::new(),
            trailers: 0,
        }
    }

    /// Takes the next bytes; returns how many of them belong to this body. Fewer than all of them means that the
    /// body ended there.
    ///
    /// # Errors
    /// [`Refusal`] with the first rule that is broken.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::End {
            at += match self.state {
                State::Data => self.data(&bytes[at..]),
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
            (State::Size { digits }, _) if byte.is_ascii_hexdigit() => {
                // 15 digits stay below 2^60.
                if digits == 15 {
                    return Err(Refusal::ambiguous("a chunk size has too many digits"));
                }
                let digit = char::from(byte).to_digit(16).unwrap_or(0);
                self.left = self.left << 4 | u64::from(digit);
                State::Size { digits: digits + 1 }
            }
            (State::Size { digits: 1.. } | State::Extension { .. }, b'\r') => State::SizeLf,
            (State::Size { digits: 1.. }, b';') => State::Extension { bytes: 0 },
            (State::Size { .. }, _) => {
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
        self.trailers += taken;
        if self.trailers > TRAILERS_MAX {
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
        let framing: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"host"];
        if framing
            .iter()
            .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
        {
            return Err(Refusal::ambiguous("a trailer names a framing header"));
        }
        Ok(())
    }
}
