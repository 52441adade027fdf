//! A gateway in a world of memory, whose clock stands still until everybody waits: what takes time takes exactly that.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway::Gateway;
use gateway::env::{Accepted, Boxed, Env, Stream, World, WorldListener};
use gateway::plan::{EndpointPlan, Plan, RoutePlan, UpstreamPlan};
use plimsoll_policy::DeadlineConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// More than any head or body of a vector, so that nobody ever waits for room.
const ROOM: usize = 1 << 20;

/// Everything is in this process; the origin does what each request's `x-script` says.
struct Memory {
    callers: Mutex<Option<mpsc::Receiver<Accepted>>>,
    origin: Origin,
}

impl World for Memory {
    fn connect(&self, _: SocketAddr) -> Boxed<'_, io::Result<Stream>> {
        let (near, far) = duplex(ROOM);
        tokio::spawn(self.origin.clone().serve(far));
        Box::pin(async { Ok(Stream::Other(Box::new(near))) })
    }

    fn listen(&self, address: SocketAddr) -> Boxed<'_, io::Result<Box<dyn WorldListener>>> {
        let callers = self
            .callers
            .lock()
            .unwrap()
            .take()
            .expect("there is one listener");
        let door: Box<dyn WorldListener> = Box::new(Door { callers, address });
        Box::pin(async { Ok(door) })
    }

    fn resolve<'a>(&'a self, _: &'a str, port: u16) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(vec![SocketAddr::from(([10, 0, 0, 1], port))]) })
    }

    fn wall(&self) -> Duration {
        Duration::from_hours(500_000)
    }
}

struct Door {
    callers: mpsc::Receiver<Accepted>,
    address: SocketAddr,
}

impl WorldListener for Door {
    fn accept(&mut self) -> Boxed<'_, io::Result<Accepted>> {
        Box::pin(async {
            match self.callers.recv().await {
                Some(caller) => Ok(caller),
                None => std::future::pending().await,
            }
        })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// What became of each request, by its name.
type Seen = Arc<Mutex<BTreeMap<String, Vec<BTreeMap<String, String>>>>>;

/// The service behind the gateway.
#[derive(Clone, Default)]
struct Origin {
    seen: Seen,
    body: usize,
}

impl Origin {
    async fn serve(self, mut stream: DuplexStream) {
        while let Some((_, fields)) = read_head(&mut stream).await {
            let length = fields
                .get("content-length")
                .map_or(0, |length| length.parse().unwrap());
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            let script = fields["x-script"].clone();
            let turn = {
                let mut seen = self.seen.lock().unwrap();
                let seen = seen.entry(fields["x-name"].clone()).or_default();
                seen.push(fields);
                seen.len() - 1
            };
            let (what, takes) = script.split(',').nth(turn).unwrap().split_once(':').unwrap();
            sleep(Duration::from_millis(takes.parse().unwrap())).await;
            let (status, after) = what.split_once('/').unwrap_or((what, ""));
            let after = if after.is_empty() {
                String::new()
            } else {
                format!("retry-after: {after}\r\n")
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\n{after}content-length: {}\r\n\r\n",
                self.body
            );
            let answered = async {
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&vec![b'x'; self.body]).await
            };
            if answered.await.is_err() {
                return;
            }
        }
    }
}

/// A head: its first line, and its fields in lower case.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, BTreeMap<String, String>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.split("\r\n");
    let first = lines.next()?.to_owned();
    let field = |line: &str| {
        line.split_once(": ")
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
    };
    Some((first, lines.filter_map(field).collect()))
}

/// A gateway in front of that service, on a clock of its own.
pub(crate) struct Bench {
    _gateway: Gateway,
    callers: mpsc::Sender<Accepted>,
    seen: Seen,
    pub(crate) began: Instant,
    /// Who calls; loopback is trusted.
    pub(crate) peer: SocketAddr,
}

