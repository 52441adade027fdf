//! What keeps the data plane's picture of the world true: names, health, outliers, certificates, usual times.
//!
//! Each reconciler looks at the world, changes what is out of date and says what it did. It takes no hint about what
//! changed, so running it twice or late does no harm. Whoever owns the gateway decides when they run.

mod health;
pub(crate) mod names;

use std::sync::Arc;
use std::time::Duration;

use crate::gateway::Gateway;
use crate::tls::TlsError;

/// How often names are looked up when no upstream says how often.
const RESOLVE_IDLE: Duration = Duration::from_secs(5);

/// How often to look whether that has changed.
const RESOLVE_LOOK: Duration = Duration::from_secs(1);

/// The share of the cores in use above which answers wait for us rather than we for them.
const IN_USE_MAX: f64 = 0.9;

/// Outcomes that a route must have before its usual times mean anything.
const TIMES_MIN: u64 = 100;

/// Files of TLS that changed, and whether they can be used.
#[derive(Debug)]
pub struct Renewal {
    /// `listener` or `upstream`.
    pub of: &'static str,
    /// Its name.
    pub name: Arc<str>,
    /// Why not, if they cannot.
    pub result: Result<(), TlsError>,
}

impl Gateway {
    /// Looks up the names of every upstream again. Some are looked up at once, and each look-up is bounded.
    pub async fn resolve_names(&self) {
        names::resolve(self.env(), &self.running().upstreams).await;
    }

    /// Looks names up for as long as the gateway lives, as often as the most impatient upstream asks for.
    pub async fn watch_names(&self) {
        let mut looked_up = self.env().now();
        loop {
            // Asked again and again, since a reload may have made the wait shorter.
            let left = (looked_up + self.resolve_interval()).since(self.env().now());
            if left.is_zero() {
                self.resolve_names().await;
                looked_up = self.env().now();
            } else {
                self.env().sleep(left.min(RESOLVE_LOOK)).await;
            }
        }
    }

    fn resolve_interval(&self) -> Duration {
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

    /// Lets time pass for the adaptive limits: to be called a few times a second. `in_use` is the share of the cores
    /// that this process has used since the last time, 0 to 1: what they measure when it is next to all of it is their
    /// own lateness.
    pub fn tick_admission(&self, in_use: f64) {
        let blind = in_use >= IN_USE_MAX;
        self.running()
            .upstreams
            .iter()
            .for_each(|upstream| upstream.state.admission.tick(blind));
    }

    /// Reads certificates and authorities again whose files changed. Returns the listeners and upstreams with new
    /// ones, and those whose files cannot be used, which keep what they have.
    pub fn reload_certificates(&self) -> Vec<Renewal> {
        let running = self.running();
        let renewal = |of, name: &Arc<str>, changed: Result<bool, TlsError>| {
            let result = match changed {
                Ok(false) => return None,
                Ok(true) => Ok(()),
                Err(error) => Err(error),
            };
            let name = Arc::clone(name);
            Some(Renewal { of, name, result })
        };
        let listeners = running
            .listeners
            .iter()
            .filter_map(|listener| renewal("listener", &listener.plan.name, listener.tls.as_ref()?.reload()));
        let upstreams = running
            .upstreams
            .iter()
            .filter_map(|upstream| renewal("upstream", &upstream.plan.name, upstream.tls.as_ref()?.reload()));
        listeners.chain(upstreams).collect()
    }

    /// Tells each route how long its requests usually take, from what the ledger has counted, and how long its first
    /// attempts do where it is hedged.
    pub fn learn_times(&self) {
        let running = self.running();
        let routes = running.listeners.iter().flat_map(|listener| &listener.routes);
        routes
            .filter_map(|route| route.hedging.as_ref())
            .for_each(|hedging| hedging.learn());
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
}
