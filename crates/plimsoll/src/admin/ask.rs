//! The other end of the admin port: one request to it, for the verbs that ask a running Plimsoll.

use std::time::Duration;

use bytes::Bytes;
use gateway::Connector;
use gateway::env::Env;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};

use crate::outbound::{self, OutboundError};

/// Time for most. A reload looks names up, which takes as long as resolvers do.
pub(crate) const ASK_MAX: Duration = Duration::from_secs(30);

/// Bytes of an answer: a status of 4,096 series fits.
const ANSWER_MAX: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the admin address `{0}` is not like `http://127.0.0.1:9900` or `https://plimsoll.example:9900`")]
    Address(String),
    #[error("the token cannot be sent: it has a character that no header may have")]
    Token,
    #[error("reaching the admin port at {address}; is Plimsoll running?")]
    Connect { address: String, source: OutboundError },
    #[error("asking the admin port at {address}")]
    Http { address: String, source: hyper::Error },
    #[error("the answer of the admin port at {address} cannot be read: {cause}")]
    Body { address: String, cause: String },
    #[error("the admin port at {address} did not answer within {limit:?}")]
    Timeout { address: String, limit: Duration },
}

/// Asks the port at `admin`, such as `http://127.0.0.1:9900`, with a JSON body if there is one, for as long as `limit`,
/// and returns the status and the JSON body. `tls` is spoken if the address is `https`.
///
/// # Errors
/// [`AskError`] if there is no whole answer. A refusal is an answer.
pub(crate) async fn ask(
    env: &Env,
    (admin, tls): (&str, &Connector),
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Option<Bytes>,
    limit: Duration,
) -> Result<(StatusCode, Bytes), AskError> {
    let (is_secure, host, port) = target(admin).ok_or_else(|| AskError::Address(admin.to_owned()))?;
    let address = format!("{host}:{port}");
    let is_json = body.is_some();
    let mut request = Request::new(Full::new(body.unwrap_or_default()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().map_err(|_| AskError::Address(path.to_owned()))?;
    let headers = request.headers_mut();
    let authority = HeaderValue::from_str(&address).map_err(|_| AskError::Address(admin.to_owned()))?;
    headers.insert(HOST, authority);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if is_json {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| AskError::Token)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let to = (host.trim_matches(['[', ']']), port, is_secure.then_some(tls));
    let exchange = exchange(env, &address, to, request);
    tokio::select! {
        biased;
        answer = exchange => answer,
        () = env.sleep(limit) => Err(AskError::Timeout { address: address.clone(), limit }),
    }
}

async fn exchange(
    env: &Env,
    address: &str,
    (host, port, tls): (&str, u16, Option<&Connector>),
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), AskError> {
    let broken = |source| AskError::Http {
        address: address.to_owned(),
        source,
    };
    let connected = outbound::connect(env, host, port, tls).await;
    let mut sender = connected.map_err(|source| AskError::Connect {
        address: address.to_owned(),
        source,
    })?;
    let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
    let unread = |cause: Box<dyn std::error::Error + Send + Sync>| AskError::Body {
        address: address.to_owned(),
        cause: cause.to_string(),
    };
    let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(unread)?;
    Ok((head.status, body.to_bytes()))
}

/// Whether it is `https`, host and port of `http://host:port` or `host:port`; an IPv6 address keeps its brackets.
fn target(admin: &str) -> Option<(bool, &str, u16)> {
    let secure = admin.strip_prefix("https://");
    let plain = || admin.strip_prefix("http://").unwrap_or(admin);
    let authority = secure.unwrap_or_else(plain).trim_end_matches('/');
    let (host, port) = authority.rsplit_once(':')?;
    let plain = !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
    plain.then_some((secure.is_some(), host, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(target("http://127.0.0.1:9900"), Some((false, "127.0.0.1", 9900)));
        assert_eq!(target("http://[::1]:9900/"), Some((false, "[::1]", 9900)));
        assert_eq!(target("localhost:1"), Some((false, "localhost", 1)));
        assert_eq!(target("https://a.example:1/"), Some((true, "a.example", 1)));
        for wrong in [
            "",
            "http://a",
            "https://a",
            "ftp://a:1",
            "http://a:1/b",
            "http://a@b:1",
            "http://:1",
            "a:99999",
        ] {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }
}
