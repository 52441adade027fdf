//! Two versions of a service, and requests that are split between them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway::plan::{Between, EndpointPlan, Plan, SplitPlan, WalkKey};
use gateway::splits::{Split, SplitSeen};
use http::Response;
use plimsoll_slo::{SLOTS, Seen};

use crate::client::Wire;
use crate::origin::{Origin, full, status_only};
use crate::world::{World, until};

/// The candidate is there, and the split at nothing yet.
async fn between(stable: &Origin, candidate: &Origin, key: Option<WalkKey>) -> World {
    let world = World::of(&[stable]).plan(|plan| split(plan, candidate, key));
    world.cores(2).start().await
}

fn split(plan: &mut Plan, candidate: &Origin, key: Option<WalkKey>) {
    plan.upstreams[0].outlier = None;
    let mut upstream = plan.upstreams[0].clone();
    upstream.name = "origin@v2".into();
    upstream.version = "v2".into();
    let address = candidate.address;
    upstream.endpoints = vec![EndpointPlan::Host(address.ip().to_string(), address.port())];
    plan.upstreams.push(upstream);
    plan.splits = vec![SplitPlan {
        change: "origin-1".into(),
        between: Between::Versions {
            stable: "origin".into(),
            candidate: "origin@v2".into(),
        },
        key,
        slow: Some([1, 2, 3].map(Duration::from_secs)),
    }];
}

fn the_split(world: &World) -> Arc<Split> {
    Arc::clone(&world.gateway.running().splits[0])
}

/// What was seen of the stable version and the candidate, in an epoch.
fn each(split: &Split, epoch: usize) -> (Seen, Seen) {
    let readings = split.readings();
    let reading = readings.iter().find(|reading| reading.epoch == epoch);
    match reading.map(|reading| &reading.seen) {
        Some(SplitSeen::Each { stable, candidate }) => (*stable, *candidate),
        other => panic!("{other:?}"),
    }
}

async fn ask(world: &World, times: usize, headers: &str) -> BTreeMap<String, usize> {
    let mut said = BTreeMap::new();
    let mut wire = Wire::to(world.address()).await;
    for _ in 0..times {
        let answer = wire.ask("GET", "/", headers, b"").await;
        *said.entry(answer.text().to_owned()).or_default() += 1;
    }
    said
}

#[tokio::test]
async fn requests_are_split_by_the_share_that_holds() {
    let (old, new) = (Origin::saying("old").await, Origin::saying("new").await);
    let mut world = between(&old, &new, None).await;
    let split = the_split(&world);
    assert_eq!(
        ask(&world, 50, "").await,
        BTreeMap::from([("old".to_owned(), 50)])
    );
    split.set(0, SLOTS / 4);
    let said = ask(&world, 400, "").await;
    assert!((60..140).contains(&said["new"]), "{said:?}");
    split.set(1, SLOTS);
    assert_eq!(
        ask(&world, 20, "").await,
        BTreeMap::from([("new".to_owned(), 20)])
    );
    split.set(1, 0);
    assert_eq!(
        ask(&world, 20, "").await,
        BTreeMap::from([("old".to_owned(), 20)])
    );
    until("all to be counted", || world.tally().total() == 490).await;
    let (stable, candidate) = each(&split, 0);
    assert_eq!(
        (stable.events, candidate.events),
        (said["old"] as u64, said["new"] as u64)
    );
    assert_eq!(stable.failed + candidate.failed, 0);
    assert_eq!(each(&split, 1).1.events, 20);
    // By version it is in the ledger and in the log, under the name of the service.
    let mut by_version = BTreeMap::new();
    for (key, tally) in world.gateway.ledger().snapshot() {
        assert!(&*key.upstream == "origin" || &*key.upstream == "-", "{key:?}");
        *by_version.entry(key.version.to_string()).or_insert(0) += tally.total();
    }
    assert_eq!(by_version["v2"], said["new"] as u64 + 20);
    let event = world.event().await;
    assert_eq!((&*event.upstream, &*event.version), ("origin", "stable"));
}

