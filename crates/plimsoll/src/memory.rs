//! How much memory we hold, and what may come in because of it: reads, asks the policy, tells the gateway.
//!
//! What counts is what the kernel would end us for: the pages of this process that no file is behind, and the buffers
//! of its control group's sockets, which a flood of slow readers fills without a page of ours. Other processes of the
//! group are not counted: refusing our callers would not make them smaller.
//!
//! When there is nothing to compare (no limit, no Linux) nothing is refused, and the status shows no bound.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gateway::Gateway;
use gateway::plan::MemoryPlan;
use plimsoll_policy::{MemoryGauge, MemoryLevel};
use plimsoll_slo::Instant;

use crate::journal::{Journal, Value};
use crate::reading::MemoryReading;
use crate::saturation::{self, Held};

/// How long to wait before memory is read again, by the share of the limit that is used. A reading costs 30 us or so,
/// and a flood over loopback filled 300 MB in a second: in 5 ms, less than the last six points of a small limit.
const PAUSES: [(f64, Duration); 3] = [
    (0.75, Duration::from_millis(5)),
    (0.5, Duration::from_millis(20)),
    (0.0, Duration::from_millis(100)),
];

/// How often it is looked whether there is more or less memory than before.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What is known of memory. One for a process.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    gauge: MemoryGauge,
    held: Held,
    limit: Option<u64>,
    /// What there is in all, and when that was read.
    available: Option<(Instant, Option<u64>)>,
}

impl Watch {
    /// Reads once, and acts on it. Returns how long to wait before the next time.
    pub(crate) fn run_once(&self, gateway: &Gateway, journal: &Journal) -> Duration {
        let now = gateway.env().now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.held = Held::read();
        state.limit = state.limit(now, gateway.running().plan.memory);
        let before = state.gauge.level();
        let level = if let Some(limit) = state.limit {
            let held = state.held.bytes();
            state.gauge.step(now, held, limit)
        } else {
            state.gauge = MemoryGauge::default();
            MemoryLevel::Ample
        };
        gateway.set_memory_level(level);
        if level != before {
            tell(journal, level, before, &state.reading());
        }
        let share = state
            .limit
            .map_or(0.0, |limit| state.held.bytes() as f64 / limit as f64);
        let pause = PAUSES.iter().find(|(from, _)| share >= *from);
        pause.map_or(Duration::from_millis(100), |(_, pause)| *pause)
    }

    /// As of the last time.
    pub(crate) fn reading(&self) -> MemoryReading {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reading()
    }
}

impl State {
    fn limit(&mut self, now: Instant, plan: MemoryPlan) -> Option<u64> {
        match plan {
            MemoryPlan::Off => None,
            MemoryPlan::Bytes(bytes) => Some(bytes),
            MemoryPlan::Share(share) => {
                let known = self.available.filter(|(read, _)| now - *read < LOOK_AGAIN);
                let (_, available) = known.unwrap_or_else(|| (now, saturation::memory_available()));
                self.available = Some(known.unwrap_or((now, available)));
                available.map(|available| (available as f64 * share) as u64)
            }
        }
    }

    fn reading(&self) -> MemoryReading {
        MemoryReading {
            level: self.gauge.level(),
            held: self.held.bytes(),
            limit: self.limit,
        }
    }
}

/// Once for each change: what is refused from now on, or taken again.
fn tell(journal: &Journal, level: MemoryLevel, before: MemoryLevel, reading: &MemoryReading) {
    let limit = reading.limit.unwrap_or_default();
    let fields = [
        ("level", Value::from(level.word())),
        ("before", Value::from(before.word())),
        ("held_bytes", reading.held.into()),
        ("limit_bytes", limit.into()),
    ];
    if level > before {
        journal.warn("memory is short", &fields);
    } else {
        journal.info("memory is freed", &fields);
    }
}
