//! Hedges that are streams of an HTTP/2 connection: what cancelling them does to it, and gRPC.

use std::time::Duration;

use gateway::plan::Protocol;
use http::{Request, Response};
use plimsoll_policy::{BudgetConfig, HedgeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::pair::{EAGER, Pair, WHATEVER, all_given_back, hedge};
use crate::client::{Http2, Wire};
use crate::origin::{Origin, Speaks, full};
use crate::world::{Builder, World, until, within};

/// Hedges reset streams by the thousand, and each answer may cross its reset on the way. h2 remembers some of what it
/// reset; a frame on a stream that it has forgotten is the peer's error to it, and by its defaults it ends a connection
/// with 1024 of them.
#[tokio::test]
async fn thousands_of_cancelled_streams_leave_the_connection_alone() {
    // Those that end a connection, those that are remembered, and as many that cross nothing.
    const MANY: u64 = 2 * (1024 + 256);
    let crossing = Origin::raw(|stream, _| speak(stream, |id| id % 16 == 1)).await;
    let quick = Origin::answering_http2(|_| Response::new(full("quick"))).await;
    let world = forgetful(&[&crossing, &quick]).start().await;
    let callers = (0..8).map(|_| {
        let (gateway, address) = (world.gateway.clone(), world.address());
        tokio::spawn(async move {
            let mut wire = Wire::to(address).await;
            while gateway.hedges()[0].ended[0] < MANY {
                let answer = wire.ask("GET", "/", "", b"").await;
                assert_eq!(answer.status, 200);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        within("the caller", caller).await.unwrap();
    }
    assert_eq!((crossing.connections(), quick.connections()), (1, 1));
    all_given_back(&world).await;
}

/// A connection that leads nowhere loses every race, so that none of its attempts ever runs into a deadline. It is left
/// all the same, when nothing has come by it for a second.
#[tokio::test]
async fn a_connection_that_leads_nowhere_is_left() {
    let silent = Origin::raw(|stream, connection| speak(stream, move |_| connection > 0)).await;
    let quick = Origin::answering_http2(|_| Response::new(full(""))).await;
    let world = forgetful(&[&silent, &quick]).start().await;
    let mut wire = world.wire().await;
    let asking = async {
        while silent.connections() < 2 {
            assert_eq!(wire.ask("GET", "/", "", b"").await.status, 200);
        }
    };
    within("another connection", asking).await;
    all_given_back(&world).await;
}

/// A world that hedges after a millisecond, and whose balancer remembers nothing: it sends every other request to the
/// endpoint that it should avoid.
fn forgetful(origins: &[&Origin]) -> Builder {
    let soon = HedgeConfig {
        after: Some(Duration::from_millis(1)),
        ..EAGER
    };
    World::of(origins).plan(hedge(soon)).upstream(|upstream| {
        upstream.protocol = Protocol::Http2;
        upstream.budget = BudgetConfig {
            share: 1.0,
            burst: 10_000,
        };
        upstream.balance.tau = Duration::from_nanos(1);
    })
}

/// Speaks HTTP/2 to a client: answers those streams that are to be answered at once, and every other when the client
/// has reset it.
async fn speak(mut stream: TcpStream, at_once: impl Fn(u32) -> bool) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    stream.write_all(&SETTINGS).await.unwrap();
    let mut answered = 0;
    // HEADERS with END_STREAM and END_HEADERS: `:status: 200`, which is number 8 of HPACK's table.
    let answer = |id: u32| [&[0, 0, 1, 1, 5], &id.to_be_bytes()[..], &[0x88]].concat();
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let (kind, flags) = (head[3], head[4]);
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        let id = u32::from_be_bytes(head[5..9].try_into().unwrap());
        let reply = match kind {
            // HEADERS, or RST_STREAM. Streams are reset in about their order; what h2 says to the answer is no new reset.
            1 if at_once(id) => answer(id),
            3 if id > answered && !at_once(id) => {
                answered = id;
                answer(id)
            }
            // SETTINGS and PING, which want to be acknowledged.
            4 if flags == 0 => vec![0, 0, 0, 4, 1, 0, 0, 0, 0],
            6 if flags == 0 => [&[0, 0, 8, 6, 1, 0, 0, 0, 0], &payload[..]].concat(),
            _ => continue,
        };
        if stream.write_all(&reply).await.is_err() {
            return;
        }
    }
}

/// Every gRPC call is a POST, so only a promise of the route's makes it one that may be hedged.
#[tokio::test]
async fn a_unary_grpc_call_is_hedged_if_the_route_says_so() {
    let pair = Pair::new(Speaks::Http2, |number, gate| async move {
        if number == 1 {
            gate.acquire().await.unwrap().forget();
        }
        let answer = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "0");
        answer.body(full("")).unwrap()
    })
    .await;
    let world = pair
        .world()
        .upstream(|upstream| upstream.protocol = Protocol::Http2);
    let world = world.plan(hedge(WHATEVER));
    let mut world = world.start().await;
    let call = || {
        let request = Request::post("http://test/pkg.Service/Get");
        let request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        request.body(full(&b"\0\0\0\0\x02in"[..])).unwrap()
    };
    let mut client = Http2::to(world.address()).await;
    let answer = crate::client::gather(client.send(call()).await.unwrap()).await;
    assert_eq!(answer.header("grpc-status"), "0");
    assert_eq!(world.told().await, "good 200 x2");
    let arrived = pair.arrived();
    assert_eq!((pair.numbers(), &arrived[0].body), (vec![1, 2], &arrived[1].body));
    // Without the promise the first is waited for.
    world.reload(hedge(EAGER)).await;
    let mut sender = client.sender();
    let calling = tokio::spawn(async move { sender.send_request(call()).await });
    until("the call", || pair.numbers() == [1, 2, 1]).await;
    assert_eq!(world.get("/").await.status, 200);
    pair.gate.add_permits(1);
    assert_eq!(
        within("the answer", calling).await.unwrap().unwrap().status(),
        200
    );
    assert_eq!(pair.numbers(), [1, 2, 1, 1, 2], "only the GET was hedged");
}
