//! Hedges: who is sent a second time, which answer counts, and what is held meanwhile.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use plimsoll_policy::{BudgetConfig, Bulkhead, HedgeConfig, RetryBudget, RetryConfig};
use plimsoll_tower::{BoxError, BulkheadLayer, Deadline, HedgeLayer, Replay, RetryLayer};
use tokio::sync::mpsc;
use tokio::time::{Instant, advance, sleep, timeout};
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _};

use crate::service::{Piped, Script, Scripted, Strict, get};

/// Every request may be hedged after 50 ms, out of a budget of five that nothing is paid into.
fn config() -> HedgeConfig {
    HedgeConfig {
        after: Some(Duration::from_millis(50)),
        share: 1.0,
        ..HedgeConfig::default()
    }
}

fn budget() -> Arc<RetryBudget> {
    Arc::new(RetryBudget::new(&BudgetConfig { share: 0.0, burst: 5 }))
}

/// What became of a request, after how long, in how many attempts.
async fn play(
    layer: HedgeLayer,
    request: impl FnOnce(&Script) -> Request<Full<Bytes>>,
    script: &str,
) -> (String, u128, usize) {
    let (script, began) = (Script::of(script), Instant::now());
    let answered = layer.layer(Scripted::default()).oneshot(request(&script)).await;
    let what = answered.map_or_else(
        |error| error.to_string(),
        |answer| answer.status().as_str().to_owned(),
    );
    (what, began.elapsed().as_millis(), script.seen().len())
}

fn is(what: &str, after: u128, attempts: usize) -> (String, u128, usize) {
    (what.to_owned(), after, attempts)
}

