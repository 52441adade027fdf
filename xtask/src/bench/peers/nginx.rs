//! nginx: one worker, and as many kept connections to the origin as any case needs.

use super::Peer;
use crate::bench::cases::Client;
use crate::bench::setting::{IN_FLIGHT, Launch, Setting};
use crate::bench::tools::Tools;

pub(super) const PEER: Peer = Peer {
    name: "nginx",
    launch,
    version: &["-v"],
};

fn launch(tools: &Tools, setting: &Setting<'_>) -> anyhow::Result<Launch> {
    let (listen, tls) = match setting.client {
        Client::Http1 => ("", String::new()),
        Client::Tls => (
            " ssl",
            format!(
                "ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {};",
                setting.pair.certificate.display(),
                setting.pair.key.display()
            ),
        ),
        Client::Http2 => (" http2", String::new()),
    };
    let directory = setting.directory.display();
    // Each request takes two connections. Without the two large numbers nginx closes a connection after 1,000
    // requests.
    let text = format!(
        "daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port}{listen};
        {tls}
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
        }}
    }}
}}
",
        connections = 2 * IN_FLIGHT,
        origin = setting.origin,
        port = setting.listen,
    );
    let file = setting.write("nginx.conf", &text)?;
    let prefix = directory.to_string();
    Ok(Launch::new(
        &tools.nginx,
        &["-p", &prefix, "-e", "stderr", "-c", &file],
    ))
}
