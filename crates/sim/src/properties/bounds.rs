//! Whatever is held is bounded: requests in flight, probes, connections, events.

use std::time::Duration;

use gateway::plan::AdaptivePlan;
use plimsoll_policy::Waits;

use crate::Run;
use crate::swarm::Setup;

/// Probes that the plan allows.
const PROBES_MAX: u32 = 1;

/// As many for each slot as the quickest time seen allows; without a limit nobody waits long enough to be seen.
fn places(setup: &Setup, usual: Option<Duration>) -> u32 {
    let waits = Waits::of(AdaptivePlan::default().wait, usual);
    setup
        .slots
        .map_or(2 * setup.in_flight_max, |slots| waits.places(slots) as u32)
}

pub(super) fn check(run: &Run) -> Vec<String> {
    let (setup, most) = (&run.swarm.setup, &run.readings.most);
    // A connection is made when no idle one may carry the request. Those that are too old for a request that must not
    // be sent twice stay beside as many new ones.
    let out_max = 2 * setup.in_flight_max;
    let bounds = [
        ("requests in flight", most.in_flight, setup.in_flight_max),
        ("attempts pending", most.pending, setup.in_flight_max),
        (
            "requests waiting for a slot",
            most.waiting,
            places(setup, most.usual),
        ),
        ("probes", most.probes, PROBES_MAX),
        (
            "connections of callers",
            most.connections_in,
            setup.connections_max,
        ),
        ("connections to an endpoint", most.connections_out, out_max),
        (
            "events dropped",
            u32::try_from(most.events_dropped).unwrap_or(u32::MAX),
            0,
        ),
    ];
    let over = bounds.into_iter().filter(|(_, seen, max)| seen > max);
    over.map(|(what, seen, max)| format!("{seen} {what}, at most {max}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::good;
    use super::check;
    use crate::trace::Kind;

    #[test]
    fn one_more_than_the_bound_is_a_breach() {
        let mut run = good(Kind::Get);
        let setup = run.swarm.setup.clone();
        run.readings.most.in_flight = setup.in_flight_max;
        run.readings.most.connections_in = setup.connections_max;
        run.readings.most.probes = 1;
        assert_eq!(check(&run), [""; 0]);
        run.readings.most.in_flight += 1;
        run.readings.most.connections_in += 1;
        run.readings.most.probes += 1;
        run.readings.most.events_dropped = 1;
        run.readings.most.waiting = super::places(&setup, None) + 1;
        run.readings.most.pending = setup.in_flight_max + 1;
        run.readings.most.connections_out = 2 * setup.in_flight_max + 1;
        assert_eq!(check(&run).len(), 7);
    }
}
