//! A simulated service: it takes what arrives, writes it down, and answers as the seed will have it.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use plimsoll_policy::Dice;
use turmoil::net::TcpListener;

use crate::frost::{Frost, Frozen};
use crate::parcel::{self, Broken, Ending, Parcel};
use crate::swarm::{Phase, Swarm, chance, stream};
use crate::trace::{Arrival, Body, Kind, Recorder, What};

/// The port that endpoints listen on.
pub(crate) const PORT: u16 = 9000;
/// Work of a good answer, at most.
const WORK: u64 = 15;

/// One endpoint.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    pub(crate) swarm: Rc<Swarm>,
    pub(crate) recorder: Recorder,
    pub(crate) frost: Frost,
    /// Milliseconds that every answer takes longer.
    pub(crate) slowness: Rc<Cell<u64>>,
    pub(crate) served: Rc<Cell<u32>>,
}

/// What an endpoint does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Good,
    Fails(u16),
    PushesBack,
    Hangs,
    Breaks,
    Truncates,
}

impl Endpoint {
    /// Listens and serves for as long as the host is up.
    pub(crate) async fn run(self) -> turmoil::Result {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let io = TokioIo::new(Frozen::new(stream, self.frost.clone()));
            let endpoint = self.clone();
            tokio::task::spawn_local(async move {
                let http2 = endpoint.swarm.http2_back;
                let service = service_fn(move |request| endpoint.clone().serve(request));
                // How a connection ends is what the gateway has to live with, and of no interest here.
                if http2 {
                    let server = http2::Builder::new(Locally)
                        .timer(TokioTimer::new())
                        .serve_connection(io, service);
                    drop(server.await);
                } else {
                    let server = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(io, service);
                    drop(server.await);
                }
            });
        }
    }

    async fn serve(self, request: Request<Incoming>) -> Result<Response<Parcel>, Broken> {
        let headers = request.headers();
        let Some(id) = number(headers, "x-request-id") else {
            return Ok(Response::new(Parcel::new(0, 0, Ending::Whole))); // a health check
        };
        let (pieces, wants) = (
            number(headers, "x-pieces").unwrap_or(0),
            number(headers, "x-wants").unwrap_or(0),
        );
        let arrival = Arrival {
            id,
            kind: kind(&request),
            attempt: number(headers, "x-plimsoll-attempt").unwrap_or(0),
            left: Duration::from_millis(number(headers, "x-plimsoll-deadline-ms").unwrap_or(0).into()),
            number: self.served.get(),
        };
        self.served.set(arrival.number + 1);
        let mut dice = stream(
            self.swarm.seed,
            &format!("{} {id} {}", self.name, arrival.attempt),
        );
        self.recorder.record(self.name, What::Arrived(arrival));
        let manner = self.manner(&mut dice);
        if manner == Manner::Breaks && chance(&mut dice, 0.5) {
            return Err(Broken); // before the body is read
        }
        let body = parcel::read(request.into_body()).await;
        let body = match body {
            None => Body::Broken,
            Some(bytes) if parcel::is_own(&bytes, id, pieces) => Body::Own,
            Some(_) => Body::Wrong,
        };
        self.recorder.record(self.name, What::Received(id, body));
        let work = 1 + dice.below(WORK) + self.slowness.get();
        tokio::time::sleep(Duration::from_millis(work)).await;
        let mut response = Response::new(Parcel::new(id, wants, Ending::Whole));
        match manner {
            Manner::Good => {}
            Manner::Fails(status) => {
                *response.status_mut() = StatusCode::from_u16(status).expect("the table has valid statuses");
            }
            Manner::PushesBack => {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response
                    .headers_mut()
                    .insert("retry-after", http::HeaderValue::from_static("1"));
            }
            Manner::Hangs => std::future::pending().await,
            Manner::Breaks => return Err(Broken),
            Manner::Truncates => *response.body_mut() = Parcel::new(id, wants.max(2), Ending::Breaks),
        }
        Ok(response)
    }

    fn manner(&self, dice: &mut impl Dice) -> Manner {
        let faults = &self.swarm.faults;
        let at = turmoil::sim_elapsed().unwrap_or_default();
        if self.swarm.phase(at) > Phase::Storm {
            return Manner::Good;
        }
        let roll = dice.unit();
        let mut below = 0.0;
        let mut falls = |share: f64| {
            below += share;
            roll < below
        };
        if falls(faults.errors * 0.8) {
            Manner::Fails([500, 502, 503, 504][dice.below(4) as usize])
        } else if falls(faults.errors * 0.2) {
            Manner::PushesBack
        } else if falls(faults.hangs) {
            Manner::Hangs
        } else if falls(faults.breaks) {
            Manner::Breaks
        } else if falls(faults.truncations) {
            Manner::Truncates
        } else {
            Manner::Good
        }
    }
}

fn kind(request: &Request<Incoming>) -> Kind {
    match request.method().as_str() {
        "GET" => Kind::Get,
        "PUT" => Kind::Put,
        _ if request.headers().contains_key("idempotency-key") => Kind::KeyedPost,
        _ => Kind::Post,
    }
}

/// A header that is a number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Option<u32> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Spawns what hyper's HTTP/2 needs spawned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Locally;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Locally {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
