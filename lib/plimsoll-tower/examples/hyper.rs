//! A hyper client that retries what is safe, within a budget, and leaves a failing service alone.
//!
//! ```sh
//! cargo run -p plimsoll-tower --example hyper http://127.0.0.1:3000/orders/7
//! ```
//!
//! With the axum example beside it you get an order; without it, the reason why not.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use plimsoll_policy::{BreakerConfig, BudgetConfig, DeadlineConfig, RetryBudget, RetryConfig};
use plimsoll_slo::Reason;
use plimsoll_tower::{BoxError, BreakerLayer, BulkheadLayer, DeadlineLayer, Refused, RetryLayer, TryLayer};
use tower::{Service, ServiceBuilder, ServiceExt as _};

/// A client for one service: what it knows of that service, all its clones share.
pub(crate) fn client() -> impl Service<
    Request<Full<Bytes>>,
    Response = Response<impl http_body::Body<Data = Bytes, Error: Into<BoxError>>>,
    Error = BoxError,
> + Clone {
    let deadline = DeadlineConfig {
        total: Duration::from_secs(5),
        per_try: Some(Duration::from_secs(1)),
        ..DeadlineConfig::default()
    };
    ServiceBuilder::new()
        .layer(DeadlineLayer::new(deadline))
        .layer(RetryLayer::new(
            RetryConfig::default(),
            Arc::new(RetryBudget::new(&BudgetConfig::default())),
        ))
        // From here on per attempt: a wait for a retry holds no place and no pass.
        .layer(BulkheadLayer::new(64))
        .layer(BreakerLayer::new(BreakerConfig::default()))
        .layer(TryLayer::new(deadline))
        .map_err(explained)
        .service(legacy::Client::builder(TokioExecutor::new()).build_http())
}

/// hyper knows whether it ever had a connection. Without one nothing was delivered, so even a POST may be sent again.
fn explained(error: legacy::Error) -> BoxError {
    if error.is_connect() {
        return Refused::new(Reason::UpstreamRefused).because(error).into();
    }
    error.into()
}

/// GETs a page.
pub(crate) async fn fetch(url: &str) -> Result<String, BoxError> {
    let request = Request::get(url).body(Full::default())?;
    let answer = client().oneshot(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(Into::into)?.to_bytes();
    Ok(format!("{status}: {}", String::from_utf8_lossy(&body)))
}

#[tokio::main]
async fn main() {
    let url = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "http://127.0.0.1:3000/orders/7".to_owned());
    match fetch(&url).await {
        Ok(said) => println!("{said}"),
        Err(error) => println!("{error}"),
    }
}
