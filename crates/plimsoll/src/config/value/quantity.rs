//! Quantities with their units: never a bare number, which would mean seconds to one reader and milliseconds to
//! another.

use std::fmt::Write;
use std::time::Duration;

use plimsoll_slo::Target;

use super::Scalar;
use crate::config::shape::{Json, ScalarShape};

/// A share of a whole, `0.0..=1.0`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Ratio(pub(crate) f64);

impl Scalar for Ratio {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a share of a whole",
        right: "`10%` or `0.1`",
        json: Json::Ratio,
    };

    fn parse(text: &str) -> Option<Self> {
        let (number, scale) = match text.strip_suffix('%') {
            Some(number) => (number, 100.0),
            None => (text, 1.0),
        };
        // `inf`, `nan`, `1e-3` and `+1` are numbers to Rust, but hardly what anyone means here.
        let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let share = number.parse::<f64>().ok().filter(|_| plain)? / scale;
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    fn render(&self) -> String {
        // Rounded, since 0.07 times 100 is not quite 7.
        let percent = (self.0 * 100.0 * 1e6).round() / 1e6;
        format!("{percent}%")
    }
}

/// The target of an objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TargetShare(pub(crate) Target);

/// Where more may fail, not even a total outage is twice as much, and no burn is worth waking anybody for.
const TARGET_MIN: f64 = 0.6;

impl Scalar for TargetShare {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a target, of 60% or more and less than 100%",
        right: "`99.9%` or `0.999`",
        json: Json::Ratio,
    };

    fn parse(text: &str) -> Option<Self> {
        // Rounded, since 99.9 of 100 is a little more than 0.999.
        let share = (Ratio::parse(text)?.0 * 1e9).round() / 1e9;
        let target = Target::new(share).ok()?;
        (share >= TARGET_MIN).then_some(Self(target))
    }

    fn render(&self) -> String {
        Scalar::render(&Ratio(self.0.share()))
    }
}

/// Units of time, largest first: the order in which they are written.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Scalar for Duration {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a duration",
        right: "`10s`, `250ms` or `1m30s`",
        json: Json::Pattern("^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m(?!s))?([0-9]+s)?([0-9]+ms)?$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut millis: u64 = 0;
        let mut units = TIMES.iter();
        while !rest.is_empty() {
            let (number, after) = split_number(rest)?;
            let letters = after
                .find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            // `find` goes on where it stopped, so that a unit comes once and after the larger ones.
            let (_, scale) = units.find(|(name, _)| *name == unit)?;
            millis = millis.checked_add(number.checked_mul(*scale)?)?;
            rest = after;
        }
        (!text.is_empty()).then_some(Self::from_millis(millis))
    }

    fn render(&self) -> String {
        let mut rest = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let mut text = String::new();
        for (unit, scale) in TIMES {
            if rest >= scale {
                _ = write!(text, "{}{unit}", rest / scale);
                rest %= scale;
            }
        }
        if text.is_empty() { "0s".to_owned() } else { text }
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    /// For sizes of what is held in memory.
    pub(crate) fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl Scalar for Size {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a size",
        right: "`64KiB`, `10MB` or `500B`",
        json: Json::PatternOrZero("^(0|[0-9]+(B|KB|MB|GB|KiB|MiB|GiB))$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_number(text)?;
        // Nothing is nothing in every unit.
        if number == 0 && unit.is_empty() {
            return Some(Self(0));
        }
        let (_, scale) = SIZES.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(*scale).map(Self)
    }

    fn render(&self) -> String {
        let whole = SIZES
            .iter()
            .find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale));
        whole.map_or_else(
            || "0".to_owned(),
            |(unit, scale)| format!("{}{unit}", self.0 / scale),
        )
    }
}

/// A bound on memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum MemoryBound {
    Off,
    /// Of what there is.
    Share(Ratio),
    Size(Size),
}

