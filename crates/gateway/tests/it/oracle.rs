//! hyper as an oracle: what passes through the gateway means to hyper what it meant without it.
//!
//! Messages are made by dice ([`messages`]), and most of them spoilt. Each goes twice to the same hyper: straight,
//! and through the gateway. Being stricter than hyper is fine: the gateway refuses, and nothing is compared. What it
//! lets through must be the same, field by field and byte by byte, in the same number and order, but for the fields
//! that it adds, drops or writes anew by contract. `ORACLE_SEED` and `ORACLE_CASES` choose other cases than the usual.

mod messages;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gateway::plan::{LimitsPlan, Plan};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use plimsoll_policy::{Dice, SeededDice};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Answer, gather};
use crate::origin::{AnyBody, Origin, Seen, Speaks, full, read_head};
use crate::world::{World, until, within};

/// Gateways at work side by side.
const WORKERS: u64 = 4;

/// A connection on which nothing comes for so long waits for more, as far as an incomplete message can tell.
const QUIET: Duration = Duration::from_millis(50);

/// Ends every case, if it is read as a request at all.
const END: &str = "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn chosen(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

/// The cases of one worker, as seeds.
fn seeds(worker: u64, usual: u64) -> impl Iterator<Item = u64> {
    let first = chosen("ORACLE_SEED", 1_000_000);
    (first..first + chosen("ORACLE_CASES", usual)).filter(move |seed| seed % WORKERS == worker)
}

/// No limit but those that are always there, and nothing that remembers the case before.
fn plain(plan: &mut Plan) {
    plan.listeners[0].limits = LimitsPlan {
        stream_idle: Duration::from_millis(500),
        ..LimitsPlan::default()
    };
    plan.observe.log_good = false;
    plan.listeners[0].routes[0].retry = None;
    plan.listeners[0].routes[0].deadline.total = Duration::from_secs(1);
    plan.upstreams[0].breaker = None;
    plan.upstreams[0].outlier = None;
}

type Kept = Arc<Mutex<Vec<Seen>>>;

/// Keeps a request that came whole.
async fn keep(request: Request<Incoming>, kept: Kept) -> std::io::Result<Response<AnyBody>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = body.to_bytes();
    kept.lock().unwrap().push(Seen { head, body, trailers });
    Ok(Response::new(full("ok")))
}

/// What hyper makes of these bytes.
async fn straight(bytes: &[u8]) -> Vec<Seen> {
    let kept = Kept::default();
    let (near, far) = tokio::io::duplex(1 << 16);
    let to = Arc::clone(&kept);
    let service = hyper::service::service_fn(move |request| keep(request, Arc::clone(&to)));
    let mut builder = hyper::server::conn::http1::Builder::new();
    let serving = builder
        .half_close(true)
        .serve_connection(TokioIo::new(far), service);
    let (mut read, mut write) = tokio::io::split(near);
    let sending = async {
        let _closed = write.write_all(bytes).await;
        let _closed = write.shutdown().await;
    };
    let mut answers = Vec::new();
    let _ended = within("hyper", async {
        tokio::join!(serving, sending, read.read_to_end(&mut answers))
    })
    .await;
    std::mem::take(&mut *kept.lock().unwrap())
}

/// Sends these bytes in pieces and reads until the end, or until nothing comes for `patience`.
async fn send(address: SocketAddr, bytes: &[u8], cuts: &[usize], patience: Duration) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut read, mut write) = stream.split();
    let sending = async {
        let mut from = 0;
        for cut in cuts {
            let _closed = write.write_all(&bytes[from..*cut]).await;
            from = *cut;
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(Ok(1..)) = tokio::time::timeout(patience, read.read(&mut buffer)).await {}
    };
    let mut sending = std::pin::pin!(sending);
    let mut sent = false;
    let mut reading = std::pin::pin!(reading);
    loop {
        tokio::select! {
            biased;
            () = &mut reading => return,
            () = &mut sending, if !sent => sent = true,
        }
    }
}

/// Fields that the gateway writes itself, or that were for it.
const OURS: &[&str] = &[
    "host",
    "content-length",
    "date",
    "te",
    "x-plimsoll-attempt",
    "x-plimsoll-attempts",
    "x-plimsoll-deadline-ms",
    "x-request-id",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "traceparent",
];

/// Fields of one connection.
const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
];

fn listed(fields: &HeaderMap, name: &str) -> Vec<String> {
    let values = fields
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','));
    values
        .map(|item| String::from_utf8_lossy(item).trim().to_ascii_lowercase())
        .collect()
}

/// The fields that go end to end, by name, the values in their order.
fn end_to_end(fields: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let named = listed(fields, "connection");
    let mut kept = BTreeMap::<_, Vec<_>>::new();
    for (name, value) in fields {
        let name = name.as_str();
        let is_named = named.iter().any(|n| n == name) && !name.starts_with("x-");
        if !OURS.contains(&name) && !HOP.contains(&name) && !is_named {
            kept.entry(name.to_owned())
                .or_default()
                .push(short(value.as_bytes()));
        }
    }
    kept
}

