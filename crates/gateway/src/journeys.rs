//! Ingress and egress joined: what a request brought with it follows it through an unmodified service.
//!
//! A request that comes in on an ingress listener begins a [`Journey`]: its deadline, priority, tier, tenant and attempt.
//! When the service calls a dependency through an egress listener, that call inherits them, and the time until its answer
//! is whole is not the service's own. The service need not know: it only has to pass on `traceparent`, as every
//! tracing library does, or `X-Request-Id`.
//!
//! **Which journey a call belongs to** is told by the span that it names as its parent, if that is the span of one of our
//! attempts (the service passed the header on as it was); else by the request's id; else by the trace, if only one
//! request of it is under way. Otherwise it is not known, and then nothing is inherited: a call that is held to
//! somebody else's deadline would be worse than one that is held to its own.
//!
//! **Bounds.** As many journeys are remembered as [`JOURNEYS_MAX`] says, by all cores together. One more is not
//! remembered and is counted; its calls inherit nothing. A plan without egress listeners remembers none.
//!
//! **What fails:** nothing. A journey is forgotten when its request ends, however that happens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use plimsoll_policy::{Priority, hash_key};
use plimsoll_slo::Instant;

use crate::admission::SharedSlot;
use crate::fields::{Fields, Known};
use crate::identity::{self, Trace};

/// Journeys remembered at once: as many requests as 64 connections of 1,024 streams have under way.
const JOURNEYS_MAX: usize = 65_536;
/// Shards of the map: cores seldom meet in one.
const SHARDS: usize = 16;

/// The journeys under way, shared by all cores.
#[derive(Debug, Default)]
pub(crate) struct Journeys {
    shards: [Mutex<Shard>; SHARDS],
    count: AtomicU32,
    pub(crate) counts: JoinCounts,
}

/// How calls of services found their requests.
#[derive(Debug, Default)]
pub(crate) struct JoinCounts {
    joined: AtomicU64,
    ambiguous: AtomicU64,
    unknown: AtomicU64,
    unremembered: AtomicU64,
}

/// How calls of services found the requests that they are made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JoinReading {
    /// They did.
    pub joined: u64,
    /// Several requests of their trace were under way, and nothing told them apart.
    pub ambiguous: u64,
    /// None was.
    pub unknown: u64,
    /// Requests that were not remembered because too many were.
    pub unremembered: u64,
    /// Requests that are remembered now.
    pub remembered: u32,
}

/// By a number made of the trace, and by one made of the request's id.
type Shard = HashMap<u64, Vec<Arc<Journey>>>;

/// A request on its way through a service.
#[derive(Debug)]
pub(crate) struct Journey {
    pub(crate) deadline: Instant,
    pub(crate) priority: Priority,
    /// Index into the declared tiers; their number if it names none.
    pub(crate) tier: usize,
    pub(crate) tenant: Option<Bytes>,
    trace: Trace,
    request_id: HeaderValue,
    /// Which attempt is under way, as the service sees it: more than 1 if it or the request is being retried.
    attempt: AtomicU32,
    /// Attempts of ours so far.
    sent: AtomicU32,
    slot: Option<Arc<SharedSlot>>,
    away: Mutex<Away>,
}

/// Calls to dependencies that are out, since when at least one is, and how long at least one was before.
#[derive(Debug, Default)]
struct Away {
    out: u32,
    since: Instant,
    total: Duration,
}

/// What a journey begins with.
pub(crate) struct Departure {
    pub(crate) deadline: Instant,
    pub(crate) priority: Priority,
    pub(crate) tier: usize,
    pub(crate) tenant: Option<Bytes>,
    pub(crate) trace: Trace,
    pub(crate) request_id: HeaderValue,
    pub(crate) slot: Option<Arc<SharedSlot>>,
}

impl Journeys {
    /// Begins a journey, which is remembered as long as the guard is held. `None` if too many are.
    pub(crate) fn depart(self: &Arc<Self>, departure: Departure) -> Option<UnderWay> {
        if self.count.fetch_add(1, Relaxed) as usize >= JOURNEYS_MAX {
            self.count.fetch_sub(1, Relaxed);
            self.counts.unremembered.fetch_add(1, Relaxed);
            return None;
        }
        let Departure {
            deadline,
            priority,
            tier,
            tenant,
            trace,
            request_id,
            slot,
        } = departure;
        let journey = Arc::new(Journey {
            deadline,
            priority,
            tier,
            tenant,
            trace,
            request_id,
            attempt: AtomicU32::new(1),
            sent: AtomicU32::new(0),
            slot,
            away: Mutex::default(),
        });
        for key in journey.keys() {
            self.shard(key).entry(key).or_default().push(Arc::clone(&journey));
        }
        Some(UnderWay {
            journeys: Arc::clone(self),
            journey,
        })
    }

    /// The journey that a call of a service belongs to.
    pub(crate) fn find(&self, fields: &Fields) -> Option<Arc<Journey>> {
        let trace = fields.get(Known::TraceParent).and_then(identity::parse);
        let id = fields.get(Known::RequestId);
        let by_trace = trace.map_or_else(Vec::new, |(trace_id, ..)| {
            self.at(trace_key(trace_id), |journey| journey.trace.trace_id == trace_id)
        });
        if let Some((_, parent, _)) = trace
            && let Some(exact) = by_trace.iter().find(|journey| journey.has_span(parent))
        {
            return self.found(vec![Arc::clone(exact)]);
        }
        let by_id = id.map_or_else(Vec::new, |id| {
            self.at(id_key(id), |journey| journey.request_id.as_bytes() == id)
        });
        self.found(if by_id.is_empty() { by_trace } else { by_id })
    }

