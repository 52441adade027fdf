//! Where messages meet on a connection: early, late, cut off, and more than was asked for.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::origin::{Origin, Speaks, full, read_head, reset};
use crate::world::{World, until, within};

/// A caller may send on after a request that closes: what it sends is not read, and must not cost it the answer.
#[tokio::test]
async fn an_answer_that_closes_is_not_lost_to_what_came_behind_its_request() {
    let origin = Origin::answering(|_| http::Response::new(full(vec![b'a'; 1 << 20]))).await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    let mut pipeline = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec();
    pipeline.extend(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20_000));
    wire.send(&pipeline).await;
    let answer = wire.answer().await;
    assert!(
        answer.whole && answer.body.len() == 1 << 20,
        "{} bytes",
        answer.body.len()
    );
    assert_eq!(wire.closed().await, "");
}

/// An answer that ends with its connection is whole only if that ended in order, whoever saw the reset first.
#[tokio::test]
async fn an_answer_cut_off_under_an_upload_is_not_whole() {
    let cut = Arc::new(Notify::new());
    let told = Arc::clone(&cut);
    let origin = Origin::raw(move |mut stream, _| {
        let told = Arc::clone(&told);
        async move {
            read_head(&mut stream).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\npart").await.unwrap();
            told.notified().await;
            reset(&stream);
        }
    })
    .await;
    let mut world = World::of(&[&origin])
        .route(|route| route.body_bytes = Some(1 << 40))
        .start()
        .await;
    let mut wire = world.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    assert_eq!(wire.head().await.0, 200);
    let (_, stream) = wire.into_parts();
    let (mut read, mut write) = tokio::io::split(stream);
    // More than all buffers on the way hold: the gateway waits to write when the reset comes.
    let flood = tokio::spawn(async move { while write.write_all(&[b'x'; 1 << 14]).await.is_ok() {} });
    let mut before = 0;
    until("the upload to stall", || {
        let queued = queued_to(origin.address.port());
        queued > 0 && std::mem::replace(&mut before, queued) == queued
    })
    .await;
    cut.notify_one();
    let mut answer = Vec::new();
    let _end = within("the end", read.read_to_end(&mut answer)).await;
    flood.abort();
    assert!(
        !answer.ends_with(b"0\r\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(world.told().await, "bad upstream-truncated 200 x1");
}

/// Bytes that wait to be sent to a port of this machine.
fn queued_to(port: u16) -> u64 {
    let remote = format!(":{port:04X}");
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = sockets
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let queues = sockets.filter(|socket| socket[2].ends_with(&remote));
    queues
        .filter_map(|socket| u64::from_str_radix(socket[4].split(':').next()?, 16).ok())
        .sum()
}

/// What claims to follow a 204 may come when the next request is under way; it must not be taken for its answer.
#[tokio::test]
async fn a_204_that_announces_a_body_ends_its_connection() {
    for claim in ["Transfer-Encoding: chunked", "Content-Length: 5"] {
        let origin = Origin::raw(move |mut stream, _| async move {
            let empty = format!("HTTP/1.1 204 No Content\r\n{claim}\r\n\r\n");
            while read_head(&mut stream).await.is_some() {
                if stream.write_all(empty.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
        .await;
        let world = World::of(&[&origin]).start().await;
        let mut wire = world.wire().await;
        for _ in 0..2 {
            let answer = wire.ask("GET", "/", "", b"").await;
            assert_eq!((answer.status, answer.header("transfer-encoding")), (204, ""));
        }
        assert_eq!(origin.connections(), 2, "{claim}");
    }
}

/// Requests that nobody waits for the answers of.
#[tokio::test]
async fn ten_thousand_requests_in_one_breath_are_answered_in_their_order() {
    let origin = Origin::answering(|seen| http::Response::new(full(seen.head.uri.path().to_owned()))).await;
    let world = World::of(&[&origin]).start().await;
    let wire = world.wire().await;
    let (_, stream) = wire.into_parts();
    let (read, mut write) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        let mut all = Vec::new();
        for number in 0..10_000 {
            all.extend(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes());
        }
        write.write_all(&all).await.unwrap();
        write
    });
    let joined = tokio::io::join(read, tokio::io::sink());
    let mut wire = crate::client::Wire::over(Box::new(joined));
    for number in 0..10_000 {
        assert_eq!(wire.answer().await.text(), format!("/{number}"));
    }
    drop(sending.await.unwrap());
    assert_eq!(origin.connections(), 1);
}

/// An answer that begins before its request has ended: both go on, whoever of the two is faster.
#[tokio::test]
async fn what_is_said_back_while_it_is_being_said_passes_whole() {
    let origin = Origin::serving(Speaks::Http1, |request| async move {
        let body = http_body_util::BodyExt::map_err(request.into_body(), std::io::Error::other);
        Ok(http::Response::new(http_body_util::BodyExt::boxed_unsync(body)))
    })
    .await;
    let world = World::of(&[&origin])
        .route(|route| route.body_bytes = Some(1 << 40))
        .start()
        .await;
    for framing in ["Content-Length: 33554432", "Transfer-Encoding: chunked"] {
        let (_, stream) = world.wire().await.into_parts();
        let (read, mut write) = tokio::io::split(stream);
        let sending = tokio::spawn(async move {
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
            write.write_all(head.as_bytes()).await.unwrap();
            let piece = vec![b'x'; 1 << 15];
            for _ in 0..1 << 10 {
                if framing.ends_with("chunked") {
                    write.write_all(b"8000\r\n").await.unwrap();
                    write.write_all(&piece).await.unwrap();
                    write.write_all(b"\r\n").await.unwrap();
                } else {
                    write.write_all(&piece).await.unwrap();
                }
            }
            if framing.ends_with("chunked") {
                write.write_all(b"0\r\n\r\n").await.unwrap();
            }
            write
        });
        let joined = tokio::io::join(read, tokio::io::sink());
        let answer = crate::client::Wire::over(Box::new(joined)).answer().await;
        assert!(answer.whole, "{framing}");
        assert_eq!(answer.body.len(), 1 << 25, "{framing}");
        drop(sending.await.unwrap());
    }
}

/// An expectation is met once, before the answer and never inside it, and whoever was refused need not send.
#[tokio::test]
async fn an_expectation_is_met_at_the_right_time_or_never() {
    let origin = Origin::answering(|seen| http::Response::new(full(seen.body.clone()))).await;
    let world = World::of(&[&origin])
        .route(|route| route.body_bytes = Some(10))
        .start()
        .await;
    let mut wire = world.wire().await;
    let ask = |length: usize, more: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: {length}\r\n{more}\r\n"
        )
    };
    for _ in 0..2 {
        wire.send(ask(5, "")).await;
        assert_eq!(wire.head().await.0, 100);
        wire.send("he").await;
        wire.send("llo").await;
        assert_eq!(wire.answer().await.text(), "hello");
        // Behind one that does not wait, the next one is asked as usual.
        wire.send(format!("{}hello{}", ask(5, ""), ask(3, ""))).await;
        assert_eq!(wire.answer().await.text(), "hello");
        assert_eq!(wire.head().await.0, 100);
        wire.send("end").await;
        assert_eq!(wire.answer().await.text(), "end");
    }
    wire.send(ask(11, "")).await;
    let refused = wire.answer().await;
    assert_eq!(
        (refused.verdict().as_str(), refused.header("connection")),
        ("413 body-too-large", "close")
    );
    assert_eq!(wire.closed().await, "");
    let mut wire = world.wire().await;
    wire.send(ask(5, "Connection: close\r\n")).await;
    assert_eq!(wire.head().await.0, 100);
    wire.send("hello").await;
    assert_eq!(wire.answer().await.text(), "hello");
    assert_eq!(wire.closed().await, "");
}
