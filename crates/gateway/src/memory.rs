//! What the data plane does when memory grows short, and what it could hold at worst.
//!
//! Whoever owns the gateway reads how much memory the process holds, asks `plimsoll-policy` for the level, and sets it
//! here. Every core looks at the level where new work comes in: at an accept, at a request, and once a second for
//! connections that are idle. What is under way goes on, bounded by the limits of its own. If nobody sets a level,
//! there is none.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use plimsoll_policy::{Dice, MemoryLevel};
use plimsoll_slo::Reason;

use crate::framing::Refusal;
use crate::gateway::Gateway;
use crate::http2;
use crate::percore::Core;
use crate::plan::{LimitsPlan, Plan};
use crate::respond::Refused;

/// The level, as all cores see it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    level: AtomicU8,
    give_back: OnceLock<fn()>,
}

impl Memory {
    fn set(&self, level: MemoryLevel) {
        self.level.store(level as u8, Relaxed);
    }

    pub(crate) fn level(&self) -> MemoryLevel {
        let level = usize::from(self.level.load(Relaxed));
        MemoryLevel::ALL.get(level).copied().unwrap_or(MemoryLevel::Full)
    }

    /// Gives back what this core has freed, if there is a way to.
    pub(crate) fn give_back(&self) {
        if let Some(give_back) = self.give_back.get() {
            give_back();
        }
    }
}

impl Memory {
    /// Whether a head that is under way may grow. Asked at every read of one, since heads may come in on all
    /// connections at once.
    pub(crate) fn admits_heads(&self) -> bool {
        self.level() < MemoryLevel::Full
    }
}

impl Gateway {
    /// From now on only such work comes in as this level allows.
    pub fn set_memory_level(&self, level: MemoryLevel) {
        self.memory().set(level);
    }

    /// While memory is short, every core calls this once a second: allocators keep what each thread has freed. Only the
    /// first one given is taken.
    pub fn give_back_by(&self, give_back: fn()) {
        // A second one is no error, and can do nothing better.
        let _ = self.memory().give_back.set(give_back);
    }

    /// What may come in now.
    pub fn memory_level(&self) -> MemoryLevel {
        self.memory().level()
    }
}

/// How long a connection without a request is kept when memory is tight: long enough for a caller that is about to
/// ask again.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(1);

/// What a connection that is turned away for want of memory is told.
pub(crate) const NO_CONNECTION: Refusal = Refusal::new(
    Reason::MemoryFull,
    "memory is tight, and new connections are what is given up first",
);

/// What is said when memory is full in the middle of a head.
pub(crate) const NO_HEAD: Refusal = Refusal::new(
    Reason::MemoryFull,
    "memory is full, and a head that is not whole yet is not waited for",
);

/// Whether a connection may come in.
pub(crate) fn admits_connections(core: &Core) -> bool {
    core.memory_level() < MemoryLevel::Tight
}

/// Whether a request may come in; `sheddable` is one that its caller can do without.
pub(crate) fn admit(core: &Core, sheddable: bool) -> Result<(), Box<Refused>> {
    let level = core.memory_level();
    if level < MemoryLevel::Scarce || (level == MemoryLevel::Scarce && !sheddable) {
        return Ok(());
    }
    let cause = format!(
        "memory is {}: as much is held as `limits.memory` allows",
        level.word()
    );
    let millis = RETRY_MILLIS.start
        + core
            .dice
            .borrow_mut()
            .below(RETRY_MILLIS.end - RETRY_MILLIS.start);
    let retry_after = Duration::from_millis(millis);
    Err(Box::new(
        Refused::new(Reason::MemoryFull)
            .cause(cause)
            .retry_after(retry_after),
    ))
}

/// A level lasts for a second at least; and callers that were refused together are not to come back together.
const RETRY_MILLIS: std::ops::Range<u64> = 1_000..3_000;

impl Plan {
    /// Bytes that connections, requests and answers could hold at worst, if every caller did its worst at once:
    /// buffers, windows and what is kept for retries. Real traffic is far below it; a plan whose worst case fits
    /// into the memory there is needs no level.
    pub fn bytes_max(&self) -> u64 {
        let listeners = self.listeners.iter().map(|listener| {
            let kept = listener.routes.iter().filter_map(|route| route.retry.as_ref());
            let kept = kept.map(|retry| retry.body_max).max().unwrap_or(0);
            let connection = connection_bytes_max(&listener.limits, kept);
            u64::from(listener.limits.connections).saturating_mul(connection)
        });
        listeners.fold(0, u64::saturating_add)
    }
}

/// An HTTP/2 connection holds more than an HTTP/1 one: what its window lets in, and for each stream a head, what is
/// kept for a retry, and an answer that waits.
fn connection_bytes_max(limits: &LimitsPlan, kept: u64) -> u64 {
    let stream = (limits.head_bytes as u64)
        .saturating_add(kept)
        .saturating_add(http2::serving::SEND_BUFFER as u64);
    u64::from(limits.streams)
        .saturating_mul(stream)
        .saturating_add(u64::from(http2::serving::CONNECTION_WINDOW))
}
