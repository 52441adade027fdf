//! What keeps the data plane's picture of the world true: names, health, outliers, certificates, usual times.
//!
//! Each reconciler looks at the world, changes what is out of date and says what it did. It takes no hint about what
//! changed, so running it twice or late does no harm. Whoever owns the gateway decides when they run.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{Request, header};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use plimsoll_policy::{Health, HealthChange, HealthConfig};

use crate::env::Env;
use crate::gateway::Gateway;
use crate::plan::Protocol;
use crate::upstream::{Address, Endpoint, Upstream};

/// How often to look whether there is anything to resolve, when there is nothing.
const RESOLVE_IDLE: Duration = Duration::from_secs(5);

/// Outcomes that a route must have before its usual times mean anything.
const TIMES_MIN: u64 = 100;

impl Gateway {
    /// Looks up the names of every upstream again. Upstreams are looked up one after the other; each look-up is
    /// bounded.
    pub async fn resolve_names(&self) {
        for upstream in &self.running().upstreams {
            upstream.resolve(self.env()).await;
        }
    }

    /// How long to wait between two look-ups: what the most impatient upstream asks for.
    pub fn resolve_interval(&self) -> Duration {
        let running = self.running();
        let intervals = running
            .upstreams
            .iter()
            .map(|upstream| upstream.plan.resolve_every);
        intervals
            .min()
            .unwrap_or(RESOLVE_IDLE)
            .max(Duration::from_millis(100))
    }

    /// Ejects outliers and restores those whose time is up.
    pub fn sweep_outliers(&self) {
        self.running()
            .upstreams
            .iter()
            .for_each(|upstream| upstream.sweep_outliers(self.env()));
    }

    /// Reads certificates again whose files changed. Returns the listeners with a new one, and those whose files
    /// cannot be used, which keep the one they have.
    pub fn reload_certificates(&self) -> Vec<(Arc<str>, Result<(), crate::TlsError>)> {
        let running = self.running();
        let changed = running.listeners.iter().filter_map(|listener| {
            let name = Arc::clone(&listener.plan.name);
            match listener.tls.as_ref()?.reload() {
                Ok(false) => None,
                Ok(true) => Some((name, Ok(()))),
                Err(error) => Some((name, Err(error))),
            }
        });
        changed.collect()
    }

    /// Tells each route how long its requests usually take, from what the ledger has counted.
    pub fn learn_times(&self) {
        let running = self.running();
        for (key, tally) in self.ledger().snapshot() {
            let routes = running
                .listeners
                .iter()
                .filter(|l| l.plan.name == key.listener)
                .flat_map(|l| &l.routes);
            for route in routes.filter(|route| route.plan.name == key.route) {
                if tally.latency.count() >= TIMES_MIN {
                    route
                        .times
                        .set(tally.latency.quantile(0.5), tally.latency.quantile(0.999));
                }
            }
        }
    }

    /// Runs active health checks for as long as the gateway lives: one task per upstream that has them, which
    /// follows reloads by itself.
    pub async fn check_health(&self) {
        let mut states: std::collections::HashMap<u64, (Health, plimsoll_slo::Instant)> =
            std::collections::HashMap::default();
        let mut dice = self.env().dice();
        loop {
            let now = self.env().now();
            let running = self.running();
            for upstream in &running.upstreams {
                let endpoints = upstream.state.endpoints();
                let Some(config) = &upstream.plan.health else {
                    endpoints
                        .iter()
                        .for_each(|endpoint| endpoint.healthy.store(true, Relaxed));
                    continue;
                };
                for endpoint in endpoints.iter() {
                    let (health, due) = states
                        .entry(endpoint.id)
                        .or_insert_with(|| (Health::new(true), now));
                    if *due > now {
                        continue;
                    }
                    let ok = probe(self.env(), upstream, endpoint, config).await;
                    match health.report(ok, config) {
                        HealthChange::Up => endpoint.healthy.store(true, Relaxed),
                        HealthChange::Down => endpoint.healthy.store(false, Relaxed),
                        HealthChange::None => {}
                    }
                    *due = self.env().now() + health.next_in(config, &mut dice);
                }
            }
            states.retain(|id, _| {
                running
                    .upstreams
                    .iter()
                    .any(|upstream| upstream.state.endpoints().iter().any(|e| e.id == *id))
            });
            self.env().sleep(HEALTH_LOOK).await;
        }
    }
}

/// How often the health checker looks whether a check is due.
const HEALTH_LOOK: Duration = Duration::from_millis(100);

/// One health check: a GET on a connection of its own, answered as expected within the time.
async fn probe(env: &Env, upstream: &Upstream, endpoint: &Endpoint, config: &HealthConfig) -> bool {
    tokio::time::timeout(config.timeout, ask(env, upstream, endpoint, config))
        .await
        .is_ok_and(|ok| ok == Some(true))
}

async fn ask(env: &Env, upstream: &Upstream, endpoint: &Endpoint, config: &HealthConfig) -> Option<bool> {
    let stream = match &endpoint.address {
        Address::Tcp(address) => env.connect(*address).await.ok()?,
        Address::Unix(path) => env.connect_unix(path).await.ok()?,
    };
    let (stream, chose_http2) = match &upstream.tls {
        None => (stream, false),
        Some(tls) => tls.connect(stream, &endpoint.host).await.ok()?,
    };
    let request = Request::builder().header(header::USER_AGENT, "plimsoll-health");
    let status = if chose_http2 || upstream.plan.protocol == Protocol::Http2 {
        let uri = format!("http://{}{}", endpoint.authority.to_str().ok()?, config.path);
        let request = request.uri(uri).body(Empty::<bytes::Bytes>::new()).ok()?;
        let executor = Control(env.clone());
        let (mut sender, connection) = http2::handshake(executor, TokioIo::new(stream)).await.ok()?;
        let answered = async move {
            sender
                .send_request(request)
                .await
                .ok()
                .map(|answer| answer.status())
        };
        tokio::select! {
            biased;
            status = answered => status?,
            _ = connection => return None,
        }
    } else {
        let request = request
            .uri(&config.path)
            .header(header::HOST, &endpoint.authority);
        let request = request.body(Empty::<bytes::Bytes>::new()).ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        let answered = async move {
            sender
                .send_request(request)
                .await
                .ok()
                .map(|answer| answer.status())
        };
        tokio::select! {
            biased;
            status = answered => status?,
            _ = connection => return None,
        }
    };
    Some(config.expects(status.as_u16()))
}

/// Spawns on the control runtime.
#[derive(Clone)]
struct Control(Env);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Control {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
