//! The port as callers, honest and not, meet it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use gateway::Connector;
use gateway::plan::{Protocol, TlsClientPlan};
use http::{Method, StatusCode};
use plimsoll_slo::{Class, Reason};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ask::ASK_MAX;
use super::*;
use crate::reading::Phase;
use crate::reading::sample::{self, event};
use crate::record::Record;
use crate::status::{Json as _, Status, text};

mod access;
mod pages;

struct Fake {
    record: Record,
    keys: Mutex<Vec<Key>>,
    judged: watch::Sender<Arc<Judged>>,
    heard: Mutex<crate::api::outcomes::Heard>,
    exemplars: Mutex<Exemplars>,
    draining: AtomicBool,
    refuse: bool,
    closed: watch::Sender<bool>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            record: Record::new("plimsoll/one".into(), false),
            keys: Mutex::default(),
            judged: watch::Sender::default(),
            heard: Mutex::default(),
            exemplars: Mutex::default(),
            draining: AtomicBool::default(),
            refuse: false,
            closed: watch::Sender::default(),
        }
    }
}

impl ApiBackend for Arc<Fake> {
    fn record(&self) -> &Record {
        &self.record
    }

    fn objectives(&self) -> Vec<crate::reading::ObjectiveReading> {
        sample::reading().objectives
    }

    fn concerns(&self) -> Vec<Arc<str>> {
        vec!["checkout".into(), "client-errors:ingress:pay".into()]
    }

    fn doubts(&self) -> Vec<crate::doubts::Doubtful> {
        vec![crate::doubts::Doubtful {
            objective: "checkout".into(),
            word: "gaps",
            says: "much is missing".to_owned(),
        }]
    }

    fn kpis(&self) -> Vec<crate::reading::FallReading> {
        vec![sample::fall()]
    }

    fn counted(&self, _: &str) -> Option<crate::api::history::Counted> {
        None
    }

    fn past(&self, _: &str) -> Option<crate::api::history::Past> {
        None
    }

    fn report(&self, _: &str, _: &crate::api::outcomes::Event) -> crate::api::outcomes::Reported {
        crate::api::outcomes::Reported::Unknown
    }

    fn heard(&self) -> MutexGuard<'_, crate::api::outcomes::Heard> {
        self.heard.lock().unwrap()
    }

    fn latencies(&self, _: &str) -> Option<crate::api::history::Latencies> {
        None
    }

    fn changes(&self) -> Arc<crate::config::ChangesConfig> {
        crate::config::Config::in_front_of("http://127.0.0.1:1", None, None)
            .unwrap()
            .changes
    }

    fn stable(&self, upstream: &str) -> Option<crate::api::changes::Stable> {
        (upstream == "orders").then(crate::api::changes::Stable::fake)
    }

    fn reach(&self, endpoints: &[String]) -> Result<(), String> {
        match endpoints.iter().find(|endpoint| endpoint.ends_with(":9")) {
            Some(endpoint) => Err(format!("{endpoint}: Connection refused")),
            None => Ok(()),
        }
    }

    fn flags(&self) -> Option<crate::api::flags::Known> {
        Some(crate::api::flags::Known::fake())
    }

    fn refresh_flags(&self) {}

    fn usual(&self, _: &[String]) -> crate::rollout::Usual {
        crate::api::changes::Stable::fake().usual
    }

    fn looked(&self, _: &str) -> Option<Looked> {
        None
    }

    fn wall(&self) -> Duration {
        Env::real().wall()
    }
}

impl AdminBackend for Arc<Fake> {
    fn breakdown(&self, _: &str) -> Vec<Part> {
        Vec::new()
    }

    fn looked_at(&self) -> BTreeMap<String, Looked> {
        BTreeMap::new()
    }

    fn reading(&self) -> Reading {
        let phase = if self.draining.load(Relaxed) {
            Phase::Draining
        } else {
            Phase::Serving
        };
        Reading {
            phase,
            ..sample::reading()
        }
    }

    fn window(&self, reading: &Reading, length: Duration) -> Window {
        Window {
            length,
            series: reading.series.clone(),
        }
    }

    fn exemplars(&self) -> MutexGuard<'_, Exemplars> {
        self.exemplars.lock().unwrap()
    }

    fn telemetry(&self) -> TelemetryReading {
        TelemetryReading::default()
    }

    fn keys(&self) -> Arc<[Key]> {
        self.keys.lock().unwrap().clone().into()
    }

    fn judged(&self) -> watch::Receiver<Arc<Judged>> {
        self.judged.subscribe()
    }

    async fn reload(&self) -> Reloaded {
        if self.refuse {
            Reloaded::Refused(vec!["plimsoll.yaml:3:5: unknown key".to_owned()])
        } else {
            Reloaded::Applied {
                changes: vec!["upstreams.orders.in_flight: 1 -> 2".to_owned()],
                at_next_start: vec!["admin.listen".to_owned(), "cores".to_owned()],
            }
        }
    }

    fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    async fn upgrade(&self) -> Result<u32, String> {
        if self.refuse {
            Err("the new process 7 ended with exit status: 2; it said:\nno such key".to_owned())
        } else {
            Ok(7)
        }
    }
}

