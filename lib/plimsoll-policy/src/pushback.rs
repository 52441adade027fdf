//! What an upstream says about being asked again: `Retry-After` of HTTP, `grpc-retry-pushback-ms` of gRPC.
//!
//! Sources: RFC 9110 §10.2.3 (`Retry-After`: seconds or a date) and §5.6.7 (dates); gRPC proposal A6 (pushback:
//! milliseconds, or "do not retry" when negative or not a number). Of the three forms of date only IMF-fixdate is
//! read, the one that may be generated since 1999. A value that cannot be read is no `Retry-After`; but for gRPC it
//! is a refusal, as A6 says.

use core::time::Duration;

/// The longest wait that a `Retry-After` can ask for; more is read as this, as Linkerd does. It only has to be
/// longer than anybody waits: a retry is given up at `retry_after_max` long before.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// What the upstream said about asking again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pushback {
    /// Nothing.
    #[default]
    None,
    /// Not before this time has passed.
    After(Duration),
    /// Not at all.
    Never,
}

/// Reads a `Retry-After`: the time to wait, between zero and 5 minutes; `None` when it is neither seconds nor a date.
///
/// `wall_now_unix_secs` is the present in seconds since 1970 UTC, for dates; one in the past asks for no wait.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::parse_retry_after;
///
/// assert_eq!(parse_retry_after(b"120", 0), Some(Duration::from_secs(120)));
/// let now = 784_111_770; // 7 seconds before
/// assert_eq!(parse_retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
/// assert_eq!(parse_retry_after(b"soon", now), None);
/// ```
pub fn parse_retry_after(value: &[u8], wall_now_unix_secs: u64) -> Option<Duration> {
    let value = value.trim_ascii();
    let seconds = if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        value.iter().fold(0u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        })
    } else {
        unix_seconds(value)?.saturating_sub(wall_now_unix_secs)
    };
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// Reads a `grpc-retry-pushback-ms`: a signed 32-bit number of milliseconds; negative or unreadable is `Never`.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{Pushback, parse_grpc_pushback};
///
/// assert_eq!(parse_grpc_pushback(b"250"), Pushback::After(Duration::from_millis(250)));
/// assert_eq!(parse_grpc_pushback(b"-1"), Pushback::Never);
/// ```
pub fn parse_grpc_pushback(value: &[u8]) -> Pushback {
    let digits_only = value.iter().all(u8::is_ascii_digit);
    let millis = str::from_utf8(value)
        .ok()
        .filter(|_| digits_only)
        .and_then(|text| text.parse::<i32>().ok());
    match millis.and_then(|millis| u64::try_from(millis).ok()) {
        Some(millis) => Pushback::After(Duration::from_millis(millis)),
        None => Pushback::Never,
    }
}

/// Seconds since 1970 of an IMF-fixdate such as `Sun, 06 Nov 1994 08:49:37 GMT`; zero for what lies before.
///
/// That the day of the week is the right one is not checked: a sender that errs in it still means the date.
fn unix_seconds(date: &[u8]) -> Option<u64> {
    const DAYS: [&[u8]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
    ];
    let date: &[u8; 29] = date.try_into().ok()?;
    let separators = [
        (3, b", ".as_slice()),
        (7, b" "),
        (11, b" "),
        (16, b" "),
        (19, b":"),
        (22, b":"),
        (25, b" GMT"),
    ];
    if !separators.iter().all(|(at, text)| date[*at..].starts_with(text)) || !DAYS.contains(&&date[..3]) {
        return None;
    }
    let month = 1 + MONTHS.iter().position(|name| *name == &date[8..11])? as u64;
    let (day, year) = (number(&date[5..7])?, number(&date[12..16])?);
    let (hour, minute, second) = (
        number(&date[17..19])?,
        number(&date[20..22])?,
        number(&date[23..25])?,
    );
    let last_day = days_in_month(year, month);
    // 60 is a leap second, which RFC 9110 allows.
    if !(1..=last_day).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = (days_before(year, month) + day - 1).checked_sub(days_before(1970, 1));
    Some(days.map_or(0, |days| days * 86_400 + hour * 3_600 + minute * 60 + second))
}

fn number(digits: &[u8]) -> Option<u64> {
    let all = digits.iter().all(u8::is_ascii_digit);
    all.then(|| {
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    })
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the first day of year 0 to the first of this month, in the Gregorian calendar.
fn days_before(year: u64, month: u64) -> u64 {
    // Leap years before `year`; year 0 is one of them.
    let leap_years = if year == 0 {
        0
    } else {
        (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1
    };
    year * 365 + leap_years + (1..month).map(|month| days_in_month(year, month)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_read_as_seconds_since_1970() {
        // Computed with GNU date.
        for (date, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Wed, 31 Dec 1969 23:59:59 GMT", 0),
            ("Sat, 01 Jan 0000 00:00:00 GMT", 0),
        ] {
            assert_eq!(unix_seconds(date.as_bytes()), Some(seconds), "{date}");
        }
    }

    #[test]
    fn what_is_not_a_date_is_none() {
        for junk in [
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT ",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Tue, 29 Feb 2100 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "",
            "-1",
            "1.5",
        ] {
            assert_eq!(parse_retry_after(junk.as_bytes(), 0), None, "{junk}");
        }
    }

    #[test]
    fn a_wait_is_held_between_zero_and_five_minutes() {
        let seconds = |value, now| parse_retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(b"0", 0), Some(0));
        assert_eq!(seconds(b" 300 ", 0), Some(300));
        assert_eq!(seconds(b"301", 0), Some(300));
        assert_eq!(seconds(b"99999999999999999999999999", 0), Some(300));
        assert_eq!(
            parse_retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", 784_111_778),
            Some(Duration::ZERO)
        );
        assert_eq!(seconds(b"Fri, 31 Dec 9999 23:59:59 GMT", 0), Some(300));
    }

    #[test]
    fn grpc_pushback_that_cannot_be_read_means_never() {
        assert_eq!(parse_grpc_pushback(b"0"), Pushback::After(Duration::ZERO));
        assert_eq!(
            parse_grpc_pushback(b"2147483647"),
            Pushback::After(Duration::from_millis(2_147_483_647))
        );
        for junk in ["", "-1", "-0", "+1", "1.5", " 1", "1s", "2147483648", "\u{661}"] {
            assert_eq!(parse_grpc_pushback(junk.as_bytes()), Pushback::Never, "{junk}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_upset_the_parsers(bytes: Vec<u8>, now: u64) {
            prop_assert!(parse_retry_after(&bytes, now).is_none_or(|wait| wait <= RETRY_AFTER_MAX));
            let _ = parse_grpc_pushback(&bytes);
        }

        #[test]
        fn every_day_follows_the_day_before(year in 0u64..9_999, month in 1u64..=12) {
            let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            prop_assert_eq!(days_before(next.0, next.1) - days_before(year, month), days_in_month(year, month));
        }
    }
}
