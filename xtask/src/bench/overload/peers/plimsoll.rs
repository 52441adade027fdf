//! Ours, as it is without tuning: it is told where things are, how long callers wait, which header names the
//! priority, and what to ask endpoints for their health.

use serde_json::{Value, json};

use super::{PATIENCE, Peer, Retrying, Site};
use crate::bench::overload::Programs;
use crate::bench::overload::service::HEALTH;
use crate::bench::setting::Launch;

pub(super) const PEER: Peer = Peer {
    name: super::OURS,
    launch: Some(launch),
    version: &["--version"],
};

fn launch(programs: &Programs, site: &Site<'_>) -> anyhow::Result<Launch> {
    // JSON is YAML, and the configuration's own reader takes it.
    let file = site.write("plimsoll.yaml", &format!("{:#}\n", config(site)))?;
    Ok(Launch::new(
        &programs.plimsoll,
        &["run", "--config", &file, "--cores", "1"],
    ))
}

fn config(site: &Site<'_>) -> Value {
    let route = |name, path, upstream| json!({ "name": name, "path": path, "upstream": upstream, "deadline": { "total": PATIENCE } });
    let mut listeners = vec![json!({
        "name": "ingress",
        "listen": format!("127.0.0.1:{}", site.listen),
        "routes": [route("alone", "/alone/{id}", "service"), route("joined", "/joined/{id}", "service")],
    })];
    let mut service = json!({
        "name": "service",
        "endpoints": site.endpoints(),
        "health": { "path": HEALTH, "interval": "2s" },
    });
    if let Retrying::Alone(percent) = site.retrying {
        service["retry_budget"] = json!({ "share": format!("{percent}%") });
        service["breaker"] = json!("off");
        service["health"] = json!("off");
    }
    let mut upstreams = vec![service];
    if let Some(dependency) = site.dependency {
        listeners.push(json!({
            "name": "egress",
            "listen": format!("127.0.0.1:{}", site.egress),
            "direction": "egress",
            "routes": [route("stock", "/stock", "dependency")],
        }));
        upstreams.push(json!({
            "name": "dependency",
            "endpoints": [format!("http://127.0.0.1:{dependency}")],
            "health": { "path": HEALTH, "interval": "2s" },
        }));
    }
    json!({
        "listeners": listeners,
        "upstreams": upstreams,
        "admin": { "listen": format!("127.0.0.1:{}", site.admin) },
    })
}
