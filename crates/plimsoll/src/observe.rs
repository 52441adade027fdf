//! Takes a [`Reading`] of the gateway: the only place that knows both sides.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use gateway::objectives::WalkReading;
use gateway::upstream::Upstream;
use gateway::{Gateway, Phase as GatewayPhase};
use plimsoll_slo::FreshnessReading;

use crate::instance::Parts;
use crate::reading::{
    AlertReading, EndpointReading, IncidentReading, ListenerReading, Phase, Reading, RecordReading,
    UpstreamReading,
};
use crate::record::State;
use crate::record::alerts::Alert;
use crate::record::incidents::Incident;

/// What the admin side may know of the data plane now.
pub(crate) fn read(parts: &Parts) -> Reading {
    let gateway = &parts.gateway;
    let judging = parts.judging.lock().unwrap_or_else(PoisonError::into_inner);
    Reading {
        now: gateway.env().now(),
        wall: gateway.env().wall(),
        phase: match *gateway.phase().borrow() {
            GatewayPhase::Serving => Phase::Serving,
            GatewayPhase::Draining => Phase::Draining,
            GatewayPhase::Stopped => Phase::Stopped,
        },
        series: gateway.ledger().snapshot(),
        series_overflowed: gateway.ledger().overflowed(),
        events_dropped: gateway.events_dropped(),
        listeners: listeners(gateway),
        upstreams: gateway
            .running()
            .upstreams
            .iter()
            .map(|upstream| of_upstream(gateway, upstream))
            .collect(),
        joins: gateway.joins(),
        hedges: gateway.hedges(),
        objectives: judging.reading(&parts.reloader.asked().ladder),
        watched: judging.watched(),
        journeys: journeys(gateway),
        freshness: freshness(gateway),
        incidents: parts.record.read(incidents),
        alerts: parts.record.read(|state| alerts(state, gateway.env().wall())),
        targets: parts.desk.reading(),
        record: RecordReading {
            unwritten: parts.record.unwritten(0).1 as u64,
            lost: parts.record.lost(),
        },
        state_failing: parts.state_failing.load(Relaxed),
        state_unwritten: judging.unwritten().len() as u64,
        memory: parts.memory.reading(),
        config: parts.reloader.reading(),
    }
}

fn journeys(gateway: &Gateway) -> Vec<(Arc<str>, WalkReading)> {
    let (running, now) = (gateway.running(), gateway.env().now());
    let walks = running
        .objectives
        .iter()
        .filter_map(|counts| Some((Arc::clone(&counts.name), counts.walks(now)?)));
    walks.collect()
}

fn freshness(gateway: &Gateway) -> Vec<(Arc<str>, FreshnessReading)> {
    let (running, now) = (gateway.running(), gateway.env().wall().as_millis() as u64);
    let all = running.objectives.iter();
    let fresh = all.filter_map(|counts| Some((Arc::clone(&counts.name), counts.fresh(now)?)));
    fresh.collect()
}

fn incidents(state: &State) -> Vec<IncidentReading> {
    let reading = |incident: &Incident| IncidentReading {
        id: Arc::clone(&incident.id),
        phase: incident.phase(),
        began: incident.began,
        objectives: incident.objectives.clone(),
    };
    state.incidents.open().map(reading).collect()
}

fn alerts(state: &State, wall: Duration) -> Vec<AlertReading> {
    let now = wall.as_millis() as u64;
    let reading = |alert: &Alert| AlertReading {
        id: Arc::clone(&alert.id),
        severity: alert.opened.severity.severity(),
        is_silenced: state.silences.of(&alert.opened.objective, now).is_some(),
    };
    state.alerts.open().map(reading).collect()
}

fn listeners(gateway: &Gateway) -> Vec<ListenerReading> {
    let addresses = gateway.addresses();
    let reading = |(name, connections, connections_max, connections_refused): (Arc<str>, u32, u32, u64)| {
        let bound = addresses.iter().find(|(bound, _)| *bound == name);
        let address = bound.map_or_else(String::new, |(_, address)| {
            address.map_or_else(|| "unix".to_owned(), |address| address.to_string())
        });
        ListenerReading {
            name,
            address,
            connections,
            connections_max,
            connections_refused,
        }
    };
    gateway.connections().into_iter().map(reading).collect()
}

fn of_upstream(gateway: &Gateway, upstream: &Upstream) -> UpstreamReading {
    let now = gateway.env().now();
    let state = &upstream.state;
    let (in_flight, in_flight_max, bulkhead_refused) = state.bulkhead();
    let endpoint = |reading: gateway::upstream::EndpointReading| EndpointReading {
        address: reading.address,
        healthy: reading.healthy,
        ejected: reading.ejected,
        attempts: reading.attempts,
        failures: reading.failures,
        pending: reading.pending,
        connections: reading.connections,
    };
    UpstreamReading {
        name: Arc::clone(&upstream.plan.name),
        version: Arc::clone(&upstream.plan.version),
        breaker: upstream.plan.breaker.is_some().then(|| state.breaker_state(now)),
        breaker_trips: state.breaker_trips(),
        in_flight,
        in_flight_max,
        bulkhead_refused,
        admission: upstream.plan.adaptive.map(|_| state.admission()),
        retry_tokens: upstream.retry_tokens(),
        resolve_error: state.resolve_error(),
        endpoints: state
            .endpoints()
            .iter()
            .map(|e| endpoint(e.reading(now)))
            .collect(),
    }
}
