//! The byte stream that hyper reads, with the framing rules between.
//!
//! A head is let through when it is whole and plain; a body, as it is counted off. What breaks a rule never reaches
//! hyper: to hyper the connection ends there, cleanly, and when hyper then closes it, the guard writes the refusal
//! as its last words. So a request that was let through before is still answered, in order.
//!
//! In the usual case (one whole head in one read) bytes are scanned where they lie and not copied.
//!
//! ```text
//! Head => (Body or Chunked or Upgrading or Poisoned)      Body, Chunked => (Head or Poisoned)
//! Upgrading => (Raw or Head or Poisoned)                  Raw: HTTP/2, a tunnel, or an answered upgrade
//! ```

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::env::Stream;
use crate::framing::Refusal;
use crate::framing::chunk::Chunks;
use crate::framing::head::{self, Body, Head, HeadLimits};
use crate::wire::{UpgradeAnswer, Wire};
use plimsoll_slo::Reason;

const EARLY: Refusal = Refusal::new(
    Reason::EarlyUpgradeData,
    "bytes followed an Upgrade request before its answer",
);

/// How much is read at once when a head comes in pieces.
const PIECE: usize = 4096;

#[derive(Debug)]
enum State {
    Head,
    Body(u64),
    Chunked(Box<Chunks>),
    Upgrading,
    Raw,
    Poisoned { in_body: bool },
}

/// A connection's bytes, guarded. See the module's header.
#[derive(Debug)]
pub(crate) struct Guard {
    stream: Stream,
    state: State,
    /// Bytes read ahead and not yet judged: a head in pieces, or what was sniffed.
    ahead: Vec<u8>,
    limits: HeadLimits,
    wire: Arc<Wire>,
    /// The refusal as it goes on the wire, while it is being written.
    last_words: Vec<u8>,
}

impl Guard {
    /// Guards an HTTP/1 connection of which `ahead` was read already.
    pub(crate) fn http1(stream: Stream, ahead: Vec<u8>, limits: HeadLimits, wire: Arc<Wire>) -> Self {
        Self {
            stream,
            state: State::Head,
            ahead,
            limits,
            wire,
            last_words: Vec::new(),
        }
    }

    /// Passes an HTTP/2 connection through: its framing is the codec's.
    pub(crate) fn raw(stream: Stream, ahead: Vec<u8>, wire: Arc<Wire>) -> Self {
        let limits = HeadLimits {
            bytes: 0,
            headers: 0,
            target: 0,
        };
        Self {
            stream,
            state: State::Raw,
            ahead,
            limits,
            wire,
            last_words: Vec::new(),
        }
    }

    /// Judges `bytes`: how many of them hyper may have, and the rule that what follows them breaks.
    fn judge(&mut self, bytes: &[u8]) -> (usize, Option<Refusal>) {
        let mut at = 0;
        while at < bytes.len() {
            match self.advance(&bytes[at..]) {
                Ok(0) => break,
                Ok(taken) => at += taken,
                Err(refusal) => return (at, Some(refusal)),
            }
        }
        (at, None)
    }

    /// Takes what the current state can take of `rest`; 0 when it needs more bytes.
    fn advance(&mut self, rest: &[u8]) -> Result<usize, Refusal> {
        match &mut self.state {
            State::Head => match head::scan(rest, &self.limits)? {
                Head::Partial => Ok(0),
                Head::Whole { length, body } => {
                    self.wire.head_passed();
                    self.state = match body {
                        Body::None => State::Head,
                        Body::Length(length) => State::Body(length),
                        Body::Chunked => State::Chunked(Box::new(Chunks::new())),
                        Body::Upgrade => State::Upgrading,
                    };
                    Ok(length)
                }
            },
            State::Body(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::Head;
                }
                Ok(taken)
            }
            State::Chunked(chunks) => {
                let taken = chunks.take(rest)?;
                if chunks.is_ended() {
                    self.state = State::Head;
                }
                Ok(taken)
            }
            State::Upgrading => {
                self.state = match self.wire.take_upgrade_answer() {
                    UpgradeAnswer::Accepted => State::Raw,
                    UpgradeAnswer::Declined => State::Head,
                    UpgradeAnswer::Pending => return Err(EARLY),
                };
                self.advance(rest)
            }
            State::Raw => Ok(rest.len()),
            State::Poisoned { .. } => Ok(0),
        }
    }

    /// Judges, and remembers a broken rule. What was whole before the break may pass.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let (passed, refusal) = self.judge(bytes);
        if let Some(refusal) = refusal {
            self.poison(refusal);
        }
        passed
    }

    fn poison(&mut self, refusal: Refusal) {
        let in_body = matches!(self.state, State::Chunked(_) | State::Body(_));
        self.wire.poison(refusal);
        self.state = State::Poisoned { in_body };
        self.ahead = Vec::new();
    }

    /// Fills `buf` from what was read ahead, as far as it may pass.
    fn serve_ahead(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ahead = std::mem::take(&mut self.ahead);
        let offered = &ahead[..ahead.len().min(buf.remaining())];
        let passed = self.pass(offered);
        buf.put_slice(&offered[..passed]);
        if passed < ahead.len() && !matches!(self.state, State::Poisoned { .. }) {
            self.ahead = ahead[passed..].to_vec();
        }
        passed > 0
    }

    /// What hyper sees of a poisoned connection. A body that breaks the rules is an error of its request, which is
    /// answered with the reason. Anything else is the end of the stream, but not while an answer is still owed:
    /// hyper would take that for a caller who went away. It reads again when the answer is written.
    fn poll_poisoned(&mut self, in_body: bool, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if in_body {
            let refusal = self.wire.refusal().unwrap_or(EARLY);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)));
        }
        if self.wire.wait_until_answered(cx.waker()) {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn poll_head_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let start = self.ahead.len();
        self.ahead.resize(start + PIECE, 0);
        let mut piece = ReadBuf::new(&mut self.ahead[start..]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut piece);
        let read = piece.filled().len();
        self.ahead.truncate(start + read);
        ready!(polled)?;
        Poll::Ready(Ok(read))
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if let State::Poisoned { in_body } = this.state {
                return this.poll_poisoned(in_body, cx);
            }
            if let Some(refusal) = this.wire.refusal() {
                this.poison(refusal); // from outside: too slow
                continue;
            }
            if !this.ahead.is_empty() {
                if this.serve_ahead(buf) {
                    return Poll::Ready(Ok(()));
                }
                if matches!(this.state, State::Poisoned { .. }) {
                    continue;
                }
                this.wire.head_begun();
                match this.poll_head_piece(cx) {
                    // The caller left in the middle of a head: nobody is there to be told.
                    Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                    Poll::Ready(Ok(_)) => continue,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => {
                        this.wire.wake_on_poison(cx.waker());
                        return Poll::Pending;
                    }
                }
            }
            let before = buf.filled().len();
            if Pin::new(&mut this.stream).poll_read(cx, buf)?.is_pending() {
                this.wire.wake_on_poison(cx.waker());
                return Poll::Pending;
            }
            let read = buf.filled().len() - before;
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            let passed = this.pass(&buf.filled()[before..]);
            if passed < read {
                if !matches!(this.state, State::Poisoned { .. }) {
                    this.ahead = buf.filled()[before + passed..].to_vec();
                }
                buf.set_filled(before + passed);
            }
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.wire.wrote(written.is_pending());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.wire.wrote(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(refusal) = this.wire.take_last_words() {
            this.last_words = crate::respond::last_words(refusal);
        }
        while !this.last_words.is_empty() {
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.last_words))?;
            this.last_words.drain(..written);
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
