//! What is made of the events that the gateway tells: lines in the journal, exemplars, spans.
//!
//! One task reads the queue. Nothing in it waits for the world outside: the journal and the exporter have queues of
//! their own, which drop and count. When the gateway is gone the task sends what is left, and ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway::env::Env;
use gateway::event::Event;
use tokio::sync::{mpsc, oneshot};

use crate::exemplars::Exemplars;
use crate::journal::Journal;
use crate::otlp::{self, Collector, Counts, Spans};
use crate::reading::{SentReading, TelemetryReading};

/// Between two batches. Whoever tells an event while nobody waits for it wakes nobody, which is a system call and a
/// switch of threads on a busy core; the queue holds what 400,000 requests a second could tell meanwhile.
const REST: Duration = Duration::from_millis(20);
/// Events in a batch.
const BATCH: usize = 1024;

/// How often the journal tells what it left out.
const TICK: Duration = Duration::from_secs(1);

/// The telling side of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    pub(crate) journal: Journal,
    exemplars: Arc<Mutex<Exemplars>>,
    spans: Option<Arc<Counts>>,
    points: Option<Arc<Counts>>,
}

/// Resolves when everything that was told has been written and sent, or given up.
#[derive(Debug)]
pub(crate) struct Finished(oneshot::Receiver<()>);

impl Telemetry {
    /// Starts reading `events`. With a collector, their spans are sent to it. `points` is what becomes of metrics,
    /// where those are sent, too.
    pub(crate) fn start(
        env: &Env,
        journal: Journal,
        events: mpsc::Receiver<Box<Event>>,
        collector: Option<&Collector>,
        points: Option<Arc<Counts>>,
    ) -> (Self, Finished) {
        let exporter = collector.map(|collector| otlp::exporter(env.clone(), collector, journal.clone()));
        let (spans, exporter) = exporter.unzip();
        let telemetry = Self {
            journal,
            exemplars: Arc::default(),
            spans: spans.as_ref().map(Spans::counts),
            points,
        };
        let (done, finished) = oneshot::channel();
        let reader = telemetry.clone().read(env.clone(), events, spans);
        env.spawn(async move {
            let export = async {
                if let Some(exporter) = exporter {
                    exporter.run().await;
                }
            };
            tokio::join!(reader, export);
            // Nobody waits for the end of a process that is killed.
            let _ = done.send(());
        });
        (telemetry, Finished(finished))
    }

    pub(crate) fn exemplars(&self) -> MutexGuard<'_, Exemplars> {
        self.exemplars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reading(&self) -> TelemetryReading {
        let of = |counts: &Option<Arc<Counts>>| {
            let counts = counts.as_deref();
            counts.map_or_else(SentReading::default, |counts| SentReading {
                sent: counts.sent(),
                dropped: counts.dropped(),
                failing: counts.failing(),
            })
        };
        TelemetryReading {
            lines_dropped: self.journal.dropped(),
            lines_suppressed: self.journal.suppressed(),
            spans: of(&self.spans),
            points: of(&self.points),
        }
    }

    async fn read(self, env: Env, mut events: mpsc::Receiver<Box<Event>>, spans: Option<Spans>) {
        let mut tick = env.now() + TICK;
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                // First, or a flood of events would keep it from telling that there is one.
                () = env.sleep_until(tick) => {
                    self.journal.tick();
                    tick = env.now() + TICK;
                }
                told = events.recv_many(&mut batch, BATCH) => {
                    batch.drain(..).for_each(|event| self.tell(event, spans.as_ref()));
                    if told == 0 {
                        break;
                    }
                    env.sleep(REST).await;
                }
            }
        }
        self.journal.tick();
    }

    fn tell(&self, event: Box<Event>, spans: Option<&Spans>) {
        self.exemplars().note(&event);
        if event.logged {
            self.journal.request(&event);
        }
        if let Some(spans) = spans
            && event.traced.is_some()
        {
            spans.offer(event);
        }
    }
}

impl Finished {
    /// Waits for it.
    pub(crate) async fn wait(self) {
        // A task that was cut off has nothing more to write either.
        let _ = self.0.await;
    }
}

#[cfg(test)]
mod tests {
    use gateway::event::Traced;
    use plimsoll_slo::{Class, Reason};

    use super::*;
    use crate::journal::{Level, Style};
    use crate::reading::sample::{event, key};

    #[tokio::test]
    async fn a_bad_request_leaves_a_line_and_an_exemplar_and_a_sampled_one_no_line() {
        let path = std::env::temp_dir().join(format!("plimsoll-telemetry-{}", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        let env = Env::real();
        let (journal, writer) = Journal::start(env.clone(), Style::Json, Level::Info, file).unwrap();
        let (gateway, events) = mpsc::channel(8);
        let (telemetry, finished) = Telemetry::start(&env, journal, events, None, None);
        let mut sampled = event(Class::Good, 2);
        (sampled.traced, sampled.logged) = (Some(Traced::Share), false);
        gateway.send(Box::new(sampled)).await.unwrap();
        gateway
            .send(Box::new(event(Class::Bad(Reason::UpstreamReset), 400)))
            .await
            .unwrap();
        drop(gateway);
        finished.wait().await;
        assert!(telemetry.exemplars().latest_bad(&key("pay", "gold")).is_some());
        drop(telemetry);
        tokio::task::spawn_blocking(|| writer.finish()).await.unwrap();
        let log = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(log.lines().count(), 1);
        assert!(log.contains("upstream-reset"));
    }
}
