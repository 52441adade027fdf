//! Money as a whole number of ticks, a tick being 1/10000 of the currency.
//!
//! A binary float cannot hold 0.1; an order desk that rounds is an order desk in court. Text in and out is a
//! decimal string, never a JSON number, because JSON numbers become floats in most clients.

use std::fmt;
use std::str::FromStr;

const TICKS_PER_UNIT: i64 = 10_000;

/// An amount of money, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(i64);

/// The text is not an amount of money that the desk can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal with at most 9 digits before and 4 after the point")]
pub struct NotAPrice;

impl Price {
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    pub const fn from_units(units: i64) -> Self {
        Self(units * TICKS_PER_UNIT)
    }

    pub const fn ticks(self) -> i64 {
        self.0
    }
}

impl FromStr for Price {
    type Err = NotAPrice;

    fn from_str(text: &str) -> Result<Self, NotAPrice> {
        let (units, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(units) || !digits(fraction) || units.len() > 9 || fraction.len() > 4 {
            return Err(NotAPrice);
        }
        let units: i64 = units.parse().map_err(|_| NotAPrice)?;
        let fraction: i64 = format!("{fraction:0<4}").parse().map_err(|_| NotAPrice)?;
        Ok(Self(units * TICKS_PER_UNIT + fraction))
    }
}

impl fmt::Display for Price {
    /// As few decimals as hold the amount, and at least the two of a cash price.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let ticks = self.0.unsigned_abs();
        let (units, fraction) = (ticks / TICKS_PER_UNIT as u64, ticks % TICKS_PER_UNIT as u64);
        if fraction.is_multiple_of(100) {
            write!(f, "{sign}{units}.{:02}", fraction / 100)
        } else {
            write!(f, "{sign}{units}.{fraction:04}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_a_round_trip() {
        for (text, ticks, shown) in [
            ("0", 0, "0.00"),
            ("1.5", 15_000, "1.50"),
            ("187.25", 1_872_500, "187.25"),
            ("0.0001", 1, "0.0001"),
            ("999999999.9999", 9_999_999_999_999, "999999999.9999"),
        ] {
            let price: Price = text.parse().unwrap();
            assert_eq!(
                (price.ticks(), price.to_string().as_str()),
                (ticks, shown),
                "{text}"
            );
        }
    }

    #[test]
    fn what_a_float_parser_would_let_through_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "NaN",
            "1.00001",
            "1000000000",
            " 1",
            "1_0",
            "١",
        ] {
            assert_eq!(text.parse::<Price>(), Err(NotAPrice), "{text:?}");
        }
    }
}
