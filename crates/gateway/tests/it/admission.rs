//! Slots: who waits for one, who gets the next, who is shed, and who does not need one.

use std::time::Duration;

use gateway::plan::{AdaptivePlan, UpstreamPlan};
use http::Response;
use plimsoll_policy::{Priority, ShedWhy};
use tokio::sync::Semaphore;

use crate::client::{Answer, Wire};
use crate::origin::{Origin, Speaks, full, held, stream};
use crate::world::{Builder, LONG, World, until, within};

/// An upstream that does one thing at a time, for which requests wait as long as it takes.
fn one_at_a_time(upstream: &mut UpstreamPlan) {
    upstream.adaptive = Some(AdaptivePlan {
        min: 1,
        max: Some(1),
        wait: LONG,
    });
}

fn in_front_of(origin: &Origin) -> Builder {
    World::of(&[origin]).upstream(one_at_a_time)
}

fn waiting(world: &World) -> u32 {
    world.gateway.running().upstreams[0].state.admission().waiting
}

fn busy(world: &World) -> u32 {
    world.gateway.running().upstreams[0].state.admission().busy
}

fn shed(world: &World, priority: Priority, why: ShedWhy) -> u64 {
    world.gateway.running().upstreams[0].state.admission().shed[priority as usize][why as usize]
}

/// Sends a request that will have to wait, and waits until it does.
async fn join(world: &World, path: &str, headers: &str) -> Wire {
    let before = waiting(world);
    let mut wire = world.wire().await;
    wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"))
        .await;
    until("it to wait", || waiting(world) == before + 1).await;
    wire
}

/// Sends a request that takes the only slot, and waits until it has it.
async fn occupy(world: &World) -> Wire {
    let mut wire = world.wire().await;
    wire.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("it to be inside", || busy(world) == 1).await;
    wire
}

