//! Listeners, and the bounds on what they bear.

use std::sync::Arc;

use gateway::plan::{Direction, LimitsPlan, ListenAddress, ListenerPlan, Network};
use gateway::{RouteError, RouteTable};

use super::{Scope, route, tls as tls_of};
use crate::config::raw::listener as raw;
use crate::config::read::At;
use crate::config::routes;
use crate::config::value::address::{Cidr, Listen};
use crate::config::value::word::{Name, PathTemplate};

pub(super) fn resolve(listener: raw::Listener, scope: &mut Scope<'_>) -> ListenerPlan {
    let raw::Listener {
        name,
        listen,
        direction,
        tls,
        trust,
        limits,
        routes,
    } = listener;
    scope.unique("route", routes.iter().map(|route| &route.name));
    let clean = scope.reader.problems.len();
    routes::clashes(&routes, &mut scope.reader.problems);
    let paths: Vec<_> = routes
        .iter()
        .map(|route| (route.name.clone(), route.path.clone()))
        .collect();
    let routes: Vec<_> = if routes.is_empty() && scope.reader.complete(&routes.place) {
        route::catch_all(&routes.place, scope).into_iter().collect()
    } else {
        routes
            .value
            .into_iter()
            .map(|route| route::resolve(route, scope))
            .collect()
    };
    if scope.reader.problems.len() == clean
        && let Err(error) = RouteTable::build(&routes)
    {
        unbuildable(&error, &paths, scope);
    }
    ListenerPlan {
        name: Arc::from(name.as_str()),
        direction: match direction.value {
            raw::Direction::Ingress => Direction::Ingress,
            raw::Direction::Egress => Direction::Egress,
        },
        address: match listen.value {
            Listen::Tcp(address) => ListenAddress::Tcp(address),
            Listen::Unix(path) => ListenAddress::Unix(path),
        },
        tls: tls.value.map(|tls| tls_of::server(tls, scope)),
        trust: trust
            .value
            .into_iter()
            .map(|Cidr { address, prefix }| Network { address, prefix })
            .collect(),
        limits: resolve_limits(limits.value),
        routes,
    }
}

/// What the gateway's own table does not take, at the route that it names: templates that overlap without one
/// being more specific than the other.
fn unbuildable(error: &RouteError, paths: &[(At<Name>, At<PathTemplate>)], scope: &mut Scope<'_>) {
    let (found, wrong) = match error {
        RouteError::Clash { first, second, what } => {
            let found = paths.iter().find(|(name, _)| name.as_str() == second);
            (found, format!("the route `{first}` takes {what} too"))
        }
        RouteError::Template { route: _, path, why } => (
            paths.iter().find(|(_, template)| template.0 == *path),
            format!("this is a path {why}"),
        ),
    };
    if let Some((_, path)) = found {
        scope.problem(
            &path.place,
            wrong,
            "a path that differs before its first parameter",
        );
    }
}

fn resolve_limits(limits: raw::Limits) -> LimitsPlan {
    let raw::Limits {
        connections,
        head,
        headers,
        target,
        body,
        head_time,
        idle_time,
        upload_rate_min,
        pace_grace,
        stream_idle,
        streams,
    } = limits;
    LimitsPlan {
        connections: connections.value,
        head_bytes: head.bytes(),
        headers: headers.value,
        target_bytes: target.bytes(),
        body_bytes: body.0,
        head_time: head_time.value,
        idle_time: idle_time.value,
        upload_rate_min: upload_rate_min.0,
        pace_grace: pace_grace.value,
        stream_idle: stream_idle.value,
        streams: streams.value,
    }
}
