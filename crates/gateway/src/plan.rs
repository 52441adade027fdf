//! What runs, as opposed to what the user wrote.
//!
//! A [`Plan`] is plain, validated data: the binary builds it from `plimsoll.yaml` (or from three flags), the
//! gateway turns it into a [`Running`](crate::running::Running) world, keeping the state of whatever did not
//! change. Names are unique within their kind, and every name that is referred to exists; [`Plan::check`] says so.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use plimsoll_policy::{
    AdaptiveConfig, BalanceConfig, BreakerConfig, BudgetConfig, DeadlineConfig, FaultConfig, HealthConfig,
    HedgeConfig, OutlierConfig, Priority, Quota, RetryConfig, Waits,
};

mod network;
mod objective;
mod split;

pub use self::network::Network;
pub use self::objective::{Good, ObjectivePlan, WalkKey, WalkPlan};
pub use self::split::{Between, SplitPlan};

/// Everything the data plane needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where traffic comes in. At least one.
    pub listeners: Vec<ListenerPlan>,
    /// Where traffic goes.
    pub upstreams: Vec<UpstreamPlan>,
    /// Which of them are two versions of one service; of one upstream, there is one at most.
    pub splits: Vec<SplitPlan>,
    /// How callers are told apart.
    pub callers: CallersPlan,
    /// Which requests leave a trace and a line in the log.
    pub observe: ObservePlan,
    /// What counts for which objective.
    pub objectives: Vec<ObjectivePlan>,
    /// What counts for which figure of the business.
    pub kpis: Vec<ObjectivePlan>,
    /// How much memory the process may hold before new work is refused.
    pub memory: MemoryPlan,
    /// How long a drain may take before what is left is cut off.
    pub drain_max: Duration,
    /// How long a drain leaves connections open for what callers are about to send; no longer than `drain_max`.
    pub drain_idle: Duration,
}

/// A bound on memory. What is read, and when, is the matter of whoever owns the gateway.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MemoryPlan {
    /// None: the kernel decides.
    Off,
    /// A share of what the machine or the control group has, `0.0..=1.0`.
    Share(f64),
    /// So many bytes.
    Bytes(u64),
}

impl Default for MemoryPlan {
    fn default() -> Self {
        Self::Share(0.8)
    }
}

/// An address that traffic is accepted on.
#[derive(Clone, Debug)]
pub struct ListenerPlan {
    /// Unique among listeners; a label.
    pub name: Arc<str>,
    /// In front of a service, or for a service's calls to its dependencies.
    pub direction: Direction,
    /// Where to listen.
    pub address: ListenAddress,
    /// Terminate TLS with this; `None` is cleartext.
    pub tls: Option<TlsServerPlan>,
    /// Peers whose `X-Forwarded-*`, deadline, attempt and fault headers are believed.
    pub trust: Vec<Network>,
    /// Bounds on what a peer may send.
    pub limits: LimitsPlan,
    /// In the order of the file; matching takes the most specific, whatever the order.
    pub routes: Vec<RoutePlan>,
}

/// Which way a listener's traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From callers to a service of ours.
    Ingress,
    /// From a service of ours to something that it depends on.
    Egress,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An IP address and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket at this path, replaced if nobody listens on it.
    Unix(PathBuf),
}

impl std::fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Server-side TLS: files, so that a renewed certificate is picked up without a restart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsServerPlan {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// Ask for client certificates signed by these PEM authorities.
    pub client_ca: Option<PathBuf>,
    /// With `client_ca`: refuse a peer that shows none.
    pub client_required: bool,
}

/// Client-side TLS, to an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct TlsClientPlan {
    /// Authorities to trust instead of the built-in web roots.
    pub ca: Option<PathBuf>,
    /// Our own certificate chain and key, for mutual TLS.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Name to ask for and verify instead of the endpoint's host.
    pub server_name: Option<String>,
}

