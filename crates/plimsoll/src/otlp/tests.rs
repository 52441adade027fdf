//! The exporter against a small collector that believes nothing.

mod metered;

use std::convert::Infallible;

use gateway::event::Traced;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use plimsoll_slo::{Class, Reason};
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::journal::{Level, Style};
use crate::reading::sample::event;

/// Takes traces: answers as scripted, then with 200, and hands on what it was sent.
async fn collector(script: Vec<(u16, &'static str)>) -> (Collector, mpsc::Receiver<Value>) {
    collector_of("/otlp/v1/traces", script).await
}

/// The same for what is sent to `path`.
async fn collector_of(
    path: &'static str,
    script: Vec<(u16, &'static str)>,
) -> (Collector, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, bodies) = mpsc::channel(64);
    let script = Arc::new(std::sync::Mutex::new(script.into_iter()));
    Env::real().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (seen, script) = (seen.clone(), Arc::clone(&script));
            let service = service_fn(move |request: Request<Incoming>| {
                let (seen, script) = (seen.clone(), Arc::clone(&script));
                async move {
                    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", path));
                    assert_eq!(request.headers()["content-type"], "application/json");
                    assert_eq!(request.headers()["x-key"], "secret");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    seen.send(serde_json::from_slice(&body).unwrap()).await.unwrap();
                    let (status, retry_after) = script.lock().unwrap().next().unwrap_or((200, ""));
                    let mut response = Response::builder().status(status);
                    if !retry_after.is_empty() {
                        response = response.header("retry-after", retry_after);
                    }
                    Ok::<_, Infallible>(response.body(Full::new(Bytes::from_static(b"{}"))).unwrap())
                }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            Env::real().spawn(async move { drop(connection.await) });
        }
    });
    let collector = Collector {
        host: "127.0.0.1".to_owned(),
        port,
        tls: None,
        path: "/otlp".to_owned(),
        headers: vec![(
            HeaderName::from_static("x-key"),
            HeaderValue::from_static("secret"),
        )],
        send_every: Duration::from_millis(5),
        metrics: true,
        resource: vec![("service.name".to_owned(), "plimsoll".to_owned())],
    };
    (collector, bodies)
}

/// Runs an exporter that does not wait long, until it has nothing left to send.
async fn export(collector: Collector, events: Vec<Event>) -> Arc<Counts> {
    let (journal, _writer) = Journal::start(Env::real(), Style::Json, Level::Error, std::io::sink()).unwrap();
    let (spans, mut exporter) = exporter(Env::real(), &collector, journal);
    exporter.backoff = Backoff {
        base: Duration::from_millis(1),
        cap: Duration::from_millis(2),
    };
    for event in events {
        spans.offer(Box::new(event));
    }
    let counts = spans.counts();
    drop(spans);
    exporter.run().await;
    counts
}

fn bad() -> Event {
    event(Class::Bad(Reason::UpstreamReset), 400)
}

#[tokio::test]
async fn a_request_and_its_attempts_are_spans_of_one_trace() {
    let (collector, mut bodies) = collector(Vec::new()).await;
    let counts = export(collector, vec![bad()]).await;
    assert_eq!((counts.sent(), counts.dropped()), (4, 0));
    let body = bodies.recv().await.unwrap();
    let spans = check(&body);
    assert_eq!(
        body["resourceSpans"][0]["resource"]["attributes"][0]["key"],
        "service.name"
    );
    let (server, clients) = spans.split_first().unwrap();
    assert_eq!(
        (server["name"].as_str(), server["kind"].as_u64()),
        (Some("POST pay"), Some(2))
    );
    assert_eq!(server["spanId"], "0000000000000034");
    assert_eq!(server["parentSpanId"], "0000000000000012");
    assert_eq!(server["startTimeUnixNano"], "1795464600250000000");
    assert_eq!(server["endTimeUnixNano"], "1795464600650000000");
    assert_eq!(server["status"]["code"], 2);
    assert_eq!(server["flags"], 0x301);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("url.path", "/pay/42"),
        ("http.response.status_code", "502"),
        ("client.address", "192.0.2.7"),
        ("error.type", "upstream-reset"),
        ("plimsoll.sampled_because", "bad"),
        ("plimsoll.attempts", "3"),
    ] {
        assert_eq!(attribute(server, name).as_deref(), Some(value), "{name}");
    }
    let mut ids = std::collections::HashSet::new();
    for (number, client) in clients.iter().enumerate() {
        assert!(ids.insert(client["spanId"].as_str()));
        assert_eq!(client["parentSpanId"], server["spanId"]);
        assert_eq!(
            (client["kind"].as_u64(), client["status"]["code"].as_u64()),
            (Some(3), Some(2))
        );
        assert_eq!(attribute(client, "server.address").as_deref(), Some("10.0.0.1"));
        assert_eq!(attribute(client, "server.port").as_deref(), Some("3000"));
        let resent = (number > 0).then(|| number.to_string());
        assert_eq!(attribute(client, "http.request.resend_count"), resent);
    }
}

