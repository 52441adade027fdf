//! Which headers go through, which do not, and which are added.

use gateway::plan::{Network, Protocol};
use http::Response;

use crate::client::{Http2, gather};
use crate::origin::{Origin, Speaks, full};
use crate::world::World;

#[tokio::test]
async fn what_belongs_to_a_connection_stays_on_it() {
    let origin = Origin::answering(|_| {
        Response::builder()
            .header("connection", "x-secret, close-me")
            .header("close-me", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "close")
            .header("upgrade", "h2c")
            .header("server", "stays")
            .body(full("ok"))
            .unwrap()
    })
    .await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    let headers = "Connection: keep-alive, Drop-Me\r\nDrop-Me: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
        TE: gzip, trailers\r\nAccept: text/plain\r\nAccept: text/html\r\n";
    let answer = wire.ask("GET", "/", headers, b"").await;
    for gone in [
        "connection",
        "close-me",
        "keep-alive",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(answer.header(gone), "", "{gone} in the answer");
    }
    assert_eq!(answer.header("server"), "stays");
    let seen = origin.only();
    for gone in [
        "connection",
        "drop-me",
        "keep-alive",
        "proxy-connection",
        "upgrade",
    ] {
        assert_eq!(seen.header(gone), "", "{gone} in the request");
    }
    assert_eq!(seen.head.headers.get_all("accept").iter().count(), 2);
}

/// One item of a list that is no text does not hide the others.
#[tokio::test]
async fn what_is_listed_beside_bytes_that_are_no_text_stays_as_well() {
    let origin = Origin::saying("").await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: \xe9, drop-me\r\nDrop-Me: 1\r\nKept: 1\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.status, 200);
    let seen = origin.only();
    assert_eq!((seen.header("drop-me"), seen.header("kept")), ("", "1"));
}

