//! Clock and dice, behind one seam.
//!
//! Policies take time and randomness as arguments; the layers get both from an [`Env`]. Time is tokio's, so a test that
//! pauses tokio's clock pauses the layers as well, and nothing sleeps. Dice are seeded from the system's entropy, or by
//! a test that wants them to fall the same way twice.
//!
//! Nothing else in this crate reads a clock; clippy's disallowed methods see to it.
#![allow(clippy::disallowed_methods)] // the one place that is allowed to touch the world

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plimsoll_policy::{Dice, SeededDice};
use plimsoll_slo::Instant;

/// The furthest a timer is set: tokio's wheel spans about two years.
const SLEEP_MAX: Duration = Duration::from_hours(8760);

/// Where a layer gets its time and its dice from. Cheap to clone; clones share the clock's origin and the dice.
///
/// ```
/// use plimsoll_tower::{BulkheadLayer, BreakerLayer, Env};
///
/// let env = Env::seeded(7); // in a test; `Env::default()` otherwise, which is what layers have by themselves
/// let breaker = BreakerLayer::new(Default::default()).in_env(env);
/// ```
#[derive(Clone)]
pub struct Env {
    origin: tokio::time::Instant,
    dice: Arc<Mutex<SeededDice>>,
}

impl Env {
    /// Dice that fall the same way every time for the same seed. The clock is tokio's, paused or not.
    pub fn seeded(seed: u64) -> Self {
        Self {
            origin: tokio::time::Instant::now(),
            dice: Arc::new(Mutex::new(SeededDice::new(seed))),
        }
    }

    /// The monotonic clock, as policies want it.
    pub(crate) fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }

    /// A point of tokio's clock on this one.
    pub(crate) fn of_tokio(&self, at: tokio::time::Instant) -> Instant {
        Instant::ORIGIN + at.saturating_duration_since(self.origin)
    }

    /// A point of this clock on tokio's.
    pub(crate) fn to_tokio(&self, at: Instant) -> tokio::time::Instant {
        self.origin + at.since(Instant::ORIGIN).min(SLEEP_MAX)
    }

    /// Completes at `when`.
    pub(crate) fn sleep_until(&self, when: Instant) -> tokio::time::Sleep {
        tokio::time::sleep_until(self.to_tokio(when))
    }

    /// The dice, for one decision.
    pub(crate) fn dice(&self) -> MutexGuard<'_, SeededDice> {
        lock(&self.dice)
    }
}

impl Default for Env {
    fn default() -> Self {
        use std::hash::{BuildHasher, RandomState};
        // The standard library seeds its hashers from the system's entropy; hashing a constant reads it out.
        Self::seeded(RandomState::new().hash_one(0))
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").finish_non_exhaustive()
    }
}

/// Until when a request may take: an extension of the request, which [`DeadlineLayer`](crate::DeadlineLayer) sets.
///
/// A handler that calls another service copies it from the request that it serves to the one that it sends; then the
/// call gets what is left, and not a time of its own.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_tower::Deadline;
///
/// let mut call = http::Request::new(());
/// call.extensions_mut().insert(Deadline::within(Duration::from_secs(2)));
/// assert!(call.extensions().get::<Deadline>().unwrap().left() <= Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    pub(crate) at: tokio::time::Instant,
}

impl Deadline {
    /// So long from now, a year at most.
    pub fn within(time: Duration) -> Self {
        Self {
            at: tokio::time::Instant::now() + time.min(SLEEP_MAX),
        }
    }

    /// What is left; zero when it has passed.
    pub fn left(&self) -> Duration {
        self.at.saturating_duration_since(tokio::time::Instant::now())
    }
}

/// Seconds since 1970, which a `Retry-After` may be written in; never for decisions.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A seed that no caller knows.
pub(crate) fn secret(env: &Env) -> u64 {
    env.dice().roll()
}

/// Locks for one decision. A panic in one leaves a state that is no worse than any other.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
