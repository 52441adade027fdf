//! Services that are ready and idle hold nothing.
//!
//! A server keeps a ready service for each connection, so whatever `poll_ready` takes is taken by idle connections. For
//! each layer: many clones are made ready and kept, a day passes, and the next call goes as though they were not there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use plimsoll_policy::{
    BreakerConfig, BreakerState, BudgetConfig, Bulkhead, DeadlineConfig, FaultAction, FaultConfig, FaultRule,
    Quota, RetryBudget, RetryConfig,
};
use plimsoll_tower::{
    AnswerLayer, BoxError, BreakerLayer, BulkheadLayer, DeadlineLayer, Env, FaultLayer, RateLayer,
    RetryLayer, TryLayer,
};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt as _};

use crate::service::{Script, Scripted, Strict, get};

const DAY: Duration = Duration::from_hours(24);

/// Makes eight clones ready, lets a day pass, and asks by a ninth. The eight are returned, still ready.
async fn ask_past_idle_clones<S, A>(service: S) -> (Result<Response<A>, S::Error>, Vec<S>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<A>> + Clone,
{
    let mut idle = vec![service.clone(); 8];
    for service in &mut idle {
        assert!(service.ready().await.is_ok());
    }
    advance(DAY).await;
    (service.oneshot(get(&Script::of("200:40"))).await, idle)
}

fn is_good<A, E>((answered, _): &(Result<Response<A>, E>, impl Sized)) -> bool {
    answered.as_ref().is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test(start_paused = true)]
async fn in_a_bulkhead() {
    let bulkhead = Arc::new(Bulkhead::new(1));
    let service = BulkheadLayer::sharing(Arc::clone(&bulkhead)).layer(Scripted::default());
    let asked = ask_past_idle_clones(service).await;
    assert!(is_good(&asked));
    assert_eq!(bulkhead.in_flight(), 1, "the body of its answer is still there");
    drop(asked.0);
    assert_eq!((bulkhead.in_flight(), bulkhead.refused()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn at_a_rate_limit() {
    let quota = Quota::new(1, 2 * DAY, 1).unwrap();
    let asked = ask_past_idle_clones(RateLayer::new("one", quota).layer(Scripted::default())).await;
    assert!(is_good(&asked));
}

#[tokio::test(start_paused = true)]
async fn at_a_breaker_that_probes() {
    let config = BreakerConfig {
        consecutive: 1,
        ..BreakerConfig::default()
    };
    let layer = BreakerLayer::new(config).in_env(Env::seeded(1));
    let service = layer.layer(Scripted::default());
    service.clone().oneshot(get(&Script::of("503:0"))).await.unwrap();
    advance(config.open_max).await;
    assert_eq!(layer.state(), BreakerState::Probing);
    let asked = ask_past_idle_clones(service).await;
    assert!(is_good(&asked), "the only probe was there for it");
}

#[tokio::test(start_paused = true)]
async fn of_a_retry_budget() {
    let budget = Arc::new(RetryBudget::new(&BudgetConfig { share: 1.0, burst: 5 }));
    for _ in 0..3 {
        let _taken = budget.withdraw();
    }
    let service = RetryLayer::new(RetryConfig::default(), Arc::clone(&budget)).layer(Scripted::default());
    let asked = ask_past_idle_clones(service).await;
    assert!(is_good(&asked));
    assert!(
        (budget.balance() - 3.0).abs() < 1e-9,
        "one request paid in, and nobody took out"
    );
}

/// A layer that counts time counts it from the call.
#[tokio::test(start_paused = true)]
async fn of_the_time_that_a_call_has() {
    let config = DeadlineConfig {
        total: Duration::from_millis(50),
        per_try: Some(Duration::from_millis(45)),
        ..DeadlineConfig::default()
    };
    assert!(is_good(
        &ask_past_idle_clones(DeadlineLayer::new(config).layer(Scripted::default())).await
    ));
    assert!(is_good(
        &ask_past_idle_clones(TryLayer::new(config).layer(Scripted::default())).await
    ));
}

#[tokio::test(start_paused = true)]
async fn of_a_fault() {
    let action = FaultAction::Delay(Duration::from_millis(30));
    let rule = FaultRule {
        share: 1.0,
        by_header: None,
        action,
    };
    let service = FaultLayer::new(FaultConfig { rules: vec![rule] }).layer(Scripted::default());
    let began = tokio::time::Instant::now();
    let asked = ask_past_idle_clones(service).await;
    assert!(is_good(&asked));
    assert_eq!(
        began.elapsed(),
        DAY + Duration::from_millis(70),
        "its own delay, and the service's time"
    );
}

#[tokio::test(start_paused = true)]
async fn before_an_answer() {
    assert!(is_good(
        &ask_past_idle_clones(AnswerLayer::new().layer(Scripted::default())).await
    ));
}

/// Layers pass on that the service inside is not ready, and why it never will be.
#[tokio::test(start_paused = true)]
async fn readiness_is_that_of_the_service_inside() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Request<Full<Bytes>>> for Broken {
        type Response = Response<Full<Bytes>>;
        type Error = BoxError;
        type Future = std::future::Pending<Result<Self::Response, BoxError>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
            std::task::Poll::Ready(Err("it is gone".into()))
        }
        fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
            panic!("it was never ready")
        }
    }
    let mut bulkhead = BulkheadLayer::new(1).layer(Broken);
    assert_eq!(bulkhead.ready().await.err().unwrap().to_string(), "it is gone");
    let answer = AnswerLayer::new()
        .layer(Broken)
        .oneshot(get(&Script::of("200:0")))
        .await
        .unwrap();
    assert_eq!(answer.status(), 502, "there is somebody to tell");
}

/// A clone need not be ready when the service is, so the one that was asked is the one that is called, also later.
#[tokio::test(start_paused = true)]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    let ask = |script| get(&Script::of(script));
    let budget = Arc::new(RetryBudget::new(&BudgetConfig::default()));
    let mut service = RetryLayer::new(RetryConfig::default(), budget).layer(Strict::default());
    for _ in 0..2 {
        std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
            .await
            .unwrap();
        assert_eq!(
            service.call(ask("503:0,503:0,200:0")).await.unwrap().status(),
            200
        );
    }
    let delay = FaultRule {
        share: 1.0,
        by_header: None,
        action: FaultAction::Delay(Duration::from_millis(30)),
    };
    let mut service = FaultLayer::new(FaultConfig { rules: vec![delay] }).layer(Strict::default());
    for _ in 0..2 {
        std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(&mut service, cx))
            .await
            .unwrap();
        assert!(service.call(ask("200:0")).await.is_ok());
    }
}
