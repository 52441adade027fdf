//! An HTTP/2 connection's bytes.
//!
//! h2 wants every frame of data written and flushed by itself. Once a connection is up its frames are gathered here
//! instead, and go out together when h2 has had its turn: sixteen answers that became ready together are one write.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::chatter::Chatter;
use super::pulse::Pulse;
use crate::connection::PREFACE;
use crate::env::Stream;
use crate::wire::Wire;

/// Bytes that are gathered. What h2 writes at once comes on top, at most a frame.
const GATHERED: usize = 32 << 10;

/// A connection's bytes, shared by h2 and by whoever drives it. See the module's header.
#[derive(Clone)]
pub(super) struct Socket(Rc<RefCell<Inner>>);

struct Inner {
    stream: Stream,
    /// What was read before, and comes first.
    ahead: Vec<u8>,
    pulse: Rc<Pulse>,
    /// Where stalls are told, if anybody looks.
    wire: Option<Rc<Wire>>,
    /// Of a caller's frames.
    chatter: Chatter,
    gathers: bool,
    /// h2 has bytes that were not taken: it may be in the middle of something.
    refused: bool,
    out: Vec<u8>,
    written: usize,
    /// A layer below may hold back what it was given.
    held_back: bool,
}

impl Socket {
    /// A caller's connection, of which `ahead` was read already.
    pub(super) fn inbound(stream: Stream, ahead: Vec<u8>, pulse: &Rc<Pulse>, wire: &Rc<Wire>) -> Self {
        Self::new(stream, ahead, pulse, Some(Rc::clone(wire)))
    }

    /// A connection to an upstream.
    pub(super) fn outbound(stream: Stream, pulse: &Rc<Pulse>) -> Self {
        Self::new(stream, Vec::new(), pulse, None)
    }

    fn new(stream: Stream, ahead: Vec<u8>, pulse: &Rc<Pulse>, wire: Option<Rc<Wire>>) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            stream,
            ahead,
            pulse: Rc::clone(pulse),
            wire,
            chatter: Chatter::behind(PREFACE.len()),
            gathers: false,
            refused: false,
            out: Vec::new(),
            written: 0,
            held_back: false,
        })))
    }

    /// Gathers from now on. Whoever drives the connection has to call [`Self::poll_send`] after each turn of h2's.
    pub(super) fn gather(&self) {
        self.0.borrow_mut().gathers = true;
    }

    /// Says something that h2 has no words for, between two of its frames; returns whether that could be now. Only
    /// while gathering: whatever h2 writes is then taken whole, or not at all.
    pub(super) fn say(&self, frame: &[u8]) -> bool {
        let inner = &mut *self.0.borrow_mut();
        let can = inner.gathers && !inner.refused;
        if can {
            inner.out.extend_from_slice(frame);
        }
        can
    }

    /// Writes what was gathered.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_send(cx)
    }
}

impl Inner {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A peer that always takes some and never all must not make the part that it took grow for ever.
        if self.written >= GATHERED {
            self.out.drain(..self.written);
            self.written = 0;
        }
        while self.written < self.out.len() {
            let sent = Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]);
            self.tell(sent.is_pending());
            let sent = ready!(sent)?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += sent;
            self.held_back = true;
        }
        if self.held_back {
            self.out = Vec::new();
            self.written = 0;
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.held_back = false;
        }
        Poll::Ready(Ok(()))
    }

    fn tell(&self, blocked: bool) {
        if let Some(wire) = &self.wire {
            wire.wrote(blocked);
        }
    }

    /// Counts frames that ask for nothing.
    fn listen(&mut self, read: &[u8]) {
        if let Some(wire) = &self.wire {
            if wire.take_forgiven() {
                self.chatter.forgive();
            }
            wire.chattered(self.chatter.read(read));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if !self.gathers {
            let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
            self.tell(written.is_pending());
            return written;
        }
        if self.out.len() - self.written >= GATHERED {
            // Of a head in several frames the next one may be what is refused: nothing may come between them.
            self.refused = true;
            ready!(self.poll_send(cx))?;
        }
        self.refused = false;
        let before = self.out.len();
        for buf in bufs {
            self.out.extend_from_slice(buf);
        }
        Poll::Ready(Ok(self.out.len() - before))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        if inner.ahead.is_empty() {
            let before = buf.filled().len();
            let read = Pin::new(&mut inner.stream).poll_read(cx, buf);
            if read.is_ready() {
                inner.pulse.heard();
                inner.listen(&buf.filled()[before..]);
            }
            return read;
        }
        let taken = inner.ahead.len().min(buf.remaining());
        let before = buf.filled().len();
        buf.put_slice(&inner.ahead[..taken]);
        inner.ahead.drain(..taken);
        inner.listen(&buf.filled()[before..]);
        if inner.ahead.is_empty() {
            inner.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().poll_write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        if inner.gathers {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut inner.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &mut *self.0.borrow_mut();
        ready!(inner.poll_send(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}
