//! Callers that take their time. The gateway looks once a second, so every bound holds to a second.

use std::time::Duration;

use gateway::plan::LimitsPlan;
use hyper::body::Frame;
use tokio::io::AsyncWriteExt;

use crate::client::Http2;
use crate::origin::{Origin, Speaks, echoing, full, stream};
use crate::world::{World, until, within};

/// Bounds that a test can wait for.
fn short() -> LimitsPlan {
    LimitsPlan {
        head_time: Duration::from_millis(300),
        idle_time: Duration::from_millis(300),
        pace_grace: Duration::from_millis(400),
        upload_rate_min: 1000,
        ..LimitsPlan::default()
    }
}

async fn world(origin: &Origin) -> World {
    World::of(&[origin])
        .plan(|plan| plan.listeners[0].limits = short())
        .start()
        .await
}

/// Sends a byte every 50 ms until the gateway has answered, and returns the answer.
async fn trickle(wire: crate::client::Wire) -> crate::client::Answer {
    let (_, stream) = wire.into_parts();
    let (read, mut write) = tokio::io::split(stream);
    let feeding = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let joined = tokio::io::join(read, tokio::io::sink());
    let answer = crate::client::Wire::over(Box::new(joined)).answer().await;
    feeding.abort();
    answer
}

#[tokio::test]
async fn a_head_that_trickles_is_refused() {
    let origin = Origin::saying("").await;
    let world = world(&origin).await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nX-Long: ").await;
    assert_eq!(trickle(wire).await.verdict(), "408 slow-request");
    until("the refusal", || {
        world.counted() == "good 0, excluded slow-request 1, attempts 0"
    })
    .await;
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn a_second_head_that_stalls_is_refused_too() {
    let origin = Origin::saying("first").await;
    let world = world(&origin).await;
    let mut wire = world.wire().await;
    assert_eq!(wire.ask("GET", "/", "", b"").await.text(), "first");
    wire.send("GET / HT").await;
    assert_eq!(wire.answer().await.verdict(), "408 slow-request");
    assert_eq!(wire.closed().await, "");
}

#[tokio::test]
async fn a_body_that_trickles_is_refused() {
    let origin = Origin::saying("").await;
    let mut world = world(&origin).await;
    let mut wire = world.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        .await;
    assert_eq!(trickle(wire).await.verdict(), "408 slow-request");
    let event = world.event().await;
    assert_eq!(event.outcome.class.word(), "excluded", "{event:?}");
    assert!(origin.seen().is_empty(), "the upstream saw a body that broke off");
}

#[tokio::test]
async fn an_http2_body_that_stalls_is_refused() {
    let origin = Origin::saying("").await;
    let mut world = world(&origin).await;
    let mut client = Http2::to(world.address()).await;
    let (sender, body) = stream();
    sender.send(Frame::data("a little".into())).await.unwrap();
    let request = http::Request::post("http://test/").body(body).unwrap();
    let answer = crate::client::gather(client.send(request).await.unwrap()).await;
    assert_eq!(answer.verdict(), "408 slow-request");
    assert_eq!(world.event().await.outcome.class.word(), "excluded");
    assert_eq!(client.get("/").await.status, 200, "the other streams go on");
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let origin = Origin::saying("first").await;
    let mut world = world(&origin).await;
    let mut silent = world.wire().await;
    let mut idle = world.wire().await;
    assert_eq!(idle.ask("GET", "/", "", b"").await.text(), "first");
    assert_eq!(
        (silent.closed().await.as_str(), idle.closed().await.as_str()),
        ("", "")
    );
    assert_eq!(world.told().await, "good 200 x1");
    assert_eq!(world.counted(), "good 1, attempts 1");
    let mut http2 = Http2::to(world.address()).await;
    assert_eq!(http2.get("/").await.status, 200);
    until("the HTTP/2 connection to be closed", || http2.is_closed()).await;
}

/// Old clients send one behind a body; it begins nothing that could be late.
#[tokio::test]
async fn an_empty_line_is_no_head_that_stalls() {
    let origin = Origin::saying("first").await;
    let world = world(&origin).await;
    let mut wire = world.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\n")
        .await;
    assert_eq!(wire.answer().await.text(), "first");
    assert_eq!(wire.closed().await, "");
    assert_eq!(world.counted(), "good 1, attempts 1");
}

#[tokio::test]
async fn a_connection_at_work_is_not_idle() {
    let held = std::sync::Arc::new(tokio::sync::Notify::new());
    let release = std::sync::Arc::clone(&held);
    let origin = Origin::serving(Speaks::Http1, move |_| {
        let release = std::sync::Arc::clone(&release);
        async move {
            release.notified().await;
            Ok(http::Response::new(full("late")))
        }
    })
    .await;
    let mut world = world(&origin).await;
    let (mut http1, mut http2) = (world.wire().await, Http2::to(world.address()).await);
    http1.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut idle = world.wire().await;
    let mut sender = http2.sender();
    let request = http::Request::get("http://test/").body(full("")).unwrap();
    let asking = tokio::spawn(async move { sender.send_request(request).await });
    until("both requests", || origin.connections() == 2).await;
    // By the time that this one is closed, the sweep has looked at the others as well, more than once.
    idle.closed().await;
    let mut idle = world.wire().await;
    idle.closed().await;
    held.notify_waiters();
    assert_eq!(http1.answer().await.text(), "late");
    let late = within("the answer", asking).await.unwrap().unwrap();
    assert_eq!(crate::client::gather(late).await.text(), "late");
    assert_eq!(world.told().await, "good 200 x1");
    assert_eq!(world.told().await, "good 200 x1");
    assert!(!http2.is_closed() || http2.get("/").await.status == 200);
}

/// A tunnel owes no answer, and is at work all the same: only its silence counts.
#[tokio::test]
async fn a_tunnel_at_work_is_not_idle() {
    let origin = echoing().await;
    let world = world(&origin).await;
    let mut tunnel = world.wire().await;
    tunnel
        .send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!(tunnel.head().await.0, 101);
    // Each is closed for its silence: the sweep has looked at the tunnel as often.
    for _ in 0..2 {
        let mut idle = world.wire().await;
        assert_eq!(
            idle.ask("OPTIONS", "*", "", b"").await.verdict(),
            "404 unknown-route"
        );
        idle.closed().await;
        tunnel.send("ping").await;
        within("the echo", tunnel.until(b"ping"))
            .await
            .expect("the tunnel stands");
    }
}

/// Who reads slowly holds up what is sent to it, and no more than the buffers on the way.
#[tokio::test]
async fn a_slow_reader_slows_the_sender_down() {
    let poured = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&poured);
    let origin = Origin::serving(Speaks::Http1, move |_| {
        let counted = std::sync::Arc::clone(&counted);
        async move {
            let (sender, body) = stream();
            tokio::spawn(async move {
                while sender.send(Frame::data(vec![0; 64 << 10].into())).await.is_ok() {
                    counted.fetch_add(64 << 10, std::sync::atomic::Ordering::Relaxed);
                }
            });
            Ok(http::Response::new(body))
        }
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(wire.head().await.0, 200);
    let poured = || poured.load(std::sync::atomic::Ordering::Relaxed);
    // It has stalled when it does not move within a fifth of a second.
    let mut before = 0;
    while poured() > before && poured() < 64 << 20 {
        before = poured();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(
        poured() < 24 << 20,
        "{} bytes wait for a reader who does not read",
        poured()
    );
    drop(wire);
    assert_eq!(world.told().await, "excluded client-closed 200 x1");
}

/// Who is still sending when it is refused must hear why, and not find its connection reset.
#[tokio::test]
async fn a_refusal_reaches_a_caller_who_is_still_sending() {
    let origin = Origin::saying("").await;
    let world = World::of(&[&origin])
        .route(|route| route.body_bytes = Some(1000))
        .start()
        .await;
    let declared = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7A1200\r\n";
    let malformed = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +8000000\r\n\r\n";
    for (head, expected) in [
        (declared, "413 body-too-large"),
        (chunked, "413 body-too-large"),
        (malformed, "400 ambiguous-framing"),
    ] {
        for _ in 0..5 {
            let mut wire = world.wire().await;
            wire.send(head).await;
            let upload = vec![b'x'; 8_000_000];
            wire.try_send(&upload).await;
            let answer = wire.try_answer().await.map(|answer| answer.verdict());
            assert_eq!(answer.as_deref(), Some(expected), "{head}");
        }
    }
}

#[tokio::test]
async fn a_slow_http2_reader_slows_the_sender_down() {
    let (senders, mut sent) = tokio::sync::mpsc::channel(1);
    let origin = Origin::serving(Speaks::Http1, move |_| {
        let senders = senders.clone();
        async move {
            let (sender, body) = stream();
            senders.send(sender).await.unwrap();
            Ok(http::Response::new(body))
        }
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    let mut client = Http2::to(world.address()).await;
    let request = http::Request::get("http://test/").body(full("")).unwrap();
    let answer = client.send(request).await.unwrap();
    let sender = within("the request", sent.recv()).await.unwrap();
    let mut poured = 0;
    let piece = || Frame::data(vec![0; 64 << 10].into());
    while tokio::time::timeout(Duration::from_millis(300), sender.send(piece()))
        .await
        .is_ok_and(|s| s.is_ok())
    {
        poured += 64 << 10;
        assert!(
            poured < 24 << 20,
            "{poured} bytes wait for a reader who does not read"
        );
    }
    // The other streams of the connection go on, and the slow one ends when its caller does.
    let mut sender = client.sender();
    let request = http::Request::get("http://test/").body(full("")).unwrap();
    let other = tokio::spawn(async move { sender.send_request(request).await });
    drop(within("the other request", sent.recv()).await.unwrap());
    // Read to its end: an answer that is dropped before may be reset, and counted as such.
    let other = within("the other answer", other).await.unwrap().unwrap();
    assert_eq!(crate::client::gather(other).await.status, 200);
    assert_eq!(world.told().await, "good 200 x1");
    drop(answer);
    assert_eq!(world.told().await, "excluded client-closed 200 x1");
}
