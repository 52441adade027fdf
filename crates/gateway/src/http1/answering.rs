//! The answers of a [`Talk`]: written piece by piece, as the body brings them and the caller takes them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body as _;
use tokio::io::AsyncWrite;

use super::outbox::Framing;
use super::talk::{Talk, Terms};
use crate::env::Env;
use crate::message::Reply;
use crate::percore::Core;
use crate::wire::Order;

/// How long, and for how many bytes, a caller who was refused is heard out, so that it can read why.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// Bytes of an unwanted body that are read to keep its connection.
const SKIP_MAX: usize = 64 << 10;

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Whole; the connection may carry another request.
    Open,
    /// Whole; the connection is done.
    Done,
    /// It broke off, or the caller is gone.
    Broken,
}

/// An answer under way.
struct Writing {
    framing: Framing,
    no_body: bool,
    close: bool,
    wants_trailers: bool,
    upgrade: bool,
    /// The body has ended.
    filled: bool,
    /// The body broke off.
    broken: bool,
}

impl Talk {
    /// Writes an answer to its end.
    pub(crate) async fn answer(&self, mut reply: Reply, terms: Terms, core: &Core) -> Ended {
        let mut writing = self.begin_answer(&reply, terms, core);
        let ended = poll_fn(|cx| self.poll_answer(&mut reply, &mut writing, cx)).await;
        drop(reply);
        match ended {
            Ok(()) if writing.close => Ended::Done,
            Ok(()) if self.is_body_whole() || self.skip_rest(&core.env).await => Ended::Open,
            Ok(()) => Ended::Done,
            Err(()) => Ended::Broken,
        }
    }

    /// Reads the rest of a body that nobody wants, if it is small, so that the connection need not be closed for it.
    async fn skip_rest(&self, env: &Env) -> bool {
        let mut skipped = 0;
        let skip = poll_fn(|cx| {
            while !self.is_body_whole() {
                match ready!(self.poll_body(cx)) {
                    Some(Ok(frame)) => skipped += frame.data_ref().map_or(0, Bytes::len),
                    Some(Err(_)) => return Poll::Ready(false),
                    None => {}
                }
                if skipped > SKIP_MAX {
                    return Poll::Ready(false);
                }
            }
            Poll::Ready(true)
        });
        let small = self.body_left().is_none_or(|left| left <= SKIP_MAX as u64);
        tokio::select! {
            biased;
            whole = skip, if small => whole,
            () = env.sleep(LINGER), if small => false,
            else => false,
        }
    }

    fn begin_answer(&self, reply: &Reply, terms: Terms, core: &Core) -> Writing {
        let side = &mut *self.side.borrow_mut();
        let no_body = terms.bodiless || reply.has_no_body();
        let framing = match reply.body.exact() {
            _ if no_body => Framing::None,
            Some(length) => Framing::Length(length),
            None if terms.http_1_0 => Framing::Close,
            None => Framing::Chunked,
        };
        // Whoever is not told to go on, as nobody is from here on, may send its body or not.
        let untold = std::mem::take(&mut side.continue_owed);
        let ends = !terms.persists
            || reply.close
            || framing == Framing::Close
            || self.wire.order() != Order::Carry
            || untold;
        // What a connection is switched to has its own end.
        let close = ends && !reply.switches();
        reply.write(side.out.bytes(), framing, terms.bodiless, &core.date());
        if !reply.switches() {
            if close {
                side.out.bytes().extend_from_slice(b"connection: close\r\n");
            } else if terms.http_1_0 {
                side.out.bytes().extend_from_slice(b"connection: keep-alive\r\n");
            }
        }
        side.out.bytes().extend_from_slice(b"\r\n");
        Writing {
            framing,
            no_body,
            close,
            wants_trailers: terms.wants_trailers,
            upgrade: terms.upgrade,
            filled: false,
            broken: false,
        }
    }

