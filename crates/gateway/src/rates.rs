//! Rate limits at work: counts by caller, and what callers are told of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use plimsoll_policy::{KeyedLimiter, Quota, RateDecision, ratelimit_policy_value, ratelimit_value};
use plimsoll_slo::Instant;

use crate::fields::{Known, Own};
use crate::plan::RatePlan;

/// A rate limit and what it has counted, shared by all cores.
#[derive(Debug)]
pub(crate) struct RateLimit {
    pub(crate) plan: RatePlan,
    pub(crate) seed: u64,
    shards: Vec<Mutex<KeyedLimiter>>,
    /// The `RateLimit-Policy` of the usual quota, and of each tier's own.
    policies: Vec<HeaderValue>,
    /// What every `RateLimit` begins with.
    named: Vec<u8>,
}

/// Shards of one limit: enough that sixteen cores seldom meet.
const RATE_SHARDS: usize = 16;

impl RateLimit {
    pub(crate) fn new(plan: RatePlan, seed: u64) -> Self {
        let keys = plan.keys_max.div_ceil(RATE_SHARDS);
        let shards = (0..RATE_SHARDS)
            .map(|_| Mutex::new(KeyedLimiter::new(keys)))
            .collect();
        let policy = |quota| {
            let policy = ratelimit_policy_value(&plan.name, quota, None).to_string();
            HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(""))
        };
        let policies = std::iter::once(&plan.quota)
            .chain(plan.by_tier.iter().map(|(_, quota)| quota))
            .map(policy)
            .collect();
        let told = ratelimit_value(&plan.name, 0, Duration::ZERO).to_string();
        let named = told.trim_end_matches(AT_NOTHING).as_bytes().to_vec();
        Self {
            plan,
            seed,
            shards,
            policies,
            named,
        }
    }

    pub(crate) fn decide(&self, now: Instant, key: u64, quota: &Quota) -> RateDecision {
        let shard = &self.shards[(key >> 60) as usize % RATE_SHARDS];
        shard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .decide(now, key, quota, 1)
    }

    /// The quota of a tier, and its number.
    pub(crate) fn quota(&self, tier: &str) -> (usize, &Quota) {
        let own = self.plan.by_tier.iter().position(|(name, _)| **name == *tier);
        own.map_or((0, &self.plan.quota), |own| (own + 1, &self.plan.by_tier[own].1))
    }

    /// What the caller is told: the policy of its quota, and what is left of it.
    pub(crate) fn told(&self, quota: usize, remaining: u32, reset: Duration) -> Own {
        let seconds = reset
            .as_secs()
            .saturating_add(u64::from(reset.subsec_nanos() > 0));
        let mut left = Vec::with_capacity(self.named.len() + 32);
        left.extend_from_slice(&self.named);
        for (key, number) in [(b";r=", u64::from(remaining)), (b";t=", seconds)] {
            left.extend_from_slice(key);
            left.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        let left = HeaderValue::from_maybe_shared(bytes::Bytes::from(left));
        let mut own = vec![(Known::RateLimitPolicy, self.policies[quota].clone())];
        own.extend(left.map(|left| (Known::RateLimit, left)));
        own
    }
}

/// How `RateLimit` ends when nothing is left and nothing is to come.
const AT_NOTHING: &str = ";r=0;t=0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_what_the_policy_would_tell_them() {
        let quota = Quota::new(100, Duration::from_mins(1), 100).unwrap();
        let plan = RatePlan {
            name: "per \"caller\"".into(),
            key: Vec::new(),
            quota,
            by_tier: Vec::new(),
            keys_max: 16,
        };
        let limit = RateLimit::new(plan, 1);
        for (remaining, reset) in [(0, Duration::ZERO), (99, Duration::from_millis(1500))] {
            let told = limit.told(0, remaining, reset);
            let expected = [
                ratelimit_policy_value(&limit.plan.name, &limit.plan.quota, None).to_string(),
                ratelimit_value(&limit.plan.name, remaining, reset).to_string(),
            ];
            assert_eq!(
                told.iter()
                    .map(|(_, value)| value.to_str().unwrap())
                    .collect::<Vec<_>>(),
                expected
            );
        }
    }
}
