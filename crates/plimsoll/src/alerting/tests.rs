//! Targets that write down what they are told, and take it or not.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::config::Way;
use crate::journal::{Level, Style};
use crate::record::entry::{Calls, Example, Opened, StandsOut};

/// What somebody was sent.
#[derive(Debug)]
struct Heard {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Heard {
    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers as scripted, then with 200, and hands on what it was sent. Returns its address as well.
async fn target(script: Vec<u16>) -> (String, mpsc::Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (heard, hears) = mpsc::channel(64);
    let script = Arc::new(Mutex::new(script.into_iter()));
    Env::real().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (heard, script) = (heard.clone(), Arc::clone(&script));
            let service = service_fn(move |request: Request<Incoming>| {
                let (heard, script) = (heard.clone(), Arc::clone(&script));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let (path, headers) = (head.uri.path().to_owned(), head.headers);
                    heard.send(Heard { path, headers, body }).await.unwrap();
                    let status = script.lock().unwrap().next().unwrap_or(200);
                    let answer = Full::new(Bytes::from_static(b"no thanks"));
                    Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap())
                }
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            Env::real().spawn(async move { drop(connection.await) });
        }
    });
    (address, hears)
}

fn office(author: &str) -> Office {
    let (journal, _writer) = Journal::start(Env::real(), Style::Json, Level::Error, std::io::sink()).unwrap();
    Office {
        env: Env::real(),
        journal,
        record: Arc::new(Record::new(author.into(), false)),
        desk: Arc::default(),
    }
}

/// A file with a secret, which goes with the first.
fn secret(text: &str) -> (tempfile::TempPath, TokenSource) {
    let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&path, text).unwrap();
    let source = TokenSource::File(path.to_path_buf());
    (path, source)
}

fn config(targets: Vec<Target>) -> Arc<AlertsConfig> {
    Arc::new(AlertsConfig {
        address: Some("https://plimsoll.example".to_owned()),
        labels: vec![("team".to_owned(), "pay".to_owned())],
        targets,
        heartbeat: None,
    })
}

fn one(name: &str, way: Way, secret: Option<TokenSource>) -> Target {
    Target {
        name: name.into(),
        calls: vec![Calls::Page, Calls::Ticket],
        way,
        secret,
        tls: gateway::plan::TlsClientPlan::default(),
    }
}

fn opened(objective: &str, severity: Calls) -> Opened {
    Opened {
        objective: objective.to_owned(),
        severity,
        began: Some(1_795_464_500),
        sentence: "1,840 of 61,000 failed in the last hour <& counting>".to_owned(),
        examples: vec![Example {
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            request_id: "a".to_owned(),
            route: "pay".to_owned(),
            tier: "gold".to_owned(),
            reason: "upstream-timeout".to_owned(),
            latency_ms: 1_200,
            at: 1_795_464_600_000,
        }],
        stands_out: vec![StandsOut {
            dimension: "route".to_owned(),
            value: "pay".to_owned(),
            bad: 97,
            events: 200,
            share: 0.97,
            lift: 3.12,
        }],
        changes: vec!["02:02:00Z: the breaker of tax tripped".to_owned()],
        runbook: Some("https://wiki.example/checkout".to_owned()),
    }
}

fn page(office: &Office, objective: &str) -> Arc<str> {
    crate::watching::begin(&office.record, office.env.wall(), opened(objective, Calls::Page))
}

fn close(office: &Office, alert: &str) {
    let why = "no more fails than may".to_owned();
    let said = Said::AlertClosed { why };
    office
        .record
        .say_as(&format!("{alert}/closed"), office.env.wall(), alert, said);
}

/// Looks until the message has been settled.
async fn settled(office: &Office) {
    while office.desk.lock().values().any(|line| line.is_busy) {
        tokio::task::yield_now().await;
    }
}

async fn look(office: &Office, config: &Arc<AlertsConfig>) {
    office.run_once(config);
    settled(office).await;
}

