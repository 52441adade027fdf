//! Versions that Plimsoll starts and stops.

use std::net::TcpListener;
use std::path::Path;

use super::{change, got, said, until_usual};
use crate::world::{Plimsoll, busy, caller, curl, curl_until, programs};

/// A port of a range that is likely to be free.
fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().min(65_000)
}

fn configuration(driver: &str, stable: &str) -> String {
    format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all, path: '/{{*rest}}', upstream: orders }}] }}]
upstreams: [{{ name: orders, version: v1, endpoints: ['{stable}'], driver: {driver} }}]
admin: {{ listen: '127.0.0.1:0' }}
objectives: [{{ name: answered, target: 90%, runbook: 'https://wiki.example/orders' }}]
changes: {{ steps: [10%, 50%], probation: 2s, hold_max: 60s }}
"
    )
}

/// In front of versions of the Python service that are its children, of which v1 is up.
fn supervising(port: u16) -> Plimsoll {
    let [python, service] = programs("version.py");
    let (python, service) = (python.display(), service.display());
    let driver = format!(
        "{{ at: 'http://127.0.0.1:{{port}}', ports: {port}-{}, stop_within: 5s,
            process: {{ command: [{python}, {service}, '{{version}}', --port, '{{port}}', --dies, mayfly] }} }}",
        port + 16
    );
    let plimsoll = Plimsoll::configured(&configuration(&driver, &format!("http://127.0.0.1:{port}")));
    curl_until(&[&plimsoll.url("/")], |answer| answer.ends_with("v1"));
    plimsoll
}

/// Ids of the processes that serve a version at a port of a range.
fn children(version: &str, port: u16) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap();
    let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let serves = |id: &u32| {
        let words = std::fs::read_to_string(Path::new("/proc").join(id.to_string()).join("cmdline"));
        let words = words.unwrap_or_default();
        let words: Vec<&str> = words.split('\0').collect();
        let mut ports = words.iter().filter_map(|word| word.parse::<u16>().ok());
        words.get(2) == Some(&version) && ports.any(|one| (port..=port + 16).contains(&one))
    };
    ids.filter(serves).collect()
}

#[test]
fn a_version_is_started_for_its_deploy_and_the_one_before_is_ended() {
    let _busy = busy();
    let port = port();
    let mut plimsoll = supervising(port);
    let users = caller("users.py", &[&plimsoll.ingress, "400"]);
    until_usual(&plimsoll);
    let deploy = ["deploy", "orders", "--version", "v2", "--wait"];
    let (code, text) = said(&change(&plimsoll, &deploy));
    assert_eq!(code, Some(0), "{text}");
    curl_until(&[&plimsoll.admin_url("/api/v1/changes/orders-1")], |shown| {
        shown.contains("\"phase\": \"final\"")
    });
    plimsoll.wait_for_log("a version has ended");
    assert_eq!(children("v1", port), Vec::<u32>::new());
    for _ in 0..20 {
        assert!(curl(&[&plimsoll.url("/")]).ends_with("v2"));
    }
    let counts = got(users);
    let failed: Vec<_> = counts
        .iter()
        .filter(|(answer, _)| !answer.starts_with("200 "))
        .collect();
    assert!(failed.is_empty() && counts["200 v2"] > 100, "{counts:?}");
}

#[test]
fn a_version_that_ends_by_itself_again_and_again_is_taken_back() {
    let _busy = busy();
    let port = port();
    let plimsoll = supervising(port);
    let users = caller("users.py", &[&plimsoll.ingress, "200"]);
    until_usual(&plimsoll);
    let deploy = ["deploy", "orders", "--version", "mayfly", "--wait"];
    let (code, text) = said(&change(&plimsoll, &deploy));
    assert_eq!(code, Some(1), "{text}");
    // Which of the two is seen first is a matter of milliseconds.
    let is_why = |why: &str| text.contains(why);
    assert!(
        is_why("its process ends by itself again and again, at last with exit code 3")
            || is_why("it is worse than what it was to replace (failures)")
            || is_why("nothing of it answers any more"),
        "{text}"
    );
    curl_until(&[&plimsoll.admin_url("/api/v1/changes/orders-1")], |shown| {
        shown.contains("\"phase\": \"reverted\"")
    });
    assert_eq!(children("mayfly", port), Vec::<u32>::new());
    let counts = got(users);
    let failed: Vec<_> = counts
        .iter()
        .filter(|(answer, _)| !answer.starts_with("200 "))
        .collect();
    assert!(
        failed.is_empty(),
        "what it failed at was answered by v1: {counts:?}"
    );
}

