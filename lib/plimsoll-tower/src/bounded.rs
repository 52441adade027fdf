//! The future of a service that gives up waiting: [`Asked`], against a timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use plimsoll_slo::Reason;
use tokio::time::Sleep;

use crate::asked::{Asked, Then};
use crate::{BoxError, Refused};

pin_project! {
    /// The future of a layer that bounds how long the service inside may take. The answer goes before the timer when both
    /// are there: a late answer is better than none.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Bounded<F, T> {
        #[pin]
        asked: Asked<F, T>,
        // None when the service was not asked.
        #[pin]
        timer: Option<Sleep>,
        late: Reason,
    }
}

impl<F, T> Bounded<F, T> {
    pub(crate) fn refuse(refused: Refused) -> Self {
        let late = refused.reason();
        Self {
            asked: Asked::refuse(refused),
            timer: None,
            late,
        }
    }

    /// Waits for `future` until `timer` fires; then `late` is why there is no answer.
    pub(crate) const fn send(future: F, then: T, timer: Sleep, late: Reason) -> Self {
        Self {
            asked: Asked::send(future, then),
            timer: Some(timer),
            late,
        }
    }
}

/// Why a call was given up.
pub(crate) fn late(reason: Reason) -> Refused {
    Refused::new(reason).cause(if reason == Reason::UpstreamTimeout {
        "no answer within the time of one try"
    } else {
        "the request's deadline passed"
    })
}

impl<F, T, A, E> Future for Bounded<F, T>
where
    F: Future<Output = Result<A, E>>,
    E: Into<BoxError>,
    T: Then<A>,
{
    type Output = Result<T::Answer, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answered) = this.asked.poll(cx) {
            return Poll::Ready(answered);
        }
        match this.timer.as_pin_mut() {
            Some(timer) => timer.poll(cx).map(|()| Err(late(*this.late).into())),
            None => Poll::Pending,
        }
    }
}