#[tokio::test]
async fn whoever_is_to_be_told_is_told_once_and_that_it_is_over() {
    let (address, mut hears) = target(Vec::new()).await;
    let (_file, key) = secret("s3cret");
    let (office, config) = (
        office("one"),
        config(vec![one("hook", Way::Webhook(address), Some(key))]),
    );
    look(&office, &config).await;
    let alert = page(&office, "checkout");
    look(&office, &config).await;
    look(&office, &config).await;
    let first = hears.recv().await.unwrap();
    let json = first.json();
    assert_eq!(
        (&json["alerts"][0]["id"], &json["labels"]["team"]),
        (&"checkout-page-1".into(), &"pay".into())
    );
    assert_eq!(
        json["alerts"][0]["alert"]["examples"][0]["trace_id"],
        "4bf92f3577b34da6a3ce929d0e0e4736"
    );
    let at = first.headers["webhook-timestamp"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let signed = webhook::sign("s3cret", "checkout-page-1", at, &first.body);
    assert_eq!(first.headers["webhook-signature"], signed["webhook-signature"]);
    close(&office, &alert);
    look(&office, &config).await;
    look(&office, &config).await;
    let last = hears.recv().await.unwrap().json();
    assert_eq!(
        (
            &last["alerts"][0]["told"],
            last["alerts"].as_array().unwrap().len()
        ),
        (&"resolved".into(), 1)
    );
    assert!(hears.try_recv().is_err(), "nothing else");
}

#[tokio::test]
async fn a_target_that_does_not_take_them_is_asked_again_and_the_others_are_told() {
    let (busy, mut busy_hears) = target(vec![503]).await;
    let (well, mut well_hears) = target(Vec::new()).await;
    let (_file, place) = secret(&format!("{well}/services/T0"));
    let office = office("one");
    let config = config(vec![
        one("busy", Way::Alertmanager(busy), None),
        one("well", Way::Slack, Some(place)),
    ]);
    page(&office, "checkout");
    look(&office, &config).await;
    assert_eq!(busy_hears.recv().await.unwrap().path, "/api/v2/alerts");
    let told = well_hears.recv().await.unwrap();
    assert_eq!(told.path, "/services/T0");
    let text = told.json()["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with(
            "*[page] checkout*\n1,840 of 61,000 failed in the last hour &lt;&amp; counting&gt;\n"
        ),
        "{text}"
    );
    for line in [
        "- began at 20:08:20Z",
        "- stands out: route pay, 97 % of failures, 3.1 times its share of the traffic",
        "- changed before: 02:02:00Z: the breaker of tax tripped",
        "- failed: trace 4bf92f3577b34da6a3ce929d0e0e4736, pay, gold, upstream-timeout, 1200 ms",
        "- runbook: https://wiki.example/checkout",
        "- look at: https://plimsoll.example/objectives/checkout",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let reading = office.desk.reading();
    assert_eq!(reading[0].failing.as_deref(), Some("it answered 503: no thanks"));
    assert_eq!((reading[0].waiting, reading[1].failing.as_deref()), (1, None));
    // Not at once: it has a breaker of its own.
    look(&office, &config).await;
    assert!(busy_hears.try_recv().is_err());
    office.desk.lock().get_mut("busy").unwrap().breaker = Breaker::new(PATIENCE);
    look(&office, &config).await;
    let json = busy_hears.recv().await.unwrap().json();
    assert_eq!(json[0]["labels"]["alertname"], "PlimsollObjective");
    assert_eq!(json[0]["startsAt"], "2026-11-23T20:08:20.000Z");
    look(&office, &config).await;
    let reading = office.desk.reading();
    assert_eq!((reading[0].waiting, reading[0].failing.as_deref()), (0, None));
}

#[tokio::test]
async fn pagerduty_has_an_event_for_each_and_those_that_it_took_are_not_sent_again() {
    let (address, mut hears) = target(vec![202, 429]).await;
    let office = office("one");
    let (_file, key) = secret("R0UT1NG");
    let duty = one("duty", Way::PagerDuty(Some(address)), Some(key));
    let config = config(vec![duty]);
    page(&office, "a");
    page(&office, "b");
    look(&office, &config).await;
    let first = hears.recv().await.unwrap().json();
    assert_eq!(
        (&first["event_action"], &first["dedup_key"]),
        (&"trigger".into(), &"plimsoll/a-page-1".into())
    );
    assert_eq!(
        (&first["routing_key"], &first["payload"]["severity"]),
        (&"R0UT1NG".into(), &"critical".into())
    );
    assert_eq!(
        hears.recv().await.unwrap().json()["dedup_key"],
        "plimsoll/b-page-1"
    );
    office.desk.lock().get_mut("duty").unwrap().breaker = Breaker::new(PATIENCE);
    look(&office, &config).await;
    assert_eq!(
        hears.recv().await.unwrap().json()["dedup_key"],
        "plimsoll/b-page-1"
    );
    close(&office, "a-page-1");
    look(&office, &config).await;
    let over = hears.recv().await.unwrap().json();
    assert_eq!(
        (&over["event_action"], &over["dedup_key"]),
        (&"resolve".into(), &"plimsoll/a-page-1".into())
    );
    assert!(over.get("payload").is_none());
}

#[test]
fn what_is_due_goes_by_what_was_told_who_owns_it_and_who_keeps_quiet() {
    let office = office("one");
    let target = Target {
        calls: vec![Calls::Page],
        ..one("duty", Way::Slack, None)
    };
    let now = |seconds: u64| office.env.wall().as_millis() as u64 + 1_000 * seconds;
    let due = |process: &str, at: u64, refresh| {
        office
            .record
            .read(|state| due(state, &target, process, now(at), refresh))
    };
    crate::watching::begin(&office.record, office.env.wall(), opened("slow", Calls::Ticket));
    assert_eq!(due("one", 0, true), [], "it is not for tickets");
    let alert = page(&office, "checkout");
    let firing = [(Arc::clone(&alert), Told::Firing)];
    assert_eq!(due("one", 0, false), firing);
    assert_eq!(due("two", 0, false), [], "it is the first one's");
    assert_eq!(due("two", 61, false), firing, "who seems to be gone");
    let told = |told| Said::AlertTold {
        target: "duty".to_owned(),
        told,
    };
    let silence = |from: u64, until: u64| {
        let said = Said::SilenceSet {
            objective: "check*".to_owned(),
            from: now(from),
            until: now(until),
            reason: "we know".to_owned(),
        };
        office.record.say(office.env.wall(), None, said);
    };
    silence(100, 200);
    assert_eq!(due("one", 99, false), firing);
    assert_eq!(due("one", 150, true), [], "nobody wants to hear of it");
    assert_eq!(due("one", 201, false), firing, "until somebody does");
    office
        .record
        .say(office.env.wall(), Some(&alert), told(Told::Firing));
    assert_eq!(
        (due("one", 1, false), due("one", 1, true)),
        (vec![], firing.to_vec())
    );
    close(&office, &alert);
    let resolved = [(Arc::clone(&alert), Told::Resolved)];
    assert_eq!(
        due("one", 150, false),
        resolved,
        "who was told that it fires is told that it is over"
    );
    office
        .record
        .say(office.env.wall(), Some(&alert), told(Told::Resolved));
    assert_eq!(due("one", 1, true), []);
    // One that was over before anybody could be told.
    let short = page(&office, "checkout");
    close(&office, &short);
    assert_eq!(due("one", 1, false), [(short, Told::Resolved)]);
    assert_eq!(due("one", 3_700, false), []);
}

#[tokio::test]
async fn a_heartbeat_comes_as_often_as_it_is_to() {
    let (address, mut hears) = target(vec![200, 500]).await;
    let office = office("one");
    let (_file, place) = secret(&format!("{address}/ping/1"));
    let beat = crate::config::Beat {
        address: Err(place),
        every: Duration::from_mins(1),
    };
    let config = AlertsConfig {
        heartbeat: Some(beat),
        ..AlertsConfig::default()
    };
    for _ in 0..3 {
        office.beat(&config);
        settled(&office).await;
    }
    assert_eq!(hears.recv().await.unwrap().path, "/ping/1");
    assert!(hears.try_recv().is_err());
    office.desk.lock().get_mut(HEARTBEAT).unwrap().refreshed = None;
    office.beat(&config);
    settled(&office).await;
    assert_eq!(hears.recv().await.unwrap().path, "/ping/1");
    assert_eq!(
        office.desk.reading()[0].failing.as_deref(),
        Some("it answered 500: no thanks")
    );
}

#[test]
fn mail_is_for_people() {
    let office = office("one");
    let alert = page(&office, "checkout");
    let telling = office.record.read(|state| Telling {
        alert: state.alerts.get(&alert).unwrap().clone(),
        told: Told::Firing,
        incident: Some("checkout-1".to_owned()),
        address: None,
    });
    let email = crate::config::EmailConfig {
        host: "127.0.0.1".to_owned(),
        port: 25,
        security: crate::config::MailSecurity::Off,
        from: "Plimsoll <plimsoll@example.com>".to_owned(),
        to: vec!["oncall@example.com".to_owned(), "second@example.com".to_owned()],
        user: None,
    };
    let message = String::from_utf8(email::message(&email, &[telling]).unwrap().formatted()).unwrap();
    assert!(
        message.contains("To: oncall@example.com, second@example.com\r\n"),
        "{message}"
    );
    assert!(
        message.contains("Subject: [page] checkout: 1,840 of 61,000"),
        "{message}"
    );
    assert!(
        message.contains("runbook: https://wiki.example/checkout"),
        "{message}"
    );
}

#[test]
fn a_storm_leaves_nobody_out() {
    let office = office("one");
    let pages: Vec<Arc<str>> = (0..50)
        .map(|number| page(&office, &format!("s{number:02}")))
        .collect();
    let told = |target: &str, ids: &[Arc<str>]| {
        for id in ids {
            let target = target.to_owned();
            let told = Told::Firing;
            office
                .record
                .say(office.env.wall(), Some(id), Said::AlertTold { target, told });
        }
    };
    let now = office.env.wall().as_millis() as u64;
    let next = |target: &Target, is_refreshed: bool| {
        let Message { alerts, waiting } = office
            .record
            .read(|state| message(state, target, "one", now, is_refreshed));
        let ids: Vec<Arc<str>> = alerts.into_iter().map(|(id, _)| id).collect();
        (ids, waiting)
    };
    // People get them in pieces, and the figure is of all.
    let people = one("people", Way::Slack, None);
    for (first, waiting) in [(0, 50), (20, 30), (40, 10)] {
        let (ids, left) = next(&people, true);
        assert_eq!(
            (&ids[..], left),
            (&pages[first..pages.len().min(first + 20)], waiting)
        );
        told("people", &ids);
    }
    assert_eq!(
        next(&people, false),
        (vec![], 0),
        "who remembers needs no reminder"
    );
    // Alertmanager forgets, so it is told of all of them together, whenever of any.
    let forgetful = one("am", Way::Alertmanager(String::new()), None);
    assert_eq!(next(&forgetful, true), (pages.clone(), 50));
    told("am", &pages[1..]);
    assert_eq!(next(&forgetful, true), (pages.clone(), 1));
    told("am", &pages[..1]);
    assert_eq!(next(&forgetful, true), (vec![], 0));
    assert_eq!(next(&forgetful, false), (pages, 0));
}

#[test]
fn a_target_is_never_given_up_and_soon_asked_again() {
    let (mut breaker, mut dice) = (Breaker::new(PATIENCE), Env::real().dice());
    let mut now = Instant::ORIGIN;
    // When it is asked again after a failure, and for how long that took.
    let mut ask = |breaker: &mut Breaker, now: &mut Instant| {
        let began = *now;
        loop {
            match breaker.admit(*now, &mut dice) {
                BreakerDecision::Admit(pass) => return (pass, *now - began),
                BreakerDecision::Refuse { .. } => *now = *now + Duration::from_millis(250),
            }
        }
    };
    let (mut pass, _) = ask(&mut breaker, &mut now);
    let mut waits = Vec::new();
    for _ in 0..12 {
        breaker.report(now, pass, Report::Failure);
        let (next, wait) = ask(&mut breaker, &mut now);
        pass = next;
        waits.push(wait);
    }
    assert!(waits[0] <= Duration::from_secs(1), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= PATIENCE.open_max), "{waits:?}");
    assert!(*waits.last().unwrap() > Duration::from_secs(30), "{waits:?}");
    // Well again, it is told of everything at once.
    for _ in 0..30 {
        breaker.report(now, pass, Report::Success);
        let (next, wait) = ask(&mut breaker, &mut now);
        pass = next;
        assert_eq!(wait, Duration::ZERO);
    }
}

