//! What is said of a refusal: the problem document (RFC 9457) and the gRPC status (`google.rpc.Status`).
//!
//! The text is made here, once, from the row of the [`Reason`] table, and whoever answers puts it on the wire: the
//! gateway, and a server that has the same policies in its own process. So a program that reads one reads the other.
//! It is text and nothing else; fields and framing belong to whoever has a connection.

use core::fmt::Write as _;
use core::time::Duration;

use crate::{Delivered, Reason, RetrySafety};

/// A refusal about to be told.
///
/// ```
/// use core::time::Duration;
/// use plimsoll_slo::{Problem, Reason};
///
/// let told = Problem {
///     cause: Some("100 are under way"),
///     retry_after: Some(Duration::from_millis(1500)),
///     ..Problem::new(Reason::BulkheadFull)
/// };
/// assert_eq!((told.status(), told.grpc()), (503, 14));
/// assert_eq!(told.retry_after_seconds(), Some(2));
/// assert!(told.json().contains(r#""code":"bulkhead-full","cause":"100 are under way""#));
/// assert_eq!(told.grpc_message(), "Too many requests are in flight to the upstream: 100 are under way");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// Why there is no answer of the service.
    pub reason: Reason,
    /// What exactly happened, for the person who reads it: which rule, which limit, which error. The reason's title
    /// when there is nothing to add.
    pub cause: Option<&'a str>,
    /// How long to stay away, if that is known.
    pub retry_after: Option<Duration>,
    /// Whether the service may have acted, where more is known than the table says.
    pub delivered: Option<Delivered>,
    /// The HTTP and gRPC status to pretend, for injected faults only.
    pub pretend: Option<(u16, u8)>,
    /// Which request it was; empty when that has no name.
    pub request_id: &'a str,
}

