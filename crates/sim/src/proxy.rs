//! The gateway under test, on a simulated host: the real one, with the reconcilers that its owner would run.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway::env::Env;
use gateway::event::Event;
use gateway::plan::{AdaptivePlan, EndpointPlan, Network, Plan, Protocol, UpstreamPlan};
use gateway::{Gateway, Phase as Serving};
use plimsoll_policy::{
    BreakerConfig, BudgetConfig, DeadlineConfig, Dice, FaultAction, FaultConfig, FaultRule, HealthConfig,
    OutlierConfig, RetryConfig,
};
use plimsoll_slo::TallySnapshot;

use crate::endpoint;
use crate::swarm::{
    CONNECT_MAX, ENDPOINTS, GATEWAY, HEAD_TIME, IDLE_TIME, OPEN_MAX, PACE_GRACE, RAMP_STEP, STREAM_IDLE,
    SWEEP, Swarm, gap, stream,
};
use crate::trace::{Note, Recorder, Told, What};
use crate::world::{EPOCH, Simulated};

/// The port that the gateway listens on.
pub(crate) const PORT: u16 = 8080;
/// How often readings are taken.
const READ_EVERY: Duration = Duration::from_millis(20);

/// What the gateway said of itself at one moment, or at most.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Requests that hold a permit of the bulkhead.
    pub in_flight: u32,
    /// Requests that hold a slot of the adaptive limit.
    pub busy: u32,
    /// Those that wait for one.
    pub waiting: u32,
    /// What requests usually take the endpoints; at least, where the rest is at most.
    pub usual: Option<Duration>,
    /// Attempts under way, over all endpoints.
    pub pending: u32,
    /// Probes of the breaker that are out.
    pub probes: u32,
    /// Connections of callers.
    pub connections_in: u32,
    /// Connections to the endpoint that has most.
    pub connections_out: u32,
    /// Connections that were one too many.
    pub turned_away: u64,
    /// Events that found the queue full.
    pub events_dropped: u64,
    /// The breaker does not pass everything.
    pub tripped: bool,
    /// What is counted so far.
    pub ledger: TallySnapshot,
}

/// The readings of a run.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// The highest of each.
    pub most: Reading,
    /// The last ones.
    pub last: Reading,
}

/// The gateway and what watches over it.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) swarm: Rc<Swarm>,
    pub(crate) recorder: Recorder,
    pub(crate) readings: Rc<RefCell<Readings>>,
    pub(crate) world: Simulated,
}

impl Proxy {
    /// Runs the gateway for as long as the host is up.
    pub(crate) async fn run(self) -> turmoil::Result {
        let env = Env::simulated(self.swarm.seed, Arc::new(self.world.clone()));
        let (gateway, seats, mut events) = Gateway::build(env, plan(&self.swarm, 0), 1).await?;
        for seat in seats {
            tokio::task::spawn_local(seat.run());
        }
        reconcile(&gateway);
        let recorder = self.recorder.clone();
        tokio::task::spawn_local(async move {
            while let Some(event) = events.recv().await {
                recorder.record(GATEWAY, What::Told(Box::new(told(&event))));
            }
        });
        if self.swarm.faults.reloads {
            tokio::task::spawn_local(self.clone().reload(gateway.clone()));
        }
        loop {
            tokio::time::sleep(READ_EVERY).await;
            self.read(&gateway);
        }
    }

    fn read(&self, gateway: &Gateway) {
        let now = gateway.env().now();
        let mut reading = Reading {
            events_dropped: gateway.events_dropped(),
            ..Reading::default()
        };
        for upstream in &gateway.running().upstreams {
            reading.in_flight += upstream.state.bulkhead().0;
            let admission = upstream.state.admission();
            reading.busy += admission.busy;
            reading.waiting += admission.waiting;
            reading.usual = admission.usual;
            reading.probes += upstream.state.breaker_probes();
            reading.tripped |= upstream.state.breaker_state(now) != plimsoll_policy::BreakerState::Passing;
            for endpoint in upstream.state.endpoints().iter() {
                let endpoint = endpoint.reading(now);
                reading.pending += endpoint.pending;
                reading.connections_out = reading.connections_out.max(endpoint.connections);
            }
        }
        for (_, open, _, refused) in gateway.connections() {
            reading.connections_in += open;
            reading.turned_away += refused;
        }
        let mut readings = self.readings.borrow_mut();
        let most = &mut readings.most;
        most.in_flight = most.in_flight.max(reading.in_flight);
        most.waiting = most.waiting.max(reading.waiting);
        most.usual = [most.usual, reading.usual].into_iter().flatten().min();
        most.pending = most.pending.max(reading.pending);
        most.probes = most.probes.max(reading.probes);
        most.connections_in = most.connections_in.max(reading.connections_in);
        most.connections_out = most.connections_out.max(reading.connections_out);
        most.events_dropped = reading.events_dropped;
        for (_, tally) in gateway.ledger().snapshot() {
            reading.ledger.merge(&tally);
        }
        readings.last = reading;
    }

