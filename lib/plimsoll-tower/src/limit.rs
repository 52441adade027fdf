//! [`Adaptive`](plimsoll_policy::Adaptive) and [`ShedQueue`](plimsoll_policy::ShedQueue) as a layer: as many requests at
//! a time as the service can work on, found out from its answers; the rest waits a little, or is shed.
//!
//! ```text
//! call => Sent | Waiting (holds the request and a place in the queue) => Sent | Refused
//! ```
//!
//! A slot is held until the head of the answer is there: what follows is work of the network more than of the service,
//! and a bulkhead bounds it. Where the gateway looks at the clock a few times a second, this layer does when somebody has
//! to wait; a service that nobody asks has no limit to move.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use pin_project_lite::pin_project;
use plimsoll_policy::{AdaptiveConfig, Priority, hash_key};
use plimsoll_slo::Instant;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

use crate::asked::{Asked, Then};
use crate::env::Deadline;
use crate::{BoxError, Env, wire};
use desk::{Asking, Desk, Slot, Waiting};

mod desk;

type Cohort = dyn Fn(&Parts, u64) -> u64 + Send + Sync;
type Matters = dyn Fn(&Parts) -> Priority + Send + Sync;

/// Lets as many requests in at a time as the service can work on, and refuses with `shed` what cannot wait for a turn.
///
/// The limit begins at its maximum and comes down only on evidence that requests wait inside the service. When it is in
/// the way, up to twice as many may wait for a short time; the important go first, then whichever tenant has had least.
/// All services that one layer makes share the limit, and so do their clones.
///
/// ```
/// use http::{Request, Response};
/// use plimsoll_policy::{AdaptiveConfig, Priority};
/// use plimsoll_tower::LimitLayer;
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(String::new())));
/// let layer = LimitLayer::new(AdaptiveConfig::default())
///     .by_header("x-tenant".parse().unwrap())
///     .priority(|parts| if parts.uri.path() == "/checkout" { Priority::Critical } else { Priority::Normal });
/// assert!(layer.layer(service).call(Request::new(())).await.is_ok());
/// assert_eq!((layer.limit(), layer.busy(), layer.waiting()), (1024, 0, 0));
/// # }
/// ```
#[derive(Clone)]
pub struct LimitLayer {
    config: AdaptiveConfig,
    calm: Duration,
    desk: Arc<Desk>,
    cohort: Arc<Cohort>,
    matters: Arc<Matters>,
}

impl LimitLayer {
    /// A limit within these bounds. Requests wait 100 ms at most, all are of one tenant, and all matter alike.
    pub fn new(config: AdaptiveConfig) -> Self {
        let calm = Duration::from_millis(100);
        Self {
            config,
            calm,
            desk: Arc::new(Desk::new(config, calm, Env::default())),
            cohort: Arc::new(|_, _| 0),
            matters: Arc::new(|_| Priority::Normal),
        }
    }

    /// Lets nobody wait longer than this.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.calm = wait;
        let env = self.desk.env.clone();
        self.in_env(env)
    }

    /// Tells tenants apart by a hash of what identifies them, best made by [`hash_key`] under the salt that is given:
    /// whoever shares a cohort with a noisy tenant does not do so for long.
    #[must_use]
    pub fn by(mut self, cohort: impl Fn(&Parts, u64) -> u64 + Send + Sync + 'static) -> Self {
        self.cohort = Arc::new(cohort);
        self
    }

    /// Tells tenants apart by the value of a field; all that do not send it are one.
    #[must_use]
    pub fn by_header(self, name: HeaderName) -> Self {
        self.by(move |parts, salt| {
            let value = parts.headers.get(&name).map_or(&b""[..], HeaderValue::as_bytes);
            hash_key(salt, &[value])
        })
    }

    /// Says how much a request matters.
    #[must_use]
    pub fn priority(mut self, matters: impl Fn(&Parts) -> Priority + Send + Sync + 'static) -> Self {
        self.matters = Arc::new(matters);
        self
    }

    /// Takes time and dice from `env`. Forgets what was learned: to be said before services are made.
    #[must_use]
    pub fn in_env(mut self, env: Env) -> Self {
        self.desk = Arc::new(Desk::new(self.config, self.calm, env));
        self
    }

    /// How many may be at work now.
    pub fn limit(&self) -> u32 {
        self.desk.slots.limit()
    }

    /// How many are.
    pub fn busy(&self) -> u32 {
        self.desk.slots.busy()
    }

    /// How many wait for a turn.
    pub fn waiting(&self) -> u32 {
        self.desk.slots.waiting()
    }
}

