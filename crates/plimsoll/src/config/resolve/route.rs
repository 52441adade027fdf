//! Routes: deadlines, retries, rates and faults.

use std::sync::Arc;
use std::time::Duration;

use gateway::plan::{KeyPart, RatePlan, RoutePlan};
use plimsoll_policy::{
    Abort, Backoff, DeadlineConfig, FaultAction, FaultConfig, FaultRule, HedgeConfig, Priority, Quota,
    RetryConfig,
};

use super::{Scope, known_names};
use crate::config::problem::{Mark, Place};
use crate::config::raw::route as raw;
use crate::config::read::{At, Reader, Value};
use crate::config::tree::Node;
use crate::config::value::quantity::Rate;
use crate::config::value::word::{KeyWord, Name};
use crate::config::value::{Named, Switch};

pub(super) fn resolve(route: At<raw::Route>, scope: &mut Scope<'_>) -> RoutePlan {
    let raw::Route {
        name,
        methods,
        hosts,
        path,
        upstream,
        deadline,
        retry,
        hedge,
        rate_limits,
        fault,
        priority,
        body,
    } = route.value;
    let total = deadline.total.clone();
    let deadline = resolve_deadline(deadline.value, scope);
    RoutePlan {
        name: Arc::from(name.as_str()),
        methods: methods.value,
        hosts: hosts.value.into_iter().map(|host| host.0).collect(),
        path: path.value.0,
        upstream: resolve_upstream(&upstream, scope),
        retry: match retry.value {
            Switch::On(retry) => Some(resolve_retry(retry, scope)),
            Switch::Off => None,
        },
        hedge: match hedge.value {
            Switch::On(hedge) => Some(resolve_hedge(hedge, &total, scope)),
            Switch::Off => None,
        },
        deadline,
        rates: rate_limits
            .value
            .into_iter()
            .filter_map(|limit| resolve_rate(limit, scope))
            .collect(),
        fault: resolve_faults(fault.value, scope),
        body_bytes: body.value.map(|size| size.0),
        priority: match priority.value {
            raw::Priority::Critical => Priority::Critical,
            raw::Priority::Normal => Priority::Normal,
            raw::Priority::Sheddable => Priority::Sheddable,
        },
    }
}

/// The route of a listener that has none: everything goes to the one upstream there is.
pub(super) fn catch_all(place: &Place, scope: &mut Scope<'_>) -> Option<RoutePlan> {
    if scope.upstreams_known && scope.upstreams.len() != 1 {
        let wrong = format!("there are no routes, and {} upstreams", scope.upstreams.len());
        scope.problem(place, wrong, "at least one route, or exactly one upstream");
        return None;
    }
    // Read from nothing, so that it has the defaults of any other route.
    let name = Node::scalar("default");
    let entries = crate::config::value::map([("name", name)]);
    let mut reader = Reader::default();
    let route = raw::Route::read(&entries, &mut reader)?;
    let place = Place {
        mark: Mark::default(),
        path: place.path.clone(),
    };
    Some(resolve(At { value: route, place }, scope))
}

fn resolve_upstream(upstream: &At<Option<Name>>, scope: &mut Scope<'_>) -> Arc<str> {
    if let Some(name) = &upstream.value {
        if scope.upstreams_known && !scope.upstreams.contains(name) {
            let wrong = format!("there is no upstream `{}`", name.as_str());
            let right = known_names(name, &scope.upstreams);
            scope.problem(&upstream.place, wrong, right);
        }
        Arc::from(name.as_str())
    } else {
        if scope.upstreams_known && scope.upstreams.len() > 1 {
            let right = format!("one of {}", scope.upstreams.join(", "));
            scope.problem(&upstream.place, "it is not said where this route leads", right);
        }
        scope
            .upstreams
            .first()
            .map_or_else(|| Arc::from(""), |name| Arc::from(name.as_str()))
    }
}

fn resolve_deadline(deadline: raw::Deadline, scope: &mut Scope<'_>) -> DeadlineConfig {
    let raw::Deadline {
        total,
        total_max,
        per_try,
        margin,
    } = deadline;
    scope.ordered(("total", &total), ("total_max", &total_max));
    if let Some(time) = per_try.value {
        scope.ordered(
            (
                "per_try",
                &At {
                    value: time,
                    place: per_try.place,
                },
            ),
            ("total", &total),
        );
    }
    DeadlineConfig {
        total: total.value,
        total_max: total_max.value,
        per_try: per_try.value,
        margin: margin.value,
    }
}

