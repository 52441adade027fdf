//! Draining, stopping, and other plans while traffic flows.

use std::sync::Arc;
use std::time::Duration;

use gateway::env::Env;
use gateway::plan::{EndpointPlan, ListenAddress};
use gateway::{ApplyError, Gateway, Phase};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::client::{Http2, Wire, gather};
use crate::origin::{Origin, echoing, full, held};
use crate::world::{LONG, World, until, within};

async fn in_flight(world: &World, count: u32) {
    until("the requests", || {
        world.gateway.running().upstreams[0].state.bulkhead().0 == count
    })
    .await;
}

#[tokio::test]
async fn a_drain_finishes_what_is_under_way() {
    let (origin, gate) = held().await;
    let mut world = World::of(&[&origin]).cores(2).start().await;
    let address = world.address();
    let (mut http1, http2) = (world.wire().await, Http2::to(address).await);
    let mut idle = world.wire().await;
    http1.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut sender = http2.sender();
    let request = Request::get("http://test/").body(full("")).unwrap();
    let asking = tokio::spawn(async move { sender.send_request(request).await });
    in_flight(&world, 2).await;
    world.gateway.drain();
    assert_eq!(*world.gateway.phase().borrow(), Phase::Draining);
    assert_eq!(
        idle.closed().await,
        "",
        "an idle connection is not waited for long"
    );
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    within("new connections to be refused", refused).await;
    assert!(!world.has_stopped());
    gate.add_permits(2);
    let answer = http1.answer().await;
    assert_eq!((answer.text(), answer.header("connection")), ("ok", "close"));
    assert_eq!(http1.closed().await, "");
    let answer = within("the answer", asking).await.unwrap().unwrap();
    assert_eq!(gather(answer).await.text(), "ok");
    until("GOAWAY", || http2.is_closed()).await;
    world.stopped().await;
    assert_eq!(world.told().await, "good 200 x1");
    assert_eq!(world.told().await, "good 200 x1");
}

/// Closed at once, it would fail a caller who is about to send; and it has no other way to be told.
#[tokio::test]
async fn an_idle_connection_may_ask_once_more_in_a_drain() {
    let origin = Origin::saying("ok").await;
    let mut world = World::of(&[&origin])
        .plan(|plan| plan.drain_idle = LONG)
        .start()
        .await;
    let (mut idle, address) = (world.wire().await, world.address());
    assert_eq!(idle.ask("GET", "/", "", b"").await.header("connection"), "");
    world.gateway.drain();
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    within("new connections to be refused", refused).await;
    let answer = idle.ask("GET", "/", "", b"").await;
    assert_eq!((answer.text(), answer.header("connection")), ("ok", "close"));
    assert_eq!(idle.closed().await, "");
    world.stopped().await;
}

/// HTTP/2 by hand: what a client library would do in its own order.
struct Frames {
    wire: TcpStream,
    read: Vec<u8>,
}

/// Types of frames, and the flag of an answer.
const HEADERS: u8 = 1;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// GET http://a/, by numbers of HPACK's static table.
fn get(stream: u8) -> Vec<u8> {
    let fields = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
    [&[0, 0, 6, HEADERS, 5, 0, 0, 0, stream], &fields[..]].concat()
}

impl Frames {
    async fn to(world: &World) -> Self {
        let wire = TcpStream::connect(world.address()).await.unwrap();
        let read = Vec::new();
        let mut frames = Self { wire, read };
        frames
            .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await;
        frames
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.wire.write_all(bytes).await.unwrap();
    }

    /// All whole frames that came with the next read: type, flags, stream, payload.
    async fn some(&mut self) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let read = within("frames", self.wire.read_buf(&mut self.read)).await;
        assert!(read.unwrap() > 0, "the connection ended");
        let mut frames = Vec::new();
        while let Some((head, rest)) = self.read.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = rest.get(..length) else {
                break;
            };
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            frames.push((head[3], head[4], stream, payload.to_vec()));
            self.read.drain(..9 + length);
        }
        frames
    }

    /// Reads until a frame of this type comes for this stream; all that came until then.
    async fn until(&mut self, kind: u8, stream: u32) -> Vec<(u8, u8, u32, Vec<u8>)> {
        let mut came = Vec::new();
        while !came.iter().any(|(k, _, s, _)| (*k, *s) == (kind, stream)) {
            came.extend(self.some().await);
        }
        came
    }
}

