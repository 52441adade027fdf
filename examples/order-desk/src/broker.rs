//! The desk's side of the broker: the dependency that fills orders.
//!
//! The order's id goes along as Idempotency-Key, so the broker acts once however often it is asked. Only a
//! success that names a state says what became of the order. Everything else (no connection, no answer in time,
//! any other status, an answer that cannot be read) leaves it unknown, and is said to be unknown.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{BadOrigin, Client, ClientError};
use crate::domain::order::{Order, Report};

/// A broker that needs more than this at once is slow, and more would make it slower.
const CONNECTIONS_MAX: usize = 64;

/// What ties a call to the request that caused it, handed on as it came.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "x-request-id"];

#[derive(Debug)]
pub(crate) struct Broker {
    client: Client,
    timeout: Duration,
}

/// Why the broker's word on an order is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokerError {
    #[error("the broker could not be asked: {0}")]
    Client(#[from] ClientError),
    #[error("the broker answered {0}")]
    Status(StatusCode),
    #[error("the broker's answer cannot be read")]
    Unreadable,
}

/// The trace headers of a request, for the calls made on its behalf.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(HeaderMap);

impl Trace {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut trace = HeaderMap::new();
        for name in TRACE_HEADERS {
            if let Some(value) = headers.get(name) {
                trace.insert(name, value.clone());
            }
        }
        Self(trace)
    }
}

impl Broker {
    pub(crate) fn new(origin: &str, timeout: Duration) -> Result<Self, BadOrigin> {
        Ok(Self {
            client: Client::new(origin, CONNECTIONS_MAX)?,
            timeout,
        })
    }

    /// Has an order executed, or learns what became of it if the broker knows it already.
    pub(crate) async fn execute(&self, order: &Order, trace: &Trace) -> Result<Report, BrokerError> {
        let terms = &order.terms;
        let body = json!({
            "underlying": terms.contract.underlying,
            "expiry": terms.contract.expiry.to_string(),
            "strike": terms.contract.strike.to_string(),
            "right": terms.contract.right.word(),
            "side": terms.side.word(),
            "quantity": terms.quantity,
            "limit_price": terms.limit_price.to_string(),
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/executions")
            .header("idempotency-key", &order.id)
            .header(header::CONTENT_TYPE, "application/json");
        self.ask(request, Bytes::from(body.to_string()), trace).await
    }

    /// Has an order cancelled, or learns that it is too late for that.
    pub(crate) async fn cancel(&self, order: &Order, trace: &Trace) -> Result<Report, BrokerError> {
        let request = Request::builder()
            .method(Method::DELETE)
            .uri(format!("/v1/executions/{}", order.id));
        self.ask(request, Bytes::new(), trace).await
    }

    async fn ask(
        &self,
        request: http::request::Builder,
        body: Bytes,
        trace: &Trace,
    ) -> Result<Report, BrokerError> {
        let mut request = request
            .body(Full::new(body))
            .expect("ids and constants make a valid request");
        request.headers_mut().extend(trace.0.clone());
        let response = self.client.send(request, self.timeout).await?;
        if !response.status().is_success() {
            return Err(BrokerError::Status(response.status()));
        }
        let answer: Value = serde_json::from_slice(response.body()).map_err(|_| BrokerError::Unreadable)?;
        match answer["status"].as_str() {
            Some("working") => Ok(Report::Working),
            Some("filled") => Ok(Report::Filled),
            Some("rejected") => Ok(Report::Rejected),
            Some("cancelled") => Ok(Report::Cancelled),
            _ => Err(BrokerError::Unreadable),
        }
    }
}
