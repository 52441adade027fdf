//! The port from outside: requests and what comes back, without sockets but where they matter.

mod listener;
mod ofrep;
mod rpc;
mod streams;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body as _;
use plimsoll_flags::{Bucketing, FlagSet};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::body::Body;
use super::{Port, PortConfig, Served, Task, sync};

pub(super) type TokenCheck = super::super::served::TokenCheck;

/// A port, and the hands that move it.
struct Bench {
    port: Arc<Port>,
    config: Arc<PortConfig>,
    serves: watch::Sender<Arc<Served>>,
    closes: watch::Sender<bool>,
    now_s: Arc<AtomicU64>,
}

fn definitions() -> Value {
    json!({
        "metadata": { "team": "plimsoll", "version": 3 },
        "flags": {
            "off": { "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off" },
            "disabled": { "state": "DISABLED", "variants": { "on": true }, "defaultVariant": "on" },
            "none": { "state": "ENABLED", "variants": { "on": true } },
            "half": { "state": "ENABLED", "variants": { "half": 0.5 }, "defaultVariant": "half" },
            "three": { "state": "ENABLED", "variants": { "three": 3.0 }, "defaultVariant": "three" },
            "a/b": { "state": "ENABLED", "variants": { "s": "slash" }, "defaultVariant": "s" },
            "gold": { "state": "ENABLED", "variants": { "yes": "yes", "no": "no" }, "defaultVariant": "no",
                "targeting": { "if": [{ "==": [{ "var": "tier" }, "gold"] }, "yes"] } },
            "late": { "state": "ENABLED", "variants": { "yes": "yes", "no": "no" }, "defaultVariant": "no",
                "targeting": { "if": [{ ">": [{ "var": "$flagd.timestamp" }, 1000] }, "yes"] } },
            "bad": { "state": "ENABLED", "variants": { "x": "x" }, "defaultVariant": "x",
                "targeting": { "if": [true, "nope"] } },
        },
    })
}

fn served(definitions: &Value, version: u64, changed: &[&str]) -> Arc<Served> {
    let set = FlagSet::compile_as_flagd(definitions, Bucketing::V2).unwrap();
    let sync = sync::json(&set, definitions.get("$evaluators"));
    Arc::new(Served {
        set,
        version,
        digest: format!("d{version}"),
        sync,
        changed_at: version,
        changed: changed.iter().map(|key| (*key).to_owned()).collect(),
    })
}

fn bench() -> Bench {
    bench_with(None)
}

fn bench_with(token: Option<TokenCheck>) -> Bench {
    let (serves, flags) = watch::channel(served(&definitions(), 1, &[]));
    let (closes, closed) = watch::channel(false);
    let now_s = Arc::new(AtomicU64::new(1));
    let clock = Arc::clone(&now_s);
    let config = Arc::new(PortConfig {
        served: flags,
        wall: Arc::new(move || Duration::from_secs(clock.load(Ordering::Relaxed))),
        spawn: Arc::new(spawn),
        token,
    });
    let port = Arc::new(Port::new(Arc::clone(&config), closed));
    Bench {
        port,
        config,
        serves,
        closes,
        now_s,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test is its own host")]
fn spawn(task: Task) {
    drop(tokio::spawn(task));
}

/// A POST of JSON, to be changed.
fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .unwrap()
}

/// A call over gRPC.
fn grpc(path: &str, message: &[u8]) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(envelope(message)));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = path.parse().unwrap();
    *request.version_mut() = Version::HTTP_2;
    request
        .headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    request
}

fn envelope(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [b"\0", length.as_slice(), message].concat().into()
}

fn header<'r, B>(response: &'r Response<B>, name: &str) -> Option<&'r str> {
    Some(response.headers().get(name)?.to_str().unwrap())
}

impl Bench {
    async fn ask(&self, request: Request<Full<Bytes>>) -> Response<Body> {
        self.port.answer(request).await
    }

    /// Status and JSON of an answer.
    async fn json(&self, request: Request<Full<Bytes>>) -> (u16, Value) {
        let response = self.ask(request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    fn change(&self, definitions: &Value, version: u64, changed: &[&str]) {
        self.serves.send_replace(served(definitions, version, changed));
    }
}

/// Everything that a body has to say now, as one text.
fn said(body: &mut Body) -> Vec<u8> {
    let mut said = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frame)) = Pin::new(&mut *body).poll_frame(&mut context) {
        match frame.unwrap().into_data() {
            Ok(data) => said.extend_from_slice(&data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap();
                let names = trailers
                    .iter()
                    .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
                said.extend_from_slice(names.collect::<String>().as_bytes());
            }
        }
    }
    said
}
