//! HTTP/1.1, HTTP/1.0 and HTTP/2, to either side.

use std::time::Duration;

use bytes::Bytes;
use gateway::plan::{ListenAddress, Protocol};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Frame;

use crate::client::{Http2, Wire, gather};
use crate::origin::{AnyBody, Origin, Seen, Speaks, full, read_head, serve_unix, stream, with_trailers};
use crate::world::{World, until, within};

/// Sends back what it gets.
fn echo(seen: &Seen) -> Response<AnyBody> {
    Response::new(full(seen.body.clone()))
}

#[tokio::test]
async fn a_connection_carries_one_request_after_the_other() {
    let origin = Origin::saying("hello").await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    for _ in 0..3 {
        let answer = wire.ask("GET", "/", "", b"").await;
        assert_eq!((answer.status, answer.text()), (200, "hello"));
        assert_eq!(answer.header("connection"), "");
        assert_eq!(world.told().await, "good 200 x1");
    }
    assert_eq!(
        origin.connections(),
        1,
        "the upstream's connection is kept as well"
    );
    assert_eq!(world.counted(), "good 3, attempts 3");
    let closing = wire.ask("GET", "/", "Connection: close\r\n", b"").await;
    assert_eq!(closing.header("connection"), "close");
    assert_eq!(wire.closed().await, "");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|seen| Response::new(full(seen.head.uri.path().to_owned()))).await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    let requests: Vec<_> = (0..10)
        .map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    wire.send(requests.concat()).await;
    for n in 0..10 {
        assert_eq!(wire.answer().await.text(), format!("/{n}"));
        assert_eq!(world.told().await, "good 200 x1");
    }
}

#[tokio::test]
async fn pipelined_bodies_keep_to_their_requests() {
    let origin = Origin::answering(echo).await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\noneGET / HTTP/1.1\r\nHost: a\r\n\r\n\
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
    for expected in ["one", "", "two", ""] {
        assert_eq!(wire.answer().await.text(), expected);
    }
}

#[tokio::test]
async fn chunked_bodies_pass_both_ways_with_their_trailers() {
    let origin = Origin::answering(|seen| {
        assert_eq!(seen.trailers["x-sum"], "42");
        let mut answer = Response::new(with_trailers(b"five!", &[("x-sum", "43")]));
        answer.headers_mut().insert("trailer", "x-sum".parse().unwrap());
        answer
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: x-sum\r\n\r\n\
        3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nx-sum: 42\r\n\r\n",
    )
    .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.text(), answer.header("transfer-encoding")),
        ("five!", "chunked")
    );
    assert_eq!(answer.trailers["x-sum"], "43");
    let seen = origin.only();
    assert_eq!(
        (&*seen.body, seen.header("transfer-encoding")),
        (&b"abcde"[..], "chunked")
    );
    assert_eq!(seen.header("te"), "trailers");
    assert_eq!(world.told().await, "good 200 x1");
}

/// hyper sends in HTTP/1 only those trailers that the head announced; RFC 9110 §6.5.1 lets an intermediary drop any.
#[tokio::test]
async fn trailers_are_kept_from_who_does_not_ask_for_them() {
    let origin = Origin::answering(|_| Response::new(with_trailers(b"five!", &[("x-sum", "43")]))).await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    for _ in 0..2 {
        let answer = wire.ask("GET", "/", "", b"").await;
        assert_eq!((answer.text(), answer.whole), ("five!", true));
        assert!(answer.trailers.is_empty());
        assert_eq!(world.told().await, "good 200 x1");
    }
}

#[tokio::test]
async fn a_body_is_asked_for_before_it_is_sent() {
    let origin = Origin::answering(echo).await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.status, 100);
    wire.send("body").await;
    assert_eq!(wire.answer().await.text(), "body");
    assert_eq!(
        origin.only().header("expect"),
        "",
        "the expectation was ours to meet"
    );
    assert_eq!(world.told().await, "good 200 x1");
}

