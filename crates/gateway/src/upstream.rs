//! What all cores share of an upstream: its endpoints and the state of its policies.
//!
//! The pure policies sit behind short mutexes and atomics here. A lock is held for one decision (tens of
//! nanoseconds) and never across an await.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use plimsoll_policy::{Breaker, BreakerState, Bulkhead, HostSample, OutlierAction, Outliers, RetryBudget};
use plimsoll_slo::{Histogram, Instant};

use crate::admission::{Admission, AdmissionReading};
use crate::env::Env;
use crate::plan::{EndpointPlan, UpstreamPlan};
use crate::reconcile::names;
use crate::tls;
use crate::versioned::Versioned;

/// An upstream as one plan has it. The state behind it outlives plans.
#[derive(Debug)]
pub struct Upstream {
    /// What was asked for.
    pub plan: UpstreamPlan,
    /// What has happened so far.
    pub state: Arc<UpstreamState>,
    pub(crate) tls: Option<tls::Connector>,
    pub(crate) budget: Arc<RetryBudget>,
}

/// The part of an upstream that a reload keeps.
#[derive(Debug)]
pub struct UpstreamState {
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) bulkhead: Arc<Bulkhead>,
    pub(crate) admission: Arc<Admission>,
    outliers: Mutex<Outliers>,
    /// Nanoseconds on the monotonic clock.
    swept_at: AtomicU64,
    endpoints: Versioned<Vec<Arc<Endpoint>>>,
    /// Why the last look-up of its names failed; empty when it did not.
    resolve_error: Mutex<String>,
    cores: usize,
}

/// One address of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    /// Stable for as long as the endpoint is known.
    pub id: u64,
    /// Where it is.
    pub address: Address,
    /// What goes into `Host` when it is rewritten.
    pub(crate) authority: HeaderValue,
    /// The name it was found by, for TLS.
    pub(crate) host: String,
    /// When it was first known, for slow start.
    pub(crate) since: Instant,
    /// By active health checks; up until they say otherwise.
    pub(crate) healthy: AtomicBool,
    /// Nanoseconds on the monotonic clock until which it is ejected; 0 when it is not.
    pub(crate) ejected_until: AtomicU64,
    /// One row per core.
    pub(crate) counts: Vec<EndpointCounts>,
    /// From sending an attempt to the head of its answer.
    pub latency: Histogram,
    /// Attempts and failures as the last outlier sweep saw them.
    swept_attempts: AtomicU64,
    swept_failures: AtomicU64,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What one core counted of an endpoint. Aligned so that two cores never write the same cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EndpointCounts {
    pub(crate) attempts: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// Failures since this core's last success.
    pub(crate) consecutive: AtomicU32,
    pub(crate) pending: AtomicU32,
    pub(crate) connections: AtomicU32,
}

/// A reading of an endpoint, for status and metrics.
#[derive(Clone, Debug)]
pub struct EndpointReading {
    /// Where it is.
    pub address: String,
    /// By active health checks.
    pub healthy: bool,
    /// By outlier ejection.
    pub ejected: bool,
    /// Attempts sent.
    pub attempts: u64,
    /// Attempts that failed by the endpoint's fault.
    pub failures: u64,
    /// Attempts under way.
    pub pending: u32,
    /// Open connections.
    pub connections: u32,
}

