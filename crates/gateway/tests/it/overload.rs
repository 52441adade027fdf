//! Limits that refuse: rates, the bulkhead, the breaker, connections, streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use gateway::plan::{KeyPart, RatePlan};
use gateway::upstream::Endpoint;
use http::{Request, Response};
use plimsoll_policy::{BreakerConfig, BreakerState, BudgetConfig, Quota};

use crate::client::{Http2, gather};
use crate::origin::{Origin, Speaks, full, held, status_only};
use crate::world::{World, until, within};

fn rate(quota: Quota, key: Vec<KeyPart>) -> RatePlan {
    RatePlan {
        name: "per-tenant".into(),
        key,
        quota,
        by_tier: Vec::new(),
        keys_max: 1000,
    }
}

#[tokio::test]
async fn what_an_upstream_refuses_is_its_fault_only_if_the_caller_may_ask_for_so_much() {
    let quota = Quota::new(10, Duration::from_secs(1), 3).unwrap();
    for (rates, told) in [
        (vec![], "excluded upstream-rate-limited 429 x1"),
        (
            vec![rate(quota, vec![KeyPart::Tenant])],
            "bad upstream-rate-limited 429 x1",
        ),
    ] {
        let origin = Origin::answering(|_| status_only(429)).await;
        let mut world = World::of(&[&origin]).route(|r| r.rates = rates).start().await;
        let answer = world.wire().await.ask("POST", "/", "", b"").await;
        assert_eq!(answer.status, 429, "it is passed on");
        assert_eq!(world.told().await, told);
    }
}

#[tokio::test]
async fn a_rate_is_kept_told_and_recovers() {
    let origin = Origin::saying("ok").await;
    let quota = Quota::new(10, Duration::from_secs(1), 3).unwrap();
    let mut world = World::of(&[&origin])
        .route(|r| r.rates = vec![rate(quota, vec![KeyPart::Tenant])])
        .start()
        .await;
    let mut wire = world.wire().await;
    for left in ["2", "1", "0"] {
        let answer = wire.ask("GET", "/", "X-Tenant: a\r\n", b"").await;
        assert_eq!(answer.status, 200);
        assert!(
            answer.header("ratelimit").contains(&format!("r={left}")),
            "{answer:?}"
        );
        assert!(
            answer.header("ratelimit-policy").contains("\"per-tenant\";q="),
            "{answer:?}"
        );
        assert_eq!(world.told().await, "good 200 x1");
    }
    let answer = wire.ask("GET", "/", "X-Tenant: a\r\n", b"").await;
    assert_eq!(
        (answer.verdict().as_str(), answer.header("retry-after")),
        ("429 rate-limited", "1")
    );
    assert!(answer.header("ratelimit").contains("r=0"), "{answer:?}");
    assert_eq!(
        (answer.problem("retriable"), answer.problem("blame")),
        ("safe", "caller")
    );
    assert_eq!(world.told().await, "excluded rate-limited 429 x0");
    let wait: u64 = answer.problem("retry_after_ms").parse().unwrap();
    assert!(wait <= 100, "{wait}");
    assert_eq!(
        wire.ask("GET", "/", "X-Tenant: b\r\n", b"").await.status,
        200,
        "another caller has its own"
    );
    assert_eq!(world.told().await, "good 200 x1");
    // No condition to wait for: what is tested is that the promised time is enough.
    tokio::time::sleep(Duration::from_millis(wait + 1)).await;
    assert_eq!(
        wire.ask("GET", "/", "X-Tenant: a\r\n", b"").await.status,
        200,
        "what was promised holds"
    );
    assert_eq!(world.told().await, "good 200 x1");
}

#[tokio::test]
async fn a_rate_holds_over_cores_protocols_and_reloads() {
    let origin = Origin::saying("ok").await;
    let quota = Quota::new(1, Duration::from_hours(1), 5).unwrap();
    let world = World::of(&[&origin])
        .route(|route| route.rates = vec![rate(quota, vec![KeyPart::ClientAddress])])
        .cores(2)
        .start()
        .await;
    let mut admitted = 0;
    for _ in 0..10 {
        admitted += u32::from(world.get("/").await.status == 200);
        admitted += u32::from(Http2::to(world.address()).await.get("/").await.status == 200);
        world
            .reload(|plan| plan.observe.slow += Duration::from_secs(1))
            .await;
    }
    assert_eq!(admitted, 5);
}

