//! A new process takes over: another binary, another configuration, and not one caller notices.
//!
//! ```text
//! old: serving => starting the new one => handing over sockets => waiting for `ready` => says `go` => draining => gone
//! new:                        starting => receiving them => everything but traffic => `ready` => hears `go` => serving
//! ```
//!
//! The new process gets the old one's listening sockets by [`channel`] and accepts on the very same queues. Binding
//! the addresses a second time (`SO_REUSEPORT`) was no choice: what waits in the old sockets' queues is reset when
//! they are closed.
//!
//! **The old one decides.** The new one reads its configuration, opens its files, looks names up and starts its
//! threads, and accepts nobody until the old one says `go`. So until then it can be ended without loss, and is: when
//! it ends by itself, is not ready in time, or the old one is told to stop meanwhile. The old one then serves on as if
//! nothing had been, and whoever asked is told why in the new one's own words. With `go` there is no way back; the old
//! one drains as on SIGTERM, and its address for operators is the new one's.
//!
//! If the old one dies before it says `go`, the new one is all there is, and goes on.
//!
//! What goes over are sockets alone. Breakers, budgets and limits begin anew, and so do counters, which whoever reads
//! them takes for a restart. A reload keeps all of that, and is the right thing for another configuration.

pub(crate) mod channel;
pub(crate) mod program;
mod successor;

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use gateway::Phase;

use self::channel::Sockets;
use self::program::Program;
use self::successor::Successor;
use crate::instance::Parts;
use crate::journal::Value;

/// What a refusal begins with.
pub(crate) const REFUSED: &str = "The upgrade failed; the running process serves on";

/// What an upgrade that was done says.
pub(crate) fn taken_over(pid: u32) -> String {
    format!("process {pid} has taken over; the old one drains\n")
}

/// Starts successors, one at a time.
#[derive(Debug, Default)]
pub(crate) struct Upgrader {
    /// How this process is started once more; `None` if that cannot be told.
    program: Option<Program>,
    under_way: tokio::sync::Mutex<()>,
    is_over: AtomicBool,
}

/// Why nobody has taken over. The old process serves on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    #[error("another upgrade is under way")]
    Busy,
    #[error("this process is draining already")]
    Draining,
    #[error("this process cannot be started once more: {0}")]
    NoProgram(&'static str),
    #[error("a core has ended, and its sockets with it: this process is to be started anew")]
    CoreLost,
    #[error("handing out the listening sockets")]
    Sockets(#[source] io::Error),
    #[error("starting {}", path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("the new process {pid} ended with {status} before it was ready{words}")]
    Ended { pid: u32, status: String, words: String },
    #[error("the new process {pid} was not ready within {limit:?}, and was ended{words}")]
    Late {
        pid: u32,
        limit: Duration,
        words: String,
    },
    #[error("this process was told to stop while the new one came up, which was ended")]
    Stopped,
}

impl Upgrader {
    /// An upgrader for a process that was started as `program`.
    pub(crate) fn new(program: Option<Program>) -> Self {
        Self {
            program,
            under_way: tokio::sync::Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Another process has taken over.
    pub(crate) fn handed_over(&self) {
        self.is_over.store(true, Relaxed);
    }

    /// Whether another process has taken over, so that nothing is this one's to end.
    pub(crate) fn has_handed_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Refuses upgrades until the guard is dropped: for as long as this process is itself one that is coming up.
    pub(crate) fn starting(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.under_way.try_lock().ok()
    }
}

/// Has a new process take over, and tells the log how that went; the new one's id.
///
/// # Errors
/// Why not, in words; this process serves on then.
pub(crate) async fn run(parts: &Arc<Parts>) -> Result<u32, String> {
    // On a task of its own: whoever asked may be gone before the answer, and nobody else would end the new process.
    let (tell, told) = tokio::sync::oneshot::channel();
    let working = Arc::clone(parts);
    parts.gateway.env().spawn(async move {
        let upgraded = attempt(&working).await;
        let upgraded = upgraded.map_err(|error| format!("{:#}", anyhow::Error::new(error)));
        match &upgraded {
            Ok(pid) => working.hand_over(*pid),
            Err(cause) => working
                .journal
                .error("upgrade failed", &[("cause", Value::from(&**cause))]),
        }
        // Nobody may be listening any more.
        drop(tell.send(upgraded));
    });
    // The task ends with an answer, unless the whole process ends.
    told.await
        .unwrap_or_else(|_| Err(UpgradeError::Stopped.to_string()))
}

async fn attempt(parts: &Arc<Parts>) -> Result<u32, UpgradeError> {
    let upgrader = &parts.upgrader;
    let _alone = upgrader.under_way.try_lock().map_err(|_| UpgradeError::Busy)?;
    let program = upgrader.program.as_ref();
    let program = program.ok_or(UpgradeError::NoProgram("it was not started by `plimsoll run`"))?;
    if parts.reloader.reads_stdin() {
        let why = "its configuration came by standard input, and cannot be read again";
        return Err(UpgradeError::NoProgram(why));
    }
    // Until this is over nothing is reloaded, so that the sockets are those of what the new process reads.
    let held = parts.reloader.hold().await;
    let mut phase = parts.gateway.phase();
    if *phase.borrow_and_update() != Phase::Serving {
        return Err(UpgradeError::Draining);
    }
    let sockets = sockets(parts)?;
    let mut successor = Successor::start(parts.gateway.env(), program)?;
    let pid = successor.pid();
    let begun = || {
        let (by, path) = (pid.to_string(), program.path.display().to_string());
        let told = [("pid", Value::from(&*by)), ("program", Value::from(&*path))];
        parts.journal.info("upgrade begun", &told);
    };
    let limit = held.upgrade_max;
    let stopped = async { while phase.changed().await.is_ok() && *phase.borrow() == Phase::Serving {} };
    let failed = tokio::select! {
        biased;
        () = stopped => UpgradeError::Stopped,
        ready = successor.prepare(&sockets, begun) => match ready {
            Ok(()) => match commit(parts, &mut successor).await {
                Ok(()) => return Ok(pid),
                Err(error) => error,
            },
            Err(error) => error,
        },
        () = parts.gateway.env().sleep(limit) => UpgradeError::Late { pid, limit, words: String::new() },
    };
    Err(successor.end(failed).await)
}

/// What the new process is handed.
fn sockets(parts: &Parts) -> Result<Sockets, UpgradeError> {
    let mut listeners = parts.gateway.sockets().map_err(UpgradeError::Sockets)?;
    if listeners.iter().any(|handed| handed.sockets.is_empty()) {
        return Err(UpgradeError::CoreLost);
    }
    listeners.extend(parts.flags.handed().map_err(UpgradeError::Sockets)?);
    let admin = parts.admin.try_clone().map_err(UpgradeError::Sockets)?;
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let stderr = stderr.map_err(UpgradeError::Sockets)?;
    Ok(Sockets {
        listeners,
        admin,
        stderr,
    })
}

/// Says `go`. The supervisor hears of the new process first, so that it believes what that one tells it.
async fn commit(parts: &Parts, successor: &mut Successor) -> Result<(), UpgradeError> {
    parts.supervisor.main_is(successor.pid());
    let gone = successor.go().await;
    if gone.is_err() {
        parts.supervisor.main_is(std::process::id());
    }
    gone
}