/// gRPC's core is such a caller: it answers the ping of a GOAWAY before it writes a stream that it has begun.
#[tokio::test]
async fn a_stream_that_crosses_a_goaway_is_served() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin])
        .plan(|plan| plan.drain_idle = LONG)
        .start()
        .await;
    let mut frames = Frames::to(&world).await;
    frames.send(&get(1)).await;
    frames.until(HEADERS, 1).await;
    world.gateway.drain();
    let mut answers = Vec::new();
    for (kind, flags, _, payload) in frames.until(GOAWAY, 0).await {
        if kind == PING && flags & ACK == 0 {
            answers.extend([0, 0, 8, PING, ACK, 0, 0, 0, 0]);
            answers.extend(payload);
        } else if kind == GOAWAY {
            assert_eq!(
                payload[..4],
                [0x7f, 0xff, 0xff, 0xff],
                "no stream is the last one yet"
            );
        }
    }
    answers.extend(get(3));
    frames.send(&answers).await;
    frames.until(HEADERS, 3).await;
}

/// gRPC's core does not notice a GOAWAY that comes before it has a stream, and fails whatever it is asked.
#[tokio::test]
async fn a_connection_hears_of_its_end_with_its_first_stream() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin])
        .plan(|plan| plan.drain_idle = LONG)
        .start()
        .await;
    let mut frames = Frames::to(&world).await;
    frames.some().await;
    world.gateway.drain();
    let refused = async { while TcpStream::connect(world.address()).await.is_ok() {} };
    within("new connections to be refused", refused).await;
    frames
        .send(&[0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
        .await;
    let came = frames.until(PING, 0).await;
    assert!(came.iter().all(|(kind, ..)| *kind != GOAWAY), "{came:?}");
    frames.send(&get(1)).await;
    let mut came = frames.until(GOAWAY, 0).await;
    if !came.iter().any(|(kind, ..)| *kind == HEADERS) {
        came = frames.until(HEADERS, 1).await;
    }
    assert!(
        came.iter()
            .any(|(kind, _, stream, _)| (*kind, *stream) == (HEADERS, 1))
    );
}

/// A request that crosses the end of its connection finds nothing; a reset could take away an answer before it.
#[tokio::test]
async fn an_idle_connection_is_left_without_a_reset() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin]).start().await;
    let mut idle = TcpStream::connect(world.address()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    idle.write_all(request).await.unwrap();
    let mut answer = vec![0; 17];
    within("the answer", idle.read_exact(&mut answer)).await.unwrap();
    world.gateway.drain();
    let mut rest = Vec::new();
    within("the end", idle.read_to_end(&mut rest)).await.unwrap();
    idle.write_all(request).await.unwrap();
    assert_eq!(within("the end", idle.read(&mut answer)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_drain_ends_in_time() {
    let (origin, _gate) = held().await;
    let mut world = World::of(&[&origin])
        .plan(|plan| plan.drain_max = Duration::from_millis(200))
        .start()
        .await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    in_flight(&world, 1).await;
    world.gateway.drain();
    assert_eq!(wire.closed().await, "");
    world.stopped().await;
    assert_eq!(world.counted(), "good 0, bad draining 1, attempts 1");
}

#[tokio::test]
async fn a_stop_cuts_off() {
    let (origin, _gate) = held().await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    in_flight(&world, 1).await;
    world.gateway.stop();
    assert_eq!(wire.closed().await, "");
    world.stopped().await;
    assert_eq!(world.counted(), "good 0, bad draining 1, attempts 1");
}

#[tokio::test]
async fn reloads_under_load_fail_no_request() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin]).cores(2).start().await;
    let address = world.address();
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            tokio::spawn(async move {
                let mut http2 = Http2::to(address).await;
                let mut wire = Wire::to(address).await;
                for n in 0..250 {
                    let answer = match (caller % 2, n % 10) {
                        (0, 0) => {
                            Wire::to(address)
                                .await
                                .ask("GET", "/", "Connection: close\r\n", b"")
                                .await
                        }
                        (0, _) => wire.ask("POST", "/", "", b"body").await,
                        _ => http2.get("/").await,
                    };
                    assert_eq!(answer.text(), "ok", "request {n} of caller {caller}");
                }
            })
        })
        .collect();
    for generation in 0..20 {
        world
            .reload(|plan| {
                plan.observe.slow = Duration::from_secs(generation + 1);
                plan.upstreams[0].in_flight_max = 1000 + generation as u32;
                plan.listeners[0].routes[0].name = format!("route-{generation}").into();
            })
            .await;
    }
    for caller in callers {
        within("the caller", caller).await.unwrap();
    }
    assert_eq!(world.gateway.running().generation, 21);
    until("all to be counted", || {
        world.counted() == "good 1000, attempts 1000"
    })
    .await;
}

