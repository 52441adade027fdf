//! [`HedgeConfig`] as a layer: a safe request whose answer is late is sent a second time, while the first is still out.
//!
//! ```text
//! One => done | late: Readying (holds a hedge and a token) => Two => the first good answer; the other is dropped
//! ```
//!
//! The gateway sends the second to another endpoint, and knows how loaded the upstream is and whether its breaker
//! passes. Here the service inside is taken to be one that balances, a breaker inside refuses by itself, and the load is
//! what [`HedgeLayer::load`] says.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use plimsoll_policy::{Candidate, HedgeConfig, HedgeDecision, HedgePlan, Late, RetryBudget, is_safe};
use plimsoll_slo::Instant;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

use crate::env::Deadline;
use crate::replay::{Replay, Replays};
use crate::{BoxError, Env, wire};

/// Bytes of a body that are kept to be sent twice, as for retries.
const BODY_MAX: u64 = 64 << 10;

/// Sends a safe request again that is not answered within `after`, takes the first good answer, and drops the other call.
///
/// It stands inside of retries and around all that is per attempt: bulkhead, breaker, try. Hedges are bounded by the
/// configured share, and by the budget, which is the retries' own: both together stay within it. A
/// [`RetryLayer`](crate::RetryLayer) outside pays in for each request; where there is none, this layer does.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
/// use std::time::Duration;
/// use http::{Request, Response};
/// use plimsoll_policy::{BudgetConfig, HedgeConfig, RetryBudget};
/// use plimsoll_tower::HedgeLayer;
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let calls = AtomicU32::new(0);
/// let first_is_slow = service_fn(async |_| {
///     let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
///     tokio::time::sleep(Duration::from_millis(if first { 900 } else { 10 })).await;
///     Ok::<_, std::io::Error>(Response::new(if first { "first" } else { "second" }))
/// });
/// let config = HedgeConfig { after: Some(Duration::from_millis(50)), ..HedgeConfig::default() };
/// let budget = Arc::new(RetryBudget::new(&BudgetConfig::default()));
/// let mut service = HedgeLayer::new(config, budget).layer(first_is_slow);
/// assert_eq!(service.call(Request::new(String::new())).await.unwrap().into_body(), "second");
/// # }
/// ```
#[derive(Clone)]
pub struct HedgeLayer {
    config: HedgeConfig,
    allowance: Arc<RetryBudget>,
    budget: Arc<RetryBudget>,
    load: Arc<dyn Fn() -> f64 + Send + Sync>,
    env: Env,
}

impl HedgeLayer {
    /// Hedges by these rules, out of this budget. Without `after` nothing is hedged: the layer does not learn what late
    /// is.
    pub fn new(config: HedgeConfig, budget: Arc<RetryBudget>) -> Self {
        Self {
            config,
            allowance: Arc::new(config.allowance()),
            budget,
            load: Arc::new(|| 0.0),
            env: Env::default(),
        }
    }

    /// Says how loaded the service is, 0.0 to 1.0: the places of a bulkhead that are taken, for example.
    #[must_use]
    pub fn load(mut self, load: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.load = Arc::new(load);
        self
    }

    /// Takes time from `env`.
    #[must_use]
    pub fn in_env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }
}

impl fmt::Debug for HedgeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeLayer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for HedgeLayer {
    type Service = HedgeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HedgeService {
            inner,
            policy: self.clone(),
        }
    }
}

/// The service of a [`HedgeLayer`].
#[derive(Clone, Debug)]
pub struct HedgeService<S> {
    inner: S,
    policy: HedgeLayer,
}

impl<S, B, A> Service<Request<B>> for HedgeService<S>
where
    S: Service<Request<Replay<B>>, Response = Response<A>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = Response<A>;
    type Error = BoxError;
    type Future = Hedging<S, B, S::Future, A>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let HedgeLayer {
            config,
            allowance,
            budget,
            env,
            ..
        } = &self.policy;
        let (parts, body) = request.into_parts();
        let came_as: Option<u32> = wire::number(&parts.headers, &wire::ATTEMPT);
        if came_as.is_none() {
            budget.deposit();
        }
        let candidate = Candidate {
            safe: is_safe(parts.method.as_str()),
            upstream_of_retry: came_as.is_some_and(|number| number > 1),
        };
        let timer = match config.plan(&candidate, None) {
            HedgePlan::After(after) => {
                allowance.deposit();
                Some(env.sleep_until(env.now() + after))
            }
            HedgePlan::Never(_) => None,
        };
        let replays = Replays::of(body, BODY_MAX);
        let clone = self.inner.clone();
        let mut service = std::mem::replace(&mut self.inner, clone);
        let first = service.call(Request::from_parts(parts.clone(), replays.next()));
        Hedging {
            service,
            parts,
            replays,
            policy: self.policy.clone(),
            first: Some(first),
            second: None,
            timer,
            held: None,
            failed: None,
        }
    }
}

