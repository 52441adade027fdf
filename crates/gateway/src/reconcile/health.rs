//! Active health checks: when each endpoint is asked, and what its answer changes.
//!
//! Checks run side by side, so that an endpoint that does not answer delays no other. Which one is due is looked up
//! in the plan that runs, so reloads are followed: a check that is switched off, or given other times, is so at once.

mod grpc;
mod probe;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use plimsoll_policy::{Health, HealthChange, SeededDice};
use plimsoll_slo::Instant;

use crate::abreast::Abreast;
use crate::env::Env;
use crate::gateway::Gateway;
use crate::running::Running;
use crate::upstream::{Endpoint, Upstream};

/// How often the health checker looks whether a check is due.
const HEALTH_LOOK: Duration = Duration::from_millis(100);

/// Checks at once: each is a connection of its own. With as many endpoints silent for the default second, still 320
/// are asked in the default interval.
const CHECKS_MAX: usize = 64;

/// The longest that a wait may be beyond its interval, by the policy's own jitter.
const JITTER_MAX: f64 = 1.1;

/// What is known of one endpoint.
#[derive(Debug)]
struct Checked {
    health: Health,
    /// When it is asked next.
    due: Instant,
    /// It is being asked now.
    asked: bool,
}

/// An endpoint with what its check needs.
type Target = (Arc<Upstream>, Arc<Endpoint>);

impl Gateway {
    /// Runs active health checks for as long as the gateway lives.
    pub async fn check_health(&self) {
        let mut checker = Checker {
            env: self.env().clone(),
            known: BTreeMap::new(),
            dice: self.env().dice(),
        };
        let mut checks = Abreast::new();
        loop {
            let mut due = checker.due(&self.running());
            due.truncate(CHECKS_MAX - checks.len());
            for target in due {
                checks.begin(checker.ask(target));
            }
            tokio::select! {
                biased;
                Some((target, ok)) = checks.next() => checker.take(&target, ok),
                () = self.env().sleep(HEALTH_LOOK) => {}
            }
        }
    }
}

/// Decides who is asked, and remembers what was answered.
#[derive(Debug)]
struct Checker {
    env: Env,
    /// By the endpoint's id.
    known: BTreeMap<u64, Checked>,
    dice: SeededDice,
}

impl Checker {
    /// Who is to be asked now, those first who have waited longest.
    fn due(&mut self, running: &Running) -> Vec<Target> {
        let now = self.env.now();
        let mut due = Vec::new();
        let mut checked = Vec::new();
        for upstream in &running.upstreams {
            let endpoints = upstream.state.endpoints();
            let Some(config) = &upstream.plan.health else {
                endpoints
                    .iter()
                    .for_each(|endpoint| endpoint.healthy.store(true, Relaxed));
                continue;
            };
            for endpoint in endpoints.iter() {
                checked.push(endpoint.id);
                let known = self.known.entry(endpoint.id).or_insert_with(|| {
                    let health = Health::new(true);
                    Checked {
                        due: now + health.next_in(config, &mut self.dice),
                        health,
                        asked: false,
                    }
                });
                // A reload may have made the interval shorter than the wait that began under the old one.
                known.due = known.due.min(now + config.interval.mul_f64(JITTER_MAX));
                if known.due <= now && !known.asked {
                    due.push((known.due, (Arc::clone(upstream), Arc::clone(endpoint))));
                }
            }
        }
        // An endpoint that is checked no more is forgotten: should it be again, it begins as one that is up.
        checked.sort_unstable();
        self.known.retain(|id, _| checked.binary_search(id).is_ok());
        due.sort_by_key(|(since, _)| *since);
        due.into_iter().map(|(_, target)| target).collect()
    }

    /// The check of one endpoint.
    fn ask(&mut self, target: Target) -> impl Future<Output = (Target, bool)> + Send + use<> {
        let (_, endpoint) = &target;
        if let Some(known) = self.known.get_mut(&endpoint.id) {
            known.asked = true;
        }
        let env = self.env.clone();
        async move {
            let (upstream, endpoint) = &target;
            let ok = match &upstream.plan.health {
                Some(config) => probe::probe(&env, upstream, endpoint, config).await,
                None => true,
            };
            (target, ok)
        }
    }

    /// Takes in what came of a check, unless nobody asks for it any more.
    fn take(&mut self, (upstream, endpoint): &Target, ok: bool) {
        let (Some(known), Some(config)) = (self.known.get_mut(&endpoint.id), &upstream.plan.health) else {
            return;
        };
        known.asked = false;
        match known.health.report(ok, config) {
            HealthChange::Up => endpoint.healthy.store(true, Relaxed),
            HealthChange::Down => endpoint.healthy.store(false, Relaxed),
            HealthChange::None => {}
        }
        known.due = self.env.now() + known.health.next_in(config, &mut self.dice);
    }
}
