//! TLS towards callers and towards upstreams.

use std::path::PathBuf;
use std::sync::Arc;

use gateway::plan::{Protocol, TlsClientPlan, TlsServerPlan};
use http::Response;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::certificates::Authority;
use crate::client::{Http2, Wire};
use crate::origin::{Origin, Speaks, full, serve};
use crate::world::{Builder, World};

fn with_tls(world: Builder, (certificate, key): (PathBuf, PathBuf), client_ca: Option<PathBuf>) -> Builder {
    world.plan(|plan| {
        plan.listeners[0].tls = Some(TlsServerPlan {
            certificate,
            key,
            client_required: client_ca.is_some(),
            client_ca,
        });
    })
}

async fn shake(world: &World, config: Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(world.address()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(config)
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn alpn_chooses_the_protocol() {
    let authority = Authority::new();
    let origin = Origin::saying("secret").await;
    let world = with_tls(World::of(&[&origin]), authority.sign("leaf", "localhost"), None);
    let mut world = world.start().await;
    let stream = shake(&world, authority.client(&["h2", "http/1.1"], None))
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(
        Http2::over(Box::new(stream)).await.get("/").await.text(),
        "secret"
    );
    for alpn in [&["http/1.1"][..], &[]] {
        let stream = shake(&world, authority.client(alpn, None)).await.unwrap();
        let mut wire = Wire::over(Box::new(stream));
        for _ in 0..2 {
            assert_eq!(wire.ask("GET", "/", "", b"").await.text(), "secret");
        }
    }
    for _ in 0..5 {
        assert_eq!(world.told().await, "good 200 x1");
    }
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| seen.header("x-forwarded-proto") == "https")
    );
    // Rules of framing hold behind TLS as well, and so does the last word.
    let stream = shake(&world, authority.client(&["http/1.1"], None))
        .await
        .unwrap();
    let mut wire = Wire::over(Box::new(stream));
    wire.send("GET / HTTP/1.1\nHost: a\n\n").await;
    assert_eq!(wire.answer().await.verdict(), "400 malformed-request");
    assert_eq!(wire.closed().await, "");
    assert!(
        shake(&world, Authority::new().client(&[], None)).await.is_err(),
        "another authority's client"
    );
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart() {
    let authority = Authority::new();
    let origin = Origin::saying("secret").await;
    let files = authority.sign("leaf", "localhost");
    let world = with_tls(World::of(&[&origin]), files.clone(), None).start().await;
    let config = authority.client(&["http/1.1"], None);
    let shown = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let old = shake(&world, Arc::clone(&config)).await.unwrap();
    let first = shown(&old);
    let mut old = Wire::over(Box::new(old));
    assert_eq!(old.ask("GET", "/", "", b"").await.status, 200);
    assert!(world.gateway.reload_certificates().is_empty(), "nothing changed");
    authority.sign("leaf", "localhost");
    let reloaded = world.gateway.reload_certificates();
    assert!(reloaded.len() == 1 && reloaded[0].result.is_ok(), "{reloaded:?}");
    // Tickets of the old session would resume it without a certificate: a new client has none.
    let new = shake(&world, authority.client(&["http/1.1"], None))
        .await
        .unwrap();
    let second = shown(&new);
    assert_ne!(first, second);
    assert_eq!(
        Wire::over(Box::new(new)).ask("GET", "/", "", b"").await.status,
        200
    );
    assert_eq!(
        old.ask("GET", "/", "", b"").await.status,
        200,
        "the old connection goes on"
    );
    // What cannot be used is said once, and what was in use stays.
    std::fs::write(&files.0, "no certificate").unwrap();
    let failed = world.gateway.reload_certificates();
    assert!(failed.len() == 1 && failed[0].result.is_err(), "{failed:?}");
    assert!(world.gateway.reload_certificates().is_empty());
    let after = shake(&world, authority.client(&[], None)).await.unwrap();
    assert_eq!(shown(&after), second);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_not_let_in() {
    let authority = Authority::new();
    let origin = Origin::saying("secret").await;
    let world = with_tls(
        World::of(&[&origin]),
        authority.sign("leaf", "localhost"),
        Some(authority.ca()),
    );
    let world = world.start().await;
    let known = authority.sign("client", "someone");
    let stream = shake(&world, authority.client(&["http/1.1"], Some(&known)))
        .await
        .unwrap();
    assert_eq!(
        Wire::over(Box::new(stream)).ask("GET", "/", "", b"").await.text(),
        "secret"
    );
    let stranger = Authority::new();
    let unknown = stranger.sign("client", "someone");
    for identity in [None, Some(&unknown)] {
        // In TLS 1.3 the refusal comes after the client's side of the handshake.
        if let Ok(stream) = shake(&world, authority.client(&["http/1.1"], identity)).await {
            let mut wire = Wire::over(Box::new(stream));
            wire.try_send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(wire.closed().await, "");
        }
    }
    assert_eq!(origin.seen().len(), 1);
}

/// An origin behind TLS.
async fn secure_origin(config: Arc<rustls::ServerConfig>, speaks: Speaks) -> Origin {
    Origin::raw(move |stream, _| {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&config));
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let service = |request: http::Request<hyper::body::Incoming>| async move {
                    Ok(Response::new(full(format!("{:?}", request.version()))))
                };
                serve(Box::new(stream), speaks, service).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn upstreams_are_spoken_to_in_tls() {
    let authority = Authority::new();
    let (server, us) = (
        authority.sign("server", "127.0.0.1"),
        authority.sign("us", "gateway"),
    );
    let trusting = TlsClientPlan {
        ca: Some(authority.ca()),
        ..TlsClientPlan::default()
    };
    let known = TlsClientPlan {
        identity: Some(us),
        ..trusting.clone()
    };
    for (protocol, alpn, speaks, said) in [
        (Protocol::Http1, "http/1.1", Speaks::Http1, "HTTP/1.1"),
        (Protocol::Http2, "h2", Speaks::Http2, "HTTP/2.0"),
        (Protocol::Auto, "h2", Speaks::Http2, "HTTP/2.0"),
        (Protocol::Auto, "http/1.1", Speaks::Http1, "HTTP/1.1"),
    ] {
        for (mutual, tls) in [(false, &trusting), (true, &known)] {
            let origin = secure_origin(authority.server(&server, &[alpn], mutual), speaks).await;
            let world = World::of(&[&origin]).upstream(|upstream| {
                (upstream.protocol, upstream.tls) = (protocol, Some(tls.clone()));
            });
            let mut world = world.start().await;
            for _ in 0..2 {
                assert_eq!(world.get("/").await.text(), said, "{protocol:?} mutual: {mutual}");
                assert_eq!(world.told().await, "good 200 x1");
            }
            assert_eq!(origin.connections(), 1);
        }
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_prove_itself_is_not_spoken_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let trusting = |authority: &Authority| TlsClientPlan {
        ca: Some(authority.ca()),
        ..TlsClientPlan::default()
    };
    let mine = authority.sign("server", "127.0.0.1");
    let elsewhere = authority.sign("elsewhere", "example.com");
    for (server, tls) in [
        (authority.server(&mine, &[], false), trusting(&other)),
        (authority.server(&elsewhere, &[], false), trusting(&authority)),
        (authority.server(&mine, &[], true), trusting(&authority)),
        (authority.server(&mine, &["h2"], false), trusting(&authority)),
    ] {
        let origin = secure_origin(server, Speaks::Http1).await;
        let mut world = World::of(&[&origin])
            .upstream(|u| u.tls = Some(tls))
            .route(|r| r.retry = None)
            .start()
            .await;
        let answer = world.get("/").await;
        let expected = ["502 upstream-tls", "502 upstream-reset"];
        assert!(expected.contains(&answer.verdict().as_str()), "{}", answer.text());
        assert_eq!(world.event().await.outcome.attempts, 1);
    }
    // The name may be another than the address.
    let origin = secure_origin(authority.server(&elsewhere, &[], false), Speaks::Http1).await;
    let named = TlsClientPlan {
        server_name: Some("example.com".to_owned()),
        ..trusting(&authority)
    };
    let world = World::of(&[&origin])
        .upstream(|u| u.tls = Some(named))
        .start()
        .await;
    assert_eq!(world.get("/").await.text(), "HTTP/1.1");
}

#[tokio::test]
async fn what_an_upstream_is_verified_by_is_renewed_without_a_reload() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server(&authority.sign("server", "127.0.0.1"), &[], true);
    let origin = secure_origin(server, Speaks::Http1).await;
    // Both files are another authority's at first: the one to believe, and the one to be believed by.
    let (ca, ours) = (other.ca(), other.sign("us", "gateway"));
    let tls = TlsClientPlan {
        ca: Some(ca.clone()),
        identity: Some(ours.clone()),
        server_name: None,
    };
    let world = World::of(&[&origin])
        .upstream(|upstream| upstream.tls = Some(tls))
        .route(|route| route.retry = None)
        .start()
        .await;
    assert_eq!(world.get("/").await.status, 502);
    assert!(world.gateway.reload_certificates().is_empty(), "nothing changed");
    let renewed = authority.sign("us", "gateway");
    for (new, old) in [(authority.ca(), &ca), (renewed.0, &ours.0), (renewed.1, &ours.1)] {
        std::fs::copy(new, old).unwrap();
    }
    let reloaded = world.gateway.reload_certificates();
    let said = reloaded.iter().map(|r| (r.of, &*r.name, r.result.is_ok()));
    assert_eq!(said.collect::<Vec<_>>(), [("upstream", "origin", true)]);
    assert_eq!(world.get("/").await.text(), "HTTP/1.1");
    // What cannot be used is said once, and what was in use stays.
    std::fs::write(&ca, "no certificate").unwrap();
    assert!(world.gateway.reload_certificates()[0].result.is_err());
    assert!(world.gateway.reload_certificates().is_empty());
    assert_eq!(world.get("/").await.status, 200);
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_given_up() {
    let authority = Authority::new();
    let origin = Origin::saying("secret").await;
    let world = with_tls(World::of(&[&origin]), authority.sign("leaf", "localhost"), None);
    let world = world.plan(|p| p.listeners[0].limits.head_time = std::time::Duration::from_millis(100));
    let world = world.start().await;
    let mut wire = world.wire().await;
    wire.send(b"\x16\x03\x01").await;
    assert_eq!(wire.closed().await, "");
    crate::world::until("the connection to be gone", || {
        world.gateway.connections()[0].1 == 0
    })
    .await;
}
