//! An answer's body at the pace that a fault wants.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use plimsoll_policy::{Throttle, ThrottleDecision};
use tokio::time::Sleep;

use crate::Env;

pin_project! {
    /// An answer's body, at so many bytes a second or as it comes.
    #[derive(Debug)]
    pub struct Throttled<A> {
        #[pin]
        body: A,
        throttle: Option<Throttle>,
        // What came and may not go on yet.
        held: Bytes,
        timer: Option<Pin<Box<Sleep>>>,
        env: Env,
    }
}

impl<A> Throttled<A> {
    pub(crate) const fn new(body: A, throttle: Option<Throttle>, env: Env) -> Self {
        Self {
            body,
            throttle,
            held: Bytes::new(),
            timer: None,
            env,
        }
    }
}

impl<A: Body> Body for Throttled<A> {
    type Data = Bytes;
    type Error = A::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, A::Error>>> {
        let this = self.project();
        if this.held.is_empty() {
            let Some(frame) = ready!(this.body.poll_frame(cx)).transpose()? else {
                return Poll::Ready(None);
            };
            match frame
                .map_data(|mut data| data.copy_to_bytes(data.remaining()))
                .into_data()
            {
                Ok(data) => *this.held = data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
        let Some(throttle) = this.throttle else {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(this.held)))));
        };
        loop {
            if let Some(timer) = this.timer {
                ready!(timer.as_mut().poll(cx));
                *this.timer = None;
            }
            let now = this.env.now();
            match throttle.allow(now, this.held.len()) {
                ThrottleDecision::Send(bytes) => {
                    let first = this.held.split_to(bytes.min(this.held.len()));
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                ThrottleDecision::Wait(wait) => {
                    *this.timer = Some(Box::pin(this.env.sleep_until(now + wait)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest, held) = (SizeHint::new(), self.body.size_hint(), self.held.len() as u64);
        hint.set_lower(rest.lower().saturating_add(held));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
