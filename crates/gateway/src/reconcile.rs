//! What keeps the data plane's picture of the world true: names, health, outliers, certificates, usual times.
//!
//! Each reconciler looks at the world, changes what is out of date and says what it did. It takes no hint about what
//! changed, so running it twice or late does no harm. Whoever owns the gateway decides when they run.

mod health;
pub(crate) mod names;

use std::sync::Arc;
use std::time::Duration;

use crate::gateway::Gateway;

/// How often to look whether there is anything to resolve, when there is nothing.
const RESOLVE_IDLE: Duration = Duration::from_secs(5);

/// Outcomes that a route must have before its usual times mean anything.
const TIMES_MIN: u64 = 100;

impl Gateway {
    /// Looks up the names of every upstream again. Some are looked up at once, and each look-up is bounded.
    pub async fn resolve_names(&self) {
        names::resolve(self.env(), &self.running().upstreams).await;
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
}
