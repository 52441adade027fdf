//! `cargo xtask bench pages`: how soon people see what happened.
//!
//! A Plimsoll with many objectives, in front of an upstream that is not there. What is timed is the first page as a browser
//! loads it, with everything that it refers to, and how long after the end of a request its objective's verdict has it in:
//! the request is sent at any moment of the judge's second, and the verdict is asked for until it knows.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::build;
use super::machine::Machine;
use super::process::now;
use super::report::keep;

/// Objectives, and the routes that they are of.
const OBJECTIVES: usize = 500;
const ROUTES: usize = 50;

/// How often the page is loaded, and a request is waited for.
const LOADS: usize = 200;
const WAITS: usize = 100;

/// What is aimed at: milliseconds of the page at the median, kilobytes of all that it takes, and milliseconds until a
/// verdict knows, of 99 in 100.
const AIMS: [(&str, f64); 3] = [("first page", 100.0), ("bytes", 60.0), ("verdict", 1_000.0)];

/// Time for any answer, and for it to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Loopback ports: those of other benches are elsewhere.
const INGRESS: u16 = 19_480;
const ADMIN: u16 = 19_481;

/// A process that ends with its handle.
struct Subject(Child);

impl Drop for Subject {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(super) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(words.is_empty(), "takes no arguments");
    let plimsoll = build::binary_in("plimsoll", "release")?;
    let machine = Machine::look();
    let _subject = start(&plimsoll)?;
    for route in 0..ROUTES {
        ask(INGRESS, &format!("/r{route}"), "")?;
    }
    let mut loads = Vec::with_capacity(LOADS);
    let mut bytes = 0;
    for _ in 0..LOADS {
        let (took, size) = load()?;
        loads.push(took);
        bytes = size;
    }
    let mut waits = Vec::with_capacity(WAITS);
    for number in 0..WAITS {
        waits.push(until_known(number)?);
    }
    let rows = [
        row(
            "first page with all its files, 500 objectives, ms",
            AIMS[0],
            at(&mut loads, 0.5),
            &spread(&mut loads),
        ),
        row(
            "what that takes on the wire, kB",
            AIMS[1],
            bytes as f64 / 1_000.0,
            "",
        ),
        row(
            "from the end of a request until its verdict has it in, ms at p99",
            AIMS[2],
            at(&mut waits, 0.99),
            &spread(&mut waits),
        ),
    ];
    let text = format!(
        "{}\n| figure | measured | aim | verdict |\n|---|---|---|---|\n{}",
        machine.shown(),
        rows.concat()
    );
    println!("{text}");
    keep("pages", &machine.date, &text)?;
    Ok(ExitCode::SUCCESS)
}

fn start(plimsoll: &Path) -> anyhow::Result<Subject> {
    let objectives: Vec<String> = (0..OBJECTIVES)
        .map(|number| {
            format!(
                "  - {{ name: objective-{number}, target: 99.{}5%, routes: [r{}] }}\n",
                number % 10,
                number % ROUTES
            )
        })
        .collect();
    let routes: Vec<String> = (0..ROUTES)
        .map(|route| format!("{{ name: r{route}, path: /r{route} }}"))
        .collect();
    let yaml = format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:{INGRESS}', routes: [{}] }}]
upstreams: [{{ name: app, endpoints: ['http://127.0.0.1:9'], breaker: off, outlier: off }}]
admin: {{ listen: '127.0.0.1:{ADMIN}' }}
state: {{ file: off }}
objectives:\n{}",
        routes.join(", "),
        objectives.concat()
    );
    let mut child = Command::new(plimsoll)
        .args(["run", "--config", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .context("starting plimsoll")?;
    let mut input = child.stdin.take().context("writing its configuration")?;
    let subject = Subject(child);
    input
        .write_all(yaml.as_bytes())
        .context("writing its configuration")?;
    drop(input);
    let until = now() + PATIENCE;
    while [INGRESS, ADMIN]
        .iter()
        .any(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err())
    {
        anyhow::ensure!(now() < until, "it does not listen");
        std::thread::yield_now();
    }
    Ok(subject)
}

/// One request on a connection of its own; the whole answer.
fn ask(port: u16, path: &str, more: &str) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("opening a connection")?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .context("setting a timeout")?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\r\n");
    stream
        .write_all(request.as_bytes())
        .context("sending a request")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).context("reading an answer")?;
    anyhow::ensure!(answer.starts_with(b"HTTP/1.1 "), "no answer to {path}");
    Ok(answer)
}

