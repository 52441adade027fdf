//! A request's body that can be sent again: what was read of it is kept, up to a bound.
//!
//! All attempts read one source. The first reads it as it comes and keeps the frames; the next is given what was kept,
//! and goes on where the source stands. A body that outgrows the bound is no longer kept and can be sent only once, so
//! memory is bounded whatever callers send. An attempt that was given up may still hold its body, in the task of a
//! connection say; from the moment that the next one begins, it reads nothing but an error. A body that has come to its
//! end and was kept whole is no stream any more: several attempts may read it at once.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::BoxError;
use crate::env::lock;

/// Frames that are kept at most: each costs more than its bytes, and a caller may send them byte by byte.
const FRAMES_MAX: usize = 1024;

/// The body of one attempt. Made by the [`RetryLayer`](crate::RetryLayer) out of the caller's body.
#[derive(Debug)]
pub struct Replay<B> {
    /// `None` for a body that has ended before it began.
    source: Option<Arc<Mutex<Source<B>>>>,
    attempt: u32,
    /// Frames of `kept` that this attempt was given.
    given: usize,
}

/// The caller's body, and what is kept of it.
#[derive(Debug)]
struct Source<B> {
    body: Pin<Box<B>>,
    kept: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    /// Bytes that may still be kept.
    room: u64,
    outgrown: bool,
    begun: bool,
    ended: bool,
    /// The attempt that may read: the newest.
    attempt: u32,
}

/// Makes the bodies of attempts.
#[derive(Debug)]
pub(crate) struct Replays<B>(Option<Arc<Mutex<Source<B>>>>);

impl<B: Body> Replays<B> {
    /// Keeps at most `keep` bytes of `body`.
    pub(crate) fn of(body: B, keep: u64) -> Self {
        if body.is_end_stream() {
            return Self(None);
        }
        let source = Source {
            // What is sure to outgrow the bound is not even begun to be kept.
            outgrown: body.size_hint().lower() > keep,
            body: Box::pin(body),
            kept: Vec::new(),
            trailers: None,
            room: keep,
            begun: false,
            ended: false,
            attempt: 0,
        };
        Self(Some(Arc::new(Mutex::new(source))))
    }

    /// The body of the next attempt.
    pub(crate) fn next(&self) -> Replay<B> {
        let attempt = self.0.as_ref().map_or(0, |source| {
            let mut source = lock(source);
            source.attempt += 1;
            source.attempt
        });
        Replay {
            source: self.0.clone(),
            attempt,
            given: 0,
        }
    }

    /// Whether all of it has come and is kept, so that two attempts may send it at once.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|source| lock(source).is_whole())
    }

    /// Whether a next attempt would send the same.
    pub(crate) fn is_replayable(&self) -> bool {
        self.0.as_ref().is_none_or(|source| {
            let source = lock(source);
            // What was not begun to be read is whole, however long it is.
            !source.outgrown || !source.begun
        })
    }
}

impl<B: Body> Source<B> {
    fn is_whole(&self) -> bool {
        !self.outgrown && (self.ended || self.body.is_end_stream())
    }
}

impl<B: Body<Error: Into<BoxError>>> Source<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let polled = ready!(self.body.as_mut().poll_frame(cx));
        self.begun = true;
        let frame = match polled {
            Some(Ok(frame)) => frame.map_data(|mut data| data.copy_to_bytes(data.remaining())),
            Some(Err(error)) => {
                // What broke off is not whole, and never will be.
                (self.ended, self.outgrown) = (true, true);
                return Poll::Ready(Some(Err(error.into())));
            }
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
        };
        if let Some(data) = frame.data_ref() {
            self.keep(data);
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            self.ended = true;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn keep(&mut self, data: &Bytes) {
        let length = data.len() as u64;
        if length == 0 {
            return;
        }
        if self.outgrown || length > self.room || self.kept.len() == FRAMES_MAX {
            self.outgrown = true;
            self.kept = Vec::new();
        } else {
            self.room -= length;
            self.kept.push(data.clone());
        }
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for Replay<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(source) = &this.source else {
            return Poll::Ready(None);
        };
        let mut source = lock(source);
        if source.attempt != this.attempt && !source.is_whole() {
            return Poll::Ready(Some(Err(
                "the attempt that this body belonged to was given up".into()
            )));
        }
        if let Some(data) = source.kept.get(this.given) {
            this.given += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if let Some(trailers) = source.trailers.clone() {
            drop(source);
            this.source = None;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let frame = ready!(source.poll(cx));
        if frame
            .as_ref()
            .is_some_and(|frame| frame.as_ref().is_ok_and(Frame::is_data))
        {
            this.given = source.kept.len();
        } else {
            drop(source);
            this.source = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.source.as_ref().is_none_or(|source| {
            let source = lock(source);
            let given = self.given >= source.kept.len();
            given && source.trailers.is_none() && (source.ended || source.body.is_end_stream())
        })
    }

    fn size_hint(&self) -> SizeHint {
        let Some(source) = &self.source else {
            return SizeHint::with_exact(0);
        };
        let source = lock(source);
        let kept: usize = source.kept.iter().skip(self.given).map(Bytes::len).sum();
        let kept = kept as u64;
        let (mut hint, rest) = (SizeHint::new(), source.body.size_hint());
        hint.set_lower(rest.lower().saturating_add(kept));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint
    }
}
