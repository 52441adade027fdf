//! Small runs for the properties' own tests: each begins with one in which all is well.

use std::time::Duration;

use plimsoll_policy::Priority;
use plimsoll_slo::Class;

use crate::swarm::Swarm;
use crate::trace::{Answer, Arrival, Ask, Body, Entry, Kind, Temper, Told, What};
use crate::{Readings, Run};

/// A run of one request of this kind, which went well in one attempt.
pub(super) fn good(kind: Kind) -> Run {
    let swarm = Swarm::new(1);
    let mut readings = Readings::default();
    (readings.last.ledger.good, readings.last.ledger.attempts) = (1, 1);
    let mut run = Run {
        trace: Vec::new(),
        readings,
        panics: Vec::new(),
        swarm,
    };
    let calm = run.swarm.storm + run.swarm.settle;
    push_at(&mut run, calm, What::Asked(ask(1, kind)));
    push_at(&mut run, calm, arrived(1, kind, 1));
    push_at(&mut run, calm, What::Received(1, Body::Own));
    push_at(&mut run, calm, What::Told(Box::new(told(1, Class::Good))));
    let answer = Answer {
        id: 1,
        status: 200,
        reason: None,
        own: true,
    };
    push_at(&mut run, calm, What::Answered(answer));
    run
}

/// Adds something that happens when the storm is over.
pub(super) fn push(run: &mut Run, what: What) {
    push_at(run, run.swarm.storm, what);
}

fn push_at(run: &mut Run, at: Duration, what: What) {
    run.trace.push(Entry {
        at,
        who: "test",
        what,
    });
}

pub(super) fn ask(id: u32, kind: Kind) -> Ask {
    Ask {
        id,
        kind,
        deadline: None,
        pieces: 0,
        wants: 0,
        temper: Temper::Patient,
        priority: Priority::Normal,
    }
}

pub(super) fn arrived(id: u32, kind: Kind, attempt: u32) -> What {
    What::Arrived(Arrival {
        id,
        kind,
        attempt,
        left: Duration::ZERO,
        number: 0,
    })
}

pub(super) fn told(id: u32, class: Class) -> Told {
    Told {
        id,
        status: 200,
        class,
        began: Duration::ZERO,
        latency: Duration::ZERO,
        first_byte: Duration::ZERO,
        attempts: 1,
        notes: Vec::new(),
        rest: String::new(),
    }
}

/// The only event of a run made by [`good`].
pub(super) fn event(run: &mut Run) -> &mut Told {
    let mut events = run.trace.iter_mut().filter_map(|entry| match &mut entry.what {
        What::Told(told) => Some(&mut **told),
        _ => None,
    });
    events.next().expect("a good run has an event")
}
