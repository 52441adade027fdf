//! A connection to an upstream in HTTP/1, and one exchange on it.
//!
//! The request is written and the answer read by whoever polls the exchange: the attempt that waits for the head, and
//! then the body on its way to the caller. Both directions go on together, so an upstream may answer while it is
//! still being sent to.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame};
use plimsoll_slo::Reason;

use super::Scratch;
use super::decode::{Decoder, keep_head};
use super::outbox::{Framing, Outbox};
use crate::body::upload::AttemptBody;
use crate::body::{BodyError, Broke};
use crate::env::Stream;
use crate::fields::Fields;
use crate::framing::Refusal;
use crate::framing::answer::{self, Body, Head};
use crate::framing::chunk::Chunks;
use crate::message::{AnswerHead, Http1Request};
use crate::pool::{Open, SendFailed};

/// Provisional answers that are borne before the final one.
const INTERIM_MAX: u32 = 16;

/// A connection at rest.
pub(crate) struct Line {
    stream: Stream,
    scratch: Rc<Scratch>,
    open: Open,
}

impl Line {
    pub(crate) fn new(stream: Stream, scratch: Rc<Scratch>, open: Open) -> Self {
        Self {
            stream,
            scratch,
            open,
        }
    }

    /// Whether it is at rest indeed: open, and without a byte that nobody asked for.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.scratch
            .poll_read(&mut self.stream, &mut cx, |_| ())
            .is_pending()
    }
}

/// One request and its answer.
pub(crate) struct Exchange {
    line: Line,
    out: Outbox,
    upload: AttemptBody,
    framing: Framing,
    bodiless: bool,
    upgrade: bool,
    sending: Sending,
    /// Whether the connection took any byte of the request.
    wrote: bool,
    /// Bytes read and not yet taken: a head in pieces, or what follows the answer.
    ahead: BytesMut,
    body: Decoder,
    /// Whether the head told the body's length.
    announced: bool,
    /// What came of the body together with the head.
    held: Bytes,
    trailers: Option<HeaderMap>,
    /// The body broke a rule.
    broken: Option<Refusal>,
    persists: bool,
}

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// The body has more.
    Body,
    /// The rest waits to be written.
    Rest,
    Done,
    /// The connection takes no more.
    Broken,
}

/// Why there is no answer.
pub(crate) enum Unanswered {
    /// The connection had ended before it took a byte.
    Unsent,
    Failed(SendFailed),
}

impl Unanswered {
    fn failed(reason: Reason, cause: impl Into<String>) -> Self {
        Self::Failed(SendFailed {
            reason,
            cause: cause.into(),
        })
    }
}

impl Exchange {
    pub(crate) fn new(line: Line, request: Http1Request) -> Self {
        let mut out = Outbox::default();
        out.head(request.head);
        Self {
            line,
            out,
            upload: request.body,
            framing: request.framing,
            bodiless: request.bodiless,
            upgrade: request.upgrade,
            sending: Sending::Body,
            wrote: false,
            ahead: BytesMut::new(),
            body: Decoder::Ended,
            announced: false,
            held: Bytes::new(),
            trailers: None,
            broken: None,
            persists: false,
        }
    }

    /// Sends the request and waits for the head of its answer.
    pub(crate) async fn answer(&mut self) -> Result<AnswerHead, Unanswered> {
        super::others_first().await;
        poll_fn(|cx| self.poll_answer(cx)).await
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<AnswerHead, Unanswered>> {
        if let Err(error) = self.send(cx) {
            return Poll::Ready(Err(Unanswered::failed(Reason::UpstreamReset, error.to_string())));
        }
        if self.sending == Sending::Broken && !self.wrote {
            return Poll::Ready(Err(Unanswered::Unsent));
        }
        for _ in 0..INTERIM_MAX {
            let (head, bytes) = match ready!(self.poll_head(cx)) {
                Ok(found) => found,
                Err(unanswered) => return Poll::Ready(Err(unanswered)),
            };
            let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
            if switches && !self.upgrade {
                let cause = "it switched protocols, which nobody had asked for";
                return Poll::Ready(Err(Unanswered::failed(Reason::UpstreamMalformed, cause)));
            }
            if switches || !head.status.is_informational() {
                return Poll::Ready(Ok(self.begin(head, bytes)));
            }
        }
        let cause = "it sent one provisional answer after the other";
        Poll::Ready(Err(Unanswered::failed(Reason::UpstreamMalformed, cause)))
    }

    /// The next head, provisional or final.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Head, Bytes), Unanswered>> {
        let malformed = |cause: &str| Unanswered::failed(Reason::UpstreamMalformed, cause);
        loop {
            if !self.ahead.is_empty()
                && let Some(head) = answer::scan(&self.ahead).map_err(malformed)?
            {
                let bytes = self.ahead.split_to(head.length).freeze();
                return Poll::Ready(Ok((head, bytes)));
            }
            let ahead = &mut self.ahead;
            let read = self.line.scratch.poll_read(&mut self.line.stream, cx, |bytes| {
                if bytes.is_empty() {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                // In the usual case the head is whole, and scanned where it lies.
                if ahead.is_empty()
                    && let Ok(Some(head)) = answer::scan(bytes)
                {
                    return Ok(Some((keep_head(bytes, head.length, ahead), head)));
                }
                ahead.extend_from_slice(bytes);
                Ok(None)
            });
            match ready!(read).and_then(|read| read) {
                Ok(None) => {}
                Ok(Some((bytes, head))) => return Poll::Ready(Ok((head, bytes))),
                Err(error) => return Poll::Ready(Err(self.ended(&error))),
            }
        }
    }

    fn ended(&self, error: &io::Error) -> Unanswered {
        let cause = if error.kind() == io::ErrorKind::UnexpectedEof && self.ahead.is_empty() {
            "the connection closed before an answer".to_owned()
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            "the connection closed in the middle of an answer's head".to_owned()
        } else {
            error.to_string()
        };
        Unanswered::failed(Reason::UpstreamReset, cause)
    }

    /// The final head is there: the connection turns to its body.
    fn begin(&mut self, head: Head, bytes: Bytes) -> AnswerHead {
        let status = head.status;
        let no_body = self.bodiless
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.body = match head.body {
            _ if no_body => Decoder::Ended,
            Body::Length(length) => Decoder::length(length),
            Body::Chunked => Decoder::Chunked(Box::new(Chunks::of_answer())),
            Body::Close => Decoder::Close,
        };
        self.announced = self.body.left().is_some();
        // What announces a body in an answer that has none may send it all the same, in the place of the next answer.
        let odd = status == StatusCode::NO_CONTENT && matches!(head.body, Body::Chunked | Body::Length(1..));
        self.persists = head.persists && !odd && status != StatusCode::SWITCHING_PROTOCOLS;
        if !self.ahead.is_empty() && !self.body.is_ended() {
            self.take_ahead();
        }
        AnswerHead {
            status,
            fields: Fields::new(bytes, head.rows),
        }
    }

    fn take_ahead(&mut self) {
        let (data, trailers) = self.body.take_kept(&mut self.ahead);
        self.held = data;
        match trailers {
            Ok(trailers) => self.trailers = trailers,
            Err(refusal) => self.broken = Some(refusal),
        }
    }

    /// Sends what can be sent.
    ///
    /// # Errors
    /// The body to be sent broke off. A connection that takes no more is no error: its answer may be there.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), BodyError> {
        loop {
            let mut starved = false;
            while self.sending == Sending::Body && self.out.has_room() {
                match Pin::new(&mut self.upload).poll_frame(cx) {
                    Poll::Pending => {
                        starved = true;
                        break;
                    }
                    Poll::Ready(frame) => self.take_frame(frame.transpose()?)?,
                }
            }
            if matches!(self.sending, Sending::Done | Sending::Broken) {
                return Ok(());
            }
            match self.out.poll_flush(&mut self.line.stream, cx, &mut self.wrote) {
                Poll::Ready(Ok(())) if self.sending == Sending::Rest => self.sending = Sending::Done,
                Poll::Ready(Ok(())) if starved => return Ok(()),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.sending = Sending::Broken,
                Poll::Pending => return Ok(()),
            }
        }
    }

