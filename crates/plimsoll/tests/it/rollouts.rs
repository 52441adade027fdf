//! Versions in another language that are rolled out in front of users, by the command line.

mod driven;
mod together;

use std::collections::BTreeMap;
use std::process::{Command, Output};

use crate::world::{Plimsoll, Process, busy, caller, curl_until, service};

/// In front of a version, with more about the route to it.
fn in_front(stable: &str, more: &str) -> Plimsoll {
    Plimsoll::configured(&configuration(stable, more))
}

fn configuration(stable: &str, more: &str) -> String {
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(", {more}")
    };
    format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all, path: '/{{*rest}}', upstream: orders{more} }}] }}]
upstreams: [{{ name: orders, version: v1, endpoints: ['http://{stable}'], health: {{ path: /healthy, interval: 300ms, timeout: 300ms }} }}]
admin: {{ listen: '127.0.0.1:0' }}
callers: {{ tiers: [gold, free], tier_header: x-tier }}
objectives: [{{ name: answered, target: 90%, runbook: 'https://wiki.example/orders' }}]
changes: {{ steps: [10%, 50%], probation: 2s, hold_max: 60s }}
"
    )
}

fn change(plimsoll: &Plimsoll, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command
        .arg("change")
        .arg(args[0])
        .args(["--admin", &plimsoll.admin_url("")]);
    command
        .args(&args[1..])
        .env_remove("GITHUB_STEP_SUMMARY")
        .output()
        .unwrap()
}

/// Asks for the version v2 at this address to be rolled out, with these options.
fn deploy(plimsoll: &Plimsoll, address: &str, more: &[&str]) -> Output {
    let candidate = format!("http://{address}");
    let args = ["deploy", "orders", "--candidate", &candidate, "--version", "v2"];
    change(plimsoll, &[&args, more].concat())
}