#[test]
fn a_program_that_cannot_be_started_is_taken_back_with_the_reason() {
    let port = port();
    let driver = format!(
        "{{ at: 'http://127.0.0.1:{{port}}', ports: {port}-{}, process: {{ command: [/nowhere/orders] }} }}",
        port + 16
    );
    let (_old, old) = crate::world::service("version.py", &["v1"]);
    let plimsoll = Plimsoll::configured(&configuration(&driver, &format!("http://{old}")));
    let deploy = ["deploy", "orders", "--version", "v2", "--wait"];
    let (code, text) = said(&change(&plimsoll, &deploy));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("again and again, at last with No such file or directory"),
        "{text}"
    );
    assert!(curl(&[&plimsoll.url("/")]).ends_with("v1"));
}

#[test]
fn what_it_runs_lives_on_when_it_is_killed_and_is_found_again() {
    let port = port();
    let mut plimsoll = supervising(port);
    let before = children("v1", port);
    assert_eq!(before.len(), 1);
    plimsoll.process.signal("-KILL");
    plimsoll.process.end();
    assert!(curl(&[&format!("http://127.0.0.1:{port}/")]).ends_with("v1"));
    let mut again = plimsoll.again();
    curl_until(&[&again.url("/")], |answer| answer.ends_with("v1"));
    assert_eq!(children("v1", port), before);
    // One that ends by itself is started again, whoever had started it: it was found.
    crate::world::kill("-KILL", before[0]);
    again.wait_for_log("a version has ended by itself");
    again.wait_for_log("a version was started");
    let new = children("v1", port);
    assert!(new.len() == 1 && new != before, "{new:?}");
    curl_until(&[&again.url("/")], |answer| answer.ends_with("v1"));
    // And who is told to stop leaves nothing behind.
    again.process.signal("-TERM");
    assert_eq!(again.process.end(), Some(0));
    assert_eq!(children("v1", port), Vec::<u32>::new());
}

#[test]
fn programs_of_others_start_and_stop_versions() {
    let (_old, old) = crate::world::service("version.py", &["v1"]);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let script = directory.path().join("drive.sh");
    let [python, service] = programs("version.py");
    let base = port();
    std::fs::write(
        &script,
        format!(
            "echo $1 $PLIMSOLL_VERSION $PORT >> {log}
case $1 in
start) [ $PLIMSOLL_VERSION = v1 ] || {{ {python} {service} $PLIMSOLL_VERSION --port $PORT </dev/null >/dev/null 2>&1 & echo $! > {directory}/pid; }} ;;
stop) kill $(cat {directory}/pid); rm {directory}/pid ;;
running) [ $PLIMSOLL_VERSION = v1 ] || [ -f {directory}/pid ] ;;
esac
",
            log = log.display(),
            python = python.display(),
            service = service.display(),
            directory = directory.path().display(),
        ),
    )
    .unwrap();
    let script = script.display();
    let driver = format!(
        "{{ at: 'http://127.0.0.1:{{port}}', ports: {base}-{}, exec: {{ start: [sh, {script}, start], stop: [sh, {script}, stop], running: [sh, {script}, running] }} }}",
        base + 16
    );
    let plimsoll = Plimsoll::configured(&configuration(&driver, &format!("http://{old}")));
    let (code, text) = said(&change(&plimsoll, &["deploy", "orders", "--version", "v2"]));
    assert_eq!(code, Some(0), "{text}");
    let is_exposed = |shown: &str| shown.contains("\"phase\": \"step\"");
    let shown = plimsoll.admin_url("/api/v1/changes/orders-1");
    // It is well, so it was started.
    curl_until(&[&shown], is_exposed);
    let (code, text) = said(&change(&plimsoll, &["revert", "orders-1", "--reason", "enough"]));
    assert_eq!(code, Some(0), "{text}");
    curl_until(&[&shown], |shown| shown.contains("\"phase\": \"reverted\""));
    let log = std::fs::read_to_string(log).unwrap();
    let lines: Vec<String> = log
        .lines()
        .filter(|line| line.contains("v2"))
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(lines, ["running", "start", "stop"]);
}

#[test]
fn what_it_runs_is_taken_over_in_an_upgrade() {
    let port = port();
    let mut plimsoll = supervising(port);
    let before = children("v1", port);
    let heir = crate::upgrade::take_over(&mut plimsoll);
    plimsoll.wait_for_log("stopped");
    assert_eq!(
        children("v1", port),
        before,
        "the old process has left it running"
    );
    assert!(curl(&[&plimsoll.url("/")]).ends_with("v1"));
    heir.end(&mut plimsoll);
    assert_eq!(
        children("v1", port),
        Vec::<u32>::new(),
        "the new one has found it, and ends it"
    );
}