#[tokio::test]
async fn a_listener_moves_and_old_connections_finish() {
    let (origin, gate) = held().await;
    let world = World::of(&[&origin]).start().await;
    let old = world.address();
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    in_flight(&world, 1).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    world
        .reload(|plan| plan.listeners[0].address = ListenAddress::Tcp(free))
        .await;
    assert_eq!(world.address(), free);
    let refused = async { while TcpStream::connect(old).await.is_ok() {} };
    within("the old port to be left", refused).await;
    gate.add_permits(2);
    assert_eq!(wire.answer().await.text(), "ok");
    assert_eq!(wire.closed().await, "");
    assert_eq!(world.get("/").await.text(), "ok");
}

#[tokio::test]
async fn a_listener_that_is_removed_is_left() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin])
        .plan(|plan| {
            let mut second = plan.listeners[0].clone();
            second.name = "second".into();
            plan.listeners.push(second);
        })
        .start()
        .await;
    let second = world.gateway.addresses()[1].1.unwrap();
    let mut kept = Wire::to(second).await;
    assert_eq!(kept.ask("GET", "/", "", b"").await.text(), "ok");
    world.reload(|plan| drop(plan.listeners.pop())).await;
    let refused = async { while TcpStream::connect(second).await.is_ok() {} };
    within("the removed listener to be left", refused).await;
    assert_eq!(kept.closed().await, "", "its idle connections are closed");
    assert_eq!(world.get("/").await.text(), "ok");
    assert_eq!(world.gateway.addresses().len(), 1);
}

#[tokio::test]
async fn a_listener_may_change_its_name_and_keep_its_address() {
    let origin = Origin::saying("ok").await;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let world = World::of(&[&origin])
        .plan(move |plan| plan.listeners[0].address = ListenAddress::Tcp(free))
        .start()
        .await;
    assert_eq!(world.get("/").await.text(), "ok");
    world
        .reload(|plan| plan.listeners[0].name = "renamed".into())
        .await;
    assert_eq!(world.gateway.addresses(), [("renamed".into(), Some(free))]);
    assert_eq!(world.get("/").await.text(), "ok");
}

/// A name is a label: whatever becomes of it, its address goes on answering, and open connections with it.
#[tokio::test]
async fn renaming_a_listener_over_and_over_resets_nobody() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin]).cores(2).start().await;
    let address = world.address();
    let mut open = world.wire().await;
    let asking = tokio::spawn(async move {
        for _ in 0..300 {
            let mut wire = Wire::to(address).await;
            let answer = wire.ask("GET", "/", "Connection: close\r\n", b"").await;
            assert_eq!(answer.text(), "ok");
        }
    });
    for number in 0.. {
        world
            .reload(move |plan| plan.listeners[0].name = format!("name-{number}").into())
            .await;
        assert_eq!(open.ask("GET", "/", "", b"").await.text(), "ok");
        if asking.is_finished() && number > 10 {
            break;
        }
    }
    asking.await.unwrap();
    assert_eq!(world.gateway.addresses().len(), 1);
}

#[tokio::test]
async fn a_plan_that_cannot_run_changes_nothing() {
    let origin = Origin::saying("ok").await;
    let world = World::of(&[&origin]).start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut plan = world.gateway.running().plan.clone();
    plan.listeners[0].address = ListenAddress::Tcp(taken.local_addr().unwrap());
    let error = world.gateway.apply(plan.clone()).await.unwrap_err();
    assert!(matches!(error, ApplyError::Bind { .. }), "{error:?}");
    plan.listeners[0].routes[0].upstream = "nowhere".into();
    let error = world.gateway.apply(plan).await.unwrap_err();
    assert!(error.to_string().contains("unknown upstream nowhere"), "{error}");
    assert_eq!(world.gateway.running().generation, 1);
    assert_eq!(world.get("/").await.text(), "ok");
}

