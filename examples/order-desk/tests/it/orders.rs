//! Placing, reading, cancelling and accounting, with a broker in good health.

use order_desk::domain::price::Price;
use serde_json::{Value, json};

use crate::world::{World, call, order, order_with};

/// An order that rests at the broker.
fn resting() -> Value {
    order_with(&json!({ "limit_price": "0.05" }))
}

#[tokio::test]
async fn an_order_is_placed_read_and_cancelled() {
    let world = World::new().await;
    let placed = world.place(&resting()).await;
    assert_eq!(placed.status, 201);
    let (id, path) = (
        placed.json()["id"].clone(),
        placed.header("location").unwrap().to_owned(),
    );
    assert_eq!(path, format!("/v1/orders/{}", id.as_str().unwrap()));
    let whole = order_with(&json!({
        "id": id, "status": "working", "strike": "50.00", "limit_price": "0.05",
    }));
    assert_eq!(placed.json(), whole);
    assert_eq!(world.get(&path).await.json(), whole);
    for _ in 0..2 {
        let cancelled = world.delete(&path).await;
        assert_eq!(
            (cancelled.status, &cancelled.json()["status"]),
            (200, &json!("cancelled"))
        );
    }
    assert_eq!(
        world.get("/v1/accounts/acc-1/positions").await.json()["positions"],
        json!([])
    );
}

#[tokio::test]
async fn what_the_broker_decided_cannot_be_cancelled() {
    let world = World::new().await;
    let filled = world.place(&order()).await.json();
    assert_eq!(filled["status"], "filled");
    let path = format!("/v1/orders/{}", filled["id"].as_str().unwrap());
    let problem = world.delete(&path).await.problem(409, "not-cancellable");
    assert_eq!(
        (&problem["order_id"], &problem["order_status"]),
        (&filled["id"], &json!("filled"))
    );
}

#[tokio::test]
async fn an_order_that_the_broker_refuses_is_kept_as_rejected() {
    let world = World::with(|config| config.limits.contracts_max = 10_000).await;
    let rejected = world
        .place(&order_with(&json!({ "quantity": 1001, "strike": "1" })))
        .await;
    assert_eq!(
        (rejected.status, &rejected.json()["status"]),
        (201, &json!("rejected"))
    );
    assert_eq!(
        world.get("/v1/accounts/acc-1/positions").await.json()["positions"],
        json!([])
    );
}

#[tokio::test]
async fn positions_and_risk_add_up() {
    let world = World::new().await;
    world.place(&order()).await;
    world
        .place(&order_with(&json!({ "side": "sell", "quantity": 4 })))
        .await;
    world
        .place(&order_with(
            &json!({ "side": "sell", "quantity": 20, "limit_price": "0.01" }),
        ))
        .await;
    world
        .place(&order_with(
            &json!({ "right": "put", "strike": "12.5", "quantity": 2 }),
        ))
        .await;
    let positions = world.get("/v1/accounts/acc-1/positions").await.json();
    let position = |strike: &str, right: &str, net: i64, open_sell: i64| {
        json!({
            "underlying": "ACME", "expiry": "2099-12-18", "strike": strike, "right": right,
            "net": net, "open_buy": 0, "open_sell": open_sell,
        })
    };
    let expected = [position("12.50", "put", 2, 0), position("50.00", "call", 6, 20)];
    assert_eq!(positions, json!({ "account": "acc-1", "positions": expected }));
    // The call may go from 6 long to 14 short: 14 × 100 × 50 and 2 × 100 × 12.50.
    let risk = world.get("/v1/accounts/acc-1/risk").await.json();
    assert_eq!(
        risk,
        json!({
            "account": "acc-1",
            "exposure": { "contracts": 16, "notional": "72500.00" },
            "limits": { "contracts": 100, "notional": "1000000.00" },
            "utilisation": { "contracts": "0.16", "notional": "0.0725" },
        })
    );
}

#[tokio::test]
async fn each_risk_limit_refuses_and_says_by_how_much() {
    let world = World::with(|config| config.limits.notional_max = Price::from_units(300_000)).await;
    world.place(&order_with(&json!({ "quantity": 40 }))).await;
    let refused = world
        .place_keyed("k", &order_with(&json!({ "quantity": 61, "strike": "1" })))
        .await;
    let problem = refused.problem(409, "risk-limit");
    assert_eq!(
        (&problem["limit"], &problem["would_be"]),
        (&json!(100), &json!(101))
    );
    let refused = world.place(&order_with(&json!({ "quantity": 21 }))).await;
    let problem = refused.problem(409, "risk-limit");
    assert_eq!(
        (&problem["limit"], &problem["would_be"]),
        (&json!("300000.00"), &json!("305000.00"))
    );
    assert_eq!(world.broker.executions(), 1);
    // A refusal does not use the key up.
    assert_eq!(
        world
            .place_keyed("k", &order_with(&json!({ "quantity": 20 })))
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn one_key_is_one_order_of_one_account() {
    let world = World::new().await;
    let first = world.place_keyed("k", &order()).await;
    let again = world
        .place_keyed("k", &order_with(&json!({ "strike": "50.0000" })))
        .await;
    assert_eq!((first.status, again.status), (201, 200));
    assert_eq!(first.json(), again.json());
    assert_eq!(world.broker.executions(), 1);
    let other = world
        .place_keyed("k", &order_with(&json!({ "quantity": 11 })))
        .await;
    other.problem(422, "idempotency-key-reused");
    let elsewhere = world
        .place_keyed("k", &order_with(&json!({ "account": "acc-2" })))
        .await;
    assert_eq!(elsewhere.status, 201);
    assert_ne!(elsewhere.json()["id"], first.json()["id"]);
}

#[tokio::test]
async fn an_invalid_order_lists_its_faults() {
    let world = World::new().await;
    let problem = world
        .place(&order_with(&json!({ "strike": 50, "side": "hold" })))
        .await;
    let errors = problem.problem(422, "invalid-order")["errors"].clone();
    let fields: Vec<&Value> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["field"])
        .collect();
    assert_eq!(fields, [&json!("strike"), &json!("side")]);
    assert_eq!(world.broker.executions(), 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_told_apart_from_what_is_not_there() {
    let world = World::new().await;
    world.place(&json!([1])).await.problem(400, "malformed-request");
    world
        .place_keyed("", &order())
        .await
        .problem(400, "malformed-request");
    let large = order_with(&json!({ "account": "a".repeat(16_384) }));
    world.place(&large).await.problem(413, "body-too-large");
    world
        .get("/v1/quotes/stream?underlying=acme")
        .await
        .problem(400, "malformed-request");
    world.get("/v1/orders/o-1").await.problem(404, "unknown-order");
    world.delete("/v1/orders/o-1").await.problem(404, "unknown-order");
    world
        .get("/v1/accounts/nobody/risk")
        .await
        .problem(404, "unknown-account");
    world
        .get("/v1/accounts/nobody/positions")
        .await
        .problem(404, "unknown-account");
    world.get("/v2").await.problem(404, "no-such-resource");
    let wrong = world.delete("/v1/orders").await;
    wrong.problem(405, "method-not-allowed");
    assert_eq!(wrong.header("allow"), Some("POST"));
}

#[tokio::test]
async fn health_is_told() {
    let world = World::new().await;
    let health = call(world.desk.address(), "GET", "/healthz", &[], "").await;
    assert_eq!((health.status, health.json()), (200, json!({ "status": "ok" })));
}
