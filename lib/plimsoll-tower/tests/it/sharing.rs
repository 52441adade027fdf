//! However many clones on however many threads: nobody is let in who should not be.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use plimsoll_policy::{BreakerConfig, BreakerState, BudgetConfig, Bulkhead, Quota, RetryBudget, RetryConfig};
use plimsoll_tower::{BoxError, BreakerLayer, BulkheadLayer, RateLayer, Refused, RetryLayer};
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::{Layer, Service, ServiceExt as _, service_fn};

/// Calls `service` so many times from each of so many threads, by a new clone each time, and counts what is not refused.
fn count<S, A>(service: &S, threads: usize, calls: usize) -> u32
where
    S: Service<Request<Full<Bytes>>, Response = Response<A>, Error = BoxError, Future: Send>
        + Clone
        + Send
        + Sync,
    A: http_body::Body<Data = Bytes>,
{
    let (start, good) = (Barrier::new(threads), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_time().build().unwrap();
                start.wait();
                for _ in 0..calls {
                    let call = service.clone().oneshot(Request::new(Full::default()));
                    match runtime.block_on(call) {
                        Ok(answer) => {
                            drop(runtime.block_on(answer.into_body().collect()));
                            good.fetch_add(1, SeqCst);
                        }
                        Err(error) => assert!(Refused::find(&*error).is_some(), "{error}"),
                    }
                }
            });
        }
    });
    good.into_inner()
}

fn answer(status: u16) -> Result<Response<Full<Bytes>>, BoxError> {
    Ok(Response::builder()
        .status(status)
        .body(Full::new(Bytes::from_static(b"body")))?)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_bulkhead_never_has_more_inside_than_places(max in 1u32..4, threads in 2usize..9) {
        let (inside, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let bulkhead = Arc::new(Bulkhead::new(max));
        let (now, peak) = (Arc::clone(&inside), Arc::clone(&most));
        let service = BulkheadLayer::sharing(Arc::clone(&bulkhead)).layer(service_fn(move |_: Request<Full<Bytes>>| {
            let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
            async move {
                peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                thread::yield_now();
                now.fetch_sub(1, SeqCst);
                answer(200)
            }
        }));
        let good = count(&service, threads, 300);
        prop_assert!(most.load(SeqCst) <= max);
        prop_assert_eq!(u64::from(good) + bulkhead.refused(), threads as u64 * 300);
        prop_assert_eq!(bulkhead.in_flight(), 0);
    }

    #[test]
    fn a_quota_is_spent_to_the_last_request_and_no_further(burst in 1u32..200, threads in 2usize..9) {
        // So slow that nothing comes back while the test runs.
        let quota = Quota::new(1, Duration::from_hours(1000), burst).unwrap();
        let service = RateLayer::new("v", quota).layer(service_fn(async |_: Request<Full<Bytes>>| answer(200)));
        prop_assert_eq!(count(&service, threads, 100), burst.min(threads as u32 * 100));
    }

    #[test]
    fn retries_never_exceed_their_budget(percent in 0u32..100, burst in 0u32..20, threads in 2usize..9) {
        let budget = BudgetConfig { share: f64::from(percent) / 100.0, burst };
        let (config, attempts) = (RetryConfig::default(), Arc::new(AtomicU32::new(0)));
        let config = RetryConfig { backoff: plimsoll_policy::Backoff { base: Duration::ZERO, cap: Duration::ZERO }, ..config };
        let counted = Arc::clone(&attempts);
        let fails = service_fn(move |_| {
            counted.fetch_add(1, SeqCst);
            async { answer(503) }
        });
        let service = RetryLayer::new(config, Arc::new(RetryBudget::new(&budget))).layer(fails);
        let requests = threads as u32 * 50;
        count(&service, threads, 50);
        let retries = attempts.load(SeqCst) - requests;
        prop_assert!(retries <= requests * percent / 100 + burst, "{retries} of {requests}");
        prop_assert!(retries >= burst.min(2 * requests), "{retries} of {burst}");
    }
}

/// Routers ask a layer for one service per route; what it bounds, it bounds over all of them.
#[test]
fn services_of_one_layer_share_as_clones_do() {
    let prompt = service_fn(async |_: Request<Full<Bytes>>| answer(200));
    let quota = Quota::new(1, Duration::from_hours(1), 3).unwrap();
    let layer = RateLayer::new("v", quota);
    let (one, other) = (layer.layer(prompt), layer.layer(prompt));
    assert_eq!((count(&one, 1, 2), count(&other, 1, 2)), (2, 1));
    // Another layer is another limit.
    assert_eq!(count(&RateLayer::new("v", quota).layer(prompt), 1, 2), 2);
}

/// Of all who come while a breaker probes, as many go through as it has probes.
#[test]
fn a_breaker_sends_no_more_probes_than_it_has() {
    let config = BreakerConfig {
        consecutive: 1,
        open_base: Duration::ZERO,
        probes_max: 3,
        probe_timeout: Duration::from_hours(1),
        ..BreakerConfig::default()
    };
    let layer = BreakerLayer::new(config);
    let inside = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&inside);
    let service = layer.layer(service_fn(move |request: Request<Full<Bytes>>| {
        let first = request.headers().contains_key("x-first");
        counted.fetch_add(u32::from(!first), SeqCst);
        async move {
            if !first {
                std::future::pending::<()>().await;
            }
            answer(503)
        }
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let first = Request::builder()
            .header("x-first", "1")
            .body(Full::default())
            .unwrap();
        service.clone().oneshot(first).await.unwrap();
        assert_eq!(layer.state(), BreakerState::Probing);
        let mut calls = JoinSet::new();
        for _ in 0..64 {
            calls.spawn(service.clone().oneshot(Request::new(Full::<Bytes>::default())));
        }
        // Probes never end, so those that do were refused.
        for _ in 0..61 {
            let ended = timeout(Duration::from_secs(10), calls.join_next()).await;
            assert!(
                ended
                    .expect("all but three are refused")
                    .unwrap()
                    .unwrap()
                    .is_err()
            );
        }
        assert_eq!((inside.load(SeqCst), layer.probes_in_flight()), (3, 3));
        calls.shutdown().await;
    });
    assert_eq!(layer.probes_in_flight(), 0);
}
