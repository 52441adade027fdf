//! Sends the metrics, again and again.
//!
//! Every export holds all that was counted since the start, so one that is lost costs resolution and no count.
//! Nothing is kept for another try, therefore: the next export, in a few seconds, makes it good. What a collector did
//! not take is counted all the same, and the journal and the status say when it takes nothing.

use std::sync::Arc;
use std::time::Duration;

use gateway::env::Env;
use plimsoll_slo::Instant;
use tokio::sync::oneshot;

use super::points::{Points, Request};
use super::post::{Answer, Poster, Signal};
use super::{Collector, Counts, Standing};
use crate::journal::Journal;

/// The longest that a collector may have us wait: as the longest interval that can be configured.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// Sends metrics to a collector.
#[derive(Debug)]
pub(crate) struct Meter {
    env: Env,
    counts: Arc<Counts>,
    standing: Standing,
    send_every: Duration,
    resource: Vec<(String, String)>,
    /// When counting began, since the Unix epoch.
    began: Duration,
    post: Poster,
}

/// Ends a meter, with a last export.
#[derive(Debug)]
pub(crate) struct MeterEnd {
    end: oneshot::Sender<()>,
    finished: oneshot::Receiver<()>,
}

impl Meter {
    /// A meter for what is counted from now on.
    pub(crate) fn new(env: Env, collector: &Collector, journal: Journal) -> Self {
        let counts = Arc::new(Counts::default());
        Self {
            standing: Standing::new(journal, Arc::clone(&counts), "metrics"),
            counts,
            send_every: collector.send_every,
            resource: collector.resource.clone(),
            began: env.wall(),
            post: Poster::new(env.clone(), collector, Signal::Metrics),
            env,
        }
    }

    /// What becomes of its data points.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Exports what `write` writes, until it is ended.
    pub(crate) fn start(self, write: impl Fn(&mut Points<'_>) + Send + Sync + 'static) -> MeterEnd {
        let (end, ended) = oneshot::channel();
        let (done, finished) = oneshot::channel();
        let env = self.env.clone();
        env.spawn(async move {
            self.run(&write, ended).await;
            // Nobody waits for the end of a process that is killed.
            let _ = done.send(());
        });
        MeterEnd { end, finished }
    }

    async fn run(mut self, write: &(impl Fn(&mut Points<'_>) + Sync), mut ended: oneshot::Receiver<()>) {
        let mut due = self.env.now() + self.send_every;
        loop {
            let is_last = tokio::select! {
                biased;
                _ = &mut ended => true,
                () = self.env.sleep_until(due) => false,
            };
            let mut points = Points::new(&self.resource, (self.began, self.env.wall()));
            write(&mut points);
            let requests = points.finish();
            let wait = self.export(requests).await;
            if is_last {
                return;
            }
            due = next(due, self.env.now(), self.send_every, wait);
        }
    }

    /// Sends all requests, or gives up at the first that is not taken: the others would fare no better. Returns how
    /// long the collector wants to be left alone.
    async fn export(&mut self, requests: Vec<Request>) -> Option<Duration> {
        let mut left: u64 = requests.iter().map(|request| request.points).sum();
        for Request { body, points } in requests {
            let (cause, after) = match self.post.post(body).await {
                Ok(Answer::Taken { rejected, message }) => {
                    let rejected = rejected.min(points);
                    self.counts.add(points - rejected, rejected);
                    self.standing.tell(rejected > 0, &message, rejected);
                    left -= points;
                    continue;
                }
                Ok(Answer::Refused { status }) => (format!("it answered {status}"), None),
                Ok(Answer::Later { status, after }) => (format!("it answered {status}"), after),
                Err(error) => (format!("{:#}", anyhow::Error::new(error)), None),
            };
            self.counts.add(0, left);
            self.standing.tell(true, &cause, left);
            return after;
        }
        None
    }
}

/// When the next export is due: in its rhythm, unless that is past or the collector asks for more time.
fn next(due: Instant, now: Instant, every: Duration, wait: Option<Duration>) -> Instant {
    let in_rhythm = if due + every > now {
        due + every
    } else {
        now + every
    };
    let asked = wait.map_or(now, |wait| now + wait.min(WAIT_MAX));
    in_rhythm.max(asked)
}

impl MeterEnd {
    /// Has it export once more, and waits for that.
    pub(crate) async fn finish(self) {
        // A meter that was cut off has nothing more to send either.
        drop(self.end);
        let _ = self.finished.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_keep_their_rhythm_and_a_collector_can_slow_them() {
        let at = |seconds| Instant::ORIGIN + Duration::from_secs(seconds);
        let every = Duration::from_secs(10);
        assert_eq!(next(at(10), at(11), every, None), at(20));
        assert_eq!(
            next(at(10), at(35), every, None),
            at(45),
            "what was missed is not made up for"
        );
        assert_eq!(next(at(10), at(11), every, Some(Duration::from_secs(30))), at(41));
        assert_eq!(next(at(10), at(11), every, Some(Duration::from_secs(1))), at(20));
        assert_eq!(next(at(10), at(11), every, Some(Duration::MAX)), at(11 + 300));
    }
}
