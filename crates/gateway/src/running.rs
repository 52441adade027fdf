//! A plan come alive: routes with numbered series, upstreams with state, limits with counts.
//!
//! Built from a [`Plan`] and the world it replaces, and then immutable; cores swap to it between two requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use plimsoll_policy::{Dice, Usual};

use crate::env::Env;
use crate::hedging::Hedging;
use crate::identity;
use crate::ledger::{Ledger, SeriesId, SeriesKey};
use crate::objectives::{self, Counted, ObjectiveCounts};
use crate::plan::{Direction, ListenerPlan, ObjectivePlan, Plan, PlanError, Protocol, RatePlan, RoutePlan};
use crate::rates::RateLimit;
use crate::route::RouteTable;
use crate::splits::{self, RouteSplit, Split};
use crate::tls::{self, TlsError};
use crate::upstream::Upstream;

/// What runs.
#[derive(Debug)]
pub struct Running {
    /// What it was built from.
    pub plan: Plan,
    /// Counts reloads: 1 is the first.
    pub generation: u64,
    pub(crate) listeners: Vec<Arc<Listener>>,
    /// Names of before that a listener on the same address has taken over.
    renamed: Vec<(Arc<str>, usize)>,
    /// In the order of the plan.
    pub upstreams: Vec<Arc<Upstream>>,
    /// In the order of the plan.
    pub splits: Vec<Arc<Split>>,
    /// In the order of the plan.
    pub objectives: Vec<Arc<ObjectiveCounts>>,
    /// In the order of [`objectives::watched`].
    pub watched: Vec<Arc<ObjectiveCounts>>,
    /// There are egress listeners, so that requests are to be found again by the calls that are made for them.
    pub(crate) joins: bool,
}

/// A listener with its routes.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) plan: ListenerPlan,
    pub(crate) table: RouteTable,
    pub(crate) routes: Vec<Route>,
    pub(crate) tls: Option<tls::Acceptor>,
    pub(crate) scheme: &'static str,
    /// By tier: where requests without a route are counted.
    pub(crate) unrouted: Vec<SeriesId>,
    pub(crate) counts: Arc<ListenerCounts>,
}

/// Connections of a listener, over all cores.
#[derive(Debug, Default)]
pub(crate) struct ListenerCounts {
    pub(crate) open: AtomicU32,
    /// Turned away because there were as many as may be.
    pub(crate) refused: AtomicU64,
}

/// A route with its counts and limits.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) plan: RoutePlan,
    /// Index into [`Running::upstreams`].
    pub(crate) upstream: usize,
    /// By tier.
    pub(crate) series: Vec<SeriesId>,
    /// Another version may get its requests.
    pub(crate) split: Option<RouteSplit>,
    /// Flags that the service evaluates, of which it is told what becomes of who gets which setting.
    pub(crate) flags: Vec<Arc<Split>>,
    pub(crate) rates: Vec<Arc<RateLimit>>,
    pub(crate) times: Arc<RouteTimes>,
    /// The objectives that its requests count for, and what is watched beside them.
    pub(crate) objectives: Vec<Counted>,
    /// `None` when the route is not hedged.
    pub(crate) hedging: Option<Arc<Hedging>>,
}

/// What a route's good requests usually take, kept up to date by the control side. Zero is unknown.
#[derive(Debug, Default)]
pub(crate) struct RouteTimes {
    /// Self times, kept up to date by whoever is answered.
    pub(crate) usual: Usual,
    p50: AtomicU64,
    p999: AtomicU64,
}

impl RouteTimes {
    pub(crate) fn set(&self, p50: Option<Duration>, p999: Option<Duration>) {
        let nanos = |d: Option<Duration>| d.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        self.p50.store(nanos(p50), Relaxed);
        self.p999.store(nanos(p999), Relaxed);
    }

    pub(crate) fn p50(&self) -> Option<Duration> {
        Some(self.p50.load(Relaxed))
            .filter(|n| *n > 0)
            .map(Duration::from_nanos)
    }

    pub(crate) fn p999(&self) -> Option<Duration> {
        Some(self.p999.load(Relaxed))
            .filter(|n| *n > 0)
            .map(Duration::from_nanos)
    }
}

