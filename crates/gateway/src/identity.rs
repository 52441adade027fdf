//! Who a request is: its id, its trace, its caller. Read from the headers once, written onto what we send on.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use http::HeaderValue;
use plimsoll_policy::{Dice, Priority};

use crate::fields::{Fields, Known, Names, Own};
use crate::plan::{CallersPlan, ListenerPlan, Network};

/// A W3C trace context, of which we are a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace.
    pub trace_id: u128,
    /// The caller's span; 0 when the trace begins here.
    pub parent_id: u64,
    /// Our span: the parent of everything behind us.
    pub span_id: u64,
    /// Whether the trace was chosen to be kept by whoever began it.
    pub sampled: bool,
}

impl Trace {
    /// Continues the caller's trace, or begins one. A new trace is sampled with probability `share`, decided by its
    /// id, so that every hop that decides in the same way decides alike.
    pub(crate) fn of(fields: &Fields, dice: &mut impl Dice, share: f64) -> Self {
        let span_id = dice.roll() | 1; // an id of zeros is invalid
        if let Some((trace_id, parent_id, flags)) = fields.get(Known::TraceParent).and_then(parse) {
            return Self {
                trace_id,
                parent_id,
                span_id,
                sampled: flags & 1 == 1,
            };
        }
        let trace_id = u128::from(dice.roll()) << 64 | u128::from(dice.roll()) | 1;
        // The rightmost 56 bits are the random ones (W3C Trace Context Level 2, "random-trace-id").
        let random = (trace_id as u64 & ((1 << 56) - 1)) as f64 / (1u64 << 56) as f64;
        Self {
            trace_id,
            parent_id: 0,
            span_id,
            sampled: random < share,
        }
    }

    /// The span of the attempt with this number, counted from 1. Made from the request's, so that nobody has to
    /// carry it: SplitMix64 is a bijection, so the attempts of one request never share an id.
    pub fn attempt(&self, number: u32) -> u64 {
        let mut z = self
            .span_id
            .wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).max(1) // an id of zeros is invalid
    }

    /// The `traceparent` for the attempt with this number: what is behind us hangs below the attempt that called it.
    pub(crate) fn header(&self, number: u32) -> [u8; 55] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex(&mut text[3..35], self.trace_id);
        hex(&mut text[36..52], u128::from(self.attempt(number)));
        text[54] = if self.sampled { b'1' } else { b'0' };
        text
    }
}

/// Version 00 and, as the specification asks, higher versions by their first four fields.
pub(crate) fn parse(value: &[u8]) -> Option<(u128, u64, u8)> {
    let fits = value.len() == 55 || (value.len() > 55 && value[55] == b'-' && !value.starts_with(b"00"));
    if !fits || value.starts_with(b"ff") || value[2] != b'-' || value[35] != b'-' || value[52] != b'-' {
        return None;
    }
    unhex(&value[..2])?;
    let trace_id = unhex(&value[3..35])?;
    let parent_id = unhex(&value[36..52])? as u64;
    let flags = unhex(&value[53..55])? as u8;
    (trace_id != 0 && parent_id != 0).then_some((trace_id, parent_id, flags))
}

fn unhex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0u128, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None, // upper case is invalid by the specification
        };
        Some(value << 4 | u128::from(digit))
    })
}

fn hex(out: &mut [u8], mut value: u128) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

/// The request's id: the caller's if it is sane, else the trace's, which is then ours and unique.
pub(crate) fn request_id(fields: &Fields, trace: &Trace, dice: &mut impl Dice) -> HeaderValue {
    let sane = |value: &HeaderValue| {
        (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if let Some(id) = fields.value(Known::RequestId).filter(sane) {
        return id;
    }
    let id = if trace.parent_id == 0 {
        trace.trace_id
    } else {
        u128::from(dice.roll()) << 64 | u128::from(dice.roll())
    };
    let mut text = [0; 32];
    hex(&mut text, id);
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
}

/// Who called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The address that connected; `None` over a Unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// The address behind trusted proxies, as far as they can be believed.
    pub(crate) client: Option<IpAddr>,
    /// Whether the peer's own forwarding, deadline and fault headers are believed.
    pub(crate) trusted: bool,
}

impl Caller {
    /// `X-Forwarded-For` is read from the right, and believed for as long as the addresses are trusted proxies.
    pub(crate) fn of(peer: Option<IpAddr>, fields: &Fields, trust: &[Network]) -> Self {
        let trusts = |ip: IpAddr| trust.iter().any(|network| network.contains(ip));
        // Whoever can open our Unix socket was let in by the file system.
        let trusted = peer.is_none_or(trusts);
        let mut client = peer;
        if trusted {
            let values = fields.all(Known::ForwardedFor).rev();
            for part in values
                .filter_map(|v| str::from_utf8(v).ok())
                .flat_map(|v| v.rsplit(','))
            {
                let Ok(ip) = part.trim().parse() else { break };
                client = Some(ip);
                if !trusts(ip) {
                    break;
                }
            }
        }
        Self {
            peer,
            client,
            trusted,
        }
    }

    /// The forwarding fields as they go on: appended to a trusted peer's, in place of anyone else's. Returns ours, and
    /// the names of those that go no further.
    pub(crate) fn forward(
        &self,
        fields: &Fields,
        peer: Option<&HeaderValue>,
        scheme: &'static str,
        host: Option<&Bytes>,
        own: &mut Own,
    ) -> Names {
        let known = fields.has(Known::ForwardedFor);
        let mut dropped = Names::default();
        if !self.trusted {
            dropped = Names::of(&[
                Known::Forwarded,
                Known::ForwardedFor,
                Known::ForwardedProto,
                Known::ForwardedHost,
            ]);
        }
        match peer {
            Some(peer) if !self.trusted || !known => own.push((Known::ForwardedFor, peer.clone())),
            _ if known && self.trusted => {
                dropped = dropped.with(Known::ForwardedFor);
                own.extend(self.append(fields).map(|chain| (Known::ForwardedFor, chain)));
            }
            _ => {}
        }
        if !self.trusted || !fields.has(Known::ForwardedProto) {
            own.push((Known::ForwardedProto, HeaderValue::from_static(scheme)));
        }
        if !self.trusted || !fields.has(Known::ForwardedHost) {
            let host = host.and_then(|host| HeaderValue::from_maybe_shared(host.clone()).ok());
            own.extend(host.map(|host| (Known::ForwardedHost, host)));
        }
        dropped
    }

    /// The chain that a trusted peer sent, and the peer.
    fn append(&self, fields: &Fields) -> Option<HeaderValue> {
        let mut chain = String::new();
        let values = fields.all(Known::ForwardedFor);
        for value in values.filter_map(|value| str::from_utf8(value).ok()) {
            let _ = write!(chain, "{value}, ");
        }
        if let Some(peer) = self.peer {
            let _ = write!(chain, "{peer}");
        }
        let chain = chain.trim_end_matches([',', ' ']);
        (!chain.is_empty())
            .then(|| HeaderValue::from_str(chain).ok())
            .flatten()
    }
}

/// The tier of a request, as an index into the declared tiers; the number of tiers when it names none of them.
pub(crate) fn tier(fields: &Fields, callers: &CallersPlan) -> usize {
    let named = callers.tier_header.as_ref().and_then(|name| fields.named(name));
    named
        .and_then(|value| callers.tiers.iter().position(|tier| tier.as_bytes() == value))
        .unwrap_or(callers.tiers.len())
}

/// The tenant, if the request names one.
pub(crate) fn tenant<'a>(fields: &'a Fields, callers: &CallersPlan) -> Option<&'a [u8]> {
    fields.named(callers.tenant_header.as_ref()?)
}

