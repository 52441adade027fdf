//! The gateway, as its users start it. It ends with its handle.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

pub(crate) struct Plimsoll {
    child: Child,
    /// Where each listener listens, in the order of the file.
    pub(crate) listeners: Vec<SocketAddr>,
}

impl Plimsoll {
    /// Starts it with this configuration, which has so many listeners, each on a port that is found.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(binary: &Path, place: &Path, yaml: &str, listeners: usize) -> anyhow::Result<Self> {
        let file = place.join("plimsoll.yaml");
        std::fs::write(&file, yaml).context("writing its configuration")?;
        let child = Command::new(binary)
            .args(["run", "--cores", "1", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        let mut started = Self {
            child,
            listeners: Vec::new(),
        };
        let out = started.child.stdout.take().context("its output is piped")?;
        let mut lines = BufReader::new(out).lines();
        while started.listeners.len() < listeners {
            let line = lines.next().context("it ended before it listened")??;
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if said["msg"] == "listening" {
                let address = said["address"].as_str().context("it says where")?;
                started.listeners.push(address.parse().context("it says where")?);
            }
        }
        // What it logs must go somewhere, or it would stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(started)
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Plimsoll {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
