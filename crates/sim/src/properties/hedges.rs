//! A hedge is the only attempt that runs beside another, and it runs elsewhere: to another endpoint, once for a request,
//! not before its time, only where the method is safe or the route promises that two at once are, and within the share
//! of the route.
//!
//! That hedges and retries together are paid for is the amplification's business.

use std::collections::BTreeMap;
use std::time::Duration;

use super::asks;
use crate::Run;
use crate::trace::{Ask, Kind, Told, What};

/// Hedges that a route may have saved up.
const SAVED_MAX: f64 = 10.0;

pub(super) fn check(run: &Run) -> Vec<String> {
    let asks = asks(run);
    let (mut hedgeable, mut hedged) = (0_u32, 0_u32);
    let mut firsts: BTreeMap<u32, &str> = BTreeMap::new();
    let mut seconds: BTreeMap<u32, &str> = BTreeMap::new();
    let mut breaches = Vec::new();
    for entry in &run.trace {
        match &entry.what {
            What::Asked(ask) if may_be_hedged(run, ask) => hedgeable += 1,
            What::Arrived(arrival) => {
                let side = match arrival.attempt {
                    1 => &mut firsts,
                    2 => &mut seconds,
                    _ => continue,
                };
                side.insert(arrival.id, entry.who);
            }
            What::Told(told) => {
                let Some(ask) = asks.get(&told.id) else { continue };
                breaches.extend(wrong(run, ask, told).map(|why| format!("#{} {why}", told.id)));
                if !told.notes.iter().any(|note| note.hedge) {
                    continue;
                }
                hedged += 1;
                if firsts
                    .get(&told.id)
                    .is_some_and(|first| seconds.get(&told.id) == Some(first))
                {
                    breaches.push(format!("#{} and its hedge came to one endpoint", told.id));
                }
                let share = run.swarm.setup.hedge.map_or(0.0, |hedge| hedge.share);
                let most = f64::from(hedgeable) * share + SAVED_MAX;
                if f64::from(hedged) > most + 0.01 {
                    breaches.push(format!(
                        "{hedged} hedges of {hedgeable} requests, and {most:.1} may be"
                    ));
                }
            }
            _ => {}
        }
    }
    breaches
}

fn may_be_hedged(run: &Run, ask: &Ask) -> bool {
    let setup = &run.swarm.setup;
    setup
        .hedge
        .is_some_and(|hedge| hedge.idempotent || ask.kind == Kind::Get)
}

/// What is wrong with the attempts of one request.
fn wrong(run: &Run, ask: &Ask, told: &Told) -> Option<String> {
    let mut ends = Duration::ZERO;
    for (index, note) in told.notes.iter().enumerate() {
        if !note.hedge {
            if note.after < ends {
                return Some(format!(
                    "had attempt {} beside another, and it is no hedge",
                    index + 1
                ));
            }
            ends = ends.max(note.after + note.took);
            continue;
        }
        ends = ends.max(note.after + note.took);
        if !may_be_hedged(run, ask) {
            return Some(format!("is a {:?} and was hedged", ask.kind));
        }
        if index != 1 {
            return Some(format!("was hedged as attempt {}", index + 1));
        }
        let first = &told.notes[0];
        if first.endpoint == note.endpoint {
            return Some(format!(
                "was hedged at the endpoint where it was, {}",
                note.endpoint
            ));
        }
        let waited = note.after.saturating_sub(first.after);
        let after = run.swarm.setup.hedge.and_then(|hedge| hedge.after);
        if after.is_some_and(|after| waited < after) {
            return Some(format!("was hedged after {waited:?}"));
        }
        if first.after + first.took < note.after {
            return Some("was hedged when its first attempt was over".to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{ask, event, good, push, told};
    use super::*;
    use crate::trace::{Arrival, Note};
    use plimsoll_policy::HedgeConfig;
    use plimsoll_slo::Class;

    fn note(endpoint: &str, after: u64, took: u64, hedge: bool) -> Note {
        Note {
            endpoint: endpoint.to_owned(),
            after: Duration::from_millis(after),
            took: Duration::from_millis(took),
            end: "200".to_owned(),
            hedge,
        }
    }

    /// A run whose only request was hedged after 20 ms, as it should be.
    fn hedged(kind: Kind) -> Run {
        let mut run = good(kind);
        run.swarm.setup.hedge = Some(HedgeConfig {
            after: Some(Duration::from_millis(20)),
            ..HedgeConfig::default()
        });
        event(&mut run).notes = vec![note("a", 0, 30, false), note("b", 20, 10, true)];
        run
    }

    fn breaks(change: impl FnOnce(&mut Run)) {
        let mut run = hedged(Kind::Get);
        assert_eq!(check(&run), [""; 0]);
        change(&mut run);
        assert_eq!(check(&run).len(), 1, "{:?}", check(&run));
    }

    #[test]
    fn a_hedge_in_the_wrong_place_or_at_the_wrong_time_is_a_breach() {
        breaks(|run| event(run).notes[1].endpoint = "a".to_owned());
        breaks(|run| event(run).notes[1].after = Duration::from_millis(19));
        breaks(|run| event(run).notes[0].took = Duration::from_millis(19));
        breaks(|run| event(run).notes.push(note("c", 40, 10, true)));
        breaks(|run| event(run).notes[1].hedge = false);
        breaks(|run| event(run).notes.push(note("c", 29, 10, false)));
    }

    #[test]
    fn a_hedge_that_comes_to_the_endpoint_of_the_first_is_a_breach() {
        breaks(|run| {
            let arrival = |attempt| Arrival {
                id: 1,
                kind: Kind::Get,
                attempt,
                left: Duration::ZERO,
                number: 0,
            };
            let told = run.trace.remove(3);
            (1..=2).for_each(|attempt| push(run, What::Arrived(arrival(attempt))));
            run.trace.push(told);
        });
    }

    #[test]
    fn a_hedge_of_what_is_not_safe_is_a_breach_unless_it_is_promised() {
        for kind in [Kind::Put, Kind::Post, Kind::KeyedPost] {
            let mut run = hedged(kind);
            assert_eq!(check(&run).len(), 1);
            run.swarm.setup.hedge.as_mut().unwrap().idempotent = true;
            assert_eq!(check(&run), [""; 0]);
        }
    }

    #[test]
    fn one_hedge_more_than_the_share_is_a_breach() {
        let mut run = hedged(Kind::Get);
        run.swarm.setup.hedge.as_mut().unwrap().share = 0.0;
        for id in 2..=11 {
            assert_eq!(check(&run), [""; 0]);
            push(&mut run, What::Asked(ask(id, Kind::Get)));
            let mut told = told(id, Class::Good);
            told.notes = event(&mut run).notes.clone();
            push(&mut run, What::Told(Box::new(told)));
        }
        assert_eq!(check(&run).len(), 1);
    }
}
