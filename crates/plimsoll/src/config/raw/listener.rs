//! Listeners: where traffic comes in, and what is borne from peers.

use std::path::PathBuf;
use std::time::Duration;

use super::route::Route;
use crate::config::read::At;
use crate::config::stanza::{stanza, words};
use crate::config::value::address::{Cidr, Listen};
use crate::config::value::quantity::Size;
use crate::config::value::word::Name;

stanza! {
    /// An address that traffic is accepted on.
    Listener {
        /// Unique among listeners; a label in metrics and logs.
        name: Name;
        /// Address and port, or `unix:` and a path.
        listen: Listen;
        /// In front of a service, or for its calls to others.
        direction: Direction = "ingress";
        /// Terminate TLS here. Without it, cleartext.
        tls: Option<TlsServer> = "null";
        /// Peers whose `X-Forwarded-*`, deadline, attempt and fault headers are believed.
        trust: Vec<Cidr> = "[127.0.0.0/8, \"::1/128\"]";
        /// Bounds on what a peer may send.
        limits: Limits = "{}";
        /// What is served here. With none, and exactly one upstream, everything goes there.
        routes: Vec<At<Route>> = "[]";
    }
}

words! {
    /// Which way traffic goes.
    Direction {
        /// From callers to a service of yours.
        Ingress = "ingress",
        /// From a service of yours to something that it depends on.
        Egress = "egress",
    }
}

stanza! {
    /// TLS towards callers. Files are read again when they change.
    TlsServer {
        /// PEM file with the certificate chain, leaf first.
        certificate: PathBuf;
        /// PEM file with the private key.
        key: PathBuf;
        /// PEM file with authorities: ask for client certificates that they signed.
        client_ca: Option<PathBuf> = "null";
        /// With `client_ca`: refuse a peer that shows no certificate.
        client_required: bool = "false";
    }
}

stanza! {
    /// Bounds on what a peer may send.
    Limits {
        /// Connections held at once, over all cores.
        connections: u32 = "10000", from "1" to "10000000";
        /// A request's head, all headers together.
        head: Size = "64KiB", from "1KiB" to "1MiB";
        /// Header fields of a request.
        headers: usize = "100", from "1" to "1000";
        /// The request target: path and query.
        target: Size = "8KiB", from "64B" to "64KiB";
        /// A request's body, unless its route says otherwise.
        body: Size = "10MiB";
        /// Time for a whole head to arrive once its first byte has, and for a TLS handshake.
        head_time: Duration = "10s", from "100ms" to "5m";
        /// A connection without a request is closed after this.
        idle_time: Duration = "1m", from "1s" to "1d";
        /// The slowest upload that is borne, in bytes per second; 0 bears any.
        upload_rate_min: Size = "500B";
        /// How long an upload may be slower than that.
        pace_grace: Duration = "10s", from "1s" to "10m";
        /// Silence after which a stream is cut, in either direction.
        stream_idle: Duration = "5m", from "1s" to "1d";
        /// HTTP/2 streams that one connection may have open.
        streams: u32 = "128", from "1" to "10000";
    }
}