/// Bytes in words that are not too many, and differ if they do.
fn short(bytes: &[u8]) -> String {
    if bytes.len() <= 200 {
        return bytes.escape_ascii().to_string();
    }
    let mut hasher = std::hash::DefaultHasher::new();
    bytes.hash(&mut hasher);
    let (first, hash) = (bytes[..100].escape_ascii(), hasher.finish());
    format!("{first}… {} bytes, {hash:x}", bytes.len())
}

/// A request as far as the gateway may not change it, in words.
fn said(seen: &Seen) -> String {
    let uri = &seen.head.uri;
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    let target = format!("{}{query}", uri.path());
    let wants_trailers = listed(&seen.head.headers, "te").contains(&"trailers".to_owned());
    format!(
        "{} {target} {:?}\ntrailers wanted: {wants_trailers}\n{} bytes: {}\n{:?}",
        seen.head.method,
        end_to_end(&seen.head.headers),
        seen.body.len(),
        short(&seen.body),
        end_to_end(&seen.trailers),
    )
}

/// Where the gateway is laxer than hyper: an HTTP/1.0 caller who lists `keep-alive` beside bytes that are no ASCII.
/// hyper does not read such a list, and closes. Where the request ends is the same to both.
fn may_be_followed(last: &Seen) -> bool {
    let lists = last.head.headers.get_all("connection");
    last.head.version == http::Version::HTTP_10 && lists.iter().any(|list| list.to_str().is_err())
}

/// The host that a request names.
fn host(seen: &Seen) -> Option<String> {
    let target = seen.head.uri.authority().map(|host| host.as_str().to_owned());
    target.or_else(|| Some(seen.header("host").to_owned()).filter(|host| !host.is_empty()))
}

/// How much a run compared, so that one that compares nothing is not taken for a good one.
#[derive(Debug, Default)]
struct Compared {
    alike: usize,
    refused: usize,
}

#[tokio::test]
async fn requests_mean_behind_the_gateway_what_they_meant_before_it() {
    let workers = (0..WORKERS).map(|worker| requests(seeds(worker, 3000)));
    let compared = sum(futures(workers).await);
    assert!(
        compared.alike > compared.refused && compared.refused > 0 || chosen("ORACLE_CASES", 0) > 0,
        "{compared:?}"
    );
}

fn sum(parts: Vec<Compared>) -> Compared {
    parts.into_iter().fold(Compared::default(), |sum, part| Compared {
        alike: sum.alike + part.alike,
        refused: sum.refused + part.refused,
    })
}

/// Runs all to their end, side by side.
async fn futures<F: Future<Output = Compared> + 'static>(all: impl Iterator<Item = F>) -> Vec<Compared> {
    let local = tokio::task::LocalSet::new();
    let running: Vec<_> = all.map(|one| local.spawn_local(one)).collect();
    local.await;
    let mut done = Vec::new();
    for one in running {
        match one.await {
            Ok(compared) => done.push(compared),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
    done
}

async fn requests(seeds: impl Iterator<Item = u64>) -> Compared {
    let kept = Kept::default();
    let to = Arc::clone(&kept);
    let origin = Origin::serving(Speaks::Http1, move |request| keep(request, Arc::clone(&to))).await;
    let world = World::of(&[&origin]).plan(plain).start().await;
    let mut compared = Compared::default();
    let (mut reached, mut before) = (0, "none".to_owned());
    for seed in seeds {
        let mut dice = SeededDice::new(seed);
        let mut bytes = Vec::new();
        for _ in 0..=dice.below(3) {
            bytes.extend(messages::request(&mut dice, seed));
        }
        let good = dice.below(3) == 0;
        if !good {
            messages::mutate(&mut dice, &mut bytes);
        }
        bytes.extend_from_slice(END.as_bytes());
        let cuts = messages::pieces(&mut dice, bytes.len());
        let mut expected = straight(&bytes).await;
        // The gateway answers these itself, and the connection goes on.
        expected.retain(|seen| {
            let expects = seen.head.headers.get("expect");
            let met = expects.is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
            met && seen.head.uri.path() != "*"
        });
        let ends = expected.last().is_some_and(|last| last.head.uri.path() == "/end");
        let patience = if ends { crate::world::LONG } else { QUIET };
        send(world.address(), &bytes, &cuts, patience).await;
        until("the connection to be gone", || {
            world.gateway.connections()[0].1 == 0
        })
        .await;
        let came = std::mem::take(&mut *kept.lock().unwrap());
        reached += came.len() as u64;
        // What was under way when the caller before left may have come late.
        let came: Vec<_> = came
            .into_iter()
            .filter(|seen| seen.header("x-case") != before)
            .collect();
        before = seed.to_string();
        let whole = came.len() == expected.len();
        let wrong = came.len() > expected.len() && !expected.last().is_some_and(may_be_followed)
            || came.iter().zip(&expected).any(|(came, expected)| {
                said(came) != said(expected)
                    || host(expected).is_some_and(|host| Some(host) != self::host(came))
            });
        assert!(
            !wrong,
            "seed {seed}: {}\nin pieces {cuts:?}\nstraight: {}\nthrough: {}",
            bytes.escape_ascii(),
            expected.iter().map(said).collect::<String>(),
            came.iter().map(said).collect::<String>(),
        );
        compared.alike += usize::from(whole);
        compared.refused += usize::from(!whole);
    }
    let tally = world.tally();
    assert!(
        reached <= tally.attempts,
        "{reached} requests of {}",
        world.counted()
    );
    compared
}

/// What the origin says to the case under way.
#[derive(Clone, Default)]
struct Script {
    seed: u64,
    bytes: Bytes,
    cuts: Vec<usize>,
    /// The connection goes on after it.
    stays: bool,
}

impl Script {
    async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let mut from = 0;
        for cut in &self.cuts {
            to.write_all(&self.bytes[from..*cut]).await?;
            from = *cut;
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// What a hyper client makes of what comes back; `None` if it is no answer.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    method: &str,
    seed: u64,
) -> Option<Answer> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .ok()?;
    let connection = tokio::task::spawn_local(connection);
    let request = Request::builder().method(method).uri(format!("/{seed}"));
    let request = request.header("host", "a").header("te", "trailers");
    let answered = within(
        "an answer",
        sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()),
    )
    .await;
    let answer = match answered {
        Ok(answer) => Some(gather(answer).await),
        Err(_) => None,
    };
    connection.abort();
    answer
}

