//! The service under load: a pool of workers behind real sockets, whose capacity is known and whose troubles are
//! told to it.
//!
//! It reads every request as it comes and queues it, as a server with a pool of threads does, and does not notice
//! that a caller has hung up: the work is done and its answer thrown away. That is what makes overload dear. With a
//! dependency, a request is worked on first and then waits for the dependency without a worker, as an asynchronous
//! service does; it passes on the headers of tracing and nothing else.
//!
//! It is one thread of this process, and waits for the most part.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::lines::{Heard, Lines};
use super::wire;
use super::workers::Workers;
use crate::bench::process::now;

/// What asks whether it is well: answered at once, and counted nowhere.
pub(crate) const HEALTH: &str = "/healthz";
/// What begins with this needs the dependency.
pub(crate) const JOINED: &str = "/joined/";

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
/// Tokens from here on are connections to the dependency.
const OUTWARD: usize = 1 << 32;
const CHUNK: usize = 16 << 10;
/// How often a service that hangs, or that waits for its port, looks again.
const GLANCE: Duration = Duration::from_millis(5);
const BODY: usize = 256;

/// What a service can be told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Well = 0,
    /// It has crashed: what was under way is lost, and connections are refused.
    Down = 1,
    /// It hangs: connections are taken and nothing is answered until it goes on.
    Hanging = 2,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sort {
    pub(crate) workers: usize,
    /// How long a worker takes for a request, and the standard deviation of that as a share of it.
    pub(crate) mean: Duration,
    pub(crate) variation: f64,
    pub(crate) seed: u64,
}

