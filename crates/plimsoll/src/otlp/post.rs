//! One POST to the collector over a connection that is kept, and what its answer means.

use std::time::Duration;

use bytes::Bytes;
use gateway::Connector;
use gateway::env::Env;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use plimsoll_policy::parse_retry_after;

use super::Collector;
use crate::outbound::{self, AGENT, ANSWER_MAX, OutboundError};

/// Time for one POST, connecting included; the exporters' default by the specification.
const POST_MAX: Duration = Duration::from_secs(10);

/// What is sent, and so where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// The field of a partial success that counts what was not taken.
    fn rejected(self) -> &'static str {
        match self {
            Self::Traces => "rejectedSpans",
            Self::Metrics => "rejectedDataPoints",
        }
    }
}

/// What a collector said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It took the batch, but for as many as it rejected.
    Taken { rejected: u64, message: String },
    /// It has no use for the batch, and will not have later.
    Refused { status: u16 },
    /// It asks for the batch again, after some time if it says so.
    Later { status: u16, after: Option<Duration> },
}

/// Knows the way to the collector.
#[derive(Debug)]
pub(super) struct Poster {
    env: Env,
    signal: Signal,
    host: String,
    port: u16,
    uri: String,
    authority: HeaderValue,
    tls: Option<Connector>,
    headers: Vec<(HeaderName, HeaderValue)>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Poster {
    pub(super) fn new(env: Env, collector: &Collector, signal: Signal) -> Self {
        let (host, port) = (&collector.host, collector.port);
        let authority = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let headers = collector.headers.iter().cloned().map(|(name, mut value)| {
            value.set_sensitive(true);
            (name, value)
        });
        Self {
            env,
            signal,
            host: host.clone(),
            port,
            uri: format!("{}{}", collector.path, signal.path()),
            authority: HeaderValue::from_str(&authority).unwrap_or(HeaderValue::from_static("invalid")),
            tls: collector.tls.clone(),
            headers: headers.collect(),
            connection: None,
        }
    }

    /// Posts once. After a failure the next one connects anew.
    ///
    /// # Errors
    /// [`OutboundError`] when there is no whole answer.
    pub(super) async fn post(&mut self, body: Bytes) -> Result<Answer, OutboundError> {
        let (post_max, wall) = (self.env.sleep(POST_MAX), self.env.wall());
        tokio::select! {
            biased;
            answer = self.exchange(body, wall) => answer,
            () = post_max => {
                self.connection = None;
                Err(OutboundError::Timeout(POST_MAX))
            }
        }
    }

    async fn exchange(&mut self, body: Bytes, wall: Duration) -> Result<Answer, OutboundError> {
        let mut kept = self.connection.take();
        let usable = match &mut kept {
            // A connection that the collector closed while it was idle is no failure.
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        let mut sender = match kept {
            Some(sender) if usable => sender,
            _ => outbound::connect(&self.env, &self.host, self.port, self.tls.as_ref()).await?,
        };
        let response = sender.send_request(self.request(body)).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX)
            .collect()
            .await
            .map_err(OutboundError::Body)?;
        self.connection = Some(sender);
        let head = Response::from_parts(head, ());
        Ok(answer(self.signal, &head, &body.to_bytes(), wall))
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        if let Ok(uri) = self.uri.parse() {
            *request.uri_mut() = uri;
        }
        let headers = request.headers_mut();
        headers.extend(self.headers.iter().cloned());
        headers.insert(HOST, self.authority.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, AGENT);
        request
    }
}

/// What an answer means, by the specification's table.
fn answer(signal: Signal, head: &Response<()>, body: &[u8], wall: Duration) -> Answer {
    let status = head.status();
    match status {
        status if status.is_success() => partial_success(signal, body),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let after = head.headers().get(RETRY_AFTER);
            let after = after.and_then(|value| parse_retry_after(value.as_bytes(), wall.as_secs()));
            Answer::Later {
                status: status.as_u16(),
                after,
            }
        }
        status => Answer::Refused {
            status: status.as_u16(),
        },
    }
}

/// The counts are 64-bit integers, which JSON protobuf writes as strings; collectors that write numbers exist.
fn partial_success(signal: Signal, body: &[u8]) -> Answer {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let partial = &body["partialSuccess"];
    let rejected = &partial[signal.rejected()];
    let rejected = rejected
        .as_u64()
        .or_else(|| rejected.as_str()?.parse().ok())
        .unwrap_or(0);
    Answer::Taken {
        rejected,
        message: partial["errorMessage"].as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, retry_after: Option<&'static str>, body: &str) -> Answer {
        let mut head = Response::builder().status(status);
        if let Some(value) = retry_after {
            head = head.header(RETRY_AFTER, value);
        }
        answer(
            Signal::Traces,
            &head.body(()).unwrap(),
            body.as_bytes(),
            Duration::from_secs(784_111_770),
        )
    }

    #[test]
    fn only_what_may_pass_is_sent_again() {
        for status in [429, 502, 503, 504] {
            assert_eq!(of(status, None, ""), Answer::Later { status, after: None });
        }
        for status in [301, 400, 401, 404, 413, 500, 501] {
            assert_eq!(of(status, None, ""), Answer::Refused { status });
        }
        let after = Some(Duration::from_secs(7));
        assert_eq!(of(503, Some("7"), ""), Answer::Later { status: 503, after });
        assert_eq!(
            of(429, Some("Sun, 06 Nov 1994 08:49:37 GMT"), ""),
            Answer::Later { status: 429, after }
        );
    }

    #[test]
    fn a_partial_success_says_how_much_was_rejected() {
        let taken = |rejected, message: &str| Answer::Taken {
            rejected,
            message: message.to_owned(),
        };
        assert_eq!(of(200, None, "{}"), taken(0, ""));
        assert_eq!(of(200, None, ""), taken(0, ""));
        let body = r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"too long"}}"#;
        assert_eq!(of(200, None, body), taken(3, "too long"));
        assert_eq!(
            of(200, None, r#"{"partialSuccess":{"rejectedSpans":2}}"#),
            taken(2, "")
        );
        let body = br#"{"partialSuccess":{"rejectedDataPoints":"4"}}"#;
        assert_eq!(partial_success(Signal::Metrics, body), taken(4, ""));
    }
}
