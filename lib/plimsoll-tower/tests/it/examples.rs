//! The examples do what they say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use plimsoll_slo::Reason;
use plimsoll_tower::reason_of;
use tokio::net::TcpListener;

#[allow(dead_code)] // its main
#[path = "../../examples/axum.rs"]
mod axum_server;
#[allow(dead_code)]
#[path = "../../examples/hyper.rs"]
mod hyper_client;
#[allow(dead_code)]
#[path = "../../examples/reqwest.rs"]
mod reqwest_client;
#[allow(dead_code)]
#[path = "../../examples/tonic.rs"]
mod tonic_both;

/// Serves on a free port, until the test ends.
async fn serving(server: Router) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, server).await });
    address
}

#[tokio::test]
async fn the_axum_server_says_no_in_time() {
    let address = serving(axum_server::server()).await;
    let client = reqwest::Client::new();
    let ask = |tenant: &'static str, deadline: &'static str| {
        let request = client
            .get(format!("http://{address}/orders/7"))
            .header("x-tenant", tenant);
        let request = request
            .header("x-plimsoll-deadline-ms", deadline)
            .header("x-request-id", "id-1");
        async { request.send().await.unwrap() }
    };
    let answer = ask("ann", "1000").await;
    assert_eq!(
        (answer.status(), &answer.headers()["ratelimit"]),
        (StatusCode::OK, &"\"per-tenant\";r=4;t=1".parse().unwrap())
    );
    assert_eq!(answer.text().await.unwrap(), "order 7\n");
    let answer = ask("ann", "1").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-plimsoll-reason"]),
        (504, &"deadline-exceeded".parse().unwrap())
    );
    let mut last = ask("ann", "1000").await;
    for _ in 0..5 {
        last = ask("ann", "1000").await;
    }
    assert_eq!(
        (last.status().as_u16(), &last.headers()["content-type"]),
        (429, &"application/problem+json".parse().unwrap())
    );
    let problem = last.text().await.unwrap();
    assert!(problem.contains("\"request_id\":\"id-1\""), "{problem}");
    assert_eq!(
        ask("bob", "1000").await.status(),
        200,
        "another caller's rate is another caller's"
    );
}

/// Fails each second time.
async fn flaky() -> (SocketAddr, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let page = get(move || async move {
        match counted.fetch_add(1, SeqCst) {
            0 => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            _ => (StatusCode::OK, "well"),
        }
    });
    (serving(Router::new().route("/", page)).await, asked)
}

/// An address that nobody listens on.
async fn nobody() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

#[tokio::test]
async fn the_hyper_client_asks_again_and_says_why_not() {
    let (address, asked) = flaky().await;
    assert_eq!(
        hyper_client::fetch(&format!("http://{address}/")).await.unwrap(),
        "200 OK: well"
    );
    assert_eq!(asked.load(SeqCst), 2);
    let error = hyper_client::fetch(&format!("http://{}/", nobody().await))
        .await
        .unwrap_err();
    assert_eq!(reason_of(&*error), Reason::UpstreamRefused);
}

#[tokio::test]
async fn the_reqwest_client_asks_again_and_says_why_not() {
    let (address, asked) = flaky().await;
    assert_eq!(
        reqwest_client::fetch(&format!("http://{address}/"))
            .await
            .unwrap(),
        "200 OK: well"
    );
    assert_eq!(asked.load(SeqCst), 2);
    let error = reqwest_client::fetch(&format!("http://{}/", nobody().await))
        .await
        .unwrap_err();
    assert_eq!(reason_of(&*error), Reason::UpstreamRefused);
}

#[tokio::test]
async fn the_tonic_client_is_greeted_at_the_second_attempt() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(tonic_both::serve(listener));
    assert_eq!(tonic_both::greet(address, "world").await.unwrap(), "hello, world");
}
