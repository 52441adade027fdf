//! What comes in while memory is short, and what does not.

use plimsoll_policy::MemoryLevel;

use crate::client::Http2;
use crate::origin::{Origin, held};
use crate::world::{World, until};

#[tokio::test]
async fn tight_memory_keeps_callers_and_takes_no_new_ones() {
    let origin = Origin::saying("ok").await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    assert_eq!(wire.ask("GET", "/", "", b"").await.status, 200);
    for level in [MemoryLevel::Tight, MemoryLevel::Scarce] {
        world.gateway.set_memory_level(level);
        assert_eq!(wire.ask("GET", "/", "", b"").await.status, 200, "{level:?}");
        // What it asks at once does not cost it the answer.
        let mut new = world.wire().await;
        new.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = new.answer().await;
        assert_eq!(answer.verdict(), "503 memory-full", "{level:?}");
        assert_eq!(
            (answer.problem("delivered"), answer.problem("blame")),
            ("no", "us")
        );
        assert_eq!(answer.header("connection"), "close");
        drop(new);
    }
    assert_eq!(world.gateway.connections()[0].3, 2, "turned away");
    world.gateway.set_memory_level(MemoryLevel::Ample);
    assert_eq!(world.get("/").await.status, 200);
    until("all to be counted", || {
        world.counted() == "good 4, bad memory-full 2, attempts 4"
    })
    .await;
    for _ in 0..6 {
        world.event().await;
    }
}

/// What a caller can do without is given up before what it cannot, and nobody gets in by saying that it matters.
#[tokio::test]
async fn scarce_memory_sheds_what_may_be_shed() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    assert_eq!(wire.ask("GET", "/", "", b"").await.status, 200);
    for (level, priority, verdict) in [
        (MemoryLevel::Tight, "sheddable", "200"),
        (MemoryLevel::Scarce, "sheddable", "503 memory-full"),
        (MemoryLevel::Scarce, "normal", "200"),
        (MemoryLevel::Scarce, "critical", "200"),
        (MemoryLevel::Full, "critical", "503 memory-full"),
    ] {
        world.gateway.set_memory_level(level);
        let answer = wire
            .ask("GET", "/", &format!("X-Priority: {priority}\r\n"), b"")
            .await;
        assert_eq!(answer.verdict(), verdict, "{priority} at {level:?}");
    }
    assert_eq!(origin.seen().len(), 4);
}

#[tokio::test]
async fn full_memory_takes_nothing_and_finishes_what_there_is() {
    let (origin, gate) = held().await;
    let world = World::of(&[&origin]).start().await;
    let mut kept = world.wire().await;
    let mut http2 = Http2::to(world.address()).await;
    gate.add_permits(2);
    assert_eq!(kept.ask("GET", "/", "", b"").await.status, 200);
    assert_eq!(http2.get("/").await.status, 200);
    let mut under_way = world.wire().await;
    under_way.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("it to be sent", || {
        world.gateway.running().upstreams[0].state.bulkhead().0 == 1
    })
    .await;
    world.gateway.set_memory_level(MemoryLevel::Full);
    let refused = [kept.ask("POST", "/", "", b"hello").await, http2.get("/").await];
    for answer in refused {
        assert_eq!(answer.verdict(), "503 memory-full");
        let retry_after: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=3).contains(&retry_after), "{retry_after}");
        assert!(answer.problem("cause").contains("`limits.memory`"), "{answer:?}");
    }
    gate.add_permits(1);
    assert_eq!(under_way.answer().await.status, 200, "what is under way goes on");
    until("all to be counted", || {
        world.counted() == "good 3, bad memory-full 2, attempts 3"
    })
    .await;
}

/// Both ends of connections that nobody uses: the callers' and ours to the upstream.
#[tokio::test]
async fn tight_memory_closes_what_is_idle() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    let mut http2 = Http2::to(world.address()).await;
    assert_eq!(wire.ask("GET", "/", "", b"").await.status, 200);
    assert_eq!(http2.get("/").await.status, 200);
    let upstream = || {
        let upstream = &world.gateway.running().upstreams[0];
        let now = world.gateway.env().now();
        upstream
            .state
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.reading(now).connections)
            .sum::<u32>()
    };
    assert!(upstream() > 0, "it is kept for the next request");
    world.gateway.set_memory_level(MemoryLevel::Tight);
    assert_eq!(wire.closed().await, "");
    until("the callers' connections to be closed", || {
        world.gateway.connections()[0].1 == 0
    })
    .await;
    until("the upstream's connections to be closed", || upstream() == 0).await;
}
