//! HTTP/2, to either side, by the `h2` crate: frames, header compression and flow control are its matter, and what
//! travels in them is ours.
//!
//! One task drives a connection; its streams are driven by whoever wants something of them. [`serving`] gives each of
//! a caller's streams a task of its own, and a request that goes out on [`carrying`] is polled within the very task
//! that waits for its answer, so that an upload and an answer go on at the same time and nothing is handed over.
//! Nothing is read from a stream, and so nothing is let through by its window, but what somebody has asked for.

pub(crate) mod carrying;
mod chatter;
mod pulse;
mod sending;
pub(crate) mod serving;
mod socket;

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Frame;

use crate::body::Broke;
use crate::framing::{self, Refusal};
use crate::message::RequestHead;
use crate::plan::LimitsPlan;

/// Holds a head to the limits that HTTP/1's scanner holds its own to. h2 bounds the size of all fields together by
/// itself, more loosely, so that a head which is a little too large gets an answer that says so.
pub(crate) fn bound(head: &RequestHead, limits: &LimitsPlan) -> Result<(), Refusal> {
    let target = head.target.path_and_query.len();
    let authority = head.target.authority.as_ref().map_or(0, Bytes::len);
    if target > limits.target_bytes {
        return Err(framing::head::LONG_TARGET);
    }
    if head.fields.count() > limits.headers {
        return Err(framing::head::MANY_FIELDS);
    }
    if head.fields.size() + target + authority > limits.head_bytes {
        return Err(framing::head::TOO_LARGE);
    }
    Ok(())
}

/// A body on its way in.
pub(crate) struct Incoming {
    stream: RecvStream,
    /// Bytes that are to come, if the head said so.
    left: Option<u64>,
    /// All data have come; trailers may follow.
    data_over: bool,
}

impl Incoming {
    fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let left = if stream.is_end_stream() {
            Some(0)
        } else {
            declared_length(headers)
        };
        Self {
            stream,
            left,
            data_over: false,
        }
    }

    /// The next piece. What is taken here is what the peer may send anew. A stream that is reset before its end has
    /// broken off, whatever reason is given for it.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broke>>> {
        if !self.data_over {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It fails only where the stream is over, and nothing more can come.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(Broke::Http2(error)))),
                None => self.data_over = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(match trailers {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(Broke::Http2(error))),
        })
    }

    /// Whether nothing is to come any more.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    /// Bytes that are to come, if that is known.
    pub(crate) fn exact(&self) -> Option<u64> {
        self.left
    }
}

/// The length that a head declares. h2 holds the body to it.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next()?.to_str().ok()?.parse().ok()?;
    lengths.next().is_none().then_some(length)
}
