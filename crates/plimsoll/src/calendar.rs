//! Periods of the calendar, in a time zone: a month is as long as that month is there, and a day may have 23 hours.
//!
//! Every period is counted from the anchor and not from the one before it, so that a month that begins on the 31st
//! begins on the last of those that have none, and on the 31st again after that.

use std::fmt;
use std::time::Duration;

use jiff::civil::{DateTime, date};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use plimsoll_slo::{Period, Second};

/// What a period is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    pub(crate) const ALL: [(&str, Self); 5] = [
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("quarter", Self::Quarter),
        ("year", Self::Year),
    ];

    pub(crate) fn word(self) -> &'static str {
        let (word, _) = Self::ALL[self as usize];
        word
    }

    /// How many days it usually has.
    const fn days(self) -> u64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
            Self::Quarter => 91,
            Self::Year => 365,
        }
    }
}

/// Periods that follow one another without end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calendar {
    pub(crate) unit: Unit,
    /// Units in a period: 1 and more.
    pub(crate) count: u32,
    /// When one of them begins.
    pub(crate) anchor: DateTime,
    pub(crate) zone: TimeZone,
}

/// More than that is no window of anybody.
const DAYS_MAX: u64 = 366;

impl Calendar {
    /// Periods of one unit, which begin as people are used to: on Mondays, on the first of a month.
    pub(crate) fn usual(unit: Unit, zone: TimeZone) -> Self {
        // A Monday, and the first of a year that is no leap year.
        let first = if unit == Unit::Week {
            date(2018, 1, 1)
        } else {
            date(2001, 1, 1)
        };
        Self {
            unit,
            count: 1,
            anchor: first.at(0, 0, 0, 0),
            zone,
        }
    }

    /// How long a period usually is; `None` if that is more than a year.
    pub(crate) fn length(&self) -> Option<Duration> {
        let days = self.unit.days() * u64::from(self.count);
        (days <= DAYS_MAX).then(|| Duration::from_hours(24 * days))
    }

    /// The period that a second is in; `None` outside the years that the calendar knows, which end with 9999.
    pub(crate) fn period(&self, at: Second) -> Option<Period> {
        let now = Timestamp::from_second(i64::try_from(at.0).ok()?).ok()?;
        let days = self
            .zone
            .to_datetime(now)
            .since((jiff::Unit::Day, self.anchor))
            .ok()?
            .get_days();
        let usual = i64::try_from(self.unit.days() * u64::from(self.count)).ok()?;
        // As good as it gets from the usual length; the true one is close.
        let mut number = i64::from(days) / usual;
        while self.begins(number)? > now {
            number -= 1;
        }
        while self.begins(number + 1)? <= now {
            number += 1;
        }
        let minute = |begins: Timestamp| u64::try_from(begins.as_second() / 60).ok();
        Some(Period {
            from: minute(self.begins(number)?)?,
            to: minute(self.begins(number + 1)?)?,
        })
    }

    /// When a period begins. A time that a clock skips is the one after it, one that comes twice the first.
    fn begins(&self, number: i64) -> Option<Timestamp> {
        let many = number.checked_mul(self.count.into())?;
        let span = match self.unit {
            Unit::Day => Span::new().try_days(many),
            Unit::Week => Span::new().try_weeks(many),
            Unit::Month => Span::new().try_months(many),
            Unit::Quarter => Span::new().try_months(many.checked_mul(3)?),
            Unit::Year => Span::new().try_years(many),
        };
        let begins = self.anchor.checked_add(span.ok()?).ok()?;
        self.zone.to_timestamp(begins).ok()
    }
}

/// `month`, `2 weeks`, `week in Europe/London`.
/// The minute in which a clock of this zone showed the same time so many days before a minute, or the next time that it
/// did show.
pub(crate) fn days_ago(zone: &TimeZone, minute: u64, days: u64) -> Option<u64> {
    let at = Timestamp::from_second(i64::try_from(minute).ok()? * 60).ok()?;
    let days = Span::new().try_days(i64::try_from(days).ok()?).ok()?;
    let then = zone.to_datetime(at).checked_sub(days).ok()?;
    let then = zone.to_timestamp(then).ok()?;
    u64::try_from(then.as_second().div_euclid(60)).ok()
}

