//! Envoy: one worker; its own limits raised so that none of them is met.

use serde_json::{Value, json};

use super::Peer;
use crate::bench::cases::Client;
use crate::bench::setting::{IN_FLIGHT, Launch, Setting};
use crate::bench::tools::Tools;

pub(super) const PEER: Peer = Peer {
    name: "envoy",
    launch,
    version: &["--version"],
};

fn launch(tools: &Tools, setting: &Setting<'_>) -> anyhow::Result<Launch> {
    let config = json!({
        "static_resources": { "listeners": [listener(setting)], "clusters": [cluster(setting)] },
    });
    let file = setting.write("envoy.json", &config.to_string())?;
    Ok(Launch::new(
        &tools.envoy,
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

fn listener(setting: &Setting<'_>) -> Value {
    let codec = if setting.client == Client::Http2 {
        "HTTP2"
    } else {
        "HTTP1"
    };
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "codec_type": codec,
        "route_config": { "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "origin" } }],
        }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
        }],
    });
    let mut chain = json!({ "filters": [
        { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager },
    ] });
    if setting.client == Client::Tls {
        chain["transport_socket"] = tls(setting);
    }
    json!({ "name": "ingress", "address": address(setting.listen), "filter_chains": [chain] })
}

fn tls(setting: &Setting<'_>) -> Value {
    let version = "TLSv1_3";
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_params": { "tls_minimum_protocol_version": version, "tls_maximum_protocol_version": version },
            "tls_certificates": [{
                "certificate_chain": { "filename": setting.pair.certificate },
                "private_key": { "filename": setting.pair.key },
            }],
        },
    } })
}

fn cluster(setting: &Setting<'_>) -> Value {
    json!({
        "name": "origin",
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": { "thresholds": [{
            "max_connections": IN_FLIGHT,
            "max_pending_requests": IN_FLIGHT,
            "max_requests": IN_FLIGHT,
        }] },
        "load_assignment": { "cluster_name": "origin", "endpoints": [{
            "lb_endpoints": [{ "endpoint": { "address": address(setting.origin) } }],
        }] },
    })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}