/// What the command line printed, and how it ended.
#[track_caller]
fn said(output: &Output) -> (Option<i32>, String) {
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

/// Ends users, and counts what they got.
fn got(mut users: Process) -> BTreeMap<String, u64> {
    users.nudge();
    users.wait_for("a count", |line| serde_json::from_str(line).ok())
}

/// So many have been answered by the version that runs, so that it is known what is slow.
fn until_usual(plimsoll: &Plimsoll) {
    curl_until(&[&plimsoll.admin_url("/metrics")], |metrics| {
        let counts = metrics
            .lines()
            .filter(|line| line.starts_with("plimsoll_requests_total{"));
        let good = counts.filter(|line| line.contains("class=\"good\""));
        let sum: f64 = good
            .filter_map(|line| line.split(' ').nth(1)?.parse::<f64>().ok())
            .sum();
        sum >= 1_100.0
    });
}

#[test]
fn a_good_version_is_promoted_by_evidence_and_takes_the_place_of_the_old() {
    let _busy = busy();
    let (mut old_process, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new"]);
    let plimsoll = in_front(&old, "");
    let users = caller("users.py", &[&plimsoll.ingress, "400"]);
    until_usual(&plimsoll);
    let (code, text) = said(&deploy(&plimsoll, &new, &["--as", "ada", "--wait"]));
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "ada  orders-1 is asked for",
        "orders-1 gets 10 % (step 1 of 2)",
        "orders-1 gets 50 % (step 2 of 2); 0 of",
        "orders-1 is promoted: everybody has it, but for 5 %",
    ] {
        assert!(text.contains(line), "{line} is not in: {text}");
    }
    let (code, replayed) = said(&change(&plimsoll, &["replay", "orders-1"]));
    assert_eq!(code, Some(0), "{replayed}");
    assert!(
        replayed.contains("promoted: good") && replayed.contains("the same"),
        "{replayed}"
    );
    curl_until(&[&plimsoll.admin_url("/api/v1/changes/orders-1")], |shown| {
        shown.contains("\"phase\": \"final\"")
    });
    // What it has replaced is not needed any more, and the file says the old place still.
    curl_until(&[&plimsoll.url("/")], |answer| answer.ends_with("new"));
    old_process.signal("-KILL");
    old_process.end();
    for _ in 0..20 {
        assert!(crate::world::curl(&[&plimsoll.url("/")]).ends_with("new"));
    }
    let counts = got(users);
    let failed: Vec<_> = counts
        .iter()
        .filter(|(answer, _)| !answer.starts_with("200 "))
        .collect();
    assert!(failed.is_empty() && counts["200 new"] > 100, "{counts:?}");
    let (code, text) = said(&change(&plimsoll, &["revert", "orders-1", "--reason", "no"]));
    assert!(
        code == Some(3) && text.contains("deploy the version before"),
        "{text}"
    );
}

#[test]
fn a_version_that_was_promoted_is_there_after_a_restart() {
    let (mut old_process, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new"]);
    let mut plimsoll = in_front(&old, "");
    let (code, text) = said(&deploy(&plimsoll, &new, &[]));
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = said(&change(
        &plimsoll,
        &[
            "promote",
            "orders-1",
            "--all",
            "--reason",
            "I have looked",
            "--as",
            "ada",
        ],
    ));
    assert!(
        code == Some(0) && text.contains("whatever is known of it: I have looked"),
        "{text}"
    );
    let shown = [&*plimsoll.admin_url("/api/v1/changes/orders-1")];
    curl_until(&shown, |shown| shown.contains("\"phase\": \"final\""));
    // It is written down within a second; then it can be taken away at any time.
    curl_until(&[&plimsoll.admin_url("/metrics")], |metrics| {
        metrics.contains("\nplimsoll_facts_unwritten 0\n")
    });
    plimsoll.process.signal("-KILL");
    plimsoll.process.end();
    old_process.signal("-KILL");
    old_process.end();
    let again = plimsoll.again();
    // The first request already: there is nobody at the old place.
    for _ in 0..5 {
        assert!(crate::world::curl(&[&again.url("/")]).ends_with("new"));
    }
    let (_, text) = said(&change(&again, &["show", "orders-1"]));
    assert!(
        text.contains("final at 100 %") && text.contains("ada  orders-1 may go to everybody"),
        "{text}"
    );
}

#[test]
fn who_puts_the_old_place_back_into_the_file_means_it() {
    let (_old, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new"]);
    let mut plimsoll = in_front(&old, "");
    deploy(&plimsoll, &new, &[]);
    change(
        &plimsoll,
        &["promote", "orders-1", "--all", "--reason", "I have looked"],
    );
    let shown = [&*plimsoll.admin_url("/api/v1/changes/orders-1")];
    curl_until(&shown, |shown| shown.contains("\"phase\": \"final\""));
    let reload = |plimsoll: &Plimsoll, place: &str| {
        plimsoll.rewrite(&configuration(place, ""));
        let answer = crate::world::curl(&["-X", "POST", &plimsoll.admin_url("/reload?text")]);
        assert!(answer.contains("applied"), "{answer}");
        crate::world::curl(&[&plimsoll.url("/")])
    };
    assert!(
        reload(&plimsoll, &old).ends_with("new"),
        "the file has not said otherwise yet"
    );
    assert!(reload(&plimsoll, &new).ends_with("new"));
    assert!(reload(&plimsoll, &old).ends_with("old"));
    curl_until(&[&plimsoll.admin_url("/metrics")], |metrics| {
        metrics.contains("\nplimsoll_facts_unwritten 0\n")
    });
    plimsoll.process.signal("-KILL");
    plimsoll.process.end();
    let again = plimsoll.again();
    for _ in 0..5 {
        assert!(crate::world::curl(&[&again.url("/")]).ends_with("old"));
    }
    let (_, text) = said(&change(&again, &["show", "orders-1"]));
    assert!(text.contains("orders-1 is the file's to say again at "), "{text}");
}

#[test]
fn a_version_that_fails_is_rolled_back_before_many_notice() {
    let _busy = busy();
    let (_old, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new", "--fails", "1"]);
    let plimsoll = in_front(&old, "");
    let users = caller("users.py", &[&plimsoll.ingress, "400"]);
    until_usual(&plimsoll);
    let (code, text) = said(&deploy(&plimsoll, &new, &["--wait"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("orders-1 is rolled back, because it is worse than what it was to replace (failures)"),
        "{text}"
    );
    assert!(
        text.contains("orders-1 is rolled back: nothing of it is left"),
        "{text}"
    );
    let counts = got(users);
    let noticed: u64 = counts
        .iter()
        .filter(|(answer, _)| !answer.starts_with("200 "))
        .map(|(_, count)| count)
        .sum();
    assert!((4..60).contains(&noticed), "{counts:?}");
    let (_, text) = said(&change(&plimsoll, &["replay", "orders-1"]));
    assert!(
        text.contains("cut: bad:failures") && text.contains("the same"),
        "{text}"
    );
}

#[test]
fn a_version_that_everybody_got_at_once_and_that_fails_is_taken_back() {
    let _busy = busy();
    let (_old, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new", "--fails", "0.5"]);
    let plimsoll = in_front(&old, "retry: off");
    let users = caller("users.py", &[&plimsoll.ingress, "200"]);
    let (code, text) = said(&deploy(&plimsoll, &new, &["--at-once", "--wait"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("because the objective answered has been failing since it is there"),
        "{text}"
    );
    curl_until(&[&plimsoll.url("/")], |answer| answer.ends_with("old"));
    drop(users);
}

#[test]
fn a_version_that_fails_only_after_it_was_promoted_is_taken_back() {
    let _busy = busy();
    let (_old, old) = service("version.py", &["old"]);
    let (mut new_process, new) = service("version.py", &["new", "--fails", "0.5", "--when-told"]);
    let plimsoll = Plimsoll::configured(
        &configuration(&old, "retry: off").replace("probation: 2s", "probation: 5m, hold_back: 20%"),
    );
    let users = caller("users.py", &[&plimsoll.ingress, "200"]);
    let (code, text) = said(&deploy(&plimsoll, &new, &[]));
    assert_eq!(code, Some(0), "{text}");
    let all = ["promote", "orders-1", "--all", "--reason", "I have looked"];
    let (code, text) = said(&change(&plimsoll, &all));
    assert_eq!(code, Some(0), "{text}");
    let shown = [&*plimsoll.admin_url("/api/v1/changes/orders-1")];
    curl_until(&shown, |shown| shown.contains("\"phase\": \"promoted\""));
    curl_until(&[&plimsoll.url("/")], |answer| answer.ends_with("new"));
    new_process.nudge();
    let ended = curl_until(&shown, |shown| shown.contains("\"phase\": \"reverted\""));
    assert!(
        ended.contains("because it is worse than what it was to replace (failures)")
            || ended.contains("because the objective answered has been failing"),
        "{ended}"
    );
    curl_until(&[&plimsoll.url("/")], |answer| answer.ends_with("old"));
    drop(users);
}

#[test]
fn a_version_that_is_slow_for_some_is_rolled_back() {
    let _busy = busy();
    let (_old, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new", "--slow", "150", "--only", "gold"]);
    // A try that is late would be made again, and then it is a failure.
    let plimsoll = in_front(&old, "retry: off");
    let users = caller("users.py", &[&plimsoll.ingress, "400"]);
    until_usual(&plimsoll);
    let (code, text) = said(&deploy(&plimsoll, &new, &["--key", "header:x-user", "--wait"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("(slow-p"), "{text}");
    drop(users);
}

#[test]
fn a_candidate_that_dies_is_lost_and_nobody_waits_for_it() {
    let (_old, old) = service("version.py", &["old"]);
    let (mut new_process, new) = service("version.py", &["new"]);
    let plimsoll = in_front(&old, "");
    let candidate = format!("http://{new}");
    let deploy = [
        "deploy",
        "orders",
        "--candidate",
        &candidate,
        "--version",
        "v2",
        "--as",
        "ada",
    ];
    let nobody = [
        "deploy",
        "orders",
        "--candidate",
        "http://127.0.0.1:1",
        "--version",
        "v2",
    ];
    let (code, text) = said(&change(&plimsoll, &nobody));
    assert!(
        code == Some(3) && text.contains("The candidate does not answer: http://127.0.0.1:1: "),
        "{text}"
    );
    assert_eq!(said(&change(&plimsoll, &deploy)).0, Some(0));
    let (_, text) = said(&change(
        &plimsoll,
        &["pause", "orders-1", "--reason", "lunch", "--as", "ada"],
    ));
    assert!(text.contains("is paused: lunch"), "{text}");
    let (code, text) = said(&change(&plimsoll, &deploy));
    assert!(
        code == Some(3) && text.contains("orders-1 is changing orders"),
        "{text}"
    );
    assert_eq!(said(&change(&plimsoll, &["resume", "orders-1"])).0, Some(0));
    let shown = [&*plimsoll.admin_url("/api/v1/changes/orders-1")];
    curl_until(&shown, |shown| shown.contains("\"exposed\": 0.1"));
    new_process.signal("-KILL");
    new_process.end();
    let ended = curl_until(&shown, |shown| shown.contains("\"phase\": \"reverted\""));
    assert!(
        ended.contains("because nothing of it answers any more"),
        "{ended}"
    );
}

#[test]
fn people_take_back_what_they_asked_for() {
    let (_old, old) = service("version.py", &["old"]);
    let plimsoll = in_front(&old, "");
    let (_new, new) = service("version.py", &["new"]);
    let candidate = format!("http://{new}");
    let deploy = [
        "deploy",
        "orders",
        "--candidate",
        &candidate,
        "--version",
        "v3",
        "--at-once",
    ];
    assert_eq!(said(&change(&plimsoll, &deploy)).0, Some(0));
    let (_, text) = said(&change(
        &plimsoll,
        &["revert", "orders-1", "--reason", "changed my mind", "--as", "ada"],
    ));
    assert!(
        text.contains("because somebody said so: changed my mind"),
        "{text}"
    );
    let shown = [&*plimsoll.admin_url("/api/v1/changes/orders-1")];
    curl_until(&shown, |shown| shown.contains("\"phase\": \"reverted\""));
    let (_, text) = said(&change(&plimsoll, &["list"]));
    assert!(
        text.starts_with("orders-1  orders to v3  reverted at 0 %"),
        "{text}"
    );
}

#[test]
fn a_freeze_holds_what_adds_risk_until_two_break_the_glass() {
    let (_old, old) = service("version.py", &["old"]);
    let (_new, new) = service("version.py", &["new"]);
    let plimsoll = in_front(&old, "");
    let hour = ["freeze", "--for", "1h", "--reason", "release day", "--as", "ada"];
    let (code, text) = said(&change(&plimsoll, &hour));
    assert!(
        code == Some(0) && text.contains("no change goes on until"),
        "{text}"
    );
    let candidate = format!("http://{new}");
    let deploy = ["deploy", "orders", "--candidate", &candidate, "--version", "v2"];
    assert_eq!(said(&change(&plimsoll, &deploy)).0, Some(0));
    let shown = [&*plimsoll.admin_url("/api/v1/changes/orders-1")];
    let waits = curl_until(&shown, |shown| shown.contains("since all is frozen until"));
    assert!(
        waits.contains("by ada: release day") && waits.contains("\"exposed\": 0.0"),
        "{waits}"
    );
    let (_, asked) = said(&change(
        &plimsoll,
        &[
            "break-glass",
            "--for",
            "10m",
            "--reason",
            "a hot fix",
            "--as",
            "ada",
        ],
    ));
    let id = asked.split(' ').next().unwrap();
    let (code, alone) = said(&change(&plimsoll, &["confirm", id, "--as", "ada"]));
    assert!(
        code == Some(3) && alone.contains("somebody else has to confirm it"),
        "{alone}"
    );
    let (_, broken) = said(&change(&plimsoll, &["confirm", id, "--as", "grace"]));
    assert!(
        broken.contains("is broken for 10 min, confirmed by grace"),
        "{broken}"
    );
    curl_until(&shown, |shown| shown.contains("\"exposed\": 0.1"));
    let audit = curl_until(&[&plimsoll.admin_url("/audit")], |audit| audit.contains("broken"));
    assert!(
        audit.contains("asked to break the glass for 10 min: a hot fix"),
        "{audit}"
    );
    // Whatever is frozen, it can be taken back.
    let (code, _) = said(&change(
        &plimsoll,
        &["revert", "orders-1", "--reason", "no", "--as", "ada"],
    ));
    assert_eq!(code, Some(0));
    curl_until(&shown, |shown| shown.contains("\"phase\": \"reverted\""));
}

#[test]
fn switches_in_one_step_fail_nobody() {
    let _busy = busy();
    let (_blue, blue) = service("version.py", &["blue"]);
    let (_green, green) = service("version.py", &["green"]);
    let plimsoll = in_front(&blue, "");
    let users = caller("users.py", &[&plimsoll.ingress, "300"]);
    for number in 1..=4 {
        let to = if number % 2 == 1 { &green } else { &blue };
        let (candidate, version) = (format!("http://{to}"), format!("v{number}-again"));
        let args = [
            "deploy",
            "orders",
            "--candidate",
            &candidate,
            "--version",
            &version,
            "--at-once",
            "--probation",
            "1s",
        ];
        let (code, text) = said(&change(&plimsoll, &args));
        assert_eq!(code, Some(0), "{text}");
        let shown = [&*plimsoll.admin_url(&format!("/api/v1/changes/orders-{number}"))];
        curl_until(&shown, |shown| shown.contains("\"phase\": \"final\""));
    }
    let counts = got(users);
    let answers: Vec<&str> = counts.keys().map(String::as_str).collect();
    assert_eq!(answers, ["200 blue", "200 green"], "{counts:?}");
}
