//! Bodies that are sent again: what arrives, what is kept, and what is not.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use plimsoll_policy::{Backoff, BudgetConfig, RetryBudget, RetryConfig};
use plimsoll_tower::{BoxError, Replay, RetryLayer};
use tokio::sync::mpsc;
use tower::{Layer, Service, ServiceExt as _, service_fn};

use crate::service::Piped;

fn layer(body_max: u64) -> RetryLayer {
    let config = RetryConfig {
        body_max,
        backoff: Backoff {
            base: Duration::ZERO,
            cap: Duration::ZERO,
        },
        ..RetryConfig::default()
    };
    RetryLayer::new(config, Arc::new(RetryBudget::new(&BudgetConfig::default())))
}

/// What each attempt was sent: its data and its trailers, or how it broke off.
type Sent = Arc<Mutex<Vec<Result<(Bytes, Option<HeaderMap>), String>>>>;

/// Reads each attempt to its end, and answers with these statuses in turn.
fn reading<B>(
    statuses: &'static [u16],
    sent: &Sent,
) -> impl Service<Request<Replay<B>>, Response = Response<()>, Error = Infallible, Future: Send> + Clone
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
    B::Data: Send,
{
    let sent = Arc::clone(sent);
    service_fn(move |request: Request<Replay<B>>| {
        let sent = Arc::clone(&sent);
        async move {
            let read = request.into_body().collect().await;
            let read = read.map_err(|error| error.to_string()).map(|read| {
                let trailers = read.trailers().cloned();
                (read.to_bytes(), trailers)
            });
            let turn = {
                let mut sent = sent.lock().unwrap();
                sent.push(read);
                sent.len() - 1
            };
            Ok(Response::builder().status(statuses[turn]).body(()).unwrap())
        }
    })
}

fn put<B>(body: B) -> Request<B> {
    Request::put("/").body(body).unwrap()
}

#[tokio::test]
async fn each_attempt_is_sent_all_of_it_trailers_too() {
    let sent = Sent::default();
    let (frames, body) = mpsc::channel(8);
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", "1".parse().unwrap());
    for frame in [
        Frame::data("one ".into()),
        Frame::data(Bytes::new()),
        Frame::data("two".into()),
    ] {
        frames.send(Ok(frame)).await.unwrap();
    }
    frames.send(Ok(Frame::trailers(trailers.clone()))).await.unwrap();
    drop(frames);
    let service = layer(64).layer(reading(&[503, 502, 200], &sent));
    let answer = service.oneshot(put(Piped(body))).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-plimsoll-attempts"]),
        (200, &"3".parse().unwrap())
    );
    let whole = Ok((Bytes::from_static(b"one two"), Some(trailers)));
    assert_eq!(*sent.lock().unwrap(), [whole.clone(), whole.clone(), whole]);
}

#[tokio::test]
async fn a_body_of_as_many_bytes_as_are_kept_is_sent_again_and_one_byte_more_is_not() {
    for (length, attempts) in [(0, 2), (1, 2), (64, 2), (65, 1)] {
        let sent = Sent::default();
        let service = layer(64).layer(reading(&[503, 200], &sent));
        let status = service
            .oneshot(put(Full::new(Bytes::from(vec![b'x'; length]))))
            .await
            .unwrap()
            .status();
        let sent = sent.lock().unwrap();
        assert_eq!(
            (sent.len(), status == 200),
            (attempts, attempts == 2),
            "{length} bytes"
        );
        assert!(sent.iter().all(|sent| sent.as_ref().unwrap().0.len() == length));
    }
}

/// Nobody said how long it would be.
#[tokio::test]
async fn a_body_that_outgrows_what_is_kept_is_sent_once() {
    for (last, attempts) in [("four", 2), ("fiver", 1)] {
        let sent = Sent::default();
        let (frames, body) = mpsc::channel(8);
        for frame in ["sixty ", last] {
            frames.send(Ok(Frame::data(frame.into()))).await.unwrap();
        }
        drop(frames);
        let service = layer(10).layer(reading(&[503, 200], &sent));
        service.oneshot(put(Piped(body))).await.unwrap();
        assert_eq!(sent.lock().unwrap().len(), attempts, "ending in {last}");
    }
}

