//! The answer's body, on its way to the caller; when it ends, so does the request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use plimsoll_policy::{Permit, Throttle, ThrottleDecision};
use plimsoll_slo::{Class, Instant, Reason, classify_grpc};
use tokio::time::Sleep;

use super::BodyError;
use crate::pool::Lease;
use crate::ticket::Ticket;

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
    incoming: Incoming,
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
    lease: Option<Lease>,
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

    pub(crate) fn passing(
        incoming: Incoming,
        ticket: Ticket,
        lease: Lease,
        permit: Permit,
        terms: &Terms,
    ) -> Self {
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
            incoming,
        });
        if passing.incoming.is_end_stream() {
            passing.end();
        }
        Self::Passing(passing)
    }
}

impl Passing {
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
        self.ended = true;
        self.ticket.fail(Class::Bad(reason), error.to_string());
        let now = self.ticket.core().env.now();
        self.ticket.complete(now);
        self.lease = None;
        Poll::Ready(Some(Err(error)))
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if self.grpc_open
            && let Some(code) = grpc_status(trailers)
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
        let frame = match Pin::new(&mut self.incoming).poll_frame(cx) {
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
                // A body that fails makes hyper throw away what it has not written yet. Waiting for one turn lets it
                // write the head and what there is, so that the caller sees an answer that broke off, and not none.
                self.broken = Some((Reason::UpstreamTruncated, BodyError::Upstream(error)));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if self.throttle.is_some() => self.paced(data, cx),
                Ok(data) => {
                    if self.incoming.is_end_stream() {
                        self.end();
                    }
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Err(frame) => {
                    // Nothing follows the trailers, and hyper's HTTP/1 drops the body without asking again.
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
                    if self.incoming.is_end_stream() {
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
        let whole = self.held.is_none() && self.incoming.size_hint().exact() == Some(0);
        if whole && !self.grpc_open {
            self.end();
        }
    }
}

/// The gRPC status in a header block.
pub(crate) fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
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
        match self {
            Self::Own { bytes, .. } | Self::Uncounted(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Passing(passing) => {
                if passing.ended {
                    SizeHint::with_exact(0)
                } else if let Some(held) = &passing.held {
                    let rest = passing.incoming.size_hint();
                    rest.exact().map_or_else(SizeHint::default, |rest| {
                        SizeHint::with_exact(rest + held.len() as u64)
                    })
                } else {
                    passing.incoming.size_hint()
                }
            }
        }
    }
}