fn resolve_retry(retry: raw::Retry, scope: &mut Scope<'_>) -> RetryConfig {
    let raw::Retry {
        retries_max,
        backoff_base,
        backoff_cap,
        statuses,
        on_timeout,
        retry_after_max,
        body_max,
        idempotent,
    } = retry;
    scope.ordered(("backoff_base", &backoff_base), ("backoff_cap", &backoff_cap));
    RetryConfig {
        retries_max: retries_max.value,
        backoff: Backoff {
            base: backoff_base.value,
            cap: backoff_cap.value,
        },
        statuses: statuses.value.into_iter().map(|status| status.0).collect(),
        on_timeout: on_timeout.value,
        retry_after_max: retry_after_max.value,
        body_max: body_max.0,
        idempotent: idempotent.value,
    }
}

fn resolve_hedge(hedge: raw::Hedge, total: &At<Duration>, scope: &mut Scope<'_>) -> HedgeConfig {
    let raw::Hedge {
        after,
        share,
        load_max,
        idempotent,
    } = hedge;
    if let Some(value) = after.value {
        let place = after.place;
        scope.ordered(("after", &At { value, place }), ("deadline.total", total));
    }
    HedgeConfig {
        after: after.value,
        share: share.0,
        load_max: load_max.0,
        idempotent: idempotent.value,
    }
}

fn resolve_rate(limit: raw::RateLimit, scope: &mut Scope<'_>) -> Option<RatePlan> {
    let raw::RateLimit {
        name,
        key,
        rate,
        burst,
        by_tier,
        keys_max,
    } = limit;
    let quota = quota(&rate, &burst, scope);
    let by_tier = resolve_tiers(by_tier.value, scope);
    Some(RatePlan {
        name: Arc::from(name.as_str()),
        key: key.value.into_iter().map(key_part).collect(),
        quota: quota?,
        by_tier,
        keys_max: keys_max.value,
    })
}

fn resolve_tiers(tiers: Named<raw::TierQuota>, scope: &mut Scope<'_>) -> Vec<(Arc<str>, Quota)> {
    let mut quotas = Vec::new();
    for (tier, raw::TierQuota { rate, burst }) in tiers.0 {
        if scope.tiers_known && !scope.tiers.contains(&tier) && tier.as_str() != "other" {
            let wrong = format!("there is no tier `{}`", tier.as_str());
            let right = format!("{}, under `callers.tiers`", known_names(&tier, &scope.tiers));
            scope.problem(&tier.place, wrong, right);
        }
        quotas.extend(quota(&rate, &burst, scope).map(|quota| (Arc::from(tier.as_str()), quota)));
    }
    quotas
}

fn quota(rate: &At<Rate>, burst: &At<Option<u32>>, scope: &mut Scope<'_>) -> Option<Quota> {
    let quota = Quota::new(rate.count, rate.per, burst.unwrap_or(rate.count));
    if quota.is_none() && scope.reader.spotless(&burst.place) {
        scope.problem(
            &rate.place,
            "this quota is too fast or too slow to be kept",
            "at most 10⁹ per second",
        );
    }
    quota
}

fn key_part(word: KeyWord) -> KeyPart {
    match word {
        KeyWord::Tenant => KeyPart::Tenant,
        KeyWord::Tier => KeyPart::Tier,
        KeyWord::Route => KeyPart::Route,
        KeyWord::ClientAddress => KeyPart::ClientAddress,
        KeyWord::Header(name) => KeyPart::Header(name),
    }
}

fn resolve_faults(faults: Vec<At<raw::Fault>>, scope: &mut Scope<'_>) -> Option<FaultConfig> {
    let rules: Vec<_> = faults
        .into_iter()
        .filter_map(|fault| resolve_fault(fault, scope))
        .collect();
    (!rules.is_empty()).then_some(FaultConfig { rules })
}

fn resolve_fault(fault: At<raw::Fault>, scope: &mut Scope<'_>) -> Option<FaultRule> {
    let raw::Fault {
        share,
        header,
        delay,
        abort,
        disconnect,
        throttle,
    } = fault.value;
    let aborted = abort.value.map(|status| {
        let Abort { status, grpc } = Abort::of_status(status.0);
        FaultAction::Abort { status, grpc }
    });
    let throttled = throttle.value.map(|size| FaultAction::Throttle {
        bytes_per_second: size.0,
    });
    let actions = [
        delay.value.map(FaultAction::Delay),
        aborted,
        disconnect.value.then_some(FaultAction::Disconnect),
        throttled,
    ];
    let mut given = actions.into_iter().flatten();
    let (Some(action), None) = (given.next(), given.next()) else {
        if scope.reader.spotless(&fault.place) {
            let wrong = "it is not clear what this fault does";
            scope.problem(
                &fault.place,
                wrong,
                "exactly one of `delay`, `abort`, `disconnect` and `throttle`",
            );
        }
        return None;
    };
    Some(FaultRule {
        share: share.0,
        by_header: header.value.map(|name| name.0),
        action,
    })
}
