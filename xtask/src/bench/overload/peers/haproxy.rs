//! HAProxy, by an owner who knows how many requests the service works on at once, which HAProxy has to be told.
//!
//! No more than that go to an endpoint (`maxconn`); the others wait in a queue, for at most 75 ms, and critical
//! requests go first. With 100 ms the 99th percentile came out a little above twice the unloaded one, which is what is
//! asked of all; 75 ms keep every worker busy as well.

use super::{PATIENCE, Peer, Site};
use crate::bench::overload::Programs;
use crate::bench::overload::service::HEALTH;
use crate::bench::setting::Launch;

pub(super) const PEER: Peer = Peer {
    name: "haproxy",
    launch: Some(launch),
    version: &["-v"],
};

/// Callers at once: two descriptors for each stay below the usual limit on open files.
const CONNECTIONS: usize = 9_000;

fn launch(programs: &Programs, site: &Site<'_>) -> anyhow::Result<Launch> {
    let file = site.write("haproxy.cfg", &config(site))?;
    // `-db`: stay in the foreground, as one process.
    Ok(Launch::new(&programs.haproxy, &["-db", "-f", &file]))
}

fn config(site: &Site<'_>) -> String {
    let servers: Vec<String> = site
        .services
        .iter()
        .enumerate()
        .map(|(at, port)| {
            let workers = site.workers;
            format!(
                "    server service-{at} 127.0.0.1:{port} maxconn {workers} check inter 2s fall 3 rise 2\n"
            )
        })
        .collect();
    let egress = site.dependency.map_or_else(String::new, |port| {
        format!(
            "frontend egress
    bind 127.0.0.1:{egress}
    default_backend dependency
backend dependency
    http-reuse always
    option httpchk GET {HEALTH}
    server dependency 127.0.0.1:{port} check inter 2s fall 3 rise 2
",
            egress = site.egress,
        )
    });
    format!(
        "global
    nbthread 1
    maxconn {CONNECTIONS}
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout http-keep-alive 60s
    timeout server {PATIENCE}
    timeout queue 75ms
    timeout check 1s
    retries 3
    option redispatch 1
frontend ingress
    bind 127.0.0.1:{listen}
    http-request set-priority-class int(-100) if {{ req.hdr(x-priority) critical }}
    http-request set-priority-class int(100) if {{ req.hdr(x-priority) sheddable }}
    default_backend service
backend service
    balance leastconn
    http-reuse always
    option httpchk GET {HEALTH}
{servers}{egress}",
        listen = site.listen,
        servers = servers.concat(),
    )
}
