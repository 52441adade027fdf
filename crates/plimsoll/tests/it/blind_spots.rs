//! What no objective sees: a release that refuses everybody looks perfect by its errors alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plimsoll_slo::Counts;
use store::{Key, Minute, Row, Sqlite, Store};

use crate::world::{Plimsoll, curl, service};

/// What happened in the minutes before one, by what was written of them.
pub(crate) fn before(now: u64, minutes: u64, key: &Key, counts: Counts) -> Vec<Row> {
    let usual = |minute| Row {
        instance: "before-1".into(),
        key: key.clone(),
        minute: Minute {
            minute,
            counts,
            measured: 60,
        },
        log: None,
    };
    (now - minutes..now).map(usual).collect()
}

/// Evidence is looked up once a minute, of the minutes that are over.
const LOOKED_UP: Duration = Duration::from_secs(100);

#[test]
fn a_release_that_refuses_everybody_opens_tickets() {
    let (_service, service) = service("http_service.py", &[]);
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("orders.state");
    // One in sixty was refused in the last three hours, and for a week and a half there were 59 logins a minute.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
    let refused = Key {
        objective: "client-errors:ingress:all".into(),
        counted: "client-errors".into(),
    };
    let logins = Key {
        objective: "logins".into(),
        counted: "kpi:;;".into(),
    };
    let mut rows = before(now, 180, &refused, Counts { good: 59, bad: 1 });
    rows.extend(before(now, 11 * 1_440, &logins, Counts { good: 59, bad: 1 }));
    Sqlite::open(&state).unwrap().write(&rows).unwrap();
    let mut plimsoll = Plimsoll::configured(&format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', trust: [127.0.0.1/32], routes: [{{ name: all }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{service}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
objectives: [{{ name: checkout, target: 99.9% }}]
kpis: [{{ name: logins }}]
state: {{ file: '{}' }}
",
        state.display()
    ));
    plimsoll.ask_as_many(401);
    let mut tickets = vec!["client-errors:ingress:all-ticket-1", "logins-ticket-1"];
    plimsoll.process.wait_within(LOOKED_UP, "tickets", |line| {
        tickets.retain(|name| !line.contains(name));
        tickets.is_empty().then_some(())
    });
    let told = curl(&[&plimsoll.admin_url("/api/v1/alerts")]);
    for said in [
        "told a caller that it is at fault, where 1.7 % is usual",
        "a blind spot: logins came to ",
        "where 59.0 a minute is usual at this time",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    let kpis = curl(&[&plimsoll.admin_url("/api/v1/kpis")]).replace(char::is_whitespace, "");
    assert!(kpis.contains("\"has_fallen\":true"), "{kpis}");
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
    let page = curl(&["-H", "Accept: text/html", &plimsoll.admin_url("/business")]);
    assert!(page.contains("One figure has fallen"), "{page}");
}