    /// Applies plans that differ a little, and the first one when the storm is over.
    async fn reload(self, gateway: Gateway) {
        let mut dice = stream(self.swarm.seed, "reload");
        while *gateway.phase().borrow() == Serving::Serving {
            tokio::time::sleep(gap(&mut dice, 0.5)).await;
            let over = turmoil::sim_elapsed().unwrap_or_default() >= self.swarm.storm;
            let change = if over { 0 } else { 1 + dice.below(3) };
            let applied = gateway.apply(plan(&self.swarm, change)).await.is_ok();
            self.recorder.record(
                GATEWAY,
                What::Weather(format!("reload change={change} applied={applied}")),
            );
            if over {
                return;
            }
        }
    }
}

/// Runs the reconcilers as the binary does.
fn reconcile(gateway: &Gateway) {
    let (names, sweeps, times, health) = (gateway.clone(), gateway.clone(), gateway.clone(), gateway.clone());
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            names.resolve_names().await;
        }
    });
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(SWEEP).await;
            sweeps.sweep_outliers();
        }
    });
    let ticks = gateway.clone();
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            ticks.tick_admission(0.0);
        }
    });
    tokio::task::spawn_local(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            times.learn_times();
        }
    });
    tokio::task::spawn_local(async move { health.check_health().await });
}

/// The plan of a seed; `change` other than 0 is a variant that a reload brings.
fn plan(swarm: &Swarm, change: u64) -> Plan {
    let setup = &swarm.setup;
    let upstream = upstream(swarm, change);
    let mut plan = Plan::in_front_of(SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)), upstream);
    plan.observe.log_good = true;
    let listener = &mut plan.listeners[0];
    // The clients stand for trusted proxies: their deadlines and attempts are believed.
    listener.trust = vec![Network {
        address: Ipv4Addr::UNSPECIFIED.into(),
        prefix: 0,
    }];
    let limits = &mut listener.limits;
    limits.connections = setup.connections_max;
    limits.head_time = HEAD_TIME;
    limits.idle_time = IDLE_TIME;
    limits.pace_grace = PACE_GRACE;
    limits.stream_idle = STREAM_IDLE;
    let route = &mut listener.routes[0];
    route.deadline = DeadlineConfig {
        total: setup.total,
        per_try: setup.per_try,
        ..DeadlineConfig::default()
    };
    route.retry = Some(RetryConfig {
        retries_max: setup.retries_max,
        ..RetryConfig::default()
    });
    route.hedge = setup.hedge;
    route.fault = Some(FaultConfig {
        rules: vec![FaultRule {
            share: 1.0,
            by_header: Some("late".to_owned()),
            action: FaultAction::Delay(setup.total * 2),
        }],
    });
    plan
}

fn upstream(swarm: &Swarm, change: u64) -> UpstreamPlan {
    let setup = &swarm.setup;
    let endpoints = ENDPOINTS[..swarm.endpoints]
        .iter()
        .map(|name| EndpointPlan::Host((*name).to_owned(), endpoint::PORT));
    let mut upstream = UpstreamPlan::new("things", endpoints.collect());
    upstream.protocol = if swarm.http2_back {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    upstream.connect_max = CONNECT_MAX;
    upstream.in_flight_max = if change == 1 {
        setup.in_flight_max / 2
    } else {
        setup.in_flight_max
    };
    if let Some(slots) = setup.slots {
        upstream.adaptive = Some(AdaptivePlan {
            max: Some(slots),
            ..AdaptivePlan::default()
        });
    }
    upstream.budget = BudgetConfig {
        share: if change == 2 {
            setup.share / 2.0
        } else {
            setup.share
        },
        burst: setup.burst,
    };
    upstream.breaker = setup.breaker.then(|| BreakerConfig {
        open_base: Duration::from_millis(250),
        open_max: OPEN_MAX,
        ramp_step: RAMP_STEP,
        probe_timeout: setup.total + PACE_GRACE,
        ..BreakerConfig::default()
    });
    upstream.outlier = (setup.outlier && change != 3).then(|| OutlierConfig {
        eject_base: OPEN_MAX / 4,
        eject_max: OPEN_MAX,
        ..OutlierConfig::default()
    });
    upstream.health = setup.health.then(|| HealthConfig {
        interval: Duration::from_millis(500),
        timeout: Duration::from_millis(300),
        ..HealthConfig::default()
    });
    upstream.idle_time = IDLE_TIME;
    upstream
}

fn told(event: &Event) -> Told {
    let notes = event.attempts.iter().map(|note| Note {
        endpoint: note.endpoint.to_string(),
        after: note.after,
        took: note.took,
        end: match (note.status, note.reason) {
            (Some(status), _) => status.to_string(),
            (None, Some(reason)) => reason.code().to_owned(),
            (None, None) => if note.cancelled { "cancelled" } else { "-" }.to_owned(),
        },
        hedge: note.hedge,
    });
    Told {
        id: event.request_id.parse().unwrap_or(u32::MAX),
        status: event.status,
        class: event.outcome.class,
        began: event.began.saturating_sub(EPOCH),
        latency: event.outcome.latency,
        first_byte: event.outcome.first_byte,
        attempts: event.outcome.attempts,
        notes: notes.collect(),
        rest: format!(
            "route={} trace={:x}/{:x} stopped={} cause={:?}",
            event.route,
            event.trace.trace_id,
            event.trace.span_id,
            event.retry_stopped.unwrap_or("-"),
            event.cause.as_deref().unwrap_or("-"),
        ),
    }
}
