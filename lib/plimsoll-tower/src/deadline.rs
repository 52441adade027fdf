//! [`DeadlineConfig`] as a layer: until when a request may take, all tries and waits included.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use plimsoll_policy::{DeadlineConfig, DeadlineDecision, parse_grpc_timeout};
use plimsoll_slo::Reason;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

use crate::asked::Then;
use crate::bounded::{Bounded, late};
use crate::env::Deadline;
use crate::{BoxError, Env, Refused, wire};

/// Gives every request a deadline, and gives it up when that has passed.
///
/// The time is what the request's [`Deadline`] extension says, or its `grpc-timeout`, or its `x-plimsoll-deadline-ms`,
/// or the configured total. Layers inside find it as the extension. A deadline that somebody asked for holds to the last
/// byte of the answer; the configured total holds to its head, so that streams may live.
///
/// ```
/// use http::{Request, Response};
/// use plimsoll_policy::DeadlineConfig;
/// use plimsoll_tower::{Deadline, DeadlineLayer};
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let left = service_fn(async |request: Request<()>| {
///     let deadline = request.extensions().get::<Deadline>().expect("the layer set it");
///     Ok::<_, std::io::Error>(Response::new(format!("{:.0?}", deadline.left())))
/// });
/// let mut service = DeadlineLayer::new(DeadlineConfig::default()).layer(left);
/// let request = Request::builder().header("grpc-timeout", "9S").body(()).unwrap();
/// assert!(service.call(request).await.is_ok());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DeadlineLayer {
    config: DeadlineConfig,
    trusting: bool,
    env: Env,
}

impl DeadlineLayer {
    /// Deadlines by these rules. `per_try` and `margin` are [`TryLayer`](crate::TryLayer)'s business.
    pub fn new(config: DeadlineConfig) -> Self {
        Self {
            config,
            trusting: false,
            env: Env::default(),
        }
    }

    /// Lets fields ask for more than the configured total, up to `total_max`: for services whose callers are one's own.
    /// Anyone may ask for less.
    #[must_use]
    pub const fn trusting(mut self) -> Self {
        self.trusting = true;
        self
    }

    /// Takes time from `env`.
    #[must_use]
    pub fn in_env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// What the fields of a request ask for.
    fn asked(&self, headers: &HeaderMap) -> Option<Duration> {
        let grpc = headers.get(&wire::GRPC_TIMEOUT).map(http::HeaderValue::as_bytes);
        let asked = grpc
            .and_then(parse_grpc_timeout)
            .or_else(|| wire::number(headers, &wire::DEADLINE).map(Duration::from_millis))?;
        Some(if self.trusting {
            asked
        } else {
            asked.min(self.config.total)
        })
    }
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService {
            inner,
            policy: self.clone(),
        }
    }
}

/// The service of a [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
    policy: DeadlineLayer,
}

impl<S, B, A> Service<Request<B>> for DeadlineService<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<Timed<A>>;
    type Error = BoxError;
    type Future = Bounded<S::Future, Limit>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let DeadlineLayer { config, env, .. } = &self.policy;
        let now = env.now();
        let given = request.extensions().get::<Deadline>();
        let asked = given.map_or_else(
            || self.policy.asked(request.headers()),
            |given| Some(env.of_tokio(given.at) - now),
        );
        match config.admit(now, asked, None) {
            DeadlineDecision::Admit(at) => {
                let deadline = Deadline { at: env.to_tokio(at) };
                request.extensions_mut().insert(deadline);
                let limit = Limit(asked.map(|_| deadline));
                let timer = env.sleep_until(at);
                Bounded::send(self.inner.call(request), limit, timer, Reason::DeadlineExceeded)
            }
            DeadlineDecision::Refuse(reason) => {
                let left = asked.unwrap_or(config.total);
                Bounded::refuse(Refused::new(reason).cause(format!("{left:.1?} are left")))
            }
        }
    }
}

/// Until when the body of an answer may take, if somebody asked for that.
#[derive(Clone, Copy, Debug)]
pub struct Limit(Option<Deadline>);

impl<A> Then<Response<A>> for Limit {
    type Answer = Response<Timed<A>>;

    fn then(self, answered: Result<Response<A>, BoxError>) -> Result<Self::Answer, BoxError> {
        answered.map(|answer| {
            answer.map(|body| Timed {
                body,
                limit: self.0,
                timer: None,
            })
        })
    }
}

pin_project! {
    /// An answer's body that breaks off at the deadline, if somebody asked for one.
    #[derive(Debug)]
    pub struct Timed<A> {
        #[pin]
        body: A,
        limit: Option<Deadline>,
        // Made at the first wait: most bodies are there at once.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<A: Body<Error: Into<BoxError>>> Body for Timed<A> {
    type Data = A::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<A::Data>, BoxError>>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(limit) = *this.limit else {
            return Poll::Pending;
        };
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(limit.at)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(late(Reason::DeadlineExceeded).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