#[tokio::test(start_paused = true)]
async fn what_is_late_and_safe_is_sent_again_and_the_first_good_answer_counts() {
    let hedge = || HedgeLayer::new(config(), budget());
    assert_eq!(play(hedge(), get, "200:900,200:10").await, is("200", 60, 2));
    assert_eq!(
        play(hedge(), get, "200:55,200:10").await,
        is("200", 55, 2),
        "the first may still win"
    );
    assert_eq!(
        play(hedge(), get, "200:49").await,
        is("200", 49, 1),
        "it was in time"
    );
    assert_eq!(
        play(hedge(), get, "503:20,200:10").await,
        is("503", 20, 1),
        "that is the retries' business"
    );
    assert_eq!(play(hedge(), get, "503:55,200:20").await, is("200", 70, 2));
    assert_eq!(play(hedge(), get, "200:90,503:10").await, is("200", 90, 2));
    assert_eq!(
        play(hedge(), get, "reset:55,503:20").await,
        is("the connection broke", 70, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn what_must_not_run_twice_at_once_is_sent_once() {
    let hedge = || HedgeLayer::new(config(), budget());
    let late = "200:90,200:0";
    let with = |change: fn(&mut Request<Full<Bytes>>)| {
        move |script: &Script| {
            let mut request = get(script);
            change(&mut request);
            request
        }
    };
    let delete = with(|request| *request.method_mut() = Method::DELETE);
    assert_eq!(play(hedge(), delete, late).await, is("200", 90, 1));
    let retry = with(|request| drop(request.headers_mut().insert("x-plimsoll-attempt", 2.into())));
    assert_eq!(play(hedge(), retry, late).await, is("200", 90, 1));
    let doomed = with(|request| {
        let _ = request
            .extensions_mut()
            .insert(Deadline::within(Duration::from_millis(50)));
    });
    assert_eq!(play(hedge(), doomed, late).await, is("200", 90, 1));
    assert_eq!(
        play(hedge().load(|| 0.9), get, late).await,
        is("200", 90, 1),
        "it has enough to do"
    );
    let unknown = HedgeConfig {
        after: None,
        ..config()
    };
    assert_eq!(
        play(HedgeLayer::new(unknown, budget()), get, late).await,
        is("200", 90, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn hedges_stay_within_their_share_and_the_budget() {
    let late = "200:90,200:0";
    let layer = HedgeLayer::new(config(), budget());
    for hedges in 0..7 {
        let attempts = if hedges < 5 { 2 } else { 1 };
        assert_eq!(
            play(layer.clone(), get, late).await.2,
            attempts,
            "hedge {hedges} of a budget of five"
        );
    }
    let (rich, share) = (
        BudgetConfig {
            share: 1.0,
            burst: 100,
        },
        HedgeConfig {
            share: 0.0,
            ..config()
        },
    );
    let layer = HedgeLayer::new(share, Arc::new(RetryBudget::new(&rich)));
    let mut hedged = 0;
    for _ in 0..20 {
        hedged += play(layer.clone(), get, late).await.2 - 1;
    }
    assert_eq!(hedged, 10, "what a route may save up, and not one more");
}

/// Who pays in for a request: the layer that counts it first.
#[tokio::test(start_paused = true)]
async fn each_request_is_paid_in_for_once() {
    let budget = Arc::new(RetryBudget::new(&BudgetConfig { share: 0.5, burst: 5 }));
    for _ in 0..4 {
        let _taken = budget.withdraw();
    }
    let hedge = HedgeLayer::new(config(), Arc::clone(&budget));
    hedge
        .layer(Scripted::default())
        .oneshot(get(&Script::of("200:0")))
        .await
        .unwrap();
    assert_eq!(budget.balance(), 1.5);
    let retry = RetryLayer::new(RetryConfig::default(), Arc::clone(&budget));
    retry
        .layer(hedge.layer(Scripted::default()))
        .oneshot(get(&Script::of("200:0")))
        .await
        .unwrap();
    assert_eq!(budget.balance(), 2.0);
}

#[tokio::test(start_paused = true)]
async fn two_send_one_body_once_it_is_whole() {
    let script = Script::of("200:90,200:10");
    let request = get(&script).map(|_| Full::new(Bytes::from_static(b"both")));
    let answer = HedgeLayer::new(config(), budget())
        .layer(Scripted::default())
        .oneshot(request)
        .await;
    assert!(answer.is_ok());
    let seen = script.seen();
    assert_eq!([&seen[0].body, &seen[1].body], ["both", "both"]);
    assert_eq!(seen[1].headers["x-plimsoll-attempt"], "2");

    // Its caller is slow, and not the service.
    let (frames, body) = mpsc::channel::<Result<Frame<Bytes>, BoxError>>(1);
    let script = Script::of("200:0,200:0");
    let request = get(&script).map(|_| Piped(body));
    let call = HedgeLayer::new(config(), budget())
        .layer(Scripted::default())
        .oneshot(request);
    let sends = async {
        advance(Duration::from_millis(60)).await;
        drop(frames);
    };
    let (answered, ()) = tokio::join!(biased; call, sends);
    assert!(answered.is_ok());
    let seen = script.seen();
    assert!(
        seen.len() == 1 && !seen[0].headers.contains_key("x-plimsoll-attempt"),
        "it is the first that ended"
    );
}

/// The first is still at its body when the second begins, and is not robbed of it.
#[tokio::test(start_paused = true)]
async fn the_first_reads_on_beside_the_second() {
    let service = tower::service_fn(async |request: Request<Replay<Full<Bytes>>>| {
        let first = !request.headers().contains_key("x-plimsoll-attempt");
        let mut body = request.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        sleep(Duration::from_millis(if first { 60 } else { 100 })).await;
        assert!(body.frame().await.is_none(), "it was whole");
        Ok::<_, Infallible>(Response::new(first))
    });
    let request = Request::new(Full::new(Bytes::from_static(b"both")));
    let answer = HedgeLayer::new(config(), budget())
        .layer(service)
        .oneshot(request)
        .await
        .unwrap();
    assert!(answer.into_body(), "and wins");
}

/// Ready for one call in its life.
#[derive(Clone, Default)]
struct ReadyOnce(Arc<AtomicBool>);

impl<B> Service<Request<B>> for ReadyOnce
where
    Scripted: Service<Request<B>>,
{
    type Response = <Scripted as Service<Request<B>>>::Response;
    type Error = <Scripted as Service<Request<B>>>::Error;
    type Future = <Scripted as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.0.swap(true, SeqCst) {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Scripted::default().call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_waits_for_its_service_gives_its_tokens_back() {
    let budget = budget();
    let service = HedgeLayer::new(config(), Arc::clone(&budget)).layer(ReadyOnce::default());
    let call = timeout(
        Duration::from_millis(60),
        service.oneshot(get(&Script::of("200:900"))),
    );
    assert!(call.await.is_err());
    assert_eq!(budget.balance(), 5.0);
}

/// Dropped in whatever millisecond: no permit, no token is kept, and the loser goes with the race.
#[tokio::test(start_paused = true)]
async fn nothing_leaks_whenever_it_is_dropped() {
    for after in 0..120 {
        let (bulkhead, budget) = (Arc::new(Bulkhead::new(4)), budget());
        let service = ServiceBuilder::new()
            .layer(HedgeLayer::new(config(), Arc::clone(&budget)))
            .layer(BulkheadLayer::sharing(Arc::clone(&bulkhead)))
            .service(Scripted { body: "body".into() });
        let script = Script::of("200:900,200:40");
        let call = timeout(Duration::from_millis(after), service.oneshot(get(&script))).await;
        if let Ok(answer) = &call {
            assert!(answer.is_ok());
            assert_eq!(bulkhead.in_flight(), 1, "the loser has gone after {after} ms");
        }
        drop(call);
        assert_eq!(bulkhead.in_flight(), 0, "after {after} ms");
        assert_eq!(
            budget.balance(),
            5.0 - script.seen().len().saturating_sub(1) as f64,
            "after {after} ms"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_ready_is_called_and_idle_clones_hold_nothing() {
    let budget = budget();
    let layer = HedgeLayer::new(config(), Arc::clone(&budget));
    let mut idle = vec![layer.layer(Strict::default()); 8];
    for service in &mut idle {
        std::future::poll_fn(|cx| Service::<Request<Full<Bytes>>>::poll_ready(service, cx))
            .await
            .unwrap();
    }
    advance(Duration::from_hours(24)).await;
    assert_eq!(budget.balance(), 5.0);
    let answered = idle[0].call(get(&Script::of("200:900,200:10"))).await;
    assert!(answered.is_ok());
}