#[tokio::test]
async fn a_long_body_of_which_nothing_was_read_is_sent_again() {
    let service = service_fn(async |request: Request<Replay<Full<Bytes>>>| {
        let first = request.headers()["x-plimsoll-attempt"] == "1";
        let length = if first {
            0
        } else {
            request.into_body().collect().await.unwrap().to_bytes().len()
        };
        Ok::<_, Infallible>(
            Response::builder()
                .status(if first { 503 } else { 200 })
                .body(length)
                .unwrap(),
        )
    });
    let answer = layer(10)
        .layer(service)
        .oneshot(put(Full::new(Bytes::from(vec![b'x'; 1000]))))
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), answer.into_body()), (200, 1000));
}

#[tokio::test]
async fn frames_pass_on_as_they_come_and_a_next_attempt_goes_on_where_the_first_stopped() {
    let (frames, body) = mpsc::channel(8);
    let service = service_fn(async |request: Request<Replay<Piped>>| {
        let first = request.headers()["x-plimsoll-attempt"] == "1";
        let mut body = request.into_body();
        let mut text = Vec::new();
        // The first attempt ends in the middle of the body, having read what there is.
        while let Some(frame) = body.frame().await {
            text.extend(frame.unwrap().into_data().unwrap());
            if first {
                break;
            }
        }
        let status = if first { 503 } else { 200 };
        Ok::<_, Infallible>(
            Response::builder()
                .status(status)
                .body(String::from_utf8(text).unwrap())
                .unwrap(),
        )
    });
    frames.send(Ok(Frame::data("begun, ".into()))).await.unwrap();
    let call = tokio::spawn(layer(64).layer(service).oneshot(put(Piped(body))));
    // The channel has room again once the second attempt has taken all there was.
    frames.send(Ok(Frame::data("ended".into()))).await.unwrap();
    drop(frames);
    assert_eq!(call.await.unwrap().unwrap().into_body(), "begun, ended");
}

#[tokio::test]
async fn what_broke_off_is_not_sent_again() {
    let sent = Sent::default();
    let (frames, body) = mpsc::channel(8);
    frames.send(Ok(Frame::data("half".into()))).await.unwrap();
    frames.send(Err("the caller has gone".into())).await.unwrap();
    let service = layer(64).layer(reading(&[503, 200], &sent));
    let answer = service.oneshot(put(Piped(body))).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(*sent.lock().unwrap(), [Err("the caller has gone".to_owned())]);
}

/// A body of an attempt that was given up can live on, in the task of its connection; it must not take from the next.
#[tokio::test]
async fn an_attempt_that_was_given_up_reads_no_more() {
    let kept = Arc::new(Mutex::new(VecDeque::new()));
    let keeps = Arc::clone(&kept);
    let service = service_fn(move |request: Request<Replay<Full<Bytes>>>| {
        let keeps = Arc::clone(&keeps);
        async move {
            let first = request.headers()["x-plimsoll-attempt"] == "1";
            if first {
                keeps.lock().unwrap().push_back(request.into_body());
                return Ok::<_, Infallible>(Response::builder().status(503).body(Bytes::new()).unwrap());
            }
            let old = keeps.lock().unwrap().pop_front().unwrap();
            let error = old.collect().await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "the attempt that this body belonged to was given up"
            );
            Ok(Response::new(
                request.into_body().collect().await.unwrap().to_bytes(),
            ))
        }
    });
    let answer = layer(64)
        .layer(service)
        .oneshot(put(Full::new(Bytes::from_static(b"mine"))))
        .await
        .unwrap();
    assert_eq!(answer.into_body(), "mine");
}

/// Byte by byte, a body costs far more than its bytes.
#[tokio::test]
async fn so_many_frames_are_kept_and_no_more() {
    for (frames, attempts) in [(1024, 2), (1025, 1)] {
        let sent = Sent::default();
        let (sender, body) = mpsc::channel(frames);
        for _ in 0..frames {
            sender.send(Ok(Frame::data("x".into()))).await.unwrap();
        }
        drop(sender);
        let service = layer(1 << 20).layer(reading(&[503, 200], &sent));
        service.oneshot(put(Piped(body))).await.unwrap();
        assert_eq!(sent.lock().unwrap().len(), attempts, "{frames} frames");
    }
}

#[tokio::test]
async fn lengths_are_told_to_whoever_sends() {
    let service = service_fn(async |request: Request<Replay<Full<Bytes>>>| {
        let first = request.headers()["x-plimsoll-attempt"] == "1";
        let mut body = request.into_body();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
        body.frame().await.unwrap().unwrap();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
        Ok::<_, Infallible>(
            Response::builder()
                .status(if first { 503 } else { 200 })
                .body(())
                .unwrap(),
        )
    });
    let answer = layer(64)
        .layer(service)
        .oneshot(put(Full::new(Bytes::from_static(b"four"))))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}
