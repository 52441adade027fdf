//! A body on its way out: piece by piece, as the body brings them and the peer's windows take them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::{Body, Frame};

use crate::body::BodyError;

/// A stream and the body that goes out by it.
///
/// h2 would keep whatever it is given. It is given as much as the windows let through, so that bytes wait where they
/// are few, and so that a stream which does not go on is seen: it has something in hand, and no room for it.
pub(super) struct Sending<B> {
    stream: SendStream<Bytes>,
    body: B,
    /// What was taken from the body and has no room yet.
    held: Bytes,
    /// Nothing follows what is held.
    last: bool,
    /// Whether anything went out since this was asked last.
    moved: bool,
    ended: bool,
}

/// Why a body was not sent to its end.
pub(super) enum Stopped {
    /// The peer takes no more of it.
    Stream,
    /// The body broke off.
    Body(BodyError),
}

impl From<h2::Error> for Stopped {
    fn from(_: h2::Error) -> Self {
        Self::Stream
    }
}

impl<B> Sending<B> {
    fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Stopped> {
        (self.ended, self.moved) = (true, true);
        match trailers {
            Some(trailers) => self.stream.send_trailers(trailers)?,
            None => self.stream.send_data(Bytes::new(), true)?,
        }
        Ok(())
    }

    /// Whether the body waits for room.
    pub(super) fn is_blocked(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether anything went out since this was asked last.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// The number of its stream.
    pub(super) fn id(&self) -> h2::StreamId {
        self.stream.stream_id()
    }

    pub(super) fn body(&mut self) -> &mut B {
        &mut self.body
    }

    /// Ready when the peer has reset the stream, or the connection is over.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(drop)
    }

    /// Ends the stream here, with these trailers and without what has no room yet.
    pub(super) fn end_with(&mut self, trailers: HeaderMap) {
        self.held = Bytes::new();
        if self.finish(Some(trailers)).is_err() {
            self.stream.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    pub(super) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Sending<B> {
    /// `ended` if the head ended the stream already.
    pub(super) fn new(stream: SendStream<Bytes>, body: B, ended: bool) -> Self {
        Self {
            stream,
            body,
            held: Bytes::new(),
            last: false,
            moved: false,
            ended,
        }
    }

    /// Sends what can be sent; ready when all is on its way.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        while !self.ended {
            if self.held.is_empty() {
                let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
                self.take(frame.transpose().map_err(Stopped::Body)?)?;
            } else {
                ready!(self.poll_held(cx))?;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, frame: Option<Frame<Bytes>>) -> Result<(), Stopped> {
        match frame.map(Frame::into_data) {
            None => self.finish(None),
            Some(Err(frame)) => match frame.into_trailers() {
                Ok(trailers) => self.finish(Some(trailers)),
                Err(_) => Ok(()),
            },
            Some(Ok(data)) => {
                self.last = self.body.is_end_stream();
                if data.is_empty() {
                    // One that ends nothing says nothing, and servers count such frames against a connection.
                    return if self.last { self.finish(None) } else { Ok(()) };
                }
                self.stream.reserve_capacity(data.len());
                self.held = data;
                Ok(())
            }
        }
    }

    /// Sends of what is held as much as there is room for.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        let mut room = self.stream.capacity();
        while room == 0 {
            room = match ready!(self.stream.poll_capacity(cx)) {
                Some(room) => room?,
                None => return Poll::Ready(Err(Stopped::Stream)),
            };
        }
        let piece = self.held.split_to(room.min(self.held.len()));
        self.moved = true;
        self.ended = self.last && self.held.is_empty();
        self.stream.send_data(piece, self.ended)?;
        Poll::Ready(Ok(()))
    }
}
