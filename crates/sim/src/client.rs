//! A simulated caller: requests at random moments, some of them ill-mannered, and a note of how each ended.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use http::{Method, Request};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use plimsoll_policy::{Dice, SeededDice};
use plimsoll_slo::Reason;
use turmoil::net::TcpStream;

use crate::endpoint::Locally;
use crate::frost::{Frost, Frozen};
use crate::parcel::{self, Ending, Parcel};
use crate::proxy;
use crate::swarm::{CLIENTS, GATEWAY, PACE_GRACE, Phase, STREAM_IDLE, Swarm, chance, gap, priority, stream};
use crate::trace::{Answer, Ask, Kind, Recorder, Temper, What};

/// How long a client keeps a connection that it does not use.
const KEEP: Duration = Duration::from_millis(500);

/// How long a client uses one HTTP/2 connection: lost messages are never sent again in turmoil, so some lead nowhere.
const RENEW: Duration = Duration::from_secs(4);

/// One client host.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) swarm: Rc<Swarm>,
    pub(crate) recorder: Recorder,
    /// The number of the next request of any client.
    pub(crate) next: Rc<Cell<u32>>,
    pub(crate) pool: Rc<RefCell<Pool>>,
}

#[derive(Default)]
pub(crate) struct Pool {
    idle: Vec<(http1::SendRequest<Parcel>, Duration)>,
    shared: Option<Shared>,
}

/// A connection that many requests share.
#[derive(Clone)]
struct Shared {
    sender: http2::SendRequest<Parcel>,
    until: Duration,
}

impl Client {
    /// Asks until it is time to stop, then waits until all is answered or given up.
    pub(crate) async fn run(self) -> turmoil::Result {
        let mut dice = stream(self.swarm.seed, self.name);
        let under_way = Rc::new(());
        let rate = self.swarm.rate / CLIENTS.len() as f64;
        loop {
            tokio::time::sleep(gap(&mut dice, rate)).await;
            if elapsed() >= self.swarm.asking_ends() {
                break;
            }
            let ask = self.ask(&mut dice);
            let (client, held) = (self.clone(), Rc::clone(&under_way));
            tokio::task::spawn_local(async move {
                client.request(ask).await;
                drop(held);
            });
        }
        while Rc::strong_count(&under_way) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        *self.pool.borrow_mut() = Pool::default();
        Ok(())
    }

    fn ask(&self, dice: &mut SeededDice) -> Ask {
        let faults = &self.swarm.faults;
        let calm = self.swarm.phase(elapsed()) > Phase::Storm;
        let kind = [Kind::Get, Kind::Get, Kind::Put, Kind::Post, Kind::KeyedPost][dice.below(5) as usize];
        let large = chance(dice, faults.large);
        let mut pieces = if large {
            200 + dice.below(300) as u32
        } else {
            1 + dice.below(3) as u32
        };
        let mut wants = if chance(dice, faults.large) {
            200
        } else {
            dice.below(3) as u32
        };
        let total = self.swarm.setup.total;
        let roll = dice.unit();
        let temper = if roll < faults.leaving {
            Temper::Leaves(Duration::from_millis(1 + dice.below(400)))
        } else if roll < faults.leaving + faults.stalling {
            wants = 400;
            Temper::Stalls(Duration::from_millis(dice.below(8000)))
        } else if roll < faults.leaving + faults.stalling + faults.choking && kind != Kind::Get {
            Temper::Chokes
        } else if chance(dice, faults.delays) {
            Temper::Delayed
        } else {
            Temper::Patient
        };
        let deadline = chance(dice, 0.2).then(|| total.mul_f64(0.05 + dice.unit()));
        if kind == Kind::Get {
            pieces = 0;
        }
        let id = self.next.get();
        self.next.set(id + 1);
        if calm {
            let (pieces, wants) = (pieces.min(3), wants.min(3));
            return Ask {
                id,
                kind,
                deadline: None,
                pieces,
                wants,
                temper: Temper::Patient,
                priority: priority(self.swarm.seed, id),
            };
        }
        Ask {
            id,
            kind,
            deadline,
            pieces,
            wants,
            temper,
            priority: priority(self.swarm.seed, id),
        }
    }

    async fn request(&self, ask: Ask) {
        let id = ask.id;
        let patience = match ask.temper {
            Temper::Patient | Temper::Chokes | Temper::Delayed => {
                self.swarm.setup.total * 2 + PACE_GRACE + STREAM_IDLE + Duration::from_secs(5)
            }
            Temper::Leaves(patience) => patience,
            Temper::Stalls(stall) => self.swarm.setup.total + stall,
        };
        self.recorder.record(self.name, What::Asked(ask.clone()));
        let what = match tokio::time::timeout(patience, self.exchange(&ask)).await {
            Ok(Ok(answer)) => What::Answered(answer),
            Ok(Err(why)) => What::Unanswered(id, why),
            Err(_) => What::Unanswered(id, "gave up"),
        };
        if matches!(what, What::Unanswered(..)) {
            self.pool.borrow_mut().shared = None;
        }
        self.recorder.record(self.name, what);
    }

