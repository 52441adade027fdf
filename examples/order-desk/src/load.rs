//! Steady traffic for a demo: clients of three tiers that place, read and cancel orders.
//!
//! It is an open loop: requests leave on schedule whether or not earlier ones were answered, as those of
//! independent people do, and a latency counts from when the request should have left. A client that waits for
//! answers would slow down with the service and hide the very trouble it is there to show. Per hundred requests,
//! 40 place an order, 30 read one, 10 cancel one, 10 read positions and 10 the risk of an account.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::client::{BadOrigin, Client, ClientError};
use crate::dice::{fresh_seed, splitmix};

/// What a client does not wait for any longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// More requests in the air than this would measure the load, not the service; the rest count as failed.
const IN_FLIGHT_MAX: usize = 2048;

/// What "recent" means in a snapshot.
const WINDOW: Duration = Duration::from_secs(5);

/// Samples kept: the window at 20 000 requests a second.
const SAMPLES_MAX: usize = 100_000;

/// Orders remembered for reading and cancelling.
const KNOWN_MAX: usize = 512;

/// Problem codes told apart; a target that makes up more has them counted as `other`.
const CODES_MAX: usize = 32;

const ACCOUNTS_PER_TIER: u64 = 20;

/// Addresses that requests come from.
const CUSTOMERS: u64 = 250;

const UNDERLYINGS: [&str; 4] = ["ACME", "GLOBEX", "INITECH", "UMBRELLA"];

/// A stream of requests to be started.
#[derive(Clone, Debug)]
pub struct Load {
    /// `http://host:port` of the desk, or of what stands in front of it.
    pub target: String,
    pub rate_per_second: u32,
    /// The values of the `x-tier` header and how many of the requests carry each, in proportion to each other.
    pub tiers: &'static [(&'static str, f64)],
}

impl Load {
    /// Three tiers as a shop might have them.
    pub const TIERS: &'static [(&'static str, f64)] = &[("gold", 0.2), ("silver", 0.3), ("bronze", 0.5)];

    /// Starts to send, on the current tokio runtime.
    ///
    /// # Errors
    /// When the target is not of the form `http://host:port`.
    pub fn start(self) -> Result<RunningLoad, BadOrigin> {
        let clients = Arc::new(Clients {
            client: Client::new(&self.target, IN_FLIGHT_MAX)?,
            seed: fresh_seed(),
            tiers: self.tiers,
            known: Mutex::default(),
            tallies: Mutex::new(vec![Tally::default(); self.tiers.len()]),
        });
        let mut sending = JoinSet::new();
        sending.spawn(send(Arc::clone(&clients), self.rate_per_second.max(1)));
        Ok(RunningLoad { clients, sending })
    }
}

/// A stream of requests on its way; it ends when it is stopped or dropped.
#[derive(Debug)]
pub struct RunningLoad {
    clients: Arc<Clients>,
    sending: JoinSet<()>,
}

/// What became of the requests, per tier and in the order of [`Load::tiers`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub tiers: Vec<TierSnapshot>,
}

/// What became of one tier's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierSnapshot {
    pub tier: &'static str,
    /// Since the start.
    pub total: Counts,
    /// Over the last five seconds.
    pub recent: Counts,
    /// Latency of the recent requests that were answered with success: a quick refusal is no quick answer.
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
}

/// How requests ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub ok: u64,
    /// Answered with a problem, by its code.
    pub refused: BTreeMap<String, u64>,
    /// No answer in time, none at all, or an error that is not a problem document.
    pub failed: u64,
}

impl RunningLoad {
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let mut tallies = lock(&self.clients.tallies);
        let tiers = self.clients.tiers.iter().zip(tallies.iter_mut());
        Snapshot {
            tiers: tiers
                .map(|((tier, _), tally)| tally.snapshot(tier, now))
                .collect(),
        }
    }

    /// Stops sending and drops what is in the air.
    pub async fn stop(mut self) {
        self.sending.shutdown().await;
    }
}

#[derive(Debug)]
struct Clients {
    client: Client,
    seed: u64,
    tiers: &'static [(&'static str, f64)],
    known: Mutex<Known>,
    /// One per tier.
    tallies: Mutex<Vec<Tally>>,
}

