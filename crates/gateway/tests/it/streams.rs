//! HTTP/2 streams whose peers take their time, or leave in the middle.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::client::{Http2, gather};
use crate::origin::{AnyBody, Origin, Speaks, full, status_only, stream};
use crate::world::{World, until, within};
use gateway::plan::Protocol;
use http::Response;

/// Nothing has moved for so long, so nothing will.
const STILL: Duration = Duration::from_millis(300);

/// An origin that hands out the senders of its answers' bodies, in the order of the requests.
async fn streaming(speaks: Speaks) -> (Origin, mpsc::Receiver<mpsc::Sender<Frame<bytes::Bytes>>>) {
    let (senders, sent) = mpsc::channel(1);
    let origin = Origin::serving(speaks, move |_| {
        let senders = senders.clone();
        async move {
            let (sender, body) = stream();
            senders.send(sender).await.unwrap();
            Ok(Response::new(body))
        }
    });
    (origin.await, sent)
}

fn speaking(speaks: Speaks) -> Protocol {
    match speaks {
        Speaks::Http1 => Protocol::Http1,
        Speaks::Http2 => Protocol::Http2,
    }
}

fn get() -> Request<AnyBody> {
    Request::get("http://test/").body(full("")).unwrap()
}

fn piece() -> Frame<bytes::Bytes> {
    Frame::data(vec![b'x'; 64 << 10].into())
}

/// Sends pieces until nobody has taken one for a while; returns how many bytes went.
async fn pour(sender: &mpsc::Sender<Frame<bytes::Bytes>>) -> usize {
    let mut poured = 0;
    while let Ok(Ok(())) = timeout(STILL, sender.send(piece())).await {
        poured += 64 << 10;
        assert!(poured < 24 << 20, "{poured} bytes wait for who does not read");
    }
    poured
}

fn in_flight(world: &World) -> usize {
    world.gateway.running().upstreams[0].state.bulkhead().0 as usize
}

/// What h2 said of the stream in the end.
fn reset_of(error: &hyper::Error) -> Option<h2::Reason> {
    std::error::Error::source(error)?
        .downcast_ref::<h2::Error>()?
        .reason()
}

#[tokio::test]
async fn a_stream_that_its_caller_does_not_let_go_on_is_ended_and_its_neighbours_go_on() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let (origin, mut sent) = streaming(speaks).await;
        let mut world = World::of(&[&origin])
            .plan(|plan| plan.listeners[0].limits.stream_idle = Duration::from_millis(800))
            .upstream(|upstream| upstream.protocol = speaking(speaks))
            .start()
            .await;
        let mut client = Http2::to(world.address()).await;
        let mut unread = client.send(get()).await.unwrap();
        let unread_sender = within("the request", sent.recv()).await.unwrap();
        let mut read = client.send(get()).await.unwrap();
        let sender = within("the other request", sent.recv()).await.unwrap();
        assert_eq!(in_flight(&world), 2);
        let poured = pour(&unread_sender).await;
        let neighbour = async {
            while in_flight(&world) == 2 {
                sender.send(Frame::data("event".into())).await.unwrap();
                assert_eq!(read.frame().await.unwrap().unwrap().into_data().unwrap(), "event");
            }
        };
        within("the permit", neighbour).await;
        assert_eq!(world.told().await, "excluded client-closed 200 x1");
        within("the upstream to be let go", unread_sender.closed()).await;
        drop(sender);
        let read = gather(read).await;
        assert_eq!((read.status, read.whole), (200, true));
        assert_eq!(world.told().await, "good 200 x1");
        // What the caller may still read comes first, and then it is told that this is not all.
        let mut came = 0;
        let error = loop {
            match within("a frame", unread.frame()).await.expect("more than this") {
                Ok(frame) => came += frame.into_data().unwrap().len(),
                Err(error) => break error,
            }
        };
        assert_eq!(reset_of(&error), Some(h2::Reason::CANCEL), "{error:?}");
        assert!(came < poured, "{came} of {poured}");
        assert_eq!(world.counted(), "good 1, excluded client-closed 1, attempts 2");
    }
}

