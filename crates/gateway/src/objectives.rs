//! What counts for which objective: counters that each core writes for itself, and the judge adds up.
//!
//! Series (see [`ledger`](crate::ledger)) say what happened, by route and tier. An objective asks something of some of
//! that, and what it asks decides what is good: an answer that was right and too late is good in the one and bad in the
//! other. So it is counted here once more, exactly, at the threshold that was declared, and not read off a histogram.

mod walk;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use plimsoll_slo::{
    CallerSet, Callers, Class, Counts, Fresh, Freshness, FreshnessReading, Instant, Outcome, Reason,
};

use self::walk::{Step, Walks};

pub(crate) use self::walk::{Name, key_of, written_key};
use crate::fields::Fields;
use crate::identity::Trace;
use crate::plan::{Good, ListenerPlan, ObjectivePlan, Plan, RoutePlan, WalkPlan};

pub use self::walk::{WALKS_MAX, WalkReading};

/// The counters of one objective. They stay when a reload has it count other routes: what was under way then counts
/// for it still.
#[derive(Debug)]
pub struct ObjectiveCounts {
    /// The objective's.
    pub name: Arc<str>,
    good: Good,
    walks: Option<(WalkPlan, Walks)>,
    fresh: Option<Mutex<Freshness>>,
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
            fresh: match plan.good {
                Good::Seen { within } => Some(Mutex::new(Freshness::new(within))),
                _ => None,
            },
            walks: plan
                .walk
                .clone()
                .map(|plan| (plan.clone(), Walks::new(plan.within))),
            cores: (0..=cores).map(|_| OnCore::default()).collect(),
        }
    }

    /// Counts an outcome on a core. `blames` is whether the answer said that its caller is at fault; `caller` is a hash of
    /// who that is, and asked for only if the outcome is bad.
    ///
    /// # Panics
    /// If there is no such core.
    pub fn record(&self, core: usize, outcome: &Outcome, blames: bool, caller: impl FnOnce() -> u64) {
        self.count(core, self.is_good(outcome, blames), 1, caller);
    }

    /// Counts a request of a journey, of which `name` is a hash of its key, and none if it has none: the journey counts
    /// once, bad as soon as one of its requests is, and good at its end. `ends` is whether it is at its end if this was good. See [`Self::record`].
    ///
    /// # Panics
    /// If there is no such core.
    pub fn record_step(
        &self,
        core: usize,
        now: Instant,
        (name, ends): (Option<u64>, bool),
        outcome: &Outcome,
        blames: bool,
        caller: impl FnOnce() -> u64,
    ) {
        let Some((_, walks)) = &self.walks else { return };
        let step = |is_good| match (is_good, ends) {
            (false, _) => Step::Bad,
            (true, false) => Step::Served,
            (true, true) => Step::Ended,
        };
        let is_good = self.is_good(outcome, blames);
        let is_good = is_good.and_then(|is_good| walks.step(now, Name(name), step(is_good)));
        self.count(core, is_good, 1, caller);
    }

    fn count(&self, core: usize, is_good: Option<bool>, count: u64, caller: impl FnOnce() -> u64) {
        let core = &self.cores[core];
        match is_good {
            None => {}
            Some(true) => _ = core.good.fetch_add(count, Relaxed),
            Some(false) => {
                core.bad.fetch_add(count, Relaxed);
                core.callers.note(caller());
            }
        }
    }

    /// `None` if it counts neither way.
    fn is_good(&self, outcome: &Outcome, blames: bool) -> Option<bool> {
        let in_time = |most: Option<_>| most.is_none_or(|most| outcome.latency <= most);
        match (self.good, outcome.class) {
            // Whoever has waited for longer than was promised has seen that, before leaving.
            (Good::Served { latency_max }, Class::Excluded(Reason::ClientClosed)) => {
                (!in_time(latency_max)).then_some(false)
            }
            // Nobody knows what its caller may ask for; but all of a sudden many are told that it is too much.
            (Good::Blameless, Class::Excluded(Reason::UpstreamRateLimited)) => Some(false),
            (Good::Blameless, Class::Bad(_)) | (_, Class::Excluded(_)) | (Good::Seen { .. }, _) => None,
            (Good::Served { latency_max }, class) => Some(class == Class::Good && in_time(latency_max)),
            (Good::Blameless, Class::Good) => Some(!blames),
            (Good::Succeeded, class) => Some(class == Class::Good && !blames),
        }
    }

    /// Counts an outcome that somebody else has seen, of so many events alike, from any thread: see [`Self::record`].
    pub fn record_reported(&self, outcome: &Outcome, count: u64, caller: u64) {
        let is_good = self.is_good(outcome, false);
        self.count(self.cores.len() - 1, is_good, count, || caller);
    }

    /// What somebody says of an event that is to be seen soon: when it was committed, and when it could be seen, in
    /// milliseconds since the Unix epoch. `None` if that is not what is counted here. `event` is a hash of its id.
    pub fn record_seen(
        &self,
        event: u64,
        committed: Option<u64>,
        seen: Option<u64>,
        now: u64,
    ) -> Option<Fresh> {
        let mut fresh = self
            .fresh
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let became = match (committed, seen) {
            (_, Some(seen)) => fresh.seen(event, committed, seen),
            (Some(committed), None) => fresh.committed(event, committed, now),
            (None, None) => Fresh::Unknown,
        };
        drop(fresh);
        let is_good = match became {
            Fresh::Good => Some(true),
            Fresh::Bad => Some(false),
            Fresh::Waits | Fresh::Known | Fresh::Unknown | Fresh::TurnedAway => None,
        };
        self.count(self.cores.len() - 1, is_good, 1, || event);
        Some(became)
    }

    /// Counts what is due and unseen by `now`, in milliseconds since the Unix epoch.
    pub fn record_overdue(&self, now: u64) {
        let Some(fresh) = &self.fresh else { return };
        let overdue = fresh.lock().unwrap_or_else(PoisonError::into_inner).overdue(now);
        for event in overdue {
            self.count(self.cores.len() - 1, Some(false), 1, || event);
        }
    }

    /// What is committed and not seen yet; `None` if that is not what is counted here.
    pub fn fresh(&self, now: u64) -> Option<FreshnessReading> {
        let fresh = self
            .fresh
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Some(fresh.reading(now))
    }

    /// What became of journeys that count neither way; `None` if each request is an event.
    pub fn walks(&self, now: Instant) -> Option<WalkReading> {
        self.walks.as_ref().map(|(_, walks)| walks.reading(now))
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
    /// A request that is served is the end of its journey.
    ends: bool,
}