/// Why a plan could not be brought to life. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan does not hold together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Running {
    /// The listener of this name, or the one that has taken its address over: what was accepted for it under its old
    /// name is still a caller's.
    pub(crate) fn listener(&self, name: &str) -> Option<usize> {
        let named = self
            .listeners
            .iter()
            .position(|listener| *listener.plan.name == *name);
        named.or_else(|| Some(self.renamed.iter().find(|(old, _)| **old == *name)?.1))
    }

    /// Has all state that outlives plans go by this one from now on. Apart from [`Self::build`], so that a plan that is
    /// refused in the end has changed nothing.
    pub(crate) fn take_over(&self) {
        self.upstreams.iter().for_each(|upstream| upstream.take_over());
        for route in self.listeners.iter().flat_map(|listener| &listener.routes) {
            if let (Some(hedging), Some(config)) = (&route.hedging, &route.plan.hedge) {
                hedging.allowance.configure(&config.allowed());
            }
        }
    }

    /// Brings `plan` to life, keeping what `old` has learned.
    pub(crate) fn build(
        plan: Plan,
        env: &Env,
        ledger: &Ledger,
        cores: usize,
        old: Option<&Self>,
    ) -> Result<Self, ApplyError> {
        plan.check()?;
        let mut upstreams = Vec::new();
        for upstream in &plan.upstreams {
            let before = old.and_then(|old| old.upstreams.iter().find(|u| u.plan.name == upstream.name));
            upstreams.push(Arc::new(Upstream::build(
                upstream.clone(),
                env,
                cores,
                before.map(AsRef::as_ref),
            )?));
        }
        let objectives = objectives::build(&plan.objectives, cores, old.map(|old| &*old.objectives));
        let plans = objectives::watched(&plan);
        let watched = objectives::build(&plans, cores, old.map(|old| &*old.watched));
        let splits = splits::build(&plan.splits, cores, old.map(|old| &*old.splits));
        let mut limits = kept_limits(old);
        let mut listeners = Vec::new();
        for listener in &plan.listeners {
            let before = old.and_then(|old| old.listeners.iter().find(|l| l.plan.name == listener.name));
            let build = ListenerBuild {
                plan: &plan,
                env,
                ledger,
                objectives: &objectives,
                watched: (&plans, &watched),
                splits: &splits,
                limits: &mut limits,
            };
            listeners.push(Arc::new(build.listener(listener, before.map(AsRef::as_ref))?));
        }
        let generation = old.map_or(1, |old| old.generation + 1);
        let renamed = old.map_or_else(Vec::new, |old| renamed(old, &listeners));
        let joins = plan.listeners.iter().any(|l| l.direction == Direction::Egress);
        Ok(Self {
            plan,
            generation,
            listeners,
            renamed,
            upstreams,
            splits,
            objectives,
            watched,
            joins,
        })
    }
}

/// The listeners of `old` that go by another name now.
fn renamed(old: &Running, listeners: &[Arc<Listener>]) -> Vec<(Arc<str>, usize)> {
    let gone = old
        .listeners
        .iter()
        .filter(|old| !listeners.iter().any(|new| new.plan.name == old.plan.name));
    let heir = |gone: &Arc<Listener>| {
        let index = listeners
            .iter()
            .position(|new| new.plan.address == gone.plan.address)?;
        Some((Arc::clone(&gone.plan.name), index))
    };
    gone.filter_map(heir).collect()
}

/// Rate limits by name: those of one name share their counts, and keep them as long as their plan is the same.
type Limits = HashMap<Arc<str>, Arc<RateLimit>>;

fn kept_limits(old: Option<&Running>) -> Limits {
    let listeners = old.into_iter().flat_map(|old| &old.listeners);
    let limits = listeners
        .flat_map(|listener| &listener.routes)
        .flat_map(|route| &route.rates);
    limits
        .map(|limit| (Arc::clone(&limit.plan.name), Arc::clone(limit)))
        .collect()
}

struct ListenerBuild<'a> {
    plan: &'a Plan,
    env: &'a Env,
    ledger: &'a Ledger,
    objectives: &'a [Arc<ObjectiveCounts>],
    watched: (&'a [ObjectivePlan], &'a [Arc<ObjectiveCounts>]),
    splits: &'a [Arc<Split>],
    limits: &'a mut Limits,
}