#[tokio::test]
async fn a_reload_changes_where_open_connections_lead() {
    let (one, two) = (Origin::saying("one").await, Origin::saying("two").await);
    let world = World::of(&[&one]).start().await;
    let (mut wire, mut http2) = (world.wire().await, Http2::to(world.address()).await);
    assert_eq!(
        (
            wire.ask("GET", "/", "", b"").await.text(),
            http2.get("/").await.text()
        ),
        ("one", "one")
    );
    let endpoint = EndpointPlan::Host("127.0.0.1".to_owned(), two.address.port());
    world
        .reload(|plan| plan.upstreams[0].endpoints = vec![endpoint])
        .await;
    assert_eq!(
        (
            wire.ask("GET", "/", "", b"").await.text(),
            http2.get("/").await.text()
        ),
        ("two", "two")
    );
}

#[tokio::test]
async fn a_drained_connection_may_finish_its_pipeline() {
    let (origin, gate) = held().await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    in_flight(&world, 1).await;
    world.gateway.drain();
    gate.add_permits(2);
    let first = wire.answer().await;
    assert_eq!(first.text(), "ok");
    // What was not begun is not answered, and the close says so: the caller may send it again.
    if first.header("connection") != "close" {
        assert_eq!(wire.answer().await.header("connection"), "close");
    }
    wire.closed().await;
    world.stopped().await;
}

/// A tunnel is no request under way, but whoever is in it should have as long as any other.
#[tokio::test]
async fn a_tunnel_is_waited_for_and_then_cut() {
    let origin = echoing().await;
    let mut world = World::of(&[&origin])
        .plan(|plan| plan.drain_max = Duration::from_millis(500))
        .start()
        .await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    assert_eq!(wire.head().await.0, 101);
    assert_eq!(world.told().await, "good 101 x1");
    assert_eq!(
        world.gateway.connections()[0].1,
        1,
        "a tunnel is a connection that is open"
    );
    world.gateway.drain();
    let refused = async { while TcpStream::connect(world.address()).await.is_ok() {} };
    within("new connections to be refused", refused).await;
    wire.send("still there?").await;
    within("the echo", wire.until(b"still there?"))
        .await
        .expect("the tunnel goes on");
    assert_eq!(wire.closed().await, "", "until the time for draining is over");
    world.stopped().await;
}

/// Whoever was promised another protocol gets it: a drain waits for it as for any request.
#[tokio::test]
async fn a_protocol_that_is_switched_to_during_a_drain_is_spoken() {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Arc::clone(&gate);
    let origin = Origin::raw(move |mut stream, _| {
        let waiting = Arc::clone(&waiting);
        async move {
            crate::origin::read_head(&mut stream).await.unwrap();
            waiting.acquire().await.unwrap().forget();
            let (mut read, mut write) = stream.split();
            let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
            write.write_all(answer).await.unwrap();
            drop(tokio::io::copy(&mut read, &mut write).await);
        }
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    let address = world.address();
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        .await;
    in_flight(&world, 1).await;
    world.gateway.drain();
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    within("new connections to be refused", refused).await;
    gate.add_permits(1);
    assert_eq!(wire.head().await.0, 101);
    wire.send("ping").await;
    within("the echo", wire.until(b"ping"))
        .await
        .expect("the tunnel stands");
    drop(wire);
    world.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_core_that_does_not_turn_is_noticed() {
    let plan = World::at([([127, 0, 0, 1], 9).into()]).plan;
    let (gateway, seats, _events) = Gateway::build(Env::real(), plan, 1).await.unwrap();
    let turns = || gateway.turns_within(Duration::from_secs(3));
    assert!(turns(), "it has just come up");
    tokio::time::advance(Duration::from_secs(4)).await;
    assert!(!turns(), "nobody runs its only core");
    let cores = tokio::task::LocalSet::new();
    for seat in seats {
        cores.spawn_local(seat.run());
    }
    let minute = async {
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    };
    cores.run_until(minute).await;
    assert!(turns(), "it turns with nothing to do");
}
