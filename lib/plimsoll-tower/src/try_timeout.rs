//! [`DeadlineConfig`] for one try: how long it may take, and what the next hop is told of the time that is left.
//!
//! It stands inside the retry layer, as close to the wire as can be. The gateway also learns how long tries usually take
//! and cuts off those that are most likely lost; this layer knows only what `per_try` says.

use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use plimsoll_policy::{DeadlineConfig, write_grpc_timeout};
use plimsoll_slo::{Instant, Reason};
use tower_layer::Layer;
use tower_service::Service;

use crate::asked::Then;
use crate::bounded::Bounded;
use crate::env::Deadline;
use crate::{BoxError, Env, Refused, wire};

/// Gives one try up after `per_try`, or at the request's deadline, and tells the next hop how much time is left.
///
/// The deadline is the request's [`Deadline`] extension, which a [`DeadlineLayer`](crate::DeadlineLayer) outside has set,
/// or the configured total from now. What is left of it, less the margin, goes on as `x-plimsoll-deadline-ms`, and in
/// gRPC as `grpc-timeout` too.
///
/// ```
/// use http::{Request, Response};
/// use plimsoll_policy::DeadlineConfig;
/// use plimsoll_tower::TryLayer;
/// use std::time::Duration;
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let told = service_fn(async |request: Request<()>| {
///     let told = request.headers()["x-plimsoll-deadline-ms"].clone();
///     Ok::<_, std::io::Error>(Response::new(told))
/// });
/// let config = DeadlineConfig { total: Duration::from_secs(2), ..DeadlineConfig::default() };
/// let answer = TryLayer::new(config).layer(told).call(Request::new(())).await.unwrap();
/// assert_eq!(answer.into_body(), "1995");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TryLayer {
    config: DeadlineConfig,
    env: Env,
}

impl TryLayer {
    /// Tries by these rules.
    pub fn new(config: DeadlineConfig) -> Self {
        Self {
            config,
            env: Env::default(),
        }
    }

    /// Takes time from `env`.
    #[must_use]
    pub fn in_env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// Says to the next hop what is left until `deadline`.
    fn tell<B>(&self, now: Instant, deadline: Instant, request: &mut Request<B>) {
        let left = self.config.on_wire(now, deadline);
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        let grpc = wire::is_grpc(request.headers());
        let headers = request.headers_mut();
        headers.insert(&wire::DEADLINE, HeaderValue::from(millis));
        if grpc && let Ok(timeout) = HeaderValue::from_bytes(write_grpc_timeout(left).as_bytes()) {
            headers.insert(&wire::GRPC_TIMEOUT, timeout);
        }
    }
}

impl<S> Layer<S> for TryLayer {
    type Service = TryService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TryService {
            inner,
            policy: self.clone(),
        }
    }
}

/// The service of a [`TryLayer`].
#[derive(Clone, Debug)]
pub struct TryService<S> {
    inner: S,
    policy: TryLayer,
}

impl<S, B, A> Service<Request<B>> for TryService<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<A>;
    type Error = BoxError;
    type Future = Bounded<S::Future, AsItIs>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let TryLayer { config, env } = &self.policy;
        let now = env.now();
        let given = request.extensions().get::<Deadline>();
        let deadline = given.map_or_else(|| now + config.total, |given| env.of_tokio(given.at));
        let Some(end) = config.try_until(now, deadline, None) else {
            let refused = Refused::new(Reason::DeadlineUnmeetable).cause("the deadline passed while waiting");
            return Bounded::refuse(refused);
        };
        self.policy.tell(now, deadline, &mut request);
        let late = if end >= deadline {
            Reason::DeadlineExceeded
        } else {
            Reason::UpstreamTimeout
        };
        let timer = env.sleep_until(end);
        Bounded::send(self.inner.call(request), AsItIs, timer, late)
    }
}

/// Passes an answer on as it is.
#[derive(Clone, Copy, Debug)]
pub struct AsItIs;

impl<A> Then<A> for AsItIs {
    type Answer = A;

    fn then(self, answered: Result<A, BoxError>) -> Result<A, BoxError> {
        answered
    }
}
