//! How often an address has shown what is no token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use plimsoll_policy::{Quota, RateDecision, gcra};
use plimsoll_slo::Instant;

/// Wrong tokens that an address may show at once, and how long it then waits for one more.
const BURST: u32 = 10;
const PAUSE: Duration = Duration::from_secs(6);

/// Addresses that are remembered. Those beyond share one count, with which they lock each other out: with so many at
/// it, nobody is mistyping.
const ADDRESSES_MAX: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Tries {
    of: HashMap<IpAddr, u64>,
    of_others: u64,
}

fn quota() -> Quota {
    Quota::new(1, PAUSE, BURST).expect("one in six seconds can be kept")
}

/// A house has one address of IPv4, and 2^64 of IPv6.
fn house(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(from) => from.into(),
        IpAddr::V6(from) => {
            let prefix = from.to_bits() >> 64 << 64;
            std::net::Ipv6Addr::from_bits(prefix).into()
        }
    }
}

impl Tries {
    /// Whether the address may try.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn may(&self, now: Instant, from: IpAddr) -> Result<(), Duration> {
        let others = if self.of.len() < ADDRESSES_MAX {
            0
        } else {
            self.of_others
        };
        let tat = self.of.get(&house(from)).copied().unwrap_or(others);
        match gcra(tat, now, &quota(), 1) {
            RateDecision::Admit { .. } => Ok(()),
            RateDecision::Refuse { retry_after, .. } => Err(retry_after),
        }
    }

    /// It tried in vain.
    pub(super) fn failed(&mut self, now: Instant, from: IpAddr) {
        let house = house(from);
        if self.of.len() >= ADDRESSES_MAX && !self.of.contains_key(&house) {
            self.of.retain(|_, tat| *tat > now.as_nanos());
        }
        let tat = if self.of.len() < ADDRESSES_MAX || self.of.contains_key(&house) {
            self.of.entry(house).or_default()
        } else {
            &mut self.of_others
        };
        if let RateDecision::Admit { tat: next, .. } = gcra(*tat, now, &quota(), 1) {
            *tat = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000_000_000_000);

    #[test]
    fn a_house_is_one() {
        let mut tries = Tries::default();
        for host in 0..10 {
            tries.failed(NOW, format!("2001:db8::{host}").parse().unwrap());
        }
        assert!(tries.may(NOW, "2001:db8::ffff".parse().unwrap()).is_err());
        assert!(tries.may(NOW, "2001:db8:0:1::".parse().unwrap()).is_ok());
        for _ in 0..10 {
            tries.failed(NOW, "::ffff:10.0.0.1".parse().unwrap());
        }
        assert!(tries.may(NOW, "10.0.0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn memory_has_a_bound_and_the_rest_share_one_count() {
        let mut tries = Tries::default();
        let address = |number: usize| IpAddr::from((number as u32 + 0x0a00_0000).to_be_bytes());
        for number in 0..ADDRESSES_MAX + 10 {
            tries.failed(NOW, address(number));
        }
        assert_eq!(tries.of.len(), ADDRESSES_MAX);
        assert!(tries.may(NOW, address(ADDRESSES_MAX + 99)).is_err());
        assert!(tries.may(NOW, address(0)).is_ok());
        // Those who have waited make room.
        let later = Instant::from_nanos(NOW.as_nanos() + 12_000_000_000);
        tries.failed(later, address(ADDRESSES_MAX + 99));
        assert_eq!(tries.of.len(), 1);
    }
}
