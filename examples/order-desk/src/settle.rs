//! Finds out what became of orders whose answer was not heard.
//!
//! A broker that was slow, a client that went away, a desk that crashed: each leaves an order `pending` or
//! `unconfirmed`, and the account's limits used up by it. Every round asks about a few of them again, the
//! longest unasked first, under the same id, so that the broker acts once. A round ends at the first question
//! without an answer: a broker in trouble is not helped by more questions. Any round may be repeated or lost.

use std::time::Duration;

use crate::App;
use crate::broker::Trace;
use crate::domain::order::Report;
use crate::problem::log;
use crate::store::StoreError;
use crate::timestamp::Timestamp;

/// A few seconds' worth of a healthy broker, so that a round does not outlast its interval by much.
const ROUND_MAX: i64 = 256;

/// Runs rounds until it is dropped.
pub(crate) async fn run(app: &App, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = run_once(app, Timestamp::now()).await {
            log(&error);
        }
    }
}

/// One round. Returns how many orders it settled.
async fn run_once(app: &App, now: Timestamp) -> Result<usize, StoreError> {
    // An order asked about more recently may still have a request waiting for the answer.
    let asked_before = now.before(app.broker_timeout * 2);
    let mut settled = 0;
    for order in app.store.unsettled(asked_before, ROUND_MAX).await? {
        let report = app
            .broker
            .execute(&order, &Trace::default())
            .await
            .unwrap_or(Report::Unknown);
        // Written down even when unknown: it puts the order behind those that were not asked about.
        app.store.hear(&order.id, report, now).await?;
        if report == Report::Unknown {
            break;
        }
        settled += 1;
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Broker;
    use crate::broker_sim::{self, Behaviour};
    use crate::domain::order::{Contract, Order, Right, Side, Status, Terms};
    use crate::domain::price::Price;
    use crate::domain::risk::Limits;
    use crate::store::{Database, Store};

    const TIMEOUT: Duration = Duration::from_secs(5);

    async fn app_with_pending_orders(broker: &str, placed_at: Timestamp, ids: &[&str]) -> App {
        let limits = Limits {
            contracts_max: 100,
            notional_max: Price::from_units(1_000_000),
        };
        let app = App {
            store: Store::open(&Database::SqliteMemory).await.unwrap(),
            broker: Broker::new(broker, TIMEOUT).unwrap(),
            broker_timeout: TIMEOUT,
            limits,
            quote_interval: TIMEOUT,
            quote_events_max: 1,
            fault_tier: None,
        };
        for id in ids {
            let contract = Contract {
                underlying: "ACME".into(),
                expiry: "2099-12-18".parse().unwrap(),
                strike: Price::from_units(50),
                right: Right::Call,
            };
            let (side, limit_price) = (Side::Buy, Price::from_units(1));
            let terms = Terms {
                account: "a".into(),
                contract,
                side,
                quantity: 1,
                limit_price,
            };
            let order = Order {
                id: (*id).into(),
                terms,
                status: Status::Pending,
                idempotency_key: None,
            };
            app.store.place(order, limits, placed_at).await.unwrap();
        }
        app
    }

    async fn status(app: &App, id: &str) -> Status {
        app.store.order(id).await.unwrap().unwrap().status
    }

    #[tokio::test]
    async fn a_round_settles_what_was_left_open_and_nothing_fresh() {
        let broker = broker_sim::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let now = Timestamp::now();
        let app = app_with_pending_orders(&format!("http://{}", broker.address()), now, &["1", "2"]).await;
        assert_eq!(run_once(&app, now).await.unwrap(), 0);
        let later = Timestamp::from_millis(now.millis() + 60_000);
        assert_eq!(run_once(&app, later).await.unwrap(), 2);
        assert_eq!(status(&app, "1").await, Status::Filled);
        assert_eq!(run_once(&app, later).await.unwrap(), 0);
        assert_eq!(broker.executions(), 2);
    }

    #[tokio::test]
    async fn a_round_against_a_broken_broker_asks_once_and_moves_on() {
        let broker = broker_sim::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        broker.set(Behaviour::Refuse);
        let now = Timestamp::now();
        let app = app_with_pending_orders(&format!("http://{}", broker.address()), now, &["1", "2"]).await;
        let later = Timestamp::from_millis(now.millis() + 60_000);
        assert_eq!(run_once(&app, later).await.unwrap(), 0);
        let asked = (status(&app, "1").await, status(&app, "2").await);
        assert_eq!(asked, (Status::Unconfirmed, Status::Pending));
        run_once(&app, later).await.unwrap();
        assert_eq!(status(&app, "2").await, Status::Unconfirmed);
    }
}
