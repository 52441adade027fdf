//! A message on its way out: bytes that wait to be written, and how its body is framed.

use std::io::{self, IoSlice, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use tokio::io::AsyncWrite;

use crate::env::Stream;
use crate::fields::{Known, Sink};

/// Bytes that may wait before the body is asked for more. The last piece asked for comes on top.
const ROOM: usize = 16 << 10;
/// A piece of this size is written from where it lies; a smaller one is copied behind what waits.
const COPY_MAX: usize = 8 << 10;

/// How a body is told apart from what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes are still to be written.
    Length(u64),
    Chunked,
    /// The connection ends with it.
    Close,
}

impl Framing {
    /// Bytes of the body that will be copied behind the head, as far as that is known.
    pub(crate) fn copied(self) -> usize {
        match self {
            Self::Length(length) if length < COPY_MAX as u64 => length as usize,
            _ => 0,
        }
    }
}

/// The body does not have the length that its head said.
#[derive(Debug, thiserror::Error)]
#[error("the body is not as long as its head said")]
pub(crate) struct WrongLength;

/// What waits to be written. Empty, it holds no memory.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    /// Follows `bytes`.
    tail: Bytes,
    /// A layer below may hold back what it was given.
    held_back: bool,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.written == self.bytes.len() && self.tail.is_empty()
    }

    /// Whether more of the body may be asked for.
    pub(crate) fn has_room(&self) -> bool {
        self.tail.is_empty() && self.bytes.len() - self.written < ROOM
    }

    /// Adds bytes as they are. Only while there is room.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds a head that was written apart.
    pub(crate) fn head(&mut self, head: Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = head;
        } else {
            self.bytes.extend_from_slice(&head);
        }
    }

    /// Adds a piece of a body.
    ///
    /// # Errors
    /// [`WrongLength`] if it is more than was announced.
    pub(crate) fn data(&mut self, framing: &mut Framing, data: Bytes) -> Result<(), WrongLength> {
        match framing {
            _ if data.is_empty() => {}
            Framing::None => return Err(WrongLength),
            Framing::Chunked => {
                self.bytes.reserve(data.len() + 20);
                let _ = write!(self.bytes, "{:x}\r\n", data.len());
                self.bytes.extend_from_slice(&data);
                self.bytes.extend_from_slice(b"\r\n");
            }
            Framing::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(WrongLength)?;
                self.raw(data);
            }
            Framing::Close => self.raw(data),
        }
        Ok(())
    }

    fn raw(&mut self, data: Bytes) {
        if data.len() < COPY_MAX {
            self.bytes.extend_from_slice(&data);
        } else {
            self.tail = data;
        }
    }

    /// Ends a body.
    ///
    /// # Errors
    /// [`WrongLength`] if it is less than was announced.
    pub(crate) fn end(&mut self, framing: Framing, trailers: Option<&HeaderMap>) -> Result<(), WrongLength> {
        match framing {
            Framing::Length(1..) => Err(WrongLength),
            Framing::None | Framing::Length(0) | Framing::Close => Ok(()),
            Framing::Chunked => {
                self.bytes.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    if may_trail(name.as_str()) {
                        self.bytes.pass(name.as_str().as_bytes(), value.as_bytes());
                    }
                }
                self.bytes.extend_from_slice(b"\r\n");
                Ok(())
            }
        }
    }

    /// Writes what waits, and through whatever layer holds it back. `wrote` is set once anything was taken.
    pub(crate) fn poll_flush(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        wrote: &mut bool,
    ) -> Poll<io::Result<()>> {
        // A peer that always takes some and never all must not make the part that it took grow for ever.
        if self.written >= ROOM {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        while !self.is_empty() {
            let mut stream = Pin::new(&mut *stream);
            let waiting = &self.bytes[self.written..];
            let written = if self.tail.is_empty() {
                ready!(stream.poll_write(cx, waiting))?
            } else {
                let pieces = [IoSlice::new(waiting), IoSlice::new(&self.tail)];
                let first = usize::from(waiting.is_empty());
                ready!(stream.as_mut().poll_write_vectored(cx, &pieces[first..]))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *wrote = true;
            self.held_back = true;
            let of_bytes = written.min(waiting.len());
            self.written += of_bytes;
            self.tail.advance(written - of_bytes);
        }
        if self.held_back {
            self.bytes = Vec::new();
            self.written = 0;
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.held_back = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// A trailer cannot say what only a head may: who calls, where to, how long. gRPC's status belongs there.
fn may_trail(name: &str) -> bool {
    matches!(
        Known::of(name.as_bytes()),
        None | Some(
            Known::GrpcStatus | Known::GrpcMessage | Known::GrpcDetails | Known::GrpcPushback | Known::Date
        )
    )
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_never_takes_all_costs_bounded_memory() {
        let (ours, mut theirs) = tokio::io::duplex(8 << 10);
        let mut stream = Stream::Other(Box::new(ours));
        let (mut outbox, mut framing) = (Outbox::default(), Framing::Chunked);
        let mut cx = Context::from_waker(Waker::noop());
        let mut piece = vec![0; 4 << 10];
        for _ in 0..1000 {
            while outbox.has_room() {
                outbox
                    .data(&mut framing, Bytes::from(vec![b'x'; 4 << 10]))
                    .unwrap();
            }
            assert!(outbox.poll_flush(&mut stream, &mut cx, &mut false).is_pending());
            theirs.read_exact(&mut piece).await.unwrap();
            assert!(outbox.bytes.len() <= 4 * ROOM, "{} bytes", outbox.bytes.len());
        }
    }
}
