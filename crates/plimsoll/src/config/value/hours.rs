//! Hours of the week.

use jiff::civil::{DateTime, Weekday};

use super::Scalar;
use crate::config::shape::{Json, ScalarShape};

/// Hours of some days: from a minute of the day to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hours {
    /// The first day and the last, 0 being Monday; a week may end between them.
    days: (u8, u8),
    /// Minutes of a day.
    from: u16,
    to: u16,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MINUTES: u16 = 24 * 60;

impl Hours {
    /// Whether it is one of them, by the clock of a place.
    pub(crate) fn has(self, at: DateTime) -> bool {
        let day = day(at.weekday());
        let (first, last) = self.days;
        let is_day = if first <= last {
            (first..=last).contains(&day)
        } else {
            day >= first || day <= last
        };
        let minute = 60 * at.hour() as u16 + at.minute() as u16;
        is_day && (self.from..self.to).contains(&minute)
    }
}

fn day(weekday: Weekday) -> u8 {
    weekday.to_monday_zero_offset() as u8
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
    };
    let (hour, minute): (u16, u16) = (digits(hour)?, digits(minute)?);
    let all = 60 * hour + minute;
    (minute < 60 && all <= MINUTES).then_some(all)
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl Scalar for Hours {
    const SHAPE: ScalarShape = ScalarShape {
        what: "hours of some days",
        right: "`mon-thu 09:00-16:00`, `fri 09:00-12:00` or `sat-sun 00:00-24:00`",
        json: Json::Pattern(
            "^(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))? [0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$",
        ),
    };

    fn parse(text: &str) -> Option<Self> {
        let (days, hours) = text.split_once(' ')?;
        let (first, last) = days.split_once('-').unwrap_or((days, days));
        let place = |name: &str| DAYS.iter().position(|day| *day == name).map(|place| place as u8);
        let (from, to) = hours.split_once('-')?;
        let hours = Self {
            days: (place(first)?, place(last)?),
            from: minute(from)?,
            to: minute(to)?,
        };
        (hours.from < hours.to).then_some(hours)
    }

    fn render(&self) -> String {
        let (first, last) = (DAYS[usize::from(self.days.0)], DAYS[usize::from(self.days.1)]);
        let days = if first == last {
            first.to_owned()
        } else {
            format!("{first}-{last}")
        };
        format!("{days} {}-{}", clock(self.from), clock(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_written_and_looked_up() {
        let has = |hours: &str, at: &str| {
            let read = Hours::parse(hours).unwrap_or_else(|| panic!("{hours}"));
            assert_eq!(read.render(), hours);
            read.has(at.parse().unwrap())
        };
        // 2026-11-27 is a Friday.
        assert!(has("mon-fri 09:00-16:00", "2026-11-27T09:00:00"));
        assert!(!has("mon-fri 09:00-16:00", "2026-11-27T16:00:00"));
        assert!(!has("mon-thu 09:00-16:00", "2026-11-27T09:00:00"));
        assert!(has("sat-mon 00:00-24:00", "2026-11-30T23:59:59"));
        assert!(!has("sat-mon 00:00-24:00", "2026-12-01T00:00:00"));
        for wrong in [
            "",
            "mon",
            "mon 9:00-16:00",
            "mon 09:00",
            "mon 16:00-09:00",
            "mon 09:00-24:01",
            "mon 09:60-10:00",
            "day 09:00-10:00",
            "mon-fri-sun 09:00-10:00",
            "mon 09:00-09:00",
        ] {
            assert_eq!(Hours::parse(wrong), None, "{wrong}");
        }
    }
}
