//! A world of real processes: Plimsoll as its users start it, and services and clients that we did not write.
//!
//! Every process is ended by its id when its handle is dropped. Nothing sleeps: starting is waiting for the line that
//! says the address, and everything that is waited for has a bound.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A process that ends with its handle.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::Builder::new()
            .spawn(move || {
                out.lines()
                    .map_while(Result::ok)
                    .try_for_each(|line| sender.send(line))
            })
            .unwrap();
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line for which `wanted` has an answer.
    #[track_caller]
    pub(crate) fn wait_for<T>(&mut self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.wait_within(PATIENCE, what, wanted)
    }

    /// The same, for something that takes longer than anything else.
    #[track_caller]
    pub(crate) fn wait_within<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> T {
        let end = Instant::now() + patience;
        loop {
            let line = self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()));
            let Ok(line) = line else {
                panic!("no {what}; it said:\n{}", self.seen.join("\n"))
            };
            let found = wanted(&line);
            self.seen.push(line);
            if let Some(found) = found {
                return found;
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        kill(signal, self.child.id());
    }

    /// Sends it an empty line.
    pub(crate) fn nudge(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Memory that no file is behind, and how much of that is in huge pages, in KiB.
    pub(crate) fn anonymous(&self) -> (u64, u64) {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            value.trim().strip_suffix(" kB").unwrap().parse().unwrap()
        };
        (field("Anonymous:"), field("AnonHugePages:"))
    }

    /// Waits for its end; the exit code, or `None` if a signal ended it.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            // The output ends with the process, so waiting for more of it is waiting for its end.
            if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(20)) {
                self.seen.push(line);
            }
        }
        panic!("it does not end; it said:\n{}", self.seen.join("\n"));
    }
}

/// Sends a signal to a process of ours.
#[track_caller]
pub(crate) fn kill(signal: &str, pid: u32) {
    let status = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Held by tests that keep every core busy for seconds, so that one does at a time: others have clocks of their own.
pub(crate) fn busy() -> MutexGuard<'static, ()> {
    static BUSY: Mutex<()> = Mutex::new(());
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The Python that `./test` has prepared, with the packages that the peers need.
fn python() -> PathBuf {
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-python/bin/python");
    assert!(
        prepared.exists(),
        "{} is missing: ./test prepares it",
        prepared.display()
    );
    prepared
}

/// The program and the script of a peer, for whoever starts it.
pub(crate) fn programs(script: &str) -> [PathBuf; 2] {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers");
    [python(), peers.join(script)]
}

pub(crate) fn peer(script: &str) -> Command {
    let [python, script] = programs(script);
    let mut command = Command::new(python);
    command.arg(script);
    command
}

/// Starts a peer that serves; its address with it.
pub(crate) fn service(script: &str, args: &[&str]) -> (Process, String) {
    let mut process = Process::start(peer(script).args(args));
    let address = process.wait_for("address", |line| Some(line.to_owned()));
    (process, address)
}

/// Starts a peer that calls, and goes on until it is nudged.
pub(crate) fn caller(script: &str, args: &[&str]) -> Process {
    let mut process = Process::start(peer(script).args(args));
    process.wait_for("calls", |line| (line == "calling").then_some(()));
    process
}

/// Runs a peer that calls, to its end.
#[track_caller]
pub(crate) fn client(script: &str, args: &[&str]) -> String {
    let output = peer(script).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Its configuration, in a directory of its own.
const FILE: &str = "plimsoll.yaml";

/// Plimsoll, running.
#[derive(Debug)]
pub(crate) struct Plimsoll {
    pub(crate) process: Process,
    /// Where traffic goes in.
    pub(crate) ingress: String,
    /// Where operators look.
    pub(crate) admin: String,
    /// Where its configuration is, and what it keeps.
    directory: Option<tempfile::TempDir>,
}

impl Plimsoll {
    /// In front of one upstream, with no file at all.
    pub(crate) fn in_front_of(upstream: &str) -> Self {
        let url = format!("http://{upstream}");
        let args = [
            "run",
            "--upstream",
            &url,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--cores",
            "2",
        ];
        Self::started_by(Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(args), None)
    }

    /// With this file. Its first listener is where traffic goes in.
    pub(crate) fn configured(yaml: &str) -> Self {
        Self::configured_by(&mut Command::new(env!("CARGO_BIN_EXE_plimsoll")), yaml)
    }

    /// With this file, by a command that ends in `run --config FILE`.
    pub(crate) fn configured_by(command: &mut Command, yaml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), yaml).unwrap();
        Self::started_in(command, directory)
    }

    fn started_in(command: &mut Command, directory: tempfile::TempDir) -> Self {
        let path = directory.path().join(FILE);
        command.args(["run", "--config", path.to_str().unwrap(), "--cores", "2"]);
        Self::started_by(command, Some(directory))
    }

    /// Started once more, after it has ended, with the configuration that it had.
    pub(crate) fn again(&mut self) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        Self::started_in(&mut command, self.directory.take().unwrap())
    }

    fn started_by(command: &mut Command, directory: Option<tempfile::TempDir>) -> Self {
        let mut process = Process::start(command);
        let address_of = |message: &'static str| {
            move |line: &str| {
                let line: serde_json::Value = serde_json::from_str(line).ok()?;
                (line["msg"] == message).then(|| line["address"].as_str().unwrap().to_owned())
            }
        };
        let ingress = process.wait_for("listener", address_of("listening"));
        let admin = process.wait_for("admin port", address_of("operators may ask"));
        Self {
            process,
            ingress,
            admin,
            directory,
        }
    }

    /// One that was started by somebody else.
    pub(crate) fn of(process: Process, ingress: &str, admin: &str) -> Self {
        Self {
            process,
            ingress: ingress.to_owned(),
            admin: admin.to_owned(),
            directory: None,
        }
    }

    /// Rewrites the file that it was started with.
    pub(crate) fn rewrite(&self, yaml: &str) {
        std::fs::write(self.directory.as_ref().unwrap().path().join(FILE), yaml).unwrap();
    }

    /// Where a path is, for curl.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ingress)
    }

    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// Forty callers, each of whom is answered with this status by a service that does as it is asked.
    pub(crate) fn ask_as_many(&self, status: u16) {
        for caller in 0..40 {
            let from = format!("X-Forwarded-For: 10.0.0.{caller}");
            let url = self.url(&format!("/status/{status}"));
            curl(&["-o", "/dev/null", "-H", &from, &url]);
        }
    }

    /// Waits for a line of the log that says `message`.
    #[track_caller]
    pub(crate) fn wait_for_log(&mut self, message: &str) -> serde_json::Value {
        self.process.wait_for(message, |line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["msg"] == message).then_some(line)
        })
    }
}