/// A mail server that takes everything, in clear; what it was handed comes out.
async fn mail_server() -> (u16, mpsc::Receiver<String>) {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (handed, hands) = mpsc::channel(8);
    Env::real().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 mail.example ready\r\n").await.unwrap();
            let (mut said, mut in_message, mut line) = (String::new(), false, String::new());
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                said.push_str(&line);
                let ended = in_message && line == ".\r\n";
                let answer: &[u8] = match line.split([' ', '\r']).next().unwrap_or_default() {
                    _ if ended => b"250 taken\r\n",
                    _ if in_message => b"",
                    "DATA" => b"354 go on\r\n",
                    _ => b"250 well\r\n",
                };
                in_message = !ended && (in_message || answer.starts_with(b"354"));
                stream.write_all(answer).await.unwrap();
                if ended {
                    handed.send(std::mem::take(&mut said)).await.unwrap();
                }
                line.clear();
            }
        }
    });
    (port, hands)
}

#[tokio::test]
async fn mail_is_handed_in_and_without_tls_only_if_that_is_said() {
    let (port, mut handed) = mail_server().await;
    let office = office("one");
    let mail = |security| {
        let email = crate::config::EmailConfig {
            host: "127.0.0.1".to_owned(),
            port,
            security,
            from: "Plimsoll <plimsoll@example.com>".to_owned(),
            to: vec!["oncall@example.com".to_owned()],
            user: None,
        };
        config(vec![one("mail", Way::Email(email), None)])
    };
    page(&office, "checkout");
    // It offers no STARTTLS, so nothing is said to it.
    look(&office, &mail(crate::config::MailSecurity::Starttls)).await;
    assert!(handed.try_recv().is_err());
    let reading = office.desk.reading();
    assert!(
        reading[0].failing.is_some() && reading[0].waiting == 1,
        "{reading:?}"
    );
    office.desk.lock().get_mut("mail").unwrap().breaker = Breaker::new(PATIENCE);
    look(&office, &mail(crate::config::MailSecurity::Off)).await;
    let said = handed.recv().await.unwrap();
    for line in [
        "MAIL FROM:<plimsoll@example.com>",
        "RCPT TO:<oncall@example.com>",
        "Subject: [page] checkout: 1,840 of 61,000",
        "- runbook: https://wiki.example/checkout",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
    look(&office, &mail(crate::config::MailSecurity::Off)).await;
    assert_eq!(office.desk.reading()[0].waiting, 0);
    assert!(handed.try_recv().is_err(), "once");
}
