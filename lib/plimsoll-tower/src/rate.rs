//! Rate limits as a layer: so many requests for each caller, and the `RateLimit` fields that tell how many are left.
//!
//! The answers to admitted requests carry the fields whatever they are, and so do refusals of layers inside.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use plimsoll_policy::{KeyedLimiter, Quota, RateDecision, hash_key, ratelimit_policy_value, ratelimit_value};
use plimsoll_slo::Reason;
use tower_layer::Layer;
use tower_service::Service;

use crate::asked::{Asked, Then};
use crate::env::{lock, secret};
use crate::{BoxError, Env, Refused, wire};

/// Shards of one limit: enough that sixteen cores seldom meet.
const SHARDS: usize = 16;
/// Callers that are known at a time by default, as in the gateway.
const KEYS_MAX: usize = 100_000;

/// Tells callers apart: a hash of what identifies the one that sent this head, under a secret seed.
type Key = dyn Fn(&Parts, u64) -> u64 + Send + Sync;

/// Refuses with `rate-limited` what is beyond a caller's quota.
///
/// All services that one layer makes share its counts, and so do their clones. All requests are one caller's until
/// [`by`](Self::by) or [`by_header`](Self::by_header) says how to tell them apart.
///
/// ```
/// use http::{Request, Response};
/// use plimsoll_policy::Quota;
/// use plimsoll_tower::{RateLayer, Refused};
/// use std::time::Duration;
/// use tower::{Layer, Service, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(String::new())));
/// let quota = Quota::new(1, Duration::from_secs(60), 1).unwrap();
/// let mut service = RateLayer::new("per-tenant", quota).by_header("x-tenant".parse().unwrap()).layer(service);
/// let mut ask = |tenant| service.call(Request::builder().header("x-tenant", tenant).body(()).unwrap());
/// assert_eq!(ask("ann").await.unwrap().headers()["ratelimit"], "\"per-tenant\";r=0;t=60");
/// assert!(ask("bob").await.is_ok());
/// let error = ask("ann").await.unwrap_err();
/// assert!(Refused::find(&*error).unwrap().wait() > Some(Duration::from_secs(59)));
/// # }
/// ```
#[derive(Clone)]
pub struct RateLayer {
    limit: Arc<Limit>,
    key: Arc<Key>,
    env: Env,
}

struct Limit {
    name: Box<str>,
    quota: Quota,
    policy: Option<HeaderValue>,
    seed: u64,
    shards: Vec<Mutex<KeyedLimiter>>,
}

impl RateLayer {
    /// A quota for each of up to 100,000 callers; `name` is what the `RateLimit` fields call it.
    pub fn new(name: &str, quota: Quota) -> Self {
        Self::with_callers_max(name, quota, KEYS_MAX)
    }

    /// A quota for each of up to `callers_max` callers, at about 17 bytes each; of more, those that used least are
    /// forgotten.
    pub fn with_callers_max(name: &str, quota: Quota, callers_max: usize) -> Self {
        let env = Env::default();
        let shard = |_| Mutex::new(KeyedLimiter::new(callers_max.div_ceil(SHARDS)));
        let limit = Limit {
            name: name.into(),
            quota,
            policy: HeaderValue::try_from(ratelimit_policy_value(name, &quota, None).to_string()).ok(),
            seed: secret(&env),
            shards: (0..SHARDS).map(shard).collect(),
        };
        Self {
            limit: Arc::new(limit),
            key: Arc::new(|_, seed| hash_key(seed, &[])),
            env,
        }
    }

    /// Tells callers apart by a hash of what identifies them, best made by [`hash_key`] under the seed that is given:
    /// nobody can then choose names that collide.
    #[must_use]
    pub fn by(mut self, key: impl Fn(&Parts, u64) -> u64 + Send + Sync + 'static) -> Self {
        self.key = Arc::new(key);
        self
    }

    /// Tells callers apart by the value of a field; all that do not send it are one.
    #[must_use]
    pub fn by_header(self, name: HeaderName) -> Self {
        self.by(move |parts, seed| {
            let value = parts.headers.get(&name).map_or(&b""[..], HeaderValue::as_bytes);
            hash_key(seed, &[value])
        })
    }

    /// Takes time from `env`.
    #[must_use]
    pub fn in_env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    fn decide(&self, parts: &Parts) -> RateDecision {
        let key = (self.key)(parts, self.limit.seed);
        // The set within a shard is chosen by the lower bits.
        let shard = &self.limit.shards[(key >> 60) as usize % SHARDS];
        lock(shard).decide(self.env.now(), key, &self.limit.quota, 1)
    }
}

impl Limit {
    /// What the caller is told: the policy of its quota, and what is left of it.
    fn told(&self, (remaining, reset): (u32, Duration)) -> Told {
        let left = ratelimit_value(&self.name, remaining, reset).to_string();
        let policy = self
            .policy
            .clone()
            .map(|value| (wire::RATELIMIT_POLICY.clone(), value));
        let left = HeaderValue::try_from(left)
            .ok()
            .map(|value| (wire::RATELIMIT.clone(), value));
        Told(policy.into_iter().chain(left).collect())
    }
}

impl fmt::Debug for RateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, quota) = (&self.limit.name, &self.limit.quota);
        f.debug_struct("RateLayer")
            .field("name", name)
            .field("quota", quota)
            .finish_non_exhaustive()
    }
}

impl<S> Layer<S> for RateLayer {
    type Service = RateService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateService {
            inner,
            policy: self.clone(),
        }
    }
}

/// The service of a [`RateLayer`].
#[derive(Clone, Debug)]
pub struct RateService<S> {
    inner: S,
    policy: RateLayer,
}

impl<S, B, A> Service<Request<B>> for RateService<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<A>;
    type Error = BoxError;
    type Future = Asked<S::Future, Told>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let decision = self.policy.decide(&parts);
        let told = self.policy.limit.told(decision.advertised());
        match decision {
            RateDecision::Admit { .. } => {
                Asked::send(self.inner.call(Request::from_parts(parts, body)), told)
            }
            RateDecision::Refuse { retry_after, .. } => {
                let cause = format!(
                    "the limit `{}` is used up for this caller",
                    self.policy.limit.name
                );
                let mut refused = Refused::new(Reason::RateLimited)
                    .cause(cause)
                    .retry_after(retry_after);
                refused.fields = told.0;
                Asked::refuse(refused)
            }
        }
    }
}

/// The `RateLimit` fields of one request.
#[derive(Debug)]
pub struct Told(Vec<(HeaderName, HeaderValue)>);

impl<A> Then<Response<A>> for Told {
    type Answer = Response<A>;

    fn then(self, mut answered: Result<Response<A>, BoxError>) -> Result<Response<A>, BoxError> {
        match &mut answered {
            // Appended, for the fields are lists: a second limit speaks beside the first.
            Ok(answer) => self.0.into_iter().for_each(|(name, value)| {
                answer.headers_mut().append(name, value);
            }),
            Err(error) => {
                if let Some(refused) = error.downcast_mut::<Refused>() {
                    refused.fields.extend(self.0);
                }
            }
        }
        answered
    }
}
