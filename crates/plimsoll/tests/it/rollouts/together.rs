//! Versions in front of users by several gateways that share a database.

use private_postgres::Server;

use super::{change, configuration, deploy, got, said, until_usual};
use crate::world::{Plimsoll, Process, busy, caller, curl_until, service};

/// Three gateways on one database, each with a third of the users.
struct Three {
    _server: Server,
    gateways: Vec<Plimsoll>,
    users: Vec<Process>,
}

impl Three {
    fn in_front_of(stable: &str) -> Self {
        let server = Server::start();
        let state = format!("state: {{ database: '{}' }}\n", server.database("state"));
        let yaml = configuration(stable, "") + &state;
        let gateways: Vec<Plimsoll> = (0..3).map(|_| Plimsoll::configured(&yaml)).collect();
        let users = gateways
            .iter()
            .map(|one| caller("users.py", &[&one.ingress, "150"]));
        let users = users.collect();
        until_usual(&gateways[0]);
        Self {
            _server: server,
            gateways,
            users,
        }
    }

    /// Waits until each of them says this of the change.
    fn wait(&self, says: &str) {
        for gateway in &self.gateways {
            let shown = [&*gateway.admin_url("/api/v1/changes/orders-1")];
            curl_until(&shown, |shown| shown.contains(says));
        }
    }
}

#[test]
fn three_gateways_judge_by_what_all_have_counted_and_cut_together() {
    let _busy = busy();
    let (_old, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new", "--fails", "0.3"]);
    let three = Three::in_front_of(&old);
    let (code, text) = said(&deploy(&three.gateways[1], &new, &["--wait"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("because it is worse than what it was to replace (failures)"),
        "{text}"
    );
    three.wait("\"phase\": \"reverted\"");
    // What it was found by is of all of them, and can be found again anywhere.
    let (_, replayed) = said(&change(&three.gateways[2], &["replay", "orders-1"]));
    assert!(
        replayed.contains("cut: bad:failures") && replayed.contains("the same"),
        "{replayed}"
    );
    let counts: Vec<_> = three.users.into_iter().map(got).collect();
    let failed: u64 = counts
        .iter()
        .flatten()
        .filter(|(answer, _)| answer.starts_with("500"))
        .map(|(_, count)| count)
        .sum();
    assert!((3..200).contains(&failed), "{counts:?}");
}

#[test]
fn whoever_leads_may_be_killed_and_a_good_version_is_promoted_by_another() {
    let _busy = busy();
    let (_old, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new"]);
    let mut three = Three::in_front_of(&old);
    let candidate = format!("http://{new}");
    let args = ["deploy", "orders", "--candidate", &candidate, "--version", "v2"];
    assert_eq!(said(&change(&three.gateways[0], &args)).0, Some(0));
    three.wait("\"exposed\": 0.1");
    let leads = |gateway: &Plimsoll| {
        let shown = [&*gateway.admin_url("/api/v1/changes/orders-1")];
        let waits = curl_until(&shown, |shown| shown.contains("\"waits\": \"for "));
        !waits.contains("for the gateway that leads")
    };
    let leader = three.gateways.iter().position(leads).expect("one leads");
    let mut leader = three.gateways.remove(leader);
    leader.process.signal("-KILL");
    leader.process.end();
    three.wait("\"phase\": \"final\"");
    for gateway in &three.gateways {
        curl_until(&[&gateway.url("/")], |answer| answer.ends_with("new"));
        let (_, text) = said(&change(gateway, &["show", "orders-1"]));
        assert!(text.contains("orders-1 is promoted"), "{text}");
    }
}

#[test]
fn without_its_database_a_gateway_cuts_and_raises_nothing() {
    let _busy = busy();
    let (_old, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new", "--fails", "1", "--only", "gold"]);
    let server = Server::start();
    let state = format!("state: {{ database: '{}' }}\n", server.database("state"));
    let plimsoll = Plimsoll::configured(&(configuration(&old, "") + &state));
    let candidate = format!("http://{new}");
    let args = ["deploy", "orders", "--candidate", &candidate, "--version", "v2"];
    assert_eq!(said(&change(&plimsoll, &args)).0, Some(0));
    let shown = [&*plimsoll.admin_url("/api/v1/changes/orders-1")];
    curl_until(&shown, |shown| shown.contains("\"exposed\": 0.1"));
    server.stop();
    // Somebody lets it go on, whatever is known; but nobody leads.
    let approve = ["promote", "orders-1", "--all", "--reason", "trust me"];
    assert_eq!(said(&change(&plimsoll, &approve)).0, Some(0));
    let waits = curl_until(&shown, |shown| shown.contains("for the gateway that leads"));
    assert!(waits.contains("\"exposed\": 0.1"), "{waits}");
    let users = caller("users.py", &[&plimsoll.ingress, "400"]);
    let cut = curl_until(&shown, |shown| shown.contains("\"phase\": \"reverted\""));
    assert!(cut.contains("it is worse than what it was to replace"), "{cut}");
    drop(users);
}
