//! A pretended broker, whose mood can be changed while it runs.
//!
//! It fills every order, with two exceptions so that every state can be seen: a limit price of 0.05 or less
//! rests as `working`, and a quantity above 1000 is `rejected`. Each order is acted on once, by its
//! Idempotency-Key. The act comes before the delay: a caller that stops waiting for a slow broker has been
//! filled all the same, which is what makes a timeout dangerous in life.
//!
//! [`BrokerSim::set`] changes the mood from inside the process, `PUT /_behaviour` from outside.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::order::Status;
use crate::domain::price::Price;
use crate::server::{Server, read_body};

/// What a healthy broker takes.
const NORMAL_DELAY: Duration = Duration::from_millis(5);

/// Orders remembered for telling a repetition; a demo of an hour places fewer.
const MEMORY_MAX: usize = 200_000;

const BODY_MAX: usize = 16 * 1024;

/// How the broker treats those who call it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum Behaviour {
    /// Answers after about 5 ms.
    Normal,
    /// Answers after this long.
    Slow {
        #[serde(rename = "delay_ms", with = "millis")]
        delay: Duration,
    },
    /// Answers this share of calls, from 0 to 1, with 500 and does not act on them. Spread evenly, not by dice.
    Failing { share: f64 },
    /// Hangs up on every call.
    Refuse,
}

/// A running broker; it ends when it is stopped or dropped.
#[derive(Debug)]
pub struct BrokerSim {
    server: Server,
    desk: Arc<Mutex<Desk>>,
}

/// Starts a broker that behaves normally, on the current tokio runtime.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn start(listen: SocketAddr) -> io::Result<BrokerSim> {
    let desk = Arc::new(Mutex::new(Desk::default()));
    let shared = Arc::clone(&desk);
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    let server = Server::start(listen, service).await?;
    Ok(BrokerSim { server, desk })
}

impl BrokerSim {
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Changes the behaviour for every call from now on.
    pub fn set(&self, behaviour: Behaviour) {
        lock(&self.desk).behaviour = behaviour;
    }

    /// How many different orders it has acted on.
    pub fn executions(&self) -> usize {
        lock(&self.desk).orders.len()
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }
}

#[derive(Debug)]
struct Desk {
    behaviour: Behaviour,
    calls: u64,
    orders: HashMap<String, Status>,
    oldest_first: VecDeque<String>,
}

impl Default for Desk {
    fn default() -> Self {
        let (orders, oldest_first) = (HashMap::new(), VecDeque::new());
        Self {
            behaviour: Behaviour::Normal,
            calls: 0,
            orders,
            oldest_first,
        }
    }
}

impl Desk {
    /// The state of an order: the one it has, or the one it is given now.
    fn act(&mut self, id: &str, first: Status) -> Status {
        if let Some(status) = self.orders.get(id) {
            return *status;
        }
        if self.oldest_first.len() == MEMORY_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.orders.remove(&oldest);
        }
        self.oldest_first.push_back(id.to_owned());
        self.orders.insert(id.to_owned(), first);
        first
    }

    /// Cancels a working order, and one that has not arrived yet: should it still come, it finds itself cancelled.
    fn cancel(&mut self, id: &str) -> Status {
        let status = self.act(id, Status::Cancelled);
        if status == Status::Working {
            self.orders.insert(id.to_owned(), Status::Cancelled);
            return Status::Cancelled;
        }
        status
    }

    /// Whether this call is one of the failing share.
    fn fails(&mut self) -> bool {
        let Behaviour::Failing { share } = self.behaviour else {
            return false;
        };
        self.calls += 1;
        let failures = |calls: u64| (calls as f64 * share.clamp(0.0, 1.0)).floor();
        failures(self.calls) > failures(self.calls - 1)
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The error that makes hyper hang up without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the broker hangs up")]
struct HangUp;

async fn answer(desk: Arc<Mutex<Desk>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, HangUp> {
    if request.uri().path() == "/_behaviour" {
        return Ok(behaviour(&desk, request).await);
    }
    let delay = match lock(&desk).behaviour {
        Behaviour::Refuse => return Err(HangUp),
        Behaviour::Slow { delay } => delay,
        Behaviour::Normal | Behaviour::Failing { .. } => NORMAL_DELAY,
    };
    let fails = lock(&desk).fails();
    let (status, body) = if fails {
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({ "error": "this call was chosen to fail" }),
        )
    } else {
        trade(&desk, request).await
    };
    tokio::time::sleep(delay).await;
    Ok(respond(status, &body))
}

async fn behaviour(desk: &Mutex<Desk>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() == Method::PUT {
        let body = read_body(request.into_body(), BODY_MAX).await.unwrap_or_default();
        match serde_json::from_slice(&body) {
            Ok(wanted) => lock(desk).behaviour = wanted,
            Err(error) => return respond(StatusCode::BAD_REQUEST, &json!({ "error": error.to_string() })),
        }
    }
    respond(StatusCode::OK, &json!(lock(desk).behaviour))
}

async fn trade(desk: &Mutex<Desk>, request: Request<Incoming>) -> (StatusCode, Value) {
    let (head, body) = request.into_parts();
    let status = match (head.method, head.uri.path().strip_prefix("/v1/executions")) {
        (Method::POST, Some("")) => {
            let key = head
                .headers
                .get("idempotency-key")
                .and_then(|key| key.to_str().ok());
            let body = read_body(body, BODY_MAX).await.unwrap_or_default();
            match (key, outcome(&body)) {
                (Some(id), Some(outcome)) => lock(desk).act(id, outcome),
                _ => {
                    return (
                        StatusCode::BAD_REQUEST,
                        json!({ "error": "not an order with an idempotency key" }),
                    );
                }
            }
        }
        (Method::DELETE, Some(path)) if path.len() > 1 => lock(desk).cancel(&path[1..]),
        _ => return (StatusCode::NOT_FOUND, json!({ "error": "no such resource" })),
    };
    (StatusCode::OK, json!({ "status": status.word() }))
}

/// What the broker does with an order that it sees for the first time.
fn outcome(body: &[u8]) -> Option<Status> {
    let order: Value = serde_json::from_slice(body).ok()?;
    let quantity = order["quantity"].as_i64()?;
    let limit_price: Price = order["limit_price"].as_str()?.parse().ok()?;
    Some(match () {
        () if quantity > 1_000 => Status::Rejected,
        () if limit_price <= Price::from_ticks(500) => Status::Working,
        () => Status::Filled,
    })
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json");
    response
        .body(Full::from(body.to_string()))
        .expect("constants make a valid response")
}

/// A duration as a whole number of milliseconds, as the wire has it.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.as_millis() as u64)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
