//! How many retries a whole upstream may cost: a bucket of tokens, filled by requests and emptied by retries.
//!
//! A limit of two retries per request triples the load exactly when the upstream can bear it least. A budget
//! bounds the *sum*. Its law: over any run, retries granted ≤ share × requests + burst. So the load on the
//! upstream is at most 1 + share of what the callers sent, however many of them fail. The form is Finagle's
//! `RetryBudget`; the share of 10 % is from the SRE book, chapter 21, "Handling Overload".
//!
//! **Why micro-tokens.** tower's budget pays one token in per request and takes `1/percent` out per retry, as a
//! whole number: 15 % becomes 1/6 = 16.7 %, 40 % becomes 50 %, and all from 51 % to 99 % become 100 %. Here a
//! retry costs 1,000,000 and a request pays in `share × 1,000,000`, so every percent is exact, in one atomic.
//!
//! **Why not a share of the requests in flight,** as Envoy does: a retry that fails in a millisecond is in flight
//! for a millisecond and makes room for the next, so there is no bound on retries *per request*; and what waits in
//! backoff is not in flight, so a thousand requests that fail at once all find the budget unused (envoy 30205).
//!
//! **Why the token is taken before the backoff,** and held through it: for that same reason. Whoever is told to
//! wait and come back has its retry already; whoever fails meanwhile sees what is truly left. A retry that in the
//! end is not sent (the caller left, the deadline passed) is [refunded](RetryBudget::refund).
//!
//! **Time plays no part.** Tokens come from requests alone. A reserve of some retries per second, as Finagle and
//! tower add, would be unbounded amplification for a route with few requests; `burst` serves those.
//!
//! **States:** a balance between 0 and `burst`; it starts full. **Failure:** none. A crash loses the balance, and
//! the next process starts full, which grants `burst` retries more.

use core::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// What one retry costs. Millionths make every percent, and every hundredth of one, a whole number.
const TOKEN: i64 = 1_000_000;

/// How many retries an upstream may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetConfig {
    /// Retries per request in the long run, 0.0 to 1.0; what is outside counts as the nearer end, NaN as 0.0.
    /// 0.10 by default: an upstream in trouble gets at most a tenth more load.
    pub share: f64,
    /// Retries that may be saved up, and so be granted at once; 10 by default, enough for the restart of one
    /// endpoint on a quiet route. 0 turns retries off. Savings beyond it are lost, so requests that fail at the
    /// same time in greater number than this are granted less than `share`.
    pub burst: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            share: 0.10,
            burst: 10,
        }
    }
}

/// Whether there was a retry left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a token was taken: send the retry or refund it"]
pub enum Withdrawal {
    /// A token was taken: retry, or [refund](RetryBudget::refund) it.
    Granted,
    /// Nothing was taken: do not retry.
    Exhausted,
}

/// A bucket of retries that all cores share: one per upstream. 24 bytes, one of its words written.
///
/// While nothing fails the bucket is full, and paying in is one relaxed load: cores do not contend for it.
///
/// ```
/// use plimsoll_policy::{BudgetConfig, RetryBudget, Withdrawal};
///
/// let budget = RetryBudget::new(&BudgetConfig { share: 0.25, burst: 1 });
/// assert_eq!(budget.withdraw(), Withdrawal::Granted); // the burst
/// for _ in 0..4 {
///     assert_eq!(budget.withdraw(), Withdrawal::Exhausted);
///     budget.deposit(); // a request
/// }
/// assert_eq!(budget.withdraw(), Withdrawal::Granted); // 4 × 25 %
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    micros: AtomicI64,
    per_request: AtomicI64,
    full: AtomicI64,
}

impl RetryBudget {
    /// A full budget.
    pub fn new(config: &BudgetConfig) -> Self {
        let full = full(config);
        Self {
            micros: AtomicI64::new(full),
            per_request: AtomicI64::new(per_request(config)),
            full: AtomicI64::new(full),
        }
    }

    /// Goes by new rules from now on. What is saved stays, as far as the new burst has room for it: a reload in the
    /// middle of an outage grants nothing.
    pub fn configure(&self, config: &BudgetConfig) {
        self.per_request.store(per_request(config), Relaxed);
        let full = full(config);
        self.full.store(full, Relaxed);
        self.micros.fetch_min(full, Relaxed);
    }

    /// Pays in for one request of a user: once per request, *not* per attempt, whatever becomes of it.
    pub fn deposit(&self) {
        self.pay_in(self.per_request.load(Relaxed));
    }

    /// Takes a retry out, if there is one. Ask last, when nothing else speaks against the retry, and before its
    /// backoff.
    pub fn withdraw(&self) -> Withdrawal {
        let taken = self.micros.fetch_update(Relaxed, Relaxed, |micros| {
            (micros >= TOKEN).then(|| micros - TOKEN)
        });
        if taken.is_ok() {
            Withdrawal::Granted
        } else {
            Withdrawal::Exhausted
        }
    }

    /// Gives back a retry that was granted and never sent.
    pub fn refund(&self) {
        self.pay_in(TOKEN);
    }

    /// Retries that could be granted now: 0.0 to `burst`, with the fraction that is saved for the next.
    pub fn balance(&self) -> f64 {
        self.micros.load(Relaxed) as f64 / TOKEN as f64
    }

    fn pay_in(&self, amount: i64) {
        let full = self.full.load(Relaxed);
        let room = |micros: i64| (micros < full).then(|| (micros + amount).min(full));
        // An error says that the bucket is full, and then there is nothing to do.
        let _ = self.micros.fetch_update(Relaxed, Relaxed, room);
    }
}

fn full(config: &BudgetConfig) -> i64 {
    i64::from(config.burst) * TOKEN
}

fn per_request(config: &BudgetConfig) -> i64 {
    // `as` turns NaN into 0.
    (config.share.clamp(0.0, 1.0) * TOKEN as f64).round() as i64
}

#[cfg(test)]
mod tests;
