//! Upstreams, and what guards them.

use std::sync::Arc;

use gateway::plan::{AdaptivePlan, EndpointPlan, Protocol, TlsClientPlan, UpstreamPlan};
use plimsoll_policy::{BalanceConfig, BreakerConfig, BudgetConfig, HealthConfig, OutlierConfig, SlowStart};

use super::{Scope, tls};
use crate::config::raw::upstream as raw;
use crate::config::read::At;
use crate::config::value::Switch;
use crate::config::value::address::Endpoint;

pub(super) fn resolve(upstream: raw::Upstream, scope: &mut Scope<'_>) -> UpstreamPlan {
    let raw::Upstream {
        name,
        version,
        endpoints,
        // See `resolve::driver`.
        driver: _,
        protocol,
        tls,
        rewrite_host,
        connect_max,
        in_flight_max,
        adaptive,
        retry_budget,
        breaker,
        outlier,
        balance,
        health,
        resolve_every,
        idle_max,
        idle_time,
    } = upstream;
    UpstreamPlan {
        name: Arc::from(name.as_str()),
        version: Arc::from(version.as_str()),
        tls: resolve_tls(tls, &endpoints, scope),
        endpoints: endpoints.value.into_iter().map(endpoint).collect(),
        protocol: match protocol.value {
            raw::Protocol::Http1 => Protocol::Http1,
            raw::Protocol::Http2 => Protocol::Http2,
            raw::Protocol::Auto => Protocol::Auto,
        },
        rewrite_host: rewrite_host.value,
        connect_max: connect_max.value,
        adaptive: on(adaptive.value).map(|adaptive| resolve_adaptive(adaptive, &in_flight_max, scope)),
        in_flight_max: in_flight_max.value,
        budget: budget(retry_budget.value),
        breaker: on(breaker.value).map(|breaker| resolve_breaker(breaker, scope)),
        outlier: on(outlier.value).map(|outlier| resolve_outlier(outlier, scope)),
        balance: resolve_balance(balance.value),
        health: on(health.value).map(|health| resolve_health(health, &protocol, scope)),
        resolve_every: resolve_every.value,
        idle_max: idle_max.value,
        idle_time: idle_time.value,
    }
}

fn on<T>(switch: Switch<T>) -> Option<T> {
    match switch {
        Switch::On(stanza) => Some(stanza),
        Switch::Off => None,
    }
}

fn endpoint(endpoint: At<Endpoint>) -> EndpointPlan {
    match endpoint.value {
        Endpoint::Host { tls: _, host, port } => EndpointPlan::Host(host, port),
        Endpoint::Unix(path) => EndpointPlan::Unix(path),
    }
}

/// TLS is spoken to all endpoints of an upstream or to none: the scheme says which, `tls` only how.
fn resolve_tls(
    tls: At<Option<raw::TlsClient>>,
    endpoints: &At<Vec<At<Endpoint>>>,
    scope: &mut Scope<'_>,
) -> Option<TlsClientPlan> {
    let secure = |endpoint: &At<Endpoint>| matches!(endpoint.value, Endpoint::Host { tls: true, .. });
    let wanted = endpoints.first().is_some_and(secure);
    if let Some(other) = endpoints.iter().find(|endpoint| secure(endpoint) != wanted) {
        scope.problem(
            &other.place,
            "some endpoints of this upstream are `https` and some are not",
            "all or none, or two upstreams",
        );
    }
    scope.some(endpoints, "endpoint");
    let Some(tls_raw) = tls.value else {
        return wanted.then(TlsClientPlan::default);
    };
    if !wanted && !endpoints.is_empty() {
        scope.problem(
            &tls.place,
            "the endpoints are not `https`, so TLS is not spoken",
            "`https://…` endpoints",
        );
    }
    let raw::TlsClient {
        ca,
        certificate,
        key,
        server_name,
    } = tls_raw;
    Some(tls::client((ca, certificate, key), server_name.value, scope))
}

