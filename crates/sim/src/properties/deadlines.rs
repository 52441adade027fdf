//! A deadline is kept to the tick.
//!
//! The head of an answer is there when the deadline is over, whatever happened behind it. If the caller asked for the
//! deadline itself, so is the end of the answer, unless it does not read it: then it is cut off for that. If it did
//! not ask, time does not run while its body is coming in: then the bound is the deadline after the last piece of a
//! body that comes in as fast as it was sent.

use std::time::Duration;

use super::{asks, told};
use crate::Run;
use crate::swarm::{PACE_GRACE, STREAM_IDLE, SWEEP};
use crate::trace::{Ask, Temper, Told};

/// A timer fires in the tick after the one it was set for, and the gateway looks once more.
const GRAIN: Duration = Duration::from_millis(2);

/// How long the body of an answer may take whose caller reads it, and the endpoint's silence in it.
const SLOWEST: Duration = Duration::from_secs(5);

/// How often the gateway looks whether an upload keeps its pace.
const PACE_CHECK: Duration = Duration::from_secs(1);

pub(super) fn check(run: &Run) -> Vec<String> {
    let asks = asks(run);
    let judged = told(run).filter_map(|told| Some((told, *asks.get(&told.id)?)));
    judged.filter_map(|(told, ask)| breach(run, told, ask)).collect()
}

fn breach(run: &Run, told: &Told, ask: &Ask) -> Option<String> {
    let Told {
        id,
        latency,
        first_byte,
        ..
    } = *told;
    let unread = unread(ask);
    if ask.temper != Temper::Patient && latency > run.swarm.setup.total + unread + upload(run, ask) + SLOWEST
    {
        return Some(format!(
            "#{id}, whose caller is {:?}, took {latency:?}",
            ask.temper
        ));
    }
    if let Some(asked) = ask.deadline {
        let late = first_byte > asked + GRAIN || latency > asked + unread + GRAIN;
        return late.then(|| format!("#{id} asked for {asked:?} and took {latency:?}"));
    }
    let most = run.swarm.setup.total + upload(run, ask) + GRAIN;
    (first_byte > most).then(|| format!("#{id} had {most:?} and took {first_byte:?}"))
}

/// How long a caller that does not read is waited for. What is on its way fills up first; then its silence is looked
/// at every second, and counted from there.
fn unread(ask: &Ask) -> Duration {
    if let Temper::Stalls(stall) = ask.temper {
        stall.min(Duration::from_secs(1) + STREAM_IDLE + 2 * SWEEP)
    } else {
        Duration::ZERO
    }
}

/// How long the body of a request may take to come in.
fn upload(run: &Run, ask: &Ask) -> Duration {
    let faults = &run.swarm.faults;
    let trouble = faults.front || faults.slow_network || faults.loss > 0.0;
    if ask.pieces == 0 {
        Duration::ZERO
    } else if trouble || ask.temper == Temper::Chokes {
        // As long as it keeps its pace, which is looked at every second, and what a link may be held for.
        PACE_GRACE + PACE_CHECK + Duration::from_secs(3)
    } else {
        // A millisecond for each piece, and the way.
        Duration::from_millis(u64::from(ask.pieces) + 20)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{event, good};
    use super::{GRAIN, check};
    use crate::trace::{Kind, Temper, What};
    use std::time::Duration;

    #[test]
    fn an_answer_after_the_deadline_is_a_breach() {
        let mut run = good(Kind::Get);
        let total = run.swarm.setup.total;
        event(&mut run).first_byte = total + GRAIN;
        assert_eq!(check(&run), [""; 0]);
        event(&mut run).first_byte = total + GRAIN + Duration::from_millis(1);
        assert_eq!(check(&run).len(), 1);
    }

    #[test]
    fn a_caller_that_does_not_read_is_waited_for_and_no_longer() {
        let mut run = good(Kind::Get);
        let What::Asked(ask) = &mut run.trace[0].what else {
            panic!("it begins with a request")
        };
        ask.deadline = Some(Duration::from_millis(100));
        ask.temper = Temper::Stalls(Duration::from_secs(1));
        event(&mut run).latency = Duration::from_millis(1102);
        assert_eq!(check(&run), [""; 0]);
        event(&mut run).latency = Duration::from_millis(1103);
        assert_eq!(check(&run).len(), 1);
    }

    #[test]
    fn a_deadline_that_was_asked_for_holds_to_the_last_byte() {
        let mut run = good(Kind::Get);
        let What::Asked(ask) = &mut run.trace[0].what else {
            panic!("it begins with a request")
        };
        ask.deadline = Some(Duration::from_millis(100));
        event(&mut run).latency = Duration::from_millis(102);
        assert_eq!(check(&run), [""; 0]);
        event(&mut run).latency = Duration::from_millis(103);
        assert_eq!(check(&run).len(), 1);
    }
}
