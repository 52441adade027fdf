//! What the user may write: every stanza of `plimsoll.yaml`, its keys, their defaults and bounds.
//!
//! The comments here are the reference: they become the descriptions in the JSON Schema, the comments in the file
//! that `plimsoll init --full` writes, and the tables in the book. So they are written for operators.

pub(crate) mod admin;
pub(crate) mod alerts;
pub(crate) mod changes;
pub(crate) mod driver;
pub(crate) mod flags;
pub(crate) mod kpi;
pub(crate) mod listener;
pub(crate) mod objective;
pub(crate) mod route;
pub(crate) mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::stanza::{stanza, words};
use super::value::address::Endpoint;
use super::value::quantity::{MemoryBound, Ratio};
use super::value::word::{DatabaseAddress, EnvName, Name, StateFile};
use crate::config::read::At;
use admin::Admin;
use alerts::Alerts;
use changes::Changes;
use flags::Flags;
use kpi::Kpi;
use listener::Listener;
use objective::Objective;
use upstream::Upstream;

stanza! {
    /// Everything that Plimsoll is told.
    TopLevel {
        /// Where traffic comes in.
        listeners: Vec<Listener>;
        /// Where traffic goes.
        upstreams: Vec<Upstream>;
        /// How callers are told apart.
        callers: Callers = "{}";
        /// Which requests leave a trace and a line in the log.
        observe: Observe = "{}";
        /// What is asked of the services, and judged twice a second.
        objectives: Vec<Objective> = "[]";
        /// Figures of the business, of which a fall is told.
        kpis: Vec<Kpi> = "[]";
        /// Who is told when an objective calls somebody.
        alerts: Alerts = "{}";
        /// What may be risked, by what is left of a budget.
        budget_policy: BudgetPolicy = "{}";
        /// How versions are rolled out.
        changes: Changes = "{}";
        /// Flags that services ask for.
        flags: Flags = "{}";
        /// What outlives a restart.
        state: State = "{}";
        /// The port for operators: metrics, state, the dashboard.
        admin: Admin = "{}";
        /// Where Plimsoll's own logs and traces go.
        telemetry: Telemetry = "{}";
        /// Bounds on the process as a whole.
        limits: ProcessLimits = "{}";
        /// How long a drain may take before what is left is cut off.
        drain_max: Duration = "30s", from "0s" to "1h";
        /// How long a drain leaves connections open for what callers are about to send: one more request of HTTP/1,
        /// streams of HTTP/2 that cross the GOAWAY.
        drain_idle: Duration = "2s", from "0s" to "1h";
        /// How long a new process may take to be ready in an upgrade, before it is ended and the old one serves on.
        upgrade_max: Duration = "30s", from "1s" to "5m";
        /// Threads that carry traffic, one to a core; 0 takes every core.
        cores: usize = "0", from "0" to "1024";
    }
}

stanza! {
    /// What may be risked, by what is left of a budget. Reducing a risk is always allowed.
    BudgetPolicy {
        /// With less than this share left it is `careful`: smaller steps.
        careful: Ratio = "50%";
        /// With less than this share left it is `restricted`: a second person for what is risky, and no drills.
        restricted: Ratio = "25%";
        /// With this share or less left it is `frozen`: nothing but repairs.
        frozen: Ratio = "0%";
    }
}

stanza! {
    /// What outlives a restart.
    State {
        /// File that what objectives have counted is kept in, made if there is none. `auto` is one that is called like the configuration, with `.state` for `.yaml`, in the directory that a supervisor has given (`STATE_DIRECTORY`) or beside it; a relative path begins there as well. `off` keeps nothing, and so does a gateway that was configured by flags.
        file: StateFile = "auto";
        /// Postgres database that several gateways share instead of a file, so that all of them judge what all of them counted: `postgres://plimsoll@db.example/plimsoll`. Everything is in its schema `plimsoll`. What leaves this machine is spoken by TLS, unless the address says `?sslmode=disable`.
        database: Option<DatabaseAddress> = "null";
        /// File with the database's password.
        password_file: Option<PathBuf> = "null";
        /// Environment variable with that password.
        password_env: Option<EnvName> = "null";
        /// How the database is verified. Its name is that in the address.
        tls: Option<OutboundTls> = "null";
    }
}

stanza! {
    /// Bounds on the process as a whole.
    ProcessLimits {
        /// Memory that may be held before new work is refused: a share of what the machine or the control group has, or a size.
        memory: MemoryBound = "80%";
    }
}

stanza! {
    /// How callers are told apart.
    Callers {
        /// Header that names the tier of a request. It is believed as it stands, so something in front must check it.
        tier_header: Option<HeaderName> = "null";
        /// Tiers there are, at most 8. A request that names none of them has the tier `other`.
        tiers: Vec<At<Name>> = "[]";
        /// Header that names the tenant of a request.
        tenant_header: HeaderName = "x-tenant";
        /// Header by which a caller says how much a request matters: `critical`, `normal` or `sheddable`. Only peers in the listener's `trust` may say that it matters more than its route does.
        priority_header: HeaderName = "x-priority";
    }
}

stanza! {
    /// Which requests leave a trace and a line in the log.
    Observe {
        /// Share of good, quick requests that are traced. Bad and slow ones always are.
        trace_share: Ratio = "1%";
        /// A request that takes longer is slow.
        slow: Duration = "1s", from "1ms" to "1h";
        /// Log good requests too, not only bad and slow ones.
        log_good: bool = "false";
        /// Watch how much of what each route answers are client errors (4xx), and open a ticket when that is far more than in the day before.
        client_errors: bool = "true";
    }
}

stanza! {
    /// Where Plimsoll's own logs and traces go.
    Telemetry {
        /// Send traces and metrics to a collector by OTLP over HTTP.
        otlp: Option<Otlp> = "null";
        /// The log, on standard output.
        log: Log = "{}";
    }
}

stanza! {
    /// A collector that takes OTLP over HTTP.
    Otlp {
        /// Where it is, `http` or `https`; `/v1/traces` and `/v1/metrics` are added.
        endpoint: Endpoint;
        /// How an `https` endpoint is verified.
        tls: Option<OutboundTls> = "null";
        /// How often metrics are sent, and how long a span may wait for others to go with.
        send_every: Duration = "10s", from "1s" to "5m";
        /// Send metrics, not only traces.
        metrics: bool = "true";
        /// Environment variable with headers to send, as `name=value,name=value`.
        headers_env: Option<EnvName> = "null";
    }
}

stanza! {
    /// TLS towards whoever is sent something. The collector's files are read at the start.
    OutboundTls {
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
    /// The log.
    Log {
        /// How a line is written.
        format: LogFormat = "json";
        /// The least that is logged.
        level: LogLevel = "info";
    }
}

words! {
    /// How a line of the log is written.
    LogFormat {
        /// One JSON object to a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
}

words! {
    /// How much is logged.
    LogLevel {
        /// What needs a person.
        Error = "error",
        /// What may soon need one.
        Warn = "warn",
        /// What happened.
        Info = "info",
        /// What was decided, and why.
        Debug = "debug",
    }
}
