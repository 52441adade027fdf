//! Names and health in a world that can be silent, on a clock that is turned: how long things take is exact.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gateway::Gateway;
use gateway::env::{Accepted, Boxed, Env, Stream, World, WorldListener};
use gateway::plan::{EndpointPlan, Plan, UpstreamPlan};
use plimsoll_policy::HealthConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// Names are `n-PORT` and lead to a port of their own. What is silent neither answers nor fails.
#[derive(Debug, Default)]
struct Fake {
    silent_names: Mutex<BTreeSet<u16>>,
    silent_ports: Mutex<BTreeSet<u16>>,
    lookups: AtomicU32,
    lookups_most: AtomicU32,
    lookups_made: AtomicU32,
    asked: Mutex<Vec<u16>>,
}

impl Fake {
    fn silence_names(&self, ports: impl IntoIterator<Item = u16>) {
        *self.silent_names.lock().unwrap() = ports.into_iter().collect();
    }

    fn silence_ports(&self, ports: impl IntoIterator<Item = u16>) {
        *self.silent_ports.lock().unwrap() = ports.into_iter().collect();
    }

    fn asked(&self, port: u16) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| **asked == port)
            .count()
    }
}

/// Never ends if what is waited for is silent.
async fn unless(silent: bool) {
    if silent {
        std::future::pending::<()>().await;
    }
}

/// Counts a look-up for as long as it lasts.
struct Lookup<'a>(&'a Fake);

impl Drop for Lookup<'_> {
    fn drop(&mut self) {
        self.0.lookups.fetch_sub(1, Relaxed);
    }
}

/// The world as the gateway gets it; the test keeps the other handle.
struct Handle(Arc<Fake>);

impl World for Handle {
    fn connect(&self, address: SocketAddr) -> Boxed<'_, io::Result<Stream>> {
        Box::pin(async move {
            self.0.asked.lock().unwrap().push(address.port());
            let silent = self.0.silent_ports.lock().unwrap().contains(&address.port());
            unless(silent).await;
            let (ours, mut theirs) = tokio::io::duplex(4096);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while theirs.read(&mut head).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    theirs.write_all(answer).await.unwrap();
                }
            });
            Ok(Stream::Other(Box::new(ours)))
        })
    }

    fn listen(&self, address: SocketAddr) -> Boxed<'_, io::Result<Box<dyn WorldListener>>> {
        let listener: Box<dyn WorldListener> = Box::new(Deaf(address));
        Box::pin(async move { Ok(listener) })
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let now = self.0.lookups.fetch_add(1, Relaxed) + 1;
            self.0.lookups_most.fetch_max(now, Relaxed);
            self.0.lookups_made.fetch_add(1, Relaxed);
            let _counted = Lookup(&self.0);
            let named = host.trim_start_matches("n-").parse().unwrap();
            let silent = self.0.silent_names.lock().unwrap().contains(&named);
            unless(silent).await;
            Ok(vec![SocketAddr::from(([10, 0, 0, 1], named.max(port)))])
        })
    }

    fn wall(&self) -> Duration {
        Duration::from_hours(500_000)
    }
}

/// A listener that nobody calls.
struct Deaf(SocketAddr);

impl WorldListener for Deaf {
    fn accept(&mut self) -> Boxed<'_, io::Result<Accepted>> {
        Box::pin(std::future::pending())
    }

    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.0)
    }
}

/// An upstream with an endpoint for each of these names.
fn upstream(name: &str, ports: impl IntoIterator<Item = u16>) -> UpstreamPlan {
    let endpoint = |port| EndpointPlan::Host(format!("n-{port}"), 1);
    UpstreamPlan::new(name, ports.into_iter().map(endpoint).collect())
}

fn plan(upstreams: Vec<UpstreamPlan>) -> Plan {
    let mut plan = Plan::in_front_of("127.0.0.1:8080".parse().unwrap(), upstreams[0].clone());
    plan.upstreams = upstreams;
    plan
}

async fn start(fake: &Arc<Fake>, plan: Plan) -> Gateway {
    let env = Env::simulated(7, Arc::new(Handle(Arc::clone(fake))));
    Gateway::build(env, plan, 1).await.unwrap().0
}

/// The ports of an upstream's endpoints that are up, as far as health checks know.
fn up(gateway: &Gateway, index: usize) -> Vec<u16> {
    let endpoints = gateway.running().upstreams[index].state.endpoints();
    let readings = endpoints.iter().map(|e| e.reading(gateway.env().now()));
    let address = |reading: gateway::upstream::EndpointReading| {
        let address: SocketAddr = reading.address.parse().unwrap();
        address.port()
    };
    readings.filter(|reading| reading.healthy).map(address).collect()
}

