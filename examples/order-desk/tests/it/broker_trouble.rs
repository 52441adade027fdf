//! What the desk says, and does not say, when its dependency is slow, broken or gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use order_desk::broker_sim::Behaviour;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{ANY_PORT, Answer, BROKER_TIMEOUT, PATIENCE, World, call, order, order_with, until};

const NEVER: Behaviour = Behaviour::Slow {
    delay: Duration::from_mins(10),
};

/// Checks that the fate of an order is said to be unknown, and returns the path to it.
#[track_caller]
fn unconfirmed(answer: &Answer) -> String {
    let problem = answer.problem(503, "broker-unavailable");
    assert_eq!(problem["order_status"], "unconfirmed");
    assert_eq!(answer.header("retry-after"), Some("1"));
    format!("/v1/orders/{}", problem["order_id"].as_str().unwrap())
}

async fn status(world: &World, path: &str) -> Value {
    world.get(path).await.json()["status"].clone()
}

#[tokio::test]
async fn a_broker_that_is_merely_slow_is_waited_for() {
    let world = World::new().await;
    world.broker.set(Behaviour::Slow {
        delay: BROKER_TIMEOUT / 5,
    });
    assert_eq!(world.place(&order()).await.json()["status"], "filled");
}

#[tokio::test]
async fn too_slow_is_unconfirmed_until_the_same_key_asks_again() {
    let world = World::new().await;
    world.broker.set(NEVER);
    let path = unconfirmed(&world.place_keyed("k", &order()).await);
    assert_eq!(status(&world, &path).await, "unconfirmed");
    // The order may be at the market, so it counts as if it were.
    let risk = world.get("/v1/accounts/acc-1/risk").await.json();
    assert_eq!(risk["exposure"]["contracts"], 10);
    assert_eq!(unconfirmed(&world.place_keyed("k", &order()).await), path);
    world.broker.set(Behaviour::Normal);
    let known = world.place_keyed("k", &order()).await;
    assert_eq!((known.status, &known.json()["status"]), (200, &json!("filled")));
    assert_eq!(status(&world, &path).await, "filled");
    assert_eq!(world.broker.executions(), 1);
}

#[tokio::test]
async fn every_kind_of_silence_is_unconfirmed() {
    let world = World::new().await;
    for trouble in [Behaviour::Refuse, Behaviour::Failing { share: 1.0 }] {
        world.broker.set(trouble);
        let path = unconfirmed(&world.place(&order()).await);
        assert_eq!(status(&world, &path).await, "unconfirmed", "{trouble:?}");
    }
    let nobody = TcpListener::bind(ANY_PORT).await.unwrap().local_addr().unwrap();
    let alone = World::with(|config| config.broker = format!("http://{nobody}")).await;
    let path = unconfirmed(&alone.place(&order()).await);
    assert_eq!(status(&alone, &path).await, "unconfirmed");
}

#[tokio::test]
async fn a_cancellation_is_not_claimed_before_the_broker_confirms_it() {
    let world = World::new().await;
    let placed = world.place(&order_with(&json!({ "limit_price": "0.05" }))).await;
    let path = placed.header("location").unwrap();
    world.broker.set(Behaviour::Refuse);
    world.delete(path).await.problem(503, "broker-unavailable");
    assert_eq!(status(&world, path).await, "working");
    world.broker.set(Behaviour::Normal);
    assert_eq!(world.delete(path).await.json()["status"], "cancelled");
}

#[tokio::test]
async fn an_order_that_never_arrived_can_be_cancelled() {
    let world = World::new().await;
    world.broker.set(Behaviour::Refuse);
    let path = unconfirmed(&world.place_keyed("k", &order()).await);
    world.broker.set(Behaviour::Normal);
    assert_eq!(world.delete(&path).await.json()["status"], "cancelled");
    assert_eq!(
        world.place_keyed("k", &order()).await.json()["status"],
        "cancelled"
    );
}

#[tokio::test]
async fn the_desk_settles_by_itself_when_the_broker_is_back() {
    let world = World::with(|config| {
        config.broker_timeout = Duration::from_millis(100);
        config.settle_interval = Duration::from_millis(10);
    })
    .await;
    world.broker.set(Behaviour::Refuse);
    let path = unconfirmed(&world.place(&order()).await);
    world.broker.set(Behaviour::Normal);
    until(async || status(&world, &path).await == "filled").await;
    assert_eq!(world.broker.executions(), 1);
}

