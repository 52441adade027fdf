//! `cargo xtask bench flags`: what it costs to evaluate a flag, and how soon an edit is everywhere.
//!
//! A thousand providers hold an `EventStream` open; a flag is killed by the admin port, again and again, and for each stream
//! it is noted when it was told of that. The clock runs from before the edit is sent, so it has the port, the ledger, the
//! compilation of all flags and the loopback in it. The load shares the processors with what it measures.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use mio::{Events, Interest, Poll, Token};
use serde_json::json;

use super::aims::Judged;
use super::build;
use super::machine::Machine;
use super::policy::{benched, timings};
use super::process::now;
use super::report;

/// Streams, flags, and edits.
const STREAMS: usize = 1_000;
const FLAGS: usize = 200;
const EDITS: usize = 40;

/// What is aimed at: milliseconds until 99 in 100 streams know, and nanoseconds of an evaluation.
const KNOWN: f64 = 200.0;
const EVALUATED: [(&str, &str, f64); 2] = [
    ("static", "static", 150.0),
    ("a split by the targeting key, v2", "fractional", 500.0),
];

/// Time for any answer, and for all streams to be told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Loopback ports: those of other benches are elsewhere.
const INGRESS: u16 = 19_490;
const ADMIN: u16 = 19_491;
const PORT: u16 = 19_492;

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
    let mut told = edits(&plimsoll)?;
    told.sort_by(f64::total_cmp);
    let at = |share: f64| told[((told.len() - 1) as f64 * share) as usize];
    let said = benched("plimsoll-flags", "evaluations")?;
    let timed = timings(&said).with_context(|| format!("reading the timings:\n{said}"))?;
    let mut judged = vec![judge(
        format!("an edit until {STREAMS} open streams are told, of {FLAGS} flags, ms, p99"),
        at(0.99),
        KNOWN,
    )];
    for (begins, what, most) in EVALUATED {
        let of = timed.iter().find(|(name, _)| name.starts_with(begins));
        let (name, [_, median, _]) =
            of.with_context(|| format!("no timing begins with `{begins}`:\n{said}"))?;
        judged.push(judge(
            format!("evaluation, {what} ({name}), ns, median"),
            *median,
            most,
        ));
    }
    let rows: Vec<String> = timed
        .iter()
        .map(|(name, [least, median, greatest])| {
            format!("| {name} | {median:.0} | {least:.0} to {greatest:.0} |\n")
        })
        .collect();
    let text = format!(
        "{}\n{}\n{EDITS} edits, {} streams told: p50 {:.1} ms, p99 {:.1} ms, greatest {:.1} ms.\n\n| evaluation | ns | spread |\n|---|---|---|\n{}",
        machine.shown(),
        report::verdicts(&judged),
        told.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        rows.concat()
    );
    println!("{text}");
    report::keep("flags", &machine.date, &text)?;
    Ok(ExitCode::SUCCESS)
}

fn judge(what: String, measured: f64, most: f64) -> Judged {
    Judged {
        what,
        measured: format!("{measured:.1}"),
        aim: format!("≤ {most}"),
        verdict: if measured <= most {
            "met".to_owned()
        } else {
            format!("**missed** by {:.1}", measured - most)
        },
    }
}

/// Milliseconds from an edit until each stream was told, for each edit and stream.
fn edits(plimsoll: &Path) -> anyhow::Result<Vec<f64>> {
    let place = crate::root().join("target/bench-flags");
    std::fs::create_dir_all(&place).context("making a place")?;
    let file = place.join("flags.json");
    let flag = json!({
        "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off",
        "targeting": { "if": [{ "in": ["@example.com", { "var": "email" }] }, "on",
            { "fractional": [["on", 10], ["off", 90]] }] },
    });
    let all: serde_json::Map<_, _> = (0..FLAGS)
        .map(|number| (format!("flag-{number}"), flag.clone()))
        .collect();
    std::fs::write(&file, json!({ "flags": all }).to_string()).context("writing the flags")?;
    let _subject = start(plimsoll, &file)?;
    let mut streams = Streams::open()?;
    let mut told = Vec::with_capacity(EDITS * STREAMS);
    for edit in 0..EDITS {
        let key = format!("flag-{edit}");
        let began = now();
        kill(&key)?;
        let needle = format!("\"{key}\"");
        let times = streams.told(&needle, now() + PATIENCE)?;
        told.extend(times.into_iter().map(|at| 1_000.0 * (at - began).as_secs_f64()));
    }
    Ok(told)
}