#[tokio::test(start_paused = true)]
async fn dead_names_are_waited_for_together() {
    let fake = Arc::new(Fake::default());
    fake.silence_names(1..=10);
    let began = Instant::now();
    let gateway = start(&fake, plan(vec![upstream("dead", 1..=10)])).await;
    assert_eq!(began.elapsed().as_secs(), 3, "one look-up's time at the start");
    let began = Instant::now();
    gateway.apply(plan(vec![upstream("dead", 1..=10)])).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 3, "and at a reload");
    let error = gateway.running().upstreams[0].state.resolve_error();
    assert!(error.contains("no answer from the resolver"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn look_ups_at_once_are_bounded() {
    let fake = Arc::new(Fake::default());
    fake.silence_names(1..=40);
    let began = Instant::now();
    start(&fake, plan(vec![upstream("dead", 1..=40)])).await;
    assert_eq!(fake.lookups_most.load(Relaxed), 16);
    assert_eq!(began.elapsed().as_secs(), 9, "40 names are three turns");
}

#[tokio::test(start_paused = true)]
async fn a_dead_name_keeps_nobody_elses_addresses_back() {
    let fake = Arc::new(Fake::default());
    let gateway = start(
        &fake,
        plan(vec![upstream("dead", 1..=10), upstream("good", [11])]),
    )
    .await;
    assert_eq!(up(&gateway, 1), [11]);
    fake.silence_names(1..=10);
    let gone = upstream("good", [12]);
    let applied = tokio::spawn({
        let gateway = gateway.clone();
        async move {
            gateway
                .apply(plan(vec![upstream("dead", 1..=10), gone]))
                .await
                .map(drop)
        }
    });
    tokio::time::timeout(SECOND, applied).await.unwrap_err();
    assert_eq!(
        up(&gateway, 1),
        [12],
        "known a second later, with the dead ones still out"
    );
    assert_eq!(up(&gateway, 0).len(), 10, "whose last addresses stay");
}

#[tokio::test(start_paused = true)]
async fn names_are_looked_up_as_often_as_the_plan_that_runs_says() {
    let every = |interval| {
        let mut upstream = upstream("named", [1]);
        upstream.resolve_every = interval;
        plan(vec![upstream])
    };
    let fake = Arc::new(Fake::default());
    let gateway = start(&fake, every(Duration::from_hours(1))).await;
    let watched = gateway.clone();
    tokio::spawn(async move { watched.watch_names().await });
    let looked_up = || fake.lookups_made.load(Relaxed);
    tokio::time::sleep(Duration::from_mins(59)).await;
    assert_eq!(looked_up(), 1, "at the start");
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(looked_up(), 2);
    gateway.apply(every(SECOND * 2)).await.unwrap();
    let before = looked_up();
    tokio::time::sleep(SECOND * 10).await;
    assert!(
        (before + 4..=before + 6).contains(&looked_up()),
        "{}",
        looked_up() - before
    );
}

fn checked(ports: impl IntoIterator<Item = u16>, interval: Duration) -> UpstreamPlan {
    let mut upstream = upstream("checked", ports);
    upstream.health = Some(HealthConfig {
        interval,
        timeout: SECOND,
        fall: 1,
        ..HealthConfig::default()
    });
    upstream
}

fn check(gateway: &Gateway) {
    let gateway = gateway.clone();
    tokio::spawn(async move { gateway.check_health().await });
}

#[tokio::test(start_paused = true)]
async fn silent_endpoints_are_checked_together() {
    let fake = Arc::new(Fake::default());
    fake.silence_ports(1..=10);
    let gateway = start(&fake, plan(vec![checked(1..=11, SECOND)])).await;
    check(&gateway);
    // The first check comes within the interval; then there is one timeout, and a look of 100 ms.
    tokio::time::sleep(SECOND * 2 + SECOND / 5).await;
    assert_eq!(up(&gateway, 0), [11]);
    assert!(fake.asked(11) >= 1);
    tokio::time::sleep(SECOND * 10).await;
    assert!(
        (9..=12).contains(&fake.asked(11)),
        "the silent ones delay nobody's checks: {}",
        fake.asked(11)
    );
    fake.silence_ports([]);
    tokio::time::sleep(SECOND * 5).await;
    assert_eq!(up(&gateway, 0).len(), 11);
}

#[tokio::test(start_paused = true)]
async fn checks_that_are_switched_off_and_on_again_begin_anew() {
    let fake = Arc::new(Fake::default());
    fake.silence_ports([1]);
    let on = || plan(vec![checked([1], SECOND)]);
    let gateway = start(&fake, on()).await;
    check(&gateway);
    tokio::time::sleep(SECOND * 4).await;
    assert_eq!(up(&gateway, 0), [0; 0]);
    gateway.apply(plan(vec![upstream("checked", [1])])).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(up(&gateway, 0), [1]);
    gateway.apply(on()).await.unwrap();
    tokio::time::sleep(SECOND * 4).await;
    assert_eq!(up(&gateway, 0), [0; 0], "it is found out again");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_interval_is_kept_at_once() {
    let fake = Arc::new(Fake::default());
    let hour = Duration::from_hours(1);
    let gateway = start(&fake, plan(vec![checked([1], hour)])).await;
    check(&gateway);
    tokio::time::sleep(hour * 3).await;
    let before = fake.asked(1);
    gateway.apply(plan(vec![checked([1], SECOND)])).await.unwrap();
    tokio::time::sleep(SECOND * 5).await;
    assert!(fake.asked(1) >= before + 3, "{}", fake.asked(1) - before);
}