    async fn exchange(&self, ask: &Ask) -> Result<Answer, &'static str> {
        // Who stalls does so on a connection of its own: it would stop its neighbours as well.
        if let Temper::Stalls(stall) = ask.temper {
            let frost = Frost::default();
            let mut sender = self.connect(frost.clone()).await?;
            let response = sender
                .send_request(Self::message(ask, "http/1"))
                .await
                .map_err(|_| "send")?;
            frost.until(elapsed() + stall);
            return answer(ask, response).await;
        }
        if self.swarm.http2_front {
            let mut sender = self.share().await?;
            let response = sender
                .send_request(Self::message(ask, "http/2"))
                .await
                .map_err(|_| "send")?;
            return answer(ask, response).await;
        }
        let idle = self.take_idle();
        let mut sender = match idle {
            Some(sender) => sender,
            None => self.connect(Frost::default()).await?,
        };
        let response = sender
            .send_request(Self::message(ask, "http/1"))
            .await
            .map_err(|_| "send")?;
        let answer = answer(ask, response).await?;
        self.pool.borrow_mut().idle.push((sender, elapsed()));
        Ok(answer)
    }

    fn message(ask: &Ask, version: &str) -> Request<Parcel> {
        let method = match ask.kind {
            Kind::Get => Method::GET,
            Kind::Put => Method::PUT,
            Kind::Post | Kind::KeyedPost => Method::POST,
        };
        let ending = if ask.temper == Temper::Chokes {
            Ending::Chokes
        } else {
            Ending::Whole
        };
        let uri = if version == "http/2" {
            format!("http://{GATEWAY}/things/{}", ask.id)
        } else {
            format!("/things/{}", ask.id)
        };
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("x-request-id", ask.id)
            .header("x-priority", ask.priority.word())
            .header("x-pieces", ask.pieces)
            .header("x-wants", ask.wants);
        if version != "http/2" {
            request = request.header("host", GATEWAY);
        }
        if ask.kind == Kind::KeyedPost {
            request = request.header("idempotency-key", format!("\"{}\"", ask.id));
        }
        if ask.temper == Temper::Delayed {
            request = request.header("x-plimsoll-fault", "late");
        }
        if let Some(deadline) = ask.deadline {
            request = request.header("x-plimsoll-deadline-ms", deadline.as_millis() as u64);
        }
        request
            .body(Parcel::new(ask.id, ask.pieces, ending))
            .expect("the parts of the request are valid")
    }

    fn take_idle(&self) -> Option<http1::SendRequest<Parcel>> {
        let idle = &mut self.pool.borrow_mut().idle;
        idle.retain(|(sender, since)| sender.is_ready() && elapsed() < *since + KEEP);
        idle.pop().map(|(sender, _)| sender)
    }

    async fn connect(&self, frost: Frost) -> Result<http1::SendRequest<Parcel>, &'static str> {
        let stream = TcpStream::connect((GATEWAY, proxy::PORT))
            .await
            .map_err(|_| "connect")?;
        let io = TokioIo::new(Frozen::new(stream, frost));
        let (sender, connection) = http1::handshake(io).await.map_err(|_| "handshake")?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }

    async fn share(&self) -> Result<http2::SendRequest<Parcel>, &'static str> {
        let shared = self.pool.borrow().shared.clone();
        let usable = |shared: &Shared| !shared.sender.is_closed() && elapsed() < shared.until;
        if let Some(shared) = shared.filter(usable) {
            return Ok(shared.sender);
        }
        let stream = TcpStream::connect((GATEWAY, proxy::PORT))
            .await
            .map_err(|_| "connect")?;
        let shaken = http2::Builder::new(Locally)
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(stream))
            .await;
        let (sender, connection) = shaken.map_err(|_| "handshake")?;
        tokio::task::spawn_local(connection);
        let until = elapsed() + RENEW;
        self.pool.borrow_mut().shared = Some(Shared {
            sender: sender.clone(),
            until,
        });
        Ok(sender)
    }
}

async fn answer(ask: &Ask, response: hyper::Response<hyper::body::Incoming>) -> Result<Answer, &'static str> {
    let status = response.status().as_u16();
    let reason = response
        .headers()
        .get("x-plimsoll-reason")
        .and_then(|value| value.to_str().ok());
    let reason = reason.and_then(Reason::from_code);
    let body = parcel::read(response.into_body()).await.ok_or("broke off")?;
    let own = reason.is_some() || parcel::is_own(&body, ask.id, ask.wants);
    Ok(Answer {
        id: ask.id,
        status,
        reason,
        own,
    })
}

fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}
