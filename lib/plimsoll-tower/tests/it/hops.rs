//! What is told from hop to hop: deadlines, attempts, and that somebody else retries already.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use plimsoll_policy::{BreakerConfig, BudgetConfig, DeadlineConfig, Quota, RetryBudget, RetryConfig};
use plimsoll_slo::{Delivered, Reason};
use plimsoll_tower::{
    BoxError, BreakerLayer, BulkheadLayer, Deadline, DeadlineLayer, RateLayer, Refused, RetryLayer, TryLayer,
    reason_of,
};
use tokio::time::{Instant, advance};
use tower::{Layer, ServiceBuilder, ServiceExt as _, service_fn};

use crate::service::{Piped, Script, Scripted, get};

fn retries() -> RetryLayer {
    RetryLayer::new(
        RetryConfig::default(),
        Arc::new(RetryBudget::new(&BudgetConfig::default())),
    )
}

fn seconds(total: u64, per_try: Option<u64>) -> DeadlineConfig {
    DeadlineConfig {
        total: Duration::from_secs(total),
        per_try: per_try.map(Duration::from_secs),
        ..DeadlineConfig::default()
    }
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_told_what_is_left_when_it_is_sent() {
    let config = seconds(10, Some(3));
    let service = ServiceBuilder::new()
        .layer(DeadlineLayer::new(config))
        .layer(retries())
        .layer(TryLayer::new(config))
        .service(Scripted::default());
    let script = Script::of("200:60000,200:60000,200:1000");
    let mut request = get(&script);
    request
        .headers_mut()
        .insert("content-type", "application/grpc+proto".parse().unwrap());
    let answer = service.oneshot(request).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-plimsoll-attempts"]),
        (200, &"3".parse().unwrap())
    );
    let told: Vec<u64> = script
        .seen()
        .iter()
        .map(|seen| {
            seen.headers["x-plimsoll-deadline-ms"]
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(told[0], 9_995);
    // A backoff of up to 25 ms, then 50 ms, lies between them.
    assert!(
        (6_965..=6_995).contains(&told[1]) && (3_910..=3_995).contains(&told[2]),
        "{told:?}"
    );
    let last = &script.seen()[2].headers["grpc-timeout"];
    assert!(
        last.to_str().unwrap().ends_with('u') && last.to_str().unwrap().starts_with('3'),
        "{last:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_on_behalf_of_a_request_gets_what_that_has_left() {
    let outer = DeadlineLayer::new(seconds(10, None));
    let inner = DeadlineLayer::new(seconds(60, None));
    let script = Script::of("200:0");
    let calls = script.clone();
    let service = outer.layer(service_fn(move |request: Request<Full<Bytes>>| {
        let (mut call, inner) = (get(&calls), inner.clone());
        let deadline = *request.extensions().get::<Deadline>().unwrap();
        call.extensions_mut().insert(deadline);
        async move {
            advance(Duration::from_secs(4)).await;
            inner.layer(Scripted::default()).oneshot(call).await
        }
    }));
    service.oneshot(get(&Script::default())).await.unwrap();
    assert_eq!(script.seen()[0].deadline, Some(Duration::from_secs(6)));
}

/// The deadline that somebody asked for holds to the last byte; our own lets a stream live.
#[tokio::test(start_paused = true)]
async fn a_body_breaks_off_at_the_deadline_that_was_asked_for() {
    let service = DeadlineLayer::new(seconds(10, None)).layer(service_fn(async |_: Request<()>| {
        let (sender, body) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            drop(sender.send(Ok(http_body::Frame::data("late".into()))).await);
        });
        Ok::<_, BoxError>(http::Response::new(Piped(body)))
    }));
    let began = Instant::now();
    let answer = service.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "late");
    assert_eq!(began.elapsed(), Duration::from_secs(30));

    let asks = Request::builder()
        .header("x-plimsoll-deadline-ms", "2000")
        .body(())
        .unwrap();
    let began = Instant::now();
    let answer = service.oneshot(asks).await.unwrap();
    let error = answer.into_body().collect().await.unwrap_err();
    assert_eq!(Refused::find(&*error).unwrap().reason(), Reason::DeadlineExceeded);
    assert_eq!(began.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn only_one_of_several_layers_retries() {
    let below = Script::of("503:0,200:0");
    let answers = service_fn(|request: Request<_>| async move {
        let answer = Scripted::default().oneshot(request).await?;
        let (mut parts, body) = answer.into_parts();
        parts.headers.insert("x-plimsoll-attempts", "3".parse()?);
        Ok::<_, BoxError>(http::Response::from_parts(parts, body))
    });
    let answer = retries().layer(answers).oneshot(get(&below)).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), below.seen().len()),
        (503, 1),
        "a layer below has retried"
    );

    let above = Script::of("503:0,200:0");
    let mut request = get(&above);
    request
        .headers_mut()
        .insert("x-plimsoll-attempt", "2".parse().unwrap());
    let answer = retries()
        .layer(Scripted::default())
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), above.seen().len()),
        (503, 1),
        "a layer above retries"
    );
    assert_eq!(above.seen()[0].headers["x-plimsoll-attempt"], "2");
}

