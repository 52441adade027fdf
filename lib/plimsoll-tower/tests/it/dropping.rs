//! Whoever goes away takes nothing along: at whatever moment a call, or the body of its answer, is dropped.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use plimsoll_policy::{
    Backoff, BreakerConfig, BreakerState, BudgetConfig, Bulkhead, DeadlineConfig, RetryBudget, RetryConfig,
};
use plimsoll_tower::{BreakerLayer, BulkheadLayer, DeadlineLayer, Env, RetryLayer, TryLayer};
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _};

use crate::service::{Script, Scripted, get};

#[tokio::test(start_paused = true)]
async fn a_call_gives_its_place_back_before_its_answer_and_in_its_body() {
    let bulkhead = Arc::new(Bulkhead::new(8));
    let service = BulkheadLayer::sharing(Arc::clone(&bulkhead)).layer(Scripted { body: "body".into() });
    let call = service.clone().oneshot(get(&Script::of("200:20")));
    assert!(timeout(Duration::from_millis(10), call).await.is_err());
    assert_eq!(
        bulkhead.in_flight(),
        0,
        "it was dropped while the service was at work"
    );

    let answer = service.clone().oneshot(get(&Script::of("200:0"))).await.unwrap();
    assert_eq!(bulkhead.in_flight(), 1, "it is inside until its body has ended");
    drop(answer);
    assert_eq!(bulkhead.in_flight(), 0);

    let answer = service.clone().oneshot(get(&Script::of("200:0"))).await.unwrap();
    let mut body = answer.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "body");
    assert_eq!(
        bulkhead.in_flight(),
        0,
        "with the last byte, whether or not anybody asks for more"
    );

    let call = service.oneshot(get(&Script::of("reset:0"))).await;
    assert!(call.is_err());
    assert_eq!(bulkhead.in_flight(), 0, "an error has no body");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_can_be_sent_again() {
    let config = BreakerConfig {
        consecutive: 1,
        ..BreakerConfig::default()
    };
    let layer = BreakerLayer::new(config).in_env(Env::seeded(1));
    let service = layer.layer(Scripted::default());
    let ask = |script| service.clone().oneshot(get(&Script::of(script)));
    assert!(ask("503:0").await.is_ok());
    advance(config.open_max).await;
    assert!(timeout(Duration::from_millis(10), ask("200:20")).await.is_err());
    assert_eq!(
        (layer.state(), layer.probes_in_flight()),
        (BreakerState::Probing, 0)
    );
    assert!(
        ask("200:0").await.is_ok(),
        "it proved nothing, and is no failure either"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_retry_holds_a_token_and_nothing_else() {
    let (bulkhead, budget) = (
        Arc::new(Bulkhead::new(8)),
        Arc::new(RetryBudget::new(&no_income())),
    );
    let service = ServiceBuilder::new()
        .layer(RetryLayer::new(slow_retries(), Arc::clone(&budget)))
        .layer(BulkheadLayer::sharing(Arc::clone(&bulkhead)))
        .service(Scripted { body: "body".into() });
    let script = Script::of("503/2:10,200:10");
    let call = tokio::spawn(service.oneshot(get(&script)));
    sleep(Duration::from_millis(15)).await;
    assert_eq!(
        (bulkhead.in_flight(), budget.balance()),
        (0, 2.0),
        "the failed answer has gone"
    );
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(budget.balance(), 3.0, "its retry was not sent");
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_waits_for_its_service_gives_its_token_back() {
    /// Ready once in its life.
    #[derive(Clone, Default)]
    struct Once(Arc<std::sync::atomic::AtomicBool>, Scripted);
    impl<B> Service<Request<B>> for Once
    where
        Scripted: Service<Request<B>>,
    {
        type Response = <Scripted as Service<Request<B>>>::Response;
        type Error = <Scripted as Service<Request<B>>>::Error;
        type Future = <Scripted as Service<Request<B>>>::Future;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Self::Error>> {
            if self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        }
        fn call(&mut self, request: Request<B>) -> Self::Future {
            self.1.call(request)
        }
    }
    let budget = Arc::new(RetryBudget::new(&no_income()));
    let service = RetryLayer::new(slow_retries(), Arc::clone(&budget)).layer(Once::default());
    let call = timeout(
        Duration::from_mins(1),
        service.oneshot(get(&Script::of("503:0,200:0"))),
    );
    assert!(call.await.is_err());
    assert_eq!(budget.balance(), 3.0);
}

/// A whole client: every millisecond of a request's life is a moment to be dropped at.
#[tokio::test(start_paused = true)]
async fn a_stack_of_layers_leaks_nothing_whenever_it_is_dropped() {
    let mut whole = 0;
    for after in 0..140 {
        let (bulkhead, budget) = (
            Arc::new(Bulkhead::new(2)),
            Arc::new(RetryBudget::new(&no_income())),
        );
        let breaker = BreakerLayer::new(BreakerConfig::default()).in_env(Env::seeded(after));
        let deadline = DeadlineConfig {
            per_try: Some(Duration::from_millis(25)),
            ..DeadlineConfig::default()
        };
        let service = ServiceBuilder::new()
            .layer(DeadlineLayer::new(deadline))
            .layer(RetryLayer::new(RetryConfig::default(), Arc::clone(&budget)).in_env(Env::seeded(after)))
            .layer(BulkheadLayer::sharing(Arc::clone(&bulkhead)))
            .layer(breaker.clone())
            .layer(TryLayer::new(deadline))
            .service(Scripted { body: "body".into() });
        let script = Script::of("503:20,200:30,200:20");
        let call = async {
            let answer = service.oneshot(get(&script)).await.unwrap();
            let at_head: Response<_> = answer;
            sleep(Duration::from_millis(10)).await;
            at_head.into_body().collect().await.unwrap();
        };
        whole += u32::from(timeout(Duration::from_millis(after), call).await.is_ok());
        assert_eq!(
            (bulkhead.in_flight(), breaker.probes_in_flight()),
            (0, 0),
            "after {after} ms"
        );
        let retries_sent = script.seen().len().saturating_sub(1) as f64;
        assert_eq!(budget.balance(), 3.0 - retries_sent, "after {after} ms");
    }
    assert!(whole > 10, "some were not dropped: {whole}");
}

/// The service is given up when its time is over, and not kept at work for nobody.
#[tokio::test(start_paused = true)]
async fn a_service_that_is_late_is_dropped() {
    let bulkhead = Arc::new(Bulkhead::new(1));
    let config = DeadlineConfig {
        total: Duration::from_millis(50),
        ..DeadlineConfig::default()
    };
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(config))
        .layer(BulkheadLayer::sharing(Arc::clone(&bulkhead)))
        .service(Scripted::default());
    let began = Instant::now();
    assert!(service.oneshot(get(&Script::of("200:1000"))).await.is_err());
    assert_eq!((began.elapsed(), bulkhead.in_flight()), (config.total, 0));
}

/// Three retries, and none for free.
fn no_income() -> BudgetConfig {
    BudgetConfig { share: 0.0, burst: 3 }
}

fn slow_retries() -> RetryConfig {
    RetryConfig {
        backoff: Backoff {
            base: Duration::from_millis(100),
            cap: Duration::from_millis(100),
        },
        ..RetryConfig::default()
    }
}

/// What the compiler has to say: layers ask for nothing more than their services have.
#[test]
fn services_are_as_sendable_as_what_they_enclose() {
    fn sendable<T: Clone + Send + Sync>(_: &T) {}
    let budget = Arc::new(RetryBudget::new(&no_income()));
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(DeadlineConfig::default()))
        .layer(RetryLayer::new(RetryConfig::default(), budget))
        .layer(BreakerLayer::new(BreakerConfig::default()))
        .service(Scripted::default());
    sendable(&service);
    // And what is not Send will do as well, where nobody asks for it.
    let local = std::rc::Rc::new(());
    let service = tower::service_fn(move |_: Request<Full<Bytes>>| {
        let _local = std::rc::Rc::clone(&local);
        std::future::ready(Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::default())))
    });
    let mut service = BulkheadLayer::new(1).layer(service);
    drop(service.call(get(&Script::default())));
}
