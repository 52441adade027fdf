//! What a proxy is put between, and how it is started there.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::cases::Client;

/// Requests that may be under way at once: twice what the largest case needs, so that no proxy refuses or queues,
/// and few enough for the usual limit on open files, which HAProxy insists on beforehand.
pub(crate) const IN_FLIGHT: usize = 2_000;
/// What is asked for: one of the fifty-one routes of our configuration.
pub(crate) const TARGET: &str = "/service-25/items/42";

/// Where a proxy stands in one case.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) client: Client,
    /// Where clients come in.
    pub(crate) listen: u16,
    /// For the proxy's own operators, if it has a place for them.
    pub(crate) admin: u16,
    /// The server behind it.
    pub(crate) origin: u16,
    /// For its configuration and whatever else it writes.
    pub(crate) directory: &'a Path,
    pub(crate) pair: &'a Pair,
}

/// A certificate that nobody checks, and its key.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one file, as HAProxy wants them.
    pub(crate) both: PathBuf,
}

/// A program and its arguments.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
}

impl Launch {
    pub(crate) fn new(program: &Path, arguments: &[&str]) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.iter().map(OsString::from).collect(),
        }
    }
}

impl Setting<'_> {
    /// Writes a file that belongs to this setting, and says where it lies.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path.display().to_string())
    }
}

/// A port of the loopback interface that nobody listens on. Somebody else could take it before it is used; then the
/// proxy does not start, and says why.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("asking which port is free")?.port())
}
