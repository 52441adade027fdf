//! What counts for which objective: counters that each core writes for itself, and the judge adds up.
//!
//! Series (see [`ledger`](crate::ledger)) say what happened, by route and tier. An objective asks something of some of
//! that, and what it asks decides what is good: an answer that was right and too late is good in the one and bad in the
//! other. So it is counted here once more, exactly, at the threshold that was declared, and not read off a histogram.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use plimsoll_slo::{CallerSet, Callers, Class, Counts, Outcome};

use crate::plan::{ListenerPlan, ObjectivePlan, Plan, RoutePlan};

/// The counters of one objective. They stay when a reload has it count other routes: what was under way then counts
/// for it still.
#[derive(Debug)]
pub struct ObjectiveCounts {
    /// The objective's.
    pub name: Arc<str>,
    latency_max: Option<Duration>,
    /// One for each core, and one for what comes from elsewhere.
    cores: Box<[OnCore]>,
}

/// Apart, so that no core waits for another's cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OnCore {
    good: AtomicU64,
    bad: AtomicU64,
    callers: Callers,
}

impl ObjectiveCounts {
    /// Counts nothing yet, on so many cores.
    pub fn new(plan: &ObjectivePlan, cores: usize) -> Self {
        Self {
            name: Arc::clone(&plan.name),
            latency_max: plan.latency_max,
            cores: (0..=cores).map(|_| OnCore::default()).collect(),
        }
    }

    /// Counts an outcome on a core. `caller` is a hash of who asked, and asked for only if the outcome is bad.
    ///
    /// # Panics
    /// If there is no such core.
    pub fn record(&self, core: usize, outcome: &Outcome, caller: impl FnOnce() -> u64) {
        let core = &self.cores[core];
        let latency_max = self.latency_max.unwrap_or(Duration::MAX);
        match outcome.class {
            Class::Excluded(_) => {}
            Class::Good if outcome.latency <= latency_max => _ = core.good.fetch_add(1, Relaxed),
            Class::Good | Class::Bad(_) => {
                core.bad.fetch_add(1, Relaxed);
                core.callers.note(caller());
            }
        }
    }

    /// Counts an answer that blames its caller, or does not: see [`of_client_errors`].
    ///
    /// # Panics
    /// If there is no such core.
    pub fn record_blame(&self, core: usize, blames: bool, caller: impl FnOnce() -> u64) {
        let core = &self.cores[core];
        if blames {
            core.bad.fetch_add(1, Relaxed);
            core.callers.note(caller());
        } else {
            core.good.fetch_add(1, Relaxed);
        }
    }

    /// Counts an outcome that somebody else has seen, from any thread: see [`Self::record`].
    pub fn record_reported(&self, outcome: &Outcome, caller: u64) {
        self.record(self.cores.len() - 1, outcome, || caller);
    }

    /// What was counted since it came to be, over all cores.
    pub fn counts(&self) -> Counts {
        self.cores.iter().fold(Counts::default(), |sum, core| Counts {
            good: sum.good + core.good.load(Relaxed),
            bad: sum.bad + core.bad.load(Relaxed),
        })
    }

    /// Who has failed since [`Self::forget_callers`], over all cores.
    pub fn callers(&self) -> CallerSet {
        let mut callers = CallerSet::default();
        for core in &self.cores {
            callers.merge(&core.callers.snapshot());
        }
        callers
    }

    /// Begins anew to note who failed.
    pub fn forget_callers(&self) {
        self.cores.iter().for_each(|core| core.callers.clear());
    }
}

/// An objective, as a route counts for it.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    counts: Arc<ObjectiveCounts>,
    /// The one tier that counts.
    tier: Option<usize>,
}

impl Counted {
    /// Counts an outcome of the route: see [`ObjectiveCounts::record`].
    pub(crate) fn record(&self, core: usize, tier: usize, outcome: &Outcome, caller: impl FnOnce() -> u64) {
        if self.tier.is_none_or(|only| only == tier) {
            self.counts.record(core, outcome, caller);
        }
    }
}