/// The same without the gateway.
async fn ask_straight(script: Script, method: &str) -> Option<Answer> {
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let seed = script.seed;
    let origin = tokio::task::spawn_local(async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(far.read_u8().await.unwrap());
        }
        drop(script.write(&mut far).await);
    });
    let answer = ask(near, method, seed).await;
    origin.abort();
    answer
}

/// An answer as far as the gateway may not change it, in words.
fn told(answer: &Answer) -> String {
    format!("{} {:?}", answer.status, end_to_end(&answer.headers))
}

/// An answer with its body, in words.
fn whole(answer: &Answer) -> String {
    let (body, trailers) = (short(&answer.body), &answer.trailers);
    format!("{}\n{} {body}\n{trailers:?}", told(answer), answer.whole)
}

#[tokio::test]
async fn answers_mean_before_the_gateway_what_they_meant_behind_it() {
    let workers = (0..WORKERS).map(|worker| answers(seeds(worker, 3000)));
    let compared = sum(futures(workers).await);
    assert!(
        compared.alike > compared.refused && compared.refused > 0 || chosen("ORACLE_CASES", 0) > 0,
        "{compared:?}"
    );
}

async fn answers(seeds: impl Iterator<Item = u64>) -> Compared {
    let script = Arc::new(Mutex::new(Script::default()));
    let current = Arc::clone(&script);
    let origin = Origin::raw(move |mut stream, _| {
        let current = Arc::clone(&current);
        async move {
            while read_head(&mut stream).await.is_some() {
                let script = current.lock().unwrap().clone();
                if script.write(&mut stream).await.is_err() || !script.stays {
                    return;
                }
            }
        }
    })
    .await;
    let world = World::of(&[&origin]).plan(plain).start().await;
    let mut compared = Compared::default();
    for seed in seeds {
        let mut dice = SeededDice::new(seed);
        let (mut bytes, ends) = messages::answer(&mut dice);
        let mut stays = false;
        match dice.below(4) {
            0 | 1 => messages::mutate(&mut dice, &mut bytes),
            2 if !ends => {
                stays = true;
                // More than was asked for, which the next request on the connection must not get.
                bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
            }
            _ => stays = !ends,
        }
        let cuts = messages::pieces(&mut dice, bytes.len());
        let one = Script {
            seed,
            bytes: bytes.into(),
            cuts,
            stays,
        };
        *script.lock().unwrap() = one.clone();
        let method = if dice.below(6) == 0 { "HEAD" } else { "GET" };
        let expected = ask_straight(one.clone(), method).await;
        let stream = TcpStream::connect(world.address()).await.unwrap();
        let came = ask(stream, method, seed)
            .await
            .expect("the gateway always answers");
        let refused = came.headers.contains_key("x-plimsoll-reason");
        let same = refused
            || expected.as_ref().is_some_and(|expected| {
                let body = if came.whole {
                    expected.whole
                        && came.body == expected.body
                        && end_to_end(&came.trailers) == end_to_end(&expected.trailers)
                } else {
                    expected.body.starts_with(&came.body)
                };
                body && told(&came) == told(expected)
            });
        assert!(
            same,
            "seed {seed}, {method}: {}\nin pieces {:?}\nstraight: {}\nthrough: {}",
            one.bytes.escape_ascii(),
            one.cuts,
            expected.as_ref().map_or("nothing".to_owned(), whole),
            whole(&came),
        );
        compared.refused += usize::from(refused);
        compared.alike += usize::from(!refused && came.whole);
    }
    compared
}
