//! WebSockets through the gateway, and what else an Upgrade may come to.

use std::net::TcpStream;

use gateway::plan::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::Message;

use crate::origin::{Origin, Speaks, full, read_head};
use crate::world::{World, until, within};

/// A server that says back what it hears, on a thread of its own: tungstenite waits where it stands.
fn echo_server() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut socket = tungstenite::accept(stream).unwrap();
                while let Ok(message) = socket.read() {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).unwrap();
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_web_socket_passes() {
    let mut world = World::at([echo_server()]).start().await;
    let address = world.address();
    let talk = tokio::task::spawn_blocking(move || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(crate::world::LONG)).unwrap();
        let (mut socket, answer) = tungstenite::client(format!("ws://{address}/chat"), stream).unwrap();
        assert_eq!(answer.status(), 101);
        assert!(answer.headers().contains_key("x-request-id"));
        for size in [1, 125, 70_000, 1 << 20] {
            socket.send(Message::binary(vec![7; size])).unwrap();
            assert_eq!(socket.read().unwrap().len(), size);
        }
        socket.close(None).unwrap();
        while socket.read().is_ok() {}
    });
    within("the talk", talk).await.unwrap();
    assert_eq!(world.told().await, "good 101 x1");
    until("the connection to be gone", || {
        world.gateway.connections()[0].1 == 0
    })
    .await;
    assert_eq!(world.counted(), "good 1, attempts 1");
}

/// A WebSocket has no end that a drain could wait for, so it is told.
#[tokio::test]
async fn a_web_socket_that_outlasts_a_drain_hears_that_we_go_away() {
    let (tell, told) = std::sync::mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        let closed = loop {
            match socket.read() {
                Ok(Message::Close(frame)) => break frame,
                Ok(Message::Text(text)) => socket.send(Message::Text(text)).unwrap(),
                other => panic!("{other:?}"),
            }
        };
        tell.send(closed.map(|frame| u16::from(frame.code))).unwrap();
    });
    let mut world = World::at([server])
        .plan(|plan| plan.drain_max = std::time::Duration::from_millis(100))
        .start()
        .await;
    let (address, gateway) = (world.address(), world.gateway.clone());
    let talk = tokio::task::spawn_blocking(move || {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(crate::world::LONG)).unwrap();
        let (mut socket, _) = tungstenite::client(format!("ws://{address}/chat"), stream).unwrap();
        socket.send(Message::text("hello")).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text("hello"));
        gateway.drain();
        let Message::Close(Some(frame)) = socket.read().unwrap() else {
            panic!("not closed")
        };
        // The library answers it, and then there is nothing more.
        while socket.read().is_ok() {}
        u16::from(frame.code)
    });
    assert_eq!(within("the talk", talk).await.unwrap(), 1001);
    assert_eq!(told.recv_timeout(crate::world::LONG).unwrap(), Some(1001));
    world.stopped().await;
}

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// Accepts, and then says back what it gets.
async fn accepting() -> Origin {
    Origin::raw(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap().to_ascii_lowercase();
        assert!(
            head.contains("connection: upgrade\r\n") && head.contains("upgrade: echo\r\n"),
            "{head}"
        );
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst";
        stream.write_all(answer).await.unwrap();
        let mut heard = [0; 64];
        loop {
            match stream.read(&mut heard).await {
                Ok(0) | Err(_) => return,
                Ok(read) => stream.write_all(&heard[..read]).await.unwrap(),
            }
        }
    })
    .await
}

#[tokio::test]
async fn bytes_right_behind_the_answer_are_not_lost() {
    let origin = accepting().await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send(ASK).await;
    let (status, headers) = wire.head().await;
    assert_eq!(
        (status, &headers["upgrade"], &headers["connection"]),
        (101, &"echo".parse().unwrap(), &"upgrade".parse().unwrap())
    );
    within("the first words", wire.until(b"first")).await.unwrap();
    wire.send("GET / HTTP/1.1\n\n\0").await;
    within("the echo", wire.until(b"GET / HTTP/1.1\n\n\0"))
        .await
        .expect("a tunnel has no rules");
    assert_eq!(world.told().await, "good 101 x1");
}