fn start(plimsoll: &Path, flags: &Path) -> anyhow::Result<Subject> {
    let yaml = format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:{INGRESS}', routes: [{{ name: all, path: '/{{*rest}}' }}] }}]
upstreams: [{{ name: app, endpoints: ['http://127.0.0.1:9'] }}]
admin: {{ listen: '127.0.0.1:{ADMIN}' }}
state: {{ file: off }}
flags: {{ file: '{}', listen: ['127.0.0.1:{PORT}'] }}
",
        flags.display()
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
    while [ADMIN, PORT]
        .iter()
        .any(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err())
    {
        anyhow::ensure!(now() < until, "it does not listen");
        std::thread::yield_now();
    }
    Ok(subject)
}

fn kill(flag: &str) -> anyhow::Result<()> {
    let body = json!({ "reason": "measured", "author": "bench" }).to_string();
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, ADMIN)).context("asking the admin port")?;
    stream.set_read_timeout(Some(PATIENCE)).context("bounding it")?;
    write!(
        stream,
        "POST /api/v1/flags/{flag}/kill HTTP/1.1\r\nHost: 127.0.0.1:{ADMIN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .context("asking the admin port")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("reading its answer")?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 201"), "it was not done: {answer}");
    Ok(())
}

/// Streams that are open, and what each has sent since it was looked at last.
struct Streams {
    poll: Poll,
    all: Vec<(mio::net::TcpStream, Vec<u8>)>,
}

impl Streams {
    /// Opens all, and waits until each has said that it is ready.
    fn open() -> anyhow::Result<Self> {
        let poll = Poll::new().context("waiting for streams")?;
        let mut all = Vec::with_capacity(STREAMS);
        for index in 0..STREAMS {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).context("opening a stream")?;
            let head = format!(
                "POST /flagd.evaluation.v1.Service/EventStream HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nContent-Type: application/connect+json\r\nConnect-Protocol-Version: 1\r\nContent-Length: 7\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).context("asking for a stream")?;
            stream
                .write_all(b"\0\0\0\0\x02{}")
                .context("asking for a stream")?;
            stream.set_nonblocking(true).context("reading a stream")?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE)
                .context("watching a stream")?;
            all.push((stream, Vec::new()));
        }
        let mut streams = Self { poll, all };
        let last = format!("\"flag-{}\"", FLAGS - 1);
        streams.told(&last, now() + PATIENCE)?;
        Ok(streams)
    }

    /// When each has sent this, all of them by then.
    fn told(&mut self, needle: &str, until: std::time::Instant) -> anyhow::Result<Vec<std::time::Instant>> {
        let mut at = vec![None; self.all.len()];
        let mut left = self.all.len();
        let mut events = Events::with_capacity(1_024);
        while left > 0 {
            anyhow::ensure!(now() < until, "{left} streams were not told of {needle}");
            self.poll
                .poll(&mut events, Some(Duration::from_millis(100)))
                .context("waiting for streams")?;
            for event in &events {
                let index = event.token().0;
                let (stream, heard) = &mut self.all[index];
                let mut bytes = [0; 16 << 10];
                loop {
                    match stream.read(&mut bytes) {
                        Ok(0) => anyhow::bail!("a stream has ended"),
                        Ok(count) => heard.extend(&bytes[..count]),
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error).context("reading a stream"),
                    }
                }
                let has = heard
                    .windows(needle.len())
                    .any(|window| window == needle.as_bytes());
                if has && at[index].is_none() {
                    at[index] = Some(now());
                    heard.clear();
                    left -= 1;
                }
            }
        }
        Ok(at.into_iter().flatten().collect())
    }
}