#[tokio::test]
async fn a_full_bulkhead_refuses_and_empties() {
    let (origin, gate) = held().await;
    let mut world = World::of(&[&origin])
        .upstream(|upstream| upstream.in_flight_max = 2)
        .start()
        .await;
    let mut inside = [world.wire().await, world.wire().await];
    for wire in &mut inside {
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    }
    let in_flight = |world: &World| world.gateway.running().upstreams[0].state.bulkhead().0;
    until("both to be inside", || in_flight(&world) == 2).await;
    let answer = world.get("/").await;
    assert_eq!(
        (answer.verdict().as_str(), answer.header("retry-after")),
        ("503 bulkhead-full", "1")
    );
    assert_eq!(
        (answer.problem("delivered"), answer.problem("blame")),
        ("no", "us")
    );
    assert_eq!(world.told().await, "bad bulkhead-full 503 x0");
    gate.add_permits(2);
    for wire in &mut inside {
        assert_eq!(wire.answer().await.status, 200);
        assert_eq!(world.told().await, "good 200 x1");
    }
    until("both to have left", || in_flight(&world) == 0).await;
    gate.add_permits(1);
    assert_eq!(world.get("/").await.status, 200);
    assert_eq!(world.counted(), "good 3, bad bulkhead-full 1, attempts 3");
}

#[tokio::test]
async fn the_breaker_trips_refuses_and_recovers() {
    let sick = Arc::new(AtomicBool::new(true));
    let is_sick = Arc::clone(&sick);
    let origin = Origin::answering(move |_| {
        if is_sick.load(Relaxed) {
            status_only(500)
        } else {
            Response::new(full("ok"))
        }
    })
    .await;
    let breaker = BreakerConfig {
        open_base: Duration::from_millis(300),
        ramp_step: Duration::from_millis(10),
        ..BreakerConfig::default()
    };
    let mut world = World::of(&[&origin])
        .upstream(|upstream| (upstream.breaker, upstream.outlier) = (Some(breaker), None))
        .start()
        .await;
    let state = |world: &World| {
        world.gateway.running().upstreams[0]
            .state
            .breaker_state(world.gateway.env().now())
    };
    for _ in 0..10 {
        assert_eq!(world.get("/").await.status, 500);
        assert_eq!(world.told().await, "bad upstream-error 500 x1");
    }
    assert_eq!(state(&world), BreakerState::Tripped);
    let answer = world.get("/").await;
    assert_eq!(
        (answer.verdict().as_str(), answer.header("retry-after")),
        ("503 breaker-tripped", "1")
    );
    assert_eq!(
        (answer.problem("delivered"), answer.problem("blame")),
        ("no", "upstream")
    );
    assert_eq!(world.told().await, "bad breaker-tripped 503 x0");
    assert_eq!(origin.seen().len(), 10, "it is left alone");
    // A reload keeps what was learned.
    world
        .reload(|plan| plan.observe.slow += Duration::from_secs(1))
        .await;
    assert_eq!(state(&world), BreakerState::Tripped);
    sick.store(false, Relaxed);
    until("the breaker to probe", || state(&world) == BreakerState::Probing).await;
    let mut good = 0;
    while state(&world) != BreakerState::Passing && good < 1000 {
        good += u32::from(world.get("/").await.status == 200);
    }
    assert!(good >= 16, "one probe and three steps of five: {good}");
    assert_eq!(state(&world), BreakerState::Passing);
    assert_eq!(world.gateway.running().upstreams[0].state.breaker_trips(), 1);
}

#[tokio::test]
async fn callers_do_not_trip_the_breaker() {
    let origin = Origin::serving(Speaks::Http1, |request| async move {
        if request.uri().path() == "/hang" {
            std::future::pending::<()>().await;
        }
        Ok(status_only(404))
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    for _ in 0..30 {
        assert_eq!(world.get("/").await.status, 404);
        assert_eq!(world.told().await, "good 404 x1");
        let mut wire = world.wire().await;
        wire.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until("the request", || {
            world.gateway.running().upstreams[0].state.bulkhead().0 == 1
        })
        .await;
        drop(wire);
        assert_eq!(world.told().await, "excluded client-closed 0 x1");
    }
    let state = &world.gateway.running().upstreams[0].state;
    assert_eq!(
        state.breaker_state(world.gateway.env().now()),
        BreakerState::Passing
    );
}

#[tokio::test]
async fn one_connection_too_many_is_turned_away() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin])
        .plan(|plan| plan.listeners[0].limits.connections = 2)
        .start()
        .await;
    let mut held = [world.wire().await, world.wire().await];
    for wire in &mut held {
        assert_eq!(wire.ask("GET", "/", "", b"").await.status, 200);
    }
    let mut third = world.wire().await;
    let answer = third.answer().await;
    assert_eq!(answer.verdict(), "503 overloaded");
    assert_eq!(third.closed().await, "");
    until("it to be counted", || {
        world.counted() == "good 2, bad overloaded 1, attempts 2"
    })
    .await;
    assert_eq!(world.gateway.connections()[0].3, 1);
    drop(held);
    until("room", || world.gateway.connections()[0].1 == 0).await;
    assert_eq!(world.get("/").await.status, 200);
}