impl fmt::Display for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str(self.unit.word())?,
            count => write!(f, "{count} {}s", self.unit.word())?,
        }
        match self.zone.iana_name() {
            None | Some("UTC") => Ok(()),
            Some(zone) => write!(f, " in {zone}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(text: &str) -> u64 {
        let at: Timestamp = text.parse().unwrap();
        at.as_second() as u64 / 60
    }

    fn period(calendar: &Calendar, at: &str) -> (u64, u64) {
        let period = calendar.period(Second(60 * minute(at))).unwrap();
        (period.from, period.to)
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn periods_begin_as_people_are_used_to() {
        for (unit, at, from, to) in [
            (
                Unit::Day,
                "2026-11-26T07:00Z",
                "2026-11-26T00:00Z",
                "2026-11-27T00:00Z",
            ),
            (
                Unit::Week,
                "2026-11-26T07:00Z",
                "2026-11-23T00:00Z",
                "2026-11-30T00:00Z",
            ),
            (
                Unit::Week,
                "2026-11-23T00:00Z",
                "2026-11-23T00:00Z",
                "2026-11-30T00:00Z",
            ),
            (
                Unit::Month,
                "2024-02-29T23:59Z",
                "2024-02-01T00:00Z",
                "2024-03-01T00:00Z",
            ),
            (
                Unit::Quarter,
                "2026-11-26T07:00Z",
                "2026-10-01T00:00Z",
                "2027-01-01T00:00Z",
            ),
            (
                Unit::Year,
                "1999-12-31T23:59Z",
                "1999-01-01T00:00Z",
                "2000-01-01T00:00Z",
            ),
        ] {
            let calendar = Calendar::usual(unit, TimeZone::UTC);
            assert_eq!(
                period(&calendar, at),
                (minute(from), minute(to)),
                "{} at {at}",
                unit.word()
            );
        }
    }

    #[test]
    fn a_month_is_as_long_as_it_is_in_its_zone() {
        // Clocks go forward in it, so an hour is missing; and it begins while February still lasts in London.
        let march = Calendar::usual(Unit::Month, zone("Europe/Berlin"));
        let (from, to) = period(&march, "2026-03-15T00:00Z");
        assert_eq!(
            (from, to),
            (minute("2026-02-28T23:00Z"), minute("2026-03-31T22:00Z"))
        );
        assert_eq!(to - from, (31 * 24 - 1) * 60);
        let day = Calendar::usual(Unit::Day, zone("America/New_York"));
        let (from, to) = period(&day, "2026-11-01T12:00Z");
        assert_eq!(to - from, 25 * 60);
        // Midnight is a time that does not exist there that day.
        let day = Calendar::usual(Unit::Day, zone("America/Santiago"));
        let (from, to) = period(&day, "2025-09-07T12:00Z");
        assert_eq!((from, to - from), (minute("2025-09-07T04:00Z"), 23 * 60));
    }

    #[test]
    fn a_month_that_begins_on_the_31st_does_so_again() {
        let calendar = Calendar {
            anchor: date(2026, 1, 31).at(12, 0, 0, 0),
            ..Calendar::usual(Unit::Month, TimeZone::UTC)
        };
        assert_eq!(
            period(&calendar, "2026-02-20T00:00Z"),
            (minute("2026-01-31T12:00Z"), minute("2026-02-28T12:00Z"))
        );
        assert_eq!(
            period(&calendar, "2026-03-20T00:00Z"),
            (minute("2026-02-28T12:00Z"), minute("2026-03-31T12:00Z"))
        );
    }

    #[test]
    fn the_same_time_of_another_day_is_by_the_clock() {
        let berlin = zone("Europe/Berlin");
        // Clocks were put back on the 25th of October.
        let ago = |at, days| days_ago(&berlin, minute(at), days);
        assert_eq!(
            ago("2026-10-26T08:00:00Z", 7),
            Some(minute("2026-10-19T07:00:00Z"))
        );
        assert_eq!(
            ago("2026-10-19T07:00:00Z", 7),
            Some(minute("2026-10-12T07:00:00Z"))
        );
        // Half past two was not shown on the day on which they were put forward.
        assert_eq!(
            ago("2026-03-30T00:30:00Z", 1),
            Some(minute("2026-03-29T01:30:00Z"))
        );
        assert_eq!(days_ago(&berlin, 1_440, 7), None);
    }

    #[test]
    fn every_second_is_in_exactly_one_period() {
        let calendar = Calendar {
            count: 2,
            ..Calendar::usual(Unit::Week, zone("Australia/Lord_Howe"))
        };
        let mut at = minute("2020-01-01T00:00Z");
        let end = minute("2030-01-01T00:00Z");
        let mut before = period(&calendar, "2020-01-01T00:00Z");
        while at < end {
            let now = calendar.period(Second(60 * at)).unwrap();
            assert!((now.from..now.to).contains(&at));
            assert!(
                (now.from, now.to) == before || now.from == before.1,
                "{before:?} {now:?}"
            );
            before = (now.from, now.to);
            at += 6 * 60 + 7;
        }
        assert_eq!(calendar.period(Second(u64::MAX)), None);
        assert_eq!(calendar.length(), Some(Duration::from_hours(14 * 24)));
        assert_eq!(calendar.to_string(), "2 weeks in Australia/Lord_Howe");
        assert_eq!(
            Calendar {
                count: 53,
                ..calendar
            }
            .length(),
            None
        );
    }
}
