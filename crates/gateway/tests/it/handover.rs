//! Listening sockets that go from one gateway to the next: the same ones, with whoever waits in their queues.

use gateway::plan::ListenAddress;

use crate::client::Wire;
use crate::origin::Origin;
use crate::world::{World, until};

/// So many that the kernel spreads them over all sockets of a listener.
const CALLERS: usize = 24;

/// From so many cores to so many others: callers who came while nobody accepted are all served.
async fn hand_over(before: usize, after: usize) {
    let origin = Origin::saying("ok").await;
    let mut old = World::of(&[&origin]).cores(before).start().await;
    let address = old.address();
    assert_eq!(old.get("/").await.text(), "ok");
    let heir = World::of(&[&origin])
        .plan(|plan| plan.listeners[0].name = "renamed".into())
        .cores(after)
        .on_sockets_of(&old.gateway);
    old.gateway.drain();
    old.stopped().await;
    let mut waiting = Vec::new();
    for _ in 0..CALLERS {
        let mut wire = Wire::to(address).await;
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        waiting.push(wire);
    }
    let heir = heir.start().await;
    assert_eq!(heir.address(), address);
    for mut wire in waiting {
        assert_eq!(wire.answer().await.text(), "ok");
    }
    let all = format!("good {CALLERS}, attempts {CALLERS}");
    until("all to be counted", || heir.counted() == all).await;
}

#[tokio::test]
async fn the_heir_serves_who_waited() {
    hand_over(2, 2).await;
}

#[tokio::test]
async fn fewer_cores_take_all_queues() {
    hand_over(3, 1).await;
}

#[tokio::test]
async fn more_cores_share_a_queue() {
    hand_over(1, 3).await;
}

#[tokio::test]
async fn a_unix_socket_is_handed_over_too() {
    let origin = Origin::saying("ok").await;
    let path = std::env::temp_dir().join(format!("plimsoll-handover-{}.sock", std::process::id()));
    let listen = ListenAddress::Unix(path.clone());
    let world = || World::of(&[&origin]).plan(|plan| plan.listeners[0].address = listen.clone());
    let mut old = world().cores(2).start().await;
    let heir = world().cores(2).on_sockets_of(&old.gateway);
    old.gateway.drain();
    old.stopped().await;
    let mut wire = Wire::to_unix(&path).await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let _heir = heir.start().await;
    assert_eq!(wire.answer().await.text(), "ok");
    std::fs::remove_file(path).unwrap();
}

/// A descriptor that is kept for an heir must not keep a port open that is left.
#[tokio::test]
async fn what_may_be_handed_over_is_let_go_with_its_listener() {
    let origin = Origin::saying("ok").await;
    let mut world = World::of(&[&origin]).cores(2).start().await;
    assert_eq!(world.gateway.sockets().unwrap()[0].sockets.len(), 2);
    let address = world.address();
    world.gateway.drain();
    world.stopped().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(world.gateway.sockets().unwrap()[0].sockets.is_empty());
}
