//! Upstreams that fail, and what callers get of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use http::Response;
use plimsoll_policy::{DeadlineConfig, HealthConfig, OutlierConfig, Repeatable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Answer, Http2};
use crate::origin::{AnyBody, Origin, Speaks, full, read_head, reset, status_only};
use crate::world::{World, until, within};

/// A world without breaker and ejection, which are tested on their own.
pub(crate) async fn plain(origins: &[&Origin]) -> World {
    World::of(origins)
        .upstream(|upstream| (upstream.breaker, upstream.outlier) = (None, None))
        .start()
        .await
}

pub(crate) async fn post(world: &World, headers: &str) -> Answer {
    world.wire().await.ask("POST", "/", headers, b"body").await
}

/// Answers that count their number, from 1.
pub(crate) async fn by_turns(answer: impl Fn(u32) -> Response<AnyBody> + Send + Sync + 'static) -> Origin {
    let turn = AtomicU32::new(0);
    Origin::answering(move |_| answer(turn.fetch_add(1, Relaxed) + 1)).await
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_request() {
    let (living, mut dead) = (Origin::saying("ok").await, Origin::saying("").await);
    let mut world = plain(&[&living, &dead]).await;
    dead.kill().await;
    let mut retried = 0;
    for _ in 0..20 {
        // A POST too: nothing of it was delivered.
        assert_eq!(post(&world, "").await.text(), "ok");
        let event = world.event().await;
        assert_eq!(event.outcome.class.word(), "good");
        if event.outcome.attempts == 2 {
            retried += 1;
            let reason = event.attempts[0].reason.map(plimsoll_slo::Reason::code);
            assert_eq!(
                (reason, event.attempts[1].status),
                (Some("upstream-refused"), Some(200))
            );
            assert_eq!(&*event.attempts[0].endpoint, dead.address.to_string());
        }
    }
    assert!(retried > 0, "the dead one was asked at least once");
    assert_eq!(living.seen().len(), 20);
}

#[tokio::test]
async fn when_all_refuse_the_caller_hears_that_nothing_was_delivered() {
    let mut origin = Origin::saying("").await;
    let mut world = plain(&[&origin]).await;
    origin.kill().await;
    let answer = post(&world, "").await;
    assert_eq!(answer.verdict(), "502 upstream-refused");
    assert_eq!(
        (answer.problem("delivered"), answer.problem("retriable")),
        ("no", "safe")
    );
    assert_eq!(
        (answer.problem("blame"), answer.problem("status")),
        ("upstream", "502")
    );
    assert_eq!(
        (answer.header("x-plimsoll-attempts"), answer.header("retry-after")),
        ("3", "1")
    );
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let event = world.event().await;
    assert_eq!(crate::world::say(&event), "bad upstream-refused 502 x3");
    assert_eq!(
        (event.retry_stopped, event.attempts.len()),
        (Some("attempts-spent"), 3)
    );
    assert_eq!(world.counted(), "good 0, bad upstream-refused 1, attempts 3");
}

#[tokio::test]
async fn a_slow_endpoint_gets_little_of_the_traffic() {
    let served = [AtomicU32::new(0), AtomicU32::new(0)].map(Arc::new);
    let after = |millis: u64, served: &Arc<AtomicU32>| {
        let served = Arc::clone(served);
        Origin::serving(Speaks::Http1, move |_| {
            let served = Arc::clone(&served);
            async move {
                served.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(Response::new(full("ok")))
            }
        })
    };
    let (quick, slow) = (after(20, &served[0]).await, after(100, &served[1]).await);
    let world = plain(&[&quick, &slow]).await;
    let callers = (0..4).map(|_| world.address()).map(|address| async move {
        let mut wire = crate::client::Wire::to(address).await;
        for _ in 0..60 {
            assert_eq!(wire.ask("GET", "/", "", b"").await.status, 200);
        }
    });
    let callers: Vec<_> = callers.map(tokio::spawn).collect();
    for caller in callers {
        within("the caller", caller).await.unwrap();
    }
    let [quick, slow] = served.map(|count| count.load(Relaxed));
    assert_eq!(quick + slow, 240);
    assert!(slow < 48, "{slow} of 240 went to the slow one");
}

/// Reads a request and breaks the connection.
async fn breaking() -> Origin {
    Origin::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        reset(&stream);
    })
    .await
}

