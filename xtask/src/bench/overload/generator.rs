//! Open-loop load: every request is sent at its own moment, however the others fare.
//!
//! One thread holds as many connections as it takes. A caller's patience runs from the moment at which its try was
//! meant to be sent; when it ends, the caller hangs up. Callers either leave it at that or, if they are naive, try
//! again at once and as often as they were told. The generator judges itself: how late it sent, and how much of its
//! CPU it used. A run in which it was the bottleneck says nothing about a server.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::{Events, Poll};

use super::arrivals::Arrival;
use super::lines::{Handle, Heard, Lines};
use super::samples::{Outcome, Sample, Samples};
use super::service::JOINED;
use crate::bench::process::now;

/// What is done to the world at a moment of the load.
pub(crate) type Act<'a> = (Duration, Box<dyn Fn() + 'a>);

pub(crate) struct Load<'a> {
    pub(crate) arrivals: &'a [Arrival],
    pub(crate) port: u16,
    /// How long a caller waits for an answer to one try.
    pub(crate) patience: Duration,
    /// How often a caller tries again, at once, whatever the answer was.
    pub(crate) retries: u8,
    /// In the order of their moments.
    pub(crate) acts: Vec<Act<'a>>,
}

impl Load<'_> {
    /// Makes the load, and waits until every caller is answered or has given up.
    ///
    /// # Errors
    /// If the system does not let it poll.
    pub(crate) fn make(self) -> anyhow::Result<Samples> {
        let poll = Poll::new().context("making a poll")?;
        let mut making = Making {
            lines: Lines::new(self.port, 0),
            poll,
            samples: Vec::with_capacity(self.arrivals.len()),
            lags: Vec::with_capacity(self.arrivals.len()),
            patience: VecDeque::new(),
            open: 0,
            began: now(),
            load: self,
        };
        making.run().context("making load")?;
        Ok(Samples {
            all: making.samples,
            lags: making.lags,
        })
    }
}

/// One try: whose, and when it was meant to be sent.
#[derive(Clone, Copy, Debug)]
struct Try {
    caller: usize,
    meant: Duration,
}

struct Making<'a> {
    lines: Lines<Try>,
    poll: Poll,
    samples: Vec<Sample>,
    lags: Vec<Duration>,
    /// When whose patience ends. All are equally patient, so this is in order.
    patience: VecDeque<(Duration, Handle)>,
    /// Callers that still wait.
    open: usize,
    began: Instant,
    load: Load<'a>,
}

