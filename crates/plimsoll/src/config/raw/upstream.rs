//! Upstreams: what routes lead to, and how they are guarded.

use std::path::PathBuf;
use std::time::Duration;

use super::driver::Driver;
use crate::config::read::At;
use crate::config::stanza::{stanza, words};
use crate::config::value::Switch;
use crate::config::value::address::Endpoint;
use crate::config::value::quantity::Ratio;
use crate::config::value::word::{Name, StatusRange, UrlPath};

stanza! {
    /// What a route leads to: a service of yours, or something that it depends on.
    Upstream {
        /// Unique among upstreams; a label in metrics and logs.
        name: Name;
        /// Label of what these endpoints run.
        version: Name = "stable";
        /// Where it is found: `http://host:port`, `https://host`, `unix:/path`. A name may lead to several addresses.
        endpoints: Vec<At<Endpoint>>;
        /// What starts and stops its versions.
        driver: Option<Driver> = "null";
        /// What is spoken.
        protocol: Protocol = "http1";
        /// How `https` endpoints are verified.
        tls: Option<TlsClient> = "null";
        /// Send the endpoint's name as `Host` instead of passing on the caller's.
        rewrite_host: bool = "false";
        /// Time to make a connection, TLS included.
        connect_max: Duration = "1s", from "1ms" to "1m";
        /// Requests in flight at once, over all cores; more are refused.
        in_flight_max: u32 = "1024", from "1" to "1000000";
        /// Follow what the upstream can do: of the requests beyond that some wait shortly, the important first, and the rest is shed.
        adaptive: Switch<Adaptive> = "on";
        /// The budget that all retries to this upstream share.
        retry_budget: RetryBudget = "{}";
        /// Stop sending for a while when most requests fail.
        breaker: Switch<Breaker> = "on";
        /// Leave out endpoints that do worse than the others.
        outlier: Switch<Outlier> = "on";
        /// How an endpoint is chosen.
        balance: Balance = "{}";
        /// Ask endpoints whether they are well.
        health: Switch<Health> = "off";
        /// How often names are looked up again.
        resolve_every: Duration = "5s", from "100ms" to "1h";
        /// Idle connections kept, for each endpoint and core.
        idle_max: usize = "512", from "0" to "100000";
        /// How long an idle connection is kept. Shorter than the service's own limit, or it closes what is being used.
        idle_time: Duration = "30s", from "0s" to "1h";
    }
}

words! {
    /// What is spoken to an upstream.
    Protocol {
        /// HTTP/1.1.
        Http1 = "http1",
        /// HTTP/2: by ALPN over TLS, by prior knowledge in cleartext.
        Http2 = "http2",
        /// Over TLS what ALPN chooses; in cleartext HTTP/2 for gRPC and HTTP/1.1 for the rest.
        Auto = "auto",
    }
}

stanza! {
    /// TLS towards an upstream. Files are read again when they change.
    TlsClient {
        /// PEM file with authorities to trust instead of the public ones.
        ca: Option<PathBuf> = "null";
        /// PEM file with our own certificate chain, for mutual TLS; needs `key`.
        certificate: Option<PathBuf> = "null";
        /// PEM file with its private key.
        key: Option<PathBuf> = "null";
        /// Name to ask for and verify instead of the endpoint's host.
        server_name: Option<String> = "null";
    }
}

stanza! {
    /// A limit on what is at work in an upstream that follows what the upstream can do. It is found out from the traffic, and does not bind unless requests wait inside the upstream.
    Adaptive {
        /// The lowest limit.
        min: u32 = "2", from "1" to "1000000";
        /// The highest. Without it, `in_flight_max`.
        max: Option<u32> = "null", from "1" to "1000000";
        /// How long a request waits for its turn at most. In overload it is less: three quarters of what requests usually take, but for the critical.
        wait: Duration = "100ms", from "0s" to "10s";
    }
}

stanza! {
    /// How many retries an upstream is given on top of its requests.
    RetryBudget {
        /// Retries as a share of requests.
        share: Ratio = "10%";
        /// Retries that can be saved up, and so be granted at once; 0 turns retries off.
        burst: u32 = "10", from "0" to "10000";
    }
}

