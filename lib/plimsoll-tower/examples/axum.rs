//! An axum server that says no in time.
//!
//! ```sh
//! cargo run -p plimsoll-tower --example axum
//! curl -i http://127.0.0.1:3000/orders/7                                  # 200, and what is left of your rate
//! curl -i http://127.0.0.1:3000/orders/7 -H 'x-plimsoll-deadline-ms: 1'   # 504: it takes longer than that
//! for i in $(seq 9); do curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:3000/orders/7; done   # 429
//! ```
#![allow(clippy::print_stdout)]

use std::time::Duration;

use axum::{Router, extract::Path, routing::get};
use plimsoll_policy::{DeadlineConfig, Quota};
use plimsoll_tower::{AnswerLayer, BulkheadLayer, DeadlineLayer, RateLayer};
use tokio::net::TcpListener;
use tower::ServiceBuilder;

/// The whole server. What its layers share, they share over all routes and connections.
pub(crate) fn server() -> Router {
    let five_at_once_then_one_a_second =
        Quota::new(1, Duration::from_secs(1), 5).expect("a quota that can be kept");
    let deadline = DeadlineConfig {
        total: Duration::from_secs(2),
        ..DeadlineConfig::default()
    };
    let layers = ServiceBuilder::new()
        // Outermost: it turns what those below refuse into problem documents, and axum wants no errors.
        .layer(AnswerLayer::new())
        .layer(DeadlineLayer::new(deadline))
        .layer(
            RateLayer::new("per-tenant", five_at_once_then_one_a_second)
                .by_header(http::HeaderName::from_static("x-tenant")),
        )
        // Innermost: a place is taken by those only who may come in at all.
        .layer(BulkheadLayer::new(100));
    Router::new().route("/orders/{id}", get(order)).layer(layers)
}

async fn order(Path(id): Path<u32>) -> String {
    // Stands for a query that takes a moment.
    tokio::time::sleep(Duration::from_millis(20)).await;
    format!("order {id}\n")
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 3000)).await?;
    println!("http://{}/orders/7", listener.local_addr()?);
    axum::serve(listener, server()).await
}
