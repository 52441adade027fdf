//! What counts for which objective: counters that each core writes for itself, and the judge adds up.
//!
//! Series (see [`ledger`](crate::ledger)) say what happened, by route and tier. An objective asks something of some of
//! that, and what it asks decides what is good: an answer that was right and too late is good in the one and bad in the
//! other. So it is counted here once more, exactly, at the threshold that was declared, and not read off a histogram.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use plimsoll_slo::{CallerSet, Callers, Class, Counts, Outcome};

use crate::plan::{Good, ListenerPlan, ObjectivePlan, Plan, RoutePlan};

/// The counters of one objective. They stay when a reload has it count other routes: what was under way then counts
/// for it still.
#[derive(Debug)]
pub struct ObjectiveCounts {
    /// The objective's.
    pub name: Arc<str>,
    good: Good,
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
            good: plan.good,
            cores: (0..=cores).map(|_| OnCore::default()).collect(),
        }
    }

    /// Counts an outcome on a core. `blames` is whether the answer said that its caller is at fault; `caller` is a hash of
    /// who that is, and asked for only if the outcome is bad.
    ///
    /// # Panics
    /// If there is no such core.
    pub fn record(&self, core: usize, outcome: &Outcome, blames: bool, caller: impl FnOnce() -> u64) {
        let core = &self.cores[core];
        match self.is_good(outcome, blames) {
            None => {}
            Some(true) => _ = core.good.fetch_add(1, Relaxed),
            Some(false) => {
                core.bad.fetch_add(1, Relaxed);
                core.callers.note(caller());
            }
        }
    }

    /// `None` if it counts neither way.
    fn is_good(&self, outcome: &Outcome, blames: bool) -> Option<bool> {
        let is_served = match outcome.class {
            Class::Excluded(_) => return None,
            Class::Good => true,
            Class::Bad(_) => false,
        };
        match self.good {
            Good::Served { latency_max: None } => Some(is_served),
            Good::Served {
                latency_max: Some(most),
            } => Some(is_served && outcome.latency <= most),
            Good::Blameless => is_served.then_some(!blames),
            Good::Succeeded => Some(is_served && !blames),
        }
    }

    /// Counts an outcome that somebody else has seen, from any thread: see [`Self::record`].
    pub fn record_reported(&self, outcome: &Outcome, caller: u64) {
        self.record(self.cores.len() - 1, outcome, false, || caller);
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
    /// The counters, if a request of this tier counts.
    pub(crate) fn of_tier(&self, tier: usize) -> Option<&ObjectiveCounts> {
        self.tier.is_none_or(|only| only == tier).then_some(&*self.counts)
    }
}

/// What is watched beside objectives: for each route how many of its good answers blame the caller, and then figures of
/// the business.
pub fn watched(plan: &Plan) -> Vec<ObjectivePlan> {
    let mut watched = of_client_errors(plan);
    watched.extend_from_slice(&plan.kpis);
    watched
}

/// For each route how many of its good answers blame the caller. The name is in the space of those of objectives, and is
/// none that one of them can have.
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
            good: Good::Blameless,
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
        let same = |old: &&Arc<ObjectiveCounts>| old.name == plan.name && old.good == plan.good;
        old?.iter().find(same).cloned()
    };
    plans
        .iter()
        .map(|plan| before(plan).unwrap_or_else(|| Arc::new(ObjectiveCounts::new(plan, cores))))
        .collect()
}

/// Those that a route counts for, of these with their counters.
pub(crate) fn of_route<'a>(
    plan: &Plan,
    all: impl Iterator<Item = (&'a ObjectivePlan, &'a Arc<ObjectiveCounts>)>,
    listener: &ListenerPlan,
    route: &RoutePlan,
) -> Vec<Counted> {
    let is_this = |(on, of): &(Arc<str>, Arc<str>)| *on == listener.name && *of == route.name;
    all.filter(|(objective, _)| objective.routes.iter().any(is_this))
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
    use std::time::Duration;

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
            good: Good::Served {
                latency_max: Some(Duration::from_millis(300)),
            },
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
            if let Some(counts) = counted.of_tier(tier) {
                counts.record(core, &outcome, false, || 7);
            }
        }
        assert_eq!(counts.counts(), Counts { good: 1, bad: 2 });
        assert_eq!(counts.callers().count(), 1, "it is the same caller");
        counts.record_reported(&outcome(Class::Good, 1), 8);
        counts.record_reported(&outcome(Class::Good, 301), 8);
        assert_eq!(counts.counts(), Counts { good: 2, bad: 3 });
        assert_eq!(counts.callers().count(), 2);
    }

    #[test]
    fn whether_it_is_good_is_another_question_for_who_asks_whether_it_succeeded() {
        let [served, refused, failed, left] = [
            (Class::Good, false),
            (Class::Good, true),
            (Class::Bad(Reason::UpstreamReset), false),
            (Class::Excluded(Reason::ClientClosed), false),
        ];
        for (good, counted) in [
            (
                Good::Served { latency_max: None },
                [Some(true), Some(true), Some(false), None],
            ),
            (Good::Blameless, [Some(true), Some(false), None, None]),
            (Good::Succeeded, [Some(true), Some(false), Some(false), None]),
        ] {
            let plan = ObjectivePlan {
                name: "orders".into(),
                routes: Vec::new(),
                tier: None,
                good,
            };
            let counts = ObjectiveCounts::new(&plan, 1);
            let asked = [served, refused, failed, left];
            let found = asked.map(|(class, blames)| counts.is_good(&outcome(class, 1), blames));
            assert_eq!(found, counted, "{good:?}");
        }
    }
}
