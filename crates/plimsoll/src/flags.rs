//! Flags that services ask for at run time.
//!
//! What is served is composed of what the file says and of what changes have made of it (`edit.rs`), a flag that is
//! ramped included: its ramp is a rule of the definition like any other, so that whoever evaluates it, here or in a
//! provider in the service, finds the same users, and the gateway knows them by their key.
//!
//! **If it fails**: what cannot be compiled is not served, and what was served before goes on.

pub(crate) mod edit;
pub(crate) mod port;
pub(crate) mod served;
mod token;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use change::Standing;
use gateway::Handed;
use gateway::env::Env;
use gateway::plan::ListenAddress;
use plimsoll_flags::FlagSet;
use plimsoll_slo::SLOTS;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::served::{PortConfig, Served};
use self::token::TokenCheck;
use crate::config::FlagsConfig;
use crate::config::secrets::{Secret, TokenSource};
use crate::instance::{FLAGS, Parts};
use crate::journal;
use crate::record::State;
use crate::rollout::versions::FileRead;

/// The flags of this process.
#[derive(Debug)]
pub(crate) struct Flags {
    served: watch::Sender<Arc<Served>>,
    /// By what they were composed.
    by: Mutex<Option<By>>,
    /// Sockets that it listens with, and what each was asked for: for a process that takes over.
    sockets: Vec<(SocketAddr, OwnedFd)>,
    /// What whoever asks has to show.
    token: Option<Secret>,
}

/// What decides what is served.
#[derive(Clone, Debug)]
struct By {
    /// What the file says.
    written: Arc<Value>,
    /// The changes that are in force against it.
    in_force: Vec<String>,
    /// Those that are under way, and how far.
    boundaries: BTreeMap<String, u16>,
}

impl By {
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.written, &other.written)
            && self.in_force == other.in_force
            && self.boundaries == other.boundaries
    }
}

impl Flags {
    /// Nothing is served yet, with these sockets.
    ///
    /// # Errors
    /// A socket cannot be kept, or the token cannot be read.
    pub(crate) fn opened(
        sockets: &[(SocketAddr, TcpListener)],
        config: Option<&FlagsConfig>,
    ) -> anyhow::Result<Self> {
        let kept = sockets
            .iter()
            .map(|(asked, socket)| Ok((*asked, socket.as_fd().try_clone_to_owned()?)));
        let kept: io::Result<_> = kept.collect();
        let token = config.and_then(|config| config.token.as_ref());
        Ok(Self {
            served: watch::Sender::default(),
            by: Mutex::default(),
            sockets: kept.context("keeping the sockets of the port for flags")?,
            token: token
                .map(TokenSource::read)
                .transpose()
                .context("reading the token of the port for flags")?,
        })
    }

    /// What the ports work with.
    pub(crate) fn port(&self, env: &Env) -> PortConfig {
        let (clock, runtime) = (env.clone(), env.clone());
        PortConfig {
            served: self.served.subscribe(),
            wall: Arc::new(move || clock.wall()),
            spawn: Arc::new(move |task| runtime.spawn(task)),
            token: self.token.as_ref().map(|token| TokenCheck::of([token.to_send()])),
        }
    }

    /// The sockets, for a process that takes over.
    ///
    /// # Errors
    /// One cannot be duplicated.
    pub(crate) fn handed(&self) -> io::Result<Vec<Handed>> {
        let handed = |(asked, socket): &(SocketAddr, OwnedFd)| {
            Ok(Handed {
                name: FLAGS.into(),
                asked: ListenAddress::Tcp(*asked),
                sockets: vec![socket.try_clone()?],
            })
        };
        self.sockets.iter().map(handed).collect()
    }

    /// What is served now.
    pub(crate) fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.borrow())
    }

    /// Serves what the file and the changes say now, if that is something else. It may be called at any time.
    pub(crate) fn refresh(&self, parts: &Parts) {
        let Some(config) = parts.reloader.asked().flags else {
            return;
        };
        let running = parts.gateway.running();
        let now = parts.gateway.env().wall().as_millis() as u64;
        let file = parts.reloader.file_read();
        let mut known = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        let next = parts.record.read(|state| {
            let by = By {
                written: Arc::clone(&config.written),
                in_force: in_force(state, file),
                boundaries: boundaries(state, &running, now),
            };
            if known.as_ref().is_some_and(|known| known.is_same(&by)) {
                return None;
            }
            let composed = edit::compose(&config.written, &state.changes, file, &by.boundaries);
            Some((by, composed))
        });
        let Some((by, composed)) = next else {
            return;
        };
        // Once: what is wrong now is wrong at the next look.
        *known = Some(by);
        match FlagSet::compile(&composed, config.bucketing) {
            Ok(set) => {
                let now_s = parts.gateway.env().wall().as_secs();
                let next = Served::after(&self.served.borrow(), set, &composed, now_s);
                self.served.send_replace(Arc::new(next));
            }
            Err(problems) => {
                for problem in problems {
                    let cause = problem.to_string();
                    let cause = [("cause", journal::Value::from(&*cause))];
                    parts
                        .journal
                        .error("flags cannot be served, and those of before are", &cause);
                }
            }
        }
    }
}

fn in_force(state: &State, file: FileRead<'_>) -> Vec<String> {
    let all = state.changes.machine.in_force();
    all.filter(|standing| standing.change.kind == change::Kind::Flag && !file.has_its_word(standing))
        .map(|standing| standing.change.id.clone())
        .collect()
}

/// How far each change that is under way is, by who is counted for it: what is not counted is not exposed. What takes
/// risk away waits for no counts.
fn boundaries(state: &State, running: &gateway::Running, now: u64) -> BTreeMap<String, u16> {
    let all = state.changes.machine.all();
    let of_flags =
        all.filter(|standing| standing.change.kind == change::Kind::Flag && !standing.phase().is_over());
    let boundary = |standing: &Standing| {
        if standing.change.relief {
            return (standing.exposed_at(now) * f64::from(SLOTS)).round() as u16;
        }
        let mut splits = running.splits.iter();
        splits
            .find(|split| *split.plan.change == *standing.change.id)
            .map_or(0, |split| split.current().1)
    };
    of_flags
        .map(|standing| (standing.change.id.clone(), boundary(standing)))
        .collect()
}