/// Bounds on one listener. See the book, "Request limits", for how each is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsPlan {
    /// Connections held at once, over all cores.
    pub connections: u32,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Header fields of a request.
    pub headers: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
    /// Bytes of a request's body, unless the route says otherwise.
    pub body_bytes: u64,
    /// Time for a whole head to arrive once its first byte has, and for a TLS handshake.
    pub head_time: Duration,
    /// A connection without a request is closed after this.
    pub idle_time: Duration,
    /// Slowest upload that is borne, in bytes per second over [`LimitsPlan::pace_grace`].
    pub upload_rate_min: u64,
    /// How long an upload may be slower than that.
    pub pace_grace: Duration,
    /// Silence after which a stream (either direction) is cut.
    pub stream_idle: Duration,
    /// HTTP/2 streams that one connection may have open.
    pub streams: u32,
}

impl Default for LimitsPlan {
    fn default() -> Self {
        Self {
            connections: 10_000,
            head_bytes: 64 << 10,
            headers: 100,
            target_bytes: 8 << 10,
            body_bytes: 10 << 20,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_mins(1),
            upload_rate_min: 500,
            pace_grace: Duration::from_secs(10),
            stream_idle: Duration::from_mins(5),
            streams: 128,
        }
    }
}

/// Method, host and path that are judged and protected as one.
#[derive(Clone, Debug)]
pub struct RoutePlan {
    /// Unique within the listener; the label in every metric.
    pub name: Arc<str>,
    /// Methods it takes; empty is any.
    pub methods: Vec<Method>,
    /// Hosts it answers to, `*.example.com` for any one label and more; empty is any.
    pub hosts: Vec<String>,
    /// Path template: `/orders/{id}`, `/static/{*rest}`.
    pub path: String,
    /// Name of the upstream it leads to.
    pub upstream: Arc<str>,
    /// Deadlines.
    pub deadline: DeadlineConfig,
    /// Retries; `None` is never.
    pub retry: Option<RetryConfig>,
    /// Hedging; `None` is never.
    pub hedge: Option<HedgeConfig>,
    /// Rate limits, all of which must admit.
    pub rates: Vec<RatePlan>,
    /// Faults to inject.
    pub fault: Option<FaultConfig>,
    /// Body limit of this route, over the listener's.
    pub body_bytes: Option<u64>,
    /// How much its requests matter, unless the caller says otherwise.
    pub priority: Priority,
}

/// One rate limit of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct RatePlan {
    /// Name in the `RateLimit` header, in metrics and in logs. Limits of the same name share their counts.
    pub name: Arc<str>,
    /// What a caller is told apart by; empty is one count for all.
    pub key: Vec<KeyPart>,
    /// The quota of a key.
    pub quota: Quota,
    /// Quotas by tier, instead of `quota`.
    pub by_tier: Vec<(Arc<str>, Quota)>,
    /// Keys remembered at once: 17 bytes each.
    pub keys_max: usize,
}

/// What a rate limit's key is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyPart {
    /// The tenant, by [`CallersPlan::tenant_header`].
    Tenant,
    /// The tier.
    Tier,
    /// The route.
    Route,
    /// A request header.
    Header(HeaderName),
    /// The caller's address, after the trust list; IPv6 by its /64.
    ClientAddress,
}

/// How callers are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallersPlan {
    /// Header that names the tier; believed as it stands, so it must be set by something in front that checks.
    pub tier_header: Option<HeaderName>,
    /// Declared tiers, at most 8. A request that names none of them has the tier `other`.
    pub tiers: Vec<Arc<str>>,
    /// Header that names the tenant.
    pub tenant_header: Option<HeaderName>,
    /// Header that says how much a request matters. Anyone may lower what the route says; only a trusted peer may
    /// raise it.
    pub priority_header: Option<HeaderName>,
}

impl Default for CallersPlan {
    fn default() -> Self {
        Self {
            tier_header: None,
            tiers: Vec::new(),
            tenant_header: Some(HeaderName::from_static("x-tenant")),
            priority_header: Some(HeaderName::from_static("x-priority")),
        }
    }
}

