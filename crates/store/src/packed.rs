//! The bytes of what is too small and too many for rows of its own.

use plimsoll_slo::{Counts, MinuteLog};

/// What the bytes begin with.
const VERSION: u8 = 1;

/// Bytes in which a log is kept: some 200 of a busy minute.
///
/// A byte of version; 8 bytes of seconds that were measured; how many seconds follow, and each with its good and its bad
/// events; how many callers follow, and each with the second in which it failed first. Numbers are LEB128 but for the
/// first two.
pub(crate) fn pack(log: &MinuteLog) -> Vec<u8> {
    let (measured, events, failed) = log.parts();
    let mut bytes = vec![VERSION];
    bytes.extend(measured.to_le_bytes());
    number(&mut bytes, events.len() as u64);
    for (second, counts) in events {
        bytes.push(*second);
        number(&mut bytes, counts.good);
        number(&mut bytes, counts.bad);
    }
    number(&mut bytes, failed.len() as u64);
    for (place, second) in failed {
        number(&mut bytes, (*place).into());
        bytes.push(*second);
    }
    bytes
}

/// What [`pack`] has made; `None` if it was not that, or that of a later release.
pub(crate) fn unpack(bytes: &[u8]) -> Option<MinuteLog> {
    let mut bytes = bytes.strip_prefix(&[VERSION])?;
    let (measured, rest) = bytes.split_first_chunk()?;
    bytes = rest;
    let count = read(&mut bytes)?;
    // No more than there can be: it is not believed before it was read.
    let mut events = Vec::with_capacity(count.min(60) as usize);
    for _ in 0..count {
        let second = byte(&mut bytes)?;
        let (good, bad) = (read(&mut bytes)?, read(&mut bytes)?);
        events.push((second, Counts { good, bad }));
    }
    let count = read(&mut bytes)?;
    let mut failed = Vec::with_capacity(count.min(1_024) as usize);
    for _ in 0..count {
        failed.push((u16::try_from(read(&mut bytes)?).ok()?, byte(&mut bytes)?));
    }
    let log = MinuteLog::of_parts(u64::from_le_bytes(*measured), events, failed)?;
    bytes.is_empty().then_some(log)
}

/// Values of evidence.
pub(crate) fn pack_values(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// See [`pack_values`].
pub(crate) fn unpack_values(bytes: &[u8]) -> Vec<f64> {
    let (values, _) = bytes.as_chunks();
    values.iter().map(|value| f64::from_le_bytes(*value)).collect()
}

fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let next = byte(bytes)?;
        let bits = u64::from(next & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if next < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked_and_nothing_else_is_believed(
            seconds in prop::collection::vec((0u8..60, any::<u64>(), any::<u32>(), 0u16..1_024), 0..80),
            cut in any::<prop::sample::Index>(),
            noise in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let mut log = MinuteLog::default();
            for (second, good, bad, place) in seconds {
                log.count(second, Counts { good, bad: bad.into() }, (bad > 0).then_some(place));
            }
            let bytes = pack(&log);
            prop_assert_eq!(unpack(&bytes), Some(log));
            prop_assert_eq!(unpack(&bytes[..cut.index(bytes.len())]), None);
            // It may be one by chance; it is no panic, and no more memory than it is long.
            drop(unpack(&noise));
        }
    }

    #[test]
    fn a_busy_minute_is_small() {
        let mut log = MinuteLog::default();
        for second in 0..60 {
            log.count(second, Counts { good: 90, bad: 3 }, []);
        }
        assert_eq!(pack(&log).len(), 1 + 8 + 1 + 60 * 3 + 1);
        assert_eq!(unpack_values(&pack_values(&[0.5, 1e300])), [0.5, 1e300]);
    }
}
