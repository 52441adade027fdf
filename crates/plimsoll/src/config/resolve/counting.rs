//! Which events count, for an objective or a figure of the business.

use std::fmt::Write as _;
use std::sync::Arc;

use gateway::plan::{Direction, ListenerPlan, Plan, RoutePlan, WalkPlan};

use super::{Scope, known_names};
use crate::config::raw::kpi::Kpi;
use crate::config::raw::objective::{Journey, Objective, Vantage};
use crate::config::read::At;
use crate::config::value::Scalar;
use crate::config::value::word::Name;

/// The tier of requests that name none.
const OTHER: &str = "other";

/// What is said of them.
pub(super) struct Counting<'a> {
    routes: &'a At<Vec<At<Name>>>,
    tier: &'a At<Option<Name>>,
    upstream: Option<&'a At<Option<Name>>>,
    version: Option<&'a At<Option<Name>>>,
    vantage: Vantage,
    journey: Option<&'a Journey>,
}

/// A listener and one of its routes, by their names.
type Pair = (Arc<str>, Arc<str>);

impl<'a> Counting<'a> {
    pub(super) fn of(objective: &'a Objective) -> Self {
        fn said(name: &At<Option<Name>>) -> Option<&At<Option<Name>>> {
            name.is_some().then_some(name)
        }
        Self {
            routes: &objective.routes,
            tier: &objective.tier,
            upstream: said(&objective.upstream),
            version: said(&objective.version),
            vantage: objective.vantage.value,
            journey: objective.journey.as_ref(),
        }
    }

    pub(super) const fn of_kpi(kpi: &'a Kpi) -> Self {
        Self {
            routes: &kpi.routes,
            tier: &kpi.tier,
            upstream: None,
            version: None,
            vantage: kpi.vantage.value,
            journey: None,
        }
    }

    /// In words that are other ones if something else counts. What a file has is found by them, so of what it has from
    /// before there was more to say they are the same.
    pub(super) fn words(&self, limit: &str) -> Arc<str> {
        let on_way = self.journey.map_or(self.routes, |journey| &journey.routes);
        let mut named: Vec<&str> = on_way.iter().map(|route| route.as_str()).collect();
        named.sort_unstable();
        let seen = match self.vantage {
            Vantage::Gateway => String::new(),
            elsewhere => elsewhere.word().to_owned() + ":",
        };
        let text = |name: &'a At<Option<Name>>| name.as_ref().map_or("", |name| name.as_str());
        let mut words = format!("{seen}{};{};{limit}", named.join(","), text(self.tier));
        for (what, name) in [("upstream", self.upstream), ("version", self.version)] {
            if let Some(name) = name {
                _ = write!(words, ";{what}:{}", text(name));
            }
        }
        if let Some(Journey { routes, key, within }) = self.journey {
            let last = routes.last().map_or("", |route| route.as_str());
            let seconds = within.value.as_secs();
            let key = Scalar::render(&key.value);
            _ = write!(words, ";journey:{last}:{key}:{seconds}s");
        }
        words.into()
    }

    /// The routes whose requests count.
    pub(super) fn routes(&self, plan: &Plan, scope: &mut Scope<'_>) -> Vec<Pair> {
        let narrowed = self.upstream.or(self.version).map(|name| &name.place);
        if self.vantage != Vantage::Gateway {
            // The events come from elsewhere: no route counts, and none may be named.
            let routes = self.routes.first().map(|route| &route.place);
            let on_way = self.journey.map(|journey| &journey.routes.place);
            let tier = self.tier.is_some().then_some(&self.tier.place);
            if let Some(place) = routes.or(on_way).or(tier).or(narrowed) {
                let wrong = "what is seen elsewhere has neither routes nor tiers here";
                scope.problem(place, wrong, "none of it, or `vantage: gateway`");
            }
            return Vec::new();
        }
        let Some(journey) = self.journey else {
            return self.narrowed(resolve_routes(self.routes, plan, scope), plan, scope);
        };
        let elsewhere = self.routes.first().map(|route| &route.place);
        if let Some(place) = elsewhere.or(narrowed) {
            let wrong = "which routes are on the way of a journey stands in the journey";
            scope.problem(place, wrong, "`journey: { routes: […] }` alone");
        }
        scope.some(&journey.routes, "route on the way");
        resolve_routes(&journey.routes, plan, scope)
    }