#[tokio::test]
async fn a_hedge_and_the_attempt_that_it_has_beaten_are_marked() {
    let (collector, mut bodies) = collector(Vec::new()).await;
    let mut event = bad();
    event.attempts[0].cancelled = true;
    event.attempts[1].hedge = true;
    export(collector, vec![event]).await;
    let spans = check(&bodies.recv().await.unwrap());
    let marks = |span| ["plimsoll.hedge", "plimsoll.cancelled"].map(|name| attribute(span, name).is_some());
    let marked: Vec<_> = spans[1..].iter().map(marks).collect();
    assert_eq!(marked, [[false, true], [true, false], [false, false]]);
}

#[tokio::test]
async fn what_is_not_our_error_is_not_marked_as_one() {
    let (collector, mut bodies) = collector(Vec::new()).await;
    let mut missing = event(Class::Good, 2000);
    (missing.status, missing.trace.parent_id, missing.method) = (404, 0, "BREW".parse().unwrap());
    missing.attempts[0].status = Some(404);
    let mut refused = event(Class::Excluded(Reason::RateLimited), 1);
    (refused.attempts, refused.route) = (Vec::new(), "-".into());
    let mut share = event(Class::Good, 1);
    (share.traced, share.grpc_status) = (Some(Traced::Share), Some(5));
    export(collector, vec![missing, refused, share]).await;
    let body = bodies.recv().await.unwrap();
    let spans = check(&body);
    let (missing, attempt, refused, share) = (&spans[0], &spans[1], &spans[2], &spans[3]);
    assert_eq!(missing["status"]["code"], 0);
    assert_eq!(missing.get("parentSpanId"), None);
    assert_eq!(missing["name"], "HTTP pay");
    assert_eq!(
        attribute(missing, "http.request.method_original").as_deref(),
        Some("BREW")
    );
    assert_eq!(
        attribute(missing, "plimsoll.sampled_because").as_deref(),
        Some("slow")
    );
    assert_eq!(attempt["status"]["code"], 2, "for a client a 404 is an error");
    assert_eq!(attribute(attempt, "error.type").as_deref(), Some("404"));
    assert_eq!(
        (refused["status"]["code"].as_u64(), refused["name"].as_str()),
        (Some(0), Some("POST"))
    );
    assert_eq!(
        attribute(refused, "plimsoll.reason").as_deref(),
        Some("rate-limited")
    );
    assert_eq!(attribute(refused, "error.type"), None);
    assert_eq!(
        attribute(share, "plimsoll.sampled_because").as_deref(),
        Some("share")
    );
    assert_eq!(
        attribute(share, "rpc.response.status_code").as_deref(),
        Some("NOT_FOUND")
    );
    assert_eq!(attribute(share, "http.route").as_deref(), Some("/pay/{id}"));
}

#[tokio::test]
async fn batches_are_bounded_and_complete() {
    let (collector, mut bodies) = collector(Vec::new()).await;
    let counts = export(collector, vec![bad(); 300]).await;
    assert_eq!(counts.sent(), 1200);
    let mut sizes = Vec::new();
    while let Ok(body) = bodies.try_recv() {
        sizes.push(check(&body).len());
    }
    assert_eq!(sizes, [512, 512, 176]);
}