/// A hedge of the allowance and a token of the budget, given back unless the hedge was sent.
struct Held(Option<HedgeLayer>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(policy) = self.0.take() {
            policy.allowance.refund();
            policy.budget.refund();
        }
    }
}

pin_project! {
    /// The future of a [`HedgeService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Hedging<S, B, F, A> {
        service: S,
        parts: Parts,
        replays: Replays<B>,
        policy: HedgeLayer,
        #[pin]
        first: Option<F>,
        #[pin]
        second: Option<F>,
        #[pin]
        timer: Option<Sleep>,
        // While the service gets ready for the hedge.
        held: Option<Held>,
        // How the first ended, if that was not well and the second is still out.
        failed: Option<Result<Response<A>, BoxError>>,
    }
}

impl<S, B, A> Future for Hedging<S, B, S::Future, A>
where
    S: Service<Request<Replay<B>>, Response = Response<A>>,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Output = Result<Response<A>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(answered) = poll_one(this.first.as_mut(), cx) {
            if is_good(&answered) || this.second.is_none() {
                return Poll::Ready(answered);
            }
            *this.failed = Some(answered);
        }
        let due = this
            .timer
            .as_mut()
            .as_pin_mut()
            .map(|timer| timer.poll(cx).is_ready());
        if due == Some(true) {
            this.timer.set(None);
            *this.held = this.policy.late(this.parts, this.replays);
        }
        if this.held.is_some()
            && let Poll::Ready(ready) = this.service.poll_ready(cx)
        {
            // Where the service fails to get ready, the first call goes on alone.
            let held = this.held.take().filter(|_| ready.is_ok());
            if let Some(mut held) = held {
                held.0 = None;
                let number = wire::number(&this.parts.headers, &wire::ATTEMPT).unwrap_or(1u32);
                let mut parts = this.parts.clone();
                parts
                    .headers
                    .insert(&wire::ATTEMPT, HeaderValue::from(number.saturating_add(1)));
                let second = this.service.call(Request::from_parts(parts, this.replays.next()));
                this.second.set(Some(second));
            }
        }
        if let Some(answered) = poll_one(this.second.as_mut(), cx) {
            if is_good(&answered) {
                return Poll::Ready(answered);
            }
            // If both failed it is the first that counts: it is what there would have been without the hedge.
            if let Some(failed) = this.failed.take() {
                return Poll::Ready(failed);
            }
        }
        Poll::Pending
    }
}

/// How a call ended, if it did; it is gone then, with all that it held.
fn poll_one<F, A, E>(mut call: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Option<Result<A, BoxError>>
where
    F: Future<Output = Result<A, E>>,
    E: Into<BoxError>,
{
    let Poll::Ready(answered) = call.as_mut().as_pin_mut()?.poll(cx) else {
        return None;
    };
    call.set(None);
    Some(answered.map_err(Into::into))
}

fn is_good<A>(answered: &Result<Response<A>, BoxError>) -> bool {
    answered
        .as_ref()
        .is_ok_and(|answer| wire::judge(answer).failure.is_none())
}

impl HedgeLayer {
    /// Whether a request that is late is sent a second time.
    fn late<B: Body>(&self, parts: &Parts, replays: &Replays<B>) -> Option<Held> {
        let deadline = parts.extensions.get::<Deadline>();
        let late = Late {
            now: self.env.now(),
            deadline: deadline.map_or(Instant::NEVER, |deadline| self.env.of_tokio(deadline.at)),
            body_whole: replays.is_whole(),
            elsewhere: true,
            passing: true,
            load: (self.load)(),
        };
        match self.config.decide(&late, &self.allowance, &self.budget) {
            HedgeDecision::Send => Some(Held(Some(self.clone()))),
            HedgeDecision::Refuse(_) => None,
        }
    }
}