impl Problem<'_> {
    /// A refusal of which no more is known than its reason.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            cause: None,
            retry_after: None,
            delivered: None,
            pretend: None,
            request_id: "",
        }
    }

    /// The HTTP status: the table's, or the pretended one.
    pub fn status(&self) -> u16 {
        self.pretend
            .map_or(self.reason.info().status, |(status, _)| status)
    }

    /// The gRPC status code: the table's, or the pretended one.
    pub fn grpc(&self) -> u8 {
        self.pretend.map_or(self.reason.info().grpc, |(_, grpc)| grpc)
    }

    /// The value of `Retry-After`: whole seconds, rounded up, so that nobody is sent back too early.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after
            .map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0))
    }

    /// The value of `grpc-retry-pushback-ms` (gRPC proposal A6): the wait, or -1 where no retry can help.
    pub fn grpc_pushback_ms(&self) -> Option<i64> {
        match self.retry_after {
            Some(after) => Some(i64::try_from(after.as_millis()).unwrap_or(i64::MAX)),
            None if self.reason.info().retry == RetrySafety::Never => Some(-1),
            None => None,
        }
    }

    /// The problem document, one line of JSON, of the media type `application/problem+json`.
    pub fn json(&self) -> String {
        let info = self.reason.info();
        let mut json = String::with_capacity(512);
        let _ = write!(
            json,
            r#"{{"type":"urn:plimsoll:reason:{code}","title":"{title}","status":{status},"detail":"#,
            code = info.code,
            title = info.title,
            status = self.status(),
        );
        json_string(&mut json, info.explain);
        let _ = write!(json, r#","code":"{}","cause":"#, info.code);
        json_string(&mut json, self.cause.unwrap_or(info.title));
        let _ = write!(
            json,
            r#","blame":"{}","delivered":"{}","retriable":"{}""#,
            info.blame.word(),
            self.delivered().word(),
            info.retry.word(),
        );
        if let Some(after) = self.retry_after {
            let _ = write!(json, r#","retry_after_ms":{}"#, after.as_millis());
        }
        if !self.request_id.is_empty() {
            json.push_str(r#","request_id":"#);
            json_string(&mut json, self.request_id);
        }
        json.push_str("}\n");
        json
    }

    /// The value of `grpc-message`: title and cause, percent-encoded (gRPC over HTTP/2, "Responses").
    pub fn grpc_message(&self) -> String {
        let message = self.message();
        let mut encoded = String::with_capacity(message.len());
        for byte in message.bytes() {
            if matches!(byte, 0x20..=0x7e) && byte != b'%' {
                encoded.push(char::from(byte));
            } else {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        encoded
    }

    /// The value of `grpc-status-details-bin`: a `google.rpc.Status` in Base64, with an `ErrorInfo`, and a `RetryInfo`
    /// when the wait is known.
    pub fn grpc_details(&self) -> String {
        let info = self.reason.info();
        let mut error_info = Vec::new();
        proto_bytes(&mut error_info, 1, info.code.as_bytes());
        proto_bytes(&mut error_info, 2, b"plimsoll");
        let metadata = [
            ("blame", info.blame.word()),
            ("delivered", self.delivered().word()),
            ("retriable", info.retry.word()),
            ("request_id", self.request_id),
        ];
        for (key, value) in metadata {
            let mut entry = Vec::new();
            proto_bytes(&mut entry, 1, key.as_bytes());
            proto_bytes(&mut entry, 2, value.as_bytes());
            proto_bytes(&mut error_info, 3, &entry);
        }
        let mut status = Vec::new();
        proto_varint(&mut status, 1, u64::from(self.grpc()));
        proto_bytes(&mut status, 2, self.message().as_bytes());
        let error_info = any("type.googleapis.com/google.rpc.ErrorInfo", &error_info);
        proto_bytes(&mut status, 3, &error_info);
        if let Some(after) = self.retry_after {
            let mut delay = Vec::new();
            proto_varint(&mut delay, 1, after.as_secs());
            proto_varint(&mut delay, 2, u64::from(after.subsec_nanos()));
            let mut retry_info = Vec::new();
            proto_bytes(&mut retry_info, 1, &delay);
            let retry_info = any("type.googleapis.com/google.rpc.RetryInfo", &retry_info);
            proto_bytes(&mut status, 3, &retry_info);
        }
        base64(&status)
    }

    fn delivered(&self) -> Delivered {
        self.delivered.unwrap_or(self.reason.info().delivered)
    }

    fn message(&self) -> String {
        let title = self.reason.info().title;
        match self.cause {
            Some(cause) => format!("{title}: {cause}"),
            None => title.to_owned(),
        }
    }
}

/// Appends `text` as a JSON string (RFC 8259 §7).
fn json_string(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

fn any(type_url: &str, value: &[u8]) -> Vec<u8> {
    let mut any = Vec::new();
    proto_bytes(&mut any, 1, type_url.as_bytes());
    proto_bytes(&mut any, 2, value);
    any
}

fn proto_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn proto_varint(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Base64 without padding, as gRPC's binary headers have it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * index) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_makes_a_whole_answer() {
        for &reason in Reason::ALL {
            let told = Problem {
                cause: Some("a \"cause\"\n"),
                retry_after: Some(Duration::from_millis(1500)),
                request_id: "id-1",
                ..Problem::new(reason)
            };
            let json = told.json();
            assert!(json.contains(&format!("\"code\":\"{reason}\"")), "{json}");
            assert!(json.contains(r#""cause":"a \"cause\"\n""#), "{json}");
            assert!(
                json.ends_with("\"retry_after_ms\":1500,\"request_id\":\"id-1\"}\n"),
                "{json}"
            );
            assert_eq!(
                (told.retry_after_seconds(), told.grpc_pushback_ms()),
                (Some(2), Some(1500))
            );
            assert!(told.grpc_message().ends_with(": a \"cause\"%0A"));
        }
    }

    #[test]
    fn without_a_wait_only_the_hopeless_are_told_not_to_come_back() {
        assert_eq!(Problem::new(Reason::UnknownRoute).grpc_pushback_ms(), Some(-1));
        assert_eq!(Problem::new(Reason::UpstreamReset).grpc_pushback_ms(), None);
    }

    #[test]
    fn a_fault_pretends_in_every_place() {
        let told = Problem {
            pretend: Some((429, 8)),
            ..Problem::new(Reason::FaultInjected)
        };
        assert_eq!((told.status(), told.grpc()), (429, 8));
        assert!(told.json().contains("\"status\":429"));
        // The first field of the message is the code: tag 8 and the number, "CAg…" in Base64.
        assert!(told.grpc_details().starts_with("CAg"));
    }

    #[test]
    fn base64_agrees_with_the_rfc() {
        let cases = [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
