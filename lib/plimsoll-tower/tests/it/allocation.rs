//! What a layer allocates for a request that it lets through: nothing, where it adds nothing to the message.
//!
//! `allocation-counter` is this program's allocator; it counts by thread, so tests beside this one do no harm.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use plimsoll_policy::{AdaptiveConfig, BreakerConfig, FaultConfig};
use plimsoll_tower::{AnswerLayer, BreakerLayer, BulkheadLayer, FaultLayer, LimitLayer};
use tower::{Layer, Service, ServiceBuilder};

/// A service that answers at once.
#[derive(Clone, Copy)]
struct Prompt;

impl Service<Request<()>> for Prompt {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"body")))))
    }
}

/// Allocations for one request and the body of its answer, once everything is warm.
fn allocated<S, A>(mut service: S) -> u64
where
    S: Service<Request<()>, Response = Response<A>>,
    A: http_body::Body<Data = Bytes> + Unpin,
{
    let mut ask = || {
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(service.poll_ready(cx).is_ready());
        let Poll::Ready(Ok(answer)) = pin!(service.call(Request::new(()))).poll(cx) else {
            panic!("it answers at once")
        };
        let mut body = answer.into_body();
        while pin!(body.frame()).poll(cx).map(|frame| frame.is_some()) == Poll::Ready(true) {}
    };
    (0..1000).for_each(|_| ask());
    measure(|| (0..1000).for_each(|_| ask())).count_total / 1000
}

#[test]
fn what_lets_through_allocates_nothing() {
    let layers = ServiceBuilder::new()
        .layer(AnswerLayer::new())
        .layer(FaultLayer::new(FaultConfig::default()))
        .layer(LimitLayer::new(AdaptiveConfig::default()))
        .layer(BulkheadLayer::new(10))
        .layer(BreakerLayer::new(BreakerConfig::default()))
        .service(Prompt);
    assert_eq!(allocated(Prompt), 0);
    assert_eq!(allocated(layers), 0);
    assert_eq!(allocated(AnswerLayer::new().layer(Prompt)), 0);
}
