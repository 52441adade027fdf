//! Several that are one: requests that are a journey of somebody, objectives that are a composite.

use std::time::Duration;

use crate::world::{Plimsoll, curl, curl_until, service};

#[test]
fn a_journey_counts_once_and_as_the_worst_of_its_requests() {
    let (_service, service) = service("http_service.py", &[]);
    let plimsoll = Plimsoll::configured(&format!(
        "listeners:
  - name: ingress
    listen: '127.0.0.1:0'
    routes: [{{ name: cart, path: '/events/{{n}}' }}, {{ name: pay, path: '/status/{{code}}' }}]
upstreams: [{{ name: shop, endpoints: ['http://{service}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
state: {{ file: off }}
objectives:
  - {{ name: buying, target: 99%, journey: {{ routes: [cart, pay], key: 'cookie:sid' }} }}
  - {{ name: requests, target: 99%, upstream: shop, version: stable }}
"
    ));
    let (cart, paid, failed, refused) = ("/events/1", "/status/200", "/status/503", "/status/402");
    for (who, journey) in [
        ("lang=de; sid=ada", &[cart, paid][..]),
        ("sid=bob", &[cart, failed, failed, paid]),
        // Her card was refused, which is no fault of the service, and the second one was not.
        ("sid=eve", &[cart, refused, paid]),
        ("sid=kim", &[cart]),
        // What belongs to no journey counts in none; nor does a cookie that only ends alike.
        ("", &[failed, paid]),
        ("xsid=ada", &[paid]),
    ] {
        for path in journey {
            let cookie = format!("Cookie: {who}");
            curl(&["-o", "/dev/null", "-H", &cookie, &plimsoll.url(path)]);
        }
    }
    let counts = |name: &str, good: u32, bad: u32| {
        let url = plimsoll.admin_url(&format!("/api/v1/objectives/{name}"));
        curl_until(&[&url], |told| {
            let told = told.replace(char::is_whitespace, "");
            told.contains(&format!("\"bad\":{bad},\"coverage\""))
                && told.contains(&format!("\"good\":{good}}}"))
        });
    };
    counts("buying", 2, 1);
    counts("requests", 10, 3);
    let metrics = curl(&[&plimsoll.admin_url("/metrics")]);
    for line in [
        "plimsoll_journeys_under_way{objective=\"buying\"} 1",
        "plimsoll_journeys_uncounted_total{objective=\"buying\",why=\"no-key\"} 3",
        "plimsoll_journeys_uncounted_total{objective=\"buying\",why=\"left\"} 0",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let page = curl(&[
        "-H",
        "Accept: text/html",
        &plimsoll.admin_url("/objectives/buying"),
    ]);
    assert!(
        page.contains("Each event is a journey. Since the start 1 are under way"),
        "{page}"
    );
}

#[test]
fn a_composite_pages_within_the_incident_of_its_members() {
    let (_service, service) = service("http_service.py", &[]);
    let mut plimsoll = Plimsoll::configured(&format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', trust: [127.0.0.1/32], routes: [{{ name: all }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{service}'], breaker: off, outlier: off }}]
admin: {{ listen: '127.0.0.1:0' }}
state: {{ file: off }}
objectives:
  - {{ name: shop, composite: [{{ objective: checkout, weight: 2 }}, {{ objective: quick }}] }}
  - {{ name: checkout, target: 99.9% }}
  - {{ name: quick, target: 90%, latency: 2s }}
"
    ));
    plimsoll.ask_as_many(200);
    plimsoll.ask_as_many(500);
    let mut paged = Vec::new();
    plimsoll
        .process
        .wait_within(Duration::from_secs(30), "pages", |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            if line["msg"] == "an objective pages" {
                paged.push(line["objective"].as_str()?.to_owned());
            }
            ["shop", "checkout"]
                .iter()
                .all(|name| paged.iter().any(|paged| paged == name))
                .then_some(())
        });
    let told = curl_until(&[&plimsoll.admin_url("/api/v1/incidents")], |told| {
        told.contains("\"shop\"")
    });
    assert_eq!(told.matches("\"phase\":").count(), 1, "it is one story: {told}");
    let page = curl(&["-H", "Accept: text/html", &plimsoll.admin_url("/objectives/shop")]);
    assert!(
        page.contains("It is made of checkout (weight 2), quick (weight 1)"),
        "{page}"
    );
}
