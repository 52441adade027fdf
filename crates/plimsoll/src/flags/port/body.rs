//! Bodies of answers: whole, or as long as somebody follows what is served.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::follow::{Follower, Step};

type Next = Pin<Box<dyn Future<Output = Step> + Send>>;

/// What is answered. It is made when its reader takes it, so that nothing waits for slow ones.
pub(super) struct Body {
    chunks: VecDeque<Bytes>,
    next: Option<Next>,
    trailers: Option<HeaderMap>,
}

impl Body {
    pub(super) fn empty() -> Self {
        Self::of(Vec::new(), None)
    }

    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::of(vec![bytes.into()], None)
    }

    pub(super) fn of(chunks: Vec<Bytes>, trailers: Option<HeaderMap>) -> Self {
        Self {
            chunks: chunks.into_iter().filter(|chunk| !chunk.is_empty()).collect(),
            next: None,
            trailers,
        }
    }

    pub(super) fn following(follower: Follower) -> Self {
        Self {
            next: Some(Box::pin(follower.step())),
            ..Self::empty()
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("chunks", &self.chunks)
            .field("follows", &self.next.is_some())
            .field("trailers", &self.trailers)
            .finish()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = self.get_mut();
        loop {
            if let Some(chunk) = body.chunks.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            let Some(next) = &mut body.next else {
                let trailers = body.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)));
                return Poll::Ready(trailers);
            };
            let step = ready!(next.as_mut().poll(cx));
            body.chunks = step.chunks.into();
            body.trailers = step.trailers;
            body.next = step.rest.map(|follower| -> Next { Box::pin(follower.step()) });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.is_empty() && self.next.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.next.is_some() {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.chunks.iter().map(|chunk| chunk.len() as u64).sum())
    }
}
