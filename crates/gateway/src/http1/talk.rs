//! A caller's HTTP/1 connection: requests in, answers out, one after the other.
//!
//! ```text
//! request => (body while it is asked for) => answer => request …    or, after 101, bytes both ways
//! ```
//!
//! Everything happens in one task. The body is read when an attempt asks for it; while the answer is waited for, the
//! connection is read only to see whether the caller is still there, and what it sends ahead is kept, up to a bound.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use http_body::Frame;
use plimsoll_slo::Reason;

use super::Scratch;
use super::decode::{Decoder, keep_head};
use super::outbox::Outbox;
use crate::body::Broke;
use crate::env::Stream;
use crate::fields::Known;
use crate::framing::Refusal;
use crate::framing::chunk::Chunks;
use crate::framing::head::{self, Body, Head, HeadLimits};
use crate::memory::{self, Memory};
use crate::message::RequestHead;
use crate::wire::{Order, Wire};

/// Bytes of further requests that are kept while one is answered. One read may bring more.
const AHEAD: usize = 16 << 10;

const LATE: Refusal = Refusal::new(Reason::SlowRequest, "the head did not arrive in time");

/// See the module's header.
pub(crate) struct Talk {
    pub(super) scratch: Rc<Scratch>,
    pub(super) wire: Rc<Wire>,
    limits: HeadLimits,
    pub(super) side: RefCell<Side>,
}

pub(super) struct Side {
    pub(super) stream: Stream,
    /// Bytes read and not yet taken: a head in pieces, or what came ahead.
    ahead: BytesMut,
    /// Whether a look at `ahead` may find more than the last one did.
    news: bool,
    body: Decoder,
    trailers: Option<HeaderMap>,
    /// The caller waits to be told to go on.
    pub(super) continue_owed: bool,
    pub(super) out: Outbox,
}

/// What a request's head says about how it is to be answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(super) bodiless: bool,
    pub(super) http_1_0: bool,
    pub(super) persists: bool,
    pub(super) wants_trailers: bool,
    pub(super) upgrade: bool,
}

/// The next request, that there is none, or what came instead. Boxed: it is handed on through a dozen futures, each of
/// which has room for what it takes.
pub(crate) type Next = Result<Option<(Box<RequestHead>, Terms)>, Refusal>;

impl Talk {
    pub(crate) fn new(
        stream: Stream,
        ahead: &[u8],
        limits: HeadLimits,
        wire: Rc<Wire>,
        scratch: Rc<Scratch>,
    ) -> Self {
        let side = Side {
            stream,
            news: !ahead.is_empty(),
            ahead: ahead.into(),
            body: Decoder::Ended,
            trailers: None,
            continue_owed: false,
            out: Outbox::default(),
        };
        Self {
            scratch,
            wire,
            limits,
            side: RefCell::new(side),
        }
    }

    /// The next request's head; `None` when there is none.
    ///
    /// # Errors
    /// [`Refusal`] of what came instead. The connection cannot go on.
    pub(crate) async fn next(&self, memory: &Memory) -> Next {
        let next = poll_fn(|cx| self.poll_next(memory, cx, false)).await;
        if !matches!(next, Ok(None)) || self.wire.order() != Order::Drain {
            return next;
        }
        // A request may have come in this very moment. The runtime hears of it when it looks at its sockets, which it
        // does before this task goes on.
        tokio::task::yield_now().await;
        poll_fn(|cx| self.poll_next(memory, cx, true)).await
    }

