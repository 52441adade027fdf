//! What the user may write: every stanza of `plimsoll.yaml`, its keys, their defaults and bounds.
//!
//! The comments here are the reference: they become the descriptions in the JSON Schema, the comments in the file
//! that `plimsoll init --full` writes, and the tables in the book. So they are written for operators.

pub(crate) mod admin;
pub(crate) mod alerts;
pub(crate) mod kpi;
pub(crate) mod listener;
pub(crate) mod route;
pub(crate) mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::stanza::{stanza, words};
use super::value::address::Endpoint;
use super::value::outside::Link;
use super::value::quantity::{MemoryBound, Ratio, TargetShare};
use super::value::time::WindowWord;
use super::value::word::{DatabaseAddress, EnvName, Name, StateFile};
use crate::config::read::At;
use admin::Admin;
use alerts::Alerts;
use kpi::Kpi;
use listener::Listener;
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
    /// An objective: which requests are to be good, and how many of them.
    Objective {
        /// A name of its own: a label, and what alerts call it.
        name: Name;
        /// The share of these requests that is to be good.
        target: TargetShare;
        /// Routes whose requests count; none for all routes of all ingress listeners.
        routes: Vec<At<Name>> = "[]";
        /// The tier whose requests count, `other` for those that name none; absent for all of them.
        tier: Option<Name> = "null";
        /// A good answer whose last byte takes longer than this is bad.
        latency: Option<Duration> = "null", from "1ms" to "1h";
        /// Where its events are seen. Those of any other place than `gateway` come by `POST /api/v1/outcomes`, and no request counts.
        vantage: Vantage = "gateway";
        /// The time in which it is to be met: the last so much, or a period of the calendar, which begins anew with each `day`, `week` (on Mondays), `month`, `quarter` or `year`.
        window: WindowWord = "30d";
        /// How many of those make a period of the calendar: with `window: week`, 2 is a fortnight.
        window_count: u32 = "1", from "1" to "366";
        /// When one of the periods of the calendar begins, if not as people are used to.
        window_begins: Option<DateTime> = "null";
        /// Where it is midnight when a period of the calendar begins.
        zone: TimeZone = "UTC";
        /// What a budget is spent by.
        budget: Spending = "occurrences";
        /// How long a slice of time is: whole minutes.
        slice: Duration = "1m", from "1m" to "1d";
        /// The share of requests in a slice that makes it a good one, for `timeslices`.
        slice_target: Option<TargetShare> = "null";
        /// What a slice is in which nothing happened, though it was measured.
        empty_slice: EmptySlice = "unknown";
        /// Where it is written down what to do when it calls somebody. It goes with every alert.
        runbook: Option<Link> = "null";
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

words! {
    /// Where events are seen, which is a part of what an objective means.
    Vantage {
        /// Here, by the requests that pass.
        Gateway = "gateway",
        /// Where people are: browsers, probes.
        Edge = "edge",
        /// Inside the service.
        Service = "service",
        /// By a job: a batch, a consumer, a report.
        Job = "job",
        /// Where data is kept: how fresh, how right it is.
        Database = "database",
    }
}

impl Vantage {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Edge => "edge",
            Self::Service => "service",
            Self::Job => "job",
            Self::Database => "database",
        }
    }
}

words! {
    /// What a budget is spent by.
    Spending {
        /// By bad requests: each counts alike.
        Occurrences = "occurrences",
        /// By bad slices of time: each counts alike, however much happened in it.
        Timeslices = "timeslices",
        /// By the shares of bad requests in slices of time: each slice counts alike.
        RatioTimeslices = "ratio-timeslices",
    }
}

words! {
    /// What a slice is in which nothing happened.
    EmptySlice {
        /// Nobody knows: it lowers coverage.
        Unknown = "unknown",
        /// Good: nobody was hurt.
        Good = "good",
        /// None at all: the budget is that of the other slices.
        Skipped = "skipped",
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
