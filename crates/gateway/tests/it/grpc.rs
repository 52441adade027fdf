//! gRPC through the gateway, with frames made by hand.

use std::time::Duration;

use bytes::Bytes;
use gateway::plan::Protocol;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};

use crate::client::{Answer, Http2, gather};
use crate::origin::{AnyBody, Origin, Speaks, full, stream};
use crate::world::{World, until, within};

/// A message in its frame: not compressed, four bytes of length.
fn message(text: &str) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend((text.len() as u32).to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes.into()
}

fn trailers(code: u8) -> Frame<Bytes> {
    let trailers = [
        ("grpc-status", code.to_string()),
        ("grpc-message", "as asked".to_owned()),
    ];
    Frame::trailers(
        trailers
            .into_iter()
            .map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()))
            .collect(),
    )
}

fn call(method: &str, body: AnyBody) -> Request<AnyBody> {
    let request = Request::post(format!("http://test/pkg.Service/{method}"));
    request
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

/// `/Echo` sends back each message as it comes, `/Status-N` a message and status N, `/Only-N` trailers only.
async fn service() -> Origin {
    Origin::serving(Speaks::Http2, |request: Request<Incoming>| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let answer = Response::builder()
            .header("content-type", "application/grpc+proto")
            .header("x-timeout", request.headers()["grpc-timeout"].clone());
        let (verb, code) = method.split_once('-').unwrap_or((&method, "0"));
        let (verb, code) = (verb.to_owned(), code.parse::<u8>().unwrap());
        if verb == "Only" {
            return Ok(answer
                .header("grpc-status", u16::from(code))
                .body(full(""))
                .unwrap());
        }
        let (sender, body) = stream();
        tokio::spawn(async move {
            let mut asked = request.into_body();
            if verb == "Status" {
                drop(sender.send(Frame::data(message("one"))).await);
            }
            while let Some(Ok(frame)) = asked.frame().await {
                if verb == "Echo" {
                    drop(
                        sender
                            .send(Frame::data(frame.into_data().unwrap_or_default()))
                            .await,
                    );
                }
            }
            drop(sender.send(trailers(code)).await);
        });
        Ok(answer.body(body).unwrap())
    })
    .await
}

async fn world(origin: &Origin) -> World {
    World::of(&[origin])
        .upstream(|upstream| upstream.protocol = Protocol::Auto)
        .start()
        .await
}

#[tokio::test]
async fn a_unary_call_is_judged_by_its_trailers() {
    let origin = service().await;
    let mut world = world(&origin).await;
    let mut client = Http2::to(world.address()).await;
    for (code, expected) in [
        (0, "good 200 x1"),
        (5, "good 200 x1"),
        (3, "good 200 x1"),
        (13, "bad upstream-grpc-error 200 x1"),
        (14, "bad upstream-grpc-error 200 x1"),
        (2, "bad upstream-grpc-error 200 x1"),
    ] {
        let answer = gather(
            client
                .send(call(&format!("Status-{code}"), full(message("in"))))
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(answer.body, message("one"));
        assert_eq!(answer.trailers["grpc-status"], code.to_string());
        assert_eq!(answer.trailers["grpc-message"], "as asked");
        let event = world.event().await;
        assert_eq!(
            (crate::world::say(&event).as_str(), event.grpc_status),
            (expected, Some(code))
        );
    }
    assert_eq!(world.counted(), "good 3, bad upstream-grpc-error 3, attempts 6");
}

#[tokio::test]
async fn an_error_in_the_head_alone_is_judged_too() {
    let origin = service().await;
    let mut world = world(&origin).await;
    let mut client = Http2::to(world.address()).await;
    for (code, expected) in [
        (5, "good 200 x1"),
        (13, "bad upstream-grpc-error 200 x1"),
        (0, "good 200 x1"),
    ] {
        let answer = gather(
            client
                .send(call(&format!("Only-{code}"), full(message("in"))))
                .await
                .unwrap(),
        )
        .await;
        assert_eq!(answer.headers["grpc-status"], *code.to_string());
        assert_eq!(world.told().await, expected);
    }
    // UNAVAILABLE is retried where the route says that its calls are idempotent.
    world
        .reload(|plan| plan.listeners[0].routes[0].retry.as_mut().unwrap().idempotent = true)
        .await;
    let answer = gather(client.send(call("Only-14", full(message("in")))).await.unwrap()).await;
    assert_eq!(
        (answer.header("grpc-status"), answer.header("x-plimsoll-attempts")),
        ("14", "3")
    );
    assert_eq!(world.told().await, "bad upstream-grpc-error 200 x3");
}

#[tokio::test]
async fn messages_pass_both_ways_as_they_come() {
    let origin = service().await;
    let mut world = world(&origin).await;
    let mut client = Http2::to(world.address()).await;
    let (sender, body) = stream();
    let mut answer = client.send(call("Echo", body)).await.unwrap().into_body();
    for n in 0..20 {
        let sent = message(&format!("message {n}"));
        sender.send(Frame::data(sent.clone())).await.unwrap();
        let frame = within("the echo", answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), sent);
    }
    assert!(world.pending_event().is_none());
    drop(sender);
    let last = within("the trailers", answer.frame()).await.unwrap().unwrap();
    assert_eq!(last.into_trailers().unwrap()["grpc-status"], "0");
    assert_eq!(world.told().await, "good 200 x1");
}

