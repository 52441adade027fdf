//! One suite that every database passes: each case opens a fresh, empty store and says what must hold.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::domain::order::{Contract, Right, Side, Status, Terms};
use crate::domain::price::Price;
use crate::domain::risk::Holding;

const LIMITS: Limits = Limits {
    contracts_max: 10,
    notional_max: Price::from_units(1_000_000),
};
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

/// Runs every case, each on a store that `open` makes for it.
async fn conforms(open: impl AsyncFn(&'static str) -> Store) {
    macro_rules! cases {
        ($($case:ident),+ $(,)?) => { $(
            let store = open(stringify!($case)).await;
            Box::pin($case(&store)).await;
            store.close().await;
        )+ };
    }
    cases![
        an_order_is_read_back_as_it_was_placed,
        what_is_not_there_is_none,
        a_key_names_one_order_of_one_account,
        a_refused_order_leaves_no_trace,
        concurrent_orders_cannot_share_the_last_of_a_limit,
        a_key_raced_from_many_sides_places_once,
        positions_follow_the_order,
        a_settled_contract_leaves_the_positions,
        limits_stay_those_the_account_was_opened_under,
        unsettled_orders_come_longest_unasked_first,
    ];
}

#[tokio::test]
async fn sqlite_in_memory() {
    conforms(async |_| Store::open(&Database::SqliteMemory).await.unwrap()).await;
}

#[tokio::test]
async fn sqlite_file() {
    let folder = private_postgres::Folder::new();
    conforms(async |case| {
        let path = folder.path().join(case).with_extension("sqlite");
        Store::open(&Database::SqliteFile(path)).await.unwrap()
    })
    .await;
}

#[tokio::test]
async fn postgres() {
    let server = private_postgres::Server::start();
    conforms(async |case| {
        Store::open(&Database::Postgres(server.database(case)))
            .await
            .unwrap()
    })
    .await;
}

#[tokio::test]
async fn what_was_answered_survives_reopening() {
    let folder = private_postgres::Folder::new();
    let server = private_postgres::Server::start();
    for database in [
        Database::SqliteFile(folder.path().join("desk.sqlite")),
        Database::Postgres(server.database("reopened")),
    ] {
        let store = Store::open(&database).await.unwrap();
        let placed = store.place(order("1", "a", 3), LIMITS, NOW).await.unwrap();
        assert_eq!(placed, Placed::New(order("1", "a", 3)));
        store.close().await;
        let store = Store::open(&database).await.unwrap();
        assert_eq!(store.order("1").await.unwrap(), Some(order("1", "a", 3)));
        store.close().await;
    }
}

#[tokio::test]
async fn postgres_is_reconnected_after_it_cut_the_connections() {
    let server = private_postgres::Server::start();
    let store = Store::open(&Database::Postgres(server.database("cut")))
        .await
        .unwrap();
    place(&store, order("1", "a", 1)).await;
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'");
    // The first callers may still be handed a connection that is being cut; each of them throws one away.
    let mut answer = store.order("1").await;
    for _ in 0..8 {
        if answer.is_ok() {
            break;
        }
        answer = store.order("1").await;
    }
    assert_eq!(answer.unwrap(), Some(order("1", "a", 1)));
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_an_error() {
    let nowhere = Database::SqliteFile(Path::new("/nonexistent/desk.sqlite").to_owned());
    assert!(matches!(Store::open(&nowhere).await, Err(StoreError::Open(_))));
}

fn order(id: &str, account: &str, quantity: i64) -> Order {
    let contract = Contract {
        underlying: "ACME".into(),
        expiry: "2099-12-18".parse().unwrap(),
        strike: "52.5".parse().unwrap(),
        right: Right::Put,
    };
    let limit_price = "0.0001".parse().unwrap();
    let terms = Terms {
        account: account.into(),
        contract,
        side: Side::Sell,
        quantity,
        limit_price,
    };
    Order {
        id: id.into(),
        terms,
        status: Status::Pending,
        idempotency_key: None,
    }
}

fn keyed(id: &str, account: &str, quantity: i64) -> Order {
    Order {
        idempotency_key: Some("key".into()),
        ..order(id, account, quantity)
    }
}

async fn place(store: &Store, order: Order) -> Placed {
    store.place(order, LIMITS, NOW).await.unwrap()
}

async fn held(store: &Store, account: &str) -> Vec<Holding> {
    let account = store.account(account).await.unwrap().unwrap();
    account.positions.iter().map(|position| position.held).collect()
}

async fn an_order_is_read_back_as_it_was_placed(store: &Store) {
    assert_eq!(
        place(store, keyed("1", "a", 3)).await,
        Placed::New(keyed("1", "a", 3))
    );
    assert_eq!(store.order("1").await.unwrap(), Some(keyed("1", "a", 3)));
    let account = store.account("a").await.unwrap().unwrap();
    assert_eq!(account.limits, LIMITS);
    assert_eq!(account.positions[0].contract, order("1", "a", 3).terms.contract);
}

async fn what_is_not_there_is_none(store: &Store) {
    assert_eq!(store.order("1").await.unwrap(), None);
    assert_eq!(store.account("a").await.unwrap(), None);
    assert_eq!(store.hear("1", Report::Filled, NOW).await.unwrap(), None);
    assert_eq!(store.unsettled(NOW, 10).await.unwrap(), []);
}

async fn a_key_names_one_order_of_one_account(store: &Store) {
    place(store, keyed("1", "a", 3)).await;
    let first = store.hear("1", Report::Working, NOW).await.unwrap().unwrap();
    assert_eq!(place(store, keyed("2", "a", 3)).await, Placed::Replayed(first));
    assert_eq!(place(store, keyed("3", "a", 4)).await, Placed::KeyReused);
    assert_eq!(
        place(store, keyed("4", "b", 4)).await,
        Placed::New(keyed("4", "b", 4))
    );
    assert_eq!(store.order("2").await.unwrap(), None);
    assert_eq!(
        held(store, "a").await,
        [Holding {
            open_sell: 3,
            ..Holding::default()
        }]
    );
}

async fn a_refused_order_leaves_no_trace(store: &Store) {
    let refused = Placed::Refused(Breach::Contracts {
        limit: 10,
        would_be: 11,
    });
    assert_eq!(place(store, keyed("1", "a", 11)).await, refused);
    assert_eq!(store.order("1").await.unwrap(), None);
    assert_eq!(store.account("a").await.unwrap(), None);
    assert_eq!(
        place(store, keyed("2", "a", 10)).await,
        Placed::New(keyed("2", "a", 10))
    );
}

async fn concurrent_orders_cannot_share_the_last_of_a_limit(store: &Store) {
    // Opening an account makes its first orders wait for each other; what counts is an account that is open.
    for account in ["a", "b", "c", "d", "e"] {
        let id = |n: u8| format!("{account}{n}");
        place(store, order(&id(0), account, 1)).await;
        let (a, b, c, d) = tokio::join!(
            place(store, order(&id(1), account, 4)),
            place(store, order(&id(2), account, 4)),
            place(store, order(&id(3), account, 4)),
            place(store, order(&id(4), account, 4)),
        );
        let placed = [a, b, c, d]
            .into_iter()
            .filter(|placed| matches!(placed, Placed::New(_)))
            .count();
        assert_eq!(placed, 2);
        assert_eq!(
            held(store, account).await,
            [Holding {
                open_sell: 9,
                ..Holding::default()
            }]
        );
    }
}

async fn a_key_raced_from_many_sides_places_once(store: &Store) {
    let (a, b, c) = tokio::join!(
        place(store, keyed("1", "a", 2)),
        place(store, keyed("2", "a", 2)),
        place(store, keyed("3", "a", 2)),
    );
    let placed = [a, b, c];
    assert_eq!(
        placed
            .iter()
            .filter(|placed| matches!(placed, Placed::New(_)))
            .count(),
        1
    );
    assert_eq!(
        placed
            .iter()
            .filter(|placed| matches!(placed, Placed::Replayed(_)))
            .count(),
        2
    );
    assert_eq!(
        held(store, "a").await,
        [Holding {
            open_sell: 2,
            ..Holding::default()
        }]
    );
}

async fn positions_follow_the_order(store: &Store) {
    place(store, order("1", "a", 3)).await;
    place(store, order("2", "a", 2)).await;
    let unconfirmed = store.hear("1", Report::Unknown, NOW).await.unwrap().unwrap();
    assert_eq!(unconfirmed.status, Status::Unconfirmed);
    assert_eq!(
        held(store, "a").await,
        [Holding {
            net: 0,
            open_buy: 0,
            open_sell: 5
        }]
    );
    // The same report twice must not be counted twice.
    for _ in 0..2 {
        let filled = store.hear("1", Report::Filled, NOW).await.unwrap().unwrap();
        assert_eq!(filled.status, Status::Filled);
        assert_eq!(
            held(store, "a").await,
            [Holding {
                net: -3,
                open_buy: 0,
                open_sell: 2
            }]
        );
    }
}

async fn a_settled_contract_leaves_the_positions(store: &Store) {
    place(store, order("1", "a", 3)).await;
    store.hear("1", Report::Rejected, NOW).await.unwrap();
    assert_eq!(held(store, "a").await, []);
    place(store, order("2", "a", 10)).await;
    assert_eq!(held(store, "a").await.len(), 1);
}

async fn limits_stay_those_the_account_was_opened_under(store: &Store) {
    place(store, order("1", "a", 1)).await;
    let wider = Limits {
        contracts_max: 1_000,
        ..LIMITS
    };
    let placed = store.place(order("2", "a", 10), wider, NOW).await.unwrap();
    assert_eq!(
        placed,
        Placed::Refused(Breach::Contracts {
            limit: 10,
            would_be: 11
        })
    );
}

async fn unsettled_orders_come_longest_unasked_first(store: &Store) {
    let at = |seconds| NOW.before(Duration::from_secs(seconds));
    for (id, seconds) in [("1", 40), ("2", 30), ("3", 20), ("4", 10)] {
        store.place(order(id, id, 1), LIMITS, at(seconds)).await.unwrap();
    }
    store.hear("1", Report::Unknown, at(15)).await.unwrap();
    store.hear("3", Report::Working, at(15)).await.unwrap();
    let ids = async |asked_before, count_max| -> Vec<String> {
        let orders = store.unsettled(asked_before, count_max).await.unwrap();
        orders.into_iter().map(|order| order.id).collect()
    };
    assert_eq!(ids(NOW, 10).await, ["2", "1", "4"]);
    assert_eq!(ids(NOW, 2).await, ["2", "1"]);
    assert_eq!(ids(at(15), 10).await, ["2"]);
}
