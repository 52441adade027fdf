//! A reqwest client behind a breaker, with retries.
//!
//! ```sh
//! cargo run -p plimsoll-tower --example reqwest http://127.0.0.1:3000/orders/7
//! ```
//!
//! reqwest has request and response types of its own; it turns those of `http` into them and back, so that four lines
//! are all it takes to put it under layers.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use plimsoll_policy::{BreakerConfig, BudgetConfig, DeadlineConfig, RetryBudget, RetryConfig};
use plimsoll_slo::Reason;
use plimsoll_tower::{BoxError, BreakerLayer, DeadlineLayer, Refused, Replay, RetryLayer, TryLayer};
use reqwest::Body;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

/// A client for one service: what it knows of that service, all its clones share.
pub(crate) fn client() -> impl Service<
    Request<Body>,
    Response = Response<impl http_body::Body<Data = bytes::Bytes, Error: Into<BoxError>>>,
    Error = BoxError,
> + Clone {
    let deadline = DeadlineConfig {
        total: Duration::from_secs(5),
        per_try: Some(Duration::from_secs(1)),
        ..DeadlineConfig::default()
    };
    let client = reqwest::Client::new();
    ServiceBuilder::new()
        .layer(DeadlineLayer::new(deadline))
        .layer(RetryLayer::new(
            RetryConfig::default(),
            Arc::new(RetryBudget::new(&BudgetConfig::default())),
        ))
        .layer(BreakerLayer::new(BreakerConfig::default()))
        .layer(TryLayer::new(deadline))
        .service(service_fn(move |request: Request<Replay<Body>>| {
            let client = client.clone();
            async move {
                let request = reqwest::Request::try_from(request.map(Body::wrap))?;
                let answer = client.execute(request).await.map_err(explained)?;
                Ok::<_, BoxError>(Response::<Body>::from(answer))
            }
        }))
}

/// reqwest knows whether it ever had a connection. Without one nothing was delivered, so even a POST may be sent again.
fn explained(error: reqwest::Error) -> BoxError {
    if error.is_connect() {
        return Refused::new(Reason::UpstreamRefused).because(error).into();
    }
    error.into()
}

/// GETs a page.
pub(crate) async fn fetch(url: &str) -> Result<String, BoxError> {
    let request = Request::get(url).body(Body::default())?;
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
