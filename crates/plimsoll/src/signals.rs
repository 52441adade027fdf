//! What signals mean: SIGTERM and SIGINT drain, a second one stops at once, SIGHUP reloads, and SIGUSR2 has a new
//! process take over.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::instance::Parts;
use crate::journal::Value;

/// Signals that are heard from now on. Until then SIGHUP and SIGUSR2 end the process, so that this is done before
/// anybody is told that it runs.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

/// Listens for signals, which [`Signals::obey`] then obeys; `None` if the system does not let us.
pub(crate) fn listen() -> Option<Signals> {
    let listen = |kind| signal(kind).ok();
    Some(Signals {
        terminate: listen(SignalKind::terminate())?,
        interrupt: listen(SignalKind::interrupt())?,
        hangup: listen(SignalKind::hangup())?,
        user: listen(SignalKind::user_defined2())?,
    })
}

impl Signals {
    /// Obeys signals for as long as the process lives.
    pub(crate) async fn obey(self, parts: &Arc<Parts>) {
        let Self {
            mut terminate,
            mut interrupt,
            mut hangup,
            mut user,
        } = self;
        let mut asked = false;
        let quick = async {
            loop {
                tokio::select! {
                    biased;
                    () = one(&mut terminate) => end(parts, &mut asked, "SIGTERM"),
                    () = one(&mut interrupt) => end(parts, &mut asked, "SIGINT"),
                    () = one(&mut user) => upgrade(parts),
                }
            }
        };
        // A reload waits for names to be looked up, or for an upgrade; the others are to be heard meanwhile.
        let slow = async {
            loop {
                one(&mut hangup).await;
                drop(parts.reload().await);
            }
        };
        tokio::join!(quick, slow);
    }
}

/// Not waited for: SIGTERM must be heard meanwhile. What becomes of it is in the log.
fn upgrade(parts: &Arc<Parts>) {
    let parts = Arc::clone(parts);
    let env = parts.gateway.env().clone();
    env.spawn(async move { drop(crate::upgrade::run(&parts).await) });
}

async fn one(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

fn end(parts: &Parts, asked: &mut bool, signal: &str) {
    if std::mem::replace(asked, true) {
        parts
            .journal
            .warn("stopping at once", &[("signal", Value::from(signal))]);
        parts.gateway.stop();
    } else {
        parts.drain();
    }
}