#[tokio::test]
async fn early_bytes_end_the_connection_and_reach_nobody() {
    let origin = accepting().await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send(format!("{ASK}early")).await;
    assert_eq!(wire.answer().await.verdict(), "400 early-upgrade-data");
    assert_eq!(wire.closed().await, "");
    assert_eq!(world.told().await, "excluded early-upgrade-data 400 x0");
    assert_eq!(
        (origin.connections(), world.counted().as_str()),
        (0, "good 0, excluded early-upgrade-data 1, attempts 0")
    );
}

#[tokio::test]
async fn bytes_before_the_answer_end_the_connection_even_when_it_is_yes() {
    let (heads, mut head) = tokio::sync::mpsc::channel(1);
    let release = std::sync::Arc::new(tokio::sync::Notify::new());
    let held = std::sync::Arc::clone(&release);
    let origin = Origin::raw(move |mut stream, _| {
        let (heads, held) = (heads.clone(), std::sync::Arc::clone(&held));
        async move {
            read_head(&mut stream).await.unwrap();
            heads.send(()).await.unwrap();
            held.notified().await;
            let answer =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nfirst";
            stream.write_all(answer).await.unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap_or_default();
            assert!(rest.is_empty(), "{rest:?}");
            heads.send(()).await.unwrap();
        }
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send(ASK).await;
    within("the request", head.recv()).await.unwrap();
    wire.send("early").await;
    // The answer must find the bytes there: the gateway reads them before it hears from the origin.
    wire.settle().await;
    release.notify_one();
    assert_eq!(wire.answer().await.verdict(), "400 early-upgrade-data");
    assert_eq!(wire.closed().await, "");
    within("the end of the upstream's connection", head.recv())
        .await
        .unwrap();
    assert_eq!(world.told().await, "excluded early-upgrade-data 400 x1");
}

#[tokio::test]
async fn a_declined_upgrade_is_an_answer_like_any_other() {
    let origin = Origin::saying("no thanks").await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send(ASK).await;
    assert_eq!(wire.answer().await.text(), "no thanks");
    let next = wire.ask("GET", "/next", "", b"").await;
    assert_eq!(next.text(), "no thanks", "the connection goes on");
    assert_eq!(world.told().await, "good 200 x1");
    assert_eq!(world.told().await, "good 200 x1");
}

#[tokio::test]
async fn an_upgrade_that_meets_no_upstream_is_refused() {
    let mut origin = Origin::saying("").await;
    let mut world = World::of(&[&origin]).start().await;
    origin.kill().await;
    let mut wire = world.wire().await;
    wire.send(ASK).await;
    assert_eq!(wire.answer().await.verdict(), "502 upstream-refused");
    assert_eq!(world.told().await, "bad upstream-refused 502 x1");
}

#[tokio::test]
async fn http2_upstreams_have_no_upgrade() {
    let origin = Origin::serving(Speaks::Http2, |_| async { Ok(http::Response::new(full(""))) }).await;
    let mut world = World::of(&[&origin])
        .upstream(|u| u.protocol = Protocol::Http2)
        .start()
        .await;
    let mut wire = world.wire().await;
    wire.send(ASK).await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.status, origin.connections()),
        (502, 0),
        "{}",
        answer.text()
    );
    assert_eq!(world.event().await.outcome.attempts, 0);
}

#[tokio::test]
async fn one_side_that_closes_closes_the_other() {
    let origin = accepting().await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send(ASK).await;
    within("the first words", wire.until(b"first")).await.unwrap();
    drop(wire);
    until("both sides to be gone", || {
        let upstream = &world.gateway.running().upstreams[0];
        let endpoint = upstream.state.endpoints()[0].reading(world.gateway.env().now());
        world.gateway.connections()[0].1 == 0 && endpoint.connections == 0
    })
    .await;
    assert_eq!(world.gateway.running().upstreams[0].state.bulkhead().0, 0);
}
