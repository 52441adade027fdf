//! Two endpoints of one service, and a world in front of them that hedges.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gateway::hedging::{End, HedgeReading};
use gateway::plan::Plan;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use plimsoll_policy::{HedgeConfig, NoHedge};
use tokio::sync::Semaphore;

use crate::origin::{AnyBody, Origin, Speaks, full};
use crate::world::{Builder, World, until};

/// An attempt as an endpoint saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Arrived {
    /// `x-plimsoll-attempt`.
    pub(crate) number: u32,
    pub(crate) endpoint: usize,
    pub(crate) body: Bytes,
}

type Answering = Pin<Box<dyn Future<Output = Response<AnyBody>> + Send>>;

/// Two endpoints of one service. What it does with an attempt depends on the attempt's number, and not on where it
/// comes to: so a test knows which of the two is late, whichever endpoint is chosen first.
pub(crate) struct Pair {
    pub(crate) ends: [Origin; 2],
    pub(crate) arrived: Arc<Mutex<Vec<Arrived>>>,
    /// Numbers of the attempts that were cancelled before they were answered.
    cancelled: Arc<Mutex<Vec<u32>>>,
    /// Lets attempts go on that wait for it.
    pub(crate) gate: Arc<Semaphore>,
}

impl Pair {
    pub(crate) async fn new<F>(
        speaks: Speaks,
        answer: impl Fn(u32, Arc<Semaphore>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        let answer: Arc<dyn Fn(u32, Arc<Semaphore>) -> Answering + Send + Sync> =
            Arc::new(move |number, gate| Box::pin(answer(number, gate)));
        let arrived: Arc<Mutex<Vec<Arrived>>> = Arc::default();
        let cancelled: Arc<Mutex<Vec<u32>>> = Arc::default();
        let gate = Arc::new(Semaphore::new(0));
        let end = |endpoint| {
            let (answer, gate) = (Arc::clone(&answer), Arc::clone(&gate));
            let (arrived, cancelled) = (Arc::clone(&arrived), Arc::clone(&cancelled));
            Origin::serving(speaks, move |request: Request<Incoming>| {
                let (arrived, cancelled) = (Arc::clone(&arrived), Arc::clone(&cancelled));
                let (answer, gate) = (Arc::clone(&answer), Arc::clone(&gate));
                async move {
                    let number = request.headers()["x-plimsoll-attempt"].to_str().unwrap();
                    let number = number.parse().unwrap();
                    let unanswered = Unanswered(number, cancelled);
                    let body = request
                        .into_body()
                        .collect()
                        .await
                        .map_err(std::io::Error::other)?;
                    let body = body.to_bytes();
                    let attempt = Arrived {
                        number,
                        endpoint,
                        body,
                    };
                    arrived.lock().unwrap().push(attempt);
                    let answer = answer(number, gate).await;
                    std::mem::forget(unanswered);
                    Ok(answer)
                }
            })
        };
        Self {
            ends: [end(0).await, end(1).await],
            arrived,
            cancelled,
            gate,
        }
    }

    /// Every attempt is answered with its number; this one only when the gate lets it.
    pub(crate) async fn late(speaks: Speaks, late: u32) -> Self {
        Self::new(speaks, move |number, gate| async move {
            if number == late {
                gate.acquire().await.unwrap().forget();
            }
            Response::new(full(number.to_string()))
        })
        .await
    }

    pub(crate) fn world(&self) -> Builder {
        World::of(&[&self.ends[0], &self.ends[1]])
    }

    /// A world that hedges what is not answered within 20 ms.
    pub(crate) fn hedging(&self) -> Builder {
        self.world().plan(hedge(EAGER))
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.arrived().iter().map(|attempt| attempt.number).collect()
    }

    pub(crate) fn cancelled(&self) -> Vec<u32> {
        self.cancelled.lock().unwrap().clone()
    }

    pub(crate) async fn until_cancelled(&self, numbers: &[u32]) {
        until("the other attempt to be cancelled", || {
            self.cancelled() == numbers
        })
        .await;
    }
}

/// Notes an attempt as cancelled when it is dropped.
struct Unanswered(u32, Arc<Mutex<Vec<u32>>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.1.lock().unwrap().push(self.0);
    }
}

/// Whatever is not answered within 20 ms is hedged, without a bound.
pub(crate) const EAGER: HedgeConfig = HedgeConfig {
    after: Some(Duration::from_millis(20)),
    share: 1.0,
    load_max: 1.0,
    idempotent: false,
};

/// The same, whatever the method.
pub(crate) const WHATEVER: HedgeConfig = HedgeConfig {
    idempotent: true,
    ..EAGER
};

/// Has the only route hedged.
pub(crate) fn hedge(config: HedgeConfig) -> impl FnOnce(&mut Plan) {
    move |plan| plan.listeners[0].routes[0].hedge = Some(config)
}

pub(crate) fn reading(world: &World) -> HedgeReading {
    world.gateway.hedges()[0].clone()
}

/// What came of hedges, in short: `won 2, loaded 1`.
pub(crate) fn hedges(world: &World) -> String {
    let reading = reading(world);
    let ended = End::ALL.iter().map(|end| end.word()).zip(reading.ended);
    let refused = NoHedge::LATE.iter().map(|why| why.word()).zip(reading.refused);
    let counts = ended.chain(refused).filter(|(_, count)| *count > 0);
    counts
        .map(|(word, count)| format!("{word} {count}"))
        .collect::<Vec<_>>()
        .join(", ")
}

pub(crate) async fn all_given_back(world: &World) {
    until("all permits to be back", || {
        let upstream = &world.gateway.running().upstreams[0];
        let now = world.gateway.env().now();
        let endpoints = upstream.state.endpoints();
        let pending: u32 = endpoints
            .iter()
            .map(|endpoint| endpoint.reading(now).pending)
            .sum();
        upstream.state.bulkhead().0 == 0 && pending == 0
    })
    .await;
}
