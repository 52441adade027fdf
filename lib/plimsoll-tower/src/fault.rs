//! [`FaultConfig`] as a layer: failing on purpose, to learn what happens before it happens.
//!
//! ```text
//! call => Delaying (holds the request, until its deadline at most) => Refused | Sent
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use plimsoll_policy::{FaultConfig, Faults, Throttle};
use plimsoll_slo::Reason;
use tokio::time::Sleep;
use tower_layer::Layer;
use tower_service::Service;

use crate::asked::{Asked, Then};
use crate::bounded::late;
use crate::env::Deadline;
use crate::throttled::Throttled;
use crate::{BoxError, Env, Refused, wire};

/// Gives a share of requests a fault: a delay, an error in the place of an answer, a broken connection, a slow body.
///
/// With [`by_header`](Self::by_header) an operator may ask for one as well, by `x-plimsoll-fault`; whoever asks without
/// it is refused with `fault-forbidden`, and is not ignored: a drill that does not happen teaches the wrong thing. The
/// field is taken off before the request goes on.
///
/// ```
/// use http::{Request, Response};
/// use plimsoll_policy::{FaultAction, FaultConfig, FaultRule};
/// use plimsoll_tower::{FaultLayer, Refused};
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(String::new())));
/// let action = FaultAction::Abort { status: 500, grpc: 13 };
/// let always = FaultRule { share: 1.0, by_header: None, action };
/// let mut service = FaultLayer::new(FaultConfig { rules: vec![always] }).layer(service);
/// let error = service.call(Request::new(())).await.unwrap_err();
/// assert_eq!(Refused::find(&*error).unwrap().problem("").status(), 500);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FaultLayer {
    config: Arc<FaultConfig>,
    by_header: bool,
    env: Env,
}

impl FaultLayer {
    /// Faults by these rules.
    pub fn new(config: FaultConfig) -> Self {
        Self {
            config: Arc::new(config),
            by_header: false,
            env: Env::default(),
        }
    }

    /// Believes `x-plimsoll-fault`: for services that strangers cannot reach.
    #[must_use]
    pub const fn by_header(mut self) -> Self {
        self.by_header = true;
        self
    }

    /// Takes time and dice from `env`.
    #[must_use]
    pub fn in_env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// What is done to a request that asks for this.
    fn decide(&self, asked: Option<&str>) -> Result<Faults, Refused> {
        let forbidden = |cause: String| Err(Refused::new(Reason::FaultForbidden).cause(cause));
        if let Some(asked) = asked {
            if !self.by_header {
                return forbidden("faults cannot be asked for here".to_owned());
            }
            if let Err(error) = self.config.check_header(asked) {
                return forbidden(error.to_string());
            }
        }
        Ok(self.config.decide(asked, &mut *self.env.dice()))
    }
}

/// What takes the place of an answer, if something does.
fn refusal(faults: &Faults) -> Option<Refused> {
    if faults.disconnect {
        let mut refused = Refused::new(Reason::FaultInjected).cause("a fault rule cut the connection off");
        refused.cut_off = true;
        return Some(refused);
    }
    faults.abort.map(|abort| {
        let mut refused = Refused::new(Reason::FaultInjected).cause("a fault rule aborted the request");
        refused.pretend = Some((abort.status, abort.grpc));
        refused
    })
}

impl<S> Layer<S> for FaultLayer {
    type Service = FaultService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FaultService {
            inner,
            policy: self.clone(),
        }
    }
}

/// The service of a [`FaultLayer`].
#[derive(Clone, Debug)]
pub struct FaultService<S> {
    inner: S,
    policy: FaultLayer,
}

impl<S, B, A> Service<Request<B>> for FaultService<S>
where
    S: Service<Request<B>, Response = Response<A>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = Response<Throttled<A>>;
    type Error = BoxError;
    type Future = Faulted<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let asked = request.headers_mut().remove(&wire::FAULT);
        let asked = asked.as_ref().map(|asked| asked.to_str().unwrap_or(""));
        let faults = match self.policy.decide(asked) {
            Ok(faults) => faults,
            Err(refused) => return Faulted::asked(Asked::refuse(refused)),
        };
        let slow = Slow {
            throttle: faults.throttle.map(Throttle::new),
            env: self.policy.env.clone(),
        };
        if let Some(delay) = faults.delay {
            let env = &self.policy.env;
            let until = env.now() + delay;
            let deadline = request
                .extensions()
                .get::<Deadline>()
                .map(|deadline| env.of_tokio(deadline.at));
            let deadline = deadline.filter(|deadline| *deadline <= until);
            let clone = self.inner.clone();
            return Faulted {
                timer: Some(env.sleep_until(deadline.unwrap_or(until))),
                delayed: Some(Delayed {
                    service: std::mem::replace(&mut self.inner, clone),
                    request,
                    refused: deadline
                        .map(|_| late(Reason::DeadlineExceeded))
                        .or_else(|| refusal(&faults)),
                    slow,
                }),
                asked: None,
            };
        }
        Faulted::asked(match refusal(&faults) {
            Some(refused) => Asked::refuse(refused),
            None => Asked::send(self.inner.call(request), slow),
        })
    }
}

/// A request that waits, as a slow service would make it wait.
struct Delayed<S, B> {
    service: S,
    request: Request<B>,
    refused: Option<Refused>,
    slow: Slow,
}

pin_project! {
    /// The future of a [`FaultService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Faulted<S, B, F> {
        #[pin]
        timer: Option<Sleep>,
        delayed: Option<Delayed<S, B>>,
        #[pin]
        asked: Option<Asked<F, Slow>>,
    }
}

impl<S, B, F> Faulted<S, B, F> {
    const fn asked(asked: Asked<F, Slow>) -> Self {
        Self {
            timer: None,
            delayed: None,
            asked: Some(asked),
        }
    }
}

impl<S, B, A> Future for Faulted<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<Throttled<A>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(timer) = this.timer.as_mut().as_pin_mut() {
            ready!(timer.poll(cx));
            this.timer.set(None);
        }
        if let Some(delayed) = this.delayed.take() {
            let Delayed {
                mut service,
                request,
                refused,
                slow,
            } = delayed;
            this.asked.set(Some(match refused {
                Some(refused) => Asked::refuse(refused),
                None => Asked::send(service.call(request), slow),
            }));
        }
        let asked = this.asked.as_pin_mut().expect("what is not delayed was asked");
        asked.poll(cx)
    }
}

/// Slows the body of an answer down, if a fault wants it.
#[derive(Debug)]
pub(crate) struct Slow {
    throttle: Option<Throttle>,
    env: Env,
}

impl<A> Then<Response<A>> for Slow {
    type Answer = Response<Throttled<A>>;

    fn then(self, answered: Result<Response<A>, BoxError>) -> Result<Self::Answer, BoxError> {
        answered.map(|answer| answer.map(|body| Throttled::new(body, self.throttle, self.env)))
    }
}
