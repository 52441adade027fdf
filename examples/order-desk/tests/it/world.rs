//! A desk, its broker, and a client that speaks HTTP by hand, so that no code under test reads its own answers.

use std::net::SocketAddr;
use std::time::Duration;

use order_desk::broker_sim::{self, BrokerSim};
use order_desk::domain::price::Price;
use order_desk::domain::risk::Limits;
use order_desk::{Database, Desk, DeskConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for a busy machine, short enough for a test that waits for it to pass.
pub(crate) const BROKER_TIMEOUT: Duration = Duration::from_millis(500);

/// A test that takes longer has hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub(crate) struct World {
    pub(crate) desk: Desk,
    pub(crate) broker: BrokerSim,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut DeskConfig)) -> Self {
        let broker = broker_sim::start(ANY_PORT).await.unwrap();
        let mut config = config(broker.address());
        change(&mut config);
        Self {
            desk: order_desk::start(config).await.unwrap(),
            broker,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        call(self.desk.address(), "GET", path, &[], "").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        call(self.desk.address(), "DELETE", path, &[], "").await
    }

    pub(crate) async fn place(&self, body: &Value) -> Answer {
        call(self.desk.address(), "POST", "/v1/orders", &[], &body.to_string()).await
    }

    pub(crate) async fn place_keyed(&self, key: &str, body: &Value) -> Answer {
        call(
            self.desk.address(),
            "POST",
            "/v1/orders",
            &[("Idempotency-Key", key)],
            &body.to_string(),
        )
        .await
    }
}

/// A desk that never settles by itself, so that a test sees what requests alone have done.
pub(crate) fn config(broker: SocketAddr) -> DeskConfig {
    let mut config = DeskConfig::new(ANY_PORT, format!("http://{broker}"), Database::SqliteMemory);
    config.broker_timeout = BROKER_TIMEOUT;
    config.settle_interval = Duration::from_hours(1);
    config.limits = Limits {
        contracts_max: 100,
        notional_max: Price::from_units(1_000_000),
    };
    config.quote_interval = Duration::from_millis(10);
    config.quote_events_max = 3;
    config
}

/// An order that the broker fills.
pub(crate) fn order() -> Value {
    json!({
        "account": "acc-1", "underlying": "ACME", "expiry": "2099-12-18", "strike": "50",
        "right": "call", "side": "buy", "quantity": 10, "limit_price": "1.25",
    })
}

/// The same with some fields changed.
pub(crate) fn order_with(changes: &Value) -> Value {
    let mut order = order();
    for (field, value) in changes.as_object().unwrap() {
        order[field] = value.clone();
    }
    order
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Checks that this is a problem with a status and a code, and returns it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem = self.json();
        assert_eq!(
            problem["type"],
            format!("https://order-desk.example/problems/{code}")
        );
        assert_eq!(problem["status"], status);
        problem
    }
}

/// One request on a connection of its own.
pub(crate) async fn call(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let headers: Vec<String> = headers
        .iter()
        .map(|(name, value)| {
            format!(
                "{name}: {value}
"
            )
        })
        .collect();
    let headers = headers.concat();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    let mut answer = Vec::new();
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("no answer")
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head: head.to_owned(),
        text: text.to_owned(),
    }
}

/// Asks until the answer is yes; each question should wait for something real, such as an answer from the desk.
pub(crate) async fn until(mut yes: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !yes().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .expect("it never happened");
}