/// What curl said: the answer's head with the body behind it.
#[track_caller]
pub(crate) fn curl(args: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-sSi", "--max-time", "20"])
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "curl {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asks until the answer is as wanted, for as long as anything may take.
#[track_caller]
pub(crate) fn curl_until(args: &[&str], wanted: impl Fn(&str) -> bool) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = curl(args);
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < end, "still: {answer}");
    }
}

/// Runs a tool to its end; what it said on standard output. Both pipes are read, or a tool that complains at length
/// would wait for us, and we for it.
#[track_caller]
pub(crate) fn tool(name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint: String = String::from_utf8_lossy(&output.stderr)
        .chars()
        .take(2_000)
        .collect();
    assert!(output.status.success(), "{name} {args:?}: {text}{complaint}");
    text
}

/// An authority, and a certificate that it signed for `localhost`, with its key.
pub(crate) fn certificates(files: &Path) -> [String; 3] {
    let file = |name: &str| files.join(name).to_str().unwrap().to_owned();
    let (ca, ca_key) = (file("ca.pem"), file("ca.key"));
    let (request, certificate, key) = (file("leaf.csr"), file("leaf.pem"), file("leaf.key"));
    let extensions = file("leaf.ext");
    std::fs::write(&extensions, "subjectAltName = DNS:localhost\n").unwrap();
    let ec = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-noenc",
    ];
    let authority = [
        "req",
        "-x509",
        "-subj",
        "/CN=authority",
        "-keyout",
        &ca_key,
        "-out",
        &ca,
    ];
    tool("openssl", &[&authority[..], &ec].concat());
    let leaf = [
        "req", "-new", "-subj", "/CN=leaf", "-keyout", &key, "-out", &request,
    ];
    tool("openssl", &[&leaf[..], &ec].concat());
    let sign = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key];
    let write = ["-extfile", &extensions, "-out", &certificate];
    tool("openssl", &[&sign[..], &write].concat());
    [ca, certificate, key]
}