/// What a caller got: nothing when the connection was closed on it.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: String,
    /// Since the case began, when it was asked.
    pub(crate) asked: Duration,
    /// Since the case began, to the end of the head.
    pub(crate) at: Duration,
    /// From there to the last byte.
    pub(crate) took: Duration,
    pub(crate) attempts: Vec<BTreeMap<String, String>>,
}

impl Got {
    pub(crate) fn reason(&self) -> &str {
        self.fields.get("x-plimsoll-reason").map_or("", String::as_str)
    }

    /// A number of the problem document.
    pub(crate) fn number(&self, name: &str) -> u64 {
        let (_, rest) = self
            .body
            .split_once(&format!("\"{name}\":"))
            .expect("the problem says it");
        let end = rest.find([',', '}']).unwrap();
        rest[..end].parse().unwrap()
    }
}

impl Bench {
    /// Must be called before the clock has turned, for its origin is the case's.
    pub(crate) async fn new(tune: impl FnOnce(&mut RoutePlan, &mut UpstreamPlan), body: usize) -> Self {
        let (callers, accepted) = mpsc::channel(64);
        let origin = Origin {
            body,
            ..Origin::default()
        };
        let seen = Arc::clone(&origin.seen);
        let world = Memory {
            callers: Mutex::new(Some(accepted)),
            origin,
        };
        let upstream = UpstreamPlan::new("origin", vec![EndpointPlan::Host("origin".to_owned(), 80)]);
        let mut plan = Plan::in_front_of(SocketAddr::from(([127, 0, 0, 1], 80)), upstream);
        let (route, upstream) = (&mut plan.listeners[0].routes[0], &mut plan.upstreams[0]);
        (route.retry, upstream.breaker, upstream.outlier, upstream.adaptive) = (None, None, None, None);
        // Longer than anything takes, so that only what a test is about is decided.
        route.deadline = DeadlineConfig {
            total: Duration::from_mins(4),
            ..DeadlineConfig::default()
        };
        tune(route, upstream);
        let built = Gateway::build(Env::simulated(1, Arc::new(world)), plan, 1).await;
        let (gateway, seats, _) = built.expect("the plan comes to life");
        for seat in seats {
            tokio::task::spawn_local(seat.run());
        }
        Self {
            _gateway: gateway,
            callers,
            seen,
            began: Instant::now(),
            peer: SocketAddr::from(([127, 0, 0, 1], 1000)),
        }
    }

    /// Sends a request on a connection of its own and reads what comes, if anything does.
    pub(crate) async fn ask(
        &self,
        name: &str,
        (method, body): (&str, usize),
        script: &str,
        fields: &str,
    ) -> Option<Got> {
        let asked = self.began.elapsed();
        let (mut near, far) = duplex(ROOM);
        let accepted = Accepted {
            stream: Stream::Other(Box::new(far)),
            peer: Some(self.peer),
        };
        self.callers.send(accepted).await.expect("the gateway listens");
        let length = if method == "GET" && body == 0 {
            String::new()
        } else {
            format!("content-length: {body}\r\n")
        };
        let head = format!(
            "{method} / HTTP/1.1\r\nhost: test\r\nx-name: {name}\r\nx-script: {script}\r\n{fields}{length}\r\n"
        );
        near.write_all(head.as_bytes()).await.unwrap();
        near.write_all(&vec![b'x'; body]).await.unwrap();
        let (first, fields) = read_head(&mut near).await?;
        let at = self.began.elapsed();
        let mut body = vec![
            0;
            fields
                .get("content-length")
                .map_or(0, |length| length.parse().unwrap())
        ];
        near.read_exact(&mut body).await.unwrap();
        Some(Got {
            status: first.split(' ').nth(1).unwrap().parse().unwrap(),
            fields,
            body: String::from_utf8(body).unwrap(),
            asked,
            at,
            took: self.began.elapsed().saturating_sub(at),
            attempts: self.seen.lock().unwrap().get(name).cloned().unwrap_or_default(),
        })
    }
}
