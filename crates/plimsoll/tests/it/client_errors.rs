//! A release that refuses everybody: by its errors alone it looks perfect.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plimsoll_slo::Counts;
use store::{Key, Minute, Row, Sqlite, Store};

use crate::world::{Plimsoll, curl, service};

/// Evidence is looked up once a minute, of the minutes that are over.
const LOOKED_UP: Duration = Duration::from_secs(100);

#[test]
fn a_release_that_refuses_everybody_opens_a_ticket() {
    let (_service, service) = service("http_service.py", &[]);
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("orders.state");
    // What was usual in the last three hours: one in sixty.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
    let usual = |minute| Row {
        instance: "before-1".into(),
        key: Key {
            objective: "client-errors:ingress:all".into(),
            counted: "client-errors".into(),
        },
        minute: Minute {
            minute,
            counts: Counts { good: 59, bad: 1 },
            measured: 60,
        },
        log: None,
    };
    let rows: Vec<Row> = (now - 180..now).map(usual).collect();
    Sqlite::open(&state).unwrap().write(&rows).unwrap();
    let mut plimsoll = Plimsoll::configured(&format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', trust: [127.0.0.1/32], routes: [{{ name: all }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{service}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
objectives: [{{ name: checkout, target: 99.9% }}]
state: {{ file: '{}' }}
",
        state.display()
    ));
    plimsoll.ask_as_many(401);
    let name = "client-errors:ingress:all-ticket-1";
    plimsoll
        .process
        .wait_within(LOOKED_UP, "ticket", |line| line.contains(name).then_some(()));
    let told = curl(&[&plimsoll.admin_url("/api/v1/alerts")]);
    assert!(told.contains(name), "{told}");
    assert!(
        told.contains("told a caller that it is at fault, where 1.7 % is usual"),
        "{told}"
    );
    // By what is asked of it, all is well.
    let objectives = curl(&[&plimsoll.admin_url("/api/v1/objectives")]).replace(char::is_whitespace, "");
    assert!(
        objectives.contains("\"state\":\"met\"") && objectives.contains("\"bad\":0"),
        "{objectives}"
    );
    let page = curl(&["-H", "Accept: text/html", &plimsoll.admin_url("/traffic")]);
    assert!(
        page.contains("Client errors") && page.contains("since "),
        "{page}"
    );
}