#[tokio::test]
async fn who_lists_trailers_among_others_still_wants_them() {
    let origin = Origin::saying("").await;
    let world = World::of(&[&origin]).start().await;
    world
        .wire()
        .await
        .ask("GET", "/", "TE: gzip, trailers\r\n", b"")
        .await;
    assert_eq!(origin.only().header("te"), "trailers");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_added_to_the_chain() {
    let origin = Origin::saying("").await;
    let mut world = World::of(&[&origin]).start().await;
    let headers = "X-Forwarded-For: 9.9.9.9, 127.0.0.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n";
    world.wire().await.ask("GET", "/", headers, b"").await;
    let seen = origin.only();
    assert_eq!(seen.header("x-forwarded-for"), "9.9.9.9, 127.0.0.2, 127.0.0.1");
    assert_eq!(
        (seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")),
        ("https", "shop.example")
    );
    assert_eq!(world.event().await.client, Some([9, 9, 9, 9].into()));
}

#[tokio::test]
async fn a_stranger_is_not_believed() {
    let origin = Origin::saying("").await;
    let mut world = World::of(&[&origin])
        .plan(|plan| plan.listeners[0].trust = Vec::new())
        .start()
        .await;
    let headers = "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n\
        Forwarded: for=9.9.9.9\r\nX-Plimsoll-Attempt: 7\r\nX-Plimsoll-Deadline-Ms: 99999999\r\n";
    world.wire().await.ask("GET", "/", headers, b"").await;
    let seen = origin.only();
    assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(
        (seen.header("x-forwarded-proto"), seen.header("x-forwarded-host")),
        ("http", "test")
    );
    assert_eq!(
        (seen.header("forwarded"), seen.header("x-plimsoll-attempt")),
        ("", "1")
    );
    assert!(seen.header("x-plimsoll-deadline-ms").parse::<u64>().unwrap() <= 15_000);
    assert_eq!(world.event().await.client, Some([127, 0, 0, 1].into()));
}

#[tokio::test]
async fn a_request_gets_an_id_and_a_trace() {
    let origin = Origin::saying("").await;
    let mut world = World::of(&[&origin]).start().await;
    let answer = world.get("/").await;
    let (event, seen) = (world.event().await, origin.only());
    let id = answer.header("x-request-id");
    assert_eq!(
        (id.len(), seen.header("x-request-id"), &*event.request_id),
        (32, id, id)
    );
    let expected = format!(
        "00-{:032x}-{:016x}-00",
        event.trace.trace_id,
        event.trace.attempt(1)
    );
    assert_eq!(
        (seen.header("traceparent"), event.trace.parent_id),
        (expected.as_str(), 0)
    );
}

#[tokio::test]
async fn an_id_and_a_trace_are_passed_on() {
    let origin = Origin::saying("").await;
    let mut world = World::of(&[&origin]).start().await;
    let headers = "X-Request-Id: mine-1\r\ntracestate: a=b\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    let answer = world.wire().await.ask("GET", "/", headers, b"").await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    let (event, seen) = (world.event().await, origin.only());
    assert_eq!(
        (seen.header("x-request-id"), seen.header("tracestate")),
        ("mine-1", "a=b")
    );
    let expected = format!(
        "00-0af7651916cd43dd8448eb211c80319c-{:016x}-01",
        event.trace.attempt(1)
    );
    assert_eq!(seen.header("traceparent"), expected);
    assert!(event.trace.parent_id == 0xb7ad_6b71_6920_3331 && event.trace.sampled);
    // One that is no id is replaced, and a refusal has an id as well.
    world
        .reload(|plan| plan.listeners[0].routes[0].path = "/known".to_owned())
        .await;
    let refused = world
        .wire()
        .await
        .ask("GET", "/", "X-Request-Id: with space\r\n", b"")
        .await;
    assert_eq!(
        (refused.verdict().as_str(), refused.header("x-request-id").len()),
        ("404 unknown-route", 32)
    );
    assert_eq!(refused.problem("request_id"), refused.header("x-request-id"));
}

/// HTTP/2 lets an authority hold what no `Host` may.
#[tokio::test]
async fn a_host_is_as_plain_by_http2_as_by_http1() {
    let origin = Origin::saying("").await;
    let world = World::of(&[&origin]).start().await;
    let mut client = Http2::to(world.address()).await;
    for (uri, expected) in [
        ("http://u@a/", "400 invalid-host"),
        ("http://a,b/", "400 invalid-host"),
        ("http://a:80/", "200"),
    ] {
        let request = http::Request::get(uri).body(full("")).unwrap();
        let answer = gather(client.send(request).await.unwrap()).await;
        assert_eq!(answer.verdict(), expected, "{uri}");
    }
    assert_eq!(origin.only().header("host"), "a:80");
}

#[tokio::test]
async fn the_host_is_kept_or_rewritten() {
    let origin = Origin::saying("").await;
    let world = World::of(&[&origin]).start().await;
    world.wire().await.ask("GET", "/", "", b"").await;
    Http2::to(world.address()).await.get("/").await;
    world.reload(|plan| plan.upstreams[0].rewrite_host = true).await;
    world.wire().await.ask("GET", "/", "", b"").await;
    let hosts: Vec<_> = origin
        .seen()
        .iter()
        .map(|seen| seen.header("host").to_owned())
        .collect();
    assert_eq!(hosts, ["test", "test", &origin.address.to_string()]);
    assert_eq!(origin.seen()[2].header("x-forwarded-host"), "test");
}

#[tokio::test]
async fn routes_are_found_by_host_path_and_method() {
    let origin = Origin::saying("").await;
    let mut world = World::of(&[&origin])
        .plan(|plan| {
            let routes = &mut plan.listeners[0].routes;
            routes[0].path = "/orders/{id}".to_owned();
            routes[0].methods = vec![http::Method::GET, http::Method::PUT];
            let mut shop = routes[0].clone();
            (shop.name, shop.hosts) = ("shop".into(), vec!["*.example.com".to_owned()]);
            shop.methods.clear();
            routes.push(shop);
        })
        .start()
        .await;
    let mut wire = world.wire().await;
    let refused = wire.ask("POST", "/orders/1", "", b"").await;
    assert_eq!(
        (refused.verdict().as_str(), refused.header("allow")),
        ("405 method-not-allowed", "GET, PUT, HEAD")
    );
    let event = world.event().await;
    assert_eq!(
        (&*event.route, crate::world::say(&event).as_str()),
        ("-", "excluded method-not-allowed 405 x0")
    );
    assert_eq!(
        wire.ask("GET", "/orders/1/items", "", b"").await.verdict(),
        "404 unknown-route"
    );
    assert_eq!(&*world.event().await.route, "-");
    assert_eq!(wire.ask("GET", "/orders/1?a=b", "", b"").await.status, 200);
    let event = world.event().await;
    assert_eq!(
        (&*event.route, &*event.path),
        ("default", "/orders/1"),
        "no query, it may hold secrets"
    );
    wire.send("DELETE /orders/1 HTTP/1.1\r\nHost: a.b.EXAMPLE.com:80\r\n\r\n")
        .await;
    assert_eq!(wire.answer().await.status, 200);
    assert_eq!(&*world.event().await.route, "shop");
}

#[tokio::test]
async fn trust_is_a_matter_of_the_peers_address() {
    let origin = Origin::saying("").await;
    let network: Network = "127.0.0.0/30".parse().unwrap();
    let world = World::of(&[&origin])
        .plan(|plan| plan.listeners[0].trust = vec![network])
        .start()
        .await;
    for (from, chain) in [
        ([127, 0, 0, 3], "1.2.3.4, 127.0.0.3"),
        ([127, 0, 0, 4], "127.0.0.4"),
    ] {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(std::net::SocketAddr::from((from, 0))).unwrap();
        let stream = socket.connect(world.address()).await.unwrap();
        let mut wire = crate::client::Wire::over(Box::new(stream));
        wire.ask("GET", "/", "X-Forwarded-For: 1.2.3.4\r\n", b"").await;
        assert_eq!(origin.seen().last().unwrap().header("x-forwarded-for"), chain);
    }
}

/// Services set many cookies, and carry what they know of a caller in headers.
#[tokio::test]
async fn a_large_head_of_an_answer_passes_by_either_protocol() {
    let large = "y".repeat(60 << 10);
    for (speaks, protocol) in [(Speaks::Http1, Protocol::Http1), (Speaks::Http2, Protocol::Http2)] {
        let large = large.clone();
        let origin = Origin::serving(speaks, move |_| {
            let answer = Response::builder().header("x-large", &large).body(full("ok"));
            async move { Ok(answer.unwrap()) }
        })
        .await;
        let world = World::of(&[&origin])
            .upstream(|upstream| upstream.protocol = protocol)
            .start()
            .await;
        let answer = world.get("/").await;
        assert_eq!(
            (answer.status, answer.header("x-large").len()),
            (200, 60 << 10),
            "{protocol:?}"
        );
    }
}
