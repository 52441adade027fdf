//! Ours, with every policy on: what is measured is what people would run.
//!
//! Fifty-one routes, deadlines, retries with their budget, a breaker, ejection of outliers, a bulkhead, and a rate
//! limit that looks up its caller and never refuses. Active health checks are off: they are no part of a request.

use serde_json::{Value, json};

use super::Peer;
use crate::bench::cases::Client;
use crate::bench::setting::{IN_FLIGHT, Launch, Setting};
use crate::bench::tools::Tools;

pub(super) const PEER: Peer = Peer {
    name: "plimsoll",
    launch,
    version: &["--version"],
};

/// The same, that counts for nothing.
pub(crate) const BARE: Peer = Peer {
    name: "bare",
    launch: |tools, setting| begin(tools, setting, &json!({ "observe": { "client_errors": false } })),
    version: &["--version"],
};

/// The same, that counts for three objectives over all routes, and watches each of those for client errors.
pub(crate) const COUNTING: Peer = Peer {
    name: "counting",
    launch: |tools, setting| {
        let objectives = json!([
            { "name": "available", "target": "99.9%" },
            { "name": "quick", "target": "99%", "latency": "300ms" },
            { "name": "very-quick", "target": "90%", "latency": "50ms", "window": "7d" },
        ]);
        begin(
            tools,
            setting,
            &json!({ "objectives": objectives, "observe": { "client_errors": true } }),
        )
    },
    version: &["--version"],
};

/// Routes beside the one that takes the rest.
const ROUTES: usize = 50;
const FILE: &str = "plimsoll.yaml";

fn launch(tools: &Tools, setting: &Setting<'_>) -> anyhow::Result<Launch> {
    begin(tools, setting, &json!({}))
}

/// With more at the top of its configuration.
fn begin(tools: &Tools, setting: &Setting<'_>, more: &Value) -> anyhow::Result<Launch> {
    let file = write(setting, 0, more)?;
    Ok(Launch::new(
        &tools.plimsoll,
        &["run", "--config", &file, "--cores", "1"],
    ))
}

/// Writes the configuration of so many reloads later. It differs in the name of a limit, which answers tell.
pub(crate) fn rewrite(setting: &Setting<'_>, reloads: u32) -> anyhow::Result<String> {
    write(setting, reloads, &json!({}))
}

fn write(setting: &Setting<'_>, reloads: u32, more: &Value) -> anyhow::Result<String> {
    let mut routes: Vec<Value> = (0..ROUTES)
        .map(|n| {
            route(
                &format!("service-{n}"),
                &format!("/service-{n}/items/{{id}}"),
                reloads,
            )
        })
        .collect();
    routes.push(route("rest", "/{*rest}", reloads));
    let mut listener = json!({
        "name": "ingress",
        "listen": format!("127.0.0.1:{}", setting.listen),
        "limits": { "connections": IN_FLIGHT },
        "routes": routes,
    });
    if setting.client == Client::Tls {
        listener["tls"] = json!({ "certificate": setting.pair.certificate, "key": setting.pair.key });
    }
    let mut config = json!({
        "listeners": [listener],
        "upstreams": [upstream(setting.origin)],
        "admin": { "listen": format!("127.0.0.1:{}", setting.admin) },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    // JSON is YAML, and the configuration's own reader takes it.
    setting.write(FILE, &format!("{config:#}\n"))
}

fn route(name: &str, path: &str, reloads: u32) -> Value {
    let limit = json!({
        "name": policy_named(reloads),
        "key": ["client-address"],
        "rate": "100000000/s",
    });
    json!({
        "name": name,
        "path": path,
        "upstream": "origin",
        "deadline": { "total": "15s" },
        "retry": "on",
        "rate_limits": [limit],
    })
}

/// The name of the rate limit after so many reloads, as it stands in the header `ratelimit-policy`.
pub(crate) fn policy_named(reloads: u32) -> String {
    format!("plenty-{reloads}")
}

fn upstream(port: u16) -> Value {
    json!({
        "name": "origin",
        "endpoints": [format!("http://127.0.0.1:{port}")],
        "in_flight_max": IN_FLIGHT,
        "retry_budget": { "share": "10%", "burst": 10 },
        "breaker": "on",
        "outlier": "on",
        "health": "off",
    })
}
