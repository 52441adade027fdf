//! The answer's body, on its way to the caller; when it ends, so does the request.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use plimsoll_policy::{Permit, Throttle, ThrottleDecision};
use plimsoll_slo::{Class, Instant, Reason, classify_grpc};
use tokio::time::Sleep;

use super::BodyError;
use crate::fields::{Fields, Known};
use crate::pool::Lease;
use crate::respond::{self, Refused};
use crate::ticket::Ticket;

/// Why a call is given up by a drain.
const PARTED: &str = "the process ends, and the time for what is under way is over";

/// A body that we made, or the upstream's as it comes.
pub(crate) enum AnswerBody {
    /// Ours: whole, small.
    Own {
        bytes: Option<Bytes>,
        /// Dropped, and so counted as answered, when the body was sent.
        _ticket: Box<Ticket>,
    },
    /// Ours, for a request that was counted already.
    Uncounted(Option<Bytes>),
    /// The upstream's.
    Passing(Box<Passing>),
}

/// The upstream's body under way, with everything that is held until it ends.
pub(crate) struct Passing {
    /// Where it comes from, until it is whole.
    lease: Option<Lease>,
    ticket: Ticket,
    /// A gRPC call whose status has not come yet.
    grpc_open: bool,
    ended: bool,
    /// Silence that is borne.
    idle_max: Duration,
    /// A deadline that the caller set itself holds to the last byte.
    deadline: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    throttle: Option<Throttle>,
    held: Option<Bytes>,
    /// It broke off, and what came before is being written.
    broken: Option<(Reason, BodyError)>,
    _permit: Permit,
}

/// What a passing body needs besides the body.
pub(crate) struct Terms {
    /// A gRPC call whose status is still to come in the trailers.
    pub(crate) grpc_open: bool,
    pub(crate) idle_max: Duration,
    pub(crate) deadline: Option<Instant>,
    pub(crate) throttle: Option<Throttle>,
}

impl AnswerBody {
    pub(crate) fn own(bytes: Bytes, ticket: Ticket) -> Self {
        Self::Own {
            bytes: Some(bytes).filter(|bytes| !bytes.is_empty()),
            _ticket: Box::new(ticket),
        }
    }

    pub(crate) fn passing(ticket: Ticket, lease: Lease, permit: Permit, terms: &Terms) -> Self {
        let mut passing = Box::new(Passing {
            ended: false,
            grpc_open: terms.grpc_open,
            idle_max: terms.idle_max,
            deadline: terms.deadline,
            timer: None,
            throttle: terms.throttle,
            held: None,
            broken: None,
            lease: Some(lease),
            _permit: permit,
            ticket,
        });
        if passing.is_source_dry() {
            passing.end();
        }
        Self::Passing(passing)
    }
}

impl AnswerBody {
    /// Bytes that are still to come, if that is known.
    pub(crate) fn exact(&self) -> Option<u64> {
        match self {
            Self::Own { bytes, .. } | Self::Uncounted(bytes) => {
                Some(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Passing(passing) if passing.ended => Some(0),
            Self::Passing(passing) => {
                let held = passing.held.as_ref().map_or(0, |held| held.len() as u64);
                passing.left().map(|left| left + held)
            }
        }
    }

    /// Whether this is a gRPC call whose status is still to come.
    pub(crate) fn awaits_status(&self) -> bool {
        matches!(self, Self::Passing(passing) if passing.grpc_open && !passing.ended)
    }

    /// Gives such a call up, since the process ends; the trailers that say so.
    pub(crate) fn part(&mut self) -> HeaderMap {
        let refused = Refused::new(Reason::Draining).cause(PARTED);
        let Self::Passing(passing) = self else {
            return respond::grpc_trailers(&refused, "");
        };
        let trailers = respond::grpc_trailers(&refused, passing.ticket.id());
        passing.give_up(Reason::Draining, PARTED);
        trailers
    }

    /// Goes on sending the request that this answers, while nobody asks for more of the answer.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Self::Passing(passing) = self
            && let Some(lease) = &mut passing.lease
        {
            lease.drive(cx);
        }
    }
}

impl Passing {
    /// Whether the upstream has said that nothing more comes.
    fn is_source_dry(&self) -> bool {
        self.lease.as_ref().is_none_or(Lease::is_end_stream)
    }

    /// Bytes that are still to come from the upstream, if that is known.
    fn left(&self) -> Option<u64> {
        self.lease.as_ref().map_or(Some(0), Lease::exact)
    }

