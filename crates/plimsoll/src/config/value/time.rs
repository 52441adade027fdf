//! Windows and time zones.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::Scalar;
use crate::calendar::Unit;
use crate::config::shape::{Json, ScalarShape};

/// The time in which an objective is to be met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowWord {
    /// The last so much.
    Last(Duration),
    /// What the calendar calls so.
    Calendar(Unit),
}

/// An hour, since nothing shorter can be judged; and what is kept by the minute.
const LAST: std::ops::RangeInclusive<Duration> = Duration::from_hours(1)..=Duration::from_hours(92 * 24);

impl Scalar for WindowWord {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a window of 1h to 92d, or a period of the calendar",
        right: "`30d`, `day`, `week`, `month`, `quarter` or `year`",
        json: Json::Pattern("^(day|week|month|quarter|year|([0-9]+(d|h|m|s|ms))+)$"),
    };

    fn parse(text: &str) -> Option<Self> {
        if let Some((_, unit)) = Unit::ALL.into_iter().find(|(word, _)| *word == text) {
            return Some(Self::Calendar(unit));
        }
        Duration::parse(text)
            .filter(|last| LAST.contains(last))
            .map(Self::Last)
    }

    fn render(&self) -> String {
        match self {
            Self::Last(last) => Scalar::render(last),
            Self::Calendar(unit) => unit.word().to_owned(),
        }
    }
}

impl Scalar for TimeZone {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a time zone of the IANA database",
        right: "`UTC` or `Europe/London`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        if text == "UTC" {
            return Some(Self::UTC);
        }
        Self::get(text).ok()
    }

    fn render(&self) -> String {
        self.iana_name().unwrap_or("UTC").to_owned()
    }
}

impl Scalar for Timestamp {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a time with its zone, or a day, which begins at midnight in UTC",
        right: "`2027-03-01` or `2027-03-01T12:00:00Z`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        let day = || {
            let day = text.parse::<Date>().ok().filter(|_| text.len() == 10)?;
            TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
        };
        text.parse().ok().or_else(day)
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

impl Scalar for DateTime {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a date and time without a zone, or a day, which begins at midnight",
        right: "`2026-01-05` or `2026-01-05 12:00:00`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        // The clock of a calendar has no zone: what names one means something else.
        let is_civil = !text.ends_with('Z') && !text.contains('+') && !text.contains('[');
        text.parse().ok().filter(|_| is_civil)
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_zones() {
        for (text, rendered) in [
            ("30d", "30d"),
            ("60m", "1h"),
            ("month", "month"),
            ("year", "year"),
        ] {
            assert_eq!(
                WindowWord::parse(text).map(|window| window.render()).as_deref(),
                Some(rendered)
            );
        }
        for text in ["", "59m", "93d", "months", "1 month", "M", "30"] {
            assert_eq!(WindowWord::parse(text), None, "{text}");
        }
        for (text, rendered) in [("UTC", "UTC"), ("Europe/London", "Europe/London")] {
            assert_eq!(
                TimeZone::parse(text).map(|zone| Scalar::render(&zone)).as_deref(),
                Some(rendered)
            );
        }
        for text in ["", "London", "../etc/passwd", "Europe/Atlantis"] {
            assert!(TimeZone::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, rendered) in [
            ("2027-03-01", "2027-03-01T00:00:00Z"),
            ("2027-03-01T12:00:00+02:00", "2027-03-01T10:00:00Z"),
        ] {
            let time = <Timestamp as Scalar>::parse(text);
            assert_eq!(time.map(|time| Scalar::render(&time)).as_deref(), Some(rendered));
        }
        // A time without a zone is another one for everybody who reads it.
        for text in ["", "tomorrow", "2027-02-30", "2027-03-01T12:00:00", "2027-03"] {
            assert!(<Timestamp as Scalar>::parse(text).is_none(), "{text}");
        }
    }
}
