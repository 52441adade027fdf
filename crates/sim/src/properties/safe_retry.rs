//! A request that is not safe to repeat comes to the endpoints once at most; twice, if it was hedged on a route that
//! promises that its operations may run twice at once.
//!
//! An attempt that provably was not delivered may be made again, and it shows here: it never arrived.

use std::collections::{BTreeMap, BTreeSet};

use super::told;
use crate::Run;
use crate::trace::{Kind, What};

pub(super) fn check(run: &Run) -> Vec<String> {
    let promised = run.swarm.setup.hedge.is_some_and(|hedge| hedge.idempotent);
    let hedged: BTreeSet<u32> = told(run)
        .filter(|told| promised && told.notes.iter().any(|note| note.hedge))
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
    use super::super::fixtures::{arrived, good, push};
    use super::check;
    use crate::trace::Kind;

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
}