    /// `last` is a last look at a connection that is to be left.
    fn poll_next(&self, memory: &Memory, cx: &mut Context<'_>, last: bool) -> Poll<Next> {
        let side = &mut *self.side.borrow_mut();
        loop {
            if side.news {
                side.news = false;
                match head::scan(&side.ahead, &self.limits) {
                    Ok(Some(head)) => {
                        let bytes = side.ahead.split_to(head.length).freeze();
                        if side.ahead.is_empty() {
                            side.ahead = BytesMut::new();
                        }
                        return Poll::Ready(self.begin(side, head, bytes).map(Some));
                    }
                    Ok(None) if side.is_in_head() => self.wire.head_begun(),
                    Ok(None) => {}
                    Err(refusal) => return Poll::Ready(Err(refusal)),
                }
            }
            if self.wire.is_late() {
                return Poll::Ready(Err(LATE));
            }
            if side.is_in_head() && !memory.admits_heads() {
                return Poll::Ready(Err(memory::NO_HEAD));
            }
            let leaves = match self.wire.order() {
                Order::Carry | Order::Retire => false,
                Order::Drain => !side.is_in_head(),
                Order::Part | Order::Close => return Poll::Ready(Ok(None)),
            };
            if leaves && !last {
                return Poll::Ready(Ok(None));
            }
            self.wire.watch(cx);
            let read = self.poll_head(side, cx);
            if leaves && read.is_pending() {
                return Poll::Ready(Ok(None));
            }
            match ready!(read) {
                Ok(Some((head, bytes))) => {
                    return Poll::Ready(self.begin(side, head, bytes).map(Some));
                }
                Ok(None) if side.is_in_head() => self.wire.head_begun(),
                Ok(None) => {}
                // The caller left, if in the middle of a head: nobody is there to be told.
                Err(_) => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Reads once. In the usual case, a whole head in one read, it is scanned where it lies.
    fn poll_head(&self, side: &mut Side, cx: &mut Context<'_>) -> Poll<io::Result<Option<(Head, Bytes)>>> {
        let Side {
            stream, ahead, news, ..
        } = side;
        let read = self.scratch.poll_read(stream, cx, |bytes| {
            if bytes.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            if ahead.is_empty()
                && let Ok(Some(head)) = head::scan(bytes, &self.limits)
            {
                let bytes = keep_head(bytes, head.length, ahead);
                return Ok(Some((head, bytes)));
            }
            // Only the end of a line tells anything new, or the want of one. A head that comes byte by byte is not
            // scanned for every byte.
            let before = ahead.len();
            ahead.extend_from_slice(bytes);
            let passed = |limit| before <= limit && ahead.len() > limit;
            *news = memchr::memchr(b'\n', bytes).is_some()
                || passed(self.limits.target + 64)
                || ahead.len() > self.limits.bytes;
            Ok(None)
        });
        read.map(Result::flatten)
    }

    /// A head is whole: the connection turns to its body.
    fn begin(&self, side: &mut Side, head: Head, bytes: Bytes) -> Result<(Box<RequestHead>, Terms), Refusal> {
        self.wire.head_passed();
        side.news = !side.ahead.is_empty();
        let upgrade = head.body == Body::Upgrade;
        side.body = match head.body {
            Body::None | Body::Upgrade => Decoder::Ended,
            Body::Length(length) => Decoder::length(length),
            Body::Chunked => Decoder::Chunked(Box::new(Chunks::of_request())),
        };
        let (http_1_0, persists) = (head.http_1_0, head.persists);
        let request = Box::new(RequestHead::of_http1(head, bytes)?);
        side.trailers = None;
        side.continue_owed = !http_1_0
            && !side.body.is_ended()
            && request
                .fields
                .get(Known::Expect)
                .is_some_and(|expect| expect.eq_ignore_ascii_case(b"100-continue"));
        if upgrade && !side.ahead.is_empty() {
            self.wire.came_early();
        }
        let terms = Terms {
            bodiless: request.method == Method::HEAD,
            http_1_0,
            persists,
            wants_trailers: request.fields.lists(Known::Te, "trailers"),
            upgrade,
        };
        Ok((request, terms))
    }

    /// Whether the request has a body that is still to be read.
    pub(crate) fn has_body(&self) -> bool {
        !self.side.borrow().body.is_ended()
    }

    /// Bytes of the body that are still to come, if that is known.
    pub(crate) fn body_left(&self) -> Option<u64> {
        self.side.borrow().body.left()
    }

    pub(crate) fn is_body_whole(&self) -> bool {
        let side = self.side.borrow();
        side.body.is_ended() && side.trailers.is_none()
    }

    /// Whether bytes came behind the request.
    pub(super) fn has_more(&self) -> bool {
        !self.side.borrow().ahead.is_empty()
    }

    /// The next piece of the request's body.
    pub(crate) fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broke>>> {
        let side = &mut *self.side.borrow_mut();
        if std::mem::take(&mut side.continue_owed) && side.ahead.is_empty() {
            side.out
                .bytes()
                .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            // Goes out while the body is waited for.
            if let Poll::Ready(Err(error)) = side.poll_flush(cx) {
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        loop {
            if side.body.is_ended() {
                return Poll::Ready(side.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let data = if side.ahead.is_empty() {
                ready!(self.poll_piece(side, cx))
            } else {
                side.take_ahead()
            };
            match data {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(broke) => return Poll::Ready(Some(Err(broke))),
            }
        }
    }

    /// Reads once and takes what belongs to the body.
    fn poll_piece(&self, side: &mut Side, cx: &mut Context<'_>) -> Poll<Result<Bytes, Broke>> {
        let Side {
            stream,
            ahead,
            body,
            trailers,
            ..
        } = side;
        let read = self.scratch.poll_read(stream, cx, |bytes| {
            if bytes.is_empty() {
                return Err(Broke::Short);
            }
            let mut data = Vec::new();
            let (taken, trailing) = body.take(bytes, &mut data)?;
            *trailers = trailing;
            ahead.extend_from_slice(&bytes[taken..]);
            Ok(data.into())
        });
        let taken = ready!(read)?;
        side.news = !side.ahead.is_empty();
        Poll::Ready(taken)
    }

    /// Ready when the caller is gone. Its body is read by whoever needs it; here only what comes after it is.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>, upgrade: bool) -> Poll<()> {
        let side = &mut *self.side.borrow_mut();
        if matches!(side.poll_flush(cx), Poll::Ready(Err(_))) {
            return Poll::Ready(());
        }
        while side.body.is_ended() && side.ahead.len() < AHEAD {
            let Side { stream, ahead, .. } = side;
            let read = self.scratch.poll_read(stream, cx, |bytes| {
                ahead.extend_from_slice(bytes);
                bytes.len()
            });
            match ready!(read) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) if upgrade => self.wire.came_early(),
                Ok(_) => {}
            }
            side.news = true;
        }
        Poll::Pending
    }

    /// Waits for `answer` for as long as the caller does; `None` when it is gone.
    pub(crate) async fn while_there<T>(&self, terms: Terms, answer: impl Future<Output = T>) -> Option<T> {
        let mut answer = std::pin::pin!(answer);
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            if self.wire.order() == Order::Close {
                return Poll::Ready(None);
            }
            self.wire.watch(cx);
            self.poll_gone(cx, terms.upgrade).map(|()| None)
        })
        .await
    }

    /// The stream, for whatever protocol comes next on it.
    pub(crate) fn into_stream(self) -> Stream {
        self.side.into_inner().stream
    }
}

impl Side {
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.out.poll_flush(&mut self.stream, cx, &mut false)
    }

    /// Whether a head has begun. An empty line before it, which old clients send behind a body, is none yet.
    fn is_in_head(&self) -> bool {
        !matches!(&self.ahead[..], b"" | b"\r" | b"\r\n")
    }

    fn take_ahead(&mut self) -> Result<Bytes, Broke> {
        let (data, trailers) = self.body.take_kept(&mut self.ahead);
        self.trailers = trailers?;
        self.news = !self.ahead.is_empty();
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// What the kernel has, and the runtime has not heard of yet.
    #[tokio::test]
    async fn what_crosses_the_end_of_an_idle_connection_is_served() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut caller = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let limits = HeadLimits {
            bytes: 1024,
            headers: 8,
            target: 64,
        };
        let wire = Rc::new(Wire::default());
        let talk = Talk::new(Stream::Tcp(stream), b"", limits, Rc::clone(&wire), Rc::default());
        wire.give_order(Order::Drain);
        caller.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(matches!(talk.next(&Memory::default()).await, Ok(Some(_))));
        assert!(matches!(talk.next(&Memory::default()).await, Ok(None)));
    }
}
