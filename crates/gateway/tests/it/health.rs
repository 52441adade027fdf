//! Active health checks against real services: what is asked, and what counts as well.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway::plan::{Protocol, TlsClientPlan, UpstreamPlan};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use plimsoll_policy::{HealthConfig, parse_grpc_timeout};
use tokio::io::AsyncWriteExt;

use crate::certificates::Authority;
use crate::origin::{AnyBody, Origin, Speaks, full, read_head, serve, status_only, with_trailers};
use crate::world::{World, until};

/// Checks that find out at once.
fn hasty(grpc: Option<&str>) -> HealthConfig {
    HealthConfig {
        interval: Duration::from_millis(20),
        fall: 1,
        rise: 1,
        grpc: grpc.map(str::to_owned),
        ..HealthConfig::default()
    }
}

/// In front of `origin`, checking its health.
async fn checking(origin: &Origin, tune: impl FnOnce(&mut UpstreamPlan)) -> World {
    let world = World::of(&[origin]).upstream(tune).start().await;
    let gateway = world.gateway.clone();
    tokio::spawn(async move { gateway.check_health().await });
    world
}

fn is_up(world: &World) -> bool {
    let endpoints = world.gateway.running().upstreams[0].state.endpoints();
    endpoints[0].reading(world.gateway.env().now()).healthy
}

/// A frame that says `SERVING`.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

const OK: &[(&str, &str)] = &[("grpc-status", "0")];

/// What a gRPC service answers to a check: its frames, and what the call ends with.
type Said = (&'static [u8], &'static [(&'static str, &'static str)]);

fn say((frames, trailers): Said) -> Response<AnyBody> {
    let answer = Response::builder().header("content-type", "application/grpc");
    answer.body(with_trailers(frames, trailers)).unwrap()
}

#[tokio::test]
async fn grpc_services_are_asked_by_their_own_protocol() {
    let said: Arc<Mutex<Said>> = Arc::new(Mutex::new((SERVING, OK)));
    let answers = Arc::clone(&said);
    let origin = Origin::answering_http2(move |seen| {
        let (frames, trailers) = *answers.lock().unwrap();
        match frames {
            b"503" => status_only(503),
            // The end in the head, as servers do that have nothing to say.
            b"" => Response::builder()
                .header("grpc-status", trailers[0].1)
                .body(full(""))
                .unwrap(),
            _ if seen.head.uri.path() != "/grpc.health.v1.Health/Check" => status_only(404),
            frames => say((frames, trailers)),
        }
    })
    .await;
    let world = checking(&origin, |upstream| {
        upstream.protocol = Protocol::Http2;
        upstream.health = Some(hasty(Some("shop.Orders")));
    })
    .await;
    until("the first check", || !origin.seen().is_empty()).await;
    let asked = origin.seen()[0].clone();
    assert_eq!(
        (
            asked.head.method.as_str(),
            asked.header("te"),
            asked.header("content-type")
        ),
        ("POST", "trailers", "application/grpc")
    );
    let timeout = parse_grpc_timeout(asked.header("grpc-timeout").as_bytes()).unwrap();
    assert_eq!(timeout, HealthConfig::default().timeout);
    assert_eq!(
        asked.body[..],
        [&[0, 0, 0, 0, 13, 0x0a, 11][..], b"shop.Orders"].concat()
    );
    let unwell: [(&str, Said); 8] = [
        ("not serving", (&[0, 0, 0, 0, 2, 8, 2], OK)),
        ("of unknown state", (&[0, 0, 0, 0, 0], OK)),
        ("not known", (b"", &[("grpc-status", "5")])),
        ("without the protocol", (b"", &[("grpc-status", "12")])),
        ("failed after its answer", (SERVING, &[("grpc-status", "14")])),
        ("without an end", (SERVING, &[("x-other", "0")])),
        ("compressed", (&[1, 0, 0, 0, 2, 8, 1], OK)),
        ("not even gRPC", (b"503", OK)),
    ];
    for (what, answer) in unwell {
        *said.lock().unwrap() = answer;
        until(what, || !is_up(&world)).await;
        *said.lock().unwrap() = (SERVING, OK);
        until("it to be back", || is_up(&world)).await;
    }
}

#[tokio::test]
async fn the_server_as_a_whole_is_asked_over_tls_too() {
    let authority = Authority::new();
    let server = authority.server(&authority.sign("server", "127.0.0.1"), &["h2"], false);
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&asked);
    let origin = Origin::raw(move |stream, _| {
        let (acceptor, kept) = (
            tokio_rustls::TlsAcceptor::from(Arc::clone(&server)),
            Arc::clone(&kept),
        );
        async move {
            let service = move |request: Request<Incoming>| {
                let kept = Arc::clone(&kept);
                async move {
                    let uri = request.uri().to_string();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    kept.lock().unwrap().push(format!("{uri} {body:?}"));
                    Ok(say((&[0, 0, 0, 0, 2, 8, 2], OK)))
                }
            };
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(Box::new(stream), Speaks::Http2, service).await;
            }
        }
    })
    .await;
    let world = checking(&origin, |upstream| {
        upstream.protocol = Protocol::Auto;
        upstream.tls = Some(TlsClientPlan {
            ca: Some(authority.ca()),
            ..TlsClientPlan::default()
        });
        upstream.health = Some(hasty(Some("")));
    })
    .await;
    until("the server to say that it is not serving", || !is_up(&world)).await;
    let address = origin.address;
    assert_eq!(
        asked.lock().unwrap()[0],
        format!(r#"https://{address}/grpc.health.v1.Health/Check b"\0\0\0\0\0""#)
    );
}

#[tokio::test]
async fn a_service_that_hangs_up_after_its_answer_is_well() {
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    let origin = Origin::raw(move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            count.fetch_add(1, Relaxed);
        }
    })
    .await;
    let world = checking(&origin, |upstream| upstream.health = Some(hasty(None))).await;
    let checked = || {
        assert!(is_up(&world), "after {} answers", answered.load(Relaxed));
        answered.load(Relaxed) >= 10
    };
    until("ten checks", checked).await;
}

#[tokio::test]
async fn when_all_are_down_one_is_tried_all_the_same() {
    let origin = Origin::answering(|seen| match seen.head.uri.path() {
        "/healthz" => status_only(503),
        _ => Response::new(full("still there")),
    })
    .await;
    let world = checking(&origin, |upstream| {
        upstream.health = Some(HealthConfig {
            path: "/healthz".to_owned(),
            ..hasty(None)
        });
    })
    .await;
    until("it to be down", || !is_up(&world)).await;
    assert_eq!(world.get("/").await.text(), "still there");
}
