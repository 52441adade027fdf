//! A pool of workers with a queue in front, as a server with so many threads is.
//!
//! Its capacity is known: so many workers, divided by the mean time that a request takes. It does no work but lets
//! time pass, so that what is measured is the queue and not the CPU of this machine. A worker that has finished takes
//! the next request from the moment at which it finished, not from the one at which this program got to see it: the
//! capacity is the same on a machine that is late.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::dice::Dice;

/// Requests that wait. More than a minute of ten times the capacity: a bound on memory, which no run meets.
const QUEUE_MAX: usize = 500_000;

#[derive(Debug)]
pub(crate) struct Workers<T> {
    idle: usize,
    mean: Duration,
    variation: f64,
    /// How many times slower than usual.
    slow: f64,
    dice: Dice,
    /// With the moment at which each came: it is not begun before.
    queue: VecDeque<(Duration, T)>,
    /// When it is done, a number that keeps equal ones in order, and where in `jobs` it is.
    running: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    jobs: Vec<Option<T>>,
    free: Vec<usize>,
    started: u64,
}

impl<T> Workers<T> {
    pub(crate) fn new(count: usize, mean: Duration, variation: f64, seed: u64) -> Self {
        Self {
            idle: count,
            mean,
            variation,
            slow: 1.0,
            dice: Dice::new(seed),
            queue: VecDeque::new(),
            running: BinaryHeap::new(),
            jobs: Vec::new(),
            free: Vec::new(),
            started: 0,
        }
    }

    /// What begins from now on takes so many times as long.
    pub(crate) fn slow_down(&mut self, times: f64) {
        self.slow = times;
    }

    /// Takes a job in. A job that finds the queue full is given back.
    pub(crate) fn take(&mut self, now: Duration, job: T) -> Option<T> {
        if self.idle > 0 {
            self.idle -= 1;
            self.start(now, job);
            return None;
        }
        if self.queue.len() >= QUEUE_MAX {
            return Some(job);
        }
        self.queue.push_back((now, job));
        None
    }

    /// The next job that is done, if one is.
    pub(crate) fn done(&mut self, now: Duration) -> Option<T> {
        let Reverse((at, _, slot)) = self
            .running
            .peek()
            .copied()
            .filter(|Reverse((at, ..))| *at <= now)?;
        self.running.pop();
        let job = self.jobs[slot].take().expect("what runs is there");
        self.free.push(slot);
        match self.queue.pop_front() {
            Some((came, next)) => self.start(at.max(came), next),
            None => self.idle += 1,
        }
        Some(job)
    }

    /// When the next job will be done.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.running.peek().map(|Reverse((at, ..))| *at)
    }

    /// Nothing went on for so long: what runs is done so much later.
    pub(crate) fn froze(&mut self, length: Duration) {
        self.running = self
            .running
            .drain()
            .map(|Reverse((at, number, slot))| Reverse((at + length, number, slot)))
            .collect();
    }

    /// Forgets everything that was under way.
    pub(crate) fn forget(&mut self) {
        self.idle += self.running.len();
        self.running.clear();
        self.queue.clear();
        self.jobs.clear();
        self.free.clear();
    }

    fn start(&mut self, now: Duration, job: T) {
        let time = self.mean.mul_f64(self.slow * self.dice.lognormal(self.variation));
        let slot = self.free.pop().unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        });
        self.jobs[slot] = Some(job);
        self.started += 1;
        self.running.push(Reverse((now + time, self.started, slot)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn workers(count: usize, variation: f64) -> Workers<u32> {
        Workers::new(count, 10 * MS, variation, 1)
    }

    #[test]
    fn so_many_are_served_at_once_and_the_others_wait_their_turn() {
        let mut workers = workers(2, 0.0);
        for job in 1..=3 {
            assert_eq!(workers.take(Duration::ZERO, job), None);
        }
        assert_eq!(workers.done(9 * MS), None);
        assert_eq!((workers.done(10 * MS), workers.done(10 * MS)), (Some(1), Some(2)));
        assert_eq!((workers.next(), workers.done(19 * MS)), (Some(20 * MS), None));
        assert_eq!(workers.done(20 * MS), Some(3));
        assert_eq!(workers.next(), None);
    }

    #[test]
    fn the_capacity_does_not_suffer_from_being_looked_at_late() {
        let mut workers = workers(4, 0.5);
        for job in 0..4000 {
            workers.take(Duration::ZERO, job);
        }
        // Ten seconds is what 4,000 jobs of 10 ms take four workers; they are looked at every 70 ms.
        let mut done = 0;
        for look in 0..=(10_000 / 70) {
            done += std::iter::from_fn(|| workers.done(look * 70 * MS)).count();
        }
        assert!((3900..=4000).contains(&done), "{done}");
    }

    #[test]
    fn slowness_is_of_what_begins_and_a_freeze_of_what_runs() {
        let mut workers = workers(1, 0.0);
        workers.take(Duration::ZERO, 1);
        workers.slow_down(5.0);
        workers.take(Duration::ZERO, 2);
        assert_eq!(workers.done(10 * MS), Some(1));
        assert_eq!(workers.next(), Some(60 * MS));
        workers.froze(100 * MS);
        assert_eq!(workers.next(), Some(160 * MS));
        workers.forget();
        assert_eq!((workers.next(), workers.done(1000 * MS)), (None, None));
        workers.take(Duration::ZERO, 3);
        assert_eq!(workers.next(), Some(50 * MS), "its worker is free again");
    }
}
