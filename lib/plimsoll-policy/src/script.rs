//! Words that several test scripts share: durations, `key=value` pairs, and dice that always fall in the middle.

use core::time::Duration;

use crate::Dice;

/// Dice that always fall in the middle, so that a script can state a random wait exactly: half its ceiling.
pub(crate) struct Middle;

impl Dice for Middle {
    fn roll(&mut self) -> u64 {
        1 << 63
    }
}

/// Reads `250ms`, `1.5s`, `7us`, `12ns`, `5m` or `1h`.
pub(crate) fn duration(text: &str) -> Duration {
    let unit_at = text
        .find(|c: char| c.is_ascii_alphabetic())
        .expect("a duration has a unit");
    let number: f64 = text[..unit_at].parse().expect("a duration starts with a number");
    let seconds = match &text[unit_at..] {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        unit => panic!("unknown unit {unit} in {text}"),
    };
    Duration::from_nanos((number * seconds * 1e9).round() as u64)
}

/// Writes a duration as [`duration`] reads it.
pub(crate) fn show(duration: Duration) -> String {
    format!("{duration:?}").replace('µ', "u")
}

/// The words of a line, each cut at its first `=`.
pub(crate) fn pairs(words: &str) -> impl Iterator<Item = (&str, &str)> {
    words
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap_or((word, "")))
}
