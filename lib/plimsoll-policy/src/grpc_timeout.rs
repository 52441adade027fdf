//! The `grpc-timeout` header: one to eight digits and a unit.
//!
//! Source: "gRPC over HTTP2", `Timeout → "grpc-timeout" TimeoutValue TimeoutUnit`, with units `H M S m u n`.
//! Eight digits are too few for nanoseconds beyond 100 ms, so writing picks the finest unit that fits and rounds
//! *down*: the next hop is never told of more time than there is. What is
//! malformed reads as `None`; whether that is an error or no timeout is for the caller to say.

use core::fmt;
use core::time::Duration;

/// The largest number that eight digits hold.
const VALUE_MAX: u128 = 99_999_999;
const HOUR: u128 = 3_600_000_000_000;
/// The units and their lengths in nanoseconds, the finest first.
const UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', HOUR / 60),
    (b'H', HOUR),
];

/// A `grpc-timeout` ready to be sent; made by [`write_grpc_timeout`]. 10 bytes, on the stack.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{parse_grpc_timeout, write_grpc_timeout};
///
/// let timeout = write_grpc_timeout(Duration::from_millis(1_500));
/// assert_eq!(timeout.as_bytes(), b"1500000u");
/// assert_eq!(parse_grpc_timeout(timeout.as_bytes()), Some(Duration::from_millis(1_500)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrpcTimeout {
    /// The text, at the end of the array.
    text: [u8; 9],
    start: u8,
}

/// Reads the value of a `grpc-timeout` header; `None` when it is not one.
pub fn parse_grpc_timeout(value: &[u8]) -> Option<Duration> {
    let (&unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'n' => Duration::from_nanos(number),
        b'u' => Duration::from_micros(number),
        b'm' => Duration::from_millis(number),
        b'S' => Duration::from_secs(number),
        b'M' => Duration::from_secs(number * 60),
        b'H' => Duration::from_secs(number * 3_600),
        _ => return None,
    })
}

/// Writes a duration as a `grpc-timeout`, rounded down to the finest unit that fits in eight digits.
///
/// More than 99,999,999 hours is written as that many. Zero is written as `0n`, which the grammar's "positive
/// integer" leaves open; a request without time left should not be sent.
pub fn write_grpc_timeout(timeout: Duration) -> GrpcTimeout {
    let nanos = timeout.as_nanos();
    let (unit, length) = UNITS
        .into_iter()
        .find(|(_, length)| nanos / length <= VALUE_MAX)
        .unwrap_or((b'H', HOUR));
    let mut value = (nanos / length).min(VALUE_MAX);
    let mut written = GrpcTimeout {
        text: [unit; 9],
        start: 8,
    };
    while value > 0 || written.start == 8 {
        written.start -= 1;
        written.text[usize::from(written.start)] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    written
}

impl GrpcTimeout {
    /// The value of the header: ASCII digits and a unit, 2 to 9 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[usize::from(self.start)..]
    }
}

impl fmt::Display for GrpcTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes()
            .iter()
            .try_for_each(|&byte| fmt::Write::write_char(f, char::from(byte)))
    }
}

impl fmt::Debug for GrpcTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrpcTimeout({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_never_longer(nanos: u64, shift in 0u32..64) {
            let timeout = Duration::from_nanos(nanos >> shift);
            let written = write_grpc_timeout(timeout);
            let read = parse_grpc_timeout(written.as_bytes()).unwrap();
            prop_assert!(written.as_bytes().len() <= 9);
            prop_assert!(read <= timeout);
            // A unit is at most 1000 of the next finer, so a number that was rounded has six digits or more.
            prop_assert!(timeout.saturating_sub(read) <= timeout / 99_999);
        }

        #[test]
        fn no_bytes_upset_the_parser(bytes: Vec<u8>) {
            let _ = parse_grpc_timeout(&bytes);
        }
    }

    #[test]
    fn the_longest_duration_still_fits() {
        assert_eq!(write_grpc_timeout(Duration::MAX).as_bytes(), b"99999999H");
        assert_eq!(size_of::<GrpcTimeout>(), 10);
    }
}