#[tokio::test(start_paused = true)]
async fn what_no_layer_refused_is_taken_for_the_worst() {
    let post = |script: &Script| {
        let mut request = get(script);
        *request.method_mut() = http::Method::POST;
        request
    };
    for (what, attempts) in [("reset", 1), ("refused", 2)] {
        let script = Script::of(&format!("{what}:0,200:0"));
        let _answered = retries().layer(Scripted::default()).oneshot(post(&script)).await;
        assert_eq!(
            script.seen().len(),
            attempts,
            "a POST whose connection was {what}"
        );
    }
    let broke: BoxError = "the connection broke".into();
    assert_eq!(reason_of(&*broke).info().delivered, Delivered::Maybe);
    // A refusal is found behind whatever a foreign layer puts around it.
    let wrapped = std::io::Error::other(Refused::new(Reason::BulkheadFull));
    assert_eq!(reason_of(&wrapped), Reason::BulkheadFull);
}

/// What we refused ourselves is not tried again: keeping that load away is what the refusal was for.
#[tokio::test(start_paused = true)]
async fn refusals_of_our_own_are_not_retried() {
    let budget = Arc::new(RetryBudget::new(&BudgetConfig::default()));
    let retries = RetryLayer::new(RetryConfig::default(), Arc::clone(&budget));
    let service = retries.layer(BulkheadLayer::new(0).layer(Scripted::default()));
    let error = service.oneshot(get(&Script::default())).await.unwrap_err();
    assert_eq!(
        (reason_of(&*error), budget.balance()),
        (Reason::BulkheadFull, 10.0)
    );
}

/// A breaker hears nothing of what never reached its service.
#[tokio::test(start_paused = true)]
async fn a_breaker_judges_its_service_and_not_its_callers() {
    let config = BreakerConfig {
        consecutive: 2,
        ..BreakerConfig::default()
    };
    let layer = BreakerLayer::new(config);
    let service = layer.layer(TryLayer::new(seconds(10, Some(1))).layer(Scripted::default()));
    for _ in 0..5 {
        assert!(
            service
                .clone()
                .oneshot(get(&Script::of("caller:0")))
                .await
                .is_err()
        );
        assert!(service.clone().oneshot(get(&Script::of("404:0"))).await.is_ok());
        for nobody in [
            "no-endpoint",
            "upstream-unresolved",
            "breaker-tripped",
            "bulkhead-full",
        ] {
            let script = Script::of(&format!("{nobody}:0"));
            assert!(service.clone().oneshot(get(&script)).await.is_err());
        }
        let mut late = get(&Script::of("200:0"));
        late.extensions_mut().insert(Deadline::within(Duration::ZERO));
        let error = service.clone().oneshot(late).await.unwrap_err();
        assert_eq!(reason_of(&*error), Reason::DeadlineUnmeetable);
    }
    assert_eq!(layer.state().word(), "passing");
    for _ in 0..2 {
        let error = service
            .clone()
            .oneshot(get(&Script::of("200:5000")))
            .await
            .unwrap_err();
        assert_eq!(reason_of(&*error), Reason::UpstreamTimeout);
    }
    assert_eq!(layer.state().word(), "tripped");
}

#[tokio::test(start_paused = true)]
async fn two_limits_speak_side_by_side() {
    let quota = |burst| Quota::new(1, Duration::from_secs(1), burst).unwrap();
    let service = ServiceBuilder::new()
        .layer(RateLayer::new("wide", quota(9)))
        .layer(RateLayer::new("narrow", quota(2)))
        .service(Scripted::default());
    let answer = service.oneshot(get(&Script::of("200:0"))).await.unwrap();
    let told: Vec<_> = answer.headers().get_all("ratelimit").iter().collect();
    assert_eq!(told, ["\"narrow\";r=1;t=1", "\"wide\";r=8;t=1"]);
}