/// Which requests leave a trace and a line in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservePlan {
    /// Share of good, quick requests that are traced, `0.0..=1.0`. Bad and slow ones always are.
    pub trace_share: f64,
    /// Slower than this is slow.
    pub slow: Duration,
    /// Log good requests as well as the others.
    pub log_good: bool,
    /// Watch how many callers each route blames.
    pub client_errors: bool,
}

impl Default for ObservePlan {
    fn default() -> Self {
        Self {
            trace_share: 0.01,
            slow: Duration::from_secs(1),
            log_good: false,
            client_errors: true,
        }
    }
}

/// What a route leads to.
#[derive(Clone, Debug)]
pub struct UpstreamPlan {
    /// Unique among upstreams; a label.
    pub name: Arc<str>,
    /// Version label of its endpoints; `stable` until there are others.
    pub version: Arc<str>,
    /// At least one.
    pub endpoints: Vec<EndpointPlan>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Speak TLS with this; `None` is cleartext.
    pub tls: Option<TlsClientPlan>,
    /// Send the endpoint's authority as `Host` instead of passing on the caller's.
    pub rewrite_host: bool,
    /// Time to make a connection, TLS included.
    pub connect_max: Duration,
    /// Requests in flight at once, over all cores.
    pub in_flight_max: u32,
    /// A limit on what is at work that follows what the upstream can do; `None` is off.
    pub adaptive: Option<AdaptivePlan>,
    /// The budget that retries and hedges share.
    pub budget: BudgetConfig,
    /// Circuit breaker; `None` is off.
    pub breaker: Option<BreakerConfig>,
    /// Outlier ejection; `None` is off.
    pub outlier: Option<OutlierConfig>,
    /// Balancing.
    pub balance: BalanceConfig,
    /// Active health checks; `None` is off.
    pub health: Option<HealthConfig>,
    /// How often names are looked up again.
    pub resolve_every: Duration,
    /// Idle connections kept, per endpoint and core.
    pub idle_max: usize,
    /// How long an idle connection is kept.
    pub idle_time: Duration,
}

impl UpstreamPlan {
    /// An upstream with the defaults for everything but its name and endpoints.
    pub fn new(name: &str, endpoints: Vec<EndpointPlan>) -> Self {
        Self {
            name: name.into(),
            version: "stable".into(),
            endpoints,
            protocol: Protocol::Http1,
            tls: None,
            rewrite_host: false,
            connect_max: Duration::from_secs(1),
            in_flight_max: 1024,
            adaptive: Some(AdaptivePlan::default()),
            budget: BudgetConfig::default(),
            breaker: Some(BreakerConfig::default()),
            outlier: Some(OutlierConfig::default()),
            balance: BalanceConfig::default(),
            health: None,
            resolve_every: Duration::from_secs(5),
            idle_max: 512,
            idle_time: Duration::from_secs(30),
        }
    }
}

/// How the adaptive limit of an upstream behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptivePlan {
    /// The lowest limit.
    pub min: u32,
    /// The highest; without it, [`UpstreamPlan::in_flight_max`].
    pub max: Option<u32>,
    /// How long a request waits for a slot at most; in overload less.
    pub wait: Duration,
}

impl Default for AdaptivePlan {
    fn default() -> Self {
        Self {
            min: AdaptiveConfig::default().min,
            max: None,
            wait: Waits::default().calm,
        }
    }
}

/// One address, or name that leads to several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EndpointPlan {
    /// Host (a name or an IP address) and port.
    Host(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by ALPN over TLS, by prior knowledge in cleartext.
    Http2,
    /// Over TLS what ALPN chooses; in cleartext HTTP/2 for gRPC requests and HTTP/1.1 for the rest.
    Auto,
}

/// What [`Plan::check`] found: one line per problem, in words for the person who wrote the configuration.
#[derive(Debug, thiserror::Error)]
#[error("the plan does not hold together: {}", .0.join("; "))]
pub struct PlanError(pub Vec<String>);