impl Endpoint {
    /// Whether it may be chosen.
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        self.healthy.load(Relaxed) && self.ejected_until.load(Relaxed) <= now.as_nanos()
    }

    fn total(&self, count: impl Fn(&EndpointCounts) -> u64) -> u64 {
        self.counts.iter().map(count).sum()
    }

    /// The longest run of failures that any core sees.
    fn consecutive(&self) -> u32 {
        self.counts
            .iter()
            .map(|c| c.consecutive.load(Relaxed))
            .max()
            .unwrap_or(0)
    }

    /// What it did since the last sweep.
    fn sample(&self) -> HostSample {
        let attempts = self.total(|c| c.attempts.load(Relaxed));
        let failures = self.total(|c| c.failures.load(Relaxed)).min(attempts);
        let failed = failures.saturating_sub(self.swept_failures.swap(failures, Relaxed));
        let ended = attempts.saturating_sub(self.swept_attempts.swap(attempts, Relaxed));
        HostSample {
            host: self.id,
            succeeded: ended.saturating_sub(failed),
            failed,
            consecutive_failures: self.consecutive(),
        }
    }

    /// A reading for people and metrics.
    pub fn reading(&self, now: Instant) -> EndpointReading {
        EndpointReading {
            address: self.address.to_string(),
            healthy: self.healthy.load(Relaxed),
            ejected: self.ejected_until.load(Relaxed) > now.as_nanos(),
            attempts: self.total(|c| c.attempts.load(Relaxed)),
            failures: self.total(|c| c.failures.load(Relaxed)),
            pending: self.total(|c| c.pending.load(Relaxed).into()) as u32,
            connections: self.total(|c| c.connections.load(Relaxed).into()) as u32,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A decision cannot panic half-way through a state change that matters more than going on.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Upstream {
    /// Builds an upstream for a plan, keeping the state of the one it replaces.
    ///
    /// # Errors
    /// A certificate or key of its TLS plan cannot be used.
    pub(crate) fn build(
        plan: UpstreamPlan,
        env: &Env,
        cores: usize,
        old: Option<&Self>,
    ) -> Result<Self, tls::TlsError> {
        let tls = plan
            .tls
            .as_ref()
            .map(|tls| tls::Connector::build(tls, plan.protocol))
            .transpose()?;
        let budget = old.map_or_else(
            || Arc::new(RetryBudget::new(&plan.budget)),
            |old| Arc::clone(&old.budget),
        );
        let state = old.map_or_else(
            || Arc::new(UpstreamState::new(&plan, env, cores)),
            |old| Arc::clone(&old.state),
        );
        Ok(Self {
            plan,
            state,
            tls,
            budget,
        })
    }

    /// Has the state that outlives plans go by this one from now on.
    pub(crate) fn take_over(&self) {
        self.state.configure(&self.plan);
        self.budget.configure(&self.plan.budget);
    }

    /// Retries that the budget could pay for now.
    pub fn retry_tokens(&self) -> f64 {
        self.budget.balance()
    }

    /// Takes over what was found at each of its endpoints, in their order. Endpoints that stay keep their state. When
    /// a name could not be looked up its last known addresses stay, since an old address is better than none.
    pub(crate) fn take_found(&self, env: &Env, answers: Vec<names::Found>) {
        let known = self.state.endpoints();
        let mut found: Vec<Arc<Endpoint>> = Vec::new();
        let mut error = String::new();
        for (index, (endpoint, addresses)) in self.plan.endpoints.iter().zip(answers).enumerate() {
            let (host, authority) = host_of(endpoint);
            match addresses {
                Ok(addresses) => {
                    for address in addresses {
                        let kept = known.iter().find(|e| e.address == address && e.host == host);
                        let endpoint = kept.map_or_else(
                            || {
                                let (host, authority) = (host.clone(), authority.clone());
                                let first = known.is_empty();
                                Arc::new(self.state.endpoint(env, address, host, authority, first))
                            },
                            Arc::clone,
                        );
                        if !found.iter().any(|e| e.id == endpoint.id) {
                            found.push(endpoint);
                        }
                    }
                }
                Err(cause) => {
                    error = format!("endpoint {index} ({host}): {cause}");
                    found.extend(known.iter().filter(|e| e.host == host).cloned());
                }
            }
        }
        *lock(&self.state.resolve_error) = error;
        if found.len() != known.len() || found.iter().zip(known.iter()).any(|(a, b)| a.id != b.id) {
            self.state.endpoints.store(Arc::new(found));
        }
    }

    /// Ejects and restores endpoints by what they did since the last sweep.
    ///
    /// To be called often: it sweeps when the interval is over, or at once when an endpoint has failed so often in a
    /// row that it need not be waited for.
    pub fn sweep_outliers(&self, env: &Env) {
        let Some(config) = &self.plan.outlier else { return };
        let endpoints = self.state.endpoints();
        let now = env.now();
        let due = now >= Instant::from_nanos(self.state.swept_at.load(Relaxed)) + config.interval;
        let struck = |e: &Arc<Endpoint>| e.is_usable(now) && e.consecutive() >= config.consecutive;
        if !due && (config.consecutive == 0 || !endpoints.iter().any(struck)) {
            return;
        }
        self.state.swept_at.store(now.as_nanos(), Relaxed);
        let mut outliers = lock(&self.state.outliers);
        let samples: Vec<HostSample> = endpoints.iter().map(|endpoint| endpoint.sample()).collect();
        for change in outliers.sweep(now, &samples, &mut env.dice()) {
            let Some(endpoint) = endpoints.iter().find(|e| e.id == change.host) else {
                continue;
            };
            let until = match change.action {
                OutlierAction::Eject { until, .. } => until.as_nanos(),
                OutlierAction::Restore => 0,
            };
            endpoint.ejected_until.store(until, Relaxed);
            endpoint
                .counts
                .iter()
                .for_each(|c| c.consecutive.store(0, Relaxed));
        }
    }
}

/// The host for TLS, and what goes into `Host`.
fn host_of(endpoint: &EndpointPlan) -> (String, HeaderValue) {
    match endpoint {
        EndpointPlan::Unix(_) => ("localhost".to_owned(), HeaderValue::from_static("localhost")),
        EndpointPlan::Host(host, port) => {
            let bracketed = if host.contains(':') && !host.starts_with('[') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            };
            let authority = HeaderValue::from_str(&bracketed);
            (
                host.clone(),
                authority.unwrap_or(HeaderValue::from_static("invalid")),
            )
        }
    }
}

/// Numbers endpoints over the whole process, so that a new one is never taken for an old one.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl UpstreamState {
    fn new(plan: &UpstreamPlan, env: &Env, cores: usize) -> Self {
        Self {
            breaker: Mutex::new(Breaker::new(plan.breaker.unwrap_or_default())),
            bulkhead: Arc::new(Bulkhead::new(plan.in_flight_max)),
            admission: Arc::new(Admission::new(env, plan)),
            outliers: Mutex::new(Outliers::new(plan.outlier.unwrap_or_default())),
            swept_at: AtomicU64::new(0),
            endpoints: Versioned::new(Vec::new()),
            resolve_error: Mutex::default(),
            cores,
        }
    }

    fn configure(&self, plan: &UpstreamPlan) {
        self.bulkhead.set_max(plan.in_flight_max);
        self.admission.configure(plan);
        if let Some(config) = &plan.breaker {
            lock(&self.breaker).set_config(*config);
        }
        if let Some(config) = &plan.outlier {
            lock(&self.outliers).set_config(*config);
        } else {
            self.endpoints()
                .iter()
                .for_each(|e| e.ejected_until.store(0, Relaxed));
        }
    }

    fn endpoint(
        &self,
        env: &Env,
        address: Address,
        host: String,
        authority: HeaderValue,
        first: bool,
    ) -> Endpoint {
        Endpoint {
            id: NEXT_ID.fetch_add(1, Relaxed),
            address,
            authority,
            host,
            // The endpoints of a fresh start are all equally new: nobody is spared.
            since: if first { Instant::ORIGIN } else { env.now() },
            healthy: AtomicBool::new(true),
            ejected_until: AtomicU64::new(0),
            counts: (0..self.cores).map(|_| EndpointCounts::default()).collect(),
            latency: Histogram::default(),
            swept_attempts: AtomicU64::new(0),
            swept_failures: AtomicU64::new(0),
        }
    }

    /// The endpoints as they are known now.
    pub fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load().1
    }

    pub(crate) fn endpoints_versioned(&self) -> &Versioned<Vec<Arc<Endpoint>>> {
        &self.endpoints
    }

    /// Why the last look-up failed; empty when it did not.
    pub fn resolve_error(&self) -> String {
        lock(&self.resolve_error).clone()
    }

    /// The adaptive limit, and what waits or was shed for it.
    pub fn admission(&self) -> AdmissionReading {
        self.admission.reading()
    }

    /// The state of the breaker.
    pub fn breaker_state(&self, now: Instant) -> BreakerState {
        lock(&self.breaker).state(now)
    }

    /// Probes of the breaker that are out.
    pub fn breaker_probes(&self) -> u32 {
        lock(&self.breaker).probes_in_flight()
    }

    /// How often the breaker tripped.
    pub fn breaker_trips(&self) -> u64 {
        lock(&self.breaker).trips()
    }

    /// Requests in flight, the most that may be, and how many were refused for it.
    pub fn bulkhead(&self) -> (u32, u32, u64) {
        (
            self.bulkhead.in_flight(),
            self.bulkhead.max(),
            self.bulkhead.refused(),
        )
    }

    /// Requests in flight as a share of what may be, by the bulkhead or by the adaptive limit, whichever is nearer:
    /// 1.0 is full.
    pub(crate) fn load(&self) -> f64 {
        let bulkhead = f64::from(self.bulkhead.in_flight()) / f64::from(self.bulkhead.max().max(1));
        bulkhead.max(self.admission.load())
    }

    pub(crate) fn lock_breaker(&self) -> MutexGuard<'_, Breaker> {
        lock(&self.breaker)
    }
}
