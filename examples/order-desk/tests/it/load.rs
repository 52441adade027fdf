//! The demo's traffic, against a desk in good health and one whose broker hangs up.

use order_desk::broker_sim::Behaviour;
use order_desk::domain::price::Price;
use order_desk::load::{Counts, Load, RunningLoad};

use crate::world::{World, until};

/// Wide enough that risk never refuses, whatever mix the dice make.
async fn world() -> World {
    World::with(|config| {
        config.limits.contracts_max = 1_000_000;
        config.limits.notional_max = Price::from_units(1_000_000_000);
    })
    .await
}

fn start(world: &World) -> RunningLoad {
    let target = format!("http://{}", world.desk.address());
    Load {
        target,
        rate_per_second: 500,
        tiers: Load::TIERS,
    }
    .start()
    .unwrap()
}

fn total(load: &RunningLoad) -> Counts {
    let mut sum = Counts::default();
    for tier in load.snapshot().tiers {
        sum.ok += tier.total.ok;
        sum.failed += tier.total.failed;
        for (code, count) in tier.total.refused {
            *sum.refused.entry(code).or_default() += count;
        }
    }
    sum
}

#[tokio::test]
async fn a_healthy_desk_answers_every_tier() {
    let world = world().await;
    let load = start(&world);
    // Asking the desk keeps the loop at the pace of real answers.
    until(async || world.get("/healthz").await.status == 200 && total(&load).ok >= 300).await;
    let snapshot = load.snapshot();
    assert_eq!(
        snapshot.tiers.iter().map(|tier| tier.tier).collect::<Vec<_>>(),
        ["gold", "silver", "bronze"]
    );
    for tier in &snapshot.tiers {
        assert!(tier.total.ok > 0 && tier.recent.ok > 0, "{tier:?}");
        assert!(tier.p50 <= tier.p99 && tier.p50.is_some(), "{tier:?}");
    }
    assert_eq!(
        (total(&load).failed, total(&load).refused.len()),
        (0, 0),
        "{:?}",
        total(&load)
    );
    load.stop().await;
    assert!(world.broker.executions() > 50);
}

#[tokio::test]
async fn refusals_are_counted_by_their_code() {
    let world = world().await;
    world.broker.set(Behaviour::Refuse);
    let load = start(&world);
    until(async || {
        world.get("/healthz").await.status == 200
            && total(&load)
                .refused
                .get("broker-unavailable")
                .is_some_and(|count| *count >= 20)
    })
    .await;
    assert_eq!((total(&load).ok, total(&load).failed), (0, 0));
    load.stop().await;
}

#[tokio::test]
async fn a_target_that_is_gone_is_a_failure() {
    let world = world().await;
    let load = start(&world);
    world.desk.stop().await;
    until(async || total(&load).failed >= 20).await;
    load.stop().await;
}
