//! Load, and what its generator says of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::cases::{Client, Load};
use super::process::pinned;
use super::setting::TARGET;
use super::tools::{Tools, printed};

/// What a client would send besides its `Host`.
const HEADERS: &[(&str, &str)] = &[
    ("user-agent", "bench/1"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip, br"),
    ("accept-language", "en"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
];

/// What became of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) requests: f64,
    pub(crate) per_second: f64,
    /// `None` where the generator does not tell.
    pub(crate) p99_millis: Option<f64>,
    /// Answers other than 2xx and 3xx.
    pub(crate) refused: f64,
    /// Connections that could not be made or broke, and requests without an answer.
    pub(crate) broken: f64,
}

impl Told {
    pub(crate) const fn failed(&self) -> f64 {
        self.refused + self.broken
    }
}

/// Makes load on a port for some seconds, from this CPU.
///
/// # Errors
/// If the generator fails, or says what cannot be understood.
pub(crate) fn make(
    tools: &Tools,
    directory: &Path,
    load: Load,
    client: Client,
    port: u16,
    time: Duration,
) -> anyhow::Result<Told> {
    let mut command = command(tools, directory, load, client, port, time)?;
    let text = printed(&mut command)?;
    let told = match load {
        Load::Wrk { .. } => wrk_told(&text),
        Load::H2load { .. } => h2load_told(&text),
    };
    told.with_context(|| format!("reading what the load generator says:\n{text}"))
}

/// The command that makes this load.
///
/// # Errors
/// If wrk's script cannot be written.
fn command(
    tools: &Tools,
    directory: &Path,
    load: Load,
    client: Client,
    port: u16,
    time: Duration,
) -> anyhow::Result<Command> {
    let scheme = if client == Client::Tls { "https" } else { "http" };
    let url = format!("{scheme}://127.0.0.1:{port}{TARGET}");
    let seconds = time.as_secs().max(1);
    Ok(match load {
        Load::Wrk { connections, body } => {
            let path = directory.join("wrk.lua");
            std::fs::write(&path, script(body)).context("writing wrk's script")?;
            let mut command = pinned(super::measure::OTHER_CPU, &tools.wrk);
            command.args(["--threads", "1", "--timeout", "10s", "--connections"]);
            command.arg(connections.to_string());
            command.args(["--duration", &format!("{seconds}s"), "--script"]);
            command.arg(path).arg(url);
            command
        }
        Load::H2load { connections, streams } => {
            let mut command = pinned(super::measure::OTHER_CPU, &tools.h2load);
            command.args(["--threads=1", &format!("--clients={connections}")]);
            command.args([
                format!("--max-concurrent-streams={streams}"),
                format!("--duration={seconds}"),
            ]);
            let header = |(name, value): &(&str, &str)| format!("--header={name}: {value}");
            command.args(HEADERS.iter().map(header)).arg(url);
            command
        }
    })
}

/// wrk's script: the request, and a last line of numbers instead of wrk's rounded ones.
pub(super) fn script(body: usize) -> String {
    let headers: Vec<String> = HEADERS
        .iter()
        .map(|(name, value)| format!("wrk.headers[\"{name}\"] = \"{value}\"\n"))
        .collect();
    let request = if body == 0 {
        String::new()
    } else {
        format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {body})\n")
    };
    format!(
        "{}{request}function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(\"told %d %d %d %d %d\\n\", summary.requests, summary.duration, latency:percentile(99),
        e.status, e.connect + e.read + e.write + e.timeout))
end
",
        headers.concat()
    )
}

/// Reads `told REQUESTS MICROSECONDS P99-MICROSECONDS REFUSED BROKEN`.
pub(super) fn wrk_told(text: &str) -> Option<Told> {
    let line = text.lines().find_map(|line| line.strip_prefix("told "))?;
    let numbers: Vec<f64> = line
        .split(' ')
        .map(|word| word.parse().ok())
        .collect::<Option<_>>()?;
    let [requests, micros, p99_micros, refused, broken] = numbers[..] else {
        return None;
    };
    Some(Told {
        requests,
        per_second: requests / (micros / 1e6),
        p99_millis: Some(p99_micros / 1e3),
        refused,
        broken,
    })
}

/// Reads the lines `finished in …, N req/s, …`, `requests: …, N done, …` and `status codes: …`.
fn h2load_told(text: &str) -> Option<Told> {
    let line = |begin: &str| text.lines().find_map(|line| line.strip_prefix(begin));
    let before = |line: &str, word: &str| -> Option<f64> {
        line.split(", ")
            .find_map(|part| part.trim().strip_suffix(word))?
            .trim()
            .parse()
            .ok()
    };
    let requests = line("requests: ")?;
    let codes = line("status codes: ")?;
    Some(Told {
        requests: before(requests, "done")?,
        per_second: before(line("finished in ")?, "req/s")?,
        p99_millis: None,
        refused: before(codes, "4xx")? + before(codes, "5xx")?,
        broken: before(requests, "failed")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_tells_one_line_of_numbers() {
        let told = wrk_told("Running 1s test\ntold 50000 2000000 7250 3 4\n").unwrap();
        let expected = Told {
            requests: 50_000.0,
            per_second: 25_000.0,
            p99_millis: Some(7.25),
            refused: 3.0,
            broken: 4.0,
        };
        assert_eq!(told, expected);
        assert_eq!(wrk_told("told 1 2 3\n"), None);
    }

    #[test]
    fn h2load_tells_three_lines() {
        let text = "finished in 1.00s, 86491.00 req/s, 5.86MB/s\n\
            requests: 86491 total, 86619 started, 86491 done, 86490 succeeded, 1 failed, 1 errored, 0 timeout\n\
            status codes: 86488 2xx, 0 3xx, 0 4xx, 2 5xx\n";
        let expected = Told {
            requests: 86_491.0,
            per_second: 86_491.0,
            p99_millis: None,
            refused: 2.0,
            broken: 1.0,
        };
        assert_eq!(h2load_told(text).unwrap(), expected);
        assert_eq!(h2load_told("finished in 1.00s\n"), None);
    }

    #[test]
    fn a_body_makes_it_a_post() {
        assert!(script(4096).contains("wrk.method = \"POST\""));
        assert!(!script(0).contains("wrk.method"));
    }
}
