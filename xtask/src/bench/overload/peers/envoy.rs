//! Envoy with its adaptive concurrency filter, in the values of the example in its documentation: the 90th percentile,
//! a new limit every 100 ms, the least round trip measured again every minute with a jitter of 10 %.
//!
//! Beside it, what its documentation advises: retries of what did not get through, on another host if there is one,
//! ejection of outliers, health checks. Its fixed circuit breakers are raised out of the filter's way.

use serde_json::{Value, json};

use super::{PATIENCE, Peer, Site};
use crate::bench::overload::Programs;
use crate::bench::overload::service::HEALTH;
use crate::bench::setting::Launch;

pub(super) const PEER: Peer = Peer {
    name: "envoy",
    launch: Some(launch),
    version: &["--version"],
};

const IN_FLIGHT: usize = 9_000;

fn launch(programs: &Programs, site: &Site<'_>) -> anyhow::Result<Launch> {
    let mut listeners = vec![listener("ingress", site.listen, "service", true)];
    let mut clusters = vec![cluster("service", site.services)];
    if let Some(dependency) = site.dependency {
        listeners.push(listener("egress", site.egress, "dependency", false));
        clusters.push(cluster("dependency", &[dependency]));
    }
    let config = json!({ "static_resources": { "listeners": listeners, "clusters": clusters } });
    let file = site.write("envoy.json", &config.to_string())?;
    Ok(Launch::new(
        &programs.envoy,
        &[
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "warning",
            "--config-path",
            &file,
        ],
    ))
}

fn typed(kind: &str, mut config: Value) -> Value {
    config["@type"] = json!(format!("type.googleapis.com/envoy.extensions.{kind}"));
    config
}

fn listener(name: &str, port: u16, cluster: &str, adaptive: bool) -> Value {
    let mut filters = Vec::new();
    if adaptive {
        filters.push(json!({
            "name": "envoy.filters.http.adaptive_concurrency",
            "typed_config": typed("filters.http.adaptive_concurrency.v3.AdaptiveConcurrency", json!({
                "gradient_controller_config": {
                    "sample_aggregate_percentile": { "value": 90 },
                    "concurrency_limit_params": { "concurrency_update_interval": "0.1s" },
                    "min_rtt_calc_params": { "jitter": { "value": 10 }, "interval": "60s", "request_count": 50 },
                },
                "enabled": { "default_value": true, "runtime_key": "adaptive_concurrency.enabled" },
            })),
        }));
    }
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": typed("filters.http.router.v3.Router", json!({})),
    }));
    let retry = json!({
        "retry_on": "connect-failure,refused-stream,reset",
        "num_retries": 2,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("retry.host.previous_hosts.v3.PreviousHostsPredicate", json!({})),
        }],
        "host_selection_retry_max_attempts": 3,
    });
    let route = json!({
        "match": { "prefix": "/" },
        "route": { "cluster": cluster, "timeout": PATIENCE, "retry_policy": retry },
    });
    let manager = typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": name,
            "codec_type": "HTTP1",
            "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }] },
            "http_filters": filters,
        }),
    );
    json!({ "name": name, "address": address(port), "filter_chains": [{ "filters": [
        { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager },
    ] }] })
}

fn cluster(name: &str, ports: &[u16]) -> Value {
    let endpoints: Vec<Value> = ports
        .iter()
        .map(|port| json!({ "endpoint": { "address": address(*port) } }))
        .collect();
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": { "thresholds": [{
            "max_connections": IN_FLIGHT,
            "max_pending_requests": IN_FLIGHT,
            "max_requests": IN_FLIGHT,
        }] },
        "outlier_detection": { "max_ejection_percent": 50 },
        "health_checks": [{
            "timeout": "1s",
            "interval": "2s",
            "no_traffic_interval": "2s",
            "unhealthy_threshold": 3,
            "healthy_threshold": 2,
            "http_health_check": { "path": HEALTH },
        }],
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
