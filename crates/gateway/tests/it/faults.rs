//! Faults on purpose: by header, by name, by share; who may ask, and what is played.

use std::time::Duration;

use plimsoll_policy::{FaultAction, FaultConfig, FaultRule};

use crate::client::{Http2, gather};
use crate::origin::{Origin, full};
use crate::world::{Builder, World};

fn drilled(origin: &Origin, rules: Vec<FaultRule>) -> Builder {
    World::of(&[origin]).route(|route| route.fault = Some(FaultConfig { rules }))
}

fn always(action: FaultAction, name: Option<&str>) -> FaultRule {
    FaultRule {
        share: 1.0,
        by_header: name.map(str::to_owned),
        action,
    }
}

#[tokio::test]
async fn a_trusted_caller_asks_by_header() {
    let origin = Origin::saying("a body of some length").await;
    let slow = FaultAction::Delay(Duration::from_millis(50));
    let mut world = drilled(&origin, vec![always(slow, Some("slow-db"))])
        .start()
        .await;
    let mut wire = world.wire().await;
    let ask = async |wire: &mut crate::client::Wire, fault: &str| {
        wire.ask("GET", "/", &format!("X-Plimsoll-Fault: {fault}\r\n"), b"")
            .await
    };
    let answer = ask(&mut wire, "abort=418").await;
    assert_eq!(
        (answer.verdict().as_str(), answer.problem("status")),
        ("418 fault-injected", "418")
    );
    assert_eq!(world.told().await, "excluded fault-injected 418 x0");
    assert_eq!(ask(&mut wire, "abort=503").await.verdict(), "503 fault-injected");
    assert_eq!(world.told().await, "bad fault-injected 503 x0");
    assert!(origin.seen().is_empty());
    for fault in ["delay=50ms", "slow-db"] {
        assert_eq!(ask(&mut wire, fault).await.status, 200);
        let event = world.event().await;
        assert_eq!(crate::world::say(&event), "good 200 x1");
        assert!(event.outcome.latency >= Duration::from_millis(50), "{event:?}");
    }
    assert_eq!(
        origin.seen()[0].header("x-plimsoll-fault"),
        "",
        "the drill ends here"
    );
    let answer = ask(&mut wire, "dealy=50ms").await;
    assert_eq!(answer.verdict(), "403 fault-forbidden");
    assert!(
        answer.problem("cause").contains("the faults are"),
        "{}",
        answer.text()
    );
    assert_eq!(world.told().await, "excluded fault-forbidden 403 x0");
}

#[tokio::test]
async fn a_stranger_may_not_ask() {
    let origin = Origin::saying("ok").await;
    let mut world = drilled(&origin, Vec::new())
        .plan(|plan| plan.listeners[0].trust.clear())
        .start()
        .await;
    let mut wire = world.wire().await;
    let answer = wire.ask("GET", "/", "X-Plimsoll-Fault: abort=503\r\n", b"").await;
    assert_eq!(answer.verdict(), "403 fault-forbidden");
    assert_eq!(world.told().await, "excluded fault-forbidden 403 x0");
    // Where no faults are configured the header means nothing, and goes no further.
    world
        .reload(|plan| plan.listeners[0].routes[0].fault = None)
        .await;
    assert_eq!(
        wire.ask("GET", "/", "X-Plimsoll-Fault: abort=503\r\n", b"")
            .await
            .text(),
        "ok"
    );
    assert_eq!(origin.only().header("x-plimsoll-fault"), "");
}

#[tokio::test]
async fn a_share_of_requests_gets_a_fault() {
    let origin = Origin::saying("ok").await;
    let abort = FaultAction::Abort {
        status: 503,
        grpc: 14,
    };
    let rule = FaultRule {
        share: 0.3,
        ..always(abort, None)
    };
    let mut world = drilled(&origin, vec![rule]).start().await;
    let mut wire = world.wire().await;
    let mut aborted = 0;
    for _ in 0..300 {
        aborted += u32::from(wire.ask("GET", "/", "", b"").await.status == 503);
        world.event().await;
    }
    assert!((50..130).contains(&aborted), "{aborted} of 300, where 90 are due");
    assert_eq!(world.tally().bad_total(), u64::from(aborted));
    let mut client = Http2::to(world.address()).await;
    world
        .reload(|plan| {
            plan.listeners[0].routes[0].fault = Some(FaultConfig {
                rules: vec![always(abort, None)],
            });
        })
        .await;
    let call = http::Request::post("http://test/a")
        .header("content-type", "application/grpc")
        .body(full(""))
        .unwrap();
    let answer = gather(client.send(call).await.unwrap()).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, "14"));
    assert_eq!(world.told().await, "bad fault-injected 200 x0");
}

#[tokio::test]
async fn a_disconnect_breaks_the_connection_or_the_stream() {
    let origin = Origin::saying("ok").await;
    let mut world = drilled(&origin, Vec::new()).start().await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nX-Plimsoll-Fault: disconnect\r\n\r\n")
        .await;
    assert_eq!(wire.closed().await, "", "no answer at all");
    let event = world.event().await;
    assert_eq!(
        event.outcome.class.reason().map(plimsoll_slo::Reason::code),
        Some("fault-injected"),
        "{event:?}"
    );
    let mut client = Http2::to(world.address()).await;
    let request = http::Request::get("http://test/")
        .header("x-plimsoll-fault", "disconnect")
        .body(full(""))
        .unwrap();
    match client.send(request).await {
        Err(_) => {}
        Ok(answer) => assert!(!gather(answer).await.whole),
    }
    assert_eq!(world.event().await.outcome.class, event.outcome.class);
    assert_eq!(
        client.get("/").await.text(),
        "ok",
        "the connection's other streams go on"
    );
}

#[tokio::test]
async fn a_throttle_slows_the_answer_down_and_changes_nothing() {
    let origin = Origin::answering(|_| http::Response::new(full(vec![b'x'; 3000]))).await;
    let mut world = drilled(&origin, Vec::new()).start().await;
    for http2 in [false, true] {
        let answer = if http2 {
            let request = http::Request::get("http://test/")
                .header("x-plimsoll-fault", "throttle=10000")
                .body(full(""));
            gather(
                Http2::to(world.address())
                    .await
                    .send(request.unwrap())
                    .await
                    .unwrap(),
            )
            .await
        } else {
            world
                .wire()
                .await
                .ask("GET", "/", "X-Plimsoll-Fault: throttle=10000\r\n", b"")
                .await
        };
        assert_eq!((answer.body.len(), answer.whole), (3000, true));
        let event = world.event().await;
        assert_eq!(crate::world::say(&event), "good 200 x1");
        // A tenth of a second's worth goes out at once.
        assert!(event.outcome.latency >= Duration::from_millis(190), "{event:?}");
    }
}
