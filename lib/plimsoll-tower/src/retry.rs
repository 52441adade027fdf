//! [`RetryConfig`] and [`RetryBudget`] as a layer: a failed attempt is made again if it is safe, in budget and in time.
//!
//! ```text
//! Calling => done | Again: Waiting (holds a token of the budget, nothing else) => Readying => Calling
//! ```
//!
//! The failed answer goes before the wait, and with it whatever it holds inside: permits, connections. A call that is
//! dropped while it waits gives its token back. The service that is called is the one that was ready; its clone takes
//! its place, since a clone need not be ready.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Request, Response, request::Parts};
use http_body::Body;
use pin_project_lite::pin_project;
use plimsoll_policy::{
    Attempted, Failure, FailureKind, Pushback, Repeatable, RetryBudget, RetryConfig, RetryDecision,
};
use plimsoll_slo::Instant;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

use crate::env::Deadline;
use crate::replay::{Replay, Replays};
use crate::{BoxError, Env, Refused, reason_of, wire};

/// Makes failed attempts again: those of safe methods, with an idempotency key, or provably never delivered; within the
/// budget, and before the request's [`Deadline`].
///
/// The service inside gets a [`Replay`] of the body, of which up to `body_max` bytes are kept. Attempts are numbered in
/// `x-plimsoll-attempt`, and an answer that took several says so in `x-plimsoll-attempts`: that is how layers of several
/// hops find out that another one retries already, and leave it to that.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
/// use http::{Request, Response};
/// use plimsoll_policy::{BudgetConfig, RetryBudget, RetryConfig};
/// use plimsoll_tower::RetryLayer;
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let calls = AtomicU32::new(0);
/// let second_time_lucky = service_fn(async |_| {
///     let status = if calls.fetch_add(1, Ordering::Relaxed) == 0 { 503 } else { 200 };
///     Ok::<_, std::io::Error>(Response::builder().status(status).body(String::new()).unwrap())
/// });
/// let budget = Arc::new(RetryBudget::new(&BudgetConfig::default()));
/// let mut service = RetryLayer::new(RetryConfig::default(), budget).layer(second_time_lucky);
/// let answer = service.call(Request::new(String::new())).await.unwrap();
/// assert_eq!(answer.status(), 200);
/// assert_eq!(answer.headers()["x-plimsoll-attempts"], "2");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RetryLayer {
    config: Arc<RetryConfig>,
    budget: Arc<RetryBudget>,
    env: Env,
}

impl RetryLayer {
    /// Retries by these rules, out of this budget: one for each service that is called, shared by all who call it.
    pub fn new(config: RetryConfig, budget: Arc<RetryBudget>) -> Self {
        Self {
            config: Arc::new(config),
            budget,
            env: Env::default(),
        }
    }

    /// Takes time and dice from `env`.
    #[must_use]
    pub fn in_env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }
}

impl<S> Layer<S> for RetryLayer {
    type Service = RetryService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService {
            inner,
            policy: self.clone(),
        }
    }
}

/// The service of a [`RetryLayer`].
#[derive(Clone, Debug)]
pub struct RetryService<S> {
    inner: S,
    policy: RetryLayer,
}

impl<S, B, A> Service<Request<B>> for RetryService<S>
where
    S: Service<Request<Replay<B>>, Response = Response<A>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = Response<A>;
    type Error = BoxError;
    type Future = Retrying<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        self.policy.budget.deposit();
        let request = Original {
            repeatable: Repeatable::of(
                parts.method.as_str(),
                parts.headers.contains_key(&wire::IDEMPOTENCY_KEY),
            ),
            came_as: wire::number(&parts.headers, &wire::ATTEMPT).map_or(1, |number: u32| number.max(1)),
            replays: Replays::of(body, self.policy.config.body_max),
            parts,
        };
        let clone = self.inner.clone();
        let mut service = std::mem::replace(&mut self.inner, clone);
        let future = service.call(request.attempt(0));
        Retrying {
            service,
            request,
            policy: self.policy.clone(),
            retries_done: 0,
            token: None,
            step: Step::Calling { future },
        }
    }
}

/// What all attempts are made of.
struct Original<B> {
    parts: Parts,
    replays: Replays<B>,
    repeatable: Repeatable,
    /// Which attempt the request was when it came: 1, or more if a layer outside retries.
    came_as: u32,
}

