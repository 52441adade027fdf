//! Everything that can be wrong with a request, and how the desk says so: RFC 9457 problem details.
//!
//! This is the only place that chooses an error's status. A client tells problems apart by `type`, whose last
//! segment is a stable code; `detail` is for people.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::broker::BrokerError;
use crate::domain::order::Order;
use crate::domain::risk::Breach;
use crate::draft::Fault;
use crate::store::StoreError;

const TYPES: &str = "https://order-desk.example/problems/";

#[derive(Debug)]
pub(crate) enum Problem {
    MalformedRequest(&'static str),
    BodyTooLarge,
    InvalidOrder(Vec<Fault>),
    IdempotencyKeyReused,
    UnknownOrder(String),
    UnknownAccount(String),
    NoSuchResource,
    /// With the methods that the resource has.
    MethodNotAllowed(&'static str),
    RiskLimit(Breach),
    NotCancellable(Box<Order>),
    /// The broker's word on this order is not known.
    BrokerUnavailable(Box<Order>, BrokerError),
    StoreUnavailable,
}

impl Problem {
    /// Status, code and title: the same for every occurrence of a kind.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedRequest(_) => (
                StatusCode::BAD_REQUEST,
                "malformed-request",
                "The request cannot be read",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "The body is too large",
            ),
            Self::InvalidOrder(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid-order",
                "The order is not valid",
            ),
            Self::IdempotencyKeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The idempotency key belongs to a different order",
            ),
            Self::UnknownOrder(_) => (StatusCode::NOT_FOUND, "unknown-order", "There is no such order"),
            Self::UnknownAccount(_) => (
                StatusCode::NOT_FOUND,
                "unknown-account",
                "There is no such account",
            ),
            Self::NoSuchResource => (StatusCode::NOT_FOUND, "no-such-resource", "There is nothing here"),
            Self::MethodNotAllowed(_) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The resource does not have this method",
            ),
            Self::RiskLimit(_) => (
                StatusCode::CONFLICT,
                "risk-limit",
                "The order would break a risk limit",
            ),
            Self::NotCancellable(_) => (
                StatusCode::CONFLICT,
                "not-cancellable",
                "The order can no longer be cancelled",
            ),
            Self::BrokerUnavailable(..) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "broker-unavailable",
                "The broker did not answer",
            ),
            Self::StoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "The database did not answer",
            ),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::MalformedRequest(detail) => (*detail).to_owned(),
            Self::BodyTooLarge => "an order is a few hundred bytes".to_owned(),
            Self::InvalidOrder(faults) => format!("{} faults, listed in `errors`", faults.len()),
            Self::IdempotencyKeyReused => "use a new key for a new order".to_owned(),
            Self::UnknownOrder(id) => format!("no order has the id `{id}`"),
            Self::UnknownAccount(account) => format!("`{account}` has placed no order yet"),
            Self::NoSuchResource => "see the README for what there is".to_owned(),
            Self::MethodNotAllowed(allowed) => format!("it has {allowed}"),
            Self::RiskLimit(Breach::Contracts { limit, would_be }) => {
                format!("the account would be exposed to {would_be} contracts; its limit is {limit}")
            }
            Self::RiskLimit(Breach::Notional { limit, would_be }) => {
                format!("the account would be exposed to a notional of {would_be}; its limit is {limit}")
            }
            Self::NotCancellable(order) => format!("it is {}", order.status.word()),
            Self::BrokerUnavailable(order, error) => format!(
                "{error}; order {} stands as {} until the broker tells, and can be read meanwhile",
                order.id,
                order.status.word()
            ),
            Self::StoreUnavailable => "nothing is known to have changed; try again later".to_owned(),
        }
    }

    /// What a program needs beyond the code: extension members of the document.
    fn members(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::InvalidOrder(faults) => {
                let fault = |fault: &Fault| json!({ "field": fault.field, "detail": fault.detail });
                vec![("errors", faults.iter().map(fault).collect())]
            }
            Self::RiskLimit(Breach::Contracts { limit, would_be }) => {
                vec![("limit", json!(limit)), ("would_be", json!(would_be))]
            }
            Self::RiskLimit(Breach::Notional { limit, would_be }) => {
                vec![
                    ("limit", json!(limit.to_string())),
                    ("would_be", json!(would_be.to_string())),
                ]
            }
            Self::NotCancellable(order) | Self::BrokerUnavailable(order, _) => {
                vec![
                    ("order_id", json!(order.id)),
                    ("order_status", json!(order.status.word())),
                ]
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        let (status, code, title) = self.kind();
        let mut document = json!({
            "type": format!("{TYPES}{code}"),
            "title": title,
            "status": status.as_u16(),
            "detail": self.detail(),
        });
        for (name, value) in self.members() {
            document[name] = value;
        }
        let mut response = Response::new(Full::from(document.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Self::MethodNotAllowed(allowed) = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // A full queue is the load's doing and would fill the log as well.
        if !matches!(error, StoreError::Busy) {
            log(&error);
        }
        Self::StoreUnavailable
    }
}

/// An error and all its causes, in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |&error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Writes an error to standard error, for the people who run the desk.
#[allow(clippy::print_stderr, reason = "standard error is this service's log")]
pub(crate) fn log(error: &(dyn Error + 'static)) {
    eprintln!("order-desk: {}", chain(error));
}
