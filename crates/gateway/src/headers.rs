//! Which headers go on, and which belong to one connection only (RFC 9110 §7.6.1).

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Remaining time in milliseconds, on requests in both directions.
pub(crate) const DEADLINE: HeaderName = HeaderName::from_static("x-plimsoll-deadline-ms");
/// Which attempt this request is: 1 is the first.
pub(crate) const ATTEMPT: HeaderName = HeaderName::from_static("x-plimsoll-attempt");
/// On answers: attempts that were made below, when there was more than one.
pub(crate) const ATTEMPTS: HeaderName = HeaderName::from_static("x-plimsoll-attempts");
/// Asks for a fault.
pub(crate) const FAULT: HeaderName = HeaderName::from_static("x-plimsoll-fault");
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The protocol that an Upgrade request asks for, if it asks for one that we pass on. `h2c` is none: HTTP/2 in
/// cleartext is by prior knowledge (RFC 9113 §3.1).
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let asked = headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| lists(value, "upgrade"));
    (asked && !protocol.as_bytes().eq_ignore_ascii_case(b"h2c")).then(|| protocol.clone())
}

/// Removes what belongs to the connection that the message came on. Most messages have none of it, which one look at
/// the names tells for less than a look-up of each.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if !headers.keys().any(|name| is_hop_by_hop(name.as_str())) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok())
        // A caller cannot make us forget who it is, or where it wanted to go.
        .filter(|name| *name != HOST && !name.as_str().starts_with("x-"))
        .collect();
    let wants_trailers = headers.get_all(TE).iter().any(|te| lists(te, "trailers"));
    for name in &named {
        headers.remove(name);
    }
    // Chunks overrule a length (RFC 9112 §6.3), which must not go on as though it were true.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        HTTP2_SETTINGS,
        EXPECT,
        TE,
    ] {
        headers.remove(name);
    }
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Whether `word` is one of the items of a list with commas.
fn lists(value: &HeaderValue, word: &str) -> bool {
    value.to_str().is_ok_and(|value| {
        value
            .split(',')
            .any(|item| item.trim().eq_ignore_ascii_case(word))
    })
}

fn is_hop_by_hop(name: &str) -> bool {
    match name.len() {
        2 => name == "te",
        6 => name == "expect",
        7 => name == "upgrade",
        10 => name == "connection" || name == "keep-alive",
        14 => name == "http2-settings",
        16 => name == "proxy-connection",
        17 => name == "transfer-encoding",
        _ => false,
    }
}

/// The number in a header of ours; `None` when it is absent or no number.
pub(crate) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_of_the_connection_goes() {
        let mut headers: HeaderMap = [
            ("connection", "keep-alive, X-Request-Id, drop-me"),
            ("keep-alive", "timeout=5"),
            ("drop-me", "1"),
            ("x-request-id", "stays"),
            ("te", "gzip"),
            ("accept", "*/*"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["accept", "x-request-id"]);
    }
}