impl Making<'_> {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(4096);
        let mut acts = std::mem::take(&mut self.load.acts).into_iter().peekable();
        let mut next = 0;
        loop {
            while let Some((_, act)) = acts.next_if(|(at, _)| *at <= self.now()) {
                act();
            }
            while let Some(arrival) = self.load.arrivals.get(next).filter(|a| a.at <= self.now()) {
                self.arrive(next, arrival.at);
                next += 1;
            }
            self.expire();
            let coming = self.load.arrivals.get(next).map(|arrival| arrival.at);
            if coming.is_none() && self.open == 0 && acts.peek().is_none() {
                return Ok(());
            }
            let until = [
                coming,
                self.patience.front().map(|(at, _)| *at),
                acts.peek().map(|(at, _)| *at),
            ];
            let until = until.into_iter().flatten().min().unwrap_or_default();
            self.wait(&mut events, until)?;
            for event in &events {
                if let Some((tried, heard)) = self.lines.ready(self.poll.registry(), event.token()) {
                    self.heard(tried, heard);
                }
            }
        }
    }

    fn now(&self) -> Duration {
        now().duration_since(self.began)
    }

    /// The kernel's timeout is in whole milliseconds, so what is due is sent up to one of them late. That is less than
    /// a tenth of the least latency here, and counts as send lag; looking without pause would take the CPU from the
    /// service.
    fn wait(&mut self, events: &mut Events, until: Duration) -> io::Result<()> {
        let left = until.saturating_sub(self.now());
        match self.poll.poll(events, Some(left)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            polled => polled,
        }
    }

    fn arrive(&mut self, caller: usize, meant: Duration) {
        let arrival = self.load.arrivals[caller];
        self.lags.push(self.now().saturating_sub(meant));
        // Until something else is known, it is not answered: nobody is left out by being forgotten.
        self.samples.push(Sample {
            at: meant,
            class: arrival.class,
            joined: arrival.joined,
            outcome: Outcome::TimedOut,
            latency: self.load.patience,
            tries: 0,
        });
        self.open += 1;
        self.send(Try { caller, meant });
    }

    fn send(&mut self, tried: Try) {
        self.samples[tried.caller].tries += 1;
        let request = request(tried.caller, &self.load.arrivals[tried.caller]);
        match self.lines.ask(self.poll.registry(), request, tried) {
            Ok(handle) => self
                .patience
                .push_back((tried.meant + self.load.patience, handle)),
            // No connection can be opened, which another try at once would not change.
            Err(tried) => self.conclude(tried, Outcome::Broken),
        }
    }

    fn expire(&mut self) {
        while let Some((at, handle)) = self.patience.front().copied() {
            match at.cmp(&self.now()) {
                Ordering::Greater => return,
                _ => self.patience.pop_front(),
            };
            // The connection may long be somebody else's; then this patience has ended well.
            let still = self
                .lines
                .asking(handle)
                .is_some_and(|tried| tried.meant + self.load.patience == at);
            if still && let Some(tried) = self.lines.hang_up(handle) {
                self.tried(tried, Outcome::TimedOut);
            }
        }
    }

    fn heard(&mut self, tried: Try, heard: Heard) {
        let outcome = match heard {
            Heard::Status(status) => Outcome::of_status(status),
            Heard::Broken => Outcome::Broken,
        };
        self.tried(tried, outcome);
    }

    fn tried(&mut self, tried: Try, outcome: Outcome) {
        let again = outcome != Outcome::Good && self.samples[tried.caller].tries <= self.load.retries;
        if again {
            let meant = self.now();
            self.send(Try { meant, ..tried });
        } else {
            self.conclude(tried, outcome);
        }
    }

    fn conclude(&mut self, tried: Try, outcome: Outcome) {
        let now = self.now();
        let sample = &mut self.samples[tried.caller];
        sample.outcome = outcome;
        sample.latency = now.saturating_sub(sample.at);
        self.open -= 1;
    }
}

