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

#[test]
fn the_first_row_that_is_wrong_pages() {
    let (_service, service) = service("http_service.py", &[]);
    let mut plimsoll = Plimsoll::configured(&format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{service}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
objectives: [{{ name: ledger, budget: absolute, allowed: 3, window: quarter, vantage: database }}]
"
    ));
    let rows = |id: &str, good: bool, count: u32| json!({ "id": id, "objective": "ledger", "good": good, "count": count });
    let said = report(
        &plimsoll,
        &[
            rows("1", true, 61_000),
            rows("1", true, 61_000),
            rows("2", true, 0),
        ],
    );
    assert_eq!(
        (&said["counted"], &said["repeated"]),
        (&1.into(), &1.into()),
        "{said}"
    );
    assert!(
        said["refused"][0]["why"]
            .as_str()
            .unwrap()
            .contains("`count` has to be"),
        "{said}"
    );
    counted(&plimsoll, "ledger", 61_000, 0);
    report(&plimsoll, &[rows("3", false, 1)]);
    let page = plimsoll.wait_for_log("an objective pages");
    let sentence = page["verdict"].as_str().unwrap();
    assert!(
        sentence.starts_with("1 of 61,001 failed in the last hour"),
        "{sentence}"
    );
    assert!(sentence.contains("of the 3 that may in"), "{sentence}");
    let accept = ["-H", "Accept: application/json"];
    let status = curl(&[accept[0], accept[1], &plimsoll.admin_url("/status")]);
    assert!(status.contains("at most 3 bad"), "{status}");
}
