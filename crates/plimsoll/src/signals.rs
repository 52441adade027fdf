//! What signals mean: SIGTERM and SIGINT drain, a second one stops at once, SIGHUP reloads.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::instance::Parts;
use crate::journal::Value;

/// Hears signals for as long as the process lives.
pub(crate) async fn obey(parts: &Parts) {
    let listen = |kind| signal(kind).ok();
    let signals = (
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
        listen(SignalKind::hangup()),
    );
    let (Some(mut terminate), Some(mut interrupt), Some(mut hangup)) = signals else {
        parts.journal.error(
            "signals cannot be heard: end this process by the admin port, or with SIGKILL",
            &[],
        );
        return;
    };
    let mut asked = false;
    loop {
        tokio::select! {
            biased;
            () = one(&mut terminate) => end(parts, &mut asked, "SIGTERM"),
            () = one(&mut interrupt) => end(parts, &mut asked, "SIGINT"),
            () = one(&mut hangup) => drop(parts.reloader.reload().await),
        }
    }
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
