//! The pages for people, in a browser that we did not write.

use std::path::Path;

use crate::blessing;
use crate::operators::token;
use crate::world::{Plimsoll, busy, client, curl, curl_until, service};

/// Pictures that the book shows.
const SHOWN: [&str; 5] = [
    "now-light-1200",
    "objectives-checkout-light-1200",
    "incidents-checkout-1-light-1200",
    "now-dark-420",
    "changes-app-1-light-1200",
];

#[test]
fn people_find_their_way() {
    let _busy = busy();
    let (_candidate, candidate) = service("http_service.py", &[]);
    let (_service, service) = service("http_service.py", &[]);
    let (token, lines) = token("ada", "operator");
    let plimsoll = Plimsoll::configured(&format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', trust: [127.0.0.1/32], routes: [{{ name: pay }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{service}'], breaker: off, outlier: off }}]
objectives:
  - {{ name: checkout, target: 99.9%, runbook: https://wiki.example.com/checkout }}
  - {{ name: quick, target: 90%, latency: 2s, window: month }}
kpis: [{{ name: orders-per-minute }}]
admin:
  listen: '127.0.0.1:0'
  tokens:
{lines}"
    ));
    plimsoll.ask_as_many(200);
    plimsoll.ask_as_many(500);
    let bearer = format!("Authorization: Bearer {token}");
    let incident = plimsoll.admin_url("/api/v1/incidents/checkout-1");
    curl_until(&["-H", &bearer, &incident], |answer| {
        answer.contains("\"timeline\"")
    });
    let change =
        format!("{{ \"upstream\": \"app\", \"version\": \"v2\", \"candidate\": [\"http://{candidate}\"] }}");
    let json = ["-H", "Content-Type: application/json", "-d", &change];
    curl(
        &[
            &["-H", &bearer],
            &json[..],
            &[&plimsoll.admin_url("/api/v1/changes")],
        ]
        .concat(),
    );
    // So much has failed that nothing may be risked.
    let change = plimsoll.admin_url("/api/v1/changes/app-1");
    curl_until(&["-H", &bearer, &change], |answer| {
        answer.contains("for the budget, which is frozen")
    });
    let pictures = tempfile::tempdir().unwrap();
    let said = client(
        "browser.py",
        &[&plimsoll.admin, &token, pictures.path().to_str().unwrap()],
    );
    assert_eq!(said, "all is well\n");
    if blessing() {
        let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/pictures");
        std::fs::create_dir_all(&book).unwrap();
        for name in SHOWN {
            let file = format!("{name}.png");
            std::fs::copy(pictures.path().join(&file), book.join(&file)).unwrap();
        }
    }
}
