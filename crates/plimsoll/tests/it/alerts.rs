//! An outage as people live through it: from the first failure to the page in a real Alertmanager, over a `kill -9`, to
//! the end of the incident.

use std::process::Command;

use serde_json::Value;

use crate::world::{Plimsoll, Process, curl, curl_until, service};

/// Alertmanager on a free port. It says where it listens on standard error.
fn alertmanager() -> (Process, String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let config = "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n";
    std::fs::write(path("am.yml"), config).unwrap();
    let run = format!(
        "exec prometheus-alertmanager --config.file={} --storage.path={} --web.listen-address=127.0.0.1:0 --cluster.listen-address= 2>&1",
        path("am.yml"),
        path("data")
    );
    let mut process = Process::start(Command::new("sh").args(["-c", &run]));
    let address = process.wait_for("address", |line| {
        let (_, address) = line.split_once("\"Listening on\" address=")?;
        Some(address.trim().to_owned())
    });
    (process, address, directory)
}

fn configuration(service: &str, alertmanager: &str) -> String {
    format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', trust: [127.0.0.1/32], routes: [{{ name: all }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{service}'], breaker: off, outlier: off }}]
admin: {{ listen: '127.0.0.1:0' }}
objectives: [{{ name: checkout, target: 99.9%, runbook: https://wiki.example.com/checkout }}]
alerts:
  labels: [team=pay]
  targets: [{{ name: am, kind: alertmanager, url: 'http://{alertmanager}' }}]
"
    )
}

fn json(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// What whoever is called gets to see.
#[track_caller]
fn says_all(told: &Value) {
    let (labels, annotations) = (&told["labels"], &told["annotations"]);
    assert_eq!(
        (&labels["severity"], &labels["team"]),
        (&"page".into(), &"pay".into())
    );
    assert_eq!(annotations["runbook_url"], "https://wiki.example.com/checkout");
    assert!(
        annotations["examples"]
            .as_str()
            .unwrap()
            .contains(", all, other, upstream-error, "),
        "{told}"
    );
    assert_eq!(
        annotations["changes"]
            .as_str()
            .unwrap()
            .matches(" started")
            .count(),
        1,
        "{told}"
    );
}

#[test]
fn an_outage_pages_outlives_a_kill_and_is_an_incident_with_a_beginning() {
    let (_service, service) = service("http_service.py", &[]);
    let (_alertmanager, address, _data) = alertmanager();
    let mut plimsoll = Plimsoll::configured(&configuration(&service, &address));
    plimsoll.ask_as_many(200);
    plimsoll.ask_as_many(500);
    let alerts = format!("http://{address}/api/v2/alerts");
    // A second may have passed in the middle of it, in which a ticket was all that it was.
    let told = json(&curl_until(&[&alerts], |answer| answer.contains("\"page\"")));
    let pages = |told: &Value| -> Vec<Value> {
        let all = told.as_array().unwrap().iter();
        all.filter(|one| one["labels"]["severity"] == "page")
            .cloned()
            .collect()
    };
    says_all(&pages(&told)[0]);
    let incident = |plimsoll: &Plimsoll| {
        let url = plimsoll.admin_url("/api/v1/incidents/checkout-1");
        json(&curl_until(&[&url], |answer| answer.contains("timeline")))
    };
    let before = incident(&plimsoll);
    assert!(
        before["began_at"].as_str() <= before["detected_at"].as_str(),
        "{before}"
    );
    let note = r#"{"text": "the database is full", "author": "ada"}"#;
    let url = plimsoll.admin_url("/api/v1/incidents/checkout-1/notes");
    let noted = curl(&["-H", "Content-Type: application/json", "-d", note, &url]);
    assert!(noted.contains("the database is full"), "{noted}");
    // What was said is written within a second; who is killed then forgets nothing of it.
    let metrics = plimsoll.admin_url("/metrics");
    curl_until(&[&metrics], |answer| {
        answer.contains("plimsoll_facts_unwritten 0")
    });
    plimsoll.process.signal("-KILL");
    assert_eq!(plimsoll.process.end(), None);
    let plimsoll = plimsoll.again();
    let after = incident(&plimsoll);
    assert_eq!(
        (&after["began_at"], &after["alerts"]),
        (&before["began_at"], &before["alerts"])
    );
    let timeline = after["timeline"].to_string();
    assert!(
        timeline.contains("the database is full") && timeline.contains("ada"),
        "{timeline}"
    );
    let page = curl(&[
        "-H",
        "Accept: text/html",
        &plimsoll.admin_url("/incidents/checkout-1"),
    ]);
    assert!(
        page.contains(" 200") && page.contains("the database is full"),
        "{page}"
    );
    // It is the same alert still, and nobody was told twice: one in Alertmanager, told by one fact.
    let all = json(&curl(&[&plimsoll.admin_url("/api/v1/alerts")]));
    let all = all["alerts"].as_array().unwrap().iter();
    let all: Vec<&Value> = all.filter(|one| one["alert"]["severity"] == "page").collect();
    assert_eq!(
        (all.len(), &all[0]["told"]["am"]),
        (1, &"firing".into()),
        "{all:?}"
    );
    assert_eq!(pages(&json(&curl(&[&alerts]))).len(), 1);
}