impl Plan {
    /// A gateway in front of one upstream, with the defaults for everything: what `plimsoll run --upstream` runs.
    pub fn in_front_of(listen: SocketAddr, upstream: UpstreamPlan) -> Self {
        let route = RoutePlan {
            name: "default".into(),
            methods: Vec::new(),
            hosts: Vec::new(),
            path: "/{*rest}".to_owned(),
            upstream: Arc::clone(&upstream.name),
            deadline: DeadlineConfig::default(),
            retry: Some(RetryConfig::default()),
            hedge: None,
            rates: Vec::new(),
            fault: None,
            body_bytes: None,
            priority: Priority::Normal,
        };
        let listener = ListenerPlan {
            name: "ingress".into(),
            direction: Direction::Ingress,
            address: ListenAddress::Tcp(listen),
            tls: None,
            trust: Network::loopback(),
            limits: LimitsPlan::default(),
            routes: vec![route],
        };
        Self {
            listeners: vec![listener],
            upstreams: vec![upstream],
            splits: Vec::new(),
            callers: CallersPlan::default(),
            observe: ObservePlan::default(),
            objectives: Vec::new(),
            kpis: Vec::new(),
            memory: MemoryPlan::default(),
            drain_max: Duration::from_secs(30),
            drain_idle: Duration::from_secs(2),
        }
    }

    /// Checks what the types cannot: unique names, references that lead somewhere, routes that do not clash.
    ///
    /// # Errors
    /// [`PlanError`] with every problem found.
    pub fn check(&self) -> Result<(), PlanError> {
        let mut problems = Vec::new();
        unique("listener", self.listeners.iter().map(|l| &l.name), &mut problems);
        unique("upstream", self.upstreams.iter().map(|u| &u.name), &mut problems);
        unique(
            "objective",
            self.objectives.iter().chain(&self.kpis).map(|o| &o.name),
            &mut problems,
        );
        problems.extend(
            self.objectives
                .iter()
                .chain(&self.kpis)
                .flat_map(|objective| self.astray(objective)),
        );
        unique(
            "split of upstream",
            self.splits.iter().filter_map(|split| Some(split.versions()?.0)),
            &mut problems,
        );
        for split in &self.splits {
            for name in split.upstreams() {
                if !self.upstreams.iter().any(|upstream| upstream.name == *name) {
                    problems.push(format!(
                        "the split of {} is of unknown upstream {name}",
                        split.change
                    ));
                }
            }
        }
        if self.listeners.is_empty() {
            problems.push("there is no listener".to_owned());
        }
        for upstream in self.upstreams.iter().filter(|u| u.endpoints.is_empty()) {
            problems.push(format!("upstream {} has no endpoint", upstream.name));
        }
        for listener in &self.listeners {
            unique("route", listener.routes.iter().map(|r| &r.name), &mut problems);
            for route in &listener.routes {
                if !self.upstreams.iter().any(|u| u.name == route.upstream) {
                    problems.push(format!(
                        "route {} leads to unknown upstream {}",
                        route.name, route.upstream
                    ));
                }
            }
            if let Err(error) = crate::route::RouteTable::build(&listener.routes) {
                problems.push(error.to_string());
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(PlanError(problems))
        }
    }

    /// What an objective refers to and is not there.
    fn astray(&self, objective: &ObjectivePlan) -> impl Iterator<Item = String> {
        let is_route = |(listener, route): &(Arc<str>, Arc<str>)| {
            let mut named = self.listeners.iter().filter(|l| l.name == *listener);
            named.any(|listener| listener.routes.iter().any(|r| r.name == *route))
        };
        let routes = objective.routes.iter().filter(|route| !is_route(route));
        let tier = objective
            .tier
            .iter()
            .filter(|tier| &***tier != crate::identity::OTHER && !self.callers.tiers.contains(tier));
        let routes = routes.map(|(listener, route)| format!("route {route} of listener {listener}"));
        routes
            .chain(tier.map(|tier| format!("tier {tier}")))
            .map(|what| format!("objective {} counts unknown {what}", objective.name))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

fn unique<'a>(kind: &str, names: impl Iterator<Item = &'a Arc<str>>, problems: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            problems.push(format!("two {kind}s are called {name}"));
        }
    }
}