    fn take_frame(&mut self, frame: Option<Frame<Bytes>>) -> Result<(), BodyError> {
        let mut last = frame.is_none();
        let mut trailers = None;
        match frame.map(Frame::into_data) {
            None => {}
            Some(Ok(data)) => self.out.data(&mut self.framing, data)?,
            Some(Err(frame)) => {
                last = true;
                trailers = frame.into_trailers().ok();
            }
        }
        if last || self.upload.is_end_stream() {
            self.out.end(self.framing, trailers.as_ref())?;
            self.sending = Sending::Rest;
        }
        Ok(())
    }

    /// Sends on while nobody asks for more of the answer.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if self.sending != Sending::Done {
            // If the body breaks off, whoever asks for the next piece is told.
            drop(self.send(cx));
        }
    }

    /// The next piece of the answer's body.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broke>>> {
        if let Err(error) = self.send(cx) {
            return Poll::Ready(Some(Err(Broke::Upload(Box::new(error)))));
        }
        loop {
            if !self.held.is_empty() {
                let data = std::mem::take(&mut self.held);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if let Some(refusal) = self.broken {
                return Poll::Ready(Some(Err(refusal.into())));
            }
            if self.body.is_ended() {
                return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let Self {
                line,
                body,
                held,
                trailers,
                ahead,
                sending,
                ..
            } = self;
            // When the connection took no more, its error may have been told to the one who wrote, and what is left to
            // read ends as though it were whole.
            let in_order = *sending != Sending::Broken;
            let read = line.scratch.poll_read(&mut line.stream, cx, |bytes| {
                if bytes.is_empty() {
                    return if in_order && body.may_end_here() {
                        Ok(())
                    } else {
                        Err(Broke::Short)
                    };
                }
                let mut data = Vec::new();
                let taken = body.take(bytes, &mut data);
                *held = data.into();
                let (taken, trailing) = taken?;
                *trailers = trailing;
                // More than was announced: it is not believed, nor is the connection used again.
                ahead.extend_from_slice(&bytes[taken..]);
                Ok(())
            });
            match ready!(read) {
                Ok(Ok(())) => {}
                Ok(Err(Broke::Refused(refusal))) => self.broken = Some(refusal),
                Ok(Err(broke)) => return Poll::Ready(Some(Err(broke))),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    /// Whether there is nothing more of the answer.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.body.is_ended() && self.held.is_empty() && self.trailers.is_none() && self.broken.is_none()
    }

    /// Bytes of the body that are still to come, if the upstream has said so.
    pub(crate) fn exact(&self) -> Option<u64> {
        if self.announced {
            self.body.left().map(|left| left + self.held.len() as u64)
        } else {
            self.is_end_stream().then_some(0)
        }
    }

    /// The connection, if it can carry another request.
    pub(crate) fn into_line(self) -> Option<Line> {
        let reusable =
            self.persists && self.sending == Sending::Done && self.is_end_stream() && self.ahead.is_empty();
        reusable.then_some(self.line)
    }

    /// The connection after it has switched protocols: its stream, what was read of it already, and its count.
    pub(crate) fn into_stream(self) -> (Stream, BytesMut, Open) {
        (self.line.stream, self.ahead, self.line.open)
    }
}
