//! Texts that callers and upstreams send, and that policies read: whatever they are, nothing panics, and what comes out
//! stays within its range. `fuzz/` plays this too.

use core::time::Duration;

use plimsoll_policy::{
    Pushback, Quota, gcra, parse_fault_header, parse_grpc_pushback, parse_grpc_timeout, parse_retry_after,
    ratelimit_policy_value, ratelimit_value, write_grpc_timeout,
};
use plimsoll_slo::Instant;

/// Reads `bytes` as each of them.
pub(crate) fn check(bytes: &[u8]) {
    if let Some(timeout) = parse_grpc_timeout(bytes) {
        // What is written anew is never longer than what was read: a deadline may only shrink on its way.
        let written = write_grpc_timeout(timeout);
        let again = parse_grpc_timeout(written.as_bytes()).expect("what we write can be read");
        assert!(
            again <= timeout.max(Duration::from_nanos(1)),
            "{timeout:?} became {again:?}"
        );
    }
    if let Pushback::After(wait) = parse_grpc_pushback(bytes) {
        assert!(wait <= Duration::from_millis(i32::MAX as u64));
    }
    let now = 784_111_770;
    if let (Some(early), Some(late)) = (parse_retry_after(bytes, now), parse_retry_after(bytes, now + 1)) {
        assert!(late <= early, "time passes, and the wait grows");
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = parse_fault_header(&text);
    limits(bytes, &text);
}

/// Numbers of a rate limit, and the fields that tell of it.
fn limits(bytes: &[u8], text: &str) {
    let number = |at: usize| {
        let mut number = [0; 4];
        for (place, byte) in number.iter_mut().zip(bytes.iter().skip(at)) {
            *place = *byte;
        }
        u32::from_le_bytes(number)
    };
    let per = Duration::from_millis(u64::from(number(4)));
    if let Some(quota) = Quota::new(number(0), per, number(8)) {
        let now = Instant::from_nanos(u64::from(number(12)) << 20);
        let decision = gcra(u64::from(number(16)) << 20, now, &quota, number(20) % 16);
        let (remaining, reset) = decision.advertised();
        let said = ratelimit_value(text, remaining, reset).to_string();
        let policy = ratelimit_policy_value(text, &quota, Some(bytes)).to_string();
        for said in [said, policy] {
            assert!(!said.contains(['\r', '\n', '\0']), "{said:?} is no field");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::check;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            check(&bytes);
        }

        #[test]
        fn what_looks_right(text in "[0-9]{0,12}[HMSmun]?|-?[0-9]{0,12}|(delay|abort|throttle|disconnect)[=;, 0-9a-z%.]{0,20}|[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT") {
            check(text.as_bytes());
        }
    }
}
