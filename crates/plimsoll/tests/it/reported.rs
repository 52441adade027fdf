//! What others have seen, and report.

use serde_json::{Value, json};

use crate::world::{Plimsoll, curl, curl_until, service};

/// What an objective has counted, once that is as wanted.
fn counted(plimsoll: &Plimsoll, name: &str, good: u64, bad: u64) {
    let url = plimsoll.admin_url(&format!("/api/v1/objectives/{name}"));
    curl_until(&[&url], |answer| {
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let said: Value = serde_json::from_str(body).unwrap_or_default();
        (
            said["in_window"]["good"].as_u64(),
            said["in_window"]["bad"].as_u64(),
        ) == (Some(good), Some(bad))
    });
}

fn report(plimsoll: &Plimsoll, outcomes: &[Value]) -> Value {
    let body = json!({ "outcomes": outcomes }).to_string();
    let url = plimsoll.admin_url("/api/v1/outcomes");
    let answer = curl(&[
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        &body,
        &url,
    ]);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[test]
fn a_consumer_that_stands_still_burns_at_once() {
    let (_service, service) = service("http_service.py", &[]);
    let mut plimsoll = Plimsoll::configured(&format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{service}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
objectives: [{{ name: orders-in-search, target: 99%, vantage: database, freshness: 2s }}]
"
    ));
    let event = |number: u32, key: &str| {
        let now = jiff::Timestamp::now().to_string();
        json!({ "id": format!("order-{number}"), "objective": "orders-in-search", key: now })
    };
    let committed: Vec<Value> = (0..60).map(|number| event(number, "committed_at")).collect();
    let seen: Vec<Value> = (0..20).map(|number| event(number, "visible_at")).collect();
    assert_eq!(report(&plimsoll, &committed)["waiting"], 60);
    assert_eq!(report(&plimsoll, &seen)["counted"], 20);
    let metrics = curl(&[&plimsoll.admin_url("/metrics")]);
    let waiting = "plimsoll_freshness_waiting{objective=\"orders-in-search\"} 40";
    assert!(metrics.contains(waiting), "{metrics}");
    // Nobody says anything any more, and that is what pages.
    plimsoll.wait_for_log("an objective pages");
    counted(&plimsoll, "orders-in-search", 20, 40);
    let late: Vec<Value> = (20..21).map(|number| event(number, "visible_at")).collect();
    let said = report(&plimsoll, &late);
    let why = said["refused"][0]["why"].as_str().unwrap();
    assert!(why.contains("or it counted already"), "{said}");
    counted(&plimsoll, "orders-in-search", 20, 40);
}