stanza! {
    /// A circuit breaker: it stops sending to an upstream that fails, and lets it recover.
    Breaker {
        /// Share of failures in the last ten seconds that trips it.
        failure_rate: Ratio = "50%", from "1%" to "100%";
        /// With fewer requests in the last ten seconds, the share is taken as though there were so many.
        requests_min: u32 = "20", from "1" to "1000000";
        /// Failures in a row that trip it, whatever the share; 0 turns this off.
        consecutive: u32 = "0", from "0" to "1000000";
        /// How long it stays tripped the first time; twice as long each time after.
        open_base: Duration = "1s", from "10ms" to "10m";
        /// The longest that it stays tripped.
        open_max: Duration = "2s", from "10ms" to "1h";
        /// Requests in flight at once while it tries whether the upstream is back.
        probes_max: u32 = "1", from "1" to "1000";
        /// How long each step back to full traffic takes at least.
        ramp_step: Duration = "500ms", from "0s" to "10m";
        /// When a probe that has not come back is given up. Should be longer than a try may take.
        probe_timeout: Duration = "10s", from "10ms" to "10m";
    }
}

stanza! {
    /// Ejection of endpoints that do worse than the others. A part of them always stays.
    Outlier {
        /// Failures in a row that eject an endpoint; 0 turns this off.
        consecutive: u32 = "5", from "0" to "1000000";
        /// How often endpoints are compared.
        interval: Duration = "10s", from "100ms" to "10m";
        /// How long the first ejection lasts; later ones last longer.
        eject_base: Duration = "30s", from "100ms" to "1h";
        /// The longest that an ejection lasts.
        eject_max: Duration = "5m", from "100ms" to "1d";
        /// Standard deviations below the mean success rate at which an endpoint is an outlier.
        success_rate_stdev: f64 = "1.9", from "0.1" to "100";
        /// Endpoints with enough requests that it takes to compare them.
        success_rate_hosts_min: u32 = "5", from "2" to "100000";
        /// Requests since the last comparison that are enough.
        success_rate_requests_min: u64 = "100", from "1" to "1000000000";
        /// Share of failures that ejects an endpoint which cannot be compared.
        failure_rate: Ratio = "85%", from "1%" to "100%";
        /// Requests since the last comparison that it takes for that.
        failure_rate_requests_min: u64 = "20", from "1" to "1000000000";
    }
}

stanza! {
    /// The better of two endpoints, by answer time and requests in flight.
    Balance {
        /// How fast old answer times are forgotten.
        tau: Duration = "10s", from "100ms" to "10m";
        /// The answer time that an endpoint is given until one was measured.
        default_rtt: Duration = "30ms", from "1ms" to "1m";
        /// How long a new endpoint is given less than its share; `0s` is not at all.
        slow_start: Duration = "10s", from "0s" to "1h";
        /// Share of its share that a new endpoint begins with.
        slow_start_floor: Ratio = "10%", from "1%" to "100%";
    }
}

stanza! {
    /// Active health checks.
    Health {
        /// Time between two checks of an endpoint.
        interval: Duration = "5s", from "100ms" to "1h";
        /// Time that an answer may take.
        timeout: Duration = "1s", from "10ms" to "5m";
        /// Good answers in a row that bring an endpoint back.
        rise: u32 = "2", from "1" to "100";
        /// Bad answers in a row that take it out.
        fall: u32 = "3", from "1" to "100";
        /// What is asked for.
        path: UrlPath = "/";
        /// Statuses that mean it is well.
        expect: StatusRange = "200-399";
        /// Ask by the gRPC health checking protocol instead; `SERVING` means it is well.
        grpc: Switch<GrpcHealth> = "off";
    }
}

stanza! {
    /// Health checks by `grpc.health.v1.Health/Check`.
    GrpcHealth {
        /// The service that is asked about; without it, the server as a whole.
        service: Option<String> = "null";
    }
}
