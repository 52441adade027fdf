//! [`Breaker`] as a layer: a service that fails too often is left alone, then asked again carefully.
//!
//! What an answer says of the service is [`Judged`](plimsoll_policy::Judged) by its status, as in the gateway. An error
//! counts as a failure when its reason blames the service; when it blames the caller or us, or says that there was
//! nobody to ask, the pass is given back and proves nothing. So it is for a call that is dropped half-way.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use plimsoll_policy::{Breaker, BreakerConfig, BreakerDecision, BreakerState, Pass, Report};
use plimsoll_slo::{Blame, Reason};
use tower_layer::Layer;
use tower_service::Service;

use crate::asked::{Asked, Then};
use crate::env::lock;
use crate::{BoxError, Env, Refused, reason_of, wire};

/// Refuses with `breaker-tripped` while the service inside fails too often.
///
/// One layer is one breaker: all services that it makes share it, and so do their clones. Make one for each service that
/// may fail by itself.
///
/// ```
/// use http::{Request, Response};
/// use plimsoll_policy::{BreakerConfig, BreakerState};
/// use plimsoll_tower::BreakerLayer;
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let fails = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(
///     Response::builder().status(503).body(String::new()).unwrap(),
/// ));
/// let layer = BreakerLayer::new(BreakerConfig { consecutive: 2, ..BreakerConfig::default() });
/// let mut service = layer.layer(fails);
/// assert!(service.call(Request::new(())).await.is_ok());
/// assert!(service.call(Request::new(())).await.is_ok(), "an answer is passed on, whatever it says");
/// assert!(service.call(Request::new(())).await.is_err());
/// assert_eq!(layer.state(), BreakerState::Tripped);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BreakerLayer {
    breaker: Arc<Mutex<Breaker>>,
    env: Env,
}

impl BreakerLayer {
    /// A breaker that passes, by these rules.
    pub fn new(config: BreakerConfig) -> Self {
        Self {
            breaker: Arc::new(Mutex::new(Breaker::new(config))),
            env: Env::default(),
        }
    }

    /// Takes time and dice from `env`.
    #[must_use]
    pub fn in_env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// What it does with requests now.
    pub fn state(&self) -> BreakerState {
        lock(&self.breaker).state(self.env.now())
    }

    /// Probes that are out.
    pub fn probes_in_flight(&self) -> u32 {
        lock(&self.breaker).probes_in_flight()
    }
}

impl<S> Layer<S> for BreakerLayer {
    type Service = BreakerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService {
            inner,
            breaker: self.clone(),
        }
    }
}

/// The service of a [`BreakerLayer`].
#[derive(Clone, Debug)]
pub struct BreakerService<S> {
    inner: S,
    breaker: BreakerLayer,
}

impl<S, B, A> Service<Request<B>> for BreakerService<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<A>;
    type Error = BoxError;
    type Future = Asked<S::Future, Watch>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let BreakerLayer { breaker, env } = &self.breaker;
        let decision = lock(breaker).admit(env.now(), &mut *env.dice());
        match decision {
            BreakerDecision::Admit(pass) => {
                // Watched before the service is called: a panic in there must not keep the pass.
                let watch = Watch {
                    breaker: self.breaker.clone(),
                    pass: Some(pass),
                };
                Asked::send(self.inner.call(request), watch)
            }
            BreakerDecision::Refuse { retry_after } => Asked::refuse(
                Refused::new(Reason::BreakerTripped)
                    .cause("the breaker is tripped")
                    .retry_after(retry_after),
            ),
        }
    }
}

/// A pass of the breaker: reported once, or given back when the call is dropped.
#[derive(Debug)]
pub struct Watch {
    breaker: BreakerLayer,
    pass: Option<Pass>,
}

impl<A> Then<Response<A>> for Watch {
    type Answer = Response<A>;

    fn then(mut self, answered: Result<Response<A>, BoxError>) -> Result<Response<A>, BoxError> {
        let report = match &answered {
            Ok(answer) => Some(wire::judge(answer).report),
            Err(error) => blames_service(reason_of(&**error)).then_some(Report::Failure),
        };
        if let Some(report) = report
            && let Some(pass) = self.pass.take()
        {
            let now = self.breaker.env.now();
            lock(&self.breaker.breaker).report(now, pass, report);
        }
        answered
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            let now = self.breaker.env.now();
            lock(&self.breaker.breaker).cancel(now, pass);
        }
    }
}

/// Whether the service was asked and failed. Where there was nobody to ask it has not.
fn blames_service(reason: Reason) -> bool {
    let nobody = matches!(
        reason,
        Reason::NoEndpoint | Reason::UpstreamUnresolved | Reason::BreakerTripped
    );
    reason.info().blame == Blame::Upstream && !nobody
}
