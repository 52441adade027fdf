//! What this process was given when it was started: the sockets of a process that it replaces, or those of a
//! supervisor that listens for it (systemd's socket activation, `LISTEN_FDS`).

use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;
use gateway::Inherited;
use gateway::env::Bound;
use gateway::plan::ListenAddress;
use listenfd::ListenFd;

use crate::config::secrets::variable;
use crate::upgrade::channel::{self, Predecessor};

/// What a supervisor calls the socket of the port for operators.
const ADMIN: &str = "admin";

/// See the module's header.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    pub(crate) listeners: Inherited,
    admin: Option<Bound>,
    pub(crate) predecessor: Option<Predecessor>,
    /// Descriptors that are of no use, and why.
    pub(crate) unfit: Vec<String>,
}

impl Inheritance {
    /// Takes what there is. Called before anything else runs: the variables that tell of it are taken away.
    ///
    /// # Errors
    /// What a predecessor hands over cannot be taken over.
    pub(crate) fn receive() -> anyhow::Result<Self> {
        if variable(channel::FROM).is_ok() && channel::is_there() {
            let estate =
                channel::receive().context("receiving the sockets of the process that is replaced")?;
            return Ok(Self {
                listeners: estate.listeners,
                admin: Some(estate.admin),
                predecessor: Some(estate.predecessor),
                unfit: Vec::new(),
            });
        }
        Ok(Self::from_supervisor())
    }

    fn from_supervisor() -> Self {
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut given = ListenFd::from_env();
        let mut inheritance = Self::default();
        for index in 0..given.len() {
            let name = names.next().unwrap_or_default();
            match adopt(&mut given, index) {
                Ok(socket) => inheritance.listeners.from_supervisor(name, socket),
                Err(error) => inheritance.unfit.push(format!("{name}: {error}")),
            }
        }
        inheritance
    }

    /// The socket for the port for operators, if one was given: a predecessor's, or a supervisor's by its name or its
    /// address. `named` are listeners, which come first if one is called as the port is.
    pub(crate) fn admin(&mut self, listen: SocketAddr, named: &[&str]) -> Option<TcpListener> {
        if let Some(admin) = self.admin.take() {
            let bound = admin.address().ok().flatten();
            // Another address is configured now: the old port goes with the old process.
            let same = bound
                .is_some_and(|bound| bound.ip() == listen.ip() && [0, bound.port()].contains(&listen.port()));
            return same.then(|| admin.into_tcp()).flatten();
        }
        let name = if named.contains(&ADMIN) { "" } else { ADMIN };
        let given = self.listeners.take(&[(name, &ListenAddress::Tcp(listen))]);
        given.into_iter().flatten().next()?.into_tcp()
    }
}

fn adopt(given: &mut ListenFd, index: usize) -> std::io::Result<Bound> {
    let tcp = given.take_tcp_listener(index);
    if let Ok(Some(socket)) = tcp {
        return Bound::adopt(socket.into());
    }
    match given.take_unix_listener(index) {
        Ok(Some(socket)) => Bound::adopt(socket.into()),
        _ => Err(std::io::Error::other(
            "it is neither a TCP nor a Unix socket that listens",
        )),
    }
}