    /// Those that lead where they are to lead.
    fn narrowed(&self, routes: Vec<Pair>, plan: &Plan, scope: &mut Scope<'_>) -> Vec<Pair> {
        let name = |name: Option<&'a At<Option<Name>>>| Some(name?.as_ref()?.as_str());
        let (upstream, version) = (name(self.upstream), name(self.version));
        if let (Some(name), Some(place)) = (upstream, self.upstream.map(|name| &name.place))
            && scope.upstreams_known
            && !scope.upstreams.iter().any(|known| known == name)
        {
            let right = known_names(name, &scope.upstreams.clone());
            scope.problem(place, format!("there is no upstream `{name}`"), right);
            return routes;
        }
        let leads = |(listener, route): &(&ListenerPlan, &RoutePlan)| {
            let is_counted = routes
                .iter()
                .any(|(on, of)| *on == listener.name && *of == route.name);
            let mut to = plan.upstreams.iter().filter(|to| to.name == route.upstream);
            is_counted
                && to.any(|to| {
                    upstream.is_none_or(|name| *to.name == *name)
                        && version.is_none_or(|version| *to.version == *version)
                })
        };
        let kept: Vec<Pair> = all(plan).filter(leads).map(names).collect();
        if let (true, false, Some(place)) = (
            kept.is_empty(),
            routes.is_empty(),
            self.version.or(self.upstream).map(|name| &name.place),
        ) {
            let known: Vec<String> = plan
                .upstreams
                .iter()
                .map(|upstream| format!("`{}` of version `{}`", upstream.name, upstream.version))
                .collect();
            let right = format!("routes that lead to it; there are {}", known.join(", "));
            scope.problem(place, "none of these routes leads there", right);
        }
        kept
    }

    pub(super) fn tier(&self, scope: &mut Scope<'_>) -> Option<Arc<str>> {
        let name = self.tier.value.as_ref()?.as_str();
        if scope.tiers_known && name != OTHER && !scope.tiers.iter().any(|known| known == name) {
            let known: Vec<String> = scope.tiers.iter().cloned().chain([OTHER.to_owned()]).collect();
            let wrong = format!("there is no tier `{name}`");
            scope.problem(&self.tier.place, wrong, known_names(name, &known));
        }
        Some(name.into())
    }

    /// The journeys that are events, if requests are not.
    pub(super) fn walk(&self, plan: &Plan) -> Option<WalkPlan> {
        let Journey { routes, key, within } = self.journey?;
        let last = routes.last().map(|route| route.as_str());
        let ends = all(plan).filter(|(_, route)| Some(&*route.name) == last);
        Some(WalkPlan {
            key: key.value.clone(),
            ends: ends.map(names).collect(),
            within: within.value,
        })
    }
}

fn all(plan: &Plan) -> impl Iterator<Item = (&ListenerPlan, &RoutePlan)> {
    plan.listeners
        .iter()
        .flat_map(|listener| listener.routes.iter().map(move |route| (listener, route)))
}

fn names((listener, route): (&ListenerPlan, &RoutePlan)) -> Pair {
    (Arc::clone(&listener.name), Arc::clone(&route.name))
}

fn resolve_routes(routes: &[At<Name>], plan: &Plan, scope: &mut Scope<'_>) -> Vec<Pair> {
    if routes.is_empty() {
        let ingress = all(plan).filter(|(listener, _)| listener.direction == Direction::Ingress);
        return ingress.map(names).collect();
    }
    for named in routes {
        if !all(plan).any(|(_, route)| *route.name == *named.as_str()) {
            let known: Vec<String> = all(plan).map(|(_, route)| route.name.to_string()).collect();
            let wrong = format!("there is no route `{}`", named.as_str());
            scope.problem(&named.place, wrong, known_names(named.as_str(), &known));
        }
    }
    let is_named = |name: &str| routes.iter().any(|named| named.as_str() == name);
    all(plan)
        .filter(|(_, route)| is_named(&route.name))
        .map(names)
        .collect()
}