impl fmt::Debug for LimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitLayer")
            .field("desk", &self.desk)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = LimitService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService {
            inner,
            policy: self.clone(),
        }
    }
}

/// The service of a [`LimitLayer`].
#[derive(Clone, Debug)]
pub struct LimitService<S> {
    inner: S,
    policy: LimitLayer,
}

impl<S, B, A> Service<Request<B>> for LimitService<S>
where
    S: Service<Request<B>, Response = Response<A>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Response<A>;
    type Error = BoxError;
    type Future = Limited<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let LimitLayer {
            desk,
            cohort,
            matters,
            ..
        } = &self.policy;
        if let Some(slot) = desk.enter() {
            let slot = slot.send();
            return Limited::asked(Asked::send(self.inner.call(request), slot));
        }
        let (parts, body) = request.into_parts();
        let deadline = parts.extensions.get::<Deadline>();
        let asking = Asking {
            priority: matters(&parts),
            deadline: deadline.map_or(Instant::NEVER, |deadline| desk.env.of_tokio(deadline.at)),
        };
        match desk.wait(&asking, |salt| cohort(&parts, salt)) {
            Ok(waiting) => {
                let clone = self.inner.clone();
                Limited {
                    timer: Some(desk.env.sleep_until(waiting.until)),
                    held_up: Some(HeldUp {
                        waiting,
                        service: std::mem::replace(&mut self.inner, clone),
                        request: Request::from_parts(parts, body),
                    }),
                    asked: None,
                }
            }
            Err(refused) => Limited::asked(Asked::refuse(refused)),
        }
    }
}

/// A request that waits for its turn.
struct HeldUp<S, B> {
    waiting: Waiting,
    service: S,
    request: Request<B>,
}

pin_project! {
    /// The future of a [`LimitService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Limited<S, B, F> {
        #[pin]
        timer: Option<Sleep>,
        held_up: Option<HeldUp<S, B>>,
        #[pin]
        asked: Option<Asked<F, Slot>>,
    }
}

impl<S, B, F> Limited<S, B, F> {
    const fn asked(asked: Asked<F, Slot>) -> Self {
        Self {
            timer: None,
            held_up: None,
            asked: Some(asked),
        }
    }
}

impl<S, B, A> Future for Limited<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<A>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(held_up) = this.held_up.as_mut() {
            let timer = this.timer.as_mut().as_pin_mut();
            let over = timer.is_none_or(|timer| timer.poll(cx).is_ready());
            let told = ready!(held_up.waiting.poll(cx, over));
            let HeldUp {
                mut service, request, ..
            } = this.held_up.take().expect("it was there just now");
            this.timer.set(None);
            this.asked.set(Some(match told {
                Ok(slot) => {
                    let slot = slot.send();
                    Asked::send(service.call(request), slot)
                }
                Err(refused) => Asked::refuse(refused),
            }));
        }
        let asked = this.asked.as_pin_mut().expect("what is not held up was asked");
        asked.poll(cx)
    }
}

impl<A> Then<Response<A>> for Slot {
    type Answer = Response<A>;

    fn then(self, answered: Result<Response<A>, BoxError>) -> Result<Response<A>, BoxError> {
        if answered.as_ref().is_ok_and(|answer| wire::judge(answer).well) {
            self.well();
        }
        answered
    }
}
