//! The log: one line for everything worth telling, JSON for machines or text for people at a terminal.
//!
//! Writing a line never waits. Lines go through a bounded queue to a thread of their own, because standard output may
//! be a pipe that nobody reads; what does not fit is dropped and counted, and the count is itself a line as soon as
//! there is room. Lines about requests are bounded once more by [`Quota`], so that an outage does not fill the disk.
//!
//! No header, query or body is ever in a line; paths are, since they are what one looks for.

mod line;
mod quota;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use gateway::env::Env;
use gateway::event::Event;
use plimsoll_slo::{Class, Reason};

use self::line::Line;
use self::quota::{Admission, Quota};

pub(crate) use self::line::{Style, Value};

/// Lines that may wait to be written: at 300 to 600 bytes each, a few megabytes at most.
const QUEUE: usize = 8192;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// The log. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    queue: SyncSender<String>,
}

#[derive(Debug)]
struct Shared {
    env: Env,
    style: Style,
    level: Level,
    quota: Mutex<Quota>,
    dropped: AtomicU64,
    /// How many of the dropped ones were told of.
    dropped_told: AtomicU64,
    suppressed: AtomicU64,
}

/// The thread that writes. See [`Writer::finish`].
#[derive(Debug)]
pub(crate) struct Writer(JoinHandle<()>);

impl Journal {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(
        env: Env,
        style: Style,
        level: Level,
        out: impl Write + Send + 'static,
    ) -> io::Result<(Self, Writer)> {
        let (queue, lines) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let writer = thread.spawn(move || write_all(&lines, out))?;
        Ok((Self::onto(queue, env, style, level), Writer(writer)))
    }

    fn onto(queue: SyncSender<String>, env: Env, style: Style, level: Level) -> Self {
        let shared = Shared {
            env,
            style,
            level,
            quota: Mutex::default(),
            dropped: AtomicU64::new(0),
            dropped_told: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        };
        Self {
            shared: Arc::new(shared),
            queue,
        }
    }

    /// Something that happened as it should.
    pub(crate) fn info(&self, message: &str, fields: &[(&str, Value<'_>)]) {
        self.log(Level::Info, message, fields);
    }

    /// Something that somebody should look at in time.
    pub(crate) fn warn(&self, message: &str, fields: &[(&str, Value<'_>)]) {
        self.log(Level::Warn, message, fields);
    }

    /// Something that somebody should look at now.
    pub(crate) fn error(&self, message: &str, fields: &[(&str, Value<'_>)]) {
        self.log(Level::Error, message, fields);
    }

    /// One line.
    pub(crate) fn log(&self, level: Level, message: &str, fields: &[(&str, Value<'_>)]) {
        if level >= self.shared.level {
            let mut line = Line::begin(self.shared.style, self.shared.env.wall(), level, message);
            for (name, value) in fields {
                line.field(name, value);
            }
            self.push(line);
        }
    }

    /// A request, unless too many like it were told this second.
    pub(crate) fn request(&self, event: &Event) {
        let level = level_of(event.outcome.class);
        if level < self.shared.level {
            return;
        }
        let now = self.shared.env.now();
        let reason = event.outcome.class.reason();
        let admission = {
            let mut quota = self.shared.quota.lock().unwrap_or_else(PoisonError::into_inner);
            quota.admit(now, reason, &event.route)
        };
        match admission {
            Admission::Write => {
                let mut line = Line::begin(self.shared.style, self.shared.env.wall(), level, "request");
                line::request(&mut line, event);
                self.push(line);
            }
            Admission::Suppress => drop(self.shared.suppressed.fetch_add(1, Relaxed)),
        }
    }

    /// Tells what was left out and what was dropped since the last time. To be called once a second.
    pub(crate) fn tick(&self) {
        let now = self.shared.env.now();
        let suppressed = self
            .shared
            .quota
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .roll(now);
        for (reason, count) in suppressed {
            let reason = reason.map_or("", Reason::code);
            let fields = [("reason", reason.into()), ("count", count.into())];
            self.warn("requests like those above, not logged", &fields);
        }
        let dropped = self.dropped();
        let untold = dropped - self.shared.dropped_told.load(Relaxed);
        if untold > 0 {
            self.shared.dropped_told.store(dropped, Relaxed);
            self.warn(
                "log lines dropped because the log is read too slowly",
                &[("count", untold.into())],
            );
        }
    }

    /// Lines that did not fit into the queue.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }

    /// Lines that were left out because too many were alike.
    pub(crate) fn suppressed(&self) -> u64 {
        self.shared.suppressed.load(Relaxed)
    }

    fn push(&self, line: Line) {
        if self.queue.try_send(line.end()).is_err() {
            self.shared.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Writer {
    /// Waits until every line is written. It ends once the last [`Journal`] is dropped.
    pub(crate) fn finish(self) {
        // A writer that panicked has nothing more to write.
        drop(self.0.join());
    }
}

/// A bad request is a warning, since the objective says when it is worth waking somebody; a bug of ours is an error.
fn level_of(class: Class) -> Level {
    match class {
        Class::Good | Class::Excluded(_) => Level::Info,
        Class::Bad(Reason::Internal) => Level::Error,
        Class::Bad(_) => Level::Warn,
    }
}

/// Writes lines until there will be no more. Flushes when it has caught up, so that a quiet log is complete and a
/// busy one is written in blocks. What cannot be written (a full disk, a closed pipe) has no better place to go.
fn write_all(lines: &Receiver<String>, out: impl Write) {
    let mut out = io::BufWriter::with_capacity(64 << 10, out);
    while let Ok(line) = lines.recv() {
        drop(out.write_all(line.as_bytes()));
        while let Ok(line) = lines.try_recv() {
            drop(out.write_all(line.as_bytes()));
        }
        drop(out.flush());
    }
}
