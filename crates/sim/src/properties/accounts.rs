//! Every request that reached the gateway ends as exactly one outcome, and the client, the endpoints, the events and
//! the ledger tell the same story of it.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_slo::{Class, Reason};

use super::{asks, told};
use crate::Run;
use crate::trace::{Answer, Told, What};

pub(super) fn check(run: &Run) -> Vec<String> {
    let mut breaches = Vec::new();
    let events = events(run, &mut breaches);
    against_the_ledger(run, &events, &mut breaches);
    let mut arrivals: BTreeMap<u32, u32> = BTreeMap::new();
    for entry in &run.trace {
        match &entry.what {
            What::Arrived(arrival) => *arrivals.entry(arrival.id).or_default() += 1,
            What::Answered(answer) => against_the_client(*answer, &events, &mut breaches),
            _ => {}
        }
    }
    for (id, times) in arrivals {
        match events.get(&id) {
            None => breaches.push(format!("#{id} arrived at an endpoint and has no outcome")),
            Some(told) if told.attempts < times => {
                breaches.push(format!(
                    "#{id} arrived {times} times in {} attempts",
                    told.attempts
                ));
            }
            Some(_) => {}
        }
    }
    breaches
}

/// Every event by its request, which must be one that was asked, and have no other.
fn events<'a>(run: &'a Run, breaches: &mut Vec<String>) -> BTreeMap<u32, &'a Told> {
    let asked: BTreeSet<u32> = asks(run).into_keys().collect();
    let mut events = BTreeMap::new();
    for told in told(run) {
        if !asked.contains(&told.id) {
            breaches.push(format!("#{} has an outcome and was never asked", told.id));
        }
        if events.insert(told.id, told).is_some() {
            breaches.push(format!("#{} has two outcomes", told.id));
        }
    }
    events
}

/// The sums, class by class. Only what never became a request is counted without being told: connections that are
/// turned away, and heads that do not come in time.
fn against_the_ledger(run: &Run, events: &BTreeMap<u32, &Told>, breaches: &mut Vec<String>) {
    let ledger = &run.readings.last.ledger;
    let count = |class| events.values().filter(|told| told.class == class).count() as u64;
    let mut same = |what: &str, counted: u64, told: u64| {
        if counted != told {
            breaches.push(format!("{what}: {counted} in the ledger, {told} told"));
        }
    };
    same("good", ledger.good, count(Class::Good));
    for reason in Reason::ALL {
        let mut bad = ledger.bad[reason.index()];
        if *reason == Reason::Overloaded {
            bad = bad.saturating_sub(run.readings.last.turned_away);
        }
        let mut excluded = ledger.excluded[reason.index()];
        let told = count(Class::Excluded(*reason));
        if *reason == Reason::SlowRequest {
            excluded = excluded.min(told);
        }
        same(reason.code(), bad, count(Class::Bad(*reason)));
        same(reason.code(), excluded, told);
    }
    let attempts = events.values().map(|told| u64::from(told.attempts)).sum();
    same("attempts", ledger.attempts, attempts);
}

/// Who has a whole answer has one that the gateway knows of, and that it judged as the client would.
fn against_the_client(answer: Answer, events: &BTreeMap<u32, &Told>, breaches: &mut Vec<String>) {
    let Answer {
        id, status, reason, ..
    } = answer;
    let Some(told) = events.get(&id) else {
        // Turned away or poisoned before it was a request.
        if !matches!(reason, Some(Reason::Overloaded | Reason::SlowRequest)) {
            breaches.push(format!("#{id} was answered {status} and has no outcome"));
        }
        return;
    };
    let class = match reason {
        Some(reason) => Class::of_refusal(reason),
        None if status >= 500 => Class::Bad(Reason::UpstreamError),
        None => Class::Good,
    };
    if told.status != status || told.class != class {
        breaches.push(format!(
            "#{id} was answered {status} ({class:?}), and is told as {} ({:?})",
            told.status, told.class
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{arrived, event, good, push, told};
    use super::check;
    use crate::Run;
    use crate::trace::{Kind, What};
    use plimsoll_slo::{Class, Reason};

    fn breaks(change: impl FnOnce(&mut Run)) {
        let mut run = good(Kind::Get);
        assert_eq!(check(&run), [""; 0]);
        change(&mut run);
        assert!(!check(&run).is_empty());
    }

    #[test]
    fn an_outcome_too_few_or_too_many_is_a_breach() {
        breaks(|run| run.trace.retain(|entry| !matches!(entry.what, What::Told(_))));
        breaks(|run| {
            push(run, What::Told(Box::new(told(1, Class::Good))));
        });
        breaks(|run| {
            push(run, What::Told(Box::new(told(2, Class::Good))));
        });
    }

    #[test]
    fn a_ledger_that_counts_otherwise_is_a_breach() {
        breaks(|run| run.readings.last.ledger.good = 2);
        breaks(|run| run.readings.last.ledger.attempts = 2);
        breaks(|run| run.readings.last.ledger.bad[Reason::Internal.index()] = 1);
        breaks(|run| run.readings.last.ledger.excluded[Reason::ClientClosed.index()] = 1);
    }

    #[test]
    fn a_client_that_saw_something_else_is_a_breach() {
        breaks(|run| event(run).status = 201);
        breaks(|run| event(run).class = Class::Excluded(Reason::ClientClosed));
    }

    #[test]
    fn an_endpoint_that_saw_more_attempts_is_a_breach() {
        breaks(|run| push(run, arrived(1, Kind::Get, 1)));
    }
}
