//! Requests that can be read in two ways, through the gateway to servers that read them in their own.
//!
//! Every case of `crates/gateway/testdata/framing.txt` is played to the gateway with each server behind it. Whatever the
//! gateway refuses must not reach the server; what it passes on must be seen as what the gateway took it for: never a
//! second request out of one, and where the server says what it saw, with the same method and the same body as every
//! other server saw.

mod servers;
mod tap;

#[path = "../../../crates/gateway/tests/it/framing/script.rs"]
#[allow(clippy::unwrap_used, reason = "a script that cannot be read has no cases")]
mod script;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use self::script::{Case, cases};
use self::servers::{From, Place, SERVERS, Server};
use self::tap::Tap;
use super::plimsoll::Plimsoll;
use super::{Bench, Verdict, quietly};

/// What each case led an application to see, by its number: the first server that says so speaks for all.
type Seen = BTreeMap<usize, (&'static str, Vec<String>)>;

pub(super) fn run(bench: &Bench, options: &[String]) -> anyhow::Result<Verdict> {
    let all = options.iter().any(|option| option == "--all");
    let place = Place {
        directory: bench.directory("framing")?,
    };
    bench.directory("framing/empty")?;
    if all {
        install_debian()?;
    }
    let chosen: Vec<&Server> = SERVERS
        .iter()
        .filter(|server| (all || matches!(server.from, From::Tool(_))) && server.is_there())
        .collect();
    let pip: Vec<_> = chosen
        .iter()
        .filter_map(|server| match server.from {
            From::Pip(packages) => Some(packages),
            From::Tool(_) | From::Debian(..) => None,
        })
        .collect();
    place.install_python(&pip)?;
    let script = crate::root().join("crates/gateway/testdata/framing.txt");
    let cases =
        cases(&std::fs::read_to_string(&script).with_context(|| format!("reading {}", script.display()))?);
    let mut seen = Seen::new();
    let mut wrong = Vec::new();
    for server in &chosen {
        let found =
            play_all(bench, &place, server, &cases, &mut seen).with_context(|| server.name.to_owned())?;
        println!("  {}: {} cases, {} wrong", server.name, cases.len(), found.len());
        wrong.extend(found.into_iter().map(|what| format!("{}: {what}", server.name)));
    }
    Ok(if wrong.is_empty() {
        let names: Vec<_> = chosen.iter().map(|server| server.name).collect();
        Verdict::Passed(format!(
            "{} cases, {} servers: {}",
            cases.len(),
            names.len(),
            names.join("; ")
        ))
    } else {
        Verdict::Failed(wrong.join("\n"))
    })
}

fn install_debian() -> anyhow::Result<()> {
    let missing: Vec<_> = SERVERS
        .iter()
        .filter(|server| !server.is_there())
        .filter_map(|server| match server.from {
            From::Debian(_, package) => Some(package),
            From::Tool(_) | From::Pip(_) => None,
        })
        .collect();
    if missing.is_empty() || !super::has("apt-get") {
        return Ok(());
    }
    eprintln!("installing with apt-get: {}", missing.join(" "));
    let mut apt = Command::new("apt-get");
    // RUNLEVEL: they are to be there, not to be started.
    apt.args(["install", "-y", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1");
    quietly(&mut apt, "installing servers with apt-get")
}

/// What a server refuses that others take: its name, the case, and what it does.
const EXCEPTIONS: &[(&str, &str, &str)] = &[("varnish", "A trailer that passes", "it hangs up on trailers")];

/// Plays every case to one server; what was wrong.
fn play_all(
    bench: &Bench,
    place: &Place,
    server: &Server,
    cases: &[Case],
    seen: &mut Seen,
) -> anyhow::Result<Vec<String>> {
    let running = server.start(place)?;
    let (tap, address) = Tap::before(running.address)?;
    // The limits are those of the script; whatever would send a request again, or not at all, is off.
    let yaml = format!(
        "listeners:
  - name: ingress
    listen: 127.0.0.1:0
    limits: {{ head: 4KiB, headers: 20, target: 1KiB, body: 1KB }}
    routes: [{{ name: all, path: '/{{*rest}}', upstream: server, retry: off }}]
upstreams: [{{ name: server, endpoints: ['http://{address}'], breaker: off, outlier: off, health: off }}]
admin: {{ listen: '127.0.0.1:0' }}
"
    );
    let mut plimsoll = Plimsoll::start(bench.plimsoll()?, &place.directory, &yaml, 1)?;
    let gateway = plimsoll.listeners[0];
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let excused = EXCEPTIONS
            .iter()
            .any(|(name, title, _)| *name == server.name && *title == case.name);
        let before = (tap.answers(), tap.seen().len());
        if let Err(what) = play(gateway, case)
            && !excused
        {
            wrong.push(format!("{}: {what}", case.name));
        }
        let passed = case.answers.iter().all(|answer| answer == "200");
        let answers = tap.answers() - before.0;
        // More than these may be those of a case before, which the server gave up late.
        if passed && !excused && answers < case.upstream {
            wrong.push(format!(
                "{}: it answered {answers} requests, not {}",
                case.name, case.upstream
            ));
        }
        if server.says && passed {
            let saw = tap.seen().split_off(before.1);
            let known = seen.entry(number).or_insert_with(|| (server.name, saw.clone()));
            if !is_part_of(&saw, &known.1) && !is_part_of(&known.1, &saw) {
                wrong.push(format!(
                    "{}: it saw {saw:?}, and {} saw {:?}",
                    case.name, known.0, known.1
                ));
            } else if saw.len() > known.1.len() {
                *known = (server.name, saw);
            }
        }
    }
    // An answer that nobody asked for could come late.
    std::thread::sleep(Duration::from_millis(200));
    wrong.extend(tap.surplus());
    if !plimsoll.is_alive() {
        wrong.push("the gateway has ended".to_owned());
    }
    Ok(wrong)
}

/// Whether `some` is `all` without some of its items: a server may refuse by itself what another takes, a method that it
/// does not know for example, and has then answered it all the same.
fn is_part_of(some: &[String], all: &[String]) -> bool {
    let mut all = all.iter();
    some.iter().all(|item| all.any(|other| other == item))
}

/// Plays a case; what was different for the caller.
fn play(gateway: SocketAddr, case: &Case) -> Result<(), String> {
    let mut stream = TcpStream::connect(gateway).map_err(|error| format!("connecting: {error}"))?;
    let patience = Some(Duration::from_secs(5));
    let ready = stream
        .set_read_timeout(patience)
        .and_then(|()| stream.set_nodelay(true));
    ready.map_err(|error| error.to_string())?;
    for bytes in &case.sends {
        // What the gateway does not care to read is not sent.
        drop(stream.write_all(bytes));
    }
    if case.stays_open {
        drop(stream.write_all(b"GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    }
    let mut reading = BufReader::new(stream);
    let head_only = case
        .sends
        .first()
        .is_some_and(|bytes| bytes.starts_with(b"HEAD "));
    for expected in &case.answers {
        let answer = read_answer(&mut reading, head_only).map_err(|error| format!("no answer ({error})"))?;
        // Which status a server gives to what it got is its own affair.
        let right = match expected.split_once(' ') {
            None => answer.reason.is_none(),
            Some((status, reason)) => {
                answer.status.to_string() == status && answer.reason.as_deref() == Some(reason)
            }
        };
        if !right {
            return Err(format!("answered {answer:?}, not {expected}"));
        }
    }
    if case.stays_open {
        let answer = read_answer(&mut reading, false).map_err(|error| format!("it is not open ({error})"))?;
        if let Some(reason) = answer.reason {
            return Err(format!("what came after was refused: {reason}"));
        }
    }
    let mut rest = Vec::new();
    match reading.read_to_end(&mut rest) {
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ) =>
        {
            Err("it is still open".to_owned())
        }
        _ if !rest.is_empty() => Err(format!("then came {:?}", String::from_utf8_lossy(&rest))),
        _ => Ok(()),
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    /// Why the gateway refused; `None` when the server has answered.
    reason: Option<String>,
}

fn read_answer(stream: &mut BufReader<TcpStream>, head_only: bool) -> std::io::Result<Answer> {
    let mut answer = Answer {
        status: 0,
        reason: None,
    };
    let (mut length, mut chunked) = (None, false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if answer.status == 0 {
            let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
            answer.status = status.ok_or_else(|| std::io::Error::other(format!("{line:?} is no answer")))?;
        } else if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse::<u64>().ok(),
                "transfer-encoding" => chunked = true,
                "x-plimsoll-reason" => answer.reason = Some(value.to_owned()),
                _ => {}
            }
        } else if line.is_empty() {
            if !(100..200).contains(&answer.status) {
                break;
            }
            answer.status = 0;
        }
    }
    let bodiless = head_only || matches!(answer.status, 204 | 304);
    match length {
        _ if bodiless => {}
        _ if chunked => loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
            std::io::copy(&mut stream.by_ref().take(size + 2), &mut std::io::sink())?;
            if size == 0 {
                break;
            }
        },
        Some(length) => drop(std::io::copy(
            &mut stream.by_ref().take(length),
            &mut std::io::sink(),
        )?),
        None => drop(std::io::copy(stream, &mut std::io::sink())?),
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_borne_and_other_is_not() {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        let all = list(&["BREW 0 0", "GET 0 0"]);
        assert!(is_part_of(&list(&["GET 0 0"]), &all) && is_part_of(&[], &all) && is_part_of(&all, &all));
        assert!(
            !is_part_of(&list(&["GET 0 0", "BREW 0 0"]), &all),
            "in another order"
        );
        assert!(!is_part_of(&list(&["POST 5 532"]), &all));
    }
}