#[tokio::test]
async fn a_stream_that_outlasts_a_drain_ends_with_a_status() {
    let origin = service().await;
    let mut world = World::of(&[&origin])
        .upstream(|upstream| upstream.protocol = Protocol::Auto)
        .plan(|plan| plan.drain_max = Duration::from_millis(100))
        .start()
        .await;
    let mut client = Http2::to(world.address()).await;
    let (sender, body) = stream();
    let mut answer = client.send(call("Echo", body)).await.unwrap().into_body();
    sender.send(Frame::data(message("one"))).await.unwrap();
    let frame = within("the echo", answer.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), message("one"));
    world.gateway.drain();
    let last = within("the trailers", answer.frame()).await.unwrap().unwrap();
    let trailers = last.into_trailers().unwrap();
    assert_eq!(
        (&trailers["grpc-status"], &trailers["x-plimsoll-reason"]),
        (&"14".parse().unwrap(), &"draining".parse().unwrap())
    );
    assert!(
        trailers["grpc-message"]
            .to_str()
            .unwrap()
            .contains("the process ends")
    );
    assert_eq!(world.told().await, "bad draining 200 x1");
    world.stopped().await;
}

#[tokio::test]
async fn client_and_server_streams_pass() {
    let origin = service().await;
    let mut world = world(&origin).await;
    let mut client = Http2::to(world.address()).await;
    let (sender, body) = stream();
    tokio::spawn(async move {
        for n in 0..100 {
            sender.send(Frame::data(message(&n.to_string()))).await.unwrap();
        }
    });
    let answer = gather(client.send(call("Status-0", body)).await.unwrap()).await;
    assert_eq!(
        (answer.body, &answer.trailers["grpc-status"]),
        (message("one").to_vec(), &"0".parse().unwrap())
    );
    let many: Vec<u8> = (0..100).flat_map(|n| message(&n.to_string())).collect();
    let answer = gather(client.send(call("Echo", full(many.clone()))).await.unwrap()).await;
    assert_eq!(answer.body, many);
    assert_eq!(world.told().await, "good 200 x1");
    assert_eq!(world.told().await, "good 200 x1");
}

#[tokio::test]
async fn the_timeout_is_honoured_and_told_on() {
    let origin = service().await;
    let mut world = world(&origin).await;
    let mut client = Http2::to(world.address()).await;
    let asked = |value: &'static str, method: &str, body| {
        let mut request = call(method, body);
        request
            .headers_mut()
            .insert("grpc-timeout", value.parse().unwrap());
        request
    };
    let answer = gather(client.send(asked("2S", "Status-0", full(""))).await.unwrap()).await;
    let told_on = plimsoll_policy::parse_grpc_timeout(answer.header("x-timeout").as_bytes()).unwrap();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(2)).contains(&told_on),
        "{told_on:?}"
    );
    assert_eq!(world.told().await, "good 200 x1");
    let answer = gather(client.send(call("Status-0", full(""))).await.unwrap()).await;
    let told_on = plimsoll_policy::parse_grpc_timeout(answer.header("x-timeout").as_bytes()).unwrap();
    assert!(
        told_on > Duration::from_secs(10),
        "the route's own deadline is told on too: {told_on:?}"
    );
    assert_eq!(world.told().await, "good 200 x1");
    // The head came, the rest does not, and the caller's own deadline holds to the last byte.
    let (held, body) = stream();
    let answer = gather(client.send(asked("150m", "Echo", body)).await.unwrap()).await;
    assert!(!answer.whole);
    assert_eq!(world.told().await, "bad deadline-exceeded 200 x1");
    drop(held);
}

