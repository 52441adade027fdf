//! HAProxy: one thread, connections to the origin shared by all clients.

use super::Peer;
use crate::bench::cases::Client;
use crate::bench::setting::{IN_FLIGHT, Launch, Setting};
use crate::bench::tools::Tools;

pub(super) const PEER: Peer = Peer {
    name: "haproxy",
    launch,
    version: &["-v"],
};

fn launch(tools: &Tools, setting: &Setting<'_>) -> anyhow::Result<Launch> {
    let bind = match setting.client {
        Client::Http1 => String::new(),
        Client::Tls => format!(" ssl crt {} ssl-min-ver TLSv1.3", setting.pair.both.display()),
        Client::Http2 => " proto h2".to_owned(),
    };
    let text = format!(
        "global
    nbthread 1
    maxconn {IN_FLIGHT}
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 15s
frontend ingress
    bind 127.0.0.1:{listen}{bind}
    default_backend origin
backend origin
    http-reuse always
    server origin 127.0.0.1:{origin}
",
        listen = setting.listen,
        origin = setting.origin,
    );
    let file = setting.write("haproxy.cfg", &text)?;
    // `-db`: stay in the foreground, as one process.
    Ok(Launch::new(&tools.haproxy, &["-db", "-f", &file]))
}
