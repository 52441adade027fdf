//! Wall time in words: RFC 3339 in UTC, a time of today, and how long something took.

use std::time::Duration;

use jiff::Timestamp;

/// `2026-11-23T20:10:00.123Z` for a time since the Unix epoch; the last that there is, in the year 9999, for a clock that is
/// beyond it.
pub(crate) fn rfc3339_millis(since_epoch: Duration) -> String {
    let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    let at = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    format!("{at:.3}")
}

/// The same for milliseconds since the Unix epoch, which is what the record counts in.
pub(crate) fn moment(millis: u64) -> String {
    rfc3339_millis(Duration::from_millis(millis))
}

/// `11 min 30 s` for milliseconds, without those that are over; `-` for what is not known.
pub(crate) fn span(millis: Option<u64>) -> String {
    let Some(seconds) = millis.map(|millis| millis / 1_000) else {
        return "-".to_owned();
    };
    match seconds / 60 {
        0 => format!("{seconds} s"),
        minutes => format!("{minutes} min {} s", seconds % 60),
    }
}

/// `20:10:00Z` for milliseconds since the Unix epoch: for lines that are about today.
pub(crate) fn clock(millis: u64) -> String {
    let seconds = millis / 1_000;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (4_102_444_799_001, "2099-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339_millis(Duration::from_millis(millis)), text);
        }
        assert_eq!(rfc3339_millis(Duration::MAX), "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn times_and_spans_for_people() {
        assert_eq!(moment(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(clock(951_827_696_789), "12:34:56Z");
        let spans = [
            None,
            Some(0),
            Some(59_999),
            Some(60_000),
            Some(690_400),
            Some(7_200_000),
        ]
        .map(span);
        assert_eq!(
            spans,
            ["-", "0 s", "59 s", "1 min 0 s", "11 min 30 s", "120 min 0 s"]
        );
    }

    #[test]
    fn every_day_of_five_centuries_follows_the_one_before() {
        let length = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for days in 0..182_621 {
            let (year, month, day) = expected;
            let midnight = rfc3339_millis(Duration::from_hours(24 * days));
            assert_eq!(midnight, format!("{year:04}-{month:02}-{day:02}T00:00:00.000Z"));
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (month, day) if day == length(year, month) => (year, month + 1, 1),
                (month, day) => (year, month, day + 1),
            };
        }
    }
}
