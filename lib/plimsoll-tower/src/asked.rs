//! The future of a service that asks its policy when it is called, and not a moment sooner.
//!
//! tower's own limits take a permit in `poll_ready`; a connection that is kept open holds a ready service, so idle
//! connections hold permits, and a limit of four is used up by four of them with nothing in flight. Here `poll_ready`
//! asks the service inside and takes nothing; `call` decides, and this future holds what the decision gave. Dropping
//! it, at whatever moment, gives it back.
//!
//! ```text
//! call => Refused (the service inside was not called) | Sent => the service's answer, seen by `Then`
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::{BoxError, Refused};

pin_project! {
    /// The future of a layer that admits or refuses at once: a refusal, or the service's own future and what is held
    /// while it is under way.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Asked<F, T> {
        #[pin]
        state: State<F, T>,
    }
}

pin_project! {
    // Both options are taken when the future ends.
    #[derive(Debug)]
    #[project = StatePart]
    enum State<F, T> {
        Refused { refused: Option<Box<Refused>> },
        Sent { #[pin] future: F, then: Option<T> },
    }
}

/// What is held while a request is under way: it takes the answer, and may add to it. Dropped without one, it gives back
/// what it holds.
pub trait Then<A> {
    /// The answer as it goes on.
    type Answer;
    /// Takes what the service inside came to.
    fn then(self, answered: Result<A, BoxError>) -> Result<Self::Answer, BoxError>;
}

impl<F, T> Asked<F, T> {
    pub(crate) fn refuse(refused: Refused) -> Self {
        let refused = Some(Box::new(refused));
        Self {
            state: State::Refused { refused },
        }
    }

    pub(crate) const fn send(future: F, then: T) -> Self {
        let then = Some(then);
        Self {
            state: State::Sent { future, then },
        }
    }
}

impl<F, T, A, E> Future for Asked<F, T>
where
    F: Future<Output = Result<A, E>>,
    E: Into<BoxError>,
    T: Then<A>,
{
    type Output = Result<T::Answer, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StatePart::Refused { refused } => {
                let refused = refused.take().expect("a future is not polled after it was ready");
                Poll::Ready(Err(refused))
            }
            StatePart::Sent { future, then } => {
                let answered = ready!(future.poll(cx)).map_err(Into::into);
                let then = then.take().expect("a future is not polled after it was ready");
                Poll::Ready(then.then(answered))
            }
        }
    }
}