#[tokio::test]
async fn a_busy_collector_is_asked_again() {
    let (collector, mut bodies) = collector(vec![(503, ""), (429, "0"), (502, ""), (504, "")]).await;
    let counts = export(collector, vec![bad()]).await;
    assert_eq!((counts.sent(), counts.dropped()), (4, 0));
    let first = bodies.recv().await.unwrap();
    for _ in 1..5 {
        assert_eq!(bodies.recv().await.unwrap(), first);
    }
}

#[tokio::test]
async fn a_batch_that_is_refused_or_tried_too_often_is_dropped_and_counted() {
    let (collector, mut bodies) = collector(vec![(400, "")]).await;
    let counts = export(collector, vec![bad()]).await;
    assert_eq!((counts.sent(), counts.dropped()), (0, 4));
    bodies.recv().await.unwrap();
    assert!(bodies.try_recv().is_err(), "what is wrong is not sent again");

    let (collector, _bodies) = self::collector(vec![(503, ""); 5]).await;
    let counts = export(collector, vec![bad()]).await;
    assert_eq!((counts.sent(), counts.dropped()), (0, 4));
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_nothing_else() {
    let (mut collector, _bodies) = collector(Vec::new()).await;
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    collector.port = unused.local_addr().unwrap().port();
    drop(unused);
    let counts = export(collector, vec![bad(); QUEUE + 5]).await;
    assert_eq!((counts.sent(), counts.dropped()), (0, 4 * (QUEUE as u64 + 5)));
}

fn attribute(span: &Value, name: &str) -> Option<String> {
    let attributes = span["attributes"].as_array()?;
    let value = &attributes.iter().find(|attribute| attribute["key"] == name)?["value"];
    if let Some(is) = value.get("boolValue") {
        return Some(is.as_bool()?.to_string());
    }
    let value = value.get("stringValue").or_else(|| value.get("intValue"))?;
    value.as_str().map(str::to_owned)
}

/// Checks a body against the protocol's JSON encoding and returns its spans.
fn check(body: &Value) -> Vec<Value> {
    let keys = |value: &Value, allowed: &[&str]| {
        for key in value.as_object().unwrap().keys() {
            assert!(allowed.contains(&key.as_str()), "{key} is no field here");
        }
    };
    let hex = |value: &Value, digits: usize| {
        let text = value.as_str().unwrap();
        let zero = text.bytes().all(|b| b == b'0');
        assert!(
            text.len() == digits && !zero && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "{text}"
        );
    };
    let attributes = |value: &Value| {
        let mut seen = std::collections::HashSet::new();
        for attribute in value.as_array().unwrap() {
            keys(attribute, &["key", "value"]);
            assert!(
                seen.insert(attribute["key"].as_str().unwrap()),
                "{attribute} stands twice"
            );
            keys(&attribute["value"], &["stringValue", "intValue", "boolValue"]);
            let (kind, value) = attribute["value"].as_object().unwrap().iter().next().unwrap();
            assert_eq!(value.is_string(), kind != "boolValue", "{attribute}");
            if let Some(whole) = attribute["value"].get("intValue") {
                whole.as_str().unwrap().parse::<i64>().unwrap();
            }
        }
    };
    keys(body, &["resourceSpans"]);
    let resource = &body["resourceSpans"][0];
    keys(resource, &["resource", "scopeSpans", "schemaUrl"]);
    attributes(&resource["resource"]["attributes"]);
    let scope = &resource["scopeSpans"][0];
    keys(scope, &["scope", "spans", "schemaUrl"]);
    let spans = scope["spans"].as_array().unwrap();
    for span in spans {
        let fields = [
            "traceId",
            "spanId",
            "parentSpanId",
            "flags",
            "name",
            "kind",
            "attributes",
            "status",
        ];
        keys(
            span,
            &[&fields[..], &["startTimeUnixNano", "endTimeUnixNano"]].concat(),
        );
        hex(&span["traceId"], 32);
        hex(&span["spanId"], 16);
        if let Some(parent) = span.get("parentSpanId") {
            hex(parent, 16);
        }
        let nanos = |name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
        assert!(matches!(span["kind"].as_u64(), Some(2 | 3)) && span["flags"].is_u64());
        keys(&span["status"], &["code", "message"]);
        assert!(matches!(span["status"]["code"].as_u64(), Some(0 | 2)));
        assert!(!span["name"].as_str().unwrap().is_empty());
        attributes(&span["attributes"]);
    }
    spans.clone()
}
