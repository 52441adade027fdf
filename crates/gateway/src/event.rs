//! What is told of a request that deserves a line in the log, a span or an exemplar.
//!
//! Every request is counted (see [`ledger`](crate::ledger)); only some are told: all that were not good, all that
//! were slow, and a sample of the rest. Telling never waits: the queue is bounded, and what does not fit is counted.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::Method;
use plimsoll_policy::Priority;
use plimsoll_slo::{Outcome, Reason};
use tokio::sync::mpsc;

use crate::identity::Trace;

/// Events that may wait to be written: at 200 to 400 bytes each, a few megabytes at most.
const QUEUE: usize = 8192;

/// One request, told.
#[derive(Clone, Debug)]
pub struct Event {
    /// When its head was complete, since the Unix epoch.
    pub began: Duration,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The route's name; `-` when there was none.
    pub route: Arc<str>,
    /// The tier's name.
    pub tier: Arc<str>,
    /// How much it mattered.
    pub priority: Priority,
    /// The upstream's name; `-` when there was none.
    pub upstream: Arc<str>,
    /// The upstream's version; `-` when there was none.
    pub version: Arc<str>,
    /// The method.
    pub method: Method,
    /// The path, without the query, which may hold secrets.
    pub path: Box<str>,
    /// The status that was answered; 0 when nobody was there to be answered.
    pub status: u16,
    /// The gRPC status, for gRPC calls that came to one.
    pub grpc_status: Option<u8>,
    /// What became of it.
    pub outcome: Outcome,
    /// What exactly happened, when it was not good.
    pub cause: Option<Cow<'static, str>>,
    /// Why no (further) retry was made, in one word; `None` when none was needed.
    pub retry_stopped: Option<&'static str>,
    /// The attempts, in order.
    pub attempts: Vec<AttemptNote>,
    /// Its place in its trace.
    pub trace: Trace,
    /// Its id.
    pub request_id: Box<str>,
    /// Who called, after the trust list.
    pub client: Option<IpAddr>,
    /// The route's path template; `None` when there was no route.
    pub template: Option<Arc<str>>,
    /// `http` or `https`, as the caller used it.
    pub scheme: &'static str,
    /// Why it leaves a trace; `None` when it leaves none.
    pub traced: Option<Traced>,
    /// Whether it leaves a line in the log.
    pub logged: bool,
}

/// Why a request leaves a trace. Whoever counts spans has to know: of each kind another share is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traced {
    /// It was not good. All of these are kept.
    Bad,
    /// It was slow. All of these are kept.
    Slow,
    /// It took more than one attempt. All of these are kept.
    Retried,
    /// Its trace was chosen by whoever began it.
    Share,
}

impl Traced {
    /// The word for it in spans.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Slow => "slow",
            Self::Retried => "retried",
            Self::Share => "share",
        }
    }
}

/// One attempt of a request.
#[derive(Clone, Debug)]
pub struct AttemptNote {
    /// Where it was sent.
    pub endpoint: Arc<str>,
    /// From the head of the request to its sending.
    pub after: Duration,
    /// From its sending to the head of its answer, or to its failure.
    pub took: Duration,
    /// The status it was answered with.
    pub status: Option<u16>,
    /// Why it failed, if it did.
    pub reason: Option<Reason>,
    /// Whether it is a hedge: it was sent beside the one before, which was late.
    pub hedge: bool,
    /// Whether it was cancelled, because the other of the two was answered.
    pub cancelled: bool,
}

/// The sending end of the queue: one per core, cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    queue: mpsc::Sender<Box<Event>>,
    dropped: Arc<AtomicU64>,
}

impl Teller {
    /// The queue, its receiving end, and the count of what did not fit.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Box<Event>>, Arc<AtomicU64>) {
        let (queue, events) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        (
            Self {
                queue,
                dropped: Arc::clone(&dropped),
            },
            events,
            dropped,
        )
    }

    pub(crate) fn tell(&self, event: Box<Event>) {
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}