fn resolve_adaptive(adaptive: raw::Adaptive, in_flight_max: &At<u32>, scope: &mut Scope<'_>) -> AdaptivePlan {
    let raw::Adaptive { min, max, wait } = adaptive;
    if let Some(most) = max.value {
        let max = At {
            value: most,
            place: max.place,
        };
        scope.ordered(("min", &min), ("max", &max));
        scope.ordered(("max", &max), ("in_flight_max", in_flight_max));
    } else {
        scope.ordered(("min", &min), ("in_flight_max", in_flight_max));
    }
    AdaptivePlan {
        min: min.value,
        max: max.value,
        wait: wait.value,
    }
}

fn budget(budget: raw::RetryBudget) -> BudgetConfig {
    let raw::RetryBudget { share, burst } = budget;
    BudgetConfig {
        share: share.0,
        burst: burst.value,
    }
}

fn resolve_breaker(breaker: raw::Breaker, scope: &mut Scope<'_>) -> BreakerConfig {
    let raw::Breaker {
        failure_rate,
        requests_min,
        consecutive,
        open_base,
        open_max,
        probes_max,
        ramp_step,
        probe_timeout,
    } = breaker;
    scope.ordered(("open_base", &open_base), ("open_max", &open_max));
    BreakerConfig {
        failure_rate: failure_rate.0,
        requests_min: requests_min.value,
        consecutive: consecutive.value,
        open_base: open_base.value,
        open_max: open_max.value,
        probes_max: probes_max.value,
        ramp_step: ramp_step.value,
        probe_timeout: probe_timeout.value,
    }
}

fn resolve_outlier(outlier: raw::Outlier, scope: &mut Scope<'_>) -> OutlierConfig {
    let raw::Outlier {
        consecutive,
        interval,
        eject_base,
        eject_max,
        success_rate_stdev,
        success_rate_hosts_min,
        success_rate_requests_min,
        failure_rate,
        failure_rate_requests_min,
    } = outlier;
    scope.ordered(("eject_base", &eject_base), ("eject_max", &eject_max));
    OutlierConfig {
        consecutive: consecutive.value,
        interval: interval.value,
        eject_base: eject_base.value,
        eject_max: eject_max.value,
        success_rate_stdev: success_rate_stdev.value,
        success_rate_hosts_min: success_rate_hosts_min.value,
        success_rate_requests_min: success_rate_requests_min.value,
        failure_rate: failure_rate.0,
        failure_rate_requests_min: failure_rate_requests_min.value,
    }
}

fn resolve_balance(balance: raw::Balance) -> BalanceConfig {
    let raw::Balance {
        tau,
        default_rtt,
        slow_start,
        slow_start_floor,
    } = balance;
    let slow_start = SlowStart {
        window: slow_start.value,
        floor: slow_start_floor.0,
    };
    BalanceConfig {
        tau: tau.value,
        default_rtt: default_rtt.value,
        slow_start,
    }
}

fn resolve_health(health: raw::Health, protocol: &At<raw::Protocol>, scope: &mut Scope<'_>) -> HealthConfig {
    let raw::Health {
        interval,
        timeout,
        rise,
        fall,
        path,
        expect,
        grpc,
    } = health;
    scope.ordered(("timeout", &timeout), ("interval", &interval));
    let defaults = HealthConfig::default();
    let config = HealthConfig {
        interval: interval.value,
        timeout: timeout.value,
        rise: rise.value,
        fall: fall.value,
        path: path.value.0,
        expect: expect.value.0,
        grpc: on(grpc.value).map(|raw::GrpcHealth { service }| service.value.unwrap_or_default()),
    };
    if config.grpc.is_some() {
        if protocol.value == raw::Protocol::Http1 {
            scope.problem(
                &grpc.place,
                "gRPC needs HTTP/2, and this upstream is spoken to in HTTP/1.1",
                "`protocol: http2` or `protocol: auto` in the upstream",
            );
        }
        // A key without an effect is one that somebody relies on in vain.
        for (key, place, is_default) in [
            ("path", &path.place, config.path == defaults.path),
            ("expect", &expect.place, config.expect == defaults.expect),
        ] {
            if !is_default {
                scope.problem(
                    place,
                    format!("with `grpc` there is no `{key}`"),
                    "one of the two",
                );
            }
        }
    }
    config
}
