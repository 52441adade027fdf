//! Connections to somebody outside, and one POST: to a collector, to whoever is told of alerts, to a running Plimsoll.

use std::time::Duration;

use bytes::Bytes;
use gateway::Connector;
use gateway::env::Env;
use http::header::{HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use plimsoll_policy::parse_retry_after;

/// Bytes of an answer that are read: what it says of a refusal fits in far less.
pub(crate) const ANSWER_MAX: usize = 64 << 10;

/// What we call ourselves.
pub(crate) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("plimsoll/", env!("CARGO_PKG_VERSION")));

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboundError {
    #[error("`{0}` is no address that can be posted to")]
    Address(String),
    #[error("it cannot be reached")]
    Connect(#[from] std::io::Error),
    #[error("the connection broke")]
    Http(#[from] hyper::Error),
    #[error("its answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// When it asks to be asked again.
    pub(crate) after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// A new connection, for requests to `host`.
///
/// # Errors
/// [`OutboundError`] if there is none.
pub(crate) async fn connect(
    env: &Env,
    host: &str,
    port: u16,
    tls: Option<&Connector>,
) -> Result<SendRequest<Full<Bytes>>, OutboundError> {
    let mut stream = Err(std::io::ErrorKind::NotFound.into());
    for address in env.resolve(host, port).await? {
        stream = env.connect(address).await;
        if stream.is_ok() {
            break;
        }
    }
    let stream = match tls {
        None => stream?,
        Some(tls) => tls.connect(stream?, host).await?.0,
    };
    let (sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
    // Its errors come out at the sender, too.
    env.spawn(async { drop(connection.await) });
    Ok(sender)
}

/// Posts once, over a connection of its own, for as long as `limit`. `tls` is spoken if the address is `https`.
///
/// # Errors
/// [`OutboundError`] if there is no whole answer. A refusal is an answer.
pub(crate) async fn post(
    env: &Env,
    address: &str,
    tls: &Connector,
    headers: HeaderMap,
    body: Bytes,
    limit: Duration,
) -> Result<Answer, OutboundError> {
    tokio::select! {
        biased;
        answer = exchange(env, address, tls, headers, body) => answer,
        () = env.sleep(limit) => Err(OutboundError::Timeout(limit)),
    }
}

async fn exchange(
    env: &Env,
    address: &str,
    tls: &Connector,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, OutboundError> {
    let unfit = || OutboundError::Address(shown(address));
    let uri: Uri = address.parse().map_err(|_| unfit())?;
    let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(unfit)?;
    let is_secure = scheme == "https";
    let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let host = authority.host().trim_matches(['[', ']']);
    let named = HeaderValue::from_str(authority.as_str()).map_err(|_| unfit())?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.headers_mut() = headers;
    request.headers_mut().insert(HOST, named);
    request.headers_mut().insert(USER_AGENT, AGENT);
    *request.uri_mut() = uri
        .path_and_query()
        .map_or_else(|| "/".parse(), |path| path.as_str().parse())
        .map_err(|_| unfit())?;
    let mut sender = connect(env, host, port, is_secure.then_some(tls)).await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let after = head.headers.get(RETRY_AFTER);
    let after = after.and_then(|value| parse_retry_after(value.as_bytes(), env.wall().as_secs()));
    let body = Limited::new(body, ANSWER_MAX)
        .collect()
        .await
        .map_err(OutboundError::Body)?;
    Ok(Answer {
        status: head.status,
        after,
        body: body.to_bytes(),
    })
}

/// An address without what may be secret: its path and query.
pub(crate) fn shown(address: &str) -> String {
    let host = address
        .parse::<Uri>()
        .ok()
        .and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.host()?)));
    host.unwrap_or_else(|| "an address that is none".to_owned())
}
