//! Refusals as callers hear them.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use plimsoll_policy::{FaultAction, FaultConfig, FaultRule, Quota};
use plimsoll_slo::{Problem, Reason};
use plimsoll_tower::{AnswerLayer, BoxError, FaultLayer, RateLayer, Refused};
use tower::{Layer, Service, ServiceBuilder, ServiceExt as _, service_fn};

use crate::service::{Script, Scripted, get};

/// The answer to a service that always fails with this error.
async fn told(
    error: impl Fn() -> BoxError + Clone + Send + 'static,
    request: Request<()>,
) -> Response<plimsoll_tower::AnswerBody<Full<Bytes>>> {
    let fails = service_fn(move |_: Request<()>| {
        let error = error();
        async { Err::<Response<Full<Bytes>>, _>(error) }
    });
    let Ok(answer) = AnswerLayer::new().layer(fails).oneshot(request).await;
    answer
}

/// Every row of the table becomes an answer, the same that the gateway makes of it.
#[tokio::test]
async fn http_callers_get_the_problem_document_of_the_table() {
    for &reason in Reason::ALL {
        let error = move || {
            Refused::new(reason)
                .cause("it \"broke\"")
                .retry_after(Duration::from_millis(1500))
                .into()
        };
        let request = Request::builder()
            .header("x-request-id", "id-7")
            .body(())
            .unwrap();
        let answer = told(error, request).await;
        let problem = Problem {
            cause: Some("it \"broke\""),
            retry_after: Some(Duration::from_millis(1500)),
            request_id: "id-7",
            ..Problem::new(reason)
        };
        assert_eq!(answer.status().as_u16(), reason.info().status);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            [
                header("content-type"),
                header("x-plimsoll-reason"),
                header("retry-after")
            ],
            ["application/problem+json", reason.code(), "2"]
        );
        assert_eq!(
            answer.into_body().collect().await.unwrap().to_bytes(),
            problem.json()
        );
    }
}

#[tokio::test]
async fn grpc_callers_get_a_status_in_the_head() {
    let request = || {
        Request::builder()
            .header("content-type", "application/grpc+proto")
            .body(())
            .unwrap()
    };
    let answer = told(|| Refused::new(Reason::BulkheadFull).into(), request()).await;
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        [
            header("grpc-status"),
            header("grpc-message"),
            header("grpc-retry-pushback-ms"),
            header("content-type")
        ],
        [
            "14",
            "Too many requests are in flight to the upstream",
            "1000",
            "application/grpc"
        ]
    );
    assert!(!header("grpc-status-details-bin").is_empty());
    assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
    let answer = told(|| Refused::new(Reason::FaultForbidden).into(), request()).await;
    assert_eq!(
        answer.headers()["grpc-retry-pushback-ms"],
        "-1",
        "it will not be better the next time"
    );
}

/// What an error of a stranger says is for logs: it may name hosts, paths or people.
#[tokio::test]
async fn errors_of_strangers_are_told_without_their_text() {
    let answer = told(|| "secret-host:5432 broke".into(), Request::new(())).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-plimsoll-reason"]),
        (502, &"upstream-reset".parse().unwrap())
    );
    let problem = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&problem).contains("secret-host"));
}

#[tokio::test]
async fn a_refusal_keeps_the_fields_that_layers_gave_it() {
    let quota = Quota::new(1, Duration::from_mins(1), 1).unwrap();
    let service = ServiceBuilder::new()
        .layer(AnswerLayer::new())
        .layer(RateLayer::new("v", quota))
        .layer(FaultLayer::new(FaultConfig::default()))
        .service(Scripted::default());
    let mut forbidden = get(&Script::of("200:0"));
    forbidden
        .headers_mut()
        .insert("x-plimsoll-fault", "abort=503".parse().unwrap());
    let answer = service.clone().oneshot(forbidden).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["ratelimit"]),
        (403, &"\"v\";r=0;t=60".parse().unwrap())
    );
    let answer = service.oneshot(get(&Script::of("200:0"))).await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["ratelimit-policy"], "\"v\";q=1;w=60");
    assert_eq!(answer.headers()["retry-after"], "60");
}

#[tokio::test]
async fn a_fault_that_cuts_off_leaves_no_whole_answer() {
    let rule = FaultRule {
        share: 1.0,
        by_header: None,
        action: FaultAction::Disconnect,
    };
    let service = ServiceBuilder::new()
        .layer(AnswerLayer::new())
        .layer(FaultLayer::new(FaultConfig { rules: vec![rule] }))
        .service(Scripted::default());
    let answer = service.oneshot(get(&Script::of("200:0"))).await.unwrap();
    assert!(!http_body::Body::is_end_stream(answer.body()));
    assert!(answer.into_body().collect().await.is_err());
}

/// What axum and tonic ask of a layer for their routers.
#[test]
fn nothing_is_left_that_can_fail() {
    fn infallible<S: Service<Request<Full<Bytes>>, Error = Infallible>>(_: &S) {}
    infallible(&AnswerLayer::new().layer(Scripted::default()));
}