fn request(caller: usize, arrival: &Arrival) -> Vec<u8> {
    let Arrival {
        class,
        tenant,
        joined,
        ..
    } = arrival;
    let path = if *joined { JOINED } else { "/alone/" };
    format!(
        "GET {path}{caller} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench/1\r\nx-priority: {}\r\nx-tenant: t{tenant}\r\n\r\n",
        class.word()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::overload::arrivals::{Phase, stream};
    use crate::bench::overload::service::{Service, Sort, State};
    use crate::bench::overload::world::free_port;

    const MS: Duration = Duration::from_millis(1);

    fn service() -> Service {
        let sort = Sort {
            workers: 8,
            mean: 5 * MS,
            variation: 0.5,
            seed: 1,
        };
        Service::start(sort, free_port().unwrap(), None).unwrap()
    }

    fn arrivals(per_second: f64, length: Duration) -> Vec<Arrival> {
        stream(1, &[Phase::new(per_second, length)], 0.0)
    }

    fn load<'a>(arrivals: &'a [Arrival], service: &Service) -> Load<'a> {
        Load {
            arrivals,
            port: service.port,
            patience: 10_000 * MS,
            retries: 0,
            acts: Vec::new(),
        }
    }

    fn count(samples: &Samples, outcome: Outcome) -> usize {
        samples
            .all
            .iter()
            .filter(|sample| sample.outcome == outcome)
            .count()
    }

    #[test]
    fn a_freeze_is_charged_to_all_who_came_meanwhile() {
        let service = service();
        let arrivals = arrivals(200.0, 1000 * MS);
        let (from, to) = (300 * MS, 800 * MS);
        let samples = Load {
            acts: vec![
                (from, Box::new(|| service.set(State::Hanging))),
                (to, Box::new(|| service.set(State::Well))),
            ],
            ..load(&arrivals, &service)
        }
        .make()
        .unwrap();
        assert_eq!(count(&samples, Outcome::Good), arrivals.len());
        // Whoever came in the freeze waited for the rest of it: a client that had waited with its next request until
        // the last was answered would have seen one slow answer.
        let waited = |sample: &&Sample| (from + MS..to).contains(&sample.at);
        let meanwhile: Vec<&Sample> = samples.all.iter().filter(waited).collect();
        assert!(meanwhile.len() > 70, "{}", meanwhile.len());
        assert!(meanwhile.iter().all(|sample| sample.at + sample.latency >= to));
    }

    #[test]
    fn naive_callers_try_again_and_every_try_arrives() {
        let service = service();
        service.fail(50);
        let arrivals = arrivals(400.0, 250 * MS);
        let samples = Load {
            retries: 3,
            ..load(&arrivals, &service)
        }
        .make()
        .unwrap();
        let tries: u64 = samples.all.iter().map(|sample| u64::from(sample.tries)).sum();
        assert_eq!(service.arrived(), tries);
        assert!(tries > arrivals.len() as u64, "some had to try again");
        assert!(samples.all.iter().all(|sample| sample.tries <= 4));
        service.fail(100);
        let once = load(&arrivals, &service).make().unwrap();
        assert_eq!(count(&once, Outcome::Refused), arrivals.len());
    }

    #[test]
    fn who_is_not_answered_gives_up_when_patience_ends() {
        let service = service();
        service.set(State::Hanging);
        let arrivals = arrivals(200.0, 100 * MS);
        let patience = 50 * MS;
        let samples = Load {
            patience,
            retries: 1,
            ..load(&arrivals, &service)
        }
        .make()
        .unwrap();
        assert_eq!(count(&samples, Outcome::TimedOut), arrivals.len());
        assert!(
            samples
                .all
                .iter()
                .all(|sample| sample.tries == 2 && sample.latency >= 2 * patience)
        );
    }

    #[test]
    fn a_service_that_is_down_refuses_and_comes_back_on_its_port() {
        let service = service();
        let arrivals = arrivals(400.0, 300 * MS);
        let samples = Load {
            acts: vec![(100 * MS, Box::new(|| service.set(State::Down)))],
            ..load(&arrivals, &service)
        }
        .make()
        .unwrap();
        let last = samples.all.last().unwrap();
        assert_eq!(last.outcome, Outcome::Broken);
        service.set(State::Well);
        let until = now() + 10_000 * MS;
        while std::net::TcpStream::connect(("127.0.0.1", service.port)).is_err() {
            assert!(now() < until, "it does not listen again");
            std::thread::yield_now();
        }
        let again = load(&arrivals, &service).make().unwrap();
        assert_eq!(count(&again, Outcome::Good), arrivals.len());
    }

    #[test]
    fn a_service_asks_its_dependency_for_those_that_need_it() {
        let dependency = service();
        let sort = Sort {
            workers: 8,
            mean: 5 * MS,
            variation: 0.0,
            seed: 1,
        };
        let front = Service::start(sort, free_port().unwrap(), Some(dependency.port)).unwrap();
        let arrivals = stream(1, &[Phase::new(200.0, 200 * MS)], 0.5);
        let joined = arrivals.iter().filter(|arrival| arrival.joined).count();
        let good = load(&arrivals, &front).make().unwrap();
        assert_eq!(count(&good, Outcome::Good), arrivals.len());
        assert_eq!(dependency.arrived(), joined as u64);
        dependency.fail(100);
        let bad = load(&arrivals, &front).make().unwrap();
        assert_eq!(count(&bad, Outcome::Failed), joined);
    }
}
