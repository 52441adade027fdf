//! Policies: pure decisions about one request at a time.
//!
//! A policy is a struct that is asked and answers. It reads no clock ([`Instant`](plimsoll_slo::Instant) is an
//! argument), throws no dice of its own ([`Dice`] is an argument), takes no lock, awaits nothing, logs nothing and
//! cannot fail. Whoever asks, acts: the gateway's pipeline and the tower layers are two thin shells over these.

mod adaptive;
mod backoff;
mod balance;
mod breaker;
mod bucketing;
mod budget;
mod bulkhead;
mod deadline;
mod dice;
mod fault;
mod grpc_timeout;
mod health;
mod hedge;
mod judged;
mod memory;
mod outlier;
mod pace;
mod pushback;
mod rate;
mod retry;
#[cfg(test)]
mod script;
mod shed;
mod slots;
#[cfg(test)]
mod transcript;

pub use adaptive::{Adaptive, AdaptiveConfig, Pressure, Sample, Usual};
pub use backoff::Backoff;
pub use balance::{BalanceConfig, PeakEwma, SlowStart, choose_two, penalty, pick};
pub use breaker::{Breaker, BreakerConfig, BreakerDecision, BreakerState, Pass, Report};
pub use bucketing::{Bucketing, UnknownBucketing, murmur3, slot};
pub use budget::{BudgetConfig, RetryBudget, Withdrawal};
pub use bulkhead::{Bulkhead, BulkheadDecision, Permit};
pub use deadline::{DeadlineConfig, DeadlineDecision};
pub use dice::{Dice, SeededDice};
pub use fault::{
    Abort, FaultAction, FaultConfig, FaultHeaderError, FaultRule, Faults, Throttle, ThrottleDecision,
    parse_fault_header,
};
pub use grpc_timeout::{GrpcTimeout, parse_grpc_timeout, write_grpc_timeout};
pub use health::{Health, HealthChange, HealthConfig};
pub use hedge::{Candidate, HedgeConfig, HedgeDecision, HedgePlan, Late, NoHedge, is_safe};
pub use judged::Judged;
pub use memory::{MemoryGauge, MemoryLevel};
pub use outlier::{EjectWhy, HostSample, OutlierAction, OutlierChange, OutlierConfig, Outliers};
pub use pace::{PaceConfig, PaceVerdict, UploadPace};
pub use pushback::{Pushback, parse_grpc_pushback, parse_retry_after};
pub use rate::{KeyedLimiter, Quota, RateDecision, gcra, hash_key, ratelimit_policy_value, ratelimit_value};
pub use retry::{Attempted, Failure, FailureKind, Repeatable, RetryConfig, RetryDecision, Stop};
pub use shed::{Excess, Place, Priority, Pushed, ShedQueue, ShedWhy, Waiter, Waits, shed_retry_after};
pub use slots::{Hold, Slots};
