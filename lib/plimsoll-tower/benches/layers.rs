//! What a layer costs a request that it lets through: `cargo bench -p plimsoll-tower`.
//!
//! One line per stack: its name, a tab, and nanoseconds per request: the least, the median and the greatest of the
//! batches. The service inside answers at once, so what is timed is the call, its future and the body of its answer.
//! `nothing` is the service alone, to be taken off the others.

#![allow(clippy::print_stdout, reason = "a benchmark talks to whoever ran it")]

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Full};
use plimsoll_policy::{
    AdaptiveConfig, BreakerConfig, BudgetConfig, DeadlineConfig, FaultConfig, Quota, RetryBudget, RetryConfig,
};
use plimsoll_tower::{
    AnswerLayer, BreakerLayer, BulkheadLayer, DeadlineLayer, FaultLayer, LimitLayer, RateLayer, RetryLayer,
    TryLayer,
};
use tower::{Layer, Service, ServiceBuilder};

/// Requests per batch, and batches, of which the first tenth only warms up.
const BATCH: u32 = 1_000;
const BATCHES: usize = 500;

/// A service that answers at once.
#[derive(Clone, Copy)]
struct Prompt;

impl<B> Service<Request<B>> for Prompt {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::new(Bytes::from_static(b"body")))))
    }
}

fn time<S, A>(name: &str, mut service: S)
where
    S: Service<Request<Empty<Bytes>>, Response = Response<A>>,
    A: Body + Unpin,
{
    let mut batches: Vec<f64> = (0..BATCHES).map(|_| batch(&mut service)).collect();
    batches.drain(..BATCHES / 10);
    batches.sort_by(f64::total_cmp);
    let (least, median) = (batches[0], batches[batches.len() / 2]);
    println!(
        "{name}\t{least:.0}\t{median:.0}\t{:.0}",
        batches[batches.len() - 1]
    );
}

/// Nanoseconds per request in one batch.
#[expect(
    clippy::disallowed_methods,
    reason = "it times real work; nothing here is ever simulated"
)]
fn batch<S, A>(service: &mut S) -> f64
where
    S: Service<Request<Empty<Bytes>>, Response = Response<A>>,
    A: Body + Unpin,
{
    let cx = &mut Context::from_waker(Waker::noop());
    let begin = Instant::now();
    for _ in 0..BATCH {
        assert!(service.poll_ready(cx).is_ready());
        let Poll::Ready(Ok(answer)) = pin!(service.call(Request::new(Empty::new()))).poll(cx) else {
            panic!("it answers at once")
        };
        let mut body = answer.into_body();
        while pin!(body.frame()).poll(cx).map(|frame| frame.is_some()) == Poll::Ready(true) {}
    }
    begin.elapsed().as_nanos() as f64 / f64::from(BATCH)
}

fn retry() -> RetryLayer {
    RetryLayer::new(
        RetryConfig::default(),
        Arc::new(RetryBudget::new(&BudgetConfig::default())),
    )
}

fn main() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().expect("a runtime with a timer");
    let _timers = runtime.enter();
    let (breaker, deadline) = (BreakerConfig::default(), DeadlineConfig::default());
    // So high that nobody meets it.
    let quota =
        Quota::new(1_000_000_000, Duration::from_secs(1), u32::MAX).expect("a quota that can be kept");
    time("nothing", Prompt);
    time("answer", AnswerLayer::new().layer(Prompt));
    time("deadline", DeadlineLayer::new(deadline).layer(Prompt));
    time("rate", RateLayer::new("v", quota).layer(Prompt));
    time("limit", LimitLayer::new(AdaptiveConfig::default()).layer(Prompt));
    time("fault", FaultLayer::new(FaultConfig::default()).layer(Prompt));
    time("retry", retry().layer(Prompt));
    time("bulkhead", BulkheadLayer::new(1024).layer(Prompt));
    time("breaker", BreakerLayer::new(breaker).layer(Prompt));
    time("try", TryLayer::new(deadline).layer(Prompt));
    let client = ServiceBuilder::new()
        .layer(DeadlineLayer::new(deadline))
        .layer(retry())
        .layer(BulkheadLayer::new(1024))
        .layer(BreakerLayer::new(breaker))
        .layer(TryLayer::new(deadline));
    time("a client's five", client.service(Prompt));
    let server = ServiceBuilder::new()
        .layer(AnswerLayer::new())
        .layer(DeadlineLayer::new(deadline))
        .layer(LimitLayer::new(AdaptiveConfig::default()))
        .layer(BulkheadLayer::new(1024));
    time("a server's four", server.service(Prompt));
}