impl Scalar for MemoryBound {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a bound on memory, of 32 MiB or more",
        right: "`80%`, `512MiB` or `off`",
        json: Json::Pattern("^(off|[0-9]+(\\.[0-9]+)?%|[0-9]+(KB|MB|GB|KiB|MiB|GiB))$"),
    };

    fn parse(text: &str) -> Option<Self> {
        // Three times what an idle process holds: with less, traffic could only be refused.
        const SIZE_MIN: Size = Size(32 << 20);
        if text == "off" {
            return Some(Self::Off);
        }
        if text.ends_with('%') {
            return Ratio::parse(text).filter(|share| share.0 > 0.0).map(Self::Share);
        }
        Size::parse(text).filter(|size| *size >= SIZE_MIN).map(Self::Size)
    }

    fn render(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Share(share) => Scalar::render(share),
            Self::Size(size) => Scalar::render(size),
        }
    }
}

/// So many in a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) count: u32,
    pub(crate) per: Duration,
}

const SPANS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3_600), ("d", 86_400)];

impl Scalar for Rate {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a rate",
        right: "`100/s`, `600/min` or `5000/h`",
        json: Json::Pattern("^[1-9][0-9]*/(s|min|h|d)$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let (count, span) = text.split_once('/')?;
        let (count, rest) = split_number(count)?;
        let (_, seconds) = SPANS.iter().find(|(name, _)| *name == span)?;
        let count = u32::try_from(count)
            .ok()
            .filter(|count| *count > 0 && rest.is_empty())?;
        Some(Self {
            count,
            per: Duration::from_secs(*seconds),
        })
    }

    fn render(&self) -> String {
        let span = SPANS.iter().find(|(_, seconds)| *seconds == self.per.as_secs());
        format!("{}/{}", self.count, span.map_or("s", |(name, _)| name))
    }
}

/// The whole number at the start of `text`, and what follows it.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Scalar>(text: &str) -> Option<String> {
        T::parse(text).map(|value| value.render())
    }

    #[test]
    fn durations_have_units_in_order() {
        for (text, rendered) in [
            ("10s", "10s"),
            ("250ms", "250ms"),
            ("1m30s", "1m30s"),
            ("90s", "1m30s"),
            ("0s", "0s"),
            ("1d", "1d"),
        ] {
            assert_eq!(check::<Duration>(text).as_deref(), Some(rendered), "{text}");
        }
        for text in [
            "",
            "10",
            "10 s",
            "s",
            "-1s",
            "1.5s",
            "30s1m",
            "1s1s",
            "10sekunds",
            "99999999999999999999s",
        ] {
            assert_eq!(check::<Duration>(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_units_but_for_nothing() {
        for (text, rendered) in [
            ("64KiB", "64KiB"),
            ("10MB", "10MB"),
            ("0", "0"),
            ("0B", "0"),
            ("1024B", "1KiB"),
            ("500B", "500B"),
        ] {
            assert_eq!(check::<Size>(text).as_deref(), Some(rendered), "{text}");
        }
        for text in ["", "64", "64kib", "1.5MiB", "18446744073709551615GiB", "KiB"] {
            assert_eq!(check::<Size>(text), None, "{text}");
        }
    }

    #[test]
    fn a_bound_on_memory_is_a_share_a_size_or_off() {
        for (text, rendered) in [
            ("80%", "80%"),
            ("512MiB", "512MiB"),
            ("32MiB", "32MiB"),
            ("off", "off"),
        ] {
            assert_eq!(check::<MemoryBound>(text).as_deref(), Some(rendered), "{text}");
        }
        for text in ["", "0", "0%", "0.8", "101%", "31MiB", "on", "80", "-1%"] {
            assert_eq!(check::<MemoryBound>(text), None, "{text}");
        }
    }

    #[test]
    fn rates_and_ratios() {
        assert_eq!(check::<Rate>("600/min").as_deref(), Some("600/min"));
        for text in ["0/s", "100", "100/sec", "/s", "1x/s"] {
            assert_eq!(check::<Rate>(text), None, "{text}");
        }
        assert_eq!(check::<Ratio>("7%").as_deref(), Some("7%"));
        assert_eq!(check::<Ratio>("0.125").as_deref(), Some("12.5%"));
        for text in ["", "%", "101%", "1.1", "nan", "1e-3", "-0.1"] {
            assert_eq!(check::<Ratio>(text), None, "{text}");
        }
        assert_eq!(check::<TargetShare>("0.9995").as_deref(), Some("99.95%"));
        for text in ["100%", "59%", "0", "99.9 %", "three nines"] {
            assert_eq!(check::<TargetShare>(text), None, "{text}");
        }
    }
}
