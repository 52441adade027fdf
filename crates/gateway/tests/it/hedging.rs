//! Hedging: which late requests are sent to a second endpoint, which answer is taken, and what becomes of the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use gateway::plan::{Plan, Protocol};
use http::Response;
use plimsoll_policy::{BudgetConfig, HedgeConfig};

use self::pair::{EAGER, Pair, WHATEVER, all_given_back, hedge, hedges, reading};
use crate::origin::{Origin, Speaks, full, status_only};
use crate::world::{World, until};

mod http2;
mod pair;

#[tokio::test]
async fn a_late_request_is_answered_by_the_other_endpoint() {
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let pair = Pair::late(speaks, 1).await;
        let protocol = if speaks == Speaks::Http2 {
            Protocol::Http2
        } else {
            Protocol::Http1
        };
        let mut world = pair.hedging().upstream(|u| u.protocol = protocol).start().await;
        let answer = world.get("/").await;
        assert_eq!((answer.text(), answer.header("x-plimsoll-attempts")), ("2", "2"));
        pair.until_cancelled(&[1]).await;
        let arrived = pair.arrived();
        assert_eq!(pair.numbers(), [1, 2]);
        assert_ne!(arrived[0].endpoint, arrived[1].endpoint);
        let event = world.event().await;
        assert_eq!(crate::world::say(&event), "good 200 x2");
        let notes: Vec<_> = event
            .attempts
            .iter()
            .map(|note| (note.hedge, note.cancelled, note.status, note.reason))
            .collect();
        assert_eq!(notes, [(false, true, None, None), (true, false, Some(200), None)]);
        assert!(
            event.attempts[1].after >= Duration::from_millis(20),
            "{:?}",
            event.attempts
        );
        assert_eq!(hedges(&world), "won 1");
        all_given_back(&world).await;
        let failures: u64 = world.gateway.running().upstreams[0]
            .state
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.reading(world.gateway.env().now()).failures)
            .sum();
        assert_eq!(failures, 0, "losing is no failure");
    }
}

#[tokio::test]
async fn the_first_answer_is_taken_if_it_comes_first() {
    let pair = Pair::new(Speaks::Http1, |number, gate| async move {
        gate.acquire_many(number).await.unwrap().forget();
        Response::new(full(number.to_string()))
    })
    .await;
    let mut world = pair.hedging().start().await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the hedge", || pair.numbers() == [1, 2]).await;
    pair.gate.add_permits(1);
    assert_eq!(wire.answer().await.text(), "1");
    pair.until_cancelled(&[2]).await;
    let event = world.event().await;
    let notes: Vec<_> = event
        .attempts
        .iter()
        .map(|note| (note.hedge, note.cancelled))
        .collect();
    assert_eq!(notes, [(false, false), (true, true)]);
    assert_eq!(hedges(&world), "lost 1");
    all_given_back(&world).await;
}

#[tokio::test]
async fn what_is_answered_in_time_is_sent_once() {
    let pair = Pair::late(Speaks::Http1, 2).await;
    let world = pair.hedging();
    let world = world.plan(hedge(HedgeConfig {
        after: Some(crate::world::LONG),
        ..EAGER
    }));
    let mut world = world.start().await;
    assert_eq!(world.get("/").await.text(), "1");
    assert_eq!(world.told().await, "good 200 x1");
    assert_eq!((hedges(&world).as_str(), pair.numbers()), ("", vec![1]));
}

