//! The framing attacks of `testdata/framing.txt`, each on a connection of its own.

mod script;

use std::path::Path;
use std::time::Duration;

use gateway::plan::LimitsPlan;
use script::{Case, cases};

use crate::client::Wire;
use crate::origin::{Origin, full};
use crate::world::{World, within};

/// Plays one case; says what was different, if anything was.
async fn play(case: &Case, world: &mut World, origin: &Origin) -> Result<(), String> {
    let (seen, counted) = (origin.seen().len(), world.tally().total());
    let mut wire = world.wire().await;
    for bytes in &case.sends {
        wire.try_send(bytes).await;
    }
    let mut answers = Vec::new();
    for _ in &case.answers {
        answers.push(
            wire.try_answer()
                .await
                .map_or_else(|| "the end".to_owned(), |answer| answer.verdict()),
        );
    }
    if answers != case.answers {
        return Err(format!("answered {answers:?}"));
    }
    let rest = if case.stays_open {
        still_open(&mut wire).await
    } else {
        wire.closed().await
    };
    let reached = origin.seen().len() - seen;
    if reached != case.upstream || !rest.is_empty() {
        return Err(format!("the upstream saw {reached} requests; then came {rest:?}"));
    }
    let expected = case.answers.len() as u64 + u64::from(case.stays_open);
    let all = async {
        while world.tally().total() < counted + expected {
            tokio::task::yield_now().await;
        }
    };
    within("all to be counted", all).await;
    for reason in case
        .answers
        .iter()
        .filter_map(|answer| Some(answer.split_once(' ')?.1))
    {
        if !world.counted().contains(&format!("excluded {reason} ")) {
            return Err(format!("{reason} was not counted: {}", world.counted()));
        }
    }
    (world.tally().total() == counted + expected)
        .then_some(())
        .ok_or_else(|| format!("counted {} outcomes", world.tally().total() - counted))
}

/// A plain request is answered on it, which the caller takes into account.
async fn still_open(wire: &mut Wire) -> String {
    let answer = wire.ask("GET", "/after", "Connection: close\r\n", b"").await;
    match answer.status {
        200 => wire.closed().await,
        status => format!("{status} {}", answer.text()),
    }
}

#[tokio::test]
async fn attacks_are_refused_and_do_not_reach_the_upstream() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/framing.txt");
    let cases = cases(&std::fs::read_to_string(path).unwrap());
    assert!(cases.len() >= 500, "{} cases", cases.len());
    let origin = Origin::answering(|_| http::Response::new(full("ok"))).await;
    let limits = LimitsPlan {
        head_bytes: 4096,
        headers: 20,
        target_bytes: 1024,
        body_bytes: 1000,
        ..LimitsPlan::default()
    };
    let mut world = World::of(&[&origin])
        .plan(|plan| plan.listeners[0].limits = limits)
        .start()
        .await;
    let mut wrong = Vec::new();
    for case in &cases {
        let played = tokio::time::timeout(Duration::from_secs(2), play(case, &mut world, &origin)).await;
        let played = played.unwrap_or_else(|_| Err("nothing came any more".to_owned()));
        wrong.extend(
            played
                .err()
                .map(|error| format!("{}: {error}; expected {:?}", case.name, case.answers)),
        );
        while world.pending_event().is_some() {}
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn a_good_request_before_a_bad_one_is_answered_first() {
    let held = std::sync::Arc::new(tokio::sync::Notify::new());
    let release = std::sync::Arc::clone(&held);
    let origin = Origin::serving(crate::origin::Speaks::Http1, move |_| {
        let release = std::sync::Arc::clone(&release);
        async move {
            release.notified().await;
            Ok(http::Response::new(full("good")))
        }
    })
    .await;
    let mut world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    wire.send(
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    )
    .await;
    crate::world::until("the good one", || origin.connections() == 1).await;
    held.notify_one();
    assert_eq!(wire.answer().await.text(), "good");
    let refused = wire.answer().await;
    assert_eq!(refused.verdict(), "400 ambiguous-framing");
    assert_eq!(refused.header("connection"), "close");
    assert_eq!(
        (refused.problem("blame"), refused.problem("delivered")),
        ("caller", "no")
    );
    assert_eq!(wire.closed().await, "");
    assert_eq!(world.told().await, "good 200 x1");
    crate::world::until("the refusal to be counted", || world.tally().total() == 2).await;
    assert_eq!(
        world.counted(),
        "good 1, excluded ambiguous-framing 1, attempts 1"
    );
}

/// Byte by byte, so that every state of the scanners sees every boundary.
#[tokio::test]
async fn good_requests_may_come_in_any_pieces() {
    let origin = Origin::answering(|seen| http::Response::new(full(seen.body.clone()))).await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    let requests = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none\
        POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nt\r\n2;a=b\r\nwo\r\n0\r\nx: y\r\n\r\n";
    for size in [1, 7, 16, 61] {
        for piece in requests.chunks(size) {
            wire.send(piece).await;
        }
        assert_eq!(wire.answer().await.text(), "one");
        assert_eq!(wire.answer().await.text(), "two");
    }
}