    /// The body is complete: the outcome stands as the head had it, and the connection can serve the next.
    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            if self.grpc_open {
                let cause = "the call ended without a grpc-status, which clients take for UNKNOWN";
                self.ticket.fail(Class::Bad(Reason::UpstreamGrpcError), cause);
            }
            let now = self.ticket.core().env.now();
            self.ticket.complete(now);
            if let Some(lease) = self.lease.take() {
                lease.give_back(now);
            }
        }
    }

    fn fail(&mut self, reason: Reason, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.give_up(reason, error.to_string());
        Poll::Ready(Some(Err(error)))
    }

    fn give_up(&mut self, reason: Reason, cause: impl Into<Cow<'static, str>>) {
        self.ended = true;
        self.ticket.fail(Class::Bad(reason), cause);
        let now = self.ticket.core().env.now();
        self.ticket.complete(now);
        self.lease = None;
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if self.grpc_open
            && let Some(code) = grpc_status_of(trailers)
        {
            self.grpc_open = false;
            self.ticket.grpc_status(code, classify_grpc(code));
        }
    }

    /// Arms the timer for the next wait: the stream's silence, or the caller's own deadline, whichever is nearer.
    fn arm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let env = &self.ticket.core().env;
        if self.timer.is_none() {
            let idle = env.now() + self.idle_max;
            let when = self.deadline.map_or(idle, |deadline| idle.min(deadline));
            self.timer = Some(Box::pin(env.sleep_until(when)));
        }
        self.timer
            .as_mut()
            .map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some((reason, error)) = self.broken.take() {
            return self.fail(reason, error);
        }
        if let Some(data) = self.held.take() {
            return self.paced(data, cx);
        }
        let polled = self.lease.as_mut().map(|lease| lease.poll_frame(cx));
        let frame = match polled.unwrap_or(Poll::Ready(None)) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.arm(cx));
                let past = self
                    .deadline
                    .is_some_and(|deadline| self.ticket.core().env.now() >= deadline);
                return if past {
                    self.fail(Reason::DeadlineExceeded, BodyError::Deadline)
                } else {
                    self.fail(Reason::UpstreamTruncated, BodyError::Idle)
                };
            }
        };
        self.timer = None;
        match frame {
            None => {
                self.end();
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                // Resetting an HTTP/2 stream throws away what was not written yet. Waiting for one turn lets the head and
                // what there is go out, so that the caller sees an answer that broke off, and not none.
                self.broken = Some((Reason::UpstreamTruncated, BodyError::Upstream(error)));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if self.throttle.is_some() => self.paced(data, cx),
                Ok(data) => {
                    if self.is_source_dry() {
                        self.end();
                    }
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Err(frame) => {
                    // Nothing follows the trailers, and nobody asks again.
                    if let Some(trailers) = frame.trailers_ref() {
                        self.trailers(trailers);
                        self.end();
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
            },
        }
    }

    /// Lets through as much of `data` as the throttle allows now.
    fn paced(
        &mut self,
        mut data: Bytes,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let now = self.ticket.core().env.now();
        let Some(throttle) = &mut self.throttle else {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        };
        match throttle.allow(now, data.len()) {
            ThrottleDecision::Send(bytes) => {
                let first = data.split_to(bytes.min(data.len()));
                if data.is_empty() {
                    if self.is_source_dry() {
                        self.end();
                    }
                } else {
                    self.held = Some(data);
                }
                Poll::Ready(Some(Ok(Frame::data(first))))
            }
            ThrottleDecision::Wait(wait) => {
                self.held = Some(data);
                let mut timer = Box::pin(self.ticket.core().env.sleep(wait));
                if timer.as_mut().poll(cx).is_ready() {
                    cx.waker().wake_by_ref();
                }
                self.timer = Some(timer);
                Poll::Pending
            }
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // HTTP/1 writes as many bytes as were declared and asks for no more, while an HTTP/2 upstream may say only in
        // a later frame that this was all. A gRPC call is over when its status is there.
        let whole = self.held.is_none() && self.left() == Some(0);
        if whole && !self.grpc_open {
            self.end();
        }
    }
}

/// The gRPC status in a header block.
pub(crate) fn grpc_status(fields: &Fields) -> Option<u8> {
    fields.text(Known::GrpcStatus)?.parse().ok()
}

/// The gRPC status in trailers.
fn grpc_status_of(trailers: &HeaderMap) -> Option<u8> {
    trailers
        .get(Known::GrpcStatus.name())?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own { bytes, .. } | Self::Uncounted(bytes) => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Passing(passing) => passing.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own { bytes, .. } | Self::Uncounted(bytes) => bytes.is_none(),
            Self::Passing(passing) => passing.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.exact().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
