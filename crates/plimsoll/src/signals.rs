//! What signals mean: SIGTERM and SIGINT drain, a second one stops at once, SIGHUP reloads, and SIGUSR2 has a new
//! process take over.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::instance::Parts;
use crate::journal::Value;

/// Hears signals for as long as the process lives.
pub(crate) async fn obey(parts: &Arc<Parts>) {
    let listen = |kind| signal(kind).ok();
    let signals = (
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
        listen(SignalKind::hangup()),
        listen(SignalKind::user_defined2()),
    );
    let (Some(mut terminate), Some(mut interrupt), Some(mut hangup), Some(mut user)) = signals else {
        parts.journal.error(
            "signals cannot be heard: end this process by the admin port, or with SIGKILL",
            &[],
        );
        return;
    };
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