#[tokio::test]
async fn what_a_candidate_fails_at_is_answered_by_the_stable_version_and_counts_against_it() {
    for (name, candidate) in [
        ("it answers 503", Origin::failing(503).await),
        ("it is gone", {
            let mut gone = Origin::saying("").await;
            gone.kill().await;
            gone
        }),
    ] {
        let old = Origin::saying("old").await;
        let world = between(&old, &candidate, None).await;
        let split = the_split(&world);
        split.set(0, SLOTS / 5);
        assert_eq!(
            ask(&world, 200, "").await,
            BTreeMap::from([("old".to_owned(), 200)]),
            "{name}"
        );
        until("all to be counted", || world.tally().total() == 200).await;
        let (stable, candidate) = each(&split, 0);
        assert!(candidate.events > 15, "{name}: {candidate:?}");
        assert_eq!(
            candidate.failed, candidate.events,
            "{name}: by its breaker's refusals too"
        );
        assert_eq!(
            (stable.failed, stable.events),
            (0, 200 - candidate.events),
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_must_not_be_sent_twice_is_not() {
    let (old, new) = (Origin::saying("old").await, Origin::failing(500).await);
    let world = between(&old, &new, None).await;
    let split = the_split(&world);
    split.set(0, SLOTS);
    let mut wire = Wire::to(world.address()).await;
    assert_eq!(wire.ask("POST", "/", "", b"pay").await.status, 500);
    assert_eq!(old.seen().len(), 0);
    until("it to be counted", || each(&split, 0).1.events == 1).await;
    assert_eq!(each(&split, 0).1.failed, 1);
}

#[tokio::test]
async fn a_user_keeps_to_a_version_and_counts_once() {
    let old = Origin::saying("old").await;
    let new = Origin::answering(|_| Response::new(full("new"))).await;
    let key = Some(WalkKey::Cookie("sid".into()));
    let world = between(&old, &new, key).await;
    let split = the_split(&world);
    split.set(0, SLOTS / 2);
    let mut users = BTreeMap::new();
    for user in 0..40 {
        let said = ask(&world, 5, &format!("Cookie: a=b; sid=user-{user}\r\n")).await;
        assert_eq!(said.len(), 1, "user {user}: {said:?}");
        *users.entry(said.into_keys().next().unwrap()).or_insert(0) += 1;
    }
    assert!(users["old"] > 8 && users["new"] > 8, "{users:?}");
    until("all to be counted", || world.tally().total() == 200).await;
    let readings = split.readings();
    let SplitSeen::Keys(keys) = &readings[0].seen else {
        panic!("{readings:?}");
    };
    let epoch = keys.epoch(readings[0].boundary, 0);
    assert_eq!(
        (epoch.candidate.events, epoch.stable.events),
        (users["new"], users["old"])
    );
}

#[tokio::test]
async fn testers_get_what_they_ask_for_and_count_for_nobody() {
    let (old, new) = (Origin::saying("old").await, Origin::saying("new").await);
    let world = between(&old, &new, None).await;
    let split = the_split(&world);
    let candidate = "X-Plimsoll-Version: candidate\r\n";
    assert_eq!(
        ask(&world, 3, candidate).await,
        BTreeMap::from([("new".to_owned(), 3)])
    );
    split.set(0, SLOTS);
    let stable = "X-Plimsoll-Version: stable\r\n";
    assert_eq!(
        ask(&world, 3, stable).await,
        BTreeMap::from([("old".to_owned(), 3)])
    );
    until("all to be counted", || world.tally().total() == 6).await;
    assert_eq!(each(&split, 0).1.events, 0);
    // Of a caller who is not trusted it is a header like any other.
    world.reload(|plan| plan.listeners[0].trust.clear()).await;
    assert_eq!(
        ask(&world, 3, stable).await,
        BTreeMap::from([("new".to_owned(), 3)])
    );
}

#[tokio::test]
async fn a_reload_goes_on_counting_and_the_end_of_a_split_is_the_stable_version() {
    let (old, new) = (
        Origin::saying("old").await,
        Origin::answering(|_| status_only(204)).await,
    );
    let world = between(&old, &new, None).await;
    let split = the_split(&world);
    split.set(0, SLOTS);
    ask(&world, 5, "").await;
    world.reload(|plan| plan.drain_max = Duration::from_secs(7)).await;
    assert!(Arc::ptr_eq(&split, &the_split(&world)));
    ask(&world, 5, "").await;
    until("all to be counted", || each(&split, 0).1.events == 10).await;
    world
        .reload(|plan| {
            plan.splits.clear();
            plan.upstreams.pop();
        })
        .await;
    assert_eq!(ask(&world, 5, "").await, BTreeMap::from([("old".to_owned(), 5)]));
}
