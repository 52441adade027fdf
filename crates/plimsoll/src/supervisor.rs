//! What a supervisor that started this process is told, by systemd's protocol (`sd_notify(3)`): datagrams of
//! `KEY=value` lines to the socket in `NOTIFY_SOCKET`. Without one nobody is told.
//!
//! It is told when traffic is carried, when the configuration is read again, when a drain begins, and which process
//! is the main one after an upgrade; and, if it wants to (`WATCHDOG_USEC`), that the cores still turn. A datagram that
//! cannot be sent is no reason to do anything else: the socket is local, and a supervisor that has stopped reading
//! would not hear of it either.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::config::secrets::variable;

/// See the module's header. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor(Option<Arc<Line>>);

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

/// Where it wants state to be kept: the first of what `StateDirectory=` names in a unit (`systemd.exec(5)`).
pub(crate) fn state_directory() -> Option<PathBuf> {
    let named = variable("STATE_DIRECTORY").ok()?;
    let first = named.split(':').next().filter(|first| !first.is_empty())?;
    Some(first.into())
}

impl Supervisor {
    /// The one that the environment names.
    pub(crate) fn of_environment() -> Self {
        let named = variable("NOTIFY_SOCKET").ok();
        let line = named.and_then(|name| {
            let socket = UnixDatagram::unbound().ok()?;
            // A supervisor that does not read must not hold this process up.
            socket.set_nonblocking(true).ok()?;
            Some(Line {
                socket,
                address: address(&name)?,
                watchdog: watchdog(),
            })
        });
        Self(line.map(Arc::new))
    }

    /// How often it wants to hear that all is well, at least; `None` if it does not ask.
    pub(crate) fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    /// Traffic is carried; `status` says how, for people.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// The configuration is read again. [`Supervisor::ready`] follows.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        // The time tells this reload from an answer to an earlier one.
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// A drain has begun.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    /// The main process is this one from now on.
    pub(crate) fn main_is(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}"));
    }

    /// The cores turn.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, state: &str) {
        if let Some(line) = &self.0 {
            drop(line.socket.send_to_addr(state.as_bytes(), &line.address));
        }
    }
}

/// A path, or with `@` a name in Linux's abstract namespace.
fn address(name: &str) -> Option<SocketAddr> {
    match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name).ok()
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => None,
        None if Path::new(name).is_absolute() => SocketAddr::from_pathname(name).ok(),
        // `vsock:` and whatever else there may be.
        None => None,
    }
}

/// `WATCHDOG_USEC`, unless `WATCHDOG_PID` says that it is for another process.
fn watchdog() -> Option<Duration> {
    let micros = variable("WATCHDOG_USEC").ok()?.parse().ok()?;
    let ours = variable("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    (ours && micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_named_by_a_path_or_in_the_abstract() {
        assert_eq!(
            address("/run/notify").unwrap().as_pathname(),
            Some(Path::new("/run/notify"))
        );
        assert!(address("@notify").unwrap().as_pathname().is_none());
        assert!(address("vsock:2:1").is_none());
    }

    #[test]
    fn nobody_is_told_nothing() {
        Supervisor::default().ready("fine");
        assert_eq!(Supervisor::default().watchdog(), None);
    }
}
