//! [`Bulkhead`] as a layer: a hard bound on the requests that are inside at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use plimsoll_policy::{Bulkhead, BulkheadDecision, Permit};
use plimsoll_slo::Reason;
use tower_layer::Layer;
use tower_service::Service;

use crate::asked::{Asked, Then};
use crate::{BoxError, Refused};

/// Lets so many requests in at a time, and refuses the rest at once with `bulkhead-full`.
///
/// A request is inside from the call until the body of its answer has ended or was dropped. All services that one layer
/// makes share its places, and so do their clones.
///
/// ```
/// use http::{Request, Response};
/// use plimsoll_tower::{BulkheadLayer, Refused};
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(String::new())));
/// let mut nobody = BulkheadLayer::new(0).layer(service);
/// let error = nobody.call(Request::new(())).await.unwrap_err();
/// assert_eq!(Refused::find(&*error).unwrap().reason().code(), "bulkhead-full");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BulkheadLayer {
    bulkhead: Arc<Bulkhead>,
}

impl BulkheadLayer {
    /// A bulkhead with so many places; none when `max` is 0.
    pub fn new(max: u32) -> Self {
        Self::sharing(Arc::new(Bulkhead::new(max)))
    }

    /// The places of this bulkhead, which may be read and changed from outside, and shared with other layers.
    pub const fn sharing(bulkhead: Arc<Bulkhead>) -> Self {
        Self { bulkhead }
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = BulkheadService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BulkheadService {
            inner,
            bulkhead: Arc::clone(&self.bulkhead),
        }
    }
}

/// The service of a [`BulkheadLayer`].
#[derive(Clone, Debug)]
pub struct BulkheadService<S> {
    inner: S,
    bulkhead: Arc<Bulkhead>,
}

impl<S, B, A> Service<Request<B>> for BulkheadService<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<Held<A>>;
    type Error = BoxError;
    type Future = Asked<S::Future, Permit>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.bulkhead.enter() {
            BulkheadDecision::Admit(permit) => Asked::send(self.inner.call(request), permit),
            BulkheadDecision::Refuse => Asked::refuse(
                Refused::new(Reason::BulkheadFull).cause("as many requests are in flight as may be"),
            ),
        }
    }
}

impl<A> Then<Response<A>> for Permit {
    type Answer = Response<Held<A>>;

    fn then(self, answered: Result<Response<A>, BoxError>) -> Result<Self::Answer, BoxError> {
        answered.map(|answer| {
            answer.map(|body| Held {
                body,
                permit: Some(self),
            })
        })
    }
}

pin_project! {
    /// An answer's body that keeps its request inside until it has ended.
    #[derive(Debug)]
    pub struct Held<A> {
        #[pin]
        body: A,
        permit: Option<Permit>,
    }
}

impl<A: Body> Body for Held<A> {
    type Data = A::Data;
    type Error = A::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<A::Data>, A::Error>>> {
        let mut this = self.project();
        let polled = this.body.as_mut().poll_frame(cx);
        // A reader that knows the length does not ask again after the last byte, so the end is looked for with each.
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || this.body.is_end_stream() {
            *this.permit = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