    fn found(&self, mut journeys: Vec<Arc<Journey>>) -> Option<Arc<Journey>> {
        let count = match journeys.len() {
            0 => &self.counts.unknown,
            1 => &self.counts.joined,
            _ => &self.counts.ambiguous,
        };
        count.fetch_add(1, Relaxed);
        journeys.pop().filter(|_| journeys.is_empty())
    }

    fn at(&self, key: u64, is: impl Fn(&Journey) -> bool) -> Vec<Arc<Journey>> {
        let shard = self.shard(key);
        let there = shard.get(&key).map_or(&[][..], Vec::as_slice);
        // Two are as good as many: neither tells which.
        there
            .iter()
            .filter(|journey| is(journey))
            .take(SEEN_MAX)
            .cloned()
            .collect()
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[key as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reading for people and metrics.
    pub(crate) fn reading(&self) -> JoinReading {
        let counts = &self.counts;
        JoinReading {
            joined: counts.joined.load(Relaxed),
            ambiguous: counts.ambiguous.load(Relaxed),
            unknown: counts.unknown.load(Relaxed),
            unremembered: counts.unremembered.load(Relaxed),
            remembered: self.count.load(Relaxed),
        }
    }
}

/// Journeys of one trace that are looked at: one trace may have any number under way.
const SEEN_MAX: usize = 64;

fn trace_key(trace_id: u128) -> u64 {
    hash_key(1, &[&trace_id.to_ne_bytes()])
}

fn id_key(id: &[u8]) -> u64 {
    hash_key(2, &[id])
}

impl Journey {
    fn keys(&self) -> [u64; 2] {
        [trace_key(self.trace.trace_id), id_key(self.request_id.as_bytes())]
    }

    /// Whether `span` is that of one of our attempts.
    fn has_span(&self, span: u64) -> bool {
        (1..=self.sent.load(Relaxed)).any(|number| self.trace.attempt(number) == span)
    }

    /// The attempt of this number is being sent, which came to us as `came_as`.
    pub(crate) fn sending(&self, number: u32, came_as: u32) {
        self.sent.fetch_max(number, Relaxed);
        self.attempt.store(came_as.saturating_add(number - 1), Relaxed);
    }

    /// Which attempt a call is made in.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempt.load(Relaxed)
    }

    /// For how long at least one call to a dependency was out.
    pub(crate) fn away(&self, now: Instant) -> Duration {
        let away = self.lock();
        let open = if away.out > 0 {
            now.since(away.since)
        } else {
            Duration::ZERO
        };
        away.total + open
    }

    /// A call to a dependency is out until the guard is dropped.
    pub(crate) fn leave(self: Arc<Self>, now: Instant, env: &crate::env::Env) -> Calling {
        let first = {
            let mut away = self.lock();
            away.out += 1;
            if away.out == 1 {
                away.since = now;
            }
            away.out == 1
        };
        if let Some(slot) = self.slot.as_ref().filter(|_| first) {
            slot.park();
        }
        Calling {
            journey: self,
            env: env.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Away> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call to a dependency that is out.
pub(crate) struct Calling {
    journey: Arc<Journey>,
    env: crate::env::Env,
}

impl Drop for Calling {
    fn drop(&mut self) {
        let last = {
            let mut away = self.journey.lock();
            away.out -= 1;
            if away.out == 0 {
                let out = self.env.now().since(away.since);
                away.total += out;
            }
            away.out == 0
        };
        if let Some(slot) = self.journey.slot.as_ref().filter(|_| last) {
            slot.unpark();
        }
    }
}

/// A journey that is remembered.
pub(crate) struct UnderWay {
    journeys: Arc<Journeys>,
    pub(crate) journey: Arc<Journey>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        for key in self.journey.keys() {
            let mut shard = self.journeys.shard(key);
            if let Some(there) = shard.get_mut(&key) {
                there.retain(|journey| !Arc::ptr_eq(journey, &self.journey));
                if there.is_empty() {
                    shard.remove(&key);
                }
            }
        }
        self.journeys.count.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;

    fn departure(trace_id: u128, request_id: &'static str) -> Departure {
        Departure {
            deadline: Instant::NEVER,
            priority: Priority::Normal,
            tier: 0,
            tenant: None,
            trace: Trace {
                trace_id,
                parent_id: 0,
                span_id: 7,
                sampled: false,
            },
            request_id: HeaderValue::from_static(request_id),
            slot: None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_overlap_are_one_time_away() {
        let env = Env::real();
        let journeys = Arc::new(Journeys::default());
        let under_way = journeys.depart(departure(1, "a")).unwrap();
        let journey = &under_way.journey;
        let pass = async |millis| tokio::time::advance(Duration::from_millis(millis)).await;
        let first = Arc::clone(journey).leave(env.now(), &env);
        pass(30).await;
        let second = Arc::clone(journey).leave(env.now(), &env);
        pass(20).await;
        drop(first);
        pass(10).await;
        assert_eq!(
            journey.away(env.now()),
            Duration::from_millis(60),
            "one is still out"
        );
        drop(second);
        pass(40).await;
        drop(Arc::clone(journey).leave(env.now(), &env));
        assert_eq!(journey.away(env.now()), Duration::from_millis(60));
    }

    #[test]
    fn what_is_over_is_forgotten_and_too_many_are_not_remembered() {
        let journeys = Arc::new(Journeys::default());
        let one = journeys.depart(departure(1, "a")).unwrap();
        let other = journeys.depart(departure(1, "b")).unwrap();
        journeys.count.store(JOURNEYS_MAX as u32, Relaxed);
        assert!(journeys.depart(departure(2, "c")).is_none());
        assert_eq!(journeys.reading().unremembered, 1);
        drop((one, other));
        assert!(
            journeys
                .shards
                .iter()
                .all(|shard| shard.lock().unwrap().is_empty())
        );
    }
}