impl<B: Body> Original<B> {
    /// The request as it is sent after so many retries.
    fn attempt(&self, retries_done: u32) -> Request<Replay<B>> {
        let mut parts = self.parts.clone();
        let number = self.came_as.saturating_add(retries_done);
        parts.headers.insert(&wire::ATTEMPT, HeaderValue::from(number));
        Request::from_parts(parts, self.replays.next())
    }
}

/// A token of the budget, given back unless its retry was sent.
struct Token(Option<Arc<RetryBudget>>);

impl Drop for Token {
    fn drop(&mut self) {
        if let Some(budget) = self.0.take() {
            budget.refund();
        }
    }
}

pin_project! {
    #[project = StepPart]
    enum Step<F> {
        Calling { #[pin] future: F },
        Waiting { #[pin] timer: Sleep },
        Readying,
    }
}

pin_project! {
    /// The future of a [`RetryService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Retrying<S, B, F> {
        service: S,
        request: Original<B>,
        policy: RetryLayer,
        retries_done: u32,
        token: Option<Token>,
        #[pin]
        step: Step<F>,
    }
}

impl<S, B, A> Future for Retrying<S, B, S::Future>
where
    S: Service<Request<Replay<B>>, Response = Response<A>>,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Output = Result<Response<A>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.step.as_mut().project() {
                StepPart::Calling { future } => {
                    let answered = ready!(future.poll(cx)).map_err(Into::into);
                    let decision = this.policy.again(this.request, *this.retries_done, &answered);
                    let RetryDecision::Again(wait) = decision else {
                        return Poll::Ready(told(answered, *this.retries_done));
                    };
                    *this.token = Some(Token(Some(Arc::clone(&this.policy.budget))));
                    // The failed answer, its call and all that they hold go before the wait.
                    drop(answered);
                    let env = &this.policy.env;
                    let timer = env.sleep_until(env.now() + wait);
                    this.step.set(Step::Waiting { timer });
                }
                StepPart::Waiting { timer } => {
                    ready!(timer.poll(cx));
                    this.step.set(Step::Readying);
                }
                StepPart::Readying => {
                    if let Err(error) = ready!(this.service.poll_ready(cx)) {
                        return Poll::Ready(told(Err(error.into()), *this.retries_done));
                    }
                    *this.retries_done += 1;
                    if let Some(token) = this.token {
                        token.0 = None;
                    }
                    let future = this.service.call(this.request.attempt(*this.retries_done));
                    this.step.set(Step::Calling { future });
                }
            }
        }
    }
}

impl RetryLayer {
    /// Whether an attempt that came to this is made again.
    fn again<A, B: Body>(
        &self,
        request: &Original<B>,
        retries_done: u32,
        answered: &Result<Response<A>, BoxError>,
    ) -> RetryDecision {
        let (failure, below) = match answered {
            Ok(answer) => {
                let below =
                    wire::number(answer.headers(), &wire::ATTEMPTS).is_some_and(|attempts: u64| attempts > 1);
                (wire::judge(answer).failure, below)
            }
            Err(error) => {
                let wait = Refused::find(&**error).and_then(Refused::wait);
                let kind = FailureKind::Refused(reason_of(&**error));
                let pushback = wait.map_or(Pushback::None, Pushback::After);
                (Some(Failure { kind, pushback }), false)
            }
        };
        let Some(failure) = failure else {
            return RetryDecision::Stop(plimsoll_policy::Stop::NotFailed);
        };
        let deadline = request.parts.extensions.get::<Deadline>();
        let attempted = Attempted {
            repeatable: request.repeatable,
            retries_done,
            upstream_of_retry: request.came_as > 1 || below,
            body_replayable: request.replays.is_replayable(),
            deadline: deadline.map_or(Instant::NEVER, |deadline| self.env.of_tokio(deadline.at)),
        };
        let dice = &mut *self.env.dice();
        self.config
            .decide(self.env.now(), &attempted, &failure, &self.budget, dice)
    }
}

/// Says how many attempts it took, if it took several.
fn told<A>(mut answered: Result<Response<A>, BoxError>, retries_done: u32) -> Result<Response<A>, BoxError> {
    if retries_done > 0 {
        let attempts = HeaderValue::from(retries_done + 1);
        match &mut answered {
            Ok(answer) => {
                answer.headers_mut().insert(&wire::ATTEMPTS, attempts);
            }
            Err(error) => {
                if let Some(refused) = error.downcast_mut::<Refused>() {
                    refused.fields.push((wire::ATTEMPTS.clone(), attempts));
                }
            }
        }
    }
    answered
}