#[tokio::test]
async fn streams_beyond_the_limit_wait_their_turn() {
    let (origin, gate) = held().await;
    let world = World::of(&[&origin])
        .plan(|plan| plan.listeners[0].limits.streams = 4)
        .start()
        .await;
    let mut client = Http2::to(world.address()).await;
    // The settings have come with the first answer.
    gate.add_permits(1);
    client.get("/").await;
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let mut sender = client.sender();
            let request = Request::get("http://test/").body(full("")).unwrap();
            tokio::spawn(async move { gather(sender.send_request(request).await.unwrap()).await.status })
        })
        .collect();
    let in_flight = || world.gateway.running().upstreams[0].state.bulkhead().0;
    until("four at once", || in_flight() == 4).await;
    gate.add_permits(10);
    for asking in asking {
        assert_eq!(within("an answer", asking).await.unwrap(), 200);
    }
    assert_eq!(world.tally().good, 11);
}

/// CVE-2023-44487: streams opened and reset as fast as the wire allows.
#[tokio::test]
async fn a_flood_of_resets_ends_the_connection_and_nothing_else() {
    let origin = Origin::serving(Speaks::Http1, |_| std::future::pending()).await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    let mut flood = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // :method GET, :scheme http, :path /, :authority a
    let head = [0x82, 0x86, 0x84, 0x41, 0x01, b'a'];
    for stream in (1..20_000u32).step_by(2) {
        flood.extend([0, 0, head.len() as u8, 1, 5]);
        flood.extend(stream.to_be_bytes());
        flood.extend(head);
        flood.extend([0, 0, 4, 3, 0]);
        flood.extend(stream.to_be_bytes());
        flood.extend(8u32.to_be_bytes());
    }
    wire.try_send(&flood).await;
    wire.closed().await;
    until("the connection to be gone", || {
        world.gateway.connections()[0].1 == 0
    })
    .await;
    until("the permits", || {
        world.gateway.running().upstreams[0].state.bulkhead().0 == 0
    })
    .await;
    assert!(world.tally().attempts < 200, "{}", world.counted());
}

/// Whatever changes in a plan, what goes on under its name goes on with what it has learned and counted.
#[tokio::test]
async fn a_reload_keeps_what_was_learned_and_counted() {
    let failing = Origin::failing(503).await;
    let mut world = World::of(&[&failing])
        .upstream(|upstream| {
            upstream.breaker = None;
            upstream.outlier = None;
            upstream.budget = BudgetConfig {
                burst: 3,
                ..upstream.budget
            };
        })
        .start()
        .await;
    for _ in 0..40 {
        world.get("/").await;
        world.told().await;
    }
    let learned = |world: &World| {
        let upstream = Arc::clone(&world.gateway.running().upstreams[0]);
        let now = world.gateway.env().now();
        let of_endpoint = |endpoint: &Arc<Endpoint>| {
            let reading = endpoint.reading(now);
            let counts = (reading.attempts, reading.failures);
            (endpoint.id, counts, endpoint.latency.snapshot())
        };
        let endpoints: Vec<_> = upstream.state.endpoints().iter().map(of_endpoint).collect();
        let mut series = world.gateway.ledger().snapshot();
        series.retain(|(_, tally)| tally.total() > 0);
        let admission = upstream.state.admission();
        let admission = (admission.limit, admission.usual, admission.shed);
        (upstream.retry_tokens(), endpoints, series, admission)
    };
    let before = learned(&world);
    assert!(
        before.0 < 1.0 && before.1[0].1.0 > 40,
        "retries were paid for: {before:?}"
    );
    assert_eq!(before.2[0].1.latency.count(), 40);
    for number in 1..=3 {
        world
            .reload(|plan| {
                plan.observe.slow += Duration::from_secs(1);
                plan.upstreams[0].in_flight_max += number;
                let mut other = plan.listeners[0].routes[0].clone();
                (other.name, other.path) = (format!("other-{number}").into(), format!("/other-{number}"));
                plan.listeners[0].routes.push(other);
            })
            .await;
        assert!(learned(&world) == before, "{:?}", learned(&world));
    }
}
