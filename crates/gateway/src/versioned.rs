//! A value that changes rarely and is read on every request: a version to look at, a lock to take when it moved.

use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError};

/// A shared value with a version. Readers keep their own copy and compare versions, which costs one plain load.
#[derive(Debug)]
pub(crate) struct Versioned<T> {
    version: AtomicU64,
    value: Mutex<Arc<T>>,
}

impl<T> Versioned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            version: AtomicU64::new(1),
            value: Mutex::new(Arc::new(value)),
        }
    }

    /// The version of the value: it never decreases, and 0 is before any.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// The value, and a version that is not newer than it.
    pub(crate) fn load(&self) -> (u64, Arc<T>) {
        let version = self.version();
        (
            version,
            Arc::clone(&self.value.lock().unwrap_or_else(PoisonError::into_inner)),
        )
    }

    /// Replaces the value.
    pub(crate) fn store(&self, value: Arc<T>) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = value;
        self.version.fetch_add(1, Release);
    }
}
