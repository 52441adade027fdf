//! What is upgraded: one Plimsoll after the other, known by its id.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::callers::Origins;
use crate::bench::process::now;
use crate::bench::setting::free_port;
use crate::bench::tools::{printed, quietly};

/// How long an old process may take to end: its drain, and room to spare.
const END_MAX: Duration = Duration::from_mins(1);
/// How long a start may take.
const START_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether it has.
const GLANCE: Duration = Duration::from_millis(5);

/// Where callers come in, and where operators do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) fast: u16,
    pub(super) grpc: u16,
    pub(super) websocket: u16,
    pub(super) admin: u16,
    /// Of the server that wrk is answered by.
    pub(super) origin: u16,
}

impl Ports {
    pub(super) fn find() -> anyhow::Result<Self> {
        Ok(Self {
            http: free_port()?,
            fast: free_port()?,
            grpc: free_port()?,
            websocket: free_port()?,
            admin: free_port()?,
            origin: free_port()?,
        })
    }
}

#[derive(Debug)]
pub(super) struct Subject {
    plimsoll: PathBuf,
    ports: Ports,
    file: PathBuf,
    config: Value,
    changes: u64,
    /// The one that serves.
    pid: u32,
}

impl Subject {
    pub(super) fn start(plimsoll: PathBuf, ports: Ports, origins: &Origins) -> anyhow::Result<Self> {
        let directory = crate::root().join("target/bench");
        std::fs::create_dir_all(&directory).context("creating target/bench")?;
        let file = directory.join("upgrades.yaml");
        let mut subject = Self {
            config: config(ports, origins),
            plimsoll,
            ports,
            file,
            changes: 0,
            pid: 0,
        };
        subject.change()?;
        let log = directory.join("upgrades.log");
        let log = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let child = Command::new(&subject.plimsoll)
            .args(["run", "--cores", "2", "--config"])
            .arg(&subject.file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("sharing the log")?)
            .stderr(log)
            .spawn()
            .context("starting plimsoll")?;
        subject.pid = child.id();
        // It is known by its id from here on, as all that come after it; this waits for its end, so that it is one.
        thread::Builder::new()
            .spawn(move || {
                let mut child = child;
                child.wait()
            })
            .context("starting a thread")?;
        let until = now() + START_MAX;
        while subject.ask("status").is_err() {
            anyhow::ensure!(
                now() < until,
                "plimsoll does not come up; see target/bench/upgrades.log"
            );
            thread::sleep(GLANCE);
        }
        Ok(subject)
    }

    pub(super) fn ports(&self) -> Ports {
        self.ports
    }

    fn ask(&self, verb: &str) -> anyhow::Result<String> {
        let admin = format!("http://127.0.0.1:{}", self.ports.admin);
        printed(Command::new(&self.plimsoll).args([verb, "--admin", &admin]))
    }

    fn change(&mut self) -> anyhow::Result<()> {
        self.changes += 1;
        for upstream in self.config["upstreams"].as_array_mut().into_iter().flatten() {
            upstream["in_flight_max"] = (1_000 + self.changes % 1_000).into();
        }
        self.config["observe"] = json!({ "slow": format!("{}ms", 1_000 + self.changes % 1_000) });
        // JSON is YAML. Put in place whole, as an editor does: a process may be reading it.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{:#}\n", self.config)).context("writing the configuration")?;
        std::fs::rename(&new, &self.file).context("putting the configuration in place")
    }

    /// Has another configuration take effect.
    pub(super) fn reload(&mut self) -> anyhow::Result<()> {
        self.change()?;
        let said = self.ask("reload")?;
        anyhow::ensure!(
            said.contains("observe.slow"),
            "the reload changed something else: {said}"
        );
        Ok(())
    }

    /// Has another process take over; the old one's id.
    pub(super) fn upgrade(&mut self) -> anyhow::Result<u32> {
        let said = self.ask("upgrade")?;
        let pid = said.split(' ').nth(1).and_then(|pid| pid.parse().ok());
        let pid = pid.with_context(|| format!("finding the new process in: {said}"))?;
        Ok(std::mem::replace(&mut self.pid, pid))
    }
}

/// Waits for the end of a process that was left.
pub(super) fn ended(pid: u32) -> anyhow::Result<()> {
    let until = now() + END_MAX;
    while is_there(pid) {
        anyhow::ensure!(now() < until, "process {pid} does not end");
        thread::sleep(GLANCE);
    }
    Ok(())
}

/// One that has ended and that nobody has asked about is there no more: whoever took it over may not ask.
fn is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

impl Drop for Subject {
    fn drop(&mut self) {
        let pid = self.pid.to_string();
        // It may have ended by itself.
        if Path::new("/proc").join(&pid).exists() && quietly(Command::new("kill").arg(&pid)).is_ok() {
            drop(ended(self.pid));
        }
    }
}

fn config(ports: Ports, origins: &Origins) -> Value {
    let listener = |name: &str, port: u16| {
        json!({
            "name": name,
            "listen": format!("127.0.0.1:{port}"),
            "routes": [{ "name": name, "path": "/{*rest}", "upstream": name }],
        })
    };
    let upstream = |name: &str, address: &str, protocol: &str| json!({ "name": name, "endpoints": [format!("http://{address}")], "protocol": protocol });
    json!({
        "listeners": [
            listener("http", ports.http),
            listener("fast", ports.fast),
            listener("grpc", ports.grpc),
            listener("websocket", ports.websocket),
        ],
        "upstreams": [
            upstream("http", &origins.http.address, "http1"),
            upstream("fast", &format!("127.0.0.1:{}", ports.origin), "http1"),
            upstream("grpc", &origins.grpc.address, "http2"),
            upstream("websocket", &origins.websocket.address, "http1"),
        ],
        "admin": { "listen": format!("127.0.0.1:{}", ports.admin) },
    })
}
