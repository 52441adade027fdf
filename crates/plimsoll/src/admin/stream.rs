//! Verdicts as they come: one answer that does not end, of server-sent events.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::answer::{self, Answer};
use super::{AdminBackend, Serving};
use crate::api::stream::Follower;
use http::StatusCode;

/// Those who listen at once: a fraction of the seats, so that they leave some for people who ask.
pub(super) const STREAMS_MAX: usize = 16;

impl<B: AdminBackend> Serving<B> {
    /// The stream, which follows the judge until its reader or the port goes. Whoever reads slowly misses verdicts in
    /// between, never the last.
    pub(super) fn stream(&self, mut follower: Follower) -> Answer {
        let Ok(seat) = Arc::clone(&self.streams).try_acquire_owned() else {
            let mut answer = answer::problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many listen already",
                &format!("{STREAMS_MAX} may at once; GET /api/v1/objectives tells the same once."),
            );
            answer.retry_after(10);
            return answer;
        };
        let (sender, receiver) = mpsc::channel::<Bytes>(1);
        let (mut told, mut closed) = (self.backend.judged(), self.closed.clone());
        let first = follower.first(&self.backend.objectives());
        self.env.spawn(async move {
            let mut events = first;
            loop {
                let sent = tokio::select! {
                    biased;
                    _ = closed.wait_for(|closed| *closed) => break,
                    sent = sender.send(events.into()) => sent,
                };
                if sent.is_err() {
                    break;
                }
                let changed = tokio::select! {
                    biased;
                    _ = closed.wait_for(|closed| *closed) => break,
                    () = sender.closed() => break,
                    changed = told.changed() => changed,
                };
                if changed.is_err() {
                    break;
                }
                let judged = Arc::clone(&told.borrow_and_update());
                events = follower.next(&judged);
            }
            drop(seat);
        });
        Answer::stream("text/event-stream", receiver)
    }
}