async fn start(fake: Fake) -> (SocketAddr, Arc<Fake>) {
    start_at("127.0.0.1:0", fake).await
}

/// The address that is returned is of the loopback.
async fn start_at(listen: &str, fake: Fake) -> (SocketAddr, Arc<Fake>) {
    let fake = Arc::new(fake);
    fake.exemplars()
        .note(&event(Class::Bad(Reason::UpstreamReset), 400));
    let config = AdminConfig {
        listen: listen.parse().unwrap(),
        asks_for_keys: !fake.keys().is_empty(),
        tls: None,
    };
    let admin = bind(config, None).await.unwrap();
    let address = SocketAddr::new("127.0.0.1".parse().unwrap(), admin.address().port());
    let (backend, closed) = (Arc::clone(&fake), fake.closed.subscribe());
    Env::real().spawn(async move { admin.serve(Env::real(), backend, closed).await });
    (address, fake)
}

/// Sends bytes and returns status, head and body of the answer.
async fn send(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    (status, head.to_owned(), body.to_owned())
}

/// The same for an answer that is no text.
async fn ask_raw(address: SocketAddr, line: &str, more: &str) -> (u16, String, Vec<u8>) {
    let request = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

/// Sends a request with a good `Host`, and more headers if they are given.
async fn ask(address: SocketAddr, line: &str, more: &str) -> (u16, String, String) {
    send(
        address,
        &format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n"),
    )
    .await
}

#[tokio::test]
async fn whoever_wants_no_body_gets_none() {
    let (address, _) = start(Fake::default()).await;
    let (status, head, body) = ask(address, "HEAD /status", "").await;
    assert!(status == 200 && head.contains("content-length") && body.is_empty());
}

#[tokio::test]
async fn the_api_takes_json_and_no_more_than_it_can_bear() {
    let (address, _) = start(Fake::default()).await;
    let post = |kind: &str, body: &str| {
        let length = body.len();
        format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let silence = r#"{ "objective": "checkout", "minutes": 5, "reason": "we know" }"#;
    for (line, more, expected) in [
        ("GET /api/v1", String::new(), 200),
        ("GET /api/v1/objectives/checkout", String::new(), 200),
        ("GET /api/v1x", String::new(), 404),
        ("GET /api/v1/%2e%2e/status", String::new(), 404),
        ("POST /api/v1/silences", post("application/json", silence), 201),
        (
            "POST /api/v1/silences",
            post("application/json; charset=utf-8", silence),
            201,
        ),
        // What a form of any page can send without asking.
        ("POST /api/v1/silences", post("text/plain", silence), 415),
        (
            "POST /api/v1/silences",
            post("application/x-www-form-urlencoded", silence),
            415,
        ),
        ("POST /api/v1/silences", post("application/json", "{"), 400),
        (
            "POST /api/v1/silences",
            post("application/json", &"x".repeat(1_100_000)),
            413,
        ),
        ("GET /api/v1/silences", post("application/json", "{}"), 413),
        ("POST /api/v1x", post("application/json", "{}"), 413),
        ("POST /drain", post("application/json", "{}"), 413),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{more}\r\n");
        let (status, _, body) = send(address, &request).await;
        assert_eq!(status, expected, "{line}: {body}");
    }
    let cross = format!(
        "Origin: http://evil.example\r\n{}",
        post("application/json", silence)
    );
    let request =
        format!("POST /api/v1/silences HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{cross}");
    assert_eq!(send(address, &request).await.0, 403);
    let (_, head, _) = ask(address, "PUT /api/v1/silences", "").await;
    assert!(head.contains("allow: GET, POST"), "{head}");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document() {
    let (address, _) = start(Fake::default()).await;
    for (line, more, expected) in [
        ("GET /nothing", "", 404),
        ("GET /reasons/nothing", "", 404),
        ("GET /incidents/nothing", "", 404),
        ("GET /objectives/nothing", "", 404),
        ("POST /incidents/nothing", "", 405),
        ("GET /drain", "", 405),
        ("GET /upgrade", "", 405),
        ("DELETE /status", "", 405),
        ("POST /reload", "Content-Length: 2\r\n", 413),
        ("POST /reload", "Transfer-Encoding: chunked\r\n", 413),
        ("GET http://localhost/status", "", 400),
    ] {
        let (status, head, body) = ask(address, line, more).await;
        assert_eq!(status, expected, "{line}: {body}");
        assert!(head.contains("application/problem+json"), "{line}");
        assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["status"], expected);
    }
    let many = "X-Y: z\r\n".repeat(HEADERS_MAX + 1);
    assert_eq!(ask(address, "GET /status", &many).await.0, 431);
}

#[tokio::test]
async fn a_drain_ends_readiness_and_not_life() {
    let (address, _) = start(Fake::default()).await;
    assert_eq!(ask(address, "POST /drain", "").await.0, 202);
    let (status, _, body) = ask(address, "GET /readyz", "Accept: application/json\r\n").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["ready"]), (503, &Value::Bool(false)));
    assert_eq!(body["reason"], "draining: no new requests are taken");
    assert_eq!(ask(address, "GET /livez", "").await.0, 200);
}