/// How much a request matters: what its route says, unless the caller says that it matters less. Only a trusted peer
/// may say that it matters more.
pub(crate) fn priority(fields: &Fields, callers: &CallersPlan, usual: Priority, trusted: bool) -> Priority {
    let named = callers
        .priority_header
        .as_ref()
        .and_then(|name| fields.named(name));
    match named.and_then(Priority::named) {
        Some(said) if trusted || said < usual => said,
        _ => usual,
    }
}

/// The tier of requests that name none.
pub(crate) const OTHER: &str = "other";

/// The label of a tier by its index.
pub(crate) fn tier_name(callers: &CallersPlan, tier: usize) -> &str {
    callers.tiers.get(tier).map_or(OTHER, |name| name)
}

/// The scheme a listener's callers use.
pub(crate) fn scheme(listener: &ListenerPlan) -> &'static str {
    if listener.tls.is_some() { "https" } else { "http" }
}

/// An address as a key. An IPv6 caller owns a /64 at least, so the rest of its address does not tell it apart.
pub(crate) fn client_key(client: Option<IpAddr>) -> [u8; 16] {
    match client.map(|ip| ip.to_canonical()) {
        None => [0; 16],
        Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(ip)) => (ip.to_bits() & !u128::from(u64::MAX)).to_be_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_policy::SeededDice;

    fn fields(pairs: &[(&'static str, &'static str)]) -> Fields {
        let map: http::HeaderMap = pairs
            .iter()
            .map(|(n, v)| (http::HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect();
        Fields::from(&map)
    }

    #[test]
    fn a_trace_is_continued_and_a_broken_one_begun_anew() {
        let mut dice = SeededDice::new(1);
        let given = fields(&[(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )]);
        let trace = Trace::of(&given, &mut dice, 0.0);
        assert_eq!(trace.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(trace.parent_id, 0xb7ad_6b71_6920_3331);
        assert!(trace.sampled);
        let onward = trace.header(1);
        assert!(onward.starts_with(b"00-0af7651916cd43dd8448eb211c80319c-"));
        for broken in [
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "nonsense",
        ] {
            assert_eq!(
                Trace::of(&fields(&[("traceparent", broken)]), &mut dice, 0.0).parent_id,
                0,
                "{broken}"
            );
        }
    }

    #[test]
    fn the_client_is_the_first_untrusted_address_from_the_right() {
        let trust = Network::loopback();
        let given = fields(&[("x-forwarded-for", "6.6.6.6, 9.9.9.9, 127.0.0.2")]);
        let caller = Caller::of(Some([127, 0, 0, 1].into()), &given, &trust);
        assert_eq!(caller.client, Some([9, 9, 9, 9].into()));
        let stranger = Caller::of(Some([8, 8, 8, 8].into()), &given, &trust);
        assert_eq!(stranger.client, Some([8, 8, 8, 8].into()));
    }

    #[test]
    fn a_strangers_forwarding_headers_are_replaced() {
        let given = fields(&[
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("host", "a"),
        ]);
        let mut own = Own::new();
        let dropped = Caller::of(Some([8, 8, 8, 8].into()), &given, &Network::loopback()).forward(
            &given,
            Some(&HeaderValue::from_static("8.8.8.8")),
            "http",
            Some(&Bytes::from_static(b"a")),
            &mut own,
        );
        assert!(dropped.has(Known::ForwardedFor) && dropped.has(Known::Forwarded));
        let own: Vec<_> = own
            .iter()
            .map(|(name, value)| (name.name(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            own,
            [
                ("x-forwarded-for", "8.8.8.8"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "a")
            ]
        );
    }
}