#[tokio::test]
async fn a_break_before_the_answer_is_retried_only_if_that_is_safe() {
    let origin = breaking().await;
    let mut world = plain(&[&origin]).await;
    let answer = world.get("/").await;
    assert_eq!(
        (answer.verdict().as_str(), answer.header("x-plimsoll-attempts")),
        ("502 upstream-reset", "3")
    );
    assert_eq!(answer.problem("delivered"), "maybe");
    assert_eq!(world.told().await, "bad upstream-reset 502 x3");
    let answer = post(&world, "").await;
    assert_eq!(
        (answer.verdict().as_str(), answer.header("x-plimsoll-attempts")),
        ("502 upstream-reset", "")
    );
    let event = world.event().await;
    assert_eq!(
        (crate::world::say(&event).as_str(), event.retry_stopped),
        ("bad upstream-reset 502 x1", Some("not-repeatable"))
    );
    post(&world, "Idempotency-Key: \"1\"\r\n").await;
    assert_eq!(world.told().await, "bad upstream-reset 502 x3");
    assert_eq!(Repeatable::of("POST", true), Repeatable::Keyed);
    assert_eq!(origin.connections(), 7);
}

#[tokio::test]
async fn a_connection_that_closes_without_an_answer_is_a_break_too() {
    let origin = Origin::raw(|mut stream, _| async move { drop(read_head(&mut stream).await) }).await;
    let mut world = plain(&[&origin]).await;
    let answer = post(&world, "").await;
    assert_eq!(
        (answer.verdict().as_str(), answer.problem("delivered")),
        ("502 upstream-reset", "maybe")
    );
    assert_eq!(world.told().await, "bad upstream-reset 502 x1");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_broken_for_the_caller_too() {
    for (answer, came) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"[..], "half"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "half",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
            "half",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", ""),
    ] {
        let origin = Origin::raw(move |mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        })
        .await;
        let mut world = plain(&[&origin]).await;
        let answer = world.get("/").await;
        assert_eq!((answer.status, answer.text(), answer.whole), (200, came, false));
        assert_eq!(world.told().await, "bad upstream-truncated 200 x1");
        let answer = Http2::to(world.address()).await.get("/").await;
        assert_eq!((answer.status, answer.text(), answer.whole), (200, came, false));
        assert_eq!(world.told().await, "bad upstream-truncated 200 x1");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_not_passed_on() {
    for nonsense in [
        &b"SSH-2.0-OpenSSH_9.6\r\n"[..],
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/3.0 200 OK\r\n\r\n",
    ] {
        let origin = Origin::replaying(nonsense).await;
        let mut world = plain(&[&origin]).await;
        let answer = world.get("/").await;
        assert_eq!(
            answer.verdict(),
            "502 upstream-malformed",
            "{}",
            String::from_utf8_lossy(nonsense)
        );
        assert_eq!(world.told().await, "bad upstream-malformed 502 x1");
    }
}

#[tokio::test]
async fn an_upstream_with_both_lengths_is_not_believed() {
    let both =
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let origin = Origin::replaying(both).await;
    let world = plain(&[&origin]).await;
    let mut wire = world.wire().await;
    let answer = wire.ask("GET", "/", "", b"").await;
    // RFC 9112 §6.3: the chunks win, and the length must go before it is forwarded.
    assert_eq!((answer.text(), answer.header("content-length")), ("hello", ""));
}

#[tokio::test]
async fn a_slow_answer_is_given_up() {
    let origin = Origin::serving(Speaks::Http1, |_| std::future::pending()).await;
    let times = |per_try, total| DeadlineConfig {
        per_try: Some(Duration::from_millis(per_try)),
        total: Duration::from_millis(total),
        ..DeadlineConfig::default()
    };
    let mut world = plain(&[&origin]).await;
    world
        .reload(|plan| plan.listeners[0].routes[0].deadline = times(50, 5000))
        .await;
    assert_eq!(post(&world, "").await.verdict(), "504 upstream-timeout");
    assert_eq!(world.told().await, "bad upstream-timeout 504 x1");
    let answer = world.get("/").await;
    assert_eq!(
        (answer.verdict().as_str(), answer.header("x-plimsoll-attempts")),
        ("504 upstream-timeout", "3")
    );
    assert_eq!(world.told().await, "bad upstream-timeout 504 x3");
    world
        .reload(|plan| plan.listeners[0].routes[0].deadline = times(5000, 80))
        .await;
    assert_eq!(world.get("/").await.verdict(), "504 deadline-exceeded");
    assert_eq!(world.told().await, "bad deadline-exceeded 504 x1");
    world
        .reload(|plan| plan.listeners[0].routes[0].deadline = times(5000, 5000))
        .await;
    let asked = world
        .wire()
        .await
        .ask("GET", "/", "X-Plimsoll-Deadline-Ms: 60\r\n", b"")
        .await;
    assert_eq!(asked.verdict(), "504 deadline-exceeded");
    assert_eq!(world.told().await, "bad deadline-exceeded 504 x1");
}

#[tokio::test]
async fn the_deadline_is_told_on_and_holds_to_the_last_byte() {
    let origin = Origin::raw(|mut stream, _| async move {
        let head = read_head(&mut stream).await.unwrap();
        let left = head
            .split("x-plimsoll-deadline-ms: ")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{left}\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        drop(stream.read_u8().await);
    })
    .await;
    let mut world = plain(&[&origin]).await;
    let answer = world
        .wire()
        .await
        .ask("GET", "/", "X-Plimsoll-Deadline-Ms: 150\r\n", b"")
        .await;
    let left: u64 = answer.text().trim_end().parse().unwrap();
    assert!((50..150).contains(&left), "{left}");
    assert!(!answer.whole);
    assert_eq!(world.told().await, "bad deadline-exceeded 200 x1");
}

#[tokio::test]
async fn a_deadline_that_cannot_be_met_is_refused_at_once() {
    let origin = Origin::serving(Speaks::Http1, |_| async {
        tokio::time::sleep(Duration::from_millis(5)).await;
        Ok(Response::new(full("ok")))
    })
    .await;
    let mut world = plain(&[&origin]).await;
    let mut wire = world.wire().await;
    let zero = wire.ask("GET", "/", "X-Plimsoll-Deadline-Ms: 0\r\n", b"").await;
    assert_eq!(
        (zero.verdict().as_str(), world.told().await.as_str()),
        ("504 deadline-unmeetable", "excluded deadline-unmeetable 504 x0")
    );
    for _ in 0..100 {
        wire.ask("GET", "/", "", b"").await;
        assert_eq!(world.told().await, "good 200 x1");
    }
    world.gateway.learn_times();
    let hurried = wire.ask("GET", "/", "X-Plimsoll-Deadline-Ms: 2\r\n", b"").await;
    assert_eq!(
        (hurried.verdict().as_str(), hurried.problem("delivered")),
        ("504 deadline-unmeetable", "no")
    );
    assert_eq!(world.told().await, "excluded deadline-unmeetable 504 x0");
    assert_eq!(
        wire.ask("GET", "/", "X-Plimsoll-Deadline-Ms: 2000\r\n", b"")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn errors_pass_as_they_are() {
    for (status, expected) in [
        (500, "bad upstream-error 500 x1"),
        (404, "good 404 x1"),
        (501, "bad upstream-error 501 x1"),
    ] {
        let origin = Origin::answering(move |_| {
            Response::builder()
                .status(status)
                .header("x", "y")
                .body(full("why"))
                .unwrap()
        })
        .await;
        let mut world = plain(&[&origin]).await;
        let answer = world.get("/").await;
        assert_eq!(
            (answer.status, answer.text(), answer.header("x")),
            (status, "why", "y")
        );
        assert_eq!(answer.header("x-plimsoll-reason"), "");
        assert_eq!(world.told().await, expected);
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_is_ejected() {
    let (good, better, bad) = (
        Origin::saying("ok").await,
        Origin::saying("ok").await,
        Origin::failing(500).await,
    );
    let mut world = World::of(&[&good, &better, &bad])
        .upstream(|upstream| (upstream.breaker, upstream.outlier) = (None, Some(OutlierConfig::default())))
        .start()
        .await;
    let address = bad.address.to_string();
    let failures = |world: &World| {
        let endpoints = world.gateway.running().upstreams[0].state.endpoints();
        let bad = endpoints
            .iter()
            .find(|e| e.address.to_string() == address)
            .unwrap();
        bad.reading(world.gateway.env().now())
    };
    let mut asked = 0;
    while !failures(&world).ejected && asked < 200 {
        asked += 1;
        // The balancer sends little to who fails; many at once still reach it.
        let gets = (0..20).map(|_| {
            let address = world.address();
            tokio::spawn(async move {
                crate::client::Wire::to(address)
                    .await
                    .ask("GET", "/", "", b"")
                    .await
                    .status
            })
        });
        for get in gets.collect::<Vec<_>>() {
            within("an answer", get).await.unwrap();
            world.event().await;
        }
        world.gateway.sweep_outliers();
    }
    assert!(
        failures(&world).ejected,
        "after {asked} rounds: {:?}",
        failures(&world)
    );
    let before = bad.seen().len();
    for _ in 0..50 {
        assert_eq!(world.get("/").await.text(), "ok");
        assert_eq!(world.told().await, "good 200 x1");
    }
    assert_eq!(bad.seen().len(), before);
}

#[tokio::test]
async fn a_health_check_takes_an_endpoint_out_and_back_in() {
    let sick = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_sick = Arc::clone(&sick);
    let one = Origin::answering(move |seen| match seen.head.uri.path() {
        "/healthz" if is_sick.load(Relaxed) => status_only(503),
        _ => Response::new(full("one")),
    })
    .await;
    let two = Origin::saying("two").await;
    let health = HealthConfig {
        interval: Duration::from_millis(50),
        path: "/healthz".to_owned(),
        ..HealthConfig::default()
    };
    let world = World::of(&[&one, &two])
        .upstream(|upstream| upstream.health = Some(health))
        .start()
        .await;
    let gateway = world.gateway.clone();
    let checking = tokio::spawn(async move { gateway.check_health().await });
    let healthy = || {
        let endpoints = world.gateway.running().upstreams[0].state.endpoints();
        endpoints
            .iter()
            .filter(|e| e.reading(world.gateway.env().now()).healthy)
            .count()
    };
    sick.store(true, Relaxed);
    until("the sick one to be out", || healthy() == 1).await;
    for _ in 0..20 {
        assert_eq!(world.get("/").await.text(), "two");
    }
    sick.store(false, Relaxed);
    until("it to be back", || healthy() == 2).await;
    let mut answers = Vec::new();
    for _ in 0..200 {
        answers.push(world.get("/").await.text().to_owned());
    }
    assert!(answers.iter().any(|answer| answer == "one"));
    checking.abort();
}

#[tokio::test]
async fn a_caller_who_leaves_is_nobodys_failure() {
    let origin = Origin::serving(Speaks::Http1, |_| std::future::pending()).await;
    let mut world = plain(&[&origin]).await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the request", || origin.connections() == 1).await;
    drop(wire);
    assert_eq!(world.told().await, "excluded client-closed 0 x1");
    let mut wire = world.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    until("the request", || origin.connections() == 2).await;
    drop(wire);
    assert_eq!(world.told().await, "excluded client-closed 499 x1");
    assert_eq!(world.counted(), "good 0, excluded client-closed 2, attempts 2");
    until("its place to be free", || {
        world.gateway.running().upstreams[0].state.bulkhead().0 == 0
    })
    .await;
    let endpoint =
        world.gateway.running().upstreams[0].state.endpoints()[0].reading(world.gateway.env().now());
    assert_eq!((endpoint.failures, endpoint.pending), (0, 0), "{endpoint:?}");
}

#[tokio::test]
async fn an_early_answer_to_an_upload_is_passed_on() {
    let origin = Origin::raw(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            .await
            .unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
    })
    .await;
    let mut world = plain(&[&origin]).await;
    let mut wire = world.wire().await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin")
        .await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
    assert_eq!(world.told().await, "good 403 x1");
}
