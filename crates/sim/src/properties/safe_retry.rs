//! A request that is not safe to repeat comes to the endpoints once at most; twice, if it was hedged on a route that
//! promises that its operations may run twice at once.
//!
//! An attempt that provably was not delivered may be made again, and it shows here: it never arrived.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_slo::{Class, Reason};

use super::told;
use crate::Run;
use crate::trace::{Kind, Told, What};

pub(super) fn check(run: &Run) -> Vec<String> {
    let promised = run.swarm.setup.hedge.is_some_and(|hedge| hedge.idempotent);
    // What was under way when its caller left has no note.
    let left = |told: &Told| told.class == Class::Excluded(Reason::ClientClosed);
    let hedged: BTreeSet<u32> = told(run)
        .filter(|told| promised && (left(told) || told.notes.iter().any(|note| note.hedge)))
        .map(|told| told.id)
        .collect();
    let mut arrivals: BTreeMap<u32, u32> = BTreeMap::new();
    for entry in &run.trace {
        if let What::Arrived(arrival) = &entry.what
            && arrival.kind == Kind::Post
        {
            *arrivals.entry(arrival.id).or_default() += 1;
        }
    }
    let repeated = arrivals
        .into_iter()
        .filter(|(id, times)| *times > 1 + u32::from(hedged.contains(id)));
    repeated
        .map(|(id, times)| format!("POST #{id} without a key arrived {times} times"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{arrived, event, good, push};
    use super::check;
    use crate::trace::{Kind, Note};
    use plimsoll_policy::HedgeConfig;
    use plimsoll_slo::{Class, Reason};
    use std::time::Duration;

    #[test]
    fn a_post_that_arrives_twice_is_a_breach_unless_it_has_a_key() {
        for (kind, breaches) in [
            (Kind::Post, 1),
            (Kind::KeyedPost, 0),
            (Kind::Put, 0),
            (Kind::Get, 0),
        ] {
            let mut run = good(kind);
            assert_eq!(check(&run), [""; 0]);
            push(&mut run, arrived(1, kind, 2));
            assert_eq!(check(&run).len(), breaches, "{kind:?}");
        }
    }

    #[test]
    fn a_promise_allows_a_hedge_and_nothing_else() {
        let mut run = good(Kind::Post);
        run.swarm.setup.hedge = Some(HedgeConfig {
            idempotent: true,
            ..HedgeConfig::default()
        });
        push(&mut run, arrived(1, Kind::Post, 2));
        assert_eq!(check(&run).len(), 1, "it was no hedge");
        event(&mut run).class = Class::Excluded(Reason::ClientClosed);
        assert_eq!(check(&run), [""; 0], "it may have been one");
        event(&mut run).class = Class::Good;
        let note = |hedge| Note {
            endpoint: String::new(),
            after: Duration::ZERO,
            took: Duration::ZERO,
            end: String::new(),
            hedge,
        };
        event(&mut run).notes = vec![note(false), note(true)];
        assert_eq!(check(&run), [""; 0]);
        push(&mut run, arrived(1, Kind::Post, 3));
        assert_eq!(check(&run).len(), 1);
    }
}
