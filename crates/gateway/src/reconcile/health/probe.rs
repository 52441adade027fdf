//! One health check, on a connection of its own: a GET, or a call of the gRPC health checking protocol.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use plimsoll_policy::{HealthConfig, write_grpc_timeout};

use super::grpc;
use crate::env::{Env, Stream};
use crate::plan::Protocol;
use crate::upstream::{Address, Endpoint, Upstream};

/// Bytes of a gRPC answer that are read; a status takes seven.
const ANSWER_MAX: usize = 4096;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether the endpoint answers as expected within the time.
pub(super) async fn probe(
    env: &Env,
    upstream: &Upstream,
    endpoint: &Endpoint,
    config: &HealthConfig,
) -> bool {
    let asked = async {
        match &config.grpc {
            None => get(env, upstream, endpoint, config).await,
            Some(service) => call(env, upstream, endpoint, (config, service)).await,
        }
    };
    let answered = tokio::time::timeout(config.timeout, asked).await;
    answered.is_ok_and(|ok| ok == Some(true))
}

/// A connection; says whether HTTP/2 was chosen.
async fn connect(env: &Env, upstream: &Upstream, endpoint: &Endpoint) -> Option<(Stream, bool)> {
    let stream = match &endpoint.address {
        Address::Tcp(address) => env.connect(*address).await.ok()?,
        Address::Unix(path) => env.connect_unix(path).await.ok()?,
    };
    match &upstream.tls {
        None => Some((stream, false)),
        Some(tls) => tls.connect(stream, &endpoint.host).await.ok(),
    }
}

async fn get(env: &Env, upstream: &Upstream, endpoint: &Endpoint, config: &HealthConfig) -> Option<bool> {
    let (stream, chose_http2) = connect(env, upstream, endpoint).await?;
    let is_http2 = chose_http2 || upstream.plan.protocol == Protocol::Http2;
    let request = Request::builder().header(header::USER_AGENT, "plimsoll-health");
    let request = if is_http2 {
        request.uri(uri(upstream, endpoint, &config.path)?)
    } else {
        request
            .uri(&config.path)
            .header(header::HOST, &endpoint.authority)
    };
    let request = request.body(Empty::<Bytes>::new()).ok()?;
    let read = async |answer: Response<Incoming>| Some(config.expects(answer.status().as_u16()));
    if is_http2 {
        over_http2(env, stream, request, read).await
    } else {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let answered = async { read(sender.send_request(request).await.ok()?).await };
        beside(connection, answered).await
    }
}

async fn call(
    env: &Env,
    upstream: &Upstream,
    endpoint: &Endpoint,
    (config, service): (&HealthConfig, &str),
) -> Option<bool> {
    let (stream, chose_http2) = connect(env, upstream, endpoint).await?;
    if upstream.tls.is_some() && !chose_http2 {
        return None;
    }
    let timeout = write_grpc_timeout(config.timeout);
    let request = Request::post(uri(upstream, endpoint, grpc::PATH)?)
        .header(header::USER_AGENT, "plimsoll-health")
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(GRPC_TIMEOUT, HeaderValue::from_bytes(timeout.as_bytes()).ok()?)
        .body(Full::new(grpc::request(service)))
        .ok()?;
    over_http2(env, stream, request, read_call).await
}

/// Whether a call ended well and says that the service is serving. The status is in the trailers, or in the head of
/// an answer that has nothing else.
async fn read_call(answer: Response<Incoming>) -> Option<bool> {
    let (head, body) = answer.into_parts();
    let well = |headers: &HeaderMap| headers.get(GRPC_STATUS).map(|status| status == "0");
    if head.status != StatusCode::OK || well(&head.headers) == Some(false) {
        return Some(false);
    }
    let body = Limited::new(body, ANSWER_MAX).collect().await.ok()?;
    let ended_well = body.trailers().and_then(well) == Some(true);
    Some(ended_well && grpc::is_serving(&body.to_bytes()))
}

/// An absolute URI, which HTTP/2 takes scheme and authority from.
fn uri(upstream: &Upstream, endpoint: &Endpoint, path: &str) -> Option<String> {
    let scheme = if upstream.tls.is_some() { "https" } else { "http" };
    Some(format!("{scheme}://{}{path}", endpoint.authority.to_str().ok()?))
}

async fn over_http2<B>(
    env: &Env,
    stream: Stream,
    request: Request<B>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Option<bool>,
) -> Option<bool>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let executor = Control(env.clone());
    let (mut sender, connection) = http2::handshake(executor, TokioIo::new(stream)).await.ok()?;
    let answered = async { read(sender.send_request(request).await.ok()?).await };
    beside(connection, answered).await
}

/// Runs a connection until there is an answer. One that ends first may have brought the answer with it.
async fn beside<T>(connection: impl Future, answered: impl Future<Output = T>) -> T {
    let mut answered = std::pin::pin!(answered);
    tokio::select! {
        biased;
        answer = answered.as_mut() => return answer,
        _ = connection => {}
    }
    answered.await
}

/// Spawns on the control runtime.
#[derive(Clone)]
struct Control(Env);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Control {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