#[tokio::test]
async fn a_reload_answers_what_changed_or_what_is_wrong() {
    let (address, _) = start(Fake::default()).await;
    let (status, _, body) = ask(address, "POST /reload", "").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["changes"][0]),
        (200, &Value::from("upstreams.orders.in_flight: 1 -> 2"))
    );
    assert_eq!(body["generation"], 4);
    assert_eq!(
        body["at_next_start"],
        serde_json::json!(["admin.listen", "cores"])
    );
    let (_, _, text) = ask(address, "POST /reload?text", "").await;
    assert_eq!(
        text,
        "applied\nupstreams.orders.in_flight: 1 -> 2\ntakes effect at the next start: admin.listen, cores\n"
    );

    let (address, _) = start(Fake {
        refuse: true,
        ..Fake::default()
    })
    .await;
    let (status, _, body) = ask(address, "POST /reload", "").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["problems"][0]),
        (409, &Value::from("plimsoll.yaml:3:5: unknown key"))
    );
}

#[tokio::test]
async fn an_upgrade_answers_who_took_over_or_why_nobody_did() {
    let (address, _) = start(Fake::default()).await;
    let (status, _, body) = ask(address, "POST /upgrade", "").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["pid"]), (200, &Value::from(7)));
    let (_, _, text) = ask(address, "POST /upgrade?text", "").await;
    assert_eq!(text, "process 7 has taken over; the old one drains\n");
    let refuse = Fake {
        refuse: true,
        ..Fake::default()
    };
    let (address, _) = start(refuse).await;
    let (status, _, body) = ask(address, "POST /upgrade", "").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["title"]),
        (
            409,
            &Value::from("The upgrade failed; the running process serves on")
        )
    );
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .ends_with("it said:\nno such key")
    );
}

/// Whoever took over answers at the address from then on; answers that are owed here are given.
#[tokio::test]
async fn a_closed_port_ends_kept_connections_and_takes_no_new_ones() {
    let (address, fake) = start(Fake::default()).await;
    let mut kept = TcpStream::connect(address).await.unwrap();
    let request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    kept.write_all(request).await.unwrap();
    let mut first = [0; 12];
    kept.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    fake.closed.send_replace(true);
    let mut rest = String::new();
    kept.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("alive\n"), "{rest}");
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_rebound_name_and_another_site_are_turned_away() {
    let (address, fake) = start(Fake::default()).await;
    for (host, expected) in [
        ("localhost", 200),
        ("LocalHost:1234", 200),
        ("127.0.0.1:9900", 200),
        ("127.9.9.9", 200),
        ("[::1]:9900", 200),
        ("evil.example", 421),
        ("evil.example:9900", 421),
        ("localhost.evil.example", 421),
        ("10.0.0.1", 421),
        ("", 421),
        ("localhost\r\nHost: localhost", 421),
    ] {
        let request = format!("GET /status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert_eq!(send(address, &request).await.0, expected, "{host}");
    }
    for (more, expected) in [
        ("Origin: http://evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: same-site\r\n", 403),
    ] {
        assert_eq!(ask(address, "POST /drain", more).await.0, expected, "{more}");
    }
    assert!(!fake.draining.load(Relaxed));
    let own = format!("Origin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(ask(address, "POST /drain", &own).await.0, 202);
}

#[tokio::test]
async fn connections_are_bounded() {
    let (address, _) = start(Fake::default()).await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    let mut one_more = TcpStream::connect(address).await.unwrap();
    assert!(
        matches!(one_more.read(&mut [0; 1]).await, Ok(0) | Err(_)),
        "closed without a word"
    );
}

#[tokio::test]
async fn the_command_line_prints_what_the_port_says() {
    let (address, _) = start(access::keyed()).await;
    let (env, admin) = (Env::real(), format!("http://{address}"));
    let tls = Connector::build(&TlsClientPlan::default(), Protocol::Http1).unwrap();
    let to = (&*admin, &tls);
    let (code, _) = ask::ask(&env, to, Method::GET, "/status", None, None, ASK_MAX)
        .await
        .unwrap();
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    let (code, body) = ask::ask(
        &env,
        to,
        Method::GET,
        "/status",
        Some("plim_admin"),
        None,
        ASK_MAX,
    )
    .await
    .unwrap();
    assert_eq!(code, StatusCode::OK);
    let status = Status::from_json(&serde_json::from_slice(&body).unwrap());
    let bearer = "Authorization: Bearer plim_admin\r\n";
    let (_, _, plain) = ask(address, "GET /status?text", bearer).await;
    // Memory and file descriptors differ from one moment to the next.
    let steady = |text: &str| text.split("\nSaturation").next().map(str::to_owned);
    assert_eq!(steady(&text(&status)), steady(&plain));

    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = ask::ask(
        &env,
        (&closed.to_string(), &tls),
        Method::GET,
        "/status",
        None,
        None,
        ASK_MAX,
    )
    .await
    .unwrap_err();
    assert!(error.to_string().contains("is Plimsoll running?"));
}
