//! Wall-clock time as the desk stores it: milliseconds since the Unix epoch.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::domain::date::Date;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    pub(crate) fn now() -> Self {
        // A clock before 1970 is a broken clock; the epoch is as good a guess as any.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_millis() as i64)
    }

    #[cfg(test)]
    pub(crate) const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub(crate) fn millis(self) -> i64 {
        self.0
    }

    pub(crate) fn before(self, span: Duration) -> Self {
        Self(self.0 - span.as_millis() as i64)
    }

    pub(crate) fn date(self) -> Date {
        Date::from_unix_seconds(self.0.unsigned_abs() / 1_000)
    }
}