/// A request that is over, as it counts.
#[derive(Clone, Copy)]
pub(crate) struct Counting<'a> {
    pub(crate) core: usize,
    pub(crate) tier: usize,
    pub(crate) now: Instant,
    pub(crate) outcome: &'a Outcome,
    /// The answer said that the caller is at fault.
    pub(crate) blames: bool,
}

impl Counted {
    /// Which journey a request belongs to, if journeys count.
    pub(crate) fn walk(&self, fields: &Fields, trace: &Trace) -> Option<Name> {
        let (plan, _) = self.counts.walks.as_ref()?;
        Some(walk::name(&plan.key, fields, trace))
    }

    /// Counts a request of the route: see [`ObjectiveCounts::record`]. `walks` are the journeys that it belongs
    /// to, of the objectives for which journeys count, in their order.
    pub(crate) fn record(
        &self,
        counting: Counting<'_>,
        walks: &mut impl Iterator<Item = Name>,
        caller: impl FnOnce() -> u64,
    ) {
        let Counting {
            core,
            tier,
            now,
            outcome,
            blames,
        } = counting;
        let walk = self.counts.walks.as_ref().and_then(|_| walks.next());
        if self.tier.is_some_and(|only| only != tier) {
            return;
        }
        match walk {
            None => self.counts.record(core, outcome, blames, caller),
            Some(Name(name)) => {
                let ends = self.ends && !blames;
                self.counts
                    .record_step(core, now, (name, ends), outcome, blames, caller);
            }
        }
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
            walk: None,
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
        let same = |old: &&Arc<ObjectiveCounts>| {
            let walk = old.walks.as_ref().map(|(walk, _)| walk);
            old.name == plan.name && old.good == plan.good && walk == plan.walk.as_ref()
        };
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
            ends: objective
                .walk
                .as_ref()
                .is_some_and(|walk| walk.ends.iter().any(is_this)),
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
            walk: None,
        };
        let counts = Arc::new(ObjectiveCounts::new(&plan, 2));
        let counted = Counted {
            counts: Arc::clone(&counts),
            tier: Some(1),
            ends: false,
        };
        for (core, tier, outcome) in [
            (0, 1, outcome(Class::Good, 300)),
            (1, 1, outcome(Class::Good, 301)),
            (1, 1, outcome(Class::Bad(Reason::UpstreamReset), 5)),
            (0, 1, outcome(Class::Excluded(Reason::ClientClosed), 200)),
            (0, 1, outcome(Class::Excluded(Reason::RateLimited), 5_000)),
            (0, 0, outcome(Class::Bad(Reason::Shed), 0)),
        ] {
            let counting = Counting {
                core,
                tier,
                now: Instant::default(),
                outcome: &outcome,
                blames: false,
            };
            counted.record(counting, &mut [].into_iter(), || 7);
        }
        assert_eq!(counts.counts(), Counts { good: 1, bad: 2 });
        assert_eq!(counts.callers().count(), 1, "it is the same caller");
        // Who left after the time that was promised has seen that it was not kept.
        let left_late = outcome(Class::Excluded(Reason::ClientClosed), 301);
        counts.record(0, &left_late, false, || 7);
        assert_eq!(counts.counts(), Counts { good: 1, bad: 3 });
        counts.record_reported(&outcome(Class::Good, 1), 1, 8);
        counts.record_reported(&outcome(Class::Good, 301), 3, 8);
        assert_eq!(counts.counts(), Counts { good: 2, bad: 6 });
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
                walk: None,
            };
            let counts = ObjectiveCounts::new(&plan, 1);
            let asked = [served, refused, failed, left];
            let found = asked.map(|(class, blames)| counts.is_good(&outcome(class, 1), blames));
            assert_eq!(found, counted, "{good:?}");
        }
    }
}