#[tokio::test]
async fn a_call_that_is_never_answered_ends_with_its_deadline() {
    let origin = Origin::serving(Speaks::Http2, |_| std::future::pending()).await;
    let mut world = world(&origin).await;
    let mut client = Http2::to(world.address()).await;
    let mut request = call("Slow", full(message("in")));
    request
        .headers_mut()
        .insert("grpc-timeout", "100m".parse().unwrap());
    let answer = gather(client.send(request).await.unwrap()).await;
    check_refusal(&answer, "4", "deadline-exceeded");
    assert_eq!(world.told().await, "bad deadline-exceeded 200 x1");
}

/// A refusal of ours in gRPC: status 200, everything in the head, the reason in details that any client can read.
fn check_refusal(answer: &Answer, code: &str, reason: &str) {
    assert_eq!(
        (answer.status, answer.header("grpc-status")),
        (200, code),
        "{answer:?}"
    );
    assert!(answer.header("content-type").starts_with("application/grpc"));
    assert_eq!(
        (answer.header("x-plimsoll-reason"), answer.body.len()),
        (reason, 0)
    );
    assert!(answer.headers.contains_key("x-request-id"));
    let details = unbase64(answer.header("grpc-status-details-bin"));
    let details = String::from_utf8_lossy(&details);
    for part in [
        reason,
        "type.googleapis.com/google.rpc.ErrorInfo",
        "plimsoll",
        "delivered",
    ] {
        assert!(details.contains(part), "{details:?} lacks {part}");
    }
}

fn unbase64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let groups = text.as_bytes().chunks(4).map(|chunk| {
        let bits = chunk
            .iter()
            .fold(0u32, |bits, c| bits << 6 | u32::from(digit(*c)));
        let bits = bits << (6 * (4 - chunk.len()));
        bits.to_be_bytes()[1..chunk.len()].to_vec()
    });
    groups.flatten().collect()
}

#[tokio::test]
async fn refusals_are_spoken_in_grpc() {
    let mut origin = service().await;
    let mut world = world(&origin).await;
    world
        .reload(|plan| plan.listeners[0].routes[0].path = "/pkg.Service/{method}".to_owned())
        .await;
    let mut client = Http2::to(world.address()).await;
    let mut unknown = call("Echo", full(""));
    *unknown.uri_mut() = "http://test/other.Service/Echo".parse().unwrap();
    check_refusal(
        &gather(client.send(unknown).await.unwrap()).await,
        "12",
        "unknown-route",
    );
    assert_eq!(world.told().await, "excluded unknown-route 200 x0");
    origin.kill().await;
    let answer = gather(client.send(call("Echo", full(message("in")))).await.unwrap()).await;
    check_refusal(&answer, "14", "upstream-refused");
    assert_eq!(answer.header("grpc-retry-pushback-ms"), "1000");
    assert_eq!(world.told().await, "bad upstream-refused 200 x3");
}

#[tokio::test]
async fn a_call_that_its_client_cancels_is_excluded() {
    let origin = Origin::serving(Speaks::Http2, |_| std::future::pending()).await;
    let mut world = world(&origin).await;
    let client = Http2::to(world.address()).await;
    let mut sender = client.sender();
    let request = call("Slow", full(message("in")));
    let calling = tokio::spawn(async move { sender.send_request(request).await });
    until("the call", || origin.connections() == 1).await;
    calling.abort();
    assert_eq!(world.told().await, "excluded client-closed 0 x1");
    until("the permit", || {
        world.gateway.running().upstreams[0].state.bulkhead().0 == 0
    })
    .await;
}

#[tokio::test]
async fn a_call_that_ends_without_a_status_is_bad() {
    let origin = Origin::serving(Speaks::Http2, |request: Request<Incoming>| async move {
        let (sender, body) = stream();
        tokio::spawn(async move {
            sender.send(Frame::data(message("one"))).await.unwrap();
            drop(request);
        });
        Ok(Response::builder()
            .header("content-type", "application/grpc")
            .body(body)
            .unwrap())
    })
    .await;
    let mut world = world(&origin).await;
    let mut client = Http2::to(world.address()).await;
    let answer = gather(client.send(call("Any", full(message("in")))).await.unwrap()).await;
    assert_eq!((answer.body, answer.trailers.len()), (message("one").to_vec(), 0));
    assert_eq!(world.told().await, "bad upstream-grpc-error 200 x1");
}

#[tokio::test]
async fn plain_http_calls_of_the_same_upstream_stay_http1() {
    let origin = Origin::saying("one").await;
    let mut world = world(&origin).await;
    assert_eq!(world.get("/").await.text(), "one");
    assert_eq!(world.told().await, "good 200 x1");
}
