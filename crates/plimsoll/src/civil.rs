//! Wall time in words: RFC 3339 in UTC, and nothing else of a calendar.
//!
//! The arithmetic is Howard Hinnant's `civil_from_days` ("chrono-compatible low-level date algorithms"): years begin
//! in March there, so that the leap day is the last of its year and needs no case of its own.

use std::fmt::Write as _;
use std::time::Duration;

/// `2026-11-23T20:10:00.123Z` for a time since the Unix epoch.
pub(crate) fn rfc3339_millis(since_epoch: Duration) -> String {
    let mut text = String::with_capacity(24);
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
    );
    text
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

/// Year, month and day of a count of days since 1970-01-01.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let era = days / 146_097; // of 400 years
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
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
            assert_eq!(civil_from_days(days), expected);
            let (year, month, day) = expected;
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (month, day) if day == length(year, month) => (year, month + 1, 1),
                (month, day) => (year, month, day + 1),
            };
        }
    }
}
