//! What outlives a desk, and what a stop does to requests that are being served.

use order_desk::broker_sim::{self, Behaviour};
use order_desk::{Database, DeskError};
use serde_json::json;

use crate::world::{ANY_PORT, BROKER_TIMEOUT, World, call, config, order, until};
use private_postgres::{Folder, Server};

#[tokio::test]
async fn orders_keys_and_positions_outlive_the_desk() {
    let (folder, server) = (Folder::new(), Server::start());
    for database in [
        Database::SqliteFile(folder.path().join("desk.sqlite")),
        Database::Postgres(server.database("desk")),
    ] {
        let broker = broker_sim::start(ANY_PORT).await.unwrap();
        let mut config = config(broker.address());
        config.database = database;
        let body = order().to_string();
        let mut seen = Vec::new();
        for _ in 0..2 {
            let desk = order_desk::start(config.clone()).await.unwrap();
            let at = desk.address();
            let placed = call(at, "POST", "/v1/orders", &[("Idempotency-Key", "k")], &body).await;
            let positions = call(at, "GET", "/v1/accounts/acc-1/positions", &[], "").await;
            seen.push((placed.json(), positions.json()));
            desk.stop().await;
        }
        assert_eq!(seen[0].0["status"], "filled");
        assert_eq!(seen[0], seen[1]);
        assert_eq!(broker.executions(), 1);
    }
}

#[tokio::test]
async fn a_stop_lets_a_request_finish() {
    let world = World::new().await;
    world.broker.set(Behaviour::Slow {
        delay: BROKER_TIMEOUT / 3,
    });
    let at = world.desk.address();
    let placing =
        tokio::spawn(async move { call(at, "POST", "/v1/orders", &[], &order().to_string()).await });
    until(async || world.broker.executions() == 1).await;
    world.desk.stop().await;
    let placed = placing.await.unwrap();
    assert_eq!((placed.status, &placed.json()["status"]), (201, &json!("filled")));
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let world = World::new().await;
    let mut taken = config(world.broker.address());
    taken.listen = world.desk.address();
    assert!(matches!(
        order_desk::start(taken).await,
        Err(DeskError::Listen { .. })
    ));
    for broker in ["localhost:9901", "https://broker", "http://broker/path", ""] {
        let mut config = config(world.broker.address());
        config.broker = broker.into();
        assert!(
            matches!(order_desk::start(config).await, Err(DeskError::Broker(_))),
            "{broker}"
        );
    }
    let mut config = config(world.broker.address());
    config.database = Database::Postgres("host=/nonexistent user=nobody".into());
    assert!(matches!(
        order_desk::start(config).await,
        Err(DeskError::Store(_))
    ));
}
