//! Gateways that share a database: what each of them counts is judged by all, and nothing is counted twice or lost.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use private_postgres::Server;
use serde_json::Value;

use crate::world::{PATIENCE, Plimsoll, curl, curl_until, kill, service, tool};

fn configuration(service: &str, database: &str) -> String {
    format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', trust: [127.0.0.1/32], routes: [{{ name: all }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{service}'], breaker: off, outlier: off }}]
admin: {{ listen: '127.0.0.1:0' }}
objectives:
  - {{ name: checkout, target: 99.9% }}
  - {{ name: quick, target: 90%, latency: 300ms, window: 7d }}
  - {{ name: by-minute, target: 99%, budget: ratio-timeslices, slice: 1m }}
state: {{ database: '{database}' }}
"
    )
}

fn json(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

fn objectives(plimsoll: &Plimsoll) -> Value {
    json(&curl(&[&plimsoll.admin_url("/api/v1/objectives")]))
}

/// Everything that all of them say of every objective, once they say the same of the same second.
#[track_caller]
fn agreed(all: &[&Plimsoll], wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut said: Vec<Value> = all.iter().map(|one| objectives(one)).collect();
        let first = said.remove(0);
        if said.iter().all(|other| *other == first) && wanted(&first) {
            return first;
        }
        assert!(Instant::now() < end, "they do not agree: {first:#}\n{said:#?}");
    }
}

fn counted(said: &Value) -> (u64, u64) {
    let window = &said["objectives"][0]["in_window"];
    (window["good"].as_u64().unwrap(), window["bad"].as_u64().unwrap())
}

#[test]
fn three_gateways_on_one_database_agree_on_every_number() {
    let (_service, service) = service("http_service.py", &[]);
    let server = Server::start();
    let yaml = configuration(&service, &server.database("state"));
    let [one, two, three] = [(); 3].map(|()| Plimsoll::configured(&yaml));
    for gateway in [&one, &two, &three] {
        gateway.ask_as_many(200);
        gateway.ask_as_many(500);
    }
    let all = agreed(&[&one, &two, &three], |said| counted(said) == (120, 120));
    let checkout = &all["objectives"][0];
    assert_eq!(checkout["calls"], "page", "{checkout:#}");
    // The same forty called at each of them.
    assert!(checkout["callers_failing"].as_u64() <= Some(40), "{checkout:#}");
    // And it is one alert, whoever has seen it first.
    let alerts = |gateway: &Plimsoll| {
        let url = gateway.admin_url("/api/v1/alerts");
        let said = json(&curl_until(&[&url], |answer| answer.contains("checkout-page-1")));
        let alerts = said["alerts"].as_array().unwrap().iter();
        let ids = alerts.map(|one| one["id"].as_str().unwrap().to_owned());
        let mut pages: Vec<String> = ids.filter(|id| id.contains("checkout-page")).collect();
        pages.sort_unstable();
        pages
    };
    for gateway in [&one, &two, &three] {
        assert_eq!(alerts(gateway), ["checkout-page-1"]);
    }
    // A fourth that comes late knows all of it.
    let four = Plimsoll::configured(&yaml);
    agreed(&[&one, &four], |said| counted(said) == (120, 120));
    copies(&server, &yaml);
}

/// What people do with it: look, copy it into a file, and add that to another database.
#[track_caller]
fn copies(server: &Server, yaml: &str) {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.state");
    let copy = copy.to_str().unwrap();
    let folder = server.folder().display().to_string();
    let at = |name: &str| format!("postgres://postgres@/{name}?host={folder}");
    let state = |args: &[&str]| {
        let args: Vec<&str> = ["state"].into_iter().chain(args.iter().copied()).collect();
        tool(env!("CARGO_BIN_EXE_plimsoll"), &args)
    };
    let checked = state(&["check", &at("state")]);
    assert!(
        checked.contains("of 4 objectives and watched routes"),
        "{checked}"
    );
    let copied = state(&["backup", &at("state"), copy]);
    assert!(copied.contains("is a copy: it is whole"), "{copied}");
    server.database("other");
    let added = state(&["restore", copy, &at("other")]);
    assert!(added.contains("was added to postgres://"), "{added}");
    let other = yaml.replace("dbname=state", "dbname=other");
    let five = Plimsoll::configured(&other);
    agreed(&[&five], |said| counted(said) == (120, 120));
}

