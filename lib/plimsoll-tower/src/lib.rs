//! The policies of Plimsoll inside your own service: one [tower](https://docs.rs/tower) layer each, for axum, tonic,
//! hyper and reqwest.
//!
//! A layer asks its policy, which is a pure decision in [`plimsoll_policy`], and acts on the answer. The gateway does the
//! same with the same policies; a file of some thousand decisions holds both to it.
//!
//! | layer | refuses with | stands |
//! |---|---|---|
//! | [`AnswerLayer`] | nothing: it answers what the others refused | outermost in a server |
//! | [`DeadlineLayer`] | `deadline-unmeetable`, `deadline-exceeded` | outside of all that wait |
//! | [`RateLayer`] | `rate-limited` | before what is dear |
//! | [`LimitLayer`] | `shed` | before faults; an adaptive limit, and a queue for who matters more |
//! | [`FaultLayer`] | `fault-injected`, `fault-forbidden` | before retries, or inside them to try them out |
//! | [`RetryLayer`] | nothing: it passes on the last failure | around all that is per attempt |
//! | [`HedgeLayer`] | nothing: it sends what is late a second time | inside retries, around all that is per attempt |
//! | [`BulkheadLayer`] | `bulkhead-full` | per attempt, or around a whole service |
//! | [`BreakerLayer`] | `breaker-tripped` | per attempt, inside the bulkhead |
//! | [`TryLayer`] | `upstream-timeout`, `deadline-exceeded` | innermost, next to the wire |
//!
//! A client in that order; a server takes the first four or five and the bulkhead.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use plimsoll_policy::{BreakerConfig, BudgetConfig, DeadlineConfig, RetryBudget, RetryConfig};
//! use plimsoll_slo::Reason;
//! use plimsoll_tower::*;
//! use tower::{Service, ServiceBuilder, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! // Stands for a client whose service never answers.
//! let client = service_fn(async |_: Request<Replay<Empty<Bytes>>>| {
//!     std::future::pending::<Result<Response<Empty<Bytes>>, std::io::Error>>().await
//! });
//! let deadline = DeadlineConfig { total: Duration::from_secs(2), ..DeadlineConfig::default() };
//! let mut client = ServiceBuilder::new()
//!     .layer(DeadlineLayer::new(deadline))
//!     .layer(RetryLayer::new(RetryConfig::default(), Arc::new(RetryBudget::new(&BudgetConfig::default()))))
//!     .layer(BulkheadLayer::new(100))
//!     .layer(BreakerLayer::new(BreakerConfig::default()))
//!     .layer(TryLayer::new(DeadlineConfig { per_try: Some(Duration::from_millis(900)), ..deadline }))
//!     .service(client);
//! let error = client.call(Request::new(Empty::new())).await.unwrap_err();
//! assert_eq!(Refused::find(&*error).unwrap().reason(), Reason::DeadlineExceeded);
//! # }
//! ```
//!
//! # What holds for every layer
//!
//! - **Nothing is taken in `poll_ready`.** It asks the service inside whether it is ready, and no more. A service that is
//!   ready and idle holds no permit, no token and no pass, however long.
//! - **Nothing leaks.** Whatever a call holds is given back when its future, or the body of its answer, is dropped.
//! - **Clones share.** One layer is one breaker, one bulkhead, one count of callers: for all services that it makes and
//!   all clones of those. For two services make two layers.
//! - **Errors are [`BoxError`]s.** [`Refused::find`] finds the refusal in one, also behind layers of others.
//! - **Time is tokio's**, so a runtime with its timer enabled is needed where something waits.

mod answer;
mod asked;
mod bounded;
mod breaker;
mod bulkhead;
mod deadline;
mod env;
mod fault;
mod hedge;
mod limit;
mod rate;
mod refused;
mod replay;
mod retry;
mod throttled;
mod try_timeout;
mod wire;

pub use answer::{AnswerBody, AnswerLayer, AnswerService};
pub use asked::Asked;
pub use bounded::Bounded;
pub use breaker::{BreakerLayer, BreakerService};
pub use bulkhead::{BulkheadLayer, BulkheadService, Held};
pub use deadline::{DeadlineLayer, DeadlineService, Timed};
pub use env::{Deadline, Env};
pub use fault::{FaultLayer, FaultService};
pub use hedge::{HedgeLayer, HedgeService};
pub use limit::{LimitLayer, LimitService};
pub use rate::{RateLayer, RateService};
pub use refused::{BoxError, Refused, reason_of};
pub use replay::Replay;
pub use retry::{RetryLayer, RetryService};
pub use throttled::Throttled;
pub use try_timeout::{TryLayer, TryService};