/// Loads the first page and what it refers to as a browser does that has nothing of it yet: milliseconds, and bytes.
fn load() -> anyhow::Result<(f64, usize)> {
    const SQUEEZED: &str = "accept: text/html\r\naccept-encoding: gzip\r\n";
    let begun = now();
    let mut bytes = ask(ADMIN, "/", SQUEEZED)?.len();
    let took = begun.elapsed();
    let plain = ask(ADMIN, "/", "accept: text/html\r\n")?;
    let plain = String::from_utf8_lossy(&plain);
    let files: Vec<&str> = plain
        .split('"')
        .filter(|text| text.starts_with("/assets/"))
        .collect();
    anyhow::ensure!(!files.is_empty(), "the page refers to nothing:\n{plain}");
    let begun = now();
    for file in files {
        bytes += ask(ADMIN, file, SQUEEZED)?.len();
    }
    Ok((1_000.0 * (took + begun.elapsed()).as_secs_f64(), bytes))
}

/// Milliseconds from the end of a request until the verdict of an objective of its route counts it.
fn until_known(number: usize) -> anyhow::Result<f64> {
    let route = number % ROUTES;
    let counted = || -> anyhow::Result<u64> {
        let answer = ask(ADMIN, &format!("/api/v1/objectives/objective-{route}"), "")?;
        let text = String::from_utf8_lossy(&answer);
        let (_, body) = text.split_once("\r\n\r\n").context("an answer without a body")?;
        let verdict: serde_json::Value = serde_json::from_str(body).context("reading a verdict")?;
        let events = &verdict["in_window"];
        Ok(events["good"].as_u64().unwrap_or(0) + events["bad"].as_u64().unwrap_or(0))
    };
    let before = counted()?;
    // At any moment of a second: rests of 37 ms and its multiples meet all of them.
    std::thread::sleep(Duration::from_millis(37 * (number as u64 % 27)));
    ask(INGRESS, &format!("/r{route}"), "")?;
    let ended = now();
    while counted()? == before {
        anyhow::ensure!(ended.elapsed() < PATIENCE, "the verdict never knew");
    }
    Ok(1_000.0 * ended.elapsed().as_secs_f64())
}

/// The value at this share of all, by nearest rank.
fn at(all: &mut [f64], share: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    let rank = (share * all.len() as f64).ceil() as usize;
    all.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn spread(all: &mut [f64]) -> String {
    format!(" ({:.0}..{:.0})", at(all, 0.0), at(all, 1.0))
}

fn row(name: &str, (_, aim): (&str, f64), measured: f64, spread: &str) -> String {
    let verdict = if measured <= aim {
        "met".to_owned()
    } else {
        format!("**missed** by {:.0}", measured - aim)
    };
    format!("| {name} | {measured:.0}{spread} | ≤ {aim:.0} | {verdict} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_too_long_is_said() {
        let mut all = [5.0, 1.0, 3.0];
        assert_eq!(
            (at(&mut all, 0.5), at(&mut all, 0.99), &*spread(&mut all)),
            (3.0, 5.0, " (1..5)")
        );
        assert_eq!(
            row("page", AIMS[0], 37.2, " (20..90)"),
            "| page | 37 (20..90) | ≤ 100 | met |\n"
        );
        assert!(row("page", AIMS[0], 140.0, "").contains("**missed** by 40"));
    }
}