    fn poll_answer(
        &self,
        reply: &mut Reply,
        writing: &mut Writing,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ()>> {
        loop {
            let starved = self.fill(reply, writing, cx);
            if self.wire.order() == Order::Close {
                return Poll::Ready(Err(()));
            }
            self.wire.watch(cx);
            let flushed = self.side.borrow_mut().poll_flush(cx);
            self.wire.wrote(flushed.is_pending());
            match flushed {
                Poll::Ready(Ok(())) if writing.broken => return Poll::Ready(Err(())),
                Poll::Ready(Ok(())) if writing.filled => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if starved => {
                    return self.poll_gone(cx, writing.upgrade).map(|()| Err(()));
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(())),
                Poll::Pending => {
                    // The caller does not read; what it still sends may be what keeps it from reading.
                    reply.body.drive(cx);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Takes what the answer's body has, as far as there is room; returns whether it has no more for now.
    fn fill(&self, reply: &mut Reply, writing: &mut Writing, cx: &mut Context<'_>) -> bool {
        while !writing.filled && self.side.borrow().out.has_room() {
            let Poll::Ready(frame) = Pin::new(&mut reply.body).poll_frame(cx) else {
                return true;
            };
            let out = &mut self.side.borrow_mut().out;
            let mut trailers = None;
            let mut last = frame.is_none();
            let taken = match frame {
                None => Ok(()),
                Some(Err(_)) => {
                    // What came before it is written, so that the caller sees an answer that broke off, and not none.
                    (writing.broken, writing.filled) = (true, true);
                    return false;
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(_) if writing.no_body => Ok(()),
                    Ok(data) => out.data(&mut writing.framing, data),
                    Err(frame) => {
                        last = true;
                        trailers = frame.into_trailers().ok().filter(|_| writing.wants_trailers);
                        Ok(())
                    }
                },
            };
            last |= reply.body.is_end_stream();
            let taken = match taken {
                Ok(()) if last => out.end(writing.framing, trailers.as_ref()),
                taken => taken,
            };
            writing.broken |= taken.is_err();
            writing.filled |= last || writing.broken;
        }
        false
    }

    /// Writes last words and hears the caller out, so that they are read.
    pub(crate) async fn end_with(&self, words: Vec<u8>, env: &Env) {
        self.side.borrow_mut().out.head(words);
        let close = async {
            let flushed = poll_fn(|cx| {
                let flushed = self.side.borrow_mut().poll_flush(cx);
                self.wire.wrote(flushed.is_pending());
                flushed
            });
            if flushed.await.is_ok() {
                self.hear_out().await;
            }
        };
        tokio::select! {
            biased;
            () = close => {}
            () = env.sleep(LINGER) => {}
        }
    }

    /// Ends the connection in an orderly way. A caller who is still sending, or has sent more than we read, is heard
    /// out for a while: closing on it would make the kernels throw away the answer that it has not read.
    pub(crate) async fn end(&self, env: &Env) {
        if self.is_body_whole() && !self.has_more() {
            // Nothing more is expected; a peer that does not take the close is not waited for.
            let shut = poll_fn(|cx| Pin::new(&mut self.side.borrow_mut().stream).poll_shutdown(cx));
            tokio::select! {
                biased;
                _shut = shut => {}
                () = env.sleep(LINGER) => {}
            }
        } else {
            self.end_with(Vec::new(), env).await;
        }
    }

    async fn hear_out(&self) {
        let mut heard = 0;
        let shut = poll_fn(|cx| Pin::new(&mut self.side.borrow_mut().stream).poll_shutdown(cx));
        if shut.await.is_err() {
            return;
        }
        poll_fn(|cx| {
            loop {
                let stream = &mut self.side.borrow_mut().stream;
                match ready!(self.scratch.poll_read(stream, cx, <[u8]>::len)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(read) => heard += read,
                }
                if heard >= LINGER_BYTES || self.wire.order() == Order::Close {
                    return Poll::Ready(());
                }
            }
        })
        .await;
    }
}
