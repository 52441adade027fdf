//! What happened in a run, in order: the evidence that properties judge and that two runs of a seed must share.
//!
//! A trace is text in the end: one line per entry, with the simulated time first. Everything that stands in a line
//! must come from the seed; what cannot (a `Date` header, the number of an endpoint) is left out.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use plimsoll_policy::Priority;
use plimsoll_slo::{Class, Reason};

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Simulated time since the start of the run.
    pub at: Duration,
    /// The simulated host.
    pub who: &'static str,
    /// What it was.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum What {
    /// A client sends a request.
    Asked(Ask),
    /// A client has its answer.
    Answered(Answer),
    /// A client has no answer, or a part of one, and why.
    Unanswered(u32, &'static str),
    /// The head of an attempt has come to an endpoint, which may act on it from now on.
    Arrived(Arrival),
    /// The body of an attempt has come to its end.
    Received(u32, Body),
    /// The gateway says what became of a request.
    Told(Box<Told>),
    /// The world changes.
    Weather(String),
}

/// What kind of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GET.
    Get,
    /// PUT, with a body.
    Put,
    /// POST, with a body.
    Post,
    /// POST, with a body and an idempotency key.
    KeyedPost,
}

/// A request as its client sends it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its number, which is also its request id.
    pub id: u32,
    /// Its kind.
    pub kind: Kind,
    /// The deadline that it asks for.
    pub deadline: Option<Duration>,
    /// Pieces of its body.
    pub pieces: u32,
    /// Pieces that its answer shall have.
    pub wants: u32,
    /// How its client behaves.
    pub temper: Temper,
    /// How much it matters.
    pub priority: Priority,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// It waits for longer than any answer may take.
    Patient,
    /// It leaves after this time.
    Leaves(Duration),
    /// It stops reading for this time, then leaves.
    Stalls(Duration),
    /// It stops sending its body half-way, and waits.
    Chokes,
    /// It asks the gateway for a delay that outlasts the deadline, and waits.
    Delayed,
}

/// An answer as its client sees it.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The request's number.
    pub id: u32,
    /// Its status.
    pub status: u16,
    /// `x-plimsoll-reason`, when the gateway made the answer.
    pub reason: Option<Reason>,
    /// The body is whole and belongs to this request.
    pub own: bool,
}

/// An attempt as an endpoint sees it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The request's number.
    pub id: u32,
    /// Its kind.
    pub kind: Kind,
    /// `x-plimsoll-attempt`.
    pub attempt: u32,
    /// `x-plimsoll-deadline-ms`.
    pub left: Duration,
    /// How many requests this endpoint had before.
    pub number: u32,
}

/// A request's body as an endpoint sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Every byte that was sent, and no other.
    Own,
    /// It broke off.
    Broken,
    /// It ended well, and is not what was sent.
    Wrong,
}

/// The gateway's event of a request, as far as it can be the same twice.
#[derive(Clone, Debug)]
pub struct Told {
    /// The request's number.
    pub id: u32,
    /// The status that was answered.
    pub status: u16,
    /// What became of it.
    pub class: Class,
    /// When its head was complete, in simulated time.
    pub began: Duration,
    /// From its head to the end of its answer.
    pub latency: Duration,
    /// From its head to the head of its answer.
    pub first_byte: Duration,
    /// Attempts sent.
    pub attempts: u32,
    /// Attempts that are told, in order.
    pub notes: Vec<Note>,
    /// Everything else, in words.
    pub rest: String,
}

/// The gateway's note of an attempt.
#[derive(Clone, Debug)]
pub struct Note {
    /// The address that it was sent to.
    pub endpoint: String,
    /// From the head of the request to its sending.
    pub after: Duration,
    /// From its sending to its end.
    pub took: Duration,
    /// How it ended, in a word.
    pub end: String,
    /// It was sent beside the one before.
    pub hedge: bool,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint,
            after,
            took,
            end,
            hedge,
        } = self;
        let mark = if *hedge { "hedge " } else { "" };
        write!(f, "{mark}{endpoint}+{after:?}/{took:?}={end}")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>14} {:<10} ", self.at.as_nanos(), self.who)?;
        match &self.what {
            What::Asked(ask) => {
                let Ask {
                    id,
                    kind,
                    deadline,
                    pieces,
                    wants,
                    temper,
                    priority,
                } = ask;
                let priority = priority.word();
                write!(
                    f,
                    "asked #{id} {kind:?} {temper:?} {priority} pieces={pieces} wants={wants}"
                )?;
                deadline.map_or(Ok(()), |deadline| write!(f, " deadline={deadline:?}"))
            }
            What::Answered(answer) => {
                let Answer {
                    id,
                    status,
                    reason,
                    own,
                } = answer;
                let reason = reason.map_or("-", Reason::code);
                write!(f, "answered #{id} {status} {reason} own={own}")
            }
            What::Unanswered(id, why) => write!(f, "unanswered #{id} {why}"),
            What::Arrived(arrival) => {
                let Arrival {
                    id,
                    kind,
                    attempt,
                    left,
                    number,
                } = arrival;
                write!(
                    f,
                    "arrived #{id} {kind:?} attempt={attempt} left={left:?} number={number}"
                )
            }
            What::Received(id, body) => write!(f, "received #{id} {body:?}"),
            What::Told(told) => {
                let Told {
                    id,
                    status,
                    class,
                    began,
                    latency,
                    first_byte,
                    attempts,
                    notes,
                    rest,
                } = &**told;
                write!(
                    f,
                    "told #{id} {status} {class:?} began={began:?} latency={latency:?} first_byte={first_byte:?} attempts={attempts} {rest}"
                )?;
                notes.iter().try_for_each(|note| write!(f, " [{note}]"))
            }
            What::Weather(text) => f.write_str(text),
        }
    }
}

/// The writing end of a trace, shared by all simulated hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Rc<RefCell<Vec<Entry>>>);

impl Recorder {
    /// Records something that happens now, on the simulated host that runs.
    pub(crate) fn record(&self, who: &'static str, what: What) {
        self.record_at(turmoil::sim_elapsed().unwrap_or_default(), who, what);
    }

    /// Records something that happens between the hosts' turns.
    pub(crate) fn record_at(&self, at: Duration, who: &'static str, what: What) {
        self.0.borrow_mut().push(Entry { at, who, what });
    }

    /// All that was recorded.
    pub(crate) fn take(&self) -> Vec<Entry> {
        self.0.take()
    }
}

/// FNV-1a of all lines: the same in every process, which the standard library's hashers do not promise.
pub fn hash(trace: &[Entry]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for entry in trace {
        for byte in entry.to_string().bytes().chain([b'\n']) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}