impl ListenerBuild<'_> {
    fn listener(mut self, plan: &ListenerPlan, old: Option<&Listener>) -> Result<Listener, ApplyError> {
        let table = RouteTable::build(&plan.routes).map_err(|error| PlanError(vec![error.to_string()]))?;
        let routes = plan
            .routes
            .iter()
            .map(|route| self.route(plan, route, old))
            .collect();
        let tls = plan
            .tls
            .as_ref()
            .map(|tls| tls::Acceptor::build(tls, Protocol::Auto))
            .transpose()?;
        let unrouted = self.series(plan, "-", None);
        let scheme = identity::scheme(plan);
        let counts = old.map_or_else(Arc::default, |old| Arc::clone(&old.counts));
        Ok(Listener {
            plan: plan.clone(),
            table,
            routes,
            tls,
            scheme,
            unrouted,
            counts,
        })
    }

    fn route(&mut self, listener: &ListenerPlan, route: &RoutePlan, old: Option<&Listener>) -> Route {
        let place = |name: &Arc<str>| {
            let place = self.plan.upstreams.iter().position(|u| u.name == *name);
            place.expect("Plan::check found every upstream")
        };
        let upstream = place(&route.upstream);
        let series = self.series(listener, &route.name, Some((upstream, upstream)));
        let mut between_versions = self
            .splits
            .iter()
            .filter_map(|split| Some((split, split.plan.versions()?)));
        let split = between_versions.find(|(_, (stable, _))| **stable == route.upstream);
        let split = split.map(|(split, (_, candidate))| {
            let candidate = place(candidate);
            RouteSplit {
                split: Arc::clone(split),
                candidate,
                series: self.series(listener, &route.name, Some((upstream, candidate))),
            }
        });
        let flags = self
            .splits
            .iter()
            .filter(|split| split.tells_apart(&route.upstream))
            .cloned()
            .collect();
        let rates = route.rates.iter().map(|rate| self.rate(rate)).collect();
        let before = old.and_then(|old| old.routes.iter().find(|r| r.plan.name == route.name));
        let times = before.map_or_else(Arc::default, |before| Arc::clone(&before.times));
        let kept = before.and_then(|before| before.hedging.clone());
        let hedging = route
            .hedge
            .as_ref()
            .map(|config| kept.unwrap_or_else(|| Arc::new(Hedging::new(config))));
        Route {
            plan: route.clone(),
            upstream,
            series,
            split,
            flags,
            rates,
            times,
            objectives: self.objectives(listener, route),
            hedging,
        }
    }

    fn objectives(&self, listener: &ListenerPlan, route: &RoutePlan) -> Vec<Counted> {
        let (plans, counts) = self.watched;
        let watched = plans.iter().zip(counts);
        let all = self.plan.objectives.iter().zip(self.objectives).chain(watched);
        objectives::of_route(self.plan, all, listener, route)
    }

    fn rate(&mut self, plan: &RatePlan) -> Arc<RateLimit> {
        match self.limits.get(&plan.name) {
            Some(limit) if limit.plan == *plan => Arc::clone(limit),
            _ => {
                let limit = Arc::new(RateLimit::new(plan.clone(), self.env.dice().roll()));
                self.limits.insert(Arc::clone(&plan.name), Arc::clone(&limit));
                limit
            }
        }
    }

    /// The series of a route, one per tier, the undeclared one last: of the upstream with this place, and the version that
    /// the one with the other place is.
    fn series(&self, listener: &ListenerPlan, route: &str, to: Option<(usize, usize)>) -> Vec<SeriesId> {
        let upstream = to.map(|(service, _)| &self.plan.upstreams[service]);
        let version = to.map(|(_, version)| &self.plan.upstreams[version]);
        let tiers = 0..=self.plan.callers.tiers.len();
        tiers
            .map(|tier| {
                self.ledger.series(SeriesKey {
                    listener: Arc::clone(&listener.name),
                    route: route.into(),
                    tier: identity::tier_name(&self.plan.callers, tier).into(),
                    upstream: upstream.map_or_else(|| "-".into(), |u| Arc::clone(&u.name)),
                    version: version.map_or_else(|| "-".into(), |u| Arc::clone(&u.version)),
                })
            })
            .collect()
    }
}