/// Orders that were answered for, so that there is something to read and to cancel.
#[derive(Debug, Default)]
struct Known {
    placed: VecDeque<Placed>,
    resting: VecDeque<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send(clients: Arc<Clients>, rate_per_second: u32) {
    let mut ticks = interval(Duration::from_secs(1) / rate_per_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut in_flight = JoinSet::new();
    for n in 0.. {
        let due = ticks.tick().await;
        while in_flight.try_join_next().is_some() {}
        let tier = clients.tier(n);
        if in_flight.len() >= IN_FLIGHT_MAX {
            clients.record(tier, Ending::Failed);
            continue;
        }
        let clients = Arc::clone(&clients);
        in_flight.spawn(async move {
            let ending = clients.one(n, tier, due).await;
            clients.record(tier, ending);
        });
    }
}

impl Clients {
    fn tier(&self, n: u64) -> usize {
        let all: f64 = self.tiers.iter().map(|(_, share)| share).sum();
        let mut left = (splitmix(self.seed, n) % 10_000) as f64 / 10_000.0 * all;
        let chosen = self.tiers.iter().position(|(_, share)| {
            left -= share;
            left < 0.0
        });
        chosen.unwrap_or_default()
    }

    fn record(&self, tier: usize, ending: Ending) {
        if let Some(tally) = lock(&self.tallies).get_mut(tier) {
            tally.record(Instant::now(), ending);
        }
    }

    /// Sends the `n`th request and tells how it ended.
    async fn one(&self, n: u64, tier: usize, due: Instant) -> Ending {
        let tier = self.tiers.get(tier).map_or("none", |(name, _)| name);
        let dice = splitmix(self.seed ^ 1, n);
        let FollowUp {
            mut request,
            cancelling,
            visit,
        } = self.follow_up(dice).unwrap_or_else(|| FollowUp {
            request: self.placement(n, tier, dice),
            cancelling: None,
            visit: None,
        });
        let headers = request.headers_mut();
        headers.insert("x-tier", tier.parse().expect("tiers are plain words"));
        // They are many people, though one process sends for them all.
        let address = format!("198.51.100.{}", (dice >> 16) % CUSTOMERS);
        headers.insert("x-forwarded-for", address.parse().expect("an address is plain"));
        // Placing an order and looking at it is one visit.
        let visit = visit.unwrap_or_else(|| format!("{:016x}-{n}", self.seed));
        headers.insert("x-session", visit.parse().expect("numbers are plain"));
        let placing = request.method() == Method::POST;
        let response = self.client.send(request, PATIENCE).await;
        let ending = Ending::of(&response, due.elapsed());
        match (&response, cancelling) {
            (Ok(response), _) if placing && response.status().is_success() => self.remember(response, visit),
            // What could not be cancelled for now is still there to cancel.
            (_, Some(id)) if matches!(response, Ok(ref r) if r.status().is_server_error()) => {
                lock(&self.known).resting.push_back(id);
            }
            _ => {}
        }
        ending
    }

    /// A request about an order placed earlier.
    fn follow_up(&self, dice: u64) -> Option<FollowUp> {
        let mut known = lock(&self.known);
        let turn = dice % 100;
        if turn < 40 || known.placed.is_empty() {
            return None;
        }
        if (70..80).contains(&turn)
            && let Some(id) = known.resting.pop_front()
        {
            return Some(FollowUp {
                request: bodiless(Method::DELETE, &format!("/v1/orders/{id}")),
                cancelling: Some(id),
                visit: None,
            });
        }
        let place = (dice >> 8) as usize % known.placed.len();
        let Placed { id, account, visit } = &mut known.placed[place];
        let (path, visit) = match turn {
            80..90 => (format!("/v1/accounts/{account}/positions"), None),
            90.. => (format!("/v1/accounts/{account}/risk"), None),
            _ => (format!("/v1/orders/{id}"), visit.take()),
        };
        Some(FollowUp {
            request: bodiless(Method::GET, &path),
            cancelling: None,
            visit,
        })
    }

    fn placement(&self, n: u64, tier: &str, dice: u64) -> Request<Full<Bytes>> {
        let (of_account, of_contract) = (dice >> 8, (dice >> 24) as usize);
        // One in four rests at the broker, to be cancelled later: as many as there are cancellations.
        let limit_price = if (dice >> 32).is_multiple_of(4) {
            "0.05"
        } else {
            "1.25"
        };
        let body = json!({
            "account": format!("{tier}-{:02}", of_account % ACCOUNTS_PER_TIER),
            "underlying": UNDERLYINGS[of_contract % UNDERLYINGS.len()],
            "expiry": "2099-12-18",
            "strike": "100",
            "right": "call",
            "side": if (dice >> 40).is_multiple_of(2) { "buy" } else { "sell" },
            "quantity": (dice >> 48) % 5 + 1,
            "limit_price": limit_price,
        });
        let request = Request::post("/v1/orders")
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", format!("{:016x}-{n}", self.seed));
        request
            .body(Full::from(body.to_string()))
            .expect("constants make a valid request")
    }

    fn remember(&self, response: &Response<Bytes>, visit: String) {
        let Ok(order) = serde_json::from_slice::<Value>(response.body()) else {
            return;
        };
        let (Some(id), Some(account)) = (order["id"].as_str(), order["account"].as_str()) else {
            return;
        };
        let mut known = lock(&self.known);
        known.placed.push_back(Placed {
            id: id.to_owned(),
            account: account.to_owned(),
            visit: Some(visit),
        });
        if order["status"] == "working" {
            known.resting.push_back(id.to_owned());
        }
        while known.placed.len() > KNOWN_MAX {
            known.placed.pop_front();
        }
        while known.resting.len() > KNOWN_MAX {
            known.resting.pop_front();
        }
    }
}

/// A request about an order placed earlier.
struct FollowUp {
    request: Request<Full<Bytes>>,
    /// The order that it cancels.
    cancelling: Option<String>,
    /// The visit that it belongs to, if it is the first look at the order.
    visit: Option<String>,
}

/// An order that was placed.
#[derive(Debug)]
struct Placed {
    id: String,
    account: String,
    /// The visit in which that was, until somebody has looked at it.
    visit: Option<String>,
}

fn bodiless(method: Method, path: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    request
        .body(Full::default())
        .expect("ids and accounts make a valid path")
}

/// How one request ended.
#[derive(Clone, Debug)]
enum Ending {
    Ok(Duration),
    Refused(String),
    Failed,
}

impl Ending {
    fn of(response: &Result<Response<Bytes>, ClientError>, latency: Duration) -> Self {
        match response {
            Ok(response) if response.status().is_success() => Self::Ok(latency),
            Ok(response) => problem_code(response).map_or(Self::Failed, Self::Refused),
            Err(_) => Self::Failed,
        }
    }
}

/// The last segment of a problem's type; it is the code, whoever made the problem.
fn problem_code(response: &Response<Bytes>) -> Option<String> {
    let content_type = response.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    if !content_type.starts_with("application/problem+json") {
        return None;
    }
    let problem: Value = serde_json::from_slice(response.body()).ok()?;
    let code = problem["type"].as_str()?.rsplit(['/', ':', '#']).next()?;
    Some(code.to_owned())
}

/// The endings of one tier.
#[derive(Clone, Debug, Default)]
struct Tally {
    total: Counts,
    recent: VecDeque<(Instant, Ending)>,
}

impl Counts {
    fn add(&mut self, ending: &Ending) {
        match ending {
            Ending::Ok(_) => self.ok += 1,
            Ending::Failed => self.failed += 1,
            Ending::Refused(code) => {
                let room = self.refused.len() < CODES_MAX || self.refused.contains_key(code);
                let code = if room { code.as_str() } else { "other" };
                *self.refused.entry(code.to_owned()).or_default() += 1;
            }
        }
    }
}

impl Tally {
    fn record(&mut self, now: Instant, ending: Ending) {
        self.total.add(&ending);
        self.recent.push_back((now, ending));
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        let old = |(at, _): &(Instant, Ending)| now.duration_since(*at) > WINDOW;
        while self.recent.len() > SAMPLES_MAX || self.recent.front().is_some_and(old) {
            self.recent.pop_front();
        }
    }

    fn snapshot(&mut self, tier: &'static str, now: Instant) -> TierSnapshot {
        self.forget(now);
        let mut recent = Counts::default();
        let mut latencies = Vec::new();
        for (_, ending) in &self.recent {
            recent.add(ending);
            if let Ending::Ok(latency) = ending {
                latencies.push(*latency);
            }
        }
        latencies.sort_unstable();
        // Nearest rank: the smallest latency that at least this many percent do not exceed.
        let percentile = |percent: usize| {
            latencies
                .get((latencies.len() * percent).div_ceil(100).max(1) - 1)
                .copied()
        };
        let (p50, p99) = (percentile(50), percentile(99));
        TierSnapshot {
            tier,
            total: self.total.clone(),
            recent,
            p50,
            p99,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_forgets_after_the_window_and_total_does_not() {
        let (mut tally, start) = (Tally::default(), Instant::now());
        for millis in 1..=100 {
            tally.record(start, Ending::Ok(Duration::from_millis(millis)));
        }
        tally.record(start + WINDOW, Ending::Refused("risk-limit".into()));
        let before = tally.snapshot("gold", start + WINDOW);
        assert_eq!(before.recent.ok, 100);
        assert_eq!(before.p50, Some(Duration::from_millis(50)));
        assert_eq!(before.p99, Some(Duration::from_millis(99)));
        let after = tally.snapshot("gold", start + WINDOW + Duration::from_millis(1));
        assert_eq!((after.recent.ok, after.total.ok, after.p50), (0, 100, None));
        assert_eq!(
            after.recent.refused,
            BTreeMap::from([("risk-limit".to_owned(), 1)])
        );
    }

    #[test]
    fn codes_beyond_the_bound_are_counted_together() {
        let mut counts = Counts::default();
        for n in 0..100 {
            counts.add(&Ending::Refused(format!("code-{n}")));
        }
        assert_eq!(counts.refused.len(), CODES_MAX + 1);
        assert_eq!(counts.refused["other"], 100 - CODES_MAX as u64);
    }

    #[test]
    fn a_code_is_found_in_every_usual_form_of_type() {
        for form in [
            "https://x.example/problems/shed",
            "urn:x:problem:shed",
            "/errors#shed",
            "shed",
        ] {
            let response = Response::builder()
                .status(503)
                .header(header::CONTENT_TYPE, "application/problem+json")
                .body(Bytes::from(json!({ "type": form }).to_string()))
                .unwrap();
            assert_eq!(problem_code(&response).as_deref(), Some("shed"), "{form}");
        }
    }
}
