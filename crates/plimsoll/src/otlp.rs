//! Traces and metrics for an OpenTelemetry collector: OTLP over HTTP, in its JSON encoding.
//!
//! Metrics are sent by [`meter`], and this is about traces: events wait in a bounded queue and go out in batches, as many spans as [`SPANS_MAX`] or as came within the sending
//! interval. A collector that is busy or away is asked again a few times, with growing and random pauses or those
//! that it asks for; then the batch is dropped and counted. No request ever waits for any of this: a queue that is
//! full drops, too. The journal hears of it when the collector stops taking spans, and when it takes them again.
//!
//! Source: OpenTelemetry Protocol 1.x, "OTLP/HTTP" (which answers may be retried, partial success, Retry-After).

mod collector;
mod meter;
mod points;
mod post;
mod span;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use gateway::env::Env;
use gateway::event::Event;
use plimsoll_policy::{Backoff, SeededDice};
use tokio::sync::mpsc;

pub(crate) use self::collector::Collector;
pub(crate) use self::meter::{Meter, MeterEnd};
use self::post::{Answer, Poster, Signal};
use crate::journal::Journal;

/// Events that may wait to be sent: a few seconds of 1,000 told requests a second, in a few megabytes.
const QUEUE: usize = 4096;

/// Spans in one batch; the SDKs' default.
const SPANS_MAX: usize = 512;

/// How often a batch is sent before it is dropped.
const TRIES: u32 = 5;

/// What became of spans, or of data points.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
    failing: AtomicBool,
}

impl Counts {
    /// How many the collector took.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// How many it did not, or never got.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Whether the last ones were not taken.
    pub(crate) fn failing(&self) -> bool {
        self.failing.load(Relaxed)
    }

    fn add(&self, sent: u64, dropped: u64) {
        self.sent.fetch_add(sent, Relaxed);
        self.dropped.fetch_add(dropped, Relaxed);
    }
}

/// Whether the collector takes what it is sent, so that the journal is told of changes only.
#[derive(Debug)]
struct Standing {
    journal: Journal,
    counts: Arc<Counts>,
    /// `spans` or `metrics`.
    what: &'static str,
}

impl Standing {
    fn new(journal: Journal, counts: Arc<Counts>, what: &'static str) -> Self {
        Self {
            journal,
            counts,
            what,
        }
    }

    /// Takes note of what came of sending, and tells the journal if it is news. `lost` is how many were not taken.
    fn tell(&mut self, failing: bool, cause: &str, lost: u64) {
        let (what, was) = (self.what, self.counts.failing.swap(failing, Relaxed));
        if failing && !was {
            self.journal.warn(
                &format!("the collector does not take {what}, which are dropped"),
                &[("cause", cause.into()), ("dropped", lost.into())],
            );
        } else if !failing && was {
            self.journal.info(
                &format!("the collector takes {what} again"),
                &[("dropped", self.counts.dropped().into())],
            );
        }
    }
}

/// Where events are handed in.
#[derive(Clone, Debug)]
pub(crate) struct Spans {
    queue: mpsc::Sender<Box<Event>>,
    counts: Arc<Counts>,
}

impl Spans {
    /// Queues the spans of a request, or drops and counts them.
    pub(crate) fn offer(&self, event: Box<Event>) {
        if let Err(error) = self.queue.try_send(event) {
            let event = error.into_inner();
            self.counts.add(0, spans_of(&event) as u64);
        }
    }

    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

/// Sends what is handed in, until there will be no more.
#[derive(Debug)]
pub(crate) struct Exporter {
    env: Env,
    standing: Standing,
    queue: mpsc::Receiver<Box<Event>>,
    /// An event that did not fit into the last batch.
    carried: Option<Box<Event>>,
    counts: Arc<Counts>,
    send_every: Duration,
    resource: Vec<(String, String)>,
    post: Poster,
    backoff: Backoff,
    dice: SeededDice,
}

/// Both ends of the queue to a collector.
pub(crate) fn exporter(env: Env, collector: &Collector, journal: Journal) -> (Spans, Exporter) {
    let (sender, queue) = mpsc::channel(QUEUE);
    let counts = Arc::new(Counts::default());
    let spans = Spans {
        queue: sender,
        counts: Arc::clone(&counts),
    };
    let exporter = Exporter {
        standing: Standing::new(journal, Arc::clone(&counts), "spans"),
        queue,
        carried: None,
        counts,
        send_every: collector.send_every,
        resource: collector.resource.clone(),
        post: Poster::new(env.clone(), collector, Signal::Traces),
        // The pauses that the specification's SDKs make: 1 s at first, never longer than 30 s.
        backoff: Backoff {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(30),
        },
        dice: env.dice(),
        env,
    };
    (spans, exporter)
}

/// One for the request, and one for each attempt.
fn spans_of(event: &Event) -> usize {
    1 + event.attempts.len()
}

impl Exporter {
    /// Runs until every [`Spans`] is dropped and what was queued is sent or given up.
    pub(crate) async fn run(mut self) {
        while let Some(batch) = self.collect().await {
            let spans = batch.iter().map(|event| spans_of(event) as u64).sum();
            let body = Bytes::from(span::request(&batch, &self.resource).to_string());
            let taken = self.send(body, spans).await;
            self.counts.add(taken, spans - taken);
        }
    }

    /// The next batch; `None` when there will be none.
    async fn collect(&mut self) -> Option<Vec<Box<Event>>> {
        let first = match self.carried.take() {
            Some(carried) => carried,
            None => self.queue.recv().await?,
        };
        let mut spans = spans_of(&first);
        let mut batch = vec![first];
        let full_at = self.env.now() + self.send_every;
        while spans < SPANS_MAX {
            let event = tokio::select! {
                biased;
                event = self.queue.recv() => event,
                () = self.env.sleep_until(full_at) => None,
            };
            let Some(event) = event else { break };
            spans += spans_of(&event);
            if spans > SPANS_MAX {
                self.carried = Some(event);
            } else {
                batch.push(event);
            }
        }
        Some(batch)
    }

    /// Sends a batch, as often as it takes and makes sense. Returns how many spans were taken.
    async fn send(&mut self, body: Bytes, spans: u64) -> u64 {
        let mut cause = String::new();
        for attempt in 1..=TRIES {
            let pause = match self.post.post(body.clone()).await {
                Ok(Answer::Taken { rejected, message }) => {
                    let rejected = rejected.min(spans);
                    self.standing.tell(rejected > 0, &message, rejected);
                    return spans - rejected;
                }
                Ok(Answer::Refused { status }) => {
                    self.standing.tell(true, &format!("it answered {status}"), spans);
                    return 0;
                }
                Ok(Answer::Later { status, after }) => {
                    cause = format!("it answered {status}");
                    after.map(|after| after.min(self.backoff.cap))
                }
                Err(error) => {
                    cause = format!("{:#}", anyhow::Error::new(error));
                    None
                }
            };
            if attempt < TRIES {
                let pause = pause.unwrap_or_else(|| self.backoff.delay(attempt, &mut self.dice));
                self.env.sleep(pause).await;
            }
        }
        self.standing.tell(true, &cause, spans);
        0
    }
}
