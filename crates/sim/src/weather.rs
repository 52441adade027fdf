//! What happens to the network and the endpoints, and when: a timetable that the seed writes before the run.

use std::time::Duration;

use plimsoll_policy::{Dice, SeededDice};

use crate::swarm::{CLIENTS, ENDPOINTS, Faults, GATEWAY, LATENCY_CALM, Swarm, gap, stream};

/// One change of the world.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    Partition(&'static str),
    PartitionTo(&'static str),
    PartitionFrom(&'static str),
    Repair(&'static str),
    Hold(&'static str),
    Release(&'static str),
    Latency(Duration),
    Loss(f64),
    Crash(&'static str),
    Bounce(&'static str),
    /// The endpoint reads nothing until this moment.
    Freeze(usize, Duration),
    /// The endpoint takes so many milliseconds more.
    Slow(usize, u64),
    /// Every connection to an endpoint leads nowhere from now on, and nobody is told.
    Forget,
    /// The gateway's wall clock is set by so many seconds.
    Clock(i64),
}

/// How often a kind of trouble begins, per second.
const OFTEN: f64 = 0.35;
/// How long it lasts at most, in milliseconds.
const LONG: u64 = 3000;

/// Seconds that a wall clock is set by, at most.
const CLOCK_MAX: u64 = 7200;

/// All changes of a run, in order. After the storm nothing is left of any.
pub(crate) fn timetable(swarm: &Swarm) -> Vec<(Duration, Change)> {
    let mut dice = stream(swarm.seed, "weather");
    let faults = &swarm.faults;
    let mut table = Table {
        changes: vec![
            (Duration::ZERO, Change::Latency(LATENCY_CALM)),
            (Duration::ZERO, Change::Loss(faults.loss)),
        ],
        storm: swarm.storm,
    };
    let mut sides: Vec<&'static str> = ENDPOINTS[..swarm.endpoints].to_vec();
    if faults.front {
        sides.extend(CLIENTS);
    }
    table.network(&mut dice, faults, &sides);
    table.hosts(&mut dice, faults, swarm.endpoints);
    table.clear_up(&sides, swarm.endpoints);
    table.changes.sort_by_key(|(at, _)| *at);
    table.changes
}

struct Table {
    changes: Vec<(Duration, Change)>,
    storm: Duration,
}

impl Table {
    /// Adds trouble that begins at random moments of the storm and lasts for a while.
    fn spells(
        &mut self,
        dice: &mut SeededDice,
        trouble: impl Fn(&mut SeededDice, Duration) -> (Change, Change),
    ) {
        let mut at = gap(dice, OFTEN);
        while at < self.storm {
            let end = (at + Duration::from_millis(1 + dice.below(LONG))).min(self.storm);
            let (begins, ends) = trouble(dice, end);
            self.changes.push((at, begins));
            self.changes.push((end, ends));
            at += gap(dice, OFTEN);
        }
    }

    fn network(&mut self, dice: &mut SeededDice, faults: &Faults, sides: &[&'static str]) {
        if faults.partitions {
            self.spells(dice, |dice, _| {
                let side = pick(dice, sides);
                (Change::Partition(side), Change::Repair(side))
            });
        }
        if faults.one_way {
            self.spells(dice, |dice, _| {
                let side = pick(dice, sides);
                let way = if dice.below(2) == 0 {
                    Change::PartitionTo(side)
                } else {
                    Change::PartitionFrom(side)
                };
                (way, Change::Repair(side))
            });
        }
        if faults.holds {
            self.spells(dice, |dice, _| {
                let side = pick(dice, sides);
                (Change::Hold(side), Change::Release(side))
            });
        }
        if faults.slow_network {
            self.spells(dice, |dice, _| {
                let latency = Duration::from_millis(20 + dice.below(400));
                (Change::Latency(latency), Change::Latency(LATENCY_CALM))
            });
        }
    }

    fn hosts(&mut self, dice: &mut SeededDice, faults: &Faults, endpoints: usize) {
        if faults.crashes {
            self.spells(dice, |dice, _| {
                let name = pick(dice, &ENDPOINTS[..endpoints]);
                (Change::Crash(name), Change::Bounce(name))
            });
        }
        if faults.freezes {
            self.spells(dice, |dice, end| {
                let endpoint = dice.below(endpoints as u64) as usize;
                (
                    Change::Freeze(endpoint, end),
                    Change::Freeze(endpoint, Duration::ZERO),
                )
            });
        }
        if faults.slow_endpoints {
            self.spells(dice, |dice, _| {
                let endpoint = dice.below(endpoints as u64) as usize;
                (
                    Change::Slow(endpoint, 20 + dice.below(1500)),
                    Change::Slow(endpoint, 0),
                )
            });
        }
        if faults.forgets {
            self.spells(dice, |_, _| (Change::Forget, Change::Forget));
        }
        if faults.clock {
            self.spells(dice, |dice, _| {
                let seconds = dice.below(2 * CLOCK_MAX).cast_signed() - CLOCK_MAX.cast_signed();
                // What is put right is put right too far, as people do.
                (Change::Clock(seconds), Change::Clock(-2 * seconds))
            });
        }
    }

    /// Puts everything right when the storm is over: spells overlap, so their ends alone do not.
    fn clear_up(&mut self, sides: &[&'static str], endpoints: usize) {
        let storm = self.storm;
        let mut add = |change| self.changes.push((storm, change));
        add(Change::Latency(LATENCY_CALM));
        add(Change::Loss(0.0));
        for side in sides.iter().chain(&CLIENTS).chain(&ENDPOINTS[..endpoints]) {
            add(Change::Release(side));
            add(Change::Repair(side));
        }
        for (index, name) in ENDPOINTS[..endpoints].iter().enumerate() {
            add(Change::Bounce(name));
            add(Change::Freeze(index, Duration::ZERO));
            add(Change::Slow(index, 0));
        }
    }
}

fn pick(dice: &mut SeededDice, names: &[&'static str]) -> &'static str {
    names[dice.below(names.len() as u64) as usize]
}

/// Brings a change about.
pub(crate) fn apply(sim: &mut turmoil::Sim<'_>, change: &Change) {
    match change {
        Change::Partition(side) => sim.partition(*side, GATEWAY),
        Change::PartitionTo(side) => sim.partition_oneway(GATEWAY, *side),
        Change::PartitionFrom(side) => sim.partition_oneway(*side, GATEWAY),
        Change::Repair(side) => sim.repair(*side, GATEWAY),
        Change::Hold(side) => sim.hold(*side, GATEWAY),
        Change::Release(side) => sim.release(*side, GATEWAY),
        Change::Latency(latency) => sim.set_max_message_latency(*latency),
        Change::Loss(rate) => sim.set_fail_rate(*rate),
        Change::Crash(name) => sim.crash(*name),
        // Bouncing what runs would be a crash of its own.
        Change::Bounce(name) => {
            if !sim.is_host_running(*name) {
                sim.bounce(*name);
            }
        }
        // The business of the endpoints, and of the gateway's host.
        Change::Freeze(..) | Change::Slow(..) | Change::Forget | Change::Clock(_) => {}
    }
}