/// For each route what is watched beside objectives: how many of its good answers blame the caller. The name is in the
/// space of those of objectives, and is none that one of them can have.
pub fn of_client_errors(plan: &Plan) -> Vec<ObjectivePlan> {
    let routes = plan
        .listeners
        .iter()
        .flat_map(|listener| listener.routes.iter().map(move |route| (listener, route)));
    let watched = routes.filter(|_| plan.observe.client_errors);
    watched
        .map(|(listener, route)| ObjectivePlan {
            name: format!("client-errors:{}:{}", listener.name, route.name).into(),
            routes: vec![(Arc::clone(&listener.name), Arc::clone(&route.name))],
            tier: None,
            latency_max: None,
        })
        .collect()
}

/// The counters of a plan's objectives, in its order. Those that call the same good go on counting.
pub(crate) fn build(
    plans: &[ObjectivePlan],
    cores: usize,
    old: Option<&[Arc<ObjectiveCounts>]>,
) -> Vec<Arc<ObjectiveCounts>> {
    let before = |plan: &ObjectivePlan| {
        let same = |old: &&Arc<ObjectiveCounts>| old.name == plan.name && old.latency_max == plan.latency_max;
        old?.iter().find(same).cloned()
    };
    plans
        .iter()
        .map(|plan| before(plan).unwrap_or_else(|| Arc::new(ObjectiveCounts::new(plan, cores))))
        .collect()
}

/// Those that a route counts for. `all` are those of the plan.
pub(crate) fn of_route(
    plan: &Plan,
    all: &[Arc<ObjectiveCounts>],
    listener: &ListenerPlan,
    route: &RoutePlan,
) -> Vec<Counted> {
    let is_this = |(on, of): &(Arc<str>, Arc<str>)| *on == listener.name && *of == route.name;
    let counted = plan.objectives.iter().zip(all);
    counted
        .filter(|(objective, _)| objective.routes.iter().any(is_this))
        .map(|(objective, counts)| Counted {
            counts: Arc::clone(counts),
            // The tier of those that name none comes last.
            tier: objective.tier.as_ref().map(|tier| {
                let declared = plan.callers.tiers.iter().position(|name| name == tier);
                declared.unwrap_or(plan.callers.tiers.len())
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use plimsoll_slo::Reason;

    use super::*;

    fn outcome(class: Class, millis: u64) -> Outcome {
        let latency = Duration::from_millis(millis);
        Outcome {
            class,
            latency,
            first_byte: latency,
            attempts: 1,
        }
    }

    #[test]
    fn what_is_late_is_bad_and_what_is_excluded_counts_neither_way() {
        let plan = ObjectivePlan {
            name: "quick".into(),
            routes: Vec::new(),
            tier: None,
            latency_max: Some(Duration::from_millis(300)),
        };
        let counts = Arc::new(ObjectiveCounts::new(&plan, 2));
        let counted = Counted {
            counts: Arc::clone(&counts),
            tier: Some(1),
        };
        for (core, tier, outcome) in [
            (0, 1, outcome(Class::Good, 300)),
            (1, 1, outcome(Class::Good, 301)),
            (1, 1, outcome(Class::Bad(Reason::UpstreamReset), 5)),
            (0, 1, outcome(Class::Excluded(Reason::ClientClosed), 5_000)),
            (0, 0, outcome(Class::Bad(Reason::Shed), 0)),
        ] {
            counted.record(core, tier, &outcome, || 7);
        }
        assert_eq!(counts.counts(), Counts { good: 1, bad: 2 });
        assert_eq!(counts.callers().count(), 1, "it is the same caller");
        counts.record_reported(&outcome(Class::Good, 1), 8);
        counts.record_reported(&outcome(Class::Good, 301), 8);
        assert_eq!(counts.counts(), Counts { good: 2, bad: 3 });
        assert_eq!(counts.callers().count(), 2);
    }
}
