//! What callers are told: the values of the `RateLimit` and `RateLimit-Policy` headers.
//!
//! Source: draft-ietf-httpapi-ratelimit-headers-10; structured fields, RFC 9651.

use core::fmt::{self, Display, Write};
use core::time::Duration;

use super::Quota;

/// The value of `RateLimit-Policy`: what the quota is, the same on every answer.
///
/// It says the burst and the time in which it refills, and not the count and the period of the configuration:
/// the rate is the same, and a caller that spends `q` at once and comes back after `w` is admitted, which it
/// would not be if the burst is smaller than the count. Where the burst refills within a second `w` is left
/// out, since whole seconds would misstate the rate. `partition` names whose quota it is, when that may be
/// known; it is sent as a byte sequence, in Base64.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::{Quota, ratelimit_policy_value};
/// let quota = Quota::new(100, Duration::from_secs(60), 100).unwrap();
/// assert_eq!(ratelimit_policy_value("burst", &quota, None).to_string(), r#""burst";q=100;w=60"#);
/// let value = ratelimit_policy_value("burst", &quota, Some(b"tenant-7")).to_string();
/// assert_eq!(value, r#""burst";q=100;w=60;pk=:dGVuYW50LTc=:"#);
/// ```
pub fn ratelimit_policy_value(name: &str, quota: &Quota, partition: Option<&[u8]>) -> impl Display {
    fmt::from_fn(move |f| {
        write_string(f, name)?;
        write!(f, ";q={}", quota.burst())?;
        if quota.refill() >= Duration::from_secs(1) {
            write!(f, ";w={}", seconds_up(quota.refill()))?;
        }
        match partition {
            Some(bytes) => write_partition(f, bytes),
            None => Ok(()),
        }
    })
}

/// The value of `RateLimit`: what is left, from
/// [`RateDecision::advertised`](super::RateDecision::advertised). The reset is rounded up to whole seconds:
/// rounded down it would invite a request that is refused.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_policy::ratelimit_value;
/// let value = ratelimit_value("burst", 50, Duration::from_millis(29_001)).to_string();
/// assert_eq!(value, r#""burst";r=50;t=30"#);
/// ```
pub fn ratelimit_value(name: &str, remaining: u32, reset: Duration) -> impl Display {
    fmt::from_fn(move |f| {
        write_string(f, name)?;
        write!(f, ";r={remaining};t={}", seconds_up(reset))
    })
}

fn seconds_up(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// A structured-field string: printable ASCII in quotes. What cannot stand there becomes `?`; a header must
/// never be split by a name.
fn write_string(f: &mut impl Write, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            ' '..='~' => f.write_char(c)?,
            _ => f.write_char('?')?,
        }
    }
    f.write_char('"')
}

/// A structured-field byte sequence: Base64 with padding (RFC 4648 §4) between colons.
fn write_partition(f: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    f.write_str(";pk=:")?;
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            f.write_char(if digit > chunk.len() {
                '='
            } else {
                char::from(ALPHABET[value as usize])
            })?;
        }
    }
    f.write_char(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_quotes() {
        let value = ratelimit_value("a\"b\\c\r\nSet-Cookie: é", 0, Duration::ZERO).to_string();
        assert_eq!(value, "\"a\\\"b\\\\c??Set-Cookie: ?\";r=0;t=0");
    }

    /// The vectors of RFC 4648 §10.
    #[test]
    fn partitions_are_base64() {
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut value = String::new();
            write_partition(&mut value, plain.as_bytes()).unwrap();
            assert_eq!(value, format!(";pk=:{encoded}:"));
        }
    }

    #[test]
    fn the_policy_says_a_rate_that_can_be_kept() {
        let says = |count, per, burst| {
            let quota = Quota::new(count, Duration::from_secs(per), burst).unwrap();
            ratelimit_policy_value("p", &quota, None).to_string()
        };
        assert_eq!(
            says(100, 60, 20),
            "\"p\";q=20;w=12",
            "the burst is what may be spent at once"
        );
        assert_eq!(
            says(1000, 1, 10),
            "\"p\";q=10",
            "ten in ten milliseconds are not ten per second"
        );
        assert_eq!(says(2, 3, 1), "\"p\";q=1;w=2", "one and a half seconds");
    }
}
