//! Who calls while processes change, and who answers behind them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

use anyhow::Context as _;
use serde_json::Value;

use super::subject::Ports;
use crate::bench::load::{Told, script, wrk_told};
use crate::bench::tools::{find, printed};

/// Connections of wrk: enough that some are always waiting to be accepted when a process changes.
const CONNECTIONS: &str = "16";
/// How long one run of wrk is. There is one after the other until all is over.
const RUN: &str = "5s";

/// A program in Python that the tests use as well.
#[derive(Debug)]
pub(super) struct Peer {
    child: Child,
    out: BufReader<ChildStdout>,
    /// Where it serves, or whatever it said first.
    pub(super) address: String,
}

impl Peer {
    fn start(script: &str, args: &[String]) -> anyhow::Result<Self> {
        let python = crate::root().join("target/test-python/bin/python");
        anyhow::ensure!(
            python.exists(),
            "target/test-python is missing: ./test prepares it"
        );
        let mut command = Command::new(python);
        command.arg(crate::root().join("crates/plimsoll/tests/it/peers").join(script));
        Self::of(command.args(args)).with_context(|| format!("starting {script}"))
    }

    fn of(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("reading what it says")?;
        let mut peer = Self {
            child,
            out: BufReader::new(out),
            address: String::new(),
        };
        peer.address = peer.line()?;
        Ok(peer)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        let read = self.out.read_line(&mut line)?;
        anyhow::ensure!(read > 0, "it ended without a word");
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What stands behind Plimsoll.
#[derive(Debug)]
pub(super) struct Origins {
    pub(super) http: Peer,
    pub(super) grpc: Peer,
    pub(super) websocket: Peer,
    fast: Child,
}

impl Origins {
    pub(super) fn start(ports: &Ports) -> anyhow::Result<Self> {
        let serve = ["serve".to_owned()];
        let xtask = std::env::current_exe().context("finding this program")?;
        let fast = Command::new(xtask)
            .args(["bench", "origin", &ports.origin.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("starting the origin")?;
        Ok(Self {
            fast,
            http: Peer::start("http_service.py", &[])?,
            grpc: Peer::start("grpc_peer.py", &serve)?,
            websocket: Peer::start("websocket_peer.py", &serve)?,
        })
    }
}

impl Drop for Origins {
    fn drop(&mut self) {
        drop(self.fast.kill());
        drop(self.fast.wait());
    }
}

/// What callers noticed.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    /// Answered well and failed, by kind of caller.
    counts: BTreeMap<String, (u64, u64)>,
    /// The first failures of each kind, in words.
    pub(super) failures: Vec<String>,
}

impl Noticed {
    pub(super) fn failed(&self) -> u64 {
        self.counts.values().map(|(_, failed)| failed).sum()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.counts
            .iter()
            .map(|(kind, (answered, failed))| (&**kind, *answered, *failed))
    }

    /// Takes in what `callers.py` says of itself.
    fn of_callers(line: &str) -> anyhow::Result<Self> {
        let said: Value = serde_json::from_str(line).context("reading what the callers say")?;
        let mut noticed = Self::default();
        for (kind, count) in said["answered"].as_object().into_iter().flatten() {
            let count = count.as_u64().context("reading a count")?;
            match kind.strip_suffix(" failed") {
                Some(kind) => noticed.counts.entry(kind.to_owned()).or_default().1 = count,
                None => noticed.counts.entry(kind.clone()).or_default().0 = count,
            }
        }
        for (kind, words) in said["failures"].as_object().into_iter().flatten() {
            let words = words.as_array().into_iter().flatten().filter_map(Value::as_str);
            noticed
                .failures
                .extend(words.map(|words| format!("{kind}: {words}")));
        }
        Ok(noticed)
    }

    /// Takes in what wrk says.
    fn add_wrk(&mut self, told: Told) {
        let (answered, failed) = self.counts.entry("wrk".to_owned()).or_default();
        *answered += (told.requests - told.refused).max(0.0) as u64;
        *failed += told.failed() as u64;
    }
}

/// All of them, calling.
#[derive(Debug)]
pub(super) struct Callers {
    peer: Peer,
    stop: Arc<AtomicBool>,
    wrk: JoinHandle<anyhow::Result<Vec<Told>>>,
}

impl Callers {
    pub(super) fn start(ports: Ports) -> anyhow::Result<Self> {
        let wrk = find("wrk").context("finding wrk (Debian package wrk)")?;
        let lua = crate::root().join("target/bench/upgrades.lua");
        std::fs::write(&lua, script(0)).context("writing wrk's script")?;
        let address = |port: u16| format!("127.0.0.1:{port}");
        let called = [ports.http, ports.grpc, ports.websocket].map(address);
        let peer = Peer::start("callers.py", &called)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let url = format!("http://127.0.0.1:{}/", ports.fast);
        let wrk = thread::Builder::new()
            .spawn(move || run_wrk(&wrk, &lua, &url, &stopped))
            .context("starting a thread")?;
        Ok(Self { peer, stop, wrk })
    }

    /// Lets them finish, and says what they noticed.
    pub(super) fn end(mut self) -> anyhow::Result<Noticed> {
        self.stop.store(true, Relaxed);
        let wrk = self
            .wrk
            .join()
            .map_err(|_| anyhow::anyhow!("wrk's thread ended by a panic"))??;
        let stdin = self
            .peer
            .child
            .stdin
            .as_mut()
            .context("telling the callers to end")?;
        stdin.write_all(b"\n").context("telling the callers to end")?;
        let mut noticed = Noticed::of_callers(&self.peer.line()?)?;
        for told in wrk {
            noticed.add_wrk(told);
        }
        Ok(noticed)
    }
}

fn run_wrk(wrk: &PathBuf, lua: &PathBuf, url: &str, stop: &AtomicBool) -> anyhow::Result<Vec<Told>> {
    let mut all = Vec::new();
    while !stop.load(Relaxed) {
        let mut command = Command::new(wrk);
        command.args(["--threads", "1", "--connections", CONNECTIONS, "--duration", RUN]);
        command.args(["--timeout", "10s", "--script"]).arg(lua).arg(url);
        let text = printed(&mut command)?;
        all.push(wrk_told(&text).with_context(|| format!("reading what wrk says:\n{text}"))?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_say_is_read() {
        let line = r#"{"answered":{"kept":7,"slow failed":1},"failures":{"slow":["reset"]}}"#;
        let mut noticed = Noticed::of_callers(line).unwrap();
        let told = Told {
            requests: 10.0,
            refused: 1.0,
            broken: 2.0,
            ..Told::default()
        };
        noticed.add_wrk(told);
        noticed.add_wrk(told);
        let rows: Vec<_> = noticed.rows().collect();
        assert_eq!(rows, [("kept", 7, 0), ("slow", 0, 1), ("wrk", 18, 6)]);
        assert_eq!(
            (noticed.failed(), noticed.failures),
            (7, vec!["slow: reset".to_owned()])
        );
        assert!(Noticed::of_callers("calling").is_err());
    }
}