/// Asks again and again over one connection, until it breaks or is to stop. When each answer came.
fn ask_until(gateway: &str, stop: &AtomicBool) -> VecDeque<Instant> {
    let mut answered = VecDeque::new();
    let mut ask = || -> std::io::Result<()> {
        let stream = TcpStream::connect(gateway)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answers = BufReader::new(stream.try_clone()?);
        let mut stream = stream;
        while !stop.load(Relaxed) {
            stream.write_all(b"GET /status/200 HTTP/1.1\r\nHost: a\r\n\r\n")?;
            let mut length = 0;
            loop {
                let mut line = String::new();
                if answers.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            answers.read_exact(&mut vec![0; length])?;
            answered.push_back(Instant::now());
        }
        Ok(())
    };
    // A connection that is cut is what it is about.
    drop(ask());
    answered
}

#[test]
fn who_is_killed_loses_its_last_second_at_most_and_nothing_is_counted_twice() {
    let (_service, service) = service("http_service.py", &[]);
    let server = Server::start();
    let yaml = configuration(&service, &server.database("state"));
    let [one, two, three] = [(); 3].map(|()| Plimsoll::configured(&yaml));
    let stop = AtomicBool::new(false);
    let (answers, killed) = std::thread::scope(|scope| {
        let asking: Vec<_> = [&one, &two, &three]
            .map(|gateway| gateway.ingress.clone())
            .into_iter()
            .map(|gateway| scope.spawn(|| ask_until(&{ gateway }, &stop)))
            .collect();
        // It has written again and again, and is at it.
        curl_until(&[&one.admin_url("/api/v1/objectives")], |answer| {
            counted(&json(answer)).0 > 300
        });
        let killed = Instant::now();
        three.process.signal("-KILL");
        let seen = counted(&objectives(&one)).0;
        curl_until(&[&two.admin_url("/api/v1/objectives")], |answer| {
            counted(&json(answer)).0 > seen + 100
        });
        stop.store(true, Relaxed);
        let answers: Vec<_> = asking.into_iter().map(|one| one.join().unwrap()).collect();
        (answers, killed)
    });
    let [first, second, third] = [0, 1, 2].map(|at: usize| answers[at].len() as u64);
    let last_second = |at: &&Instant| killed.saturating_duration_since(**at) < Duration::from_secs(1);
    let lost_at_most = answers[2].iter().filter(last_second).count() as u64;
    // What was under way when it was killed may have been counted and not answered.
    let told = |said: &Value| {
        (first + second + third - lost_at_most..=first + second + third + 1).contains(&counted(said).0)
    };
    agreed(&[&one, &two], told);
    // Whoever takes its place begins with what was written, and adds to it once. The last that was counted may have come
    // after the two have agreed.
    let four = Plimsoll::configured(&yaml);
    let same = agreed(&[&one, &two, &four], told);
    assert_eq!(counted(&same).1, 0);
}

#[test]
fn a_database_that_is_away_holds_up_nobody_and_nothing_is_counted_twice_when_it_is_back() {
    let (_service, service) = service("http_service.py", &[]);
    let server = Server::start();
    let yaml = configuration(&service, &server.database("state"));
    let [mut one, two] = [(); 2].map(|()| Plimsoll::configured(&yaml));
    one.ask_as_many(200);
    agreed(&[&one, &two], |said| counted(said) == (40, 0));
    server.stop();
    one.wait_for_log("the state cannot be kept; counting goes on in memory");
    // Each counts on, and knows what it knew and what it sees itself.
    one.ask_as_many(200);
    two.ask_as_many(500);
    for (gateway, known) in [(&one, (80, 0)), (&two, (40, 40))] {
        let url = gateway.admin_url("/api/v1/objectives");
        curl_until(&[&url], |answer| counted(&json(answer)) == known);
    }
    // One begins while there is nothing to begin with.
    let three = Plimsoll::configured(&yaml);
    three.ask_as_many(200);
    let url = three.admin_url("/api/v1/objectives");
    curl_until(&[&url], |answer| counted(&json(answer)) == (40, 0));
    server.restart();
    one.wait_for_log("the state is kept again");
    agreed(&[&one, &two, &three], |said| counted(said) == (120, 40));
    // It does not answer at all: that is told as well, and carries on.
    kill("-STOP", server.pid());
    for pid in server.backends() {
        kill("-STOP", pid);
    }
    let told = one.wait_for_log("the state cannot be kept; counting goes on in memory");
    assert!(
        told["error"].as_str().unwrap().contains("did not answer"),
        "{told}"
    );
    one.ask_as_many(200);
    for pid in server.backends() {
        kill("-CONT", pid);
    }
    kill("-CONT", server.pid());
    agreed(&[&one, &two, &three], |said| counted(said) == (160, 40));
}
