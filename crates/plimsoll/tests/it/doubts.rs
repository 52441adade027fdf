//! What is doubtful about objectives, by what was measured.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use plimsoll_slo::Counts;
use store::{Key, Sqlite, Store};

use crate::blind_spots::before;
use crate::world::{Plimsoll, curl, curl_until, service};

#[test]
fn what_can_hardly_be_judged_is_told() {
    let (_service, service) = service("http_service.py", &[]);
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("orders.state");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
    let key = |name: &str, counted: &str| Key {
        objective: name.into(),
        counted: counted.into(),
    };
    let mut rows = before(now, 180, &key("checkout", ";;"), Counts { good: 1, bad: 0 });
    rows.extend(before(
        now,
        1_800,
        &key("wish", ";;1ms"),
        Counts { good: 500, bad: 500 },
    ));
    rows.extend(before(
        now,
        180,
        &key("reads", ";;300000ms"),
        Counts { good: 600, bad: 0 },
    ));
    Sqlite::open(&state).unwrap().write(&rows).unwrap();
    let mut plimsoll = Plimsoll::configured(&format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{service}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
objectives:
  - {{ name: checkout, target: 99.9% }}
  - {{ name: wish, target: 99.9%, latency: 1ms }}
  - {{ name: reads, target: 99%, latency: 300s }}
state: {{ file: '{}' }}
",
        state.display()
    ));
    plimsoll.wait_for_log("an objective asks for a ticket");
    // What was written down is read one objective after the other.
    curl_until(&[&plimsoll.admin_url("/api/v1/doubts")], |doubts| {
        ["\"little-happens\"", "\"never-met\""]
            .iter()
            .all(|doubt| doubts.contains(doubt))
    });
    let output = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["slo", "lint", "--admin", &plimsoll.admin_url("")])
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    for said in [
        "checkout: little-happens: with 43",
        "wish: never-met: in the 30 hours that were measured 50.0",
        "2 doubts",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let told = curl(&[&plimsoll.admin_url("/api/v1/doubts")]);
    assert!(told.contains("\"doubt\": \"little-happens\""), "{told}");
}