/// An origin that tells of each body whether it came whole.
async fn reading(speaks: Speaks) -> (Origin, mpsc::Receiver<&'static str>) {
    let (told, news) = mpsc::channel(8);
    let origin = Origin::serving(speaks, move |request: Request<Incoming>| {
        let told = told.clone();
        async move {
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                let news = if frame.is_ok() { "a piece" } else { "broken off" };
                told.send(news).await.unwrap();
                if frame.is_err() {
                    return Err(std::io::Error::other("the request broke off"));
                }
            }
            told.send("whole").await.unwrap();
            Ok(status_only(200))
        }
    });
    (origin.await, news)
}

#[tokio::test]
async fn a_caller_who_cancels_its_upload_is_not_taken_for_done() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let (origin, mut news) = reading(speaks).await;
        let mut world = World::of(&[&origin])
            .upstream(|upstream| upstream.protocol = speaking(speaks))
            .start()
            .await;
        let mut client = Http2::to(world.address()).await;
        let (sender, body) = stream();
        let mut requests = client.sender();
        let request = Request::post("http://test/").body(body).unwrap();
        let asking = tokio::spawn(async move { requests.send_request(request).await });
        sender.send(Frame::data("a little".into())).await.unwrap();
        assert_eq!(within("the upload", news.recv()).await, Some("a piece"));
        assert_eq!(in_flight(&world), 1);
        asking.abort();
        assert_eq!(world.told().await, "excluded client-closed 499 x1");
        assert_eq!(within("its end", news.recv()).await, Some("broken off"));
        until("the permit", || in_flight(&world) == 0).await;
        assert_eq!(client.get("/").await.status, 200, "the other streams go on");
        assert_eq!(world.told().await, "good 200 x1");
        let connections = if speaks == Speaks::Http2 { 1 } else { 2 };
        assert_eq!(origin.connections(), connections);
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_read_slows_the_caller_down() {
    let (gates, mut gate) = mpsc::channel(1);
    let origin = Origin::serving(Speaks::Http2, move |request: Request<Incoming>| {
        let gates = gates.clone();
        async move {
            let (open, opened) = tokio::sync::oneshot::channel::<()>();
            gates.send(open).await.unwrap();
            drop(opened.await);
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok(Response::new(full(body.len().to_string())))
        }
    })
    .await;
    let mut world = World::of(&[&origin])
        .route(|route| route.body_bytes = Some(1 << 30))
        .upstream(|upstream| upstream.protocol = Protocol::Http2)
        .start()
        .await;
    let client = Http2::to(world.address()).await;
    let (sender, body) = stream();
    let mut requests = client.sender();
    let request = Request::post("http://test/").body(body).unwrap();
    let asking = tokio::spawn(async move { gather(requests.send_request(request).await.unwrap()).await });
    let open = within("the request", gate.recv()).await.unwrap();
    let mut poured = pour(&sender).await;
    // A window of the upstream's, one of ours, and what the client has in hand.
    assert!((1 << 20..4 << 20).contains(&poured), "{poured}");
    drop(open);
    for _ in 0..256 {
        within("room", sender.send(piece())).await.unwrap();
        poured += 64 << 10;
    }
    drop(sender);
    let answer = within("the answer", asking).await.unwrap();
    assert_eq!(answer.text(), poured.to_string());
    assert_eq!(world.told().await, "good 200 x1");
}

#[tokio::test]
async fn a_refusal_of_head_has_no_body() {
    let mut origin = Origin::saying("").await;
    let mut world = World::of(&[&origin]).start().await;
    origin.kill().await;
    let mut client = Http2::to(world.address()).await;
    let request = Request::head("http://test/").body(full("")).unwrap();
    let answer = gather(client.send(request).await.unwrap()).await;
    assert_eq!(answer.verdict(), "502 upstream-refused");
    assert_eq!((answer.body.len(), answer.whole), (0, true));
    assert!(!answer.header("date").is_empty());
    assert!(world.told().await.starts_with("bad upstream-refused 502"));
}
