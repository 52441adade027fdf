//! One measurement: a proxy is started, warmed, worked and ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::cases::{Case, Load, Work};
use super::peers::{self, Peer};
use super::process::{Process, now};
use super::results::Figure;
use super::setting::{Launch, Pair, Setting, free_port};
use super::tools::Tools;
use super::{idle, load};

/// Where the proxy runs, alone.
pub(crate) const PROXY_CPU: usize = 0;
/// Where the origin and the load generator run.
pub(crate) const OTHER_CPU: usize = 1;

/// Load before a measurement: connections are made and code and memory are touched.
const WARM: Duration = Duration::from_secs(1);
/// Rest before memory is read, so that what was only needed to start, or to answer, is given back.
const SETTLE: Duration = Duration::from_secs(2);
/// Time between two reloads: longer than one takes, short enough for many in a round.
const RELOAD_EVERY: Duration = Duration::from_millis(250);
/// How long a reload may take until it shows.
const RELOAD_MAX: Duration = Duration::from_secs(5);

/// What all measurements of a run have in common.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) tools: Tools,
    /// For configurations and logs.
    pub(crate) directory: PathBuf,
    pub(crate) pair: Pair,
    /// How long each is worked.
    pub(crate) time: Duration,
    origin: u16,
    /// Held for as long as there is something to measure.
    _serving: Process,
}

impl Bench {
    /// Starts the origin.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) fn begin(
        tools: Tools,
        directory: PathBuf,
        pair: Pair,
        time: Duration,
    ) -> anyhow::Result<Self> {
        let origin = free_port()?;
        let launch = Launch::new(&tools.xtask, &["bench", "origin", &origin.to_string()]);
        let serving = Process::start(&launch, OTHER_CPU, origin, directory.join("origin.log"))
            .context("starting the origin")?;
        Ok(Self {
            tools,
            directory,
            pair,
            time,
            origin,
            _serving: serving,
        })
    }

    /// Measures one proxy in one case, from its start to its end.
    ///
    /// # Errors
    /// If the proxy cannot be started or worked; with the end of its log.
    pub(crate) fn measure(&self, case: &Case, peer: &Peer) -> anyhow::Result<Vec<(Figure, f64)>> {
        let directory = self.directory.join(format!("{}-{}", case.name, peer.name));
        fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let setting = Setting {
            client: case.client,
            listen: free_port()?,
            admin: free_port()?,
            origin: self.origin,
            directory: &directory,
            pair: &self.pair,
        };
        let launch = (peer.launch)(&self.tools, &setting)?;
        let process = Process::start(&launch, PROXY_CPU, setting.listen, directory.join("log"))?;
        let figures = match case.work {
            Work::Saturate(load) => self.saturate(load, &setting, &process),
            Work::Rest { connections } => rest(connections, &setting, &process),
            Work::Reload(load) => self.reload(load, &setting, &process),
        };
        figures.with_context(|| format!("{} logged:\n{}", peer.name, process.log_end()))
    }

    fn saturate(
        &self,
        load: Load,
        setting: &Setting<'_>,
        process: &Process,
    ) -> anyhow::Result<Vec<(Figure, f64)>> {
        self.load(load, setting, WARM)?;
        let before = process.cpu()?;
        let told = self.load(load, setting, self.time)?;
        let used = process.cpu()?.saturating_sub(before);
        anyhow::ensure!(told.requests > 0.0, "no request was completed");
        // The kernel counts in hundredths of a second: no time at all means that this is not the process that works.
        anyhow::ensure!(!used.is_zero(), "it used no CPU time");
        let micros = used.as_secs_f64() * 1e6 / told.requests;
        let mut figures = vec![
            (Figure::CpuMicros, micros),
            (Figure::BusyPercent, micros * told.per_second / 1e4),
            (Figure::Rate, told.per_second),
            (Figure::Failed, told.failed()),
        ];
        figures.extend(told.p99_millis.map(|millis| (Figure::P99Millis, millis)));
        Ok(figures)
    }

    fn load(&self, load: Load, setting: &Setting<'_>, time: Duration) -> anyhow::Result<load::Told> {
        let Setting {
            client,
            listen,
            directory,
            ..
        } = *setting;
        let told = load::make(&self.tools, directory, load, client, listen, time)?;
        if told.failed() > 0.0 {
            eprintln!(
                "{} answers with an error status, {} requests without an answer; perhaps {} says why",
                told.refused,
                told.broken,
                directory.join("log").display()
            );
        }
        Ok(told)
    }

    /// Replaces the configuration again and again while load is on, and insists that each took effect.
    fn reload(
        &self,
        load: Load,
        setting: &Setting<'_>,
        process: &Process,
    ) -> anyhow::Result<Vec<(Figure, f64)>> {
        self.load(load, setting, WARM)?;
        thread::scope(|scope| {
            let loading = scope.spawn(|| self.load(load, setting, self.time));
            let mut reloads = 0;
            while !loading.is_finished() {
                reloads += 1;
                peers::rewrite(setting, reloads)?;
                process.reload()?;
                shows(setting.listen, &peers::policy_named(reloads))?;
                thread::sleep(RELOAD_EVERY);
            }
            let told = loading.join().expect("the load does not panic")?;
            anyhow::ensure!(told.requests > 0.0, "no request was completed");
            Ok(vec![
                (Figure::Reloads, f64::from(reloads)),
                (Figure::Rate, told.per_second),
                (Figure::Failed, told.failed()),
            ])
        })
    }
}

/// Waits until answers tell that the limit of this name is in force.
fn shows(port: u16, policy: &str) -> anyhow::Result<()> {
    let until = now() + RELOAD_MAX;
    loop {
        let value = idle::header(port, "ratelimit-policy")?.unwrap_or_default();
        // The closing quote keeps `plenty-1` from being found in `plenty-10`.
        if value.contains(&format!("{policy}\"")) {
            return Ok(());
        }
        anyhow::ensure!(
            now() < until,
            "a reload does not show: `ratelimit-policy: {value}` has no {policy}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

fn rest(connections: usize, setting: &Setting<'_>, process: &Process) -> anyhow::Result<Vec<(Figure, f64)>> {
    thread::sleep(SETTLE);
    let before = process.resident()? as f64;
    let clients = idle::burst(setting.listen, connections)?;
    thread::sleep(SETTLE);
    let after = process.resident()? as f64;
    let closed = idle::closed(&clients)?;
    Ok(vec![
        (Figure::RestMegabytes, before / 1e6),
        (
            Figure::ConnectionKib,
            (after - before) / 1024.0 / connections as f64,
        ),
        (Figure::Failed, closed as f64),
    ])
}

/// Makes a certificate for the name `localhost` and its key: ECDSA on P-256, which all proxies and clients take.
///
/// # Errors
/// If openssl fails.
pub(crate) fn make_pair(tools: &Tools, directory: &Path) -> anyhow::Result<Pair> {
    let pair = Pair {
        certificate: directory.join("certificate.pem"),
        key: directory.join("key.pem"),
        both: directory.join("both.pem"),
    };
    let mut command = std::process::Command::new(&tools.openssl);
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args([
            "-nodes",
            "-days",
            "7",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .arg("-keyout")
        .arg(&pair.key)
        .arg("-out")
        .arg(&pair.certificate);
    super::tools::quietly(&mut command).context("making a certificate")?;
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    let both = [read(&pair.certificate)?, read(&pair.key)?].concat();
    fs::write(&pair.both, both).context("writing certificate and key in one")?;
    Ok(pair)
}