impl Sort {
    /// Requests per second that it can answer.
    pub(crate) fn capacity(&self) -> f64 {
        self.workers as f64 / self.mean.as_secs_f64()
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    stopped: AtomicBool,
    forgets: AtomicBool,
    /// In thousandths.
    slow: AtomicU64,
    failing_percent: AtomicU64,
    arrived: AtomicU64,
}

/// A service that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts it on a port, with a port at which its dependency is found.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub(crate) fn start(sort: Sort, port: u16, dependency: Option<u16>) -> anyhow::Result<Self> {
        let poll = Poll::new().context("making a poll")?;
        let waker = Waker::new(poll.registry(), WAKER).context("making a waker")?;
        let shared = Arc::new(Shared {
            slow: AtomicU64::new(1000),
            ..Shared::default()
        });
        let mut serving = Serving {
            shared: Arc::clone(&shared),
            poll,
            port,
            began: now(),
            listener: None,
            connections: Vec::new(),
            free: Vec::new(),
            generation: 0,
            workers: Workers::new(sort.workers, sort.mean, sort.variation, sort.seed),
            lines: Lines::new(dependency.unwrap_or(0), OUTWARD),
            coin: 0,
            chunk: vec![0; CHUNK],
        };
        serving
            .listen()
            .with_context(|| format!("listening on port {port}"))?;
        let run = move || {
            if let Err(error) = serving.run() {
                eprintln!("the service on port {port} ended: {error}");
            }
        };
        let thread = thread::Builder::new()
            .name(format!("service-{port}"))
            .spawn(run)
            .context("starting the service's thread")?;
        Ok(Self {
            port,
            shared,
            waker,
            thread: Some(thread),
        })
    }

    pub(crate) fn set(&self, state: State) {
        self.shared.state.store(state as u8, Ordering::SeqCst);
        self.wake();
    }

    /// Makes it so many times slower than usual.
    pub(crate) fn slow_down(&self, times: f64) {
        self.shared.slow.store((times * 1000.0) as u64, Ordering::SeqCst);
        self.wake();
    }

    /// Has it answer so many in a hundred with 503, as evenly as can be.
    pub(crate) fn fail(&self, percent: u64) {
        self.shared.failing_percent.store(percent, Ordering::SeqCst);
    }

    /// Has it drop what it works on and what is in its queue, whose callers have long given up.
    pub(crate) fn forget(&self) {
        self.shared.forgets.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Requests that have come so far.
    pub(crate) fn arrived(&self) -> u64 {
        self.shared.arrived.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        // It fails only if the thread is gone, and then there is nobody to tell.
        drop(self.waker.wake());
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Somebody who waits for an answer.
#[derive(Clone, Debug)]
struct Job {
    connection: usize,
    generation: u64,
    fails: bool,
    /// What to ask the dependency with.
    onward: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    held: Vec<u8>,
    generation: u64,
}

struct Serving {
    shared: Arc<Shared>,
    poll: Poll,
    port: u16,
    began: Instant,
    listener: Option<TcpListener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    generation: u64,
    workers: Workers<Job>,
    lines: Lines<Job>,
    /// Adds up the shares of requests that fail.
    coin: u64,
    chunk: Vec<u8>,
}

impl Serving {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        while !self.shared.stopped.load(Ordering::SeqCst) {
            self.heed()?;
            let wait = self.workers.next().map(|at| at.saturating_sub(self.now()));
            match self.poll.poll(&mut events, wait) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = self.now();
            while let Some(job) = self.workers.done(now) {
                self.finish(job);
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    LISTENER => self.accept()?,
                    Token(token) if token >= OUTWARD => {
                        if let Some((job, heard)) = self.lines.ready(self.poll.registry(), Token(token)) {
                            let status = if heard == Heard::Status(200) { 200 } else { 502 };
                            self.answer(&job, status);
                        }
                    }
                    Token(at) => self.read(at),
                }
            }
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        now().duration_since(self.began)
    }

    /// Does what it was told, which may be to do nothing for a while.
    fn heed(&mut self) -> io::Result<()> {
        let slow = self.shared.slow.load(Ordering::SeqCst);
        self.workers.slow_down(slow as f64 / 1000.0);
        if self.shared.forgets.swap(false, Ordering::SeqCst) {
            self.workers.forget();
        }
        if self.is(State::Hanging) {
            let since = self.now();
            while self.is(State::Hanging) {
                thread::park_timeout(GLANCE);
            }
            self.workers.froze(self.now().saturating_sub(since));
        }
        if self.is(State::Down) {
            self.listener = None;
            self.workers.forget();
            self.connections.clear();
            self.free.clear();
            while self.is(State::Down) {
                thread::park_timeout(GLANCE);
            }
        }
        // Somebody's outgoing connection may have the port for a moment.
        while self.listener.is_none() && !self.shared.stopped.load(Ordering::SeqCst) {
            match self.listen() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => thread::park_timeout(GLANCE),
                listening => listening?,
            }
        }
        Ok(())
    }

    /// A service that is to end is in no state.
    fn is(&self, state: State) -> bool {
        self.shared.state.load(Ordering::SeqCst) == state as u8 && !self.shared.stopped.load(Ordering::SeqCst)
    }

    fn listen(&mut self) -> io::Result<()> {
        let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))?;
        self.poll
            .registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        self.listener = Some(listener);
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(listener) = &self.listener {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Whoever came has left already.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poll
                .registry()
                .register(&mut stream, Token(at), Interest::READABLE)?;
            self.generation += 1;
            self.connections[at] = Some(Connection {
                stream,
                held: Vec::new(),
                generation: self.generation,
            });
        }
        Ok(())
    }

    fn read(&mut self, at: usize) {
        if self.take_in(at).is_err() && self.connections.get_mut(at).and_then(Option::take).is_some() {
            self.free.push(at);
        }
    }

    /// Reads what there is and queues what is complete.
    ///
    /// # Errors
    /// When the connection is over.
    fn take_in(&mut self, at: usize) -> io::Result<()> {
        let now = self.now();
        loop {
            let Some(Some(connection)) = self.connections.get_mut(at) else {
                return Ok(());
            };
            let count = match connection.stream.read(&mut self.chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            connection.held.extend_from_slice(&self.chunk[..count]);
            let Some(asked) = wire::request(&connection.held)? else {
                continue;
            };
            let well = asked.target == HEALTH;
            let onward = asked.target.starts_with(JOINED).then(|| onward(&asked));
            let length = asked.length;
            connection.held.drain(..length);
            let mut job = Job {
                connection: at,
                generation: connection.generation,
                fails: false,
                onward,
            };
            if well {
                self.answer(&job, 200);
                continue;
            }
            self.shared.arrived.fetch_add(1, Ordering::SeqCst);
            job.fails = self.fails();
            if let Some(job) = self.workers.take(now, job) {
                self.answer(&job, 503);
            }
        }
    }

    /// Every second one at 50 in a hundred, and so on.
    fn fails(&mut self) -> bool {
        self.coin += self.shared.failing_percent.load(Ordering::SeqCst);
        let fails = self.coin >= 100;
        self.coin %= 100;
        fails
    }

    fn finish(&mut self, mut job: Job) {
        match job.onward.take() {
            _ if job.fails => self.answer(&job, 503),
            None => self.answer(&job, 200),
            Some(request) => {
                if let Err(job) = self.lines.ask(self.poll.registry(), request, job) {
                    self.answer(&job, 502);
                }
            }
        }
    }

    /// Answers whoever is still there.
    fn answer(&mut self, job: &Job, status: u16) {
        let connection = self.connections.get_mut(job.connection).and_then(Option::as_mut);
        let Some(connection) = connection.filter(|found| found.generation == job.generation) else {
            return;
        };
        let phrase = if status == 200 { "OK" } else { "No" };
        let text = format!(
            "HTTP/1.1 {status} {phrase}\r\ncontent-type: text/plain\r\ncontent-length: {BODY}\r\n\r\n{:x<BODY$}",
            ""
        );
        // It always fits into the socket's buffer, for there is one answer at a time; if the caller is gone, the
        // next event says so.
        drop(connection.stream.write_all(text.as_bytes()));
    }
}

/// What the dependency is asked: with the headers of tracing, as an unchanged service passes them on.
fn onward(asked: &wire::Asked<'_>) -> Vec<u8> {
    let mut text = "GET /stock HTTP/1.1\r\nhost: dependency\r\n".to_owned();
    for name in ["traceparent", "tracestate", "x-request-id"] {
        if let Some(value) = asked.header(name) {
            text.extend([name, ": ", value, "\r\n"]);
        }
    }
    text.push_str("\r\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_to_the_dependency_is_the_headers_of_tracing_and_nothing_else() {
        let bytes =
            b"GET /joined/7 HTTP/1.1\r\nhost: a\r\nx-priority: critical\r\ntraceparent: 00-1-2-01\r\n\
            x-request-id: r-7\r\n\r\n";
        let asked = wire::request(bytes).unwrap().unwrap();
        let text = String::from_utf8(onward(&asked)).unwrap();
        let lines: Vec<&str> = text.trim_end().split("\r\n").collect();
        let expected = ["host: dependency", "traceparent: 00-1-2-01", "x-request-id: r-7"];
        assert_eq!(lines[1..], expected, "{text}");
    }

    #[test]
    fn capacity_is_workers_over_time() {
        let sort = Sort {
            workers: 16,
            mean: Duration::from_millis(32),
            variation: 0.5,
            seed: 1,
        };
        assert!((sort.capacity() - 500.0).abs() < 1e-9);
    }
}
