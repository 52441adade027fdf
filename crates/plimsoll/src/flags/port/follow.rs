//! Those who follow what is served: what each is told first, at each change, in silence, and at the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

use super::rpc::Feed;
use super::sse::Refetch;
use super::wire::Wire;
use super::{Port, Served};

/// Silence after which a follower is told that all is well, as flagd does. It also finds out who has gone.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Somebody who follows, until they or the port go.
#[derive(Debug)]
pub(super) struct Follower {
    served: watch::Receiver<Arc<Served>>,
    closed: watch::Receiver<bool>,
    /// What they know.
    seen: Option<Arc<Served>>,
    voice: Voice,
    seat: OwnedSemaphorePermit,
}

/// How they are told.
#[derive(Debug)]
pub(super) enum Voice {
    Rpc(Feed, Wire),
    Sse(Refetch),
}

/// What is sent next. Without a `rest` it is the last.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) chunks: Vec<Bytes>,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) rest: Option<Follower>,
}

enum Happened {
    Change,
    Silence,
    Closed,
}

impl Port {
    /// A seat for one more who follows; `None` if all are taken.
    pub(super) fn follower(&self, voice: Voice) -> Option<Follower> {
        Some(Follower {
            served: self.config.served.clone(),
            closed: self.closed.clone(),
            seen: None,
            voice,
            seat: Semaphore::try_acquire_owned(Arc::clone(&self.streams)).ok()?,
        })
    }
}

impl Follower {
    /// Waits for something to tell. A reader that was slow comes here late, and finds the latest.
    pub(super) async fn step(mut self) -> Step {
        loop {
            let chunks = match self.happened().await {
                Happened::Closed => return self.end(),
                Happened::Silence => self.voice.alive(),
                Happened::Change => {
                    let now = Arc::clone(&self.served.borrow_and_update());
                    let chunks = self.voice.told(self.seen.as_deref(), &now);
                    self.seen = Some(now);
                    chunks
                }
            };
            if !chunks.is_empty() {
                return Step {
                    chunks,
                    trailers: None,
                    rest: Some(self),
                };
            }
        }
    }

    async fn happened(&mut self) -> Happened {
        if self.seen.is_none() && !*self.closed.borrow() {
            return Happened::Change;
        }
        tokio::select! {
            biased;
            _ = self.closed.wait_for(|closed| *closed) => Happened::Closed,
            // Nobody serves any more if it fails.
            changed = self.served.changed() => changed.map_or(Happened::Closed, |()| Happened::Change),
            () = sleep(KEEP_ALIVE) => Happened::Silence,
        }
    }

    fn end(self) -> Step {
        let (chunks, trailers) = self.voice.end();
        drop(self.seat);
        Step {
            chunks,
            trailers,
            rest: None,
        }
    }
}

impl Voice {
    fn told(&self, seen: Option<&Served>, now: &Arc<Served>) -> Vec<Bytes> {
        match self {
            Self::Rpc(feed, wire) => feed
                .told(seen, now)
                .iter()
                .flat_map(|reply| wire.message(reply))
                .collect(),
            Self::Sse(refetch) => refetch.told(seen, now),
        }
    }

    fn alive(&self) -> Vec<Bytes> {
        match self {
            Self::Rpc(feed, wire) => feed.alive().map_or_else(Vec::new, |reply| wire.message(&reply)),
            Self::Sse(_) => vec![Bytes::from_static(b": all is well\n\n")],
        }
    }

    fn end(&self) -> (Vec<Bytes>, Option<HeaderMap>) {
        match self {
            Self::Rpc(_, wire) => wire.end(),
            // Whatever way it ends, an event source comes back.
            Self::Sse(_) => (Vec::new(), None),
        }
    }
}
