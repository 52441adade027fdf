//! Retries: what is sent again, how often, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use http::Response;
use plimsoll_policy::BudgetConfig;

use crate::client::Wire;
use crate::failures::{by_turns, plain};
use crate::origin::{Origin, Speaks, full, status_only};
use crate::world::{World, until, within};

#[tokio::test]
async fn retries_amplify_no_more_than_their_budget() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let origin = Origin::serving(Speaks::Http1, move |_| {
        counted.fetch_add(1, Relaxed);
        async { Ok(status_only(503)) }
    })
    .await;
    let budget = BudgetConfig {
        share: 0.1,
        burst: 10,
    };
    let world = World::of(&[&origin]).upstream(|upstream| {
        (upstream.breaker, upstream.outlier, upstream.budget) = (None, None, budget);
    });
    let world = world.cores(2).start().await;
    let address = world.address();
    let callers = (0..8).map(|_| {
        tokio::spawn(async move {
            let mut wire = Wire::to(address).await;
            for _ in 0..250 {
                assert_eq!(wire.ask("GET", "/", "", b"").await.status, 503);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        within("the caller", caller).await.unwrap();
    }
    until("all to be counted", || world.tally().total() == 2000).await;
    let tally = world.tally();
    assert!(
        tally.retries <= 210 && tally.retries >= 150,
        "{} retries",
        tally.retries
    );
    assert_eq!(
        (tally.attempts, u64::from(asked.load(Relaxed))),
        (2000 + tally.retries, 2000 + tally.retries)
    );
}

#[tokio::test]
async fn attempts_are_numbered() {
    let origin = by_turns(|turn| {
        if turn < 3 {
            status_only(503)
        } else {
            Response::new(full("third"))
        }
    })
    .await;
    let mut world = plain(&[&origin]).await;
    let answer = world.wire().await.ask("PUT", "/", "", b"kept").await;
    assert_eq!(
        (answer.text(), answer.header("x-plimsoll-attempts")),
        ("third", "3")
    );
    let seen = origin.seen();
    let numbers: Vec<_> = seen
        .iter()
        .map(|seen| seen.header("x-plimsoll-attempt"))
        .collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    assert!(
        seen.iter().all(|seen| &*seen.body == b"kept"),
        "the body is sent again"
    );
    let ids: Vec<_> = seen.iter().map(|seen| seen.header("x-request-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2]);
    let event = world.event().await;
    assert_eq!(crate::world::say(&event), "good 200 x3");
    assert_eq!(
        event.attempts.iter().map(|a| a.status).collect::<Vec<_>>(),
        [Some(503), Some(503), Some(200)]
    );
}

#[tokio::test]
async fn a_body_too_large_to_keep_is_sent_once() {
    let origin = Origin::failing(503).await;
    let mut world = plain(&[&origin]).await;
    let answer = world.wire().await.ask("PUT", "/", "", &vec![b'x'; 100_000]).await;
    assert_eq!((answer.status, answer.header("x-plimsoll-attempts")), (503, ""));
    let event = world.event().await;
    assert_eq!(
        (event.retry_stopped, event.outcome.attempts),
        (Some("body-not-replayable"), 1)
    );
}

#[tokio::test]
async fn only_one_layer_retries() {
    let origin = Origin::failing(503).await;
    let mut world = plain(&[&origin]).await;
    world
        .wire()
        .await
        .ask("GET", "/", "X-Plimsoll-Attempt: 2\r\n", b"")
        .await;
    let event = world.event().await;
    assert_eq!(
        (crate::world::say(&event).as_str(), event.retry_stopped),
        ("bad upstream-error 503 x1", Some("other-layer-retries"))
    );
    assert_eq!(
        origin.only().header("x-plimsoll-attempt"),
        "2",
        "the number goes on"
    );
    let (attempts, stopped) = behind("3").await;
    assert_eq!((attempts, stopped), (1, Some("other-layer-retries")));
}

/// Attempts at an upstream that fails and tells so many of its own, and why there were no more.
async fn behind(told: &'static str) -> (u32, Option<&'static str>) {
    let below = Origin::answering(move |_| {
        Response::builder()
            .status(503)
            .header("x-plimsoll-attempts", told)
            .body(full(""))
            .unwrap()
    })
    .await;
    let mut world = plain(&[&below]).await;
    assert_eq!(world.get("/").await.status, 503);
    let event = world.event().await;
    (event.outcome.attempts, event.retry_stopped)
}

#[tokio::test]
async fn what_one_budget_held_back_no_other_layer_sends() {
    let origin = Origin::failing(503).await;
    let none = BudgetConfig { share: 0.0, burst: 0 };
    let mut world = World::of(&[&origin])
        .upstream(|upstream| (upstream.breaker, upstream.outlier, upstream.budget) = (None, None, none))
        .start()
        .await;
    let answer = world.get("/").await;
    assert_eq!(
        (answer.status, answer.header("x-plimsoll-attempts")),
        (503, "1"),
        "it says that it tried once and will not again"
    );
    assert_eq!(world.event().await.retry_stopped, Some("budget-exhausted"));
    let (attempts, stopped) = behind("1").await;
    assert_eq!((attempts, stopped), (1, Some("other-layer-retries")));
}

#[tokio::test]
async fn retry_after_is_obeyed() {
    let later = |seconds: &'static str| {
        move |turn| match turn {
            1 => Response::builder()
                .status(503)
                .header("retry-after", seconds)
                .body(full(""))
                .unwrap(),
            _ => Response::new(full("ok")),
        }
    };
    let soon = by_turns(later("1")).await;
    let mut world = plain(&[&soon]).await;
    assert_eq!(world.get("/").await.text(), "ok");
    let event = world.event().await;
    assert_eq!(event.outcome.attempts, 2);
    assert!(
        event.attempts[1].after >= Duration::from_secs(1),
        "{:?}",
        event.attempts
    );
    let late = by_turns(later("60")).await;
    let mut world = plain(&[&late]).await;
    let answer = world.get("/").await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, "60"),
        "the caller can wait without us"
    );
    assert_eq!(world.event().await.retry_stopped, Some("pushed-back"));
}

/// An upstream that stalls for all at once: fewer tries can be paid for than are late, and the others are waited for.
#[tokio::test]
async fn a_stall_costs_no_request() {
    let slow = Arc::new(AtomicU32::new(0));
    let stalled = Arc::clone(&slow);
    let origin = Origin::serving(Speaks::Http1, move |_| {
        let millis = stalled.load(Relaxed);
        async move {
            tokio::time::sleep(Duration::from_millis(millis.into())).await;
            Ok(Response::new(full("ok")))
        }
    })
    .await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    for _ in 0..120 {
        assert_eq!(wire.ask("GET", "/", "", b"").await.status, 200);
    }
    world.gateway.learn_times();
    slow.store(400, Relaxed);
    let address = world.address();
    let asking: Vec<_> = (0..80)
        .map(|_| tokio::spawn(async move { Wire::to(address).await.ask("GET", "/", "", b"").await.status }))
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), 200);
    }
}