#[tokio::test]
async fn a_refused_body_is_not_asked_for() {
    let origin = Origin::answering(echo).await;
    let mut world = World::of(&[&origin])
        .route(|route| route.body_bytes = Some(3))
        .start()
        .await;
    let mut wire = world.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.verdict().as_str(), answer.problem("delivered")),
        ("413 body-too-large", "no")
    );
    wire.closed().await;
    assert_eq!(world.told().await, "excluded body-too-large 413 x0");
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn head_keeps_the_length_and_has_no_body() {
    let origin = Origin::replaying(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    for _ in 0..2 {
        let answer = wire.ask("HEAD", "/", "", b"").await;
        assert_eq!((answer.status, answer.header("content-length")), (200, "1234"));
        assert_eq!(world.told().await, "good 200 x1");
    }
    let mut http2 = Http2::to(world.address()).await;
    let request = Request::head("http://test/").body(full("")).unwrap();
    let answer = gather(http2.send(request).await.unwrap()).await;
    assert_eq!((answer.header("content-length"), answer.body.len()), ("1234", 0));
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn answers_without_a_body_may_say_a_length() {
    for (status, bytes) in [
        (204, &b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"[..]),
        (204, b"HTTP/1.1 204 No Content\r\n\r\n"),
        (
            304,
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
        ),
        (304, b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
    ] {
        let origin = Origin::replaying(bytes).await;
        let mut world = World::of(&[&origin]).start().await;
        let mut wire = world.wire().await;
        for _ in 0..2 {
            assert_eq!(wire.ask("GET", "/", "", b"").await.status, status);
            assert_eq!(world.told().await, format!("good {status} x1"));
        }
        let answer = Http2::to(world.address()).await.get("/").await;
        assert_eq!((answer.status, answer.whole), (status, true));
        assert_eq!(world.told().await, format!("good {status} x1"));
    }
}

#[tokio::test]
async fn http_1_0_is_answered_in_its_own_terms() {
    let origin = Origin::answering(|seen| {
        if seen.head.uri.path() == "/stream" {
            Response::new(with_trailers(b"streamed", &[]))
        } else {
            Response::new(full("plain"))
        }
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(wire.answer().await.text(), "plain");
    assert_eq!(wire.closed().await, "");
    assert_eq!(world.told().await, "good 200 x1");
    let mut wire = world.wire().await;
    wire.send("GET /stream HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let answer = wire.answer().await;
    assert_eq!(
        (answer.text(), answer.header("transfer-encoding")),
        ("streamed", ""),
        "no chunks"
    );
    assert_eq!(world.told().await, "good 200 x1");
    let mut wire = world.wire().await;
    for _ in 0..2 {
        wire.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .await;
        assert_eq!(wire.answer().await.text(), "plain");
    }
}

#[tokio::test]
async fn every_pair_of_protocols_carries_bodies_and_trailers() {
    for upstream in [Speaks::Http1, Speaks::Http2] {
        let answer = |seen: &Seen| {
            assert_eq!(seen.trailers["x-sum"], "1");
            let mut answer = Response::new(with_trailers(b"answer", &[("x-sum", "2")]));
            answer.headers_mut().insert(
                "x-body",
                std::str::from_utf8(&seen.body).unwrap().parse().unwrap(),
            );
            answer.headers_mut().insert("trailer", "x-sum".parse().unwrap());
            answer
        };
        let (origin, protocol) = match upstream {
            Speaks::Http1 => (Origin::answering(answer).await, Protocol::Http1),
            Speaks::Http2 => (Origin::answering_http2(answer).await, Protocol::Http2),
        };
        let mut world = World::of(&[&origin])
            .upstream(|u| u.protocol = protocol)
            .start()
            .await;
        let mut wire = world.wire().await;
        wire.send(
            "POST /x?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: x-sum\r\n\r\n\
            3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n",
        )
        .await;
        let answer = wire.answer().await;
        assert_eq!(
            (answer.text(), answer.header("x-body")),
            ("answer", "abc"),
            "{upstream:?}"
        );
        let mut http2 = Http2::to(world.address()).await;
        let request = Request::post("http://a/x?q")
            .header("te", "trailers")
            .header("trailer", "x-sum");
        let request = request.body(with_trailers(b"abc", &[("x-sum", "1")])).unwrap();
        let answer = gather(http2.send(request).await.unwrap()).await;
        assert_eq!(
            (answer.text(), answer.header("x-body")),
            ("answer", "abc"),
            "{upstream:?}"
        );
        assert_eq!(answer.trailers["x-sum"], "2");
        for seen in origin.seen() {
            let host = seen
                .head
                .uri
                .authority()
                .map_or(seen.header("host"), |authority| authority.as_str());
            assert_eq!(
                (host, seen.head.uri.path_and_query().unwrap().as_str()),
                ("a", "/x?q")
            );
        }
        assert_eq!(world.told().await, "good 200 x1");
        assert_eq!(world.told().await, "good 200 x1");
    }
}

#[tokio::test]
async fn http2_streams_share_a_connection_and_do_not_wait_for_each_other() {
    let held = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = std::sync::Arc::clone(&held);
    let origin = Origin::serving(Speaks::Http2, move |request| {
        let waiting = std::sync::Arc::clone(&waiting);
        async move {
            if request.uri().path() == "/slow" {
                waiting.acquire().await.unwrap().forget();
            }
            Ok(Response::new(full(request.uri().path().to_owned())))
        }
    })
    .await;
    let world = World::of(&[&origin])
        .upstream(|u| u.protocol = Protocol::Http2)
        .start()
        .await;
    let mut http2 = Http2::to(world.address()).await;
    let mut slow = http2.sender();
    let request = Request::get("http://test/slow").body(full("")).unwrap();
    let slow = tokio::spawn(async move { slow.send_request(request).await });
    for _ in 0..20 {
        assert_eq!(http2.get("/quick").await.text(), "/quick");
    }
    held.add_permits(1);
    let slow = within("the slow answer", slow).await.unwrap().unwrap();
    assert_eq!(gather(slow).await.text(), "/slow");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn a_stream_of_events_passes_chunk_by_chunk() {
    let (senders, mut sent) = tokio::sync::mpsc::channel(2);
    let origin = Origin::serving(Speaks::Http1, move |_| {
        let senders = senders.clone();
        async move {
            let (sender, body) = stream();
            senders.send(sender).await.unwrap();
            let answer = Response::builder().header("content-type", "text/event-stream");
            Ok(answer.body(body).unwrap())
        }
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let http1 = within("a request", sent.recv()).await.unwrap();
    assert_eq!(wire.head().await.0, 200, "the head does not wait for the body");
    let mut http2 = Http2::to(world.address()).await;
    let request = Request::get("http://test/").body(full("")).unwrap();
    let mut answer = http2.send(request).await.unwrap();
    let http2 = within("a request", sent.recv()).await.unwrap();
    for n in 0..20 {
        let event = format!("data: {n}\n\n");
        http1.send(Frame::data(event.clone().into())).await.unwrap();
        within("an event", wire.until(event.as_bytes())).await.unwrap();
        http2.send(Frame::data(event.clone().into())).await.unwrap();
        let frame = within("an event", answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), event.as_bytes());
    }
    assert!(world.pending_event().is_none(), "it is not over yet");
    drop((http1, http2));
    assert_eq!(world.told().await, "good 200 x1");
    assert_eq!(world.told().await, "good 200 x1");
}

#[tokio::test]
async fn a_silent_stream_is_cut_after_the_idle_time() {
    let origin = Origin::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, head)
            .await
            .unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let idle = Duration::from_millis(200);
    let mut world = World::of(&[&origin])
        .plan(|p| p.listeners[0].limits.stream_idle = idle)
        .start()
        .await;
    let answer = world.get("/").await;
    assert_eq!((answer.text(), answer.whole), ("abc", false));
    assert_eq!(world.told().await, "bad upstream-truncated 200 x1");
}

#[tokio::test]
async fn unix_sockets_work_on_both_sides() {
    let directory = std::env::temp_dir().join(format!("plimsoll-it-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (origin_path, listen_path) = (directory.join("origin"), directory.join("listen"));
    let served = serve_unix(&origin_path, "by unix");
    let endpoint = gateway::plan::EndpointPlan::Unix(origin_path);
    let path = listen_path.clone();
    let mut world = World::at([])
        .upstream(|upstream| upstream.endpoints = vec![endpoint])
        .plan(|plan| plan.listeners[0].address = ListenAddress::Unix(path))
        .cores(2)
        .start()
        .await;
    for _ in 0..5 {
        let answer = Wire::to_unix(&listen_path).await.ask("GET", "/", "", b"").await;
        assert_eq!(answer.text(), "by unix");
        let event = world.event().await;
        assert_eq!(
            (crate::world::say(&event).as_str(), event.client),
            ("good 200 x1", None)
        );
    }
    served.abort();
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn names_are_looked_up_and_a_new_plan_leads_elsewhere() {
    let (first, second) = (Origin::saying("first").await, Origin::saying("second").await);
    let to = |origin: &Origin| {
        vec![gateway::plan::EndpointPlan::Host(
            "localhost".into(),
            origin.address.port(),
        )]
    };
    let endpoints = to(&first);
    let mut world = World::at([])
        .upstream(|upstream| upstream.endpoints = endpoints)
        .start()
        .await;
    let known = world.gateway.running().upstreams[0].state.endpoints();
    assert!(
        known
            .iter()
            .any(|e| e.address.to_string() == first.address.to_string()),
        "{known:?}"
    );
    assert_eq!(world.get("/").await.text(), "first");
    world.gateway.resolve_names().await;
    let again = world.gateway.running().upstreams[0].state.endpoints();
    let ids = |endpoints: &[std::sync::Arc<gateway::upstream::Endpoint>]| {
        endpoints.iter().map(|e| e.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&known), ids(&again), "what is still there is still the same");
    world
        .reload(|plan| plan.upstreams[0].endpoints = to(&second))
        .await;
    assert_eq!(world.get("/").await.text(), "second");
    let nowhere = vec![gateway::plan::EndpointPlan::Host(
        "no-such-name.invalid".into(),
        80,
    )];
    world.reload(|plan| plan.upstreams[0].endpoints = nowhere).await;
    let answer = world.get("/").await;
    assert_eq!(
        (answer.verdict().as_str(), answer.problem("delivered")),
        ("503 upstream-unresolved", "no")
    );
    assert!(
        answer.problem("cause").contains("no-such-name.invalid"),
        "{}",
        answer.text()
    );
    assert_eq!(world.event().await.outcome.attempts, 1, "the first plan's");
    assert_eq!(world.event().await.outcome.attempts, 1, "the second's");
    assert_eq!(world.told().await, "bad upstream-unresolved 503 x0");
}

/// Both ways through the gateway, in a process of its own, whose memory is nobody else's: the test starts itself again.
#[test]
fn a_large_body_passes_in_bounded_memory() {
    const ALONE: &str = "PLIMSOLL_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.unwrap().block_on(large_body_alone());
    }
    let test = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "protocols::a_large_body_passes_in_bounded_memory",
            "--nocapture",
        ])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&test.stdout);
    assert!(test.status.success() && said.contains("1 passed"), "{said}");
}

const LARGE: usize = 64 << 20;
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];

async fn large_body_alone() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let origin = Origin::serving(speaks, |request| async move {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                length += frame
                    .map_err(std::io::Error::other)?
                    .data_ref()
                    .map_or(0, Bytes::len);
            }
            assert_eq!(length, LARGE);
            let (sender, answer) = stream();
            tokio::spawn(async move { pour(sender).await });
            Ok(Response::new(answer))
        })
        .await;
        let protocol = match speaks {
            Speaks::Http1 => Protocol::Http1,
            Speaks::Http2 => Protocol::Http2,
        };
        let mut world = World::of(&[&origin])
            .upstream(|upstream| upstream.protocol = protocol)
            .route(|route| route.body_bytes = Some(1 << 30))
            .start()
            .await;
        let before = memory();
        through_http1(&world).await;
        through_http2(&world).await;
        let grown = memory().saturating_sub(before);
        assert_eq!(world.told().await, "good 200 x1");
        assert_eq!(world.told().await, "good 200 x1");
        assert!(grown < 16 << 10, "{grown} KiB more than before, {speaks:?}");
    }
}

async fn pour(sender: tokio::sync::mpsc::Sender<Frame<Bytes>>) {
    for _ in 0..LARGE / PIECE.len() {
        if sender
            .send(Frame::data(Bytes::from_static(&PIECE)))
            .await
            .is_err()
        {
            return;
        }
    }
}

async fn through_http1(world: &World) {
    let mut wire = world.wire().await;
    wire.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {LARGE}\r\n\r\n"
    ))
    .await;
    for _ in 0..LARGE / PIECE.len() {
        wire.send(&PIECE[..]).await;
    }
    assert_eq!(wire.head().await.0, 200);
    let (mut length, mut stream) = wire.into_parts();
    let mut piece = vec![0; 64 << 10];
    loop {
        match tokio::io::AsyncReadExt::read(&mut stream, &mut piece)
            .await
            .unwrap()
        {
            0 => break,
            read => length += read,
        }
    }
    assert!(
        length > LARGE && length < LARGE + (1 << 20),
        "{length}: the body and its chunk sizes"
    );
}

async fn through_http2(world: &World) {
    let http2 = Http2::to(world.address()).await;
    let (sender, body) = stream();
    tokio::spawn(async move { pour(sender).await });
    let request = Request::post("http://test/").body(body).unwrap();
    let answer = http2.sender().send_request(request);
    let mut body = within("an answer", answer).await.unwrap().into_body();
    let mut length = 0;
    while let Some(frame) = within("a frame", body.frame()).await {
        length += frame.unwrap().data_ref().map_or(0, Bytes::len);
    }
    assert_eq!(length, LARGE);
}

/// What the process holds, in KiB.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_idle_upstream_connection_that_closed_is_replaced_without_a_word() {
    let origin = Origin::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer)
            .await
            .unwrap();
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    for n in 1..=5 {
        assert_eq!(world.get("/").await.text(), "ok");
        assert_eq!(world.told().await, "good 200 x1");
        until("the connection", || origin.connections() == n).await;
    }
}
