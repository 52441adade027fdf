//! Futures that run side by side within one task.
//!
//! Nothing is spawned, so they may borrow, they end with their owner, and they are polled in the order in which they
//! were begun: in the simulation the same seed gives the same order. Whoever begins them sees to a bound; with a few
//! dozen it costs next to nothing that every wake-up polls them all.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future under way.
type Running<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Futures under way.
pub(crate) struct Abreast<'a, T> {
    running: Vec<Running<'a, T>>,
}

impl<'a, T> Abreast<'a, T> {
    pub(crate) fn new() -> Self {
        Self { running: Vec::new() }
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Begins one. It runs whenever [`Self::next`] is awaited.
    pub(crate) fn begin(&mut self, future: impl Future<Output = T> + Send + 'a) {
        self.running.push(Box::pin(future));
    }

    /// Waits for the first to end; `None` when none is under way. Giving up the wait loses nothing.
    pub(crate) async fn next(&mut self) -> Option<T> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        for index in 0..self.running.len() {
            if let Poll::Ready(value) = self.running[index].as_mut().poll(context) {
                drop(self.running.remove(index));
                return Poll::Ready(Some(value));
            }
        }
        if self.running.is_empty() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_slo::Instant;

    use super::*;
    use crate::env::Env;

    #[tokio::test(start_paused = true)]
    async fn they_take_as_long_as_the_longest_and_end_in_their_own_order() {
        let env = Env::real();
        let mut abreast = Abreast::new();
        for seconds in [3, 1, 2, 1] {
            let pause = env.sleep(Duration::from_secs(seconds));
            abreast.begin(async move {
                pause.await;
                seconds
            });
        }
        let mut ended = Vec::new();
        while let Some(seconds) = abreast.next().await {
            ended.push((seconds, env.now().since(Instant::ORIGIN).as_secs()));
        }
        assert_eq!(ended, [(1, 1), (1, 1), (2, 2), (3, 3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_loses_nothing() {
        let env = Env::real();
        let mut abreast = Abreast::new();
        abreast.begin(env.sleep(Duration::from_secs(2)));
        let second = Duration::from_secs(1);
        assert!(tokio::time::timeout(second, abreast.next()).await.is_err());
        assert_eq!(abreast.len(), 1);
        assert_eq!(abreast.next().await, Some(()));
        assert_eq!(abreast.next().await, None);
    }
}