/// The paths that came to the origin, in their order, with one let out at a time.
async fn order_of(gate: &Semaphore, wires: Vec<(&'static str, Wire)>) -> Vec<&'static str> {
    let mut order = Vec::new();
    let mut left = wires;
    while !left.is_empty() {
        gate.add_permits(1);
        let answered = async {
            let asked = left.iter_mut().map(|(_, wire)| Box::pin(wire.head()));
            first(asked.collect()).await
        };
        let at = within("an answer", answered).await;
        order.push(left.remove(at).0);
    }
    order
}

/// The index of whichever future is done first.
async fn first<F: Future + Unpin>(mut futures: Vec<F>) -> usize {
    std::future::poll_fn(|cx| {
        let done = futures
            .iter_mut()
            .position(|future| std::pin::Pin::new(future).poll(cx).is_ready());
        done.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}

#[tokio::test]
async fn the_important_pass_the_others() {
    let (origin, gate) = held().await;
    let world = in_front_of(&origin).start().await;
    let mut wires = vec![("first", occupy(&world).await)];
    for (path, headers) in [
        ("sheddable", "X-Priority: sheddable\r\n"),
        ("normal", ""),
        ("critical", "X-Priority: critical\r\n"),
    ] {
        wires.push((path, join(&world, &format!("/{path}"), headers).await));
    }
    let order = order_of(&gate, wires).await;
    assert_eq!(order, ["first", "critical", "normal", "sheddable"]);
    until("all slots to be free", || busy(&world) == 0).await;
}

#[tokio::test]
async fn tenants_take_turns() {
    let (origin, gate) = held().await;
    let world = in_front_of(&origin).start().await;
    let mut wires = vec![("first", occupy(&world).await)];
    for (path, headers) in [
        ("noisy 1", "X-Tenant: noisy\r\n"),
        ("noisy 2", "X-Tenant: noisy\r\n"),
        ("noisy 3", "X-Tenant: noisy\r\n"),
        ("quiet", "X-Tenant: quiet\r\n"),
    ] {
        wires.push((path, join(&world, "/", headers).await));
    }
    let order = order_of(&gate, wires).await;
    let quiet = order.iter().position(|name| *name == "quiet").unwrap();
    // The two share a cohort for one salt in 64, and then it is the last.
    assert!(quiet <= 2 || quiet == 4, "{order:?}");
    assert_eq!(order.iter().filter(|name| name.starts_with("noisy")).count(), 3);
}

#[tokio::test]
async fn who_makes_way_is_told_why_and_when_to_come_back() {
    let (origin, gate) = held().await;
    let mut world = in_front_of(&origin).start().await;
    let first = occupy(&world).await;
    let mut sheddable = Vec::new();
    for _ in 0..8 {
        sheddable.push(join(&world, "/", "X-Priority: sheddable\r\n").await);
    }
    // The queue has eight places. Among equals the newcomer goes, or the oldest once the queue stands.
    let mut critical = world.wire().await;
    critical
        .send("GET /critical HTTP/1.1\r\nHost: a\r\nX-Priority: critical\r\n\r\n")
        .await;
    let event = world.event().await;
    assert_eq!(crate::world::say(&event), "bad shed 503 x0");
    assert_eq!(event.priority, Priority::Sheddable);
    assert_eq!(waiting(&world), 8);
    let asked = sheddable.iter_mut().map(|wire| Box::pin(wire.answer()));
    let answered: Answer = within("an answer", first_value(asked.collect())).await;
    assert_eq!(answered.verdict(), "503 shed");
    assert_eq!(
        (
            answered.problem("delivered"),
            answered.problem("retriable"),
            answered.problem("blame")
        ),
        ("no", "safe", "upstream")
    );
    assert!(
        answered.problem("cause").contains("at most 1 at a time"),
        "{answered:?}"
    );
    let after: u64 = answered.header("retry-after").parse().unwrap();
    assert!((1..=31).contains(&after), "{after}");
    assert_eq!(shed(&world, Priority::Sheddable, ShedWhy::Full), 1);
    gate.add_permits(2);
    assert_eq!(critical.answer().await.status, 200);
    drop((first, sheddable));
    until("everybody to have left", || waiting(&world) == 0).await;
}

async fn first_value<F: Future + Unpin>(mut futures: Vec<F>) -> F::Output {
    std::future::poll_fn(|cx| {
        for future in &mut futures {
            if let std::task::Poll::Ready(value) = std::pin::Pin::new(future).poll(cx) {
                return std::task::Poll::Ready(value);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

#[tokio::test]
async fn nobody_waits_for_longer_than_it_is_worth() {
    let (origin, gate) = held().await;
    let mut world = World::of(&[&origin])
        .upstream(|upstream| {
            one_at_a_time(upstream);
            upstream.adaptive.as_mut().unwrap().wait = Duration::from_millis(20);
        })
        .start()
        .await;
    let mut inside = occupy(&world).await;
    let answer = world.get("/").await;
    assert_eq!(answer.verdict(), "503 shed");
    assert!(answer.text().contains("as long as that is worth"), "{answer:?}");
    assert_eq!(world.told().await, "bad shed 503 x0");
    assert_eq!(shed(&world, Priority::Normal, ShedWhy::Waited), 1);
    gate.add_permits(1);
    assert_eq!(inside.answer().await.status, 200);
    assert_eq!((busy(&world), waiting(&world)), (0, 0));
}

#[tokio::test]
async fn who_leaves_the_queue_takes_nothing_with_it() {
    let (origin, gate) = held().await;
    let mut world = in_front_of(&origin).start().await;
    let mut inside = occupy(&world).await;
    let gone = join(&world, "/gone", "").await;
    let mut stays = join(&world, "/stays", "").await;
    drop(gone);
    until("one to have left", || waiting(&world) == 1).await;
    assert_eq!(world.told().await, "excluded client-closed 0 x0");
    gate.add_permits(2);
    assert_eq!(inside.answer().await.status, 200);
    assert_eq!(stays.answer().await.status, 200);
    until("all slots to be free", || busy(&world) == 0).await;
}

#[tokio::test]
async fn a_stranger_may_only_say_that_it_matters_less() {
    let (origin, gate) = held().await;
    let mut world = in_front_of(&origin)
        .plan(|plan| plan.listeners[0].trust.clear())
        .start()
        .await;
    let mut inside = occupy(&world).await;
    let mut wires = Vec::new();
    for said in ["critical", "sheddable", "nonsense"] {
        wires.push(join(&world, "/", &format!("X-Priority: {said}\r\n")).await);
    }
    gate.add_permits(4);
    assert_eq!(inside.answer().await.status, 200);
    let mut believed = Vec::new();
    for mut wire in wires {
        assert_eq!(wire.answer().await.status, 200);
    }
    for _ in 0..4 {
        believed.push(world.event().await.priority);
    }
    assert_eq!(
        believed,
        [
            Priority::Normal,
            Priority::Normal,
            Priority::Normal,
            Priority::Sheddable
        ],
        "the last is the one that was served last"
    );
}

#[tokio::test]
async fn a_slow_caller_holds_no_slot() {
    let origin = Origin::saying("ok").await;
    let world = in_front_of(&origin).start().await;
    let mut slow = world.wire().await;
    slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        .await;
    until("it to be waited for", || {
        world.gateway.running().upstreams[0].state.bulkhead().0 == 1 && busy(&world) == 0
    })
    .await;
    assert_eq!(world.get("/").await.status, 200, "the slot is free meanwhile");
    slow.send("67890").await;
    assert_eq!(slow.answer().await.status, 200);
    until("all slots to be free", || busy(&world) == 0).await;
}

#[tokio::test]
async fn a_stream_holds_no_slot_behind_its_head() {
    let origin = Origin::serving(Speaks::Http1, |request| async move {
        if request.uri().path() != "/stream" {
            return Ok(Response::new(full("ok")));
        }
        let (sender, body) = stream();
        std::mem::forget(sender); // it never ends
        Ok(Response::new(body))
    })
    .await;
    let world = in_front_of(&origin).start().await;
    let mut streaming = world.wire().await;
    streaming.send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(streaming.head().await.0, 200);
    assert_eq!(world.get("/").await.status, 200);
    assert_eq!(busy(&world), 0);
}

#[tokio::test]
async fn a_reload_keeps_who_is_at_work_and_who_waits() {
    let (origin, gate) = held().await;
    let world = in_front_of(&origin).start().await;
    let mut wires = vec![("first", occupy(&world).await)];
    wires.push(("second", join(&world, "/second", "").await));
    world
        .reload(|plan| {
            plan.observe.slow += Duration::from_secs(1);
            plan.upstreams[0].in_flight_max += 1;
        })
        .await;
    assert_eq!((busy(&world), waiting(&world)), (1, 1));
    assert_eq!(order_of(&gate, wires).await, ["first", "second"]);
    until("all slots to be free", || busy(&world) == 0).await;
}

#[tokio::test]
async fn a_reload_without_a_limit_lets_the_waiting_in() {
    let (origin, gate) = held().await;
    let world = in_front_of(&origin).start().await;
    let mut inside = occupy(&world).await;
    let mut waits = join(&world, "/waits", "").await;
    world.reload(|plan| plan.upstreams[0].adaptive = None).await;
    until("nobody to wait", || waiting(&world) == 0).await;
    gate.add_permits(2);
    assert_eq!(inside.answer().await.status, 200);
    assert_eq!(waits.answer().await.status, 200);
    until("all slots to be free", || busy(&world) == 0).await;
}

#[tokio::test]
async fn slots_are_shared_by_all_cores() {
    let origin = Origin::saying("ok").await;
    let world = in_front_of(&origin).cores(2).start().await;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let address = world.address();
            tokio::spawn(async move {
                // Others would be shed once the queue stands.
                let critical = "X-Priority: critical\r\n";
                let mut wire = Wire::to(address).await;
                let mut good = 0;
                for _ in 0..100 {
                    good += u32::from(wire.ask("GET", "/", critical, b"").await.status == 200);
                }
                good
            })
        })
        .collect();
    let mut good = 0;
    for caller in callers {
        good += within("a caller", caller).await.unwrap();
    }
    assert_eq!(good, 800, "each waited for the others");
    until("all slots to be free", || busy(&world) == 0).await;
    assert_eq!(waiting(&world), 0);
}