#[tokio::test]
async fn a_failing_share_is_spread_evenly() {
    let world = World::new().await;
    world.broker.set(Behaviour::Failing { share: 0.25 });
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(world.place(&order_with(&json!({ "quantity": 1 }))).await.status);
    }
    assert_eq!(statuses, [201, 201, 201, 503, 201, 201, 201, 503]);
}

#[tokio::test]
async fn the_mood_of_the_broker_is_changed_over_http() {
    let world = World::new().await;
    let broker = world.broker.address();
    let wanted = json!({ "mode": "refuse" });
    let set = call(broker, "PUT", "/_behaviour", &[], &wanted.to_string()).await;
    assert_eq!((set.status, set.json()), (200, wanted));
    unconfirmed(&world.place(&order()).await);
    for mood in [
        json!({ "mode": "slow", "delay_ms": 30 }),
        json!({ "mode": "failing", "share": 0.5 }),
        json!({ "mode": "normal" }),
    ] {
        call(broker, "PUT", "/_behaviour", &[], &mood.to_string()).await;
        assert_eq!(call(broker, "GET", "/_behaviour", &[], "").await.json(), mood);
    }
    let unknown = call(broker, "PUT", "/_behaviour", &[], r#"{"mode":"moody"}"#).await;
    assert_eq!(unknown.status, 400);
    assert_eq!(world.place(&order()).await.status, 201);
}

/// Takes one connection, reads one order on it and answers. Dropping the connection closes it without warning.
async fn answer_once(listener: &TcpListener, status: &str, body: &str) -> (TcpStream, String) {
    let accepting = tokio::time::timeout(PATIENCE, listener.accept());
    let (mut stream, _) = accepting.await.expect("the desk never called").unwrap();
    let mut asked = String::new();
    while !asked.ends_with('}') {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await.unwrap();
        asked.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
    }
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    (stream, asked)
}

/// A desk whose broker is a listener in the test's hands.
async fn desk_and_listener() -> (World, TcpListener) {
    let listener = TcpListener::bind(ANY_PORT).await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    (World::with(|config| config.broker = origin).await, listener)
}

#[tokio::test]
async fn only_a_success_that_names_a_state_is_believed() {
    let (world, listener) = desk_and_listener().await;
    for (status, body) in [
        ("500 Oops", r#"{"status":"filled"}"#),
        ("302 Found", r#"{"status":"filled"}"#),
        ("200 OK", r#"{"status":"done"}"#),
        ("200 OK", "filled"),
    ] {
        let order = order_with(&json!({ "quantity": 1 }));
        let (_, placed) = tokio::join!(answer_once(&listener, status, body), world.place(&order));
        unconfirmed(&placed);
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_kept_costs_nothing() {
    let (world, listener) = desk_and_listener().await;
    for _ in 0..3 {
        let answering = answer_once(&listener, "200 OK", r#"{"status":"filled"}"#);
        let order = order();
        // The desk has kept the connection by the time that it is closed.
        let ((stream, _), placed) = tokio::join!(answering, world.place(&order));
        drop(stream);
        assert_eq!(placed.status, 201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_up_at_once_is_asked_once() {
    let (world, listener) = desk_and_listener().await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    tokio::spawn(async move {
        loop {
            let connection = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            drop(connection);
        }
    });
    for asked in 1..=50 {
        unconfirmed(&world.place(&order_with(&json!({ "quantity": 1 }))).await);
        assert_eq!(accepted.load(Ordering::SeqCst), asked);
    }
}

#[tokio::test]
async fn trace_headers_go_along_and_others_do_not() {
    let (world, listener) = desk_and_listener().await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [
        ("traceparent", parent),
        ("x-request-id", "r-1"),
        ("authorization", "secret"),
    ];
    let body = order().to_string();
    let ((_, asked), placed) = tokio::join!(
        answer_once(&listener, "200 OK", r#"{"status":"filled"}"#),
        call(world.desk.address(), "POST", "/v1/orders", &headers, &body),
    );
    let placed = placed.json();
    assert_eq!(placed["status"], "filled");
    assert!(asked.contains(&format!("traceparent: {parent}\r\n")), "{asked}");
    assert!(asked.contains("x-request-id: r-1\r\n"), "{asked}");
    assert!(
        asked.contains(&format!(
            "idempotency-key: {}\r\n",
            placed["id"].as_str().unwrap()
        )),
        "{asked}"
    );
    assert!(!asked.contains("secret"), "{asked}");
}