/// Why a hedge is refused, and the world in which it is.
type Tune = (&'static str, fn(&mut Plan));

/// Each world refuses the hedge for another reason, and the first attempt is waited for.
#[tokio::test]
async fn a_hedge_that_is_refused_costs_nothing() {
    let pair = Pair::late(Speaks::Http1, 1).await;
    let none = BudgetConfig { share: 0.0, burst: 0 };
    let tunes: [Tune; 4] = [
        ("no-other-endpoint", |plan| {
            plan.upstreams[0].endpoints.truncate(1);
        }),
        ("loaded", |plan| plan.upstreams[0].in_flight_max = 1),
        ("loaded", |plan| {
            plan.upstreams[0].in_flight_max = 4;
            plan.listeners[0].routes[0].hedge = Some(HedgeConfig {
                load_max: 0.25,
                ..EAGER
            });
        }),
        ("deadline-too-near", |plan| {
            let late = HedgeConfig {
                after: Some(Duration::from_millis(600)),
                ..EAGER
            };
            plan.listeners[0].routes[0].hedge = Some(late);
            plan.listeners[0].routes[0].deadline.total = Duration::from_millis(600);
        }),
    ];
    for (why, tune) in tunes {
        let mut world = pair.hedging().plan(tune).start().await;
        let mut wire = world.wire().await;
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        if why == "deadline-too-near" {
            assert_eq!(wire.answer().await.verdict(), "504 deadline-exceeded");
        } else {
            until("the refusal", || hedges(&world) == format!("{why} 1")).await;
            pair.gate.add_permits(1);
            assert_eq!(wire.answer().await.text(), "1", "{why}");
        }
        assert_eq!(world.event().await.outcome.attempts, 1, "{why}");
    }
    let world = pair
        .hedging()
        .upstream(|upstream| upstream.budget = none)
        .start()
        .await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the refusal", || hedges(&world) == "budget-exhausted 1").await;
    pair.gate.add_permits(1);
    assert_eq!(wire.answer().await.text(), "1");
    assert!(!pair.numbers().contains(&2));
}

/// A request that came later was hedged while this one was out: so it would have been as well.
#[tokio::test]
async fn what_may_change_something_is_sent_once() {
    let pair = Pair::late(Speaks::Http1, 1).await;
    let mut world = pair.hedging().start().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let mut changing = world.wire().await;
        let key = "Idempotency-Key: \"a\"\r\n";
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{key}Content-Length: 0\r\n\r\n");
        changing.send(head).await;
        until("it", || pair.numbers() == [1]).await;
        assert_eq!(world.get("/").await.text(), "2");
        assert_eq!(world.told().await, "good 200 x2");
        assert_eq!(pair.numbers(), [1, 1, 2], "{method}");
        pair.gate.add_permits(1);
        assert_eq!(changing.answer().await.text(), "1");
        assert_eq!(world.told().await, "good 200 x1");
        pair.arrived.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn what_came_as_a_retry_is_sent_once() {
    let pair = Pair::late(Speaks::Http1, 3).await;
    let mut world = pair.hedging().start().await;
    let mut retry = world.wire().await;
    retry
        .send("GET / HTTP/1.1\r\nHost: a\r\nX-Plimsoll-Attempt: 3\r\n\r\n")
        .await;
    until("it", || pair.numbers() == [3]).await;
    // By now it would have been hedged.
    let pause = HedgeConfig {
        after: Some(Duration::from_millis(30)),
        ..EAGER
    };
    world.reload(hedge(pause)).await;
    assert_eq!(world.get("/").await.text(), "1");
    pair.gate.add_permits(1);
    assert_eq!(retry.answer().await.text(), "3");
    for _ in 0..2 {
        assert_eq!(world.told().await, "good 200 x1");
    }
}

/// Both send the whole body, though the second begins when the first has long sent it.
#[tokio::test]
async fn a_route_may_say_that_its_operations_may_run_twice_at_once() {
    let pair = Pair::late(Speaks::Http1, 1).await;
    let world = pair.world().plan(hedge(WHATEVER));
    let world = world.start().await;
    let body = vec![b'x'; 40_000];
    assert_eq!(world.wire().await.ask("POST", "/", "", &body).await.text(), "2");
    let arrived = pair.arrived();
    assert_eq!(pair.numbers(), [1, 2]);
    assert!(
        arrived.iter().all(|attempt| attempt.body == body),
        "both are whole"
    );
    // What is not kept for a retry cannot be sent twice either.
    let mut wire = world.wire().await;
    let body = vec![b'x'; 100_000];
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        .await;
    wire.send(&body).await;
    until("the refusal", || hedges(&world) == "won 1, body-not-whole 1").await;
    pair.gate.add_permits(1);
    assert_eq!(wire.answer().await.text(), "1");
}

#[tokio::test]
async fn a_caller_who_is_still_sending_is_not_hedged() {
    let pair = Pair::late(Speaks::Http1, 2).await;
    let world = pair.world().plan(hedge(WHATEVER));
    let world = world.start().await;
    let mut wire = world.wire().await;
    wire.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")
        .await;
    until("the refusal", || hedges(&world) == "body-not-whole 1").await;
    wire.send("half").await;
    assert_eq!(wire.answer().await.text(), "1");
    assert_eq!(pair.arrived()[0].body, "halfhalf");
}

#[tokio::test]
async fn when_one_fails_the_other_is_waited_for() {
    for fails in [1, 2] {
        let pair = Pair::new(Speaks::Http1, move |number, gate| async move {
            // A hedge fails as it comes; a first attempt does when the test says so, and the other is answered after it.
            let permits = if number == fails { 2 - number } else { 2 };
            gate.acquire_many(permits).await.unwrap().forget();
            if number == fails {
                status_only(503)
            } else {
                Response::new(full(number.to_string()))
            }
        })
        .await;
        let mut world = pair.hedging().start().await;
        let mut wire = world.wire().await;
        wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until("the hedge", || pair.numbers() == [1, 2]).await;
        pair.gate.add_permits(2 - fails as usize);
        until("the failure", || {
            world.gateway.running().upstreams[0].state.bulkhead().0 == 1
        })
        .await;
        pair.gate.add_permits(2);
        assert_eq!(wire.answer().await.text(), (3 - fails).to_string());
        let event = world.event().await;
        assert_eq!(
            crate::world::say(&event),
            "good 200 x2",
            "no retry while one was out"
        );
        let statuses: Vec<_> = event.attempts.iter().map(|note| note.status).collect();
        assert_eq!(statuses[fails as usize - 1], Some(503), "{statuses:?}");
        assert!(
            !event.attempts.iter().any(|note| note.cancelled),
            "{:?}",
            event.attempts
        );
        assert_eq!(hedges(&world), if fails == 1 { "won 1" } else { "lost 1" });
        assert_eq!(pair.cancelled(), [0; 0]);
    }
}

#[tokio::test]
async fn when_both_fail_the_retry_policy_has_its_say() {
    let pair = Pair::new(Speaks::Http1, |number, gate| async move {
        match number {
            1 => {
                gate.acquire().await.unwrap().forget();
                status_only(503)
            }
            2 => {
                gate.add_permits(1);
                status_only(502)
            }
            _ => Response::new(full(number.to_string())),
        }
    })
    .await;
    let mut world = pair.hedging().start().await;
    let answer = world.get("/").await;
    assert_eq!((answer.text(), answer.header("x-plimsoll-attempts")), ("3", "3"));
    let event = world.event().await;
    assert_eq!(crate::world::say(&event), "good 200 x3");
    let hedge: Vec<_> = event.attempts.iter().map(|note| note.hedge).collect();
    assert_eq!(hedge, [false, true, false]);
    assert_eq!(hedges(&world), "failed 1");
    // With the hedge two of the three attempts are made: one retry is left, and no more.
    let world = pair
        .hedging()
        .route(|route| route.retry.as_mut().unwrap().retries_max = 1);
    let mut world = world.start().await;
    let answer = world.get("/").await;
    assert!(matches!(answer.status, 502 | 503), "{answer:?}");
    let event = world.event().await;
    assert_eq!(
        (event.outcome.attempts, event.retry_stopped),
        (2, Some("attempts-spent"))
    );
}

/// A 500 is a bug, and would be one at the other endpoint as well.
#[tokio::test]
async fn a_failure_that_stays_one_is_passed_on_at_once() {
    let pair = Pair::new(Speaks::Http1, |number, gate| async move {
        gate.acquire_many(number).await.unwrap().forget();
        status_only(500)
    })
    .await;
    let mut world = pair.hedging().start().await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the hedge", || pair.numbers() == [1, 2]).await;
    pair.gate.add_permits(1);
    assert_eq!(wire.answer().await.status, 500);
    pair.until_cancelled(&[2]).await;
    assert_eq!(world.told().await, "bad upstream-error 500 x2");
    all_given_back(&world).await;
}

#[tokio::test]
async fn a_caller_who_leaves_takes_both_along() {
    let pair = Pair::new(Speaks::Http1, |_, gate| async move {
        gate.acquire().await.unwrap().forget();
        status_only(200)
    })
    .await;
    let mut world = pair.hedging().start().await;
    let mut wire = world.wire().await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    until("the hedge", || pair.numbers() == [1, 2]).await;
    drop(wire);
    assert_eq!(world.told().await, "excluded client-closed 0 x2");
    until("both to be cancelled", || pair.cancelled().len() == 2).await;
    assert_eq!(hedges(&world), "abandoned 1");
    all_given_back(&world).await;
}

/// The deadline is the request's, and the hedge ends with it.
#[tokio::test]
async fn both_end_with_the_deadline() {
    let pair = Pair::new(Speaks::Http1, |_, gate| async move {
        gate.acquire().await.unwrap().forget();
        status_only(200)
    })
    .await;
    let world = pair
        .hedging()
        .route(|route| route.deadline.total = Duration::from_millis(300));
    let mut world = world.start().await;
    assert_eq!(world.get("/").await.verdict(), "504 deadline-exceeded");
    let event = world.event().await;
    assert_eq!(crate::world::say(&event), "bad deadline-exceeded 504 x2");
    assert!(
        event.outcome.latency < Duration::from_millis(400),
        "{:?}",
        event.outcome
    );
    until("both to be cancelled", || pair.cancelled().len() == 2).await;
    all_given_back(&world).await;
}

/// Nothing is hedged before it is known what late is; from then on what is later than the 95th percentile.
#[tokio::test]
async fn what_late_is_is_learned() {
    let pair = Pair::new(Speaks::Http1, |number, gate| async move {
        if number == 1 {
            gate.acquire().await.unwrap().forget();
        }
        Response::new(full(number.to_string()))
    })
    .await;
    let learned = HedgeConfig { after: None, ..EAGER };
    let world = pair.world().plan(hedge(learned)).start().await;
    pair.gate.add_permits(100);
    let mut wire = world.wire().await;
    for turn in 0..100 {
        world.gateway.learn_times();
        assert_eq!(reading(&world).after, None, "after {turn} answers");
        assert_eq!(wire.ask("GET", "/", "", b"").await.text(), "1");
    }
    world.gateway.learn_times();
    let after = reading(&world).after.expect("a hundred are enough");
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert_eq!(wire.ask("GET", "/", "", b"").await.text(), "2");
    // A reload keeps what was learned and counted.
    world
        .reload(hedge(HedgeConfig {
            share: 0.5,
            ..learned
        }))
        .await;
    assert_eq!(
        (reading(&world).after, hedges(&world).as_str()),
        (Some(after), "won 1")
    );
    world
        .reload(|plan| plan.listeners[0].routes[0].hedge = None)
        .await;
    assert!(world.gateway.hedges().is_empty());
}

/// An endpoint that loses every race is never measured. It is remembered for what it cost, and not asked first again.
#[tokio::test]
async fn an_endpoint_that_loses_is_avoided() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let slow = Origin::serving(Speaks::Http1, move |_| {
        counted.fetch_add(1, Relaxed);
        std::future::pending()
    })
    .await;
    let quick = Origin::saying("quick").await;
    let world = World::of(&[&slow, &quick]).plan(hedge(EAGER)).start().await;
    let mut wire = world.wire().await;
    for _ in 0..60 {
        assert_eq!(wire.ask("GET", "/", "", b"").await.text(), "quick");
    }
    let asked = asked.load(Relaxed);
    assert!(asked <= 2, "it was asked {asked} times");
}
